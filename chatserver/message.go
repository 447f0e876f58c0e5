package chatserver

import (
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// How a request that waits for more than its turn was settled.
const (
	unsettled uint32 = iota
	settledStored
	settledDelivered
)

// A message is an accepted message on its way: in the mailboxes of its
// audience, in the committer's batch, and in the answer that its sender waits
// for.
type message struct {
	seq    uint64
	place  uint64 // in its recipient's mailbox; 0 for a broadcast
	id     chatproto.ID
	at     int64 // milliseconds since 1970
	after  uint64
	from   *user
	origin *origin // nil for a message read back from the store, which is one mailbox's own copy
	to     *user   // the recipient; nil for a broadcast
	cast   []*user // the audience of a broadcast; the committer's, who drops it when it is stored
	frame  []byte  // MESG or BCST as it is delivered, shared by all recipients

	left    atomic.Int32  // mailboxes that have not acknowledged it
	few     atomic.Int32  // when so many are left, most of who is there have acknowledged a broadcast
	settled atomic.Uint32 // what answers the sender; set once

	came    time.Duration // when its request was read, after committer.start
	urgent  bool          // it is not waited for with storing; guarded by committer.mu
	written bool          // in a batch that was cut, or in the store; guarded by committer.mu
	early   []*user       // who cannot drop a broadcast told twice, and had it before it was cut; likewise
}

func (m *message) isCast() bool { return m.to == nil }

// A slab holds the next few messages of a connection, short frames beside
// them: one allocation for all of them. It stays as long as the last of them,
// so long frames are none of its.
type slab [8]struct {
	m     message
	frame [inlineFrame]byte
}

// inlineFrame is the length up to which a frame lies in a slab.
const inlineFrame = 224

// allocate returns a message and room for its frame, about size octets.
func (c *conn) allocate(size int) (*message, []byte) {
	if size > inlineFrame {
		return new(message), make([]byte, 0, size)
	}
	if c.slab == nil || c.slabUsed == len(c.slab) {
		c.slab, c.slabUsed = new(slab), 0
	}
	s := &c.slab[c.slabUsed]
	c.slabUsed++
	return &s.m, s.frame[:0]
}

// settle says how m was settled, and reports whether this was the first word.
func (m *message) settle(how uint32) bool {
	if !m.settled.CompareAndSwap(unsettled, how) {
		return false
	}
	if o := m.origin; o != nil {
		if p := o.pending.Load(); p != nil {
			p[m.id.N%chatproto.WindowSize].CompareAndSwap(m, nil)
		}
	}
	return true
}

// remember keeps m where a duplicate of its request finds it. The caller
// holds o.mu.
func (o *origin) remember(m *message) {
	p := o.pending.Load()
	if p == nil {
		p = new([chatproto.WindowSize]atomic.Pointer[message])
		o.pending.Store(p)
	}
	at := &p[m.id.N%chatproto.WindowSize]
	at.Store(m)
	if m.settled.Load() != unsettled { // acknowledged already: settle has found nothing
		at.CompareAndSwap(m, nil)
	}
}

// waitingAt returns the message that occupies the place of number n, nil if
// none does.
func (o *origin) waitingAt(n uint64) *message {
	if p := o.pending.Load(); p != nil {
		return p[n%chatproto.WindowSize].Load()
	}
	return nil
}

// rest gives back the places of messages, if none is occupied.
func (o *origin) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pending.Load()
	if p == nil {
		return
	}
	for i := range p {
		if p[i].Load() != nil {
			return
		}
	}
	o.pending.Store(nil)
}

