package chatserver

import (
	"slices"
	"sync"

	"github.com/parleyproto/parley/chatproto"
)

// A mailbox holds, first in, first out, what was accepted for one user and
// not acknowledged by him yet. The front of it may be in flight on the user's
// connection; nothing overtakes anything. Of what the store holds and is not
// about to leave it keeps the place only (page.go).
type mailbox struct {
	srv  *Server
	user *user

	mu       sync.Mutex
	queue    []waiting // queue[head:] waits; the first sent of it are in flight
	head     int
	sent     int // in flight on conn
	sentSize int
	size     int             // octets of all that waits
	places   uint64          // given out so far
	bySender map[*user]share // how much waits of whom; kept only while somebody could exceed his quarter
	conn     *conn           // what delivers; nil while nobody is there
	stalled  bool            // waits until an origin's next message may leave (release.go)
	loading  bool            // waits for the store to be read
}

// A waiting message is one place in a mailbox.
type waiting struct {
	m     *message // nil while only the store has it
	from  *user
	seq   uint64
	place uint64 // ascends in the queue, as seq does not: broadcasts come late
	size  int    // octets on the wire
}

// A share is how much waits of one sender.
type share struct{ n, size int }

func (b *mailbox) len() int { return len(b.queue) - b.head }

// accept takes m in, or refuses it: the sender is blocked, or the mailbox or
// the sender's share of it is full. It assigns the place of a message to one
// user in the order of arrival, and delivers it if it may leave. It reports
// whether the user is there.
func (b *mailbox) accept(m *message, by *sweep) (there bool, refused *chatproto.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.user.blocks(m.from.name) {
		return false, chatproto.ErrBlocked
	}
	if b.full(m) {
		return false, chatproto.ErrMailboxFull
	}
	if m.seq == 0 {
		m.seq = b.srv.seq.Add(1)
	}
	place := b.add(waiting{m: m, from: m.from, seq: m.seq, size: len(m.frame)})
	if !m.isCast() {
		m.place = place
	}
	b.pump(by)
	if b.conn == nil && b.srv.DialBack {
		by.call(b.user)
	}
	return b.conn != nil, nil
}

// full reports whether m exceeds the mailbox's quota or its sender's quarter
// of it.
func (b *mailbox) full(m *message) bool {
	n, size := b.len(), b.size+len(m.frame)
	if n >= b.srv.MailboxMessages || size > b.srv.MailboxBytes {
		return true
	}
	most := share{max(b.srv.MailboxMessages/4, 1), b.srv.MailboxBytes / 4}
	if n < most.n && size <= most.size {
		b.bySender = nil
		return false
	}
	if b.bySender == nil {
		b.bySender = make(map[*user]share)
		for _, w := range b.queue[b.head:] {
			b.count(w, 1)
		}
	}
	has := b.bySender[m.from]
	return has.n >= most.n || has.size+len(m.frame) > most.size
}

// count keeps what waits, of all and of each sender: w came (1) or went (-1).
func (b *mailbox) count(w waiting, by int) {
	if b.bySender != nil {
		has := b.bySender[w.from]
		b.bySender[w.from] = share{has.n + by, has.size + by*w.size}
	}
}

