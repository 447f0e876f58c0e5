package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parleyproto/parley/chatserver/store"
)

// A Model is the plainest store that keeps the contract: what another store
// holds after the same batches. It is for tests.
type Model struct {
	messages []*store.Message // by Seq
	state    store.State
}

func cmpPair[A, B cmp.Ordered](a1, a2 A, b1, b2 B) int {
	return cmp.Or(cmp.Compare(a1, a2), cmp.Compare(b1, b2))
}

// Apply writes a batch.
func (m *Model) Apply(b *store.Batch) {
	for _, msg := range b.Messages {
		m.state.LastSeq = max(m.state.LastSeq, msg.Seq)
		m.drop(msg.Seq)
		if len(msg.Audience) > 0 {
			c := *msg
			c.Size, c.Text, c.Audience = len(msg.Text), slices.Clone(msg.Text), slices.Clone(msg.Audience)
			m.messages = append(m.messages, &c)
		}
	}
	slices.SortFunc(m.messages, func(a, b *store.Message) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, a := range b.Acks {
		if msg := m.message(a.Seq); msg != nil {
			msg.Audience = slices.DeleteFunc(msg.Audience, func(name string) bool { return a.User == "" || name == a.User })
			if len(msg.Audience) == 0 {
				m.drop(a.Seq)
			}
		}
	}
	st := &m.state
	for _, o := range b.Origins {
		st.Origins = slices.DeleteFunc(st.Origins, func(x store.Origin) bool { return x.User == o.User && x.Origin == o.Origin })
		if !o.Forget {
			st.Origins = append(st.Origins, o)
		}
	}
	for _, k := range b.Blocks {
		st.Blocks = slices.DeleteFunc(st.Blocks, func(x store.Block) bool { return x.Owner == k.Owner && x.User == k.User })
		if !k.Off {
			st.Blocks = append(st.Blocks, k)
		}
	}
	for _, k := range b.Sessions {
		st.Sessions = slices.DeleteFunc(st.Sessions, func(x store.Session) bool { return x.User == k.User && (!k.Ended || x.Origin == k.Origin) })
		if !k.Ended {
			st.Sessions = append(st.Sessions, k)
		}
	}
	for _, a := range b.Accounts {
		st.Accounts = slices.DeleteFunc(st.Accounts, func(x store.Account) bool { return x.User == a.User })
		if !a.Removed {
			st.Accounts = append(st.Accounts, a)
		}
	}
	for _, a := range b.Attempts {
		st.Attempts = slices.DeleteFunc(st.Attempts, func(x store.Attempt) bool { return x.User == a.User && x.Source == a.Source })
		if !a.Forget {
			st.Attempts = append(st.Attempts, a)
		}
	}
	if len(b.Secret) > 0 {
		st.Secret = slices.Clone(b.Secret)
	}
	sortState(st)
}

func (m *Model) drop(seq uint64) {
	m.messages = slices.DeleteFunc(m.messages, func(x *store.Message) bool { return x.Seq == seq })
}

func (m *Model) message(seq uint64) *store.Message {
	if i := slices.IndexFunc(m.messages, func(x *store.Message) bool { return x.Seq == seq }); i >= 0 {
		return m.messages[i]
	}
	return nil
}

// Clone returns a copy that later batches do not change.
func (m *Model) Clone() *Model {
	c := &Model{state: store.State{
		LastSeq: m.state.LastSeq,
		Origins: slices.Clone(m.state.Origins), Blocks: slices.Clone(m.state.Blocks), Sessions: slices.Clone(m.state.Sessions),
		Accounts: slices.Clone(m.state.Accounts), Attempts: slices.Clone(m.state.Attempts), Secret: m.state.Secret,
	}}
	for _, msg := range m.messages {
		k := *msg
		k.Audience = slices.Clone(msg.Audience)
		c.messages = append(c.messages, &k)
	}
	return c
}

// Seqs returns the messages that the model holds.
func (m *Model) Seqs() []uint64 {
	seqs := make([]uint64, len(m.messages))
	for i, msg := range m.messages {
		seqs[i] = msg.Seq
	}
	return seqs
}

// State returns what the model holds beside messages.
func (m *Model) State() store.State { return m.Clone().state }

// Has reports whether the model holds exactly this message.
func (m *Model) Has(msg *store.Message) bool {
	own := m.message(msg.Seq)
	return own != nil && gocmp.Equal(own, msg, options)
}

// Diff says how s differs from the model, by Load and by Messages; "" if it
// does not.
func (m *Model) Diff(s store.Store) string {
	ms, st, err := load(s)
	if err != nil {
		return fmt.Sprintf("Load: %v", err)
	}
	heads := make([]*store.Message, len(m.messages))
	for i, msg := range m.messages {
		heads[i] = &store.Message{Seq: msg.Seq, From: msg.From, Cast: msg.Cast, Size: msg.Size, Audience: msg.Audience}
	}
	if len(heads)+len(ms) > 0 {
		if d := gocmp.Diff(heads, ms, options); d != "" {
			return "what waits (-want +got):\n" + d
		}
	}
	want := m.state
	if d := gocmp.Diff(&want, st, options, sameSlice[store.Origin](), sameSlice[store.Block](), sameSlice[store.Session](),
		sameSlice[store.Account](), sameSlice[store.Attempt]()); d != "" {
		return "the state (-want +got):\n" + d
	}
	got, err := s.Messages(context.Background(), m.Seqs())
	if err != nil {
		return fmt.Sprintf("Messages: %v", err)
	}
	if d := gocmp.Diff(m.messages, got, options); d != "" && len(got) > 0 {
		return "messages (-want +got):\n" + d
	}
	return ""
}

// sameSlice compares slices, an empty one as nil.
func sameSlice[T comparable]() gocmp.Option {
	return gocmp.Comparer(func(a, b []T) bool { return slices.Equal(a, b) })
}

// testModel writes random batches to a store and to the model.
func testModel(t *testing.T, open Open, reopen Reopen) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		defer func() { s.Close() }()
		var m Model
		var last *store.Batch
		gen := NewGenerator(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") })
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			default:
				last = gen.Batch(&m)
				if err := s.Commit(context.Background(), last); err != nil {
					rt.Fatalf("Commit: %v", err)
				}
				m.Apply(last)
			case 4:
				if last != nil { // its outcome was unknown
					if err := s.Commit(context.Background(), last); err != nil {
						rt.Fatalf("Commit: %v", err)
					}
				}
			case 5:
				s = reopen(t, s)
			}
			if d := m.Diff(s); d != "" {
				rt.Fatal(d)
			}
		}
	})
}
