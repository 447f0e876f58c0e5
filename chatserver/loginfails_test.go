package chatserver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
)

// A login that fails at its end leaves no session in the store: after a
// restart its user would count as online.
func TestFailedLoginLeavesNoSession(t *testing.T) {
	for name, origin := range map[string]string{"with a new origin": " origin=a1", "without one": ""} {
		t.Run("the accounts change, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Store: newRevGate()}
				srv.Hooks.AuthorizeLogin = func(ctx context.Context, _ chatserver.ConnInfo) error {
					return srv.SetPassword(ctx, "A", "two")
				}
				if err := srv.SetPassword(t.Context(), "A", "one"); err != nil {
					t.Fatal(err)
				}
				p := lines(t, dial(t, srv, "127.0.0.1:5000"))
				p.say("HELO v=1 pres=0\nAUTH user=A pass=one" + origin)
				p.want("220")
				p.want("421")
				srv.Close()
				wantSessions(t, srv.Store)
			})
		})
	}
	t.Run("the store hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			st := newRevGate()
			srv := &chatserver.Server{Accounts: demo, Store: st}
			st.set(true, false)
			p := revMeet(t, srv, revLocal)
			p.send("HELO v=1", "AUTH user=A pass=passA origin=a1")
			time.Sleep(time.Minute)
			if got := p.got(); !revHas(got, "421") {
				t.Errorf("got %q, want 421", got)
			}
			st.set(false, false)
			srv.Close()
			wantSessions(t, st)
		})
	})
}

// wantSessions fails the test unless the sessions in the store are these.
func wantSessions(t *testing.T, st store.Store, want ...store.Session) {
	t.Helper()
	state, err := st.Load(context.Background(), func(*store.Message) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Sessions) != len(want) || len(want) == 1 && state.Sessions[0] != want[0] {
		t.Errorf("the store has the sessions %v, want %v", state.Sessions, want)
	}
}

// A login that comes back to its session and fails at its end leaves it as it
// was.
func TestFailedReturnKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		accounts := chatserver.Credentials{"A": "passA"}
		srv := &chatserver.Server{Accounts: accounts, Store: st}
		logins := 0
		srv.Hooks.AuthorizeLogin = func(ctx context.Context, _ chatserver.ConnInfo) error {
			if logins++; logins == 1 {
				return nil
			}
			accounts["A"] = "another"
			return srv.EndRemoved(ctx)
		}
		revLogin(t, srv, "A", "a1")
		p := revMeet(t, srv, revLocal)
		p.send("HELO v=1", "AUTH user=A pass=passA origin=a1")
		if got := p.got(); !revHas(got, "421") {
			t.Errorf("got %q, want 421", got)
		}
		srv.Close()
		wantSessions(t, st, store.Session{User: "A", Origin: 0xa1})
	})
}

// An account that goes while its login is under way is none: the login is
// answered as one to a name without an account.
func TestAccountGoesDuringLogin(t *testing.T) {
	for name, login := range map[string]func(*testing.T, *chatserver.Server) []string{
		"PLAIN": func(t *testing.T, srv *chatserver.Server) []string {
			p := revMeet(t, srv, revLocal)
			p.send("HELO v=1", "AUTH user=A pass=one origin=a1")
			return p.got()
		},
		"SCRAM": func(t *testing.T, srv *chatserver.Server) []string {
			return []string{newScramClient(t, dial(t, srv, revLocal), "SCRAM-SHA-256", "A", "one").run()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{}
				defer srv.Close()
				srv.Hooks.AuthorizeLogin = func(ctx context.Context, _ chatserver.ConnInfo) error {
					return srv.RemoveAccount(ctx, "A")
				}
				if err := srv.SetPassword(t.Context(), "A", "one"); err != nil {
					t.Fatal(err)
				}
				if got := login(t, srv); !revHas(got, "535 left=2 :Invalid Password") {
					t.Errorf("got %q, want 535", got)
				}
			})
		})
	}
}
