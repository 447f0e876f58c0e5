package chatserver

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatserver/store"
)

// compactFrom is the number of messages in the open batch from which on those
// that were acknowledged meanwhile are dropped before the cut.
const compactFrom = 512

// tellEvery is how often the log is told that storing still fails.
const tellEvery = time.Minute

// graceTime is how long a commit may still take when the server was told to
// end at once.
const graceTime = 5 * time.Second

// A body for somebody who is there may wait for its batch three times as long
// as acknowledgements take at present, within these bounds, so that live chat
// is acknowledged before it and never reaches the disk, also when the server
// is busy. When they take longer than slowAcks there is no use in waiting.
const (
	minGather = 5 * time.Millisecond
	maxGather = 100 * time.Millisecond
	slowAcks  = 50 * time.Millisecond
)

// A committer gathers what is to be stored, drops what was acknowledged
// meanwhile, and commits one batch after the other (SPEC section 6).
type committer struct {
	srv   *Server
	start time.Time
	wake  chan struct{} // capacity 1
	gone  chan struct{} // closed when run has ended

	stopping chan struct{}  // closed by stop
	releases sync.WaitGroup // goroutines of origin.release

	failing atomic.Bool // the last commit failed: nothing more is accepted

	mu      sync.Mutex
	acks    time.Duration // how long messages wait for their acknowledgement, a moving average
	open    batch
	compact int           // the length of open.messages at which to compact it
	urgent  bool          // cut at once
	oldest  time.Duration // after start: what came first that is no message
	stopped bool
	err     error // of the last commit; nil if it succeeded
}

func newCommitter(s *Server) *committer {
	return &committer{srv: s, start: time.Now(), wake: make(chan struct{}, 1), gone: make(chan struct{}), stopping: make(chan struct{}), compact: compactFrom}
}

// add takes an accepted message in, with the window that its number was
// decided in. It is cut at once when nobody could acknowledge it before: a
// broadcast, which waits for the store anyway, mail to somebody who is not
// there, and a message that may not leave before the window is stored. The
// caller holds o.mu, so that the window is that of this message. by, when it
// is flushed, wakes the committer: what one read brought goes into one batch.
func (k *committer) add(m *message, o *origin, by *sweep) {
	o.batched.Add(1)
	urgent := m.isCast() || m.after > o.stored.Load() || !m.to.attached()
	k.mu.Lock()
	m.urgent = urgent
	first := len(k.open.messages) == 0
	if len(k.open.messages) >= k.compact {
		k.dropAcknowledged()
	}
	k.open.messages = append(k.open.messages, m)
	o.inBatch = o.win
	k.urgent = k.urgent || urgent
	k.mu.Unlock()
	if first || urgent {
		by.commit = k
	}
}

// dropAcknowledged drops bodies that need not be written any more, so that
// live chat leaves nothing behind however long a commit takes. The caller
// holds mu.
func (k *committer) dropAcknowledged() {
	kept := k.open.messages[:0]
	for _, m := range k.open.messages {
		if m.isCast() || m.left.Load() > 0 {
			kept = append(kept, m)
		} else {
			k.spare(m)
		}
	}
	clear(k.open.messages[len(kept):])
	k.open.messages = kept
	k.compact = max(compactFrom, 2*len(kept))
}

func (u *user) attached() bool {
	u.box.mu.Lock()
	defer u.box.mu.Unlock()
	return u.box.conn != nil
}

// write adds rows of other kinds and calls done when they are stored; done
// may be nil.
func (k *committer) write(add func(*store.Batch), done func()) {
	k.mu.Lock()
	add(&k.open.rest)
	if done != nil {
		k.open.done = append(k.open.done, done)
	}
	k.urgent = true
	k.mu.Unlock()
	k.signal()
}

// later is write for what nobody waits for: it goes with the next batch, and
// has none cut early.
func (k *committer) later(add func(*store.Batch), done func()) {
	k.mu.Lock()
	if !k.open.others() {
		k.oldest = time.Since(k.start)
	}
	add(&k.open.rest)
	k.open.done = append(k.open.done, done)
	k.mu.Unlock()
	k.signal()
}

// wait is write, and waits. It reports false if ctx ended before.
func (k *committer) wait(ctx context.Context, add func(*store.Batch)) bool {
	stored := make(chan struct{})
	k.write(add, func() { close(stored) })
	select {
	case <-stored:
		return true
	case <-ctx.Done():
		return false
	}
}

