package chatserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A slowStore takes its time, so that a reply that waits for the store is told
// from one that does not.
type slowStore struct{ *memstore.Store }

func (s slowStore) Commit(ctx context.Context, b *store.Batch) error {
	time.Sleep(7 * time.Millisecond)
	return s.Store.Commit(ctx, b)
}

var receipt = regexp.MustCompile(`201 n=(\d+) how=\w+`)

var clock = regexp.MustCompile(` (t|boot|token)=\w+`)

// watched logs B in and returns what B receives, each line with the virtual
// time that passed since the last line was sent.
func watched(t *testing.T, srv *chatserver.Server) (say func(string), seen func() []string) {
	p := connect(t, srv)
	p.say("HELO v=1 acks=1 beat=30000")
	p.want("220")
	p.say("AUTH user=B pass=passB origin=42")
	p.until("230")
	p.say("LSTN n=1 port=4000")
	p.until("200")
	start := time.Now()
	var mu sync.Mutex
	var lines []string
	go func() {
		for count := 0; ; {
			l := p.next()
			if l == "" {
				return
			}
			if strings.Contains(l, " id=") {
				count++
				p.say("ACKD count=%d", count)
			}
			mu.Lock()
			lines = append(lines, fmt.Sprintf("%v %s", time.Since(start), clock.ReplaceAllString(l, "")))
			mu.Unlock()
		}
	}()
	return func(l string) {
			mu.Lock()
			start = time.Now()
			mu.Unlock()
			p.say("%s", l)
		}, func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(lines)
		}
}

// until reads up to the reply, whatever comes before.
func (p *peer) until(reply string) {
	p.t.Helper()
	for l := p.next(); !strings.HasPrefix(l, reply); l = p.next() {
		if l == "" {
			p.t.Errorf("the connection ended before %q", reply)
			return
		}
	}
}

// A person acknowledges nothing and reads everything.
type person struct {
	*peer
	lines chan string
}

// newPerson logs A in.
func newPerson(t *testing.T, srv *chatserver.Server) *person {
	p := &person{connect(t, srv), make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for l := p.next(); l != ""; l = p.next() {
			p.lines <- l
		}
	}()
	p.say("HELO v=1 beat=30000 pres=0")
	p.until("220")
	p.say("AUTH user=A pass=passA origin=a")
	p.until("230")
	p.say("LSTN port=4001")
	p.until("200")
	return p
}

// until reads up to the reply, whatever comes before.
func (p *person) until(reply string) {
	p.t.Helper()
	for l := range p.lines {
		if strings.HasPrefix(l, reply) {
			return
		}
	}
	p.t.Errorf("the connection ended before %q", reply)
}

// hidden plays B's lines while A, who is online, hides from B (blocked), or is
// gone. A's state changes at the given lines, and the other users act alike.
func hidden(t *testing.T, blocked bool, lines []string, from, to int, restart bool) []string {
	st := slowStore{memstore.New()}
	var out []string
	newServer := func() *chatserver.Server {
		return &chatserver.Server{Accounts: demo, Store: st, HideBlocks: true, MailboxMessages: 40, MailboxBytes: 4000}
	}
	srv := newServer()
	a, c := newPerson(t, srv), login(t, srv, "C")
	say, seen := watched(t, srv)
	for i, l := range lines {
		switch {
		case i == 2:
			a.say("ADDR user=B")
			a.until("202")
		case i == from-1:
			a.say("CNST user=B")
			a.until("200")
		case i == from && blocked:
			a.say("BLOK user=B")
			a.until("200")
		case i == from:
			a.say("QUIT")
			a.until("221")
		case i == to && blocked:
			a.say("UBLK user=B")
			a.until("200")
		case i == to:
			a = newPerson(t, srv)
			time.Sleep(100 * time.Millisecond)
		}
		if i == to || i == from {
			synctest.Wait()
			time.Sleep(2 * time.Second) // a connection may take one to end
		}
		if restart && i == (from+to)/2 {
			out = seen()
			srv.Close()
			srv = newServer()
			if blocked {
				a = newPerson(t, srv)
			}
			c = login(t, srv, "C")
			say, seen = watched(t, srv)
			time.Sleep(2 * time.Second) // a connection may take one to end
		}
		synctest.Wait()
		say(l)
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
	}
	out = append(out, seen()...)
	c.nc.Close()
	a.nc.Close()
	srv.Close()
	for i, l := range out { // stored or delivered is a race, while A is there
		if m := receipt.FindStringSubmatch(l); m != nil {
			if n, _ := strconv.Atoi(m[1]); n < from+2 || n >= to+2 {
				out[i] = receipt.ReplaceAllString(l, "201 n=$1")
			}
		}
	}
	return out
}

