package chatserver

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A place is that of one request in the queue of replies: what will answer it,
// and whether it may already.
type place struct {
	tag        uint64
	wait       *atomic.Uint32 // unsettled while the answer has to wait; nil if it never has
	verb, code chatproto.Code
	rest       *slot // nil if the answer says nothing but n= and how=
}

// A slot is an answer as it is given: to which request, with what.
type slot struct {
	verb chatproto.Code
	tag  uint64
	wait *atomic.Uint32 // see place

	code    chatproto.Code
	text    string
	skipped int
	fields  []field // beside n and, of a 201, how
	entries []string
}

var noMore slot

type field struct{ key, value string }

func (f *field) add(l *chatproto.Line) { l.Field(f.key, f.value) }

// due reports whether the request can be answered, and how it was settled.
func (s *place) due() (how uint32, ok bool) {
	if s.wait == nil {
		return unsettled, true
	}
	how = s.wait.Load()
	return how, how != unsettled
}

// plain reports whether the answer is a 201 that says nothing but how, so
// that a run of them can be one frame.
func (s *place) plain() bool {
	return s.rest == nil && s.verb == chatproto.SEND && s.tag > 0 && s.wait != nil
}

// answer queues the answer to the request at hand and sends what is due.
func (c *conn) answer(s slot) { c.enqueue(place{s.tag, s.wait, s.verb, s.code, &s}) }

func (c *conn) enqueue(p place) {
	c.mu.Lock()
	c.slots = append(c.slots, p)
	due := c.sendDue()
	c.mu.Unlock()
	if due {
		c.by.touch(c)
	}
}

// reply answers the request at hand with a code, its sentence about user, and
// fields.
func (c *conn) reply(code chatproto.Code, user string, fields ...field) {
	text := chatproto.Fill(c.version.Sentence(c.verb, code), "user", user)
	c.answer(slot{verb: c.verb, tag: c.tag, code: code, text: text, fields: fields})
}

// refuse answers the request at hand with an error.
func (c *conn) refuse(e *chatproto.Error, user string) {
	if e.Code == chatproto.ReplyInternal && e.Err != nil {
		c.log().Error("a request failed inside the server", "verb", c.verb.String(), "err", e.Err)
	}
	text := e.Text
	if text == "" {
		text = chatproto.Fill(c.version.Sentence(c.verb, e.Code), "user", user)
	}
	c.answer(slot{verb: c.verb, tag: c.tag, code: e.Code, text: text})
}

// answerWhenSettled answers the request at hand with 201 once m is stored or
// delivered.
func (c *conn) answerWhenSettled(m *message, skipped int) {
	p := place{tag: c.tag, wait: &m.settled, verb: c.verb, code: chatproto.ReplyAccepted}
	if skipped > 0 {
		p.rest = &slot{skipped: skipped}
	}
	c.enqueue(p)
}

// answerWhenStored answers the request at hand with code once done is called.
func (c *conn) answerWhenStored(code chatproto.Code, user string) (done func()) {
	wait := new(atomic.Uint32)
	text := chatproto.Fill(c.version.Sentence(c.verb, code), "user", user)
	c.answer(slot{verb: c.verb, tag: c.tag, code: code, text: text, wait: wait})
	return func() {
		wait.Store(settledStored)
		if c.advanceReplies() {
			c.flush()
		}
	}
}

// advanceReplies sends the answers that are due by now, and reports whether
// there were any.
func (c *conn) advanceReplies() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered.Broadcast()
	return c.sendDue()
}

// sendDue puts the answers that are due into the outbound buffer, in the
// order of their requests, a run of equal 201s as one. The caller holds mu.
func (c *conn) sendDue() bool {
	sent := 0
	for sent < len(c.slots) {
		s := &c.slots[sent]
		how, ok := s.due()
		if !ok {
			break
		}
		last := s.tag
		sent++
		for s.plain() && sent < len(c.slots) {
			next := &c.slots[sent]
			if h, ok := next.due(); !ok || h != how || !next.plain() || next.tag != last+1 {
				break
			}
			last = next.tag
			sent++
		}
		c.emit(s, last, how)
	}
	if sent == 0 {
		return false
	}
	n := copy(c.slots, c.slots[sent:])
	clear(c.slots[n:])
	c.slots = c.slots[:n]
	c.answered.Broadcast()
	return true
}

// emit encodes one answer, to requests s.tag to last. The caller holds mu.
func (c *conn) emit(s *place, last uint64, how uint32) {
	rest := s.rest
	if rest == nil {
		rest = &noMore
	}
	for _, e := range rest.entries {
		c.frame(chatproto.ReplyEntry, s.tag, s.tag, func(l *chatproto.Line) { l.Field("user", e) }, e)
	}
	c.frame(s.code, s.tag, last, func(l *chatproto.Line) {
		if s.code == chatproto.ReplyAccepted && how != unsettled {
			l.Field("how", [...]string{settledStored: "stored", settledDelivered: "delivered"}[how])
		}
		if rest.skipped > 0 {
			l.Uint("skipped", uint64(rest.skipped))
		}
		for i := range rest.fields {
			rest.fields[i].add(l)
		}
	}, rest.text)
}

// frame steps the machine with a reply and puts it into the outbound buffer.
// The caller holds mu.
func (c *conn) frame(code chatproto.Code, lo, hi uint64, fields func(*chatproto.Line), text string) {
	if c.machine.Phase() >= chatproto.Closing {
		return
	}
	if err := c.machine.Reply(code, lo, hi); err != nil {
		c.broken(err)
		return
	}
	l := chatproto.Begin(c.buffer(), code)
	l.Run("n", lo, hi)
	if fields != nil {
		fields(&l)
	}
	c.end(l.End(text))
}

// event steps the machine with an event and puts it into the outbound buffer.
// It reports whether the phase allowed it. The caller holds mu.
func (c *conn) event(code chatproto.Code, fields []field, text string) bool {
	if c.machine.Event(code) != nil {
		return false
	}
	l := chatproto.Begin(c.buffer(), code)
	for i := range fields {
		fields[i].add(&l)
	}
	c.end(l.End(text))
	return true
}

// end takes back the outbound buffer behind a frame. The caller holds mu.
func (c *conn) end(b []byte, err error) {
	c.out = b
	if err != nil {
		c.broken(err)
	}
}

// broken ends the connection because the server was about to break the
// protocol. finish logs it, without a lock. The caller holds mu.
func (c *conn) broken(err error) {
	if c.fault == nil {
		c.fault = err
	}
	c.abort("protocol")
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
