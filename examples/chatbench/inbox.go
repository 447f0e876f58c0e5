package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/parleyproto/parley/chatproto"
)

// numberLen is how many octets of a text hold the message's number.
const numberLen = 16

// newText makes a text of so many octets, for numbers to be written into.
func newText(size int) []byte {
	text := make([]byte, size)
	for i := range text {
		text[i] = 'a' + byte(i%26)
	}
	setNumber(text, 0)
	return text
}

// setNumber writes a message's number to the front of its text.
func setNumber(text []byte, n uint64) {
	for i := numberLen - 1; i >= 0; i-- {
		text[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

// An inbox checks what is delivered to one user: of each stream every message
// that was accepted, once, in order, as it was sent. Mail of earlier runs it
// only counts.
type inbox struct {
	streams map[uint64]*stream // by the sender's origin
	text    []byte             // what is due
	got     uint64             // deliveries of this run
	old     uint64             // deliveries of earlier runs
}

// A stream is what one sender sends to one user, numbered from 0.
type stream struct {
	from    string
	next    uint64          // the number due next
	last    uint64          // the n of the last one's id
	want    uint64          // how many there are, refused ones included, once that is known
	refused map[uint64]bool // numbers that must not arrive
}

func newInbox(size int) *inbox {
	return &inbox{streams: make(map[uint64]*stream), text: newText(size)}
}

// expect has the inbox check the messages of a sender.
func (b *inbox) expect(c *client) *stream {
	s := &stream{from: c.user, last: c.high}
	b.streams[c.origin] = s
	return s
}

// take checks a delivery.
func (b *inbox) take(f *chatproto.Frame) error {
	v, _ := f.Get("id")
	id, ok := chatproto.ParseID(v)
	if !ok {
		return fmt.Errorf("a message without a readable id")
	}
	s := b.streams[id.Origin]
	if s == nil {
		b.old++
		return nil
	}
	text, ok := chatproto.MessageText(s.from, f.Description)
	if from, _ := f.Get("from"); !ok || string(from) != s.from {
		return fmt.Errorf("a message from %q that is %s's", from, s.from)
	}
	for s.refused[s.next] {
		s.next++
	}
	setNumber(b.text, s.next)
	if !bytes.Equal(text, b.text) {
		return b.wrong(s, text)
	}
	if id.N <= s.last {
		return fmt.Errorf("message %d of %s as number %d of its origin, after %d", s.next, s.from, id.N, s.last)
	}
	s.last = id.N
	s.next++
	b.got++
	return nil
}

// wrong tells what is wrong with a text that is not the one that is due.
func (b *inbox) wrong(s *stream, text []byte) error {
	n, err := strconv.ParseUint(string(text[:min(len(text), numberLen)]), 16, 64)
	switch {
	case err != nil || len(text) != len(b.text) || !bytes.Equal(text[numberLen:], b.text[numberLen:]):
		return fmt.Errorf("a message of %s with another text than it was sent with", s.from)
	case s.refused[n]:
		return fmt.Errorf("message %d of %s, which was refused", n, s.from)
	case n < s.next:
		return fmt.Errorf("message %d of %s a second time, or too late: %d was due", n, s.from, s.next)
	}
	return fmt.Errorf("message %d of %s where %d was due", n, s.from, s.next)
}

// missing is how many messages are still to come, once the streams' lengths
// are known.
func (b *inbox) missing() int {
	n := 0
	for _, s := range b.streams {
		for i := s.next; i < s.want; i++ {
			if !s.refused[i] {
				n++
			}
		}
	}
	return n
}