// send answers SEND: a message to one user.
func (c *conn) send(f *chatproto.Frame) {
	to, ok := f.Get("to")
	if !ok {
		c.decideRefused(f, &chatproto.Error{Code: chatproto.ReplyBadField, Text: "SEND takes to=USER"}, "")
		return
	}
	target := c.lastTo // as most often
	if target == nil || target.name != string(to) || target.unsure.Load() {
		var err error
		if target, err = c.userNamed(to); err != nil {
			c.decideRefused(f, &chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
			return
		}
		c.lastTo = target
	}
	if target == nil || target == c.user {
		c.decideRefused(f, chatproto.ErrNoSuchUser, string(to))
		return
	}
	c.accept(f, target)
}

// cast answers CAST: a message to everybody online.
func (c *conn) cast(f *chatproto.Frame) { c.accept(f, nil) }

// accept decides a SEND to target, or a CAST if target is nil.
func (c *conn) accept(f *chatproto.Frame, target *user) {
	if !c.withinLimit(f) {
		c.decideRefused(f, chatproto.ErrTooLong, "")
		return
	}
	if refused := c.authorize(f, target); refused != nil {
		c.decideRefused(f, refused, name(target))
		return
	}
	if c.srv.commit.failing.Load() {
		c.decideRefused(f, &chatproto.Error{Code: c.noRoom(), Text: "The server cannot store messages now. Please try again later"}, "")
		return
	}
	o := c.sess.origin
	if !c.awaitPlace(o) || !c.lockOrigin(o) {
		return
	}
	n, again := c.decided(o, c.tag)
	if again {
		o.mu.Unlock()
		return
	}
	m, refused := c.newMessage(o, n, f, target)
	var skipped int
	if refused == nil {
		skipped, refused = c.deliver(m, target)
	}
	o.decide(n, refused == nil)
	audience := 0
	if refused == nil {
		audience = m.audience()
		if m.isCast() {
			o.bar = n
		}
		o.remember(m)
		c.srv.commit.add(m, o, c.by)
		c.srv.counters.accepted.Add(1)
	}
	o.mu.Unlock()
	if refused != nil {
		c.refuse(refused, name(target))
		return
	}
	if hook := c.srv.Hooks.OnAccepted; hook != nil {
		c.stepAside()
		hook(c.srv.ctx, Accepted{m.id, c.user.name, name(target), audience})
	}
	c.answerWhenSettled(m, skipped)
}

// awaitPlace waits until the message 256 numbers before this one is answered:
// a client that is ahead of its answers by more than a window is slowed down.
// It reports false if the connection ended before.
func (c *conn) awaitPlace(o *origin) bool {
	m := o.waitingAt(c.tag)
	if c.tag == 0 || m == nil || m.id.N == c.tag || m.settled.Load() != unsettled {
		return true
	}
	c.stepAside()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.dead == "" && m.settled.Load() == unsettled {
		c.answered.Wait()
	}
	return c.dead == ""
}

// lockOrigin locks o.mu for a decision. If another connection has taken over,
// or the session ended, there is nothing to decide any more: it reports
// false, and the connection ends.
func (c *conn) lockOrigin(o *origin) bool {
	o.mu.Lock()
	if !c.fenced() {
		return true
	}
	o.mu.Unlock()
	c.die("fenced")
	return false
}

func (m *message) audience() int {
	if m.isCast() {
		return len(m.cast)
	}
	return 1
}

// name is what others know u by; "" if there is nobody.
func name(u *user) string {
	if u == nil {
		return ""
	}
	name, _, _ := strings.Cut(u.name, " ") // a shadow's is that of its owner
	return name
}

// decided looks a number up. If there is nothing to decide any more it
// answers, and reports true; else it returns the number to decide, drawn if
// the request has none. The caller holds o.mu.
func (c *conn) decided(o *origin, tag uint64) (n uint64, again bool) {
	numbered := tag > 0
	if !o.used || o.numbered == numbered {
		o.used, o.numbered = true, numbered
	} else {
		c.refuseNumber(o, tag, "In one session either all messages carry n= or none")
		return 0, true
	}
	if !numbered && o.win.High == math.MaxUint64 {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "This origin has no numbers left. Please log in with another"}, "")
		return 0, true
	}
	if !numbered {
		return o.win.High + 1, false
	}
	m := o.waitingAt(tag)
	switch o.win.Look(tag) {
	case chatproto.Accepted:
		if m != nil && m.id.N == tag {
			c.answerWhenSettled(m, 0)
		} else {
			c.answer(slot{verb: c.verb, tag: tag, code: chatproto.ReplyAccepted, fields: []field{{"how", "stored"}}})
		}
		return 0, true
	case chatproto.Refused:
		c.refuse(chatproto.ErrRefusedEarlier, "")
		return 0, true
	}
	return tag, false
}

// refuseNumber refuses a request for its number, which is decided with it.
// The caller holds o.mu.
func (c *conn) refuseNumber(o *origin, n uint64, text string) {
	if n > o.win.High {
		o.decide(n, false)
	}
	c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: text}, "")
}

// decide writes a decision down. The caller holds o.mu.
func (o *origin) decide(n uint64, accepted bool) {
	o.win.Decide(n, accepted)
	if !accepted {
		o.bar = n
	}
}

// decideRefused refuses a SEND or CAST for good: its number is decided.
func (c *conn) decideRefused(f *chatproto.Frame, refused *chatproto.Error, user string) {
	if c.decideAgainst() {
		c.refuse(refused, user)
	}
}

// decideAgainst decides the number of a message that is refused, and reports
// whether it is still to be answered.
func (c *conn) decideAgainst() bool {
	o := c.sess.origin
	if !c.lockOrigin(o) {
		return false
	}
	n, again := c.decided(o, c.tag)
	if !again {
		o.decide(n, false)
	}
	o.mu.Unlock()
	return !again
}

