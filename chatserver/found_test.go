package chatserver_test

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// Two SENDs with numbers at the end of the range must not spin for ever.
func TestHighestNumberSpins(t *testing.T) {
	srv := &chatserver.Server{Accounts: demo}
	near, far := memnet.Pipe(revLocal, "127.0.0.1:8000")
	go srv.ServeConn(far)
	fmt.Fprint(near, "HELO v=1 acks=1\r\nAUTH user=A pass=passA origin=a1\r\n"+
		"SEND n=18446744073709551600 to=nobody\r\nSEND n=18446744073709551615 to=nobody\r\nQUIT n=1\r\n")
	near.SetReadDeadline(time.Now().Add(5 * time.Second))
	sc := bufio.NewScanner(near)
	for sc.Scan() {
		if strings.HasPrefix(sc.Text(), "221") {
			srv.Close()
			return
		}
	}
	t.Fatal("the server did not answer within 5 s: Window.Decide wraps around and never ends")
}

// A stored window that is full to the brim, and a request without n=: the
// number after the highest is 0.
func TestNumberAfterTheHighest(t *testing.T) {
	st := memstore.New()
	srv := &chatserver.Server{Accounts: demo, Store: st}
	a := revMeet(t, srv, revLocal)
	a.login("A", "a1")
	a.send("SEND n=18446744073709551615 to=B :the last")
	if !a.within(5*time.Second, "201") {
		t.Fatal("no answer")
	}
	srv.Close()
	srv = &chatserver.Server{Accounts: demo, Store: st}
	a = revMeet(t, srv, revLocal)
	a.login("A", "a1")
	a.send("SEND to=B :one more")
	if !a.within(5*time.Second, "501") {
		t.Fatal("no answer: Window.Decide panicked with origin.mu held, and finish, deferred, waits for origin.mu for ever")
	}
	srv.Close()
}

// revLean is a store that makes use of its contract: Load leaves out what may be
// left out.
type revLean struct{ *memstore.Store }

func (l revLean) Load(ctx context.Context, waiting func(*store.Message) error) (*store.State, error) {
	return l.Store.Load(ctx, func(m *store.Message) error {
		return waiting(&store.Message{Seq: m.Seq, From: m.From, Cast: m.Cast, Size: len(m.Text), Audience: m.Audience})
	})
}

func TestLoadLeavesOutBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := revLean{memstore.New()}
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := revLogin(t, srv, "A", "a1")
		a.send("SEND n=1 to=B :hello")
		a.got()
		srv.Close()
		srv = &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		b := revLoginLines(t, srv, "B", "b1")
		if got := b; !revHas(got, "MESG from=A id=a1.1 ") || !strings.HasSuffix(got[len(got)-1], ":A: hello") {
			t.Errorf("after a restart B gets %q", got)
		}
	})
}

// loggedIn2 logs in and returns what came.
func revLoginLines(t *testing.T, srv *chatserver.Server, user, origin string) []string {
	p := revMeet(t, srv, revLocal)
	p.login(user, origin)
	return p.got()
}

// Without acks=1 writing is delivering: at most once.
func TestPersonQuitSeesMailAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := revLogin(t, srv, "A", "a1")
		st.set(true, false)
		a.send("SEND n=1 to=C :hi")
		a.got()
		c := revMeet(t, srv, revLocal)
		c.send("HELO v=1", "AUTH user=C pass=passC", "QUIT")
		if got := c.got(); !revHas(got, "221") {
			t.Fatalf("%q", got)
		} else if !revHas(got, "MESG ") {
			return // not written, so not delivered: the mail may wait
		}
		st.set(false, false)
		c.nc.Close()
		if got := revLoginLines(t, srv, "C", ""); revHas(got, "MESG ") {
			t.Errorf("C is shown the same mail again: %q", got)
		}
		srv.Close()
	})
}

func TestPersonEOFSeesMailAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := revLogin(t, srv, "A", "a1")
		for n := range 12 { // more than fits into the socket
			a.send(fmt.Sprintf("SEND n=%d to=C :%s", n+1, strings.Repeat("x", 7000)))
		}
		a.got()
		c := revMeetDeaf(t, srv, revLocal)
		c.send("HELO v=1", "AUTH user=C pass=passC")
		c.nc.CloseWrite() // as printf '...' | nc does
		synctest.Wait()
		c.listen()
		time.Sleep(time.Second)
		first := revCount(c.got(), "MESG ")
		second := revCount(revLoginLines(t, srv, "C", ""), "MESG ")
		if first+second > 12 {
			t.Errorf("of 12 messages C was shown %d, and then %d again", first, second)
		}
	})
}

// LIVE and ACKD are never answered; a bad n= on them must not cut the
// connection, nor log an error of the server.
func TestLiveWithBadNumber(t *testing.T) {
	for _, line := range []string{"LIVE n=0", "ACKD n=x count=0"} {
		t.Run(line, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo}
				defer srv.Close()
				a := revLogin(t, srv, "A", "a1")
				a.send(line, "ONLN n=1")
				if got := a.got(); !revHas(got, "211 n=1") && !revHas(got, "GBYE") {
					t.Errorf("%s: cut without a word: %q", line, got)
				}
			})
		})
	}
}

