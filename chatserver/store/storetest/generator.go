package storetest

import (
	"fmt"
	"slices"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

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
	g.logins(b)
	return b
}

// logins adds what is kept of logins.
func (g *Generator) logins(b *store.Batch) {
	if g.intn(4) == 0 {
		b.Accounts = append(b.Accounts, store.Account{User: g.name(), Verifier: fmt.Sprint("verifier ", g.intn(1000)), Removed: g.intn(3) == 0})
	}
	for range g.intn(6) / 3 {
		a := store.Attempt{User: g.name(), Source: []string{"", "192.0.2.1/32", "2001:db8::/64"}[g.intn(3)], Fails: g.intn(100),
			Last: int64(g.intn(1 << 40)), Forget: g.intn(3) == 0}
		if g.intn(2) == 0 {
			a.Until, a.Proven = a.Last+60_000, int64(g.intn(1<<40))
		}
		b.Attempts = append(b.Attempts, a)
	}
	if g.intn(20) == 0 {
		b.Secret = []byte(fmt.Sprintf("%032d", g.intn(1<<30)))
	}
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
