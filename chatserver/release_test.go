package chatserver

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A room is a server with many who listen to A.
type room struct {
	srv          *Server
	st           *revStore
	a            *memnet.Conn
	casts, mails atomic.Int32   // that arrived
	all          []*memnet.Conn // who joined, after A
	writes       atomic.Int32   // of the server
}

// writes counts them.
type writes struct {
	net.Conn
	n *atomic.Int32
}

func (w writes) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

// newRoom has A and n others log in.
func newRoom(n int) *room {
	accounts := Credentials{"A": "passA"}
	r := &room{st: &revStore{Store: memstore.New()}}
	r.srv = &Server{Accounts: accounts, Store: r.st}
	for i := range n {
		accounts[fmt.Sprint("u", i)] = fmt.Sprint("passu", i)
	}
	r.a = r.join("A")
	for i := range n {
		r.all = append(r.all, r.join(fmt.Sprint("u", i)))
	}
	return r
}

func (r *room) join(user string) *memnet.Conn {
	nc, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
	go r.srv.ServeConn(writes{far, &r.writes})
	go func() {
		for in := bufio.NewScanner(nc); in.Scan(); {
			switch {
			case strings.HasPrefix(in.Text(), "BCST "):
				r.casts.Add(1)
			case strings.HasPrefix(in.Text(), "MESG "):
				r.mails.Add(1)
			}
		}
	}()
	revLogin(nc, user)
	synctest.Wait()
	return nc
}

// origin is A's.
func (r *room) origin() *origin { return r.srv.roster.session("A").origin }

// got checks how much arrived.
func (r *room) got(t *testing.T, what string, casts, mails int) {
	t.Helper()
	synctest.Wait()
	if c, m := int(r.casts.Load()), int(r.mails.Load()); c != casts || m != mails {
		t.Errorf("%s: %d broadcasts and %d messages arrived, want %d and %d", what, c, m, casts, mails)
	}
}

// While a broadcast goes out to many, and until they acknowledge it or a while
// has passed, what its sender broadcasts waits; and so does what follows it to
// the same people.
func TestBroadcastsLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(releasedTogether)
		defer r.srv.Close()
		const all = releasedTogether
		revSay(r.a, "CAST n=1 :one")
		r.got(t, "at the start", all, 0)

		onItsWay := func(last uint64) { // as if it were
			o := r.origin()
			o.waitMu.Lock()
			defer o.waitMu.Unlock()
			o.chunks = 1
			o.leaving.Store(last)
		}
		onItsWay(1)
		revSay(r.a, "CAST n=2 :two")
		synctest.Wait()
		revSay(r.a, "CAST n=3 :three", "SEND n=4 to=u7 :four")
		time.Sleep(50 * time.Millisecond)
		r.got(t, "meanwhile", all, 0)
		go r.origin().released(1)
		time.Sleep(minPause - time.Millisecond)
		r.got(t, "in the pause", all, 0)
		r.writes.Store(0)
		time.Sleep(2 * time.Millisecond)
		r.got(t, "after it", 3*all, 1)
		if n := r.writes.Load(); n != all {
			t.Errorf("what waited took %d writes to %d", n, all)
		}

		time.Sleep(minPause) // nobody acknowledges
		r.st.hold()
		revSay(r.a, "CAST n=5 :five")
		r.got(t, "the next, not stored", 4*all, 1)
		r.st.release()
		onItsWay(5)
		r.st.hold()
		revSay(r.a, "CAST n=6 :six")
		r.got(t, "held back, not stored", 4*all, 1)
		r.origin().released(5)
		r.got(t, "after the pause, not stored", 5*all, 1)

		onItsWay(6)
		revSay(r.a, "SEND n=7 to=u7 :seven")
		r.got(t, "what waits for the store", 5*all, 1)
		r.st.release()
		r.got(t, "stored meanwhile", 5*all, 2)
		r.origin().released(6)

		r.st.hold()
		revSay(r.a, "CAST n=8 :eight")
		r.got(t, "not stored", 6*all, 2)
		revSay(r.a, "CAST n=9 :nine")
		synctest.Wait()
		r.origin().release() // in vain, and once
		r.got(t, "behind what is not stored", 6*all, 2)
		r.st.release()
		r.got(t, "behind what is", 7*all, 2)
	})
}