// acknowledged takes in that u acknowledged messages. What was not cut yet is
// dropped from its batch by left, the count of mailboxes; what was is deleted
// when the last mailbox has acknowledged it. That of a broadcast some have
// acknowledged need not be remembered: told again after a crash, they drop it
// (each is false). For whoever cannot drop it, it is.
func (k *committer) acknowledged(acked []*message, u *user, each bool) {
	k.mu.Lock()
	if len(acked) > 0 && acked[0].origin != nil && !acked[0].isCast() { // those never wait for it
		took := time.Since(k.start) - acked[0].came
		k.acks += (min(took, 2*slowAcks) - k.acks) / 8
	}
	others, before := k.open.others(), len(k.open.acks)
	for _, m := range acked {
		left := m.left.Add(-1)
		last := left == 0
		if m.isCast() && m.origin != nil && left == m.few.Load() {
			m.origin.mostHave(m.id.N)
		}
		switch {
		case m.origin == nil:
			k.open.acks = append(k.open.acks, store.Ack{Seq: m.seq, User: u.name})
		case last && m.written:
			k.open.acks = append(k.open.acks, store.Ack{Seq: m.seq})
		case each && m.written:
			k.open.acks = append(k.open.acks, store.Ack{Seq: m.seq, User: u.name})
		case each && m.isCast():
			m.early = append(m.early, u)
		}
	}
	wake := !others && len(k.open.acks) > before
	if wake {
		k.oldest = time.Since(k.start)
	}
	k.mu.Unlock()
	if wake {
		k.signal()
	}
}

// gather is how long a batch waits for acknowledgements. The caller holds mu.
func (k *committer) gather() time.Duration {
	if k.acks > slowAcks {
		return minGather
	}
	return min(max(3*k.acks, minGather), maxGather)
}

// due is when the open batch is to be cut, if nothing in it is urgent. The
// caller holds mu, and the batch is not empty.
func (k *committer) due() time.Duration {
	first := time.Duration(math.MaxInt64)
	if k.open.others() {
		first = k.oldest
	}
	if len(k.open.messages) > 0 {
		first = min(first, k.open.messages[0].came)
	}
	if first == math.MaxInt64 {
		return 0
	}
	return first + k.gather()
}

func (k *committer) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run commits until stop.
func (k *committer) run(ctx context.Context) {
	defer close(k.gone)
	defer k.releases.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		k.mu.Lock()
		wait := time.Hour
		switch {
		case k.open.empty():
			if k.stopped {
				k.mu.Unlock()
				return
			}
		case k.urgent || k.stopped:
			wait = 0
		default:
			wait = max(k.due()-time.Since(k.start), 0)
		}
		k.mu.Unlock()
		if wait == 0 {
			if !k.commit(ctx) {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// commit cuts the open batch and writes it, again and again if need be. It
// reports false if it gave up because the server ends.
func (k *committer) commit(ctx context.Context) bool {
	var told time.Time // when the log was last told that it fails
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		cut, rows := k.cut()
		if cut == nil {
			return true
		}
		err := error(nil)
		if !rows.Empty() {
			err = k.srv.Store.Commit(ctx, rows)
		}
		if !k.outcome(err) && err != nil {
			k.putBack(cut)
			return false
		}
		if err == nil {
			if !rows.Empty() {
				k.srv.counters.commits.Add(1)
				k.srv.counters.stored.Add(uint64(len(rows.Messages)))
			}
			if !told.IsZero() {
				k.srv.log.Warn("storing works again", "messages", len(rows.Messages))
			}
			k.committed(cut, rows)
			return true
		}
		k.srv.counters.failed.Add(1)
		if time.Since(told) > tellEvery {
			told = time.Now()
			k.srv.log.Error("storing failed: no message is accepted until it works again", "err", err, "waiting", len(rows.Messages))
		}
		k.putBack(cut)
		select {
		case <-time.After(delay):
		case <-k.stopping:
		}
	}
}

// outcome notes how a commit ended, and reports whether to try again if it
// failed.
func (k *committer) outcome(err error) (again bool) {
	k.failing.Store(err != nil)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	return !k.stopped
}

// committed answers what waited for the batch.
func (k *committer) committed(cut *batch, rows *store.Batch) {
	for _, w := range cut.windows {
		w.o.windowStored(w.win.High)
	}
	for _, m := range cut.messages {
		m.settle(settledStored)
		m.origin.batched.Add(-1)
		if m.isCast() {
			m.cast, m.early = nil, nil // of use for its record only, and there may be many of both
		} else {
			m.to.box.stored(m)
		}
	}
	var last *origin
	for _, m := range cut.messages {
		if o := m.origin; o != last {
			last = o
			if c := o.conn.Load(); c != nil && c.advanceReplies() {
				c.flush()
			}
		}
	}
	for _, done := range cut.done {
		done()
	}
}

// stop ends run when everything is committed, or cannot be. It waits for it,
// but not longer than for graceTime after cut is closed, and reports whether
// run has ended.
func (k *committer) stop(cut <-chan struct{}) bool {
	k.mu.Lock()
	k.stopped = true
	k.mu.Unlock()
	close(k.stopping)
	k.signal()
	select {
	case <-k.gone:
		return true
	case <-cut:
	}
	select {
	case <-k.gone:
		return true
	case <-time.After(graceTime):
		return false
	}
}

// failure returns why the last commit failed, nil if it did not.
func (k *committer) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}
