package chatproto

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The phase table is sound if two ends that keep to it never accuse each
// other, however their frames cross on the wire (SPEC section 5.1). That is
// searched here exhaustively, at small bounds, with two real Machines and two
// first-in first-out channels between them.

// A pair is one state of the search.
type pair struct {
	client, server Machine
	toServer       []frameOnWire
	toClient       []frameOnWire
	requests       int // sent so far
	events         int
}

type frameOnWire struct {
	code   Code
	lo, hi uint64
}

// faults are mistakes of an end, to show that the search finds them.
type faults struct {
	optimist bool // the client takes itself for logged in when it has sent AUTH
	deaf     bool // the client is in Closing when it has sent QUIT, and wants to hear no more
	strict   bool // the server judges also what reaches it in Closing
}

const (
	onWire      = 3 // frames in a channel
	maxRequests = 5
	maxEvents   = 2
)

func (p *pair) clone() *pair {
	q := *p
	q.client.queue = slices.Clone(p.client.queue)
	q.server.queue = slices.Clone(p.server.queue)
	q.toServer = slices.Clone(p.toServer)
	q.toClient = slices.Clone(p.toClient)
	return &q
}

// key tells states apart by what decides about their future.
func (p *pair) key() string {
	var b []byte
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	for _, m := range []*Machine{&p.client, &p.server} {
		number(uint64(m.phase))
		number(uint64(m.n))
		for i := range m.n {
			u := m.queue[(m.head+i)%len(m.queue)]
			number(uint64(u.verb))
			number(u.tag)
		}
	}
	for _, wire := range [][]frameOnWire{p.toServer, p.toClient} {
		number(uint64(len(wire)))
		for _, f := range wire {
			number(uint64(f.code))
			number(f.lo)
			number(f.hi)
		}
	}
	number(uint64(p.requests))
	number(uint64(p.events))
	return string(b)
}

// alike leaves one of the codes that have the same effect in a phase, to keep
// the search small: they lead to the same phase, and go on or finish alike.
func alike(row *PhaseRule, codes []Code) (few []Code) {
	type effect struct {
		next   Phase
		goesOn bool
	}
	seen := map[effect]bool{}
	for _, c := range codes {
		e := effect{row.Phase, c.Class() == 1}
		for _, t := range row.Next {
			if t.Code == c {
				e.next = t.Next
			}
		}
		if !seen[e] {
			seen[e] = true
			few = append(few, c)
		}
	}
	return few
}

// requestsAlike are the verbs of which the search leaves one to stand for
// all: they are allowed where it is, and answered once.
var requestsAlike = []Code{LSTN, BLOK, UBLK, ADDR, CNST, RVKE, RLAY}

// A move is something that one end does next.
type move struct {
	what string
	next *pair
	err  error // an accusation
}

// moves returns everything that may happen next.
func (p *pair) moves(f faults) []move {
	return slices.Concat(p.clientSends(f), p.serverReads(f), p.serverSends(), p.clientReads(f))
}

// clientSends: everything that the client's own phase allows, before QUIT.
func (p *pair) clientSends(f faults) (moves []move) {
	c := &p.client
	if len(p.toServer) == onWire || p.requests == maxRequests || c.quit || c.phase >= Closing {
		return nil
	}
	row := &c.v.Phases[c.phase]
	for _, verb := range row.Client {
		if has(requestsAlike[1:], verb) {
			continue
		}
		if c.n > 0 && !row.Pipe && verb != QUIT {
			continue
		}
		q := p.clone()
		q.requests++
		var n uint64
		if row.Pipe && !c.v.Unanswered(verb) {
			n = uint64(q.requests)
		}
		err := q.client.Request(verb, n)
		q.toServer = append(q.toServer, frameOnWire{verb, n, n})
		if f.optimist && verb == AUTH {
			q.client.phase = Ready
		}
		if f.deaf && verb == QUIT {
			q.client.phase = Closing
		}
		moves = append(moves, move{"client sends " + verb.String(), q, err})
	}
	return moves
}

// serverReads: the next request, when its turn has come.
func (p *pair) serverReads(f faults) []move {
	s := &p.server
	if len(p.toServer) == 0 || s.n > 0 && !s.v.Phases[s.phase].Pipe {
		return nil
	}
	q := p.clone()
	got := q.toServer[0]
	q.toServer = q.toServer[1:]
	var err error
	if s.phase < Closing || f.strict {
		err = q.server.Request(got.code, got.lo)
	}
	return []move{{"server reads " + got.code.String(), q, err}}
}

