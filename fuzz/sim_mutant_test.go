package fuzz

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/fuzz/sim"
)

// A mutant breaks one rule that the guarantee rests on. The simulation has to
// find that out, by one of kinds, within so many seeds. The rest of the
// Options keeps the runs short: a bug needs its fault, and not all others.
type mutant struct {
	name  string
	kinds []string
	seeds uint64
	sim.Options
}

type callback = func(context.Context, chatclient.Message) error

var mutants = []mutant{
	{"a store that acknowledges before it keeps", []string{"lost"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Crashes | sim.Cuts, Store: func(s store.Store) store.Store { return &early{Store: s} }}},
	{"a store that does not tell that it failed", []string{"lost"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Crashes | sim.Commits, Store: func(s store.Store) store.Store { return silent{s} }}},
	{"a store that forgets windows", []string{"lost", "order", "twice"}, 60, sim.Options{Length: 20 * time.Minute, Faults: sim.Crashes | sim.Refusals | sim.Cuts, Store: func(s store.Store) store.Store { return forgetful{s} }}},
	{"a store that writes windows before messages", []string{"lost"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Crashes | sim.Cuts, Store: func(s store.Store) store.Store { return torn{s} }}},
	{"a store that gives up what it cannot read at once", []string{"lost"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Reads | sim.Restarts | sim.Partitions, Store: func(s store.Store) store.Store { return hasty{s} }}},
	{"a store that reads mail back in the wrong order", []string{"lost", "order"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Crashes | sim.Restarts, Store: func(s store.Store) store.Store { return backward{s} }}},
	{"a store that does not keep blocks", []string{"blocked"}, 30, sim.Options{Length: 20 * time.Minute, Faults: sim.Blocks | sim.Crashes, Store: func(s store.Store) store.Store { return blockless{s} }}},
	{"a store that keeps what was acknowledged", []string{"leftover"}, 5, sim.Options{Store: func(s store.Store) store.Store { return hoarder{s} }}},
	{"a client that shows a message twice", []string{"twice"}, 5, sim.Options{Message: twice}},
	{"a client that swaps two messages of a sender", []string{"order"}, 5, sim.Options{Message: swapped}},
	{"a client that acknowledges what the application refused", []string{"lost"}, 10, sim.Options{Message: deaf}},
	{"a client that shows nothing when it was called", []string{"lost"}, 5, sim.Options{Length: time.Hour, Faults: sim.DialBack, Message: mute, Called: true}},
}

// TestSimulationFindsMutants shows that the simulation is able to fail.
func TestSimulationFindsMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for seed := uint64(1); seed <= m.seeds; seed++ {
				o := m.Options
				o.Seed = seed
				res := simulate(t, o)
				for _, p := range res.Problems {
					if slices.Contains(m.kinds, p.Kind) {
						t.Logf("found by seed %d: %v", seed, p)
						return
					}
				}
			}
			t.Errorf("not found by %d seeds", m.seeds)
		})
	}
}

// early answers a commit at once, and makes it with the next one.
type early struct {
	store.Store
	held atomic.Pointer[store.Batch]
}

func (s *early) Commit(ctx context.Context, b *store.Batch) error {
	if held := s.held.Load(); held != nil {
		if err := s.Store.Commit(ctx, held); err != nil {
			return err
		}
	}
	s.held.Store(b)
	return nil
}

// Messages finds what is not kept yet, too: only a crash shall show it.
func (s *early) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	out, err := s.Store.Messages(ctx, seqs)
	for i, m := range out {
		if held := s.held.Load(); m == nil && held != nil {
			if k := slices.IndexFunc(held.Messages, func(h *store.Message) bool { return h.Seq == seqs[i] }); k >= 0 {
				out[i] = held.Messages[k]
			}
		}
	}
	return out, err
}

type silent struct{ store.Store }

func (s silent) Commit(ctx context.Context, b *store.Batch) error {
	s.Store.Commit(ctx, b)
	return nil
}

type forgetful struct{ store.Store }

func (s forgetful) Commit(ctx context.Context, b *store.Batch) error {
	c := *b
	c.Origins = slices.Clone(b.Origins)
	for i := range c.Origins {
		c.Origins[i].Window = chatproto.Window{}
	}
	return s.Store.Commit(ctx, &c)
}

type torn struct{ store.Store }

func (s torn) Commit(ctx context.Context, b *store.Batch) error {
	if len(b.Messages) == 0 {
		return s.Store.Commit(ctx, b)
	}
	if err := s.Store.Commit(ctx, &store.Batch{Origins: b.Origins}); err != nil {
		return err
	}
	c := *b
	c.Origins = nil
	return s.Store.Commit(ctx, &c)
}

type hasty struct{ store.Store }

func (s hasty) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	out, err := s.Store.Messages(ctx, seqs)
	if err != nil && !errors.Is(err, context.Canceled) {
		return make([]*store.Message, len(seqs)), nil
	}
	return out, err
}

type backward struct{ store.Store }

func (s backward) Load(ctx context.Context, waiting func(*store.Message) error) (*store.State, error) {
	var all []store.Message
	st, err := s.Store.Load(ctx, func(m *store.Message) error {
		all = append(all, *m)
		return nil
	})
	for i := range all {
		if k := i ^ 1; err == nil && k < len(all) { // in pairs, the second first
			err = waiting(&all[k])
		} else if err == nil {
			err = waiting(&all[i])
		}
	}
	return st, err
}

type blockless struct{ store.Store }

func (s blockless) Commit(ctx context.Context, b *store.Batch) error {
	c := *b
	c.Blocks = nil
	return s.Store.Commit(ctx, &c)
}

type hoarder struct{ store.Store }

func (s hoarder) Commit(ctx context.Context, b *store.Batch) error {
	c := *b
	c.Acks = nil
	return s.Store.Commit(ctx, &c)
}

// twice shows every tenth message a second time.
func twice(next callback) callback {
	n := 0
	return func(ctx context.Context, m chatclient.Message) error {
		err := next(ctx, m)
		if n++; err == nil && n%10 == 0 {
			return next(ctx, m)
		}
		return err
	}
}

// swapped keeps every tenth message back until another one came.
func swapped(next callback) callback {
	n := 0
	var kept *chatclient.Message
	return func(ctx context.Context, m chatclient.Message) error {
		if n++; n%10 == 0 {
			kept = &m
			return nil
		}
		err := next(ctx, m)
		if err == nil && kept != nil {
			again := *kept
			kept = nil
			return next(ctx, again)
		}
		return err
	}
}

// mute acknowledges, and shows nothing.
func mute(callback) callback { return func(context.Context, chatclient.Message) error { return nil } }

func deaf(next callback) callback {
	return func(ctx context.Context, m chatclient.Message) error {
		next(ctx, m)
		return nil
	}
}
