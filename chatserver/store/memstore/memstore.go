// Package memstore keeps a server's state in memory: for tests, and for
// servers that may forget everything when they end. What was committed
// outlives the server in the Store value, so a second server on the same
// Store finds what the first one left.
package memstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/parleyproto/parley/chatserver/store"
)

// A Store is a [store.Store] in memory. The zero value is empty and ready.
type Store struct {
	mu       sync.Mutex
	closed   bool
	lastSeq  uint64
	messages map[uint64]*store.Message
	origins  map[originKey]store.Origin
	blocks   map[store.Block]bool
	sessions map[string]store.Session // by user
	accounts map[string]store.Account // by user
	attempts map[attemptKey]store.Attempt
	secret   []byte
}

type originKey struct {
	user   string
	origin uint64
}

type attemptKey struct{ user, source string }

var errClosed = errors.New("memstore: the store is closed")

// New returns an empty store.
func New() *Store { return new(Store) }

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, waiting func(*store.Message) error) (*store.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	for _, seq := range slices.Sorted(maps.Keys(s.messages)) {
		if err := waiting(clone(s.messages[seq])); err != nil {
			return nil, err
		}
	}
	st := &store.State{LastSeq: s.lastSeq}
	for _, o := range s.origins {
		st.Origins = append(st.Origins, o)
	}
	st.Blocks = slices.Collect(maps.Keys(s.blocks))
	st.Sessions = slices.Collect(maps.Values(s.sessions))
	st.Accounts = slices.Collect(maps.Values(s.accounts))
	st.Attempts = slices.Collect(maps.Values(s.attempts))
	st.Secret = slices.Clone(s.secret)
	return st, nil
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, b *store.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.messages == nil {
		s.messages = make(map[uint64]*store.Message)
		s.origins = make(map[originKey]store.Origin)
		s.blocks = make(map[store.Block]bool)
		s.sessions = make(map[string]store.Session)
		s.accounts = make(map[string]store.Account)
		s.attempts = make(map[attemptKey]store.Attempt)
	}
	for _, m := range b.Messages {
		s.lastSeq = max(s.lastSeq, m.Seq)
		delete(s.messages, m.Seq)
		if len(m.Audience) > 0 {
			s.messages[m.Seq] = clone(m)
		}
	}
	for _, a := range b.Acks {
		s.ack(a)
	}
	s.setRecords(b)
	return nil
}

func (s *Store) setRecords(b *store.Batch) {
	for _, o := range b.Origins {
		if key := (originKey{o.User, o.Origin}); o.Forget {
			delete(s.origins, key)
		} else {
			s.origins[key] = o
		}
	}
	for _, k := range b.Blocks {
		off := k.Off
		if k.Off = false; off {
			delete(s.blocks, k)
		} else {
			s.blocks[k] = true
		}
	}
	for _, k := range b.Sessions {
		if !k.Ended {
			s.sessions[k.User] = k
		} else if s.sessions[k.User].Origin == k.Origin {
			delete(s.sessions, k.User)
		}
	}
	for _, a := range b.Accounts {
		if a.Removed {
			delete(s.accounts, a.User)
		} else {
			s.accounts[a.User] = a
		}
	}
	for _, a := range b.Attempts {
		if key := (attemptKey{a.User, a.Source}); a.Forget {
			delete(s.attempts, key)
		} else {
			s.attempts[key] = a
		}
	}
	if len(b.Secret) > 0 {
		s.secret = slices.Clone(b.Secret)
	}
}

func (s *Store) ack(a store.Ack) {
	m := s.messages[a.Seq]
	if m == nil {
		return
	}
	if i := slices.Index(m.Audience, a.User); i >= 0 {
		m.Audience = slices.Delete(m.Audience, i, i+1)
	}
	if a.User == "" || len(m.Audience) == 0 {
		delete(s.messages, a.Seq)
	}
}

// Messages implements [store.Store].
func (s *Store) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	out := make([]*store.Message, len(seqs))
	for i, seq := range seqs {
		if m := s.messages[seq]; m != nil {
			out[i] = clone(m)
		}
	}
	return out, nil
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func clone(m *store.Message) *store.Message {
	c := *m
	c.Text, c.Size = slices.Clone(m.Text), len(m.Text)
	c.Audience = slices.Clone(m.Audience)
	return &c
}
