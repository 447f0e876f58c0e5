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

// maxPause bounds for how long a broadcast that could leave waits for others.
const maxPause = 100 * time.Millisecond

// holds reports whether m may not leave yet: o's window is not stored up to
// what m follows; or m is a broadcast, and those before it are on their way to
// many, or were until a moment ago.
//
// What is written to a client costs much the same for one message as for
// twenty. So what comes while broadcasts go out to many, and for as long again
// but not more than maxPause, goes out in one piece.
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
	o.waiting = append(o.waiting, b)
	o.next = max(o.next, m.id.N)
	o.again = o.again || o.stored.Load() >= m.after
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
	release(mail)
	o.release()
}

// release has the mailboxes that wait with a broadcast of o deliver what they
// may. If they are many the caller does not wait for that.
func (o *origin) release() {
	o.waitMu.Lock()
	if o.chunks > 0 {
		o.again = true
		o.waitMu.Unlock()
		return
	}
	boxes := o.waiting
	o.waiting = nil
	if len(boxes) >= releasedTogether {
		o.chunks = (len(boxes) + releasedTogether - 1) / releasedTogether
		o.began = time.Now()
		o.leaving.Store(max(o.stored.Load(), o.next))
	}
	o.waitMu.Unlock()
	if len(boxes) < releasedTogether {
		release(boxes)
		return
	}
	for chunk := range slices.Chunk(boxes, releasedTogether) {
		o.user.box.srv.commit.releases.Go(func() {
			release(chunk)
			o.released()
		})
	}
}

// released notes that a chunk of the mailboxes has delivered. The last one
// makes the pause, and has those deliver that wait since.
func (o *origin) released() {
	o.waitMu.Lock()
	last, took := o.chunks == 1, time.Since(o.began)
	if !last {
		o.chunks--
	}
	o.waitMu.Unlock()
	if !last {
		return
	}
	o.user.box.srv.commit.pause(min(took, maxPause))
	o.waitMu.Lock()
	o.chunks = 0
	o.leaving.Store(0)
	again := o.again
	o.again = false
	o.waitMu.Unlock()
	if again {
		o.release()
	}
}

// pause waits for so long, or until the server stops.
func (k *committer) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-k.stopping:
	}
}

// release has mailboxes deliver what they held back.
func release(boxes []*mailbox) {
	for _, b := range boxes {
		b.mu.Lock()
		b.stalled = false
		c := b.conn
		b.pump(nil)
		b.mu.Unlock()
		if c != nil {
			c.flush()
		}
	}
}