// LIVE (and ACKD) do not stand in the queue of requests: nothing waits before
// they are dealt with, or after them.
func TestLiveHoldsUpTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a, b := revLogin(t, srv, "A", "a1"), revLogin(t, srv, "B", "b1")
		a.got()
		st.set(true, false)
		a.send("SEND n=1 to=C :mail, waits for the disk", "LIVE")
		b.send("SEND n=1 to=A :live")
		if got := a.got(); !revHas(got, "MESG ") {
			t.Fatal(got)
		}
		a.send("ACKD count=1")
		if got := b.got(); !revHas(got, "201 n=1 how=delivered") {
			t.Errorf("A acknowledged, but the server does not read it while A's SEND waits for the disk: %q", got)
		}
		st.set(false, false)
		srv.Close()
	})
}

func TestInFlightOctets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := revLogin(t, srv, "A", "a1")
		for n := range 200 {
			a.send(fmt.Sprintf("SEND n=%d to=B :%s", n+1, strings.Repeat("x", 7000)))
			a.got()
		}
		sum := 0
		for _, l := range revLoginLines(t, srv, "B", "b1") {
			if strings.HasPrefix(l, "MESG") {
				sum += len(l) + 2
			}
		}
		if limit := chatproto.V1.Limits.InFlightBytes; sum > limit {
			t.Errorf("%d octets in flight, the limit is %d", sum, limit)
		}
	})
}

func TestSenderShareInOctets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, MailboxBytes: 100_000}
		defer srv.Close()
		a := revLogin(t, srv, "A", "a1")
		for n := range 20 {
			a.send(fmt.Sprintf("SEND n=%d to=B :%s", n+1, strings.Repeat("x", 7000)))
			a.got()
		}
		c := revLogin(t, srv, "C", "c1")
		c.send("SEND n=1 to=B :" + strings.Repeat("x", 7000))
		if got := c.got(); revHas(got, "452") {
			t.Errorf("A alone filled B's mailbox: %q", got)
		}
	})
}

func TestOriginIsForgottenAfterSixDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := revLogin(t, srv, "A", "a1")
		a.send("SEND n=1 to=B :x", "QUIT n=2")
		a.got()
		a.nc.Close()
		time.Sleep(8 * 24 * time.Hour)
		if got := revLoginLines(t, srv, "A", "a1"); !revHas(got[1:], "230 user=A new=1 known=0") {
			t.Errorf("an origin that was idle for 8 days is known: %q", got)
		}
	})
}

// An origin that was connected yesterday is not idle, whatever was sent.
func TestUseOfAnOriginIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := revLogin(t, srv, "A", "a1")
		a.send("SEND n=1 to=B :x", "QUIT n=2")
		a.got()
		for range 7 { // every day
			time.Sleep(24 * time.Hour)
			a = revLogin(t, srv, "A", "a1")
			a.send("QUIT n=3")
			a.got()
		}
		srv.Close()
		srv = &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		other := revLogin(t, srv, "A", "a2")
		other.send("QUIT n=1")
		other.got()
		if got := revLoginLines(t, srv, "A", "a1"); !revHas(got, "230 user=A new=1 known=1") {
			t.Errorf("an origin that was connected a minute ago was forgotten as idle for 6 days: %q", got)
		}
	})
}

// 230 pres=0 says: this client gets no PRES.
func TestPresZeroIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, AnnounceLimit: 2}
		defer srv.Close()
		a := revLogin(t, srv, "A", "a1")
		b := revLogin(t, srv, "B", "b1")
		c := revMeet(t, srv, revLocal)
		c.login("C", "c1")
		if got := c.got(); !strings.Contains(strings.Join(got, "\n"), " pres=0") {
			t.Fatal(got)
		}
		a.send("QUIT n=1")
		b.send("QUIT n=1")
		if got := c.got(); revHas(got, "PRES") {
			t.Errorf("C was told pres=0, and gets %q", got)
		}
	})
}

// A lockout holds for all attempts, also those that are made at once.
func TestLockoutOfParallelAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: revSlow{demo}}
		defer srv.Close()
		var peers []*revPeer
		for i := range 6 {
			p := revMeet(t, srv, revLocal)
			p.send("HELO v=1", fmt.Sprintf("AUTH user=A pass=guess%d", i))
			peers = append(peers, p)
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		right := revMeet(t, srv, revLocal)
		right.send("HELO v=1", "AUTH user=A pass=passA")
		time.Sleep(200 * time.Millisecond)
		for i, p := range peers {
			if got := p.got(); i > 2 && revHas(got, "535") {
				t.Errorf("attempt %d, after the lockout: %q", i+1, got[1:])
			}
		}
		if got := right.got(); revHas(got, "230") {
			t.Errorf("logged in while locked out: %q", got[1:])
		}
	})
}

// revSlow takes its time for every password.
type revSlow struct{ chatserver.Credentials }

func (s revSlow) CheckPassword(ctx context.Context, user, pass string) (bool, error) {
	time.Sleep(100 * time.Millisecond)
	return s.Credentials.CheckPassword(ctx, user, pass)
}

func TestFormOfCapabilities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		for _, caps := range []string{"", ",,", "a,", "a_b", "\u00e9"} {
			p := revMeet(t, srv, revLocal)
			p.send("HELO v=1 caps=" + caps)
			if got := p.got(); !revHas(got, "501") {
				t.Errorf("caps=%s is no list: %q", caps, got)
			}
			p.nc.Close()
		}
	})
}

// An address without a port is an address all the same.
func TestCleartextFromAddressWithoutPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		p := revMeet(t, srv, "192.0.2.7")
		p.send("HELO v=1")
		if got := p.got(); revHas(got, "220") {
			t.Errorf("cleartext from another machine is served: %q", got)
		}
		p.nc.Close()
	})
}
