package chatserver

import (
	"slices"
	"time"
)

// releasedTogether is how many mailboxes one goroutine has deliver what they
// held back.
const releasedTogether = 128

// manyOnline is how many others may have to wait while a broadcast goes out to
// all of them, which takes as long as a commit or longer.
const manyOnline = 512

// maxHeld is how many messages wait in a mailbox, at most, for one that could
// leave to leave with others. So nobody's share of a mailbox fills with them.
const maxHeld = 64

// A broadcast that could leave waits for the acknowledgements of those before,
// but not longer than pauseTimes as long as it took to write those, within
// these bounds.
const (
	pauseTimes = 8
	minPause   = 10 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// When all but one in fewOf of those who are there have acknowledged a
// broadcast, most have it.
const fewOf = 16

// holds reports whether m may not leave yet: o's window is not stored up to
// what m follows; or m is a broadcast, and those before it are on their way to
// many, who have not acknowledged them yet.
//
// What is written to a client costs much the same for one message as for
// twenty, and so does what he acknowledges. So what comes while broadcasts go
// out to many goes out in one piece when most have acknowledged those, or after
// a pause.
func (o *origin) holds(m *message) bool {
	if o.stored.Load() < m.after {
		return true
	}
	last := o.leaving.Load()
	return last != 0 && m.id.N > last && m.isCast()
}

// stall makes b wait until m, which is o's, may leave. It reports false if it
// may by now. The caller holds mu.
func (b *mailbox) stall(o *origin, m *message) bool {
	if !b.mayHold() && o.stored.Load() >= m.after {
		return false
	}
	if b.stalled {
		return true
	}
	o.waitMu.Lock()
	defer o.waitMu.Unlock()
	if !o.holds(m) {
		return false
	}
	b.stalled = true
	if !m.isCast() {
		o.mail = append(o.mail, b)
		return true
	}
	if len(o.waiting) == 0 || m.after < o.need {
		o.need = m.after
	}
	o.waiting = append(o.waiting, b)
	o.next = max(o.next, m.id.N)
	return true
}

// mayHold reports whether b has room for messages that could leave.
func (b *mailbox) mayHold() bool {
	return b.len() < min(maxHeld, b.srv.MailboxMessages/8) && b.size < b.srv.MailboxBytes/8
}

// windowStored tells the mailboxes that wait for o that its window is stored
// up to high.
func (o *origin) windowStored(high uint64) {
	o.waitMu.Lock()
	if high > o.stored.Load() {
		o.stored.Store(high)
	}
	mail := o.mail
	o.mail = nil
	o.waitMu.Unlock()
	o.deliver(mail)
	o.release()
}

// release has the mailboxes that wait with a broadcast of o deliver what they
// may, unless none may, or the pause is still to come, which ends with it. If
// they are many the caller does not wait for that.
func (o *origin) release() {
	o.waitMu.Lock()
	if o.chunks > 0 || o.stored.Load() < o.need {
		o.waitMu.Unlock()
		return
	}
	boxes := o.waiting
	o.waiting = nil
	if len(boxes) >= releasedTogether {
		o.chunks = (len(boxes) + releasedTogether - 1) / releasedTogether
		o.leaving.Store(max(o.stored.Load(), o.next))
		o.began = time.Now()
	}
	o.waitMu.Unlock()
	if len(boxes) < releasedTogether {
		o.deliver(boxes)
		return
	}
	for chunk := range slices.Chunk(boxes, releasedTogether) {
		o.user.box.srv.commit.releases.Go(func() {
			o.released(o.deliver(chunk))
		})
	}
}

// released notes that a chunk of the mailboxes has delivered, up to number n.
// The last one makes the pause, and has those deliver that wait since.
func (o *origin) released(n uint64) {
	o.waitMu.Lock()
	o.sent = max(o.sent, n)
	if o.chunks > 1 {
		o.chunks--
		o.waitMu.Unlock()
		return
	}
	took, arrived := time.Since(o.began), make(chan struct{})
	if o.arrived < o.sent {
		o.resume = arrived
	} else {
		close(arrived)
	}
	o.waitMu.Unlock()
	o.user.box.srv.commit.pause(min(max(pauseTimes*took, minPause), maxPause), arrived)
	o.waitMu.Lock()
	o.resume = nil
	o.chunks = 0
	o.leaving.Store(0)
	o.waitMu.Unlock()
	o.release()
}

// mostHave notes that most of those to whom broadcast n went have acknowledged
// it.
func (o *origin) mostHave(n uint64) {
	o.waitMu.Lock()
	defer o.waitMu.Unlock()
	o.arrived = max(o.arrived, n)
	if o.resume != nil && o.arrived >= o.sent {
		close(o.resume)
		o.resume = nil
	}
}

// pause waits until most have what was sent, but not longer than for d, or
// until the server stops.
func (k *committer) pause(d time.Duration, arrived <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-arrived:
	case <-k.stopping:
	}
}

// deliver has mailboxes deliver what they held back. It returns the number of
// o's last broadcast in flight among those that are leaving, 0 if there is none.
func (o *origin) deliver(boxes []*mailbox) (last uint64) {
	for _, b := range boxes {
		b.mu.Lock()
		b.stalled = false
		c := b.conn
		b.pump(nil)
		last = max(last, b.lastSent(o))
		b.mu.Unlock()
		if c != nil {
			c.flush()
		}
	}
	return last
}

// lastSent returns that of one mailbox, which may be further than others: it
// cannot hold back more. The caller holds mu.
func (b *mailbox) lastSent(o *origin) uint64 {
	leaving := o.leaving.Load()
	if leaving == 0 { // nobody asks, and many may be in flight
		return 0
	}
	for _, w := range slices.Backward(b.queue[b.head:][:b.sent]) {
		if m := w.m; m != nil && m.origin == o && m.isCast() && m.id.N <= leaving {
			return m.id.N
		}
	}
	return 0
}