// Who has much waiting is not made to wait for more.
func TestBroadcastsFillNoMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		defer r.srv.Close()
		r.srv.MailboxMessages = 32
		revSay(r.a, "CAST n=1 :one")
		r.got(t, "at the start", 1, 0)
		o := r.origin()
		o.waitMu.Lock()
		o.chunks = 1
		o.leaving.Store(1)
		o.waitMu.Unlock()
		for i, want := range []int{1, 1, 4, 5} { // u0 has acknowledged none
			revSay(r.a, fmt.Sprintf("CAST n=%d :more", i+2))
			r.got(t, fmt.Sprint("the next ", i+1), want, 0)
		}
	})
}

// How long a broadcast waits for its acknowledgement does not say for how long
// to put off storing what waits for one.
func TestBroadcastsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		defer r.srv.Close()
		acks := func(want time.Duration) {
			t.Helper()
			synctest.Wait()
			k := r.srv.commit
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.acks != want {
				t.Errorf("acknowledgements are thought to take %v, want %v", k.acks, want)
			}
		}
		for i, say := range []string{"CAST n=1 :one", "SEND n=2 to=u0 :two"} {
			revSay(r.a, say)
			time.Sleep(4 * time.Millisecond)
			revSay(r.all[0], fmt.Sprintf("ACKD count=%d", i+1))
			acks(time.Duration(i) * 500 * time.Microsecond) // an eighth
		}
	})
}

// What waits leaves when most of who is there have acknowledged the last of
// what is before it, whatever others say in between.
func TestBroadcastsFollowAcknowledgements(t *testing.T) {
	for _, away := range []int{0, 20} {
		synctest.Test(t, func(t *testing.T) {
			const there, most = releasedTogether, releasedTogether - releasedTogether/fewOf
			r := newRoom(there + away)
			defer r.srv.Close()
			for _, u := range r.all[there:] {
				u.Close()
			}
			r.all = r.all[:there]
			synctest.Wait()
			r.st.hold()
			revSay(r.a, "CAST n=1 :one")
			r.got(t, "at the start", there, 0)
			revSay(r.a, "CAST n=2 :two", "SEND n=3 to=u7 :three")
			synctest.Wait()
			revSay(r.all[0], "CAST n=9 :nine")
			synctest.Wait()
			r.all[99].Close() // the last by name
			r.got(t, "before they are stored", there+1, 0)
			r.st.release()
			r.got(t, "stored", 3*there-2, 1)
			start := time.Now()
			revSay(r.a, "CAST n=4 :four")
			r.got(t, "before they are acknowledged", 3*there-2, 1)
			for _, u := range r.all[:99] {
				revSay(u, "ACKD count=1")
			}
			r.got(t, "when most have one of them", 3*there-2, 1)
			still := append(r.all[:99:99], r.all[100:]...)
			for i, u := range still[:most] {
				if i == most-1 {
					r.got(t, "before most have both", 3*there-2, 1)
				}
				revSay(u, "ACKD count=2")
			}
			r.got(t, "when they have", 4*there-3, 1)
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A pause waits for nothing that it holds back, though somebody has it.
func TestBroadcastsThatSomebodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		defer r.srv.Close()
		for n := 1; n <= 3; n++ {
			revSay(r.a, fmt.Sprintf("CAST n=%d :more", n))
		}
		r.got(t, "unacknowledged", 3, 0)
		o, b := r.origin(), &r.srv.roster.session("u0").user.box
		for leaving := uint64(0); leaving <= 4; leaving++ {
			o.leaving.Store(leaving)
			b.mu.Lock()
			if last := b.lastSent(o); last != min(leaving, 3) {
				t.Errorf("of those up to %d the last is %d", leaving, last)
			}
			b.mu.Unlock()
		}
	})
}

// Who comes back begins anew, also with waiting.
func TestBackInPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = releasedTogether
		r := newRoom(all)
		defer r.srv.Close()
		revSay(r.a, "CAST n=1 :one")
		r.got(t, "stored", all, 0)
		r.st.hold()
		revSay(r.a, "CAST n=2 :two")
		r.got(t, "behind what is stored", 2*all, 0)
		o := r.origin()
		o.waitMu.Lock()
		o.chunks = 1
		o.leaving.Store(1) // as if others had not got it yet
		o.waitMu.Unlock()
		revSay(r.a, "CAST n=3 :three")
		r.got(t, "behind what is not", 2*all, 0)
		r.all[0].Close()
		synctest.Wait()
		r.join("u0")
		r.got(t, "in the pause", 2*all+1, 0)
		o.released(1)
		r.got(t, "after it", 2*all+2, 0)
		time.Sleep(minPause) // of what he got
		r.st.release()
		r.got(t, "stored, too", 3*all+2, 0)
	})
}

