package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parleyproto/parley/chatproto"
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
	if d := gocmp.Diff(&want, st, options, gocmp.Comparer(func(a, b []store.Origin) bool { return slices.Equal(a, b) }),
		gocmp.Comparer(func(a, b []store.Block) bool { return slices.Equal(a, b) }),
		gocmp.Comparer(func(a, b []store.Session) bool { return slices.Equal(a, b) })); d != "" {
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

// A Generator makes random batches, as a server could commit them.
type Generator struct {
	intn func(n int) int
	next uint64
	held []uint64 // passed over, to come later
}

// NewGenerator returns a generator; intn draws a number in [0, n).
func NewGenerator(intn func(n int) int) *Generator { return &Generator{intn: intn} }

var names = []string{"a", "b", "carol", "dave", "a-much-longer-name", "渡辺"}

func (g *Generator) name() string   { return names[g.intn(len(names))] }
func (g *Generator) origin() uint64 { return []uint64{1, 2, 1<<64 - 1, 0x0123456789abcdef}[g.intn(4)] }

// Batch returns the next batch for a store that holds what m does.
func (g *Generator) Batch(m *Model) *store.Batch {
	b := &store.Batch{}
	for range g.intn(8) {
		b.Messages = append(b.Messages, g.message())
	}
	for _, seq := range m.Seqs() {
		if g.intn(3) == 0 {
			b.Acks = append(b.Acks, g.ack(seq, m.message(seq).Audience))
		}
	}
	for _, msg := range b.Messages {
		if g.intn(6) == 0 {
			b.Acks = append(b.Acks, g.ack(msg.Seq, msg.Audience))
		}
	}
	for range g.intn(4) {
		o := store.Origin{User: g.name(), Origin: g.origin(), Used: int64(g.intn(1000)), Forget: g.intn(4) == 0}
		if !o.Forget {
			for n := range uint64(g.intn(5)) {
				o.Window.Decide(n*uint64(1+g.intn(100))+o.Window.High+1, g.intn(2) == 0)
			}
		} else {
			o.Used = 0
		}
		b.Origins = append(b.Origins, o)
	}
	if g.intn(3) == 0 {
		b.Blocks = append(b.Blocks, store.Block{Owner: g.name(), User: g.name(), Off: g.intn(2) == 0})
	}
	if g.intn(3) == 0 {
		b.Sessions = append(b.Sessions, store.Session{User: g.name(), Origin: g.origin(), Ended: g.intn(2) == 0})
	}
	return b
}

// seq draws the place of a message: sometimes a gap, sometimes one that was
// passed over, as when a message waits for a later batch than its successor.
func (g *Generator) seq() uint64 {
	if len(g.held) > 0 && g.intn(3) == 0 {
		seq := g.held[0]
		g.held = g.held[1:]
		return seq
	}
	for g.next++; g.intn(6) == 0; g.next++ {
		g.held = append(g.held, g.next)
	}
	return g.next
}

func (g *Generator) message() *store.Message {
	msg := &store.Message{
		Seq: g.seq(), From: g.name(), ID: chatproto.ID{Origin: g.origin(), N: uint64(g.intn(1 << 30))}, Time: int64(g.intn(1 << 40)),
		Cast: g.intn(4) == 0,
	}
	size := g.intn(200)
	if g.intn(20) == 0 {
		size = g.intn(12000)
	}
	msg.Text = make([]byte, size)
	for i := range msg.Text {
		msg.Text[i] = byte(int(msg.Seq)*7 + i*i)
	}
	msg.Audience = []string{g.name()}
	for msg.Cast && g.intn(3) > 0 && len(msg.Audience) < len(names) {
		if name := g.name(); !slices.Contains(msg.Audience, name) {
			msg.Audience = append(msg.Audience, name)
		}
	}
	return msg
}

func (g *Generator) ack(seq uint64, audience []string) store.Ack {
	if g.intn(2) == 0 {
		return store.Ack{Seq: seq}
	}
	return store.Ack{Seq: seq, User: audience[g.intn(len(audience))]}
}
