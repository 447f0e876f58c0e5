package chatserver

import (
	"slices"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// loadRetry is how long a mailbox waits before it reads the store again after
// that failed.
const loadRetry = time.Second

// pageOut forgets the bodies that the store has, while nobody is there to
// take them. The caller holds mu.
func (b *mailbox) pageOut() {
	for i := b.head; i < len(b.queue); i++ {
		if m := b.queue[i].m; m != nil && m.inStore() {
			b.queue[i].m = nil
		}
	}
}

// inStore reports whether m can be read back: a broadcast is not, its body is
// one for all mailboxes.
func (m *message) inStore() bool {
	return !m.isCast() && m.settled.Load() == settledStored
}

// stored tells the mailbox that the store has m by now: unless it is about to
// leave, its body is forgotten.
func (b *mailbox) stored(m *message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ahead := 0
	if b.conn != nil {
		ahead = chatproto.V1.Limits.InFlight
	}
	if i := b.find(m.seq); i >= b.head+ahead && m.inStore() {
		b.queue[i].m = nil
	}
}

// find returns the place of the message with this seq, -1 if it is not there.
// The queue is in the order of seq but for broadcasts, which may have come a
// few places late.
func (b *mailbox) find(seq uint64) int {
	const few = 64
	i, _ := slices.BinarySearchFunc(b.queue[b.head:], seq, func(w waiting, seq uint64) int {
		if w.seq < seq {
			return -1
		}
		return 1
	})
	i += b.head
	for k := max(i-few, b.head); k < min(i+few, len(b.queue)); k++ {
		if b.queue[k].seq == seq {
			return k
		}
	}
	return -1
}

// load reads what leaves next back from the store, on a goroutine of its own.
// The caller holds mu; there is a connection, so the server waits for it.
func (b *mailbox) load() {
	if b.loading {
		return
	}
	b.loading = true
	limits := &chatproto.V1.Limits
	var seqs []uint64
	size := b.sentSize
	for i := b.head + b.sent; i < min(b.head+limits.InFlight, len(b.queue)) && size < limits.InFlightBytes; i++ {
		size += b.queue[i].size
		if b.queue[i].m == nil {
			seqs = append(seqs, b.queue[i].seq)
		}
	}
	b.srv.running.Go(func() {
		read, err := b.srv.Store.Messages(b.srv.ctx, seqs)
		if err != nil {
			b.srv.log.Error("reading mail failed", "user", b.user.name, "err", err, "retry", loadRetry)
			select {
			case <-time.After(loadRetry):
			case <-b.srv.ctx.Done():
			}
		}
		b.loaded(seqs, read)
	})
}

// loaded takes what was read in, drops what the store lost, and goes on
// delivering.
func (b *mailbox) loaded(seqs []uint64, read []*store.Message) {
	back := make([]*message, len(read))
	for i, sm := range read { // before mu is taken: it comes after the roster's
		if sm == nil {
			continue
		}
		m, err := b.srv.readBack(sm, b.user)
		if err != nil {
			b.srv.log.Error("a stored message cannot be encoded", "user", b.user.name, "seq", sm.Seq, "err", err)
			continue
		}
		back[i] = m
	}
	b.mu.Lock()
	b.loading = false
	for i, m := range back {
		at := b.find(seqs[i])
		switch {
		case at < 0 || b.queue[at].m != nil:
		case m != nil:
			b.queue[at].m = m
		default:
			b.srv.log.Error("a stored message cannot be delivered", "user", b.user.name, "seq", seqs[i])
			b.lose(at)
		}
	}
	c := b.conn
	b.pump(nil)
	b.mu.Unlock()
	if c != nil {
		c.flush()
	}
}

// lose takes a message that cannot be delivered out of the queue, so that it
// does not hold up the others. The caller holds mu.
func (b *mailbox) lose(at int) {
	b.size -= b.queue[at].size
	if b.bySender != nil {
		b.bySender[b.queue[at].from]--
	}
	b.queue = slices.Delete(b.queue, at, at+1)
}

// readBack makes a message of one that the store had: u's own copy, whatever
// its audience is.
func (s *Server) readBack(sm *store.Message, u *user) (*message, error) {
	s.roster.mu.Lock()
	from := s.add(sm.From)
	s.roster.mu.Unlock()
	m := &message{seq: sm.Seq, id: sm.ID, at: sm.Time, from: from, written: true}
	if !sm.Cast {
		m.to = u
	}
	m.settled.Store(settledStored)
	var err error
	m.frame, err = encodeMessage(m, sm.Text)
	return m, err
}
