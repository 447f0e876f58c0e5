package chatserver

import (
	"cmp"
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
	if i := b.find(m.place); i >= b.head+ahead && m.inStore() {
		b.queue[i].m = nil
	}
}

// find returns where the message of this place stands in the queue, -1 if it
// is gone. The caller holds mu.
func (b *mailbox) find(place uint64) int {
	i, ok := slices.BinarySearchFunc(b.queue[b.head:], place, func(w waiting, place uint64) int {
		return cmp.Compare(w.place, place)
	})
	if !ok {
		return -1
	}
	return b.head + i
}

// load reads what leaves next back from the store, on a goroutine of its own.
// The caller holds mu; there is a connection, so the server waits for it.
func (b *mailbox) load() {
	if b.loading {
		return
	}
	b.loading = true
	limits := &chatproto.V1.Limits
	var seqs, places []uint64
	size := b.sentSize
	for i := b.head + b.sent; i < min(b.head+limits.InFlight, len(b.queue)) && size < limits.InFlightBytes; i++ {
		size += b.queue[i].size
		if b.queue[i].m == nil {
			seqs = append(seqs, b.queue[i].seq)
			places = append(places, b.queue[i].place)
		}
	}
	b.srv.running.Go(func() {
		for {
			read, err := b.srv.Store.Messages(b.srv.ctx, seqs)
			if err == nil {
				b.srv.counters.readBack.Add(uint64(len(read)))
				b.loaded(places, read)
				return
			}
			b.srv.log.Error("reading mail failed", "user", b.user.name, "err", err, "retry", loadRetry)
			select {
			case <-time.After(loadRetry):
			case <-b.srv.ctx.Done():
				return // the server ends, and the connection with it
			}
		}
	})
}

// loaded takes what was read in, drops what the store lost, and goes on
// delivering.
func (b *mailbox) loaded(places []uint64, read []*store.Message) {
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
		at := b.find(places[i])
		switch {
		case at < 0 || b.queue[at].m != nil:
		case m != nil:
			w := &b.queue[at]
			b.size += len(m.frame) - w.size
			b.count(*w, -1) // at what it was taken to be
			w.m, w.size = m, len(m.frame)
			b.count(*w, 1)
		default:
			b.srv.log.Error("a stored message cannot be delivered", "user", b.user.name, "seq", b.queue[at].seq)
			b.lose(at)
		}
	}
	c := b.conn
	if c == nil {
		b.pageOut() // who it was read for has left meanwhile
	}
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
	b.count(b.queue[at], -1)
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