// noRoom is the code that refuses a message while the store fails.
func (c *conn) noRoom() chatproto.Code {
	if c.version.Answers(c.verb, chatproto.ReplyMailboxFull) {
		return chatproto.ReplyMailboxFull
	}
	return chatproto.ReplyInternal
}

// withinLimit reports whether the text of a message is short enough to go out
// again behind the name of its sender.
func (c *conn) withinLimit(f *chatproto.Frame) bool {
	limit := chatproto.V1.Limits.Text
	return 2*len(f.Description) <= limit || chatproto.EncodedLen(f.Description) <= limit
}

// authorize asks the application, unless the number is decided already.
func (c *conn) authorize(f *chatproto.Frame, target *user) *chatproto.Error {
	hook := c.srv.Hooks.AuthorizeMessage
	if hook == nil {
		return nil
	}
	o := c.sess.origin
	o.mu.Lock()
	known := c.tag > 0 && o.win.Look(c.tag) != chatproto.Undecided
	o.mu.Unlock()
	if known {
		return nil
	}
	c.stepAside()
	if err := hook(c.srv.ctx, Outgoing{c.user.name, name(target), string(f.Description)}); err != nil {
		return c.srv.refusal(c.verb, err)
	}
	return nil
}

// newMessage makes the message of request n, with the frame that delivers it.
func (c *conn) newMessage(o *origin, n uint64, f *chatproto.Frame, target *user) (*message, *chatproto.Error) {
	m, frame := c.allocate(len(f.Description) + len(c.user.name)*2 + 80)
	m.id, m.at = chatproto.ID{Origin: o.id, N: n}, c.now.UnixMilli()
	m.from, m.origin, m.to = c.user, o, target
	m.came = c.now.Sub(c.srv.commit.start)
	if !o.drawn {
		m.after = o.bar
		if m.isCast() && (c.reader.Buffered() || c.srv.roster.count() > manyOnline) {
			m.after = n // it leaves once it is stored: with what follows, and not on this goroutine
		}
	}
	d, err := o.delivery(m)
	if err == nil {
		m.frame, err = d.Append(frame, n, uint64(m.at), f.Description)
	}
	if err != nil {
		return nil, &chatproto.Error{Code: chatproto.ReplyInternal, Err: err}
	}
	return m, nil
}

// delivery returns the encoder of what delivers m. The caller holds o.mu.
func (o *origin) delivery(m *message) (d *chatproto.Delivery, err error) {
	kept, verb := &o.mesg, chatproto.MESG
	if m.isCast() {
		kept, verb = &o.bcst, chatproto.BCST
	}
	if *kept == nil {
		*kept, err = chatproto.NewDelivery(verb, o.user.name, o.id)
	}
	return *kept, err
}

// encodeMessage encodes the frame that delivers a message of the store.
func encodeMessage(m *message, text []byte) ([]byte, error) {
	verb := chatproto.MESG
	if m.isCast() {
		verb = chatproto.BCST
	}
	l := chatproto.Begin(make([]byte, 0, len(text)+len(m.from.name)*2+80), verb)
	l.Field("from", m.from.name)
	l.ID("id", m.id)
	l.Uint("t", uint64(m.at))
	return l.EndMessage(m.from.name, text)
}

// deliver puts m into the mailboxes of its audience. A broadcast goes to
// those who are online and have not blocked its sender, and skips mailboxes
// that are full.
func (c *conn) deliver(m *message, target *user) (skipped int, refused *chatproto.Error) {
	s := c.srv
	if target != nil {
		m.left.Store(1)
		_, refused = target.box.accept(m, c.by)
		if refused == chatproto.ErrBlocked && s.HideBlocks {
			m.to = s.shadow(target.name, c.user.name)
			_, refused = m.to.box.accept(m, c.by)
		}
		return 0, refused
	}
	m.seq = s.seq.Add(1)
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	m.cast = make([]*user, 0, len(s.roster.online))
	m.left.Store(1) // held until the audience is complete
	there := 0
	for _, sess := range s.roster.sorted {
		u := sess.user
		if u == c.user || u.blocks(c.user.name) {
			continue
		}
		m.left.Add(1)
		isThere, refused := u.box.accept(m, c.by)
		if refused != nil {
			m.left.Add(-1)
			skipped++
			continue
		}
		if isThere {
			there++
		}
		m.cast = append(m.cast, u)
	}
	m.few.Store(int32(len(m.cast) - there + there/fewOf))
	m.left.Add(-1)
	return skipped, nil
}
