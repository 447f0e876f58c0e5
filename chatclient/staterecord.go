package chatclient

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// The records of a state file. Each has four numbers and two strings, of
// which its kind uses some.
const (
	recOrigin   = 'O' // origin: a new one, in which nothing was sent
	recWelcome  = 'W' // user, boot: a 230 came for the origin
	recCounter  = 'L' // counter, highest message number: numbers up to the counter may be in use
	recLetter   = 'S' // origin, n, verb, tainted; recipient, text: a message that is unanswered; MESG is a private one
	recSettled  = 'D' // origin, n, code, how and skipped; description: its outcome, not told yet
	recAnswered = 'A' // origin, n: it may be forgotten
	recMark     = 'M' // origin, n, time; sender: the highest message taken
	recLine     = 'P' // origin, highest number, end of the consent; user, key and places: how private messages reach them
	recEnd      = 'E' // the file was closed in order
)

// A record is one change of a StateFile.
type record struct {
	kind byte
	num  [4]uint64
	str  [2]string
}

func (r *record) append(b []byte) []byte {
	b = append(b, r.kind)
	for _, n := range r.num {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range r.str {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

var errRecord = errors.New("a record that this program does not know")

// read reads the first record of b and returns what follows it.
func (r *record) read(b []byte) ([]byte, error) {
	r.kind, b = b[0], b[1:]
	for i := range r.num {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, errRecord
		}
		r.num[i], b = n, b[size:]
	}
	for i := range r.str {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errRecord
		}
		r.str[i], b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	return b, nil
}

// An image is what a state file says.
type image struct {
	user     string // whose it is; "" before the first login
	boot     string // of the server of the last login
	origin   uint64
	welcomed bool   // a 230 came for the origin
	counter  uint64 // numbers up to here may be in use
	top      uint64 // the highest number of a SEND or CAST
	letters  []*letter
	lines    map[string]*lineState // by user: of private messages
	window   receiveWindow
}

// A letter is a message that was not answered, or whose outcome the
// application was not told.
type letter struct {
	origin, n uint64
	verb      chatproto.Code
	to, text  string
	tainted   bool // an earlier life of the server may have decided it
	settled   bool
	outcome   answer // if it is settled; without a code it is unknown, and its text says why
}

// apply makes the change of a record.
func (m *image) apply(r *record) error {
	switch r.kind {
	case recOrigin:
		m.origin, m.welcomed, m.boot, m.counter, m.top = r.num[0], false, "", 0, 0
	case recWelcome:
		for _, k := range m.letters {
			k.tainted = k.tainted || r.str[1] != m.boot
		}
		m.user, m.boot, m.welcomed = r.str[0], r.str[1], true
	case recCounter:
		m.counter, m.top = max(m.counter, r.num[0]), max(m.top, r.num[1])
	case recLetter:
		k := &letter{origin: r.num[0], n: r.num[1], verb: chatproto.Code(r.num[2]), tainted: r.num[3] != 0, to: r.str[0], text: r.str[1]}
		m.letters = append(m.letters, k)
		if k.private() {
			if l := m.lines[k.to]; l != nil && l.origin == k.origin {
				l.last = max(l.last, k.n)
			}
		} else if k.origin == m.origin {
			m.counter, m.top = max(m.counter, k.n), max(m.top, k.n)
		}
	case recSettled:
		if i := m.find(r.num[0], r.num[1]); i >= 0 {
			k := m.letters[i]
			k.settled = true
			k.outcome = answer{code: chatproto.Code(r.num[2]), text: r.str[0], how: How(r.num[3] & 1), skipped: int(r.num[3] >> 1)}
		}
	case recAnswered:
		if i := m.find(r.num[0], r.num[1]); i >= 0 {
			m.letters = removeAt(m.letters, i)
		}
	case recLine:
		if m.lines == nil {
			m.lines = make(map[string]*lineState)
		}
		m.lines[r.str[0]] = &lineState{origin: r.num[0], last: r.num[1], until: time.UnixMilli(int64(r.num[2])), way: r.str[1]}
	case recMark:
		m.window.take(r.str[0], chatproto.ID{Origin: r.num[0], N: r.num[1]}, time.UnixMilli(int64(r.num[2])))
	case recEnd:
	default:
		return errRecord
	}
	return nil
}

func (m *image) find(origin, n uint64) int {
	for i, k := range m.letters {
		if k.origin == origin && k.n == n {
			return i
		}
	}
	return -1
}

// removeAt takes one out of a queue, cheaply if it is the first.
func removeAt(queue []*letter, i int) []*letter {
	if i == 0 {
		queue[0] = nil
		return queue[1:]
	}
	copy(queue[i:], queue[i+1:])
	queue[len(queue)-1] = nil
	return queue[:len(queue)-1]
}

// snapshot is the image as records.
func (m *image) snapshot(now time.Time) []byte {
	var b []byte
	put := func(r record) { b = r.append(b) }
	put(record{kind: recOrigin, num: [4]uint64{m.origin}})
	if m.welcomed || m.user != "" {
		put(record{kind: recWelcome, str: [2]string{m.user, m.boot}})
	}
	if !m.welcomed && m.user != "" {
		put(record{kind: recOrigin, num: [4]uint64{m.origin}}) // the user stays, the welcome was another origin's
	}
	put(record{kind: recCounter, num: [4]uint64{m.counter, m.top}})
	m.dropLines()
	for user, l := range m.lines {
		put(l.record(user))
	}
	for _, k := range m.letters {
		put(k.record())
		if k.settled {
			put(k.settle())
		}
	}
	m.window.expire(now)
	for e := m.window.age.Back(); e != nil; e = e.Prev() { // the oldest first, as they came
		put(e.Value.(*mark).record())
	}
	return b
}

func (k *letter) record() record {
	tainted := uint64(0)
	if k.tainted {
		tainted = 1
	}
	return record{recLetter, [4]uint64{k.origin, k.n, uint64(k.verb), tainted}, [2]string{k.to, k.text}}
}

func (k *letter) settle() record {
	a := &k.outcome
	return record{recSettled, [4]uint64{k.origin, k.n, uint64(a.code), uint64(a.how) | uint64(a.skipped)<<1}, [2]string{a.text}}
}

func (m *mark) record() record {
	return record{recMark, [4]uint64{m.origin, m.high, uint64(m.last.UnixMilli())}, [2]string{m.from}}
}