// add appends a message. The caller holds mu, or is the only one to know the server.
func (b *mailbox) add(w waiting) (place uint64) {
	if b.head > 0 && len(b.queue) == cap(b.queue) {
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	b.places++
	w.place = b.places
	b.queue = append(b.queue, w)
	b.size += w.size
	b.count(w, 1)
	return w.place
}

// pump puts what may leave into the outbound buffer of the connection, within
// the limits of what may be in flight. by, if it is not nil, will flush it. The
// caller holds mu.
func (b *mailbox) pump(by *sweep) {
	c := b.conn
	if c == nil {
		return
	}
	limits := &chatproto.V1.Limits
	for b.head+b.sent < len(b.queue) && b.sent < limits.InFlight {
		next := &b.queue[b.head+b.sent]
		m := next.m
		if b.sent > 0 && b.sentSize+next.size > limits.InFlightBytes {
			return
		}
		if m == nil {
			b.load()
			return
		}
		if o := m.origin; o != nil && o.holds(m) && b.stall(o, m) {
			return
		}
		if !c.push(m.frame, by) {
			return
		}
		b.sent++
		b.sentSize += next.size
	}
}

// attach makes c the connection that delivers, from the front of the queue
// on. greet is called before the first delivery with the number of messages
// that wait. What the one before, if it does not acknowledge, has begun to
// write is delivered, and returned.
func (b *mailbox) attach(c *conn, greet func(waiting int)) (written []*message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.conn; old != nil && !old.acks {
		written = b.take(b.sent-old.recall(), nil)
	}
	b.conn, b.sent, b.sentSize = c, 0, 0
	b.stalled = false // what was in flight comes first, and may wait for another origin, or for less
	greet(b.len())
	b.pump(nil)
	return written
}

// detach takes c off; what was in flight on it will be delivered again.
func (b *mailbox) detach(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == c {
		b.conn, b.sent, b.sentSize = nil, 0, 0
		b.pageOut()
	}
}

// acknowledge removes the first n messages in flight on c and appends them to
// buf. It reports false if there are not as many. If c no longer delivers,
// nothing is applied.
func (b *mailbox) acknowledge(c *conn, n int, buf []*message, by *sweep) (acked []*message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != c {
		return buf, true
	}
	if n > b.sent {
		return buf, false
	}
	buf = b.take(n, buf)
	b.pump(by)
	return buf, true
}

// take removes the first n messages in flight and appends them to buf. The
// caller holds mu.
func (b *mailbox) take(n int, buf []*message) []*message {
	for i := b.head; i < b.head+n; i++ {
		w := b.queue[i]
		b.queue[i] = waiting{}
		b.size -= w.size
		b.sentSize -= w.size
		b.count(w, -1)
		buf = append(buf, w.m)
	}
	b.head += n
	b.sent -= n
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
		if cap(b.queue) > 1024 {
			b.queue = nil
		}
	}
	return buf
}

// ackd applies ACKD: count is how many deliveries of this connection were
// taken in all.
func (c *conn) ackd(f *chatproto.Frame) {
	count, ok := f.Uint("count")
	if !c.acks {
		c.goodbye("protocol", "ACKD needs acks=1 in HELO")
		return
	}
	taken := uint64(c.taken)
	if !ok || count < taken || count-taken > uint64(chatproto.V1.Limits.InFlight) ||
		!c.acknowledged(c.user, int(count-taken), c.by) {
		c.goodbye("protocol", "ACKD counts what was not delivered")
		return
	}
	c.taken = int(count)
}

// acknowledged applies n acknowledgements of u on this connection.
func (c *conn) acknowledged(u *user, n int, by *sweep) bool {
	acked, ok := u.box.acknowledge(c, n, by.acked[:0], by)
	if !ok {
		return false
	}
	c.srv.delivered(acked, u, !c.acks, by)
	var told []*message
	if c.srv.Hooks.OnDelivered != nil {
		told = slices.Clone(acked)
	}
	clear(acked)
	by.acked = acked[:0]
	if len(told) > 0 {
		by.flush()
		if c.acks { // it is c's own goroutine
			c.stepAside()
		}
		c.srv.tellDelivered(told, u)
	}
	return true
}

// delivered notes that u has taken messages, and answers whoever waits for
// that. each is as in committer.acknowledged.
func (s *Server) delivered(acked []*message, u *user, each bool, by *sweep) {
	s.commit.acknowledged(acked, u, each)
	s.counters.delivered.Add(uint64(len(acked)))
	var last *origin
	for _, m := range acked {
		if m.origin != nil && !m.isCast() && m.settle(settledDelivered) && m.origin != last {
			if last != nil {
				last.advance(by)
			}
			last = m.origin
		}
	}
	if last != nil {
		last.advance(by)
	}
}

// tellDelivered tells the application that u has taken messages.
func (s *Server) tellDelivered(acked []*message, u *user) {
	if hook := s.Hooks.OnDelivered; hook != nil {
		for _, m := range acked {
			hook(s.ctx, Delivered{m.id, m.from.name, u.name})
		}
	}
}

// advance sends the answers that o's client waits for and that are due.
func (o *origin) advance(by *sweep) {
	if c := o.conn.Load(); c != nil && c.advanceReplies() {
		by.touch(c)
	}
}