// serverSends: every reply that the tables list for the request whose turn it
// is, also one to a run of SENDs, and every event of the phase.
func (p *pair) serverSends() (moves []move) {
	s := &p.server
	if len(p.toClient) == onWire || s.phase >= Closing {
		return nil
	}
	row := &s.v.Phases[s.phase]
	send := func(f frameOnWire, event bool) {
		q := p.clone()
		q.toClient = append(q.toClient, f)
		var err error
		if event {
			q.events++
			err = q.server.Event(f.code)
		} else {
			err = q.server.Reply(f.code, f.lo, f.hi)
		}
		moves = append(moves, move{fmt.Sprintf("server sends %v %d-%d", f.code, f.lo, f.hi), q, err})
	}
	if s.n > 0 {
		verb, n := s.Head()
		for _, c := range alike(row, slices.Concat(s.v.request(verb).Replies, anyReply)) {
			send(frameOnWire{c, n, n}, false)
		}
		if second := s.queue[(s.head+1)%len(s.queue)]; s.n > 1 && verb == SEND && second.verb == SEND && second.tag == n+1 {
			send(frameOnWire{ReplyAccepted, n, n + 1}, false)
		}
	}
	if p.events < maxEvents {
		for _, c := range alike(row, row.Server) {
			send(frameOnWire{code: c}, true)
		}
	}
	return moves
}

// clientReads: the next frame, unless one before it was the last.
func (p *pair) clientReads(f faults) []move {
	c := &p.client
	if len(p.toClient) == 0 {
		return nil
	}
	q := p.clone()
	got := q.toClient[0]
	q.toClient = q.toClient[1:]
	var err error
	switch {
	case c.phase >= Closing && !f.deaf:
	case got.code.IsReply():
		err = q.client.Reply(got.code, got.lo, got.hi)
	default:
		err = q.client.Event(got.code)
	}
	return []move{{"client reads " + got.code.String(), q, err}}
}

// search goes breadth first through all interleavings. It returns how many
// states there are, and the shortest way to an accusation, if there is one.
func search(f faults) (states int, accusation string) {
	type step struct {
		from int
		what string
	}
	first := &pair{client: *V1.Machine(), server: *V1.Machine()}
	seen := map[string]bool{first.key(): true}
	queue, steps := []*pair{first}, []step{{-1, ""}}
	for i := 0; i < len(queue); i++ {
		for _, m := range queue[i].moves(f) {
			if m.err != nil {
				way := []string{m.what + ": " + m.err.Error()}
				for j := i; j > 0; j = steps[j].from {
					way = append(way, steps[j].what)
				}
				slices.Reverse(way)
				return len(queue), strings.Join(way, "; ")
			}
			if k := m.next.key(); !seen[k] {
				seen[k] = true
				queue, steps = append(queue, m.next), append(steps, step{i, m.what})
			}
		}
		queue[i] = nil // looked at: only its steps are wanted any more
	}
	return len(queue), ""
}

func TestCrossingFramesAccuseNobody(t *testing.T) {
	states, accusation := search(faults{})
	if accusation != "" {
		t.Errorf("%s", accusation)
	}
	t.Logf("%d states", states)
	if states < 10_000 {
		t.Error("the search is too small to say anything")
	}
}

// TestCrossingFindsFaults: the search finds an end that does not keep to the
// table, with the shortest story of how.
func TestCrossingFindsFaults(t *testing.T) {
	for _, c := range []struct {
		why  string
		f    faults
		want string
	}{
		{"a phase is reached by the server's frame, not by the client's", faults{optimist: true},
			"client sends HELO; server reads HELO; server sends 220 0-0; client reads 220; client sends AUTH; client sends LSTN; server reads AUTH; server sends 331 0-0; server reads LSTN: 530 Please log in first"},
		{"a client that said QUIT still has to hear what was on its way", faults{deaf: true},
			"client sends QUIT; server sends LIVE 0-0; client reads LIVE: chatproto: unexpected LIVE in phase Closing"},
		{"what reaches a server in Closing crossed its last word", faults{strict: true},
			"client sends HELO; server sends GBYE 0-0; server reads HELO: 503 The connection is closing"},
	} {
		_, got := search(c.f)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.why, got, c.want)
		}
	}
}