// The pause is bounded, ends with the server, and is none when most have
// acknowledged already.
func TestBroadcastPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		o := r.origin()
		pause := func(what string, took time.Duration, sent uint64, want time.Duration) {
			t.Helper()
			start := time.Now()
			o.waitMu.Lock()
			o.chunks, o.began = 1, start.Add(-took)
			o.leaving.Store(1)
			o.waitMu.Unlock()
			o.released(sent)
			if took := time.Since(start); took != want {
				t.Errorf("%s: it took %v, want %v", what, took, want)
			}
		}
		pause("nobody acknowledges", time.Millisecond, 7, minPause)
		pause("nobody acknowledges what took longer", minPause, 7, pauseTimes*minPause)
		pause("nobody acknowledges what took very long", time.Hour, 7, maxPause)
		o.mostHave(6)
		pause("one is missing", 0, 7, minPause)
		o.mostHave(7)
		pause("nothing is", time.Hour, 7, 0)
		o.mostHave(3)
		pause("and that stays so", time.Hour, 7, 0)
		r.srv.Close()
		pause("the server has ended", time.Hour, 8, 0)
	})
}

// Mailboxes that wait for the store wait in peace.
func TestReleaseOfWhatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(2 * releasedTogether)
		defer r.srv.Close()
		const all = 2 * releasedTogether
		r.st.hold()
		revSay(r.a, "CAST n=1 :one")
		r.got(t, "the first, which follows nothing", all, 0)
		o, b := r.origin(), &r.srv.roster.session("u0").user.box
		b.mu.Lock()
		b.stall(o, &message{id: chatproto.ID{N: 4}, after: 3}) // as if he had missed the next ones
		b.mu.Unlock()
		revSay(r.a, "CAST n=2 :two")
		r.got(t, "before the first is stored", all, 0)
		if o.next != 4 || o.need != 1 {
			t.Errorf("a release knows of %d, and waits for %d", o.next, o.need)
		}
		o.release()
		r.got(t, "after a release in vain", all, 0)
		r.st.release()
		r.got(t, "once it is stored", 2*all, 0)
	})
}

// A broadcast to very many is stored first, and does not go out where it was
// read.
func TestBroadcastToVeryMany(t *testing.T) {
	for _, n := range []int{manyOnline - 1, manyOnline} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom(n)
			defer r.srv.Close()
			r.st.hold()
			revSay(r.a, "CAST n=1 :one")
			if n < manyOnline {
				r.got(t, fmt.Sprint("of ", n), n, 0)
			} else {
				r.got(t, fmt.Sprint("of ", n), 0, 0)
			}
			r.st.release()
			r.got(t, "stored", n, 0)
		})
	}
}
