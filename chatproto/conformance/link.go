package conformance

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

// A link is a connection to the server under test. Whatever a case is about,
// each frame that comes is checked: that it is canonical, has its fields, and
// is one that the tables of sections 4.1 and 5.1 allow here and now.
type link struct {
	stream
	s       *serverCase
	account *Account // as whom it is logged in, nil before
	hello   *heard   // its 220
	welcome *heard   // its 230

	// Of the goroutine that runs the case.
	unfinished []byte // of the line that is being sent
	leaving    bool   // QUIT was said
	lax        bool   // the case does not look at all that comes

	// Guarded by mu.
	machine    *chatproto.Machine
	replies    []*heard // not looked at yet, runs taken apart; so are the others
	deliveries []*heard
	presence   []*heard // of the accounts of the case
	streams    []*heard // of relayed lines
	events     []*heard // all others, LIVE left out
	lives      int
	count      int    // deliveries that came
	size       int    // their octets
	helo       string // the HELO that was sent, without its end
}

// dial opens a connection.
func (s *serverCase) dial(name string) *link {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Patience)
	defer cancel()
	nc, err := s.target.Dial(ctx)
	if err != nil {
		s.failf("%s: cannot connect: %v", name, err)
	}
	l := &link{s: s, machine: chatproto.V1.Machine()}
	l.begin(s.check, name, nc, l.take)
	s.links = append(s.links, l)
	return l
}

// take sorts what was heard. mu is held.
func (l *link) take(h *heard) {
	code := h.frame.Code
	if !chatproto.V1.Known(code) {
		l.blame("a code that this version does not have (section 11): %s", quoted(h.line))
	}
	if fault := faultOf(serverFields, h); fault != "" {
		l.blame("%s", fault)
	}
	if err := l.step(h); err != nil {
		l.blame("%v (sections 4.1, 5.1, 5.2): %s", err, quoted(h.line))
	}
	switch {
	case code == chatproto.ReplyUnavailable:
		l.events = append(l.events, h)
	case code.IsReply():
		if h.hi-h.lo >= uint64(chatproto.V1.Limits.Unanswered) { // or none at all
			h.hi = h.lo
		}
		if h.hi == h.lo {
			l.replies = append(l.replies, h)
			return
		}
		for i := range h.hi - h.lo + 1 {
			one := *h
			one.lo, one.hi = h.lo+i, h.lo+i
			one.fields = withField(h.fields, "n", fmt.Sprint(one.lo))
			l.replies = append(l.replies, &one)
		}
	case h.has("id"):
		l.deliver(h)
	case code == chatproto.PRES:
		if l.s.account(h.frame.Value("user")) != nil {
			l.presence = append(l.presence, h)
		}
	case code == chatproto.LIVE:
		l.lives++
	case code == chatproto.RLAY || code == chatproto.RDAT:
		l.streams = append(l.streams, h)
	default:
		l.events = append(l.events, h)
	}
}

// step takes a frame through the tables.
func (l *link) step(h *heard) error {
	code := h.frame.Code
	if !code.IsReply() {
		return l.machine.Event(code)
	}
	var ok bool
	if h.lo, h.hi, ok = h.frame.Range("n"); !ok {
		return fmt.Errorf("n= is no number")
	}
	return l.machine.Reply(code, h.lo, h.hi)
}

func (l *link) deliver(h *heard) {
	from := h.frame.Value("from")
	if _, ok := chatproto.MessageText(from, h.frame.Description); !ok {
		l.blame("the description of a delivery is not the sender, a colon and the text (section 3.6): %s", quoted(h.line))
	}
	l.count++
	l.size += len(h.line) + len("\r\n")
	l.deliveries = append(l.deliveries, h)
}

// withField returns fields with another value for one of them.
func withField(fields []wireField, key, value string) []wireField {
	changed := append([]wireField(nil), fields...)
	for i := range changed {
		if changed[i].key == key {
			changed[i].value = value
		}
	}
	return changed
}

// send sends a line.
func (l *link) send(line string) { l.raw([]byte(line + "\r\n")) }

// raw sends octets, and notes which requests they are.
func (l *link) raw(b []byte) {
	l.k.log(l.name, ">", strings.TrimRight(string(b), "\r\n"))
	l.mu.Lock()
	l.unfinished = append(l.unfinished, b...)
	for {
		i := bytes.IndexByte(l.unfinished, '\n')
		if i < 0 {
			break
		}
		l.note(l.unfinished[:i])
		l.unfinished = l.unfinished[i+1:]
	}
	l.mu.Unlock()
	if err := l.write(b); err != nil {
		// What the server said before it closed explains more, and the case
		// waits for that.
		l.k.log(l.name, ">", "("+err.Error()+")")
	}
}

// note puts a request into the queue of those that are unanswered. mu is held.
func (l *link) note(line []byte) {
	line = bytes.TrimSuffix(bytes.Clone(line), []byte("\r"))
	text := string(line)
	var f chatproto.Frame
	if len(line) > chatproto.V1.Limits.Frame || chatproto.Parse(&f, line) != nil {
		l.machine.BadLine()
		return
	}
	n, _ := f.Uint("n")
	l.machine.Request(f.Code, n)
	switch f.Code {
	case chatproto.HELO:
		l.helo = text
	case chatproto.QUIT:
		l.leaving = true
	}
}

// next returns the first frame of its kind that was not looked at, and waits
// for it. what says what it is good for.
func (l *link) next(queue *[]*heard, what string) *heard {
	var h *heard
	ok := l.await(l.k.opts.Patience, func() bool {
		if len(*queue) > 0 {
			h, *queue = (*queue)[0], (*queue)[1:]
		}
		return h != nil
	})
	switch {
	case ok:
		return h
	case l.isOver():
		l.k.failf("%s: the connection ended; wanted %s", l.name, what)
	default:
		l.k.failf("%s: nothing came within %v; wanted %s", l.name, l.k.opts.Patience, what)
	}
	return nil
}

func (l *link) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// queue returns where frames with this code wait.
func (l *link) queue(code string) *[]*heard {
	switch code {
	case "MESG", "BCST":
		return &l.deliveries
	case "PRES":
		return &l.presence
	case "RLAY", "RDAT":
		return &l.streams
	case "421":
		return &l.events
	}
	if code[0] >= '1' && code[0] <= '5' {
		return &l.replies
	}
	return &l.events
}

// want returns the next frame of its kind, and fails the case if it is not
// what the pattern says.
func (l *link) want(source string) *heard {
	p := parsePattern(source)
	h := l.next(l.queue(p.code), p.source)
	if !p.match(h, l.k.vars) {
		l.k.failf("%s: got %s; wanted %s", l.name, quoted(h.line), p.source)
	}
	return h
}

// nothing fails the case if something waits that was not looked at, in any
// queue but that of presence.
func (l *link) nothing() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lax {
		return
	}
	for _, q := range [][]*heard{l.replies, l.deliveries, l.streams, l.events} {
		if len(q) > 0 {
			l.k.failf("%s: this should not have come: %s", l.name, quoted(q[0].line))
		}
	}
}
