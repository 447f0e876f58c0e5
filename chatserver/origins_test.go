package chatserver_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// auth logs in on a new connection, with what AUTH says beside the password,
// and returns the 230, or what came instead.
func auth(t *testing.T, srv *chatserver.Server, user, rest string) (*revPeer, string) {
	p := revMeet(t, srv, revLocal)
	p.send("HELO v=1 acks=1 beat=30000 pres=0", "AUTH user="+user+" pass="+demo[user]+" "+rest)
	got := p.got()
	if len(got) < 2 {
		return p, ""
	}
	return p, got[1]
}

// An origin that its client had a 230 for, and that the server does not hold,
// is not registered (SPEC section 6.6). Else the 230 after one that was lost
// would say known=1.
func TestForgottenOriginIsNotRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		for _, step := range []struct{ rest, want, drawn string }{
			{"origin=a1 known=1", "known=0 high=0", "yes"},
			{"origin=a1 known=1", "known=0 high=0", "yes"},
			{"origin=a1 known=0", "known=0 high=0", ""},
			{"origin=a1", "known=1 high=0", ""},
			{"origin=a1 known=1", "known=1 high=0", ""},
			{"known=1", "known=0 high=0", "yes"},
			{"origin=a1 known=1", "known=1 high=0", ""},
			{"origin=a1 known=2", "501", ""},
		} {
			_, got := auth(t, srv, "A", step.rest)
			if !strings.Contains(got, step.want) || strings.Contains(got, " origin=") != (step.drawn != "") || strings.Contains(got, " origin=a1") ||
				strings.Contains(got, " token=") != (step.drawn == "" && step.want != "501") { // nobody comes back to an origin that was drawn
				t.Errorf("AUTH %s: %q, want %s", step.rest, got, step.want)
			}
		}
	})
}

// The run that ../fuzz/model finds without that rule. The server refuses A's
// first message and delivers the second, and loses its disk. A's next 230 is
// lost, and the one after that must not let A send the first message again: B,
// who has seen the second, would drop it.
func TestLostDiskAndLostWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		hooks := chatserver.Hooks{AuthorizeMessage: func(context.Context, chatserver.Outgoing) error {
			if refuse {
				return chatproto.ErrMailboxFull
			}
			return nil
		}}
		srv := &chatserver.Server{Accounts: demo, Hooks: hooks, Store: memstore.New()}
		b := revLogin(t, srv, "B", "b1")
		a, welcome := auth(t, srv, "A", "origin=a1")
		if !strings.Contains(welcome, "known=0") {
			t.Fatal(welcome)
		}
		a.send("SEND n=1 to=B :first")
		a.got()
		refuse = false
		a.send("SEND n=2 to=B :second")
		if got := b.got(); !revHas(got, "MESG from=A id=a1.2") {
			t.Fatal(got)
		}
		srv.Close()

		srv = &chatserver.Server{Accounts: demo, Hooks: hooks, Store: memstore.New()}
		defer srv.Close()
		lost, welcome := auth(t, srv, "A", "origin=a1 known=1")
		if !strings.Contains(welcome, "known=0") {
			t.Fatal(welcome)
		}
		lost.nc.Close() // A has not read it
		synctest.Wait()
		if _, welcome = auth(t, srv, "A", "origin=a1 known=1"); !strings.Contains(welcome, "known=0") {
			t.Errorf("A would send again what the server has forgotten: %q", welcome)
		}
	})
}

// A client that is idle for so long that its origin is forgotten is in the
// same case.
func TestOriginForgottenByAgeIsNotRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		p, _ := auth(t, srv, "A", "origin=a1")
		p.nc.Close()
		time.Sleep(7 * 24 * time.Hour)
		for range 2 {
			p, got := auth(t, srv, "A", "origin=a1 known=1")
			if !strings.Contains(got, "known=0") {
				t.Error(got)
			}
			p.nc.Close()
			synctest.Wait()
		}
	})
}

// A new origin is stored before the 230 also when an earlier login gave up
// waiting for that.
func TestWelcomeWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		auth(t, srv, "B", "origin=b1") // the server runs
		hold := make(chan struct{})
		st.set(func() { st.hold = hold })
		for range 2 {
			p, _ := auth(t, srv, "A", "origin=a1")
			time.Sleep(time.Minute)
			if got := p.got(); revHas(got, "230") || !revHas(got, "421") {
				t.Errorf("while nothing can be stored: %q", got)
			}
		}
		st.set(func() { st.hold = nil })
		close(hold)
		synctest.Wait()
		if _, got := auth(t, srv, "A", "origin=a1"); !strings.HasPrefix(got, "230 ") {
			t.Error(got)
		}
	})
}