// TestHideIsOffline: whatever B does while A hides from B, B sees the same, at
// the same time, as while A is away.
func TestHideIsOffline(t *testing.T) {
	kinds := []string{
		"SEND n=%d to=A :hello", "SEND n=%d to=A", "SEND n=%d to=A :" + strings.Repeat("x", 300), "SEND n=%d to=A\\sB", "SEND n=%d to=C :and you",
		"ONLN n=%d", "ADDR n=%d user=A", "CNST n=%d user=A", "RVKE n=%d user=A", "CAST n=%d :all",
		"ADDR n=%d user=C",
	}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var lines []string
		for i := range 60 {
			lines = append(lines, fmt.Sprintf(kinds[rng.IntN(len(kinds))], i+2))
		}
		lines[1], lines[3] = "ADDR n=3 user=A", "CNST n=5 user=A" // consents in both directions
		from, to := 5+rng.IntN(10), 50+rng.IntN(5)
		if seed%2 == 0 {
			lines[to-2], lines[to-1] = "BLOK n=90 user=A", "UBLK n=91 user=A"
		}
		restart := seed%3 == 0
		if restart {
			to = len(lines) // after a restart nobody comes back
		}
		var got, want []string
		synctest.Test(t, func(t *testing.T) { got = hidden(t, true, lines, from, to, restart) })
		synctest.Test(t, func(t *testing.T) { want = hidden(t, false, lines, from, to, restart) })
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d: hidden is not as away (-away +hidden)\n%s", seed, d)
		}
		if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, " 452 ") }) && seed == 1 {
			t.Error("no mailbox was full: the test is vacuous")
		}
	}
}

// TestHiddenMailIsDropped: what was sent to somebody who hid is never
// delivered, and leaves the store when the block ends.
func TestHiddenMailIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st, HideBlocks: true}
		a, b := login(t, srv, "A"), login(t, srv, "B")
		a.say("BLOK user=B")
		a.want("200 :User B has been blocked")
		b.say("SEND n=1 to=A :unseen")
		b.want("201 n=1 how=stored")
		if n := waitingIn(t, st); n != 1 {
			t.Fatalf("%d messages are stored, want the one that B believes in", n)
		}
		a.say("UBLK user=B")
		a.want("200")
		b.say("SEND n=2 to=A :seen")
		a.want("MESG from=B id=42.2")
		a.say("ACKD count=1")
		b.want("201 n=2")
		synctest.Wait()
		if n := waitingIn(t, st); n != 0 {
			t.Errorf("%d messages are left in the store", n)
		}
		srv.Close()
	})
}

// waitingIn is how many messages the store has.
func waitingIn(t *testing.T, st *testStore) (n int) {
	t.Helper()
	if _, err := st.Load(t.Context(), func(*store.Message) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBlockLimit: a user blocks so many and not one more, and what changes
// nothing writes nothing.
func TestBlockLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := chatproto.V1.Limits.Blocks
		accounts := chatserver.Credentials{"A": "passA"}
		for i := range limit + 1 {
			accounts[fmt.Sprintf("u%d", i)] = "pw"
		}
		st := newTestStore()
		srv := &chatserver.Server{Accounts: accounts, Store: st}
		a := login(t, srv, "A")
		for i := range limit {
			a.say("BLOK user=u%d", i)
			a.want("200")
		}
		before, _ := st.counts()
		a.say("BLOK user=u%d", limit)
		a.want("429 :You have blocked 1000 users")
		a.say("BLOK user=u1")
		a.want("200")
		if after, _ := st.counts(); after != before {
			t.Errorf("%d commits for blocks that change nothing", after-before)
		}
		a.say("UBLK user=u1")
		a.want("200")
		a.say("BLOK user=u%d", limit)
		a.want("200")
		srv.Close()
	})
}
