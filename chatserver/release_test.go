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

	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A room is a server with many who listen to A.
type room struct {
	srv          *Server
	st           *revStore
	a            *memnet.Conn
	casts, mails atomic.Int32 // that arrived
	last         *memnet.Conn // who joined last
	writes       atomic.Int32 // of the server
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
		r.join(fmt.Sprint("u", i))
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
	r.last = nc
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

// While a broadcast goes out to many, and for as long again, what its sender
// broadcasts waits; and so does what follows it to the same people.
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
			o.chunks, o.began = 1, time.Now()
			o.leaving.Store(last)
		}
		onItsWay(1)
		revSay(r.a, "CAST n=2 :two")
		synctest.Wait()
		revSay(r.a, "CAST n=3 :three", "SEND n=4 to=u7 :four")
		time.Sleep(50 * time.Millisecond)
		r.got(t, "meanwhile", all, 0)
		go r.origin().released()
		time.Sleep(49 * time.Millisecond)
		r.got(t, "in the pause", all, 0)
		r.writes.Store(0)
		time.Sleep(2 * time.Millisecond)
		r.got(t, "after it", 3*all, 1)
		if n := r.writes.Load(); n != all {
			t.Errorf("what waited took %d writes to %d", n, all)
		}

		r.st.hold()
		revSay(r.a, "CAST n=5 :five")
		r.got(t, "the next, not stored", 4*all, 1)
		r.st.release()
		onItsWay(5)
		r.st.hold()
		revSay(r.a, "CAST n=6 :six")
		r.got(t, "held back, not stored", 4*all, 1)
		go r.origin().released()
		r.got(t, "after the pause, not stored", 5*all, 1)

		onItsWay(6)
		revSay(r.a, "SEND n=7 to=u7 :seven")
		r.got(t, "what waits for the store", 5*all, 1)
		r.st.release()
		r.got(t, "stored meanwhile", 5*all, 2)
		r.origin().released()

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
			revSay(r.last, fmt.Sprintf("ACKD count=%d", i+1))
			acks(time.Duration(i) * 500 * time.Microsecond) // an eighth
		}
	})
}

// The pause is bounded, and ends with the server.
func TestBroadcastPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		start := time.Now()
		r.srv.commit.pause(0)
		r.srv.commit.pause(maxPause)
		if took := time.Since(start); took != maxPause {
			t.Errorf("it took %v", took)
		}
		o := r.origin()
		o.waitMu.Lock()
		o.chunks, o.began = 1, start.Add(-time.Hour)
		o.leaving.Store(1)
		o.waitMu.Unlock()
		start = time.Now()
		o.released()
		if took := time.Since(start); took != maxPause {
			t.Errorf("after an hour it took %v", took)
		}
		r.srv.Close()
		start = time.Now()
		r.srv.commit.pause(maxPause)
		if took := time.Since(start); took != 0 {
			t.Errorf("after the end it took %v", took)
		}
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
		revSay(r.a, "CAST n=2 :two")
		r.got(t, "before the first is stored", all, 0)
		if r.origin().next != 2 {
			t.Error("a release will not know what waits for it")
		}
		r.origin().release()
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
