package chatserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// Accounts in the store: made, given another password, removed; by each
// mechanism, and after a restart. What rested on the account before ends.
func TestStoreAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st := memstore.New()
		srv := &chatserver.Server{Store: st}
		defer func() { srv.Close() }()
		restart := func() {
			if err := srv.Close(); err != nil {
				t.Fatal(err)
			}
			srv = &chatserver.Server{Store: st}
		}
		set := func(user, password string) {
			t.Helper()
			if err := srv.SetPassword(ctx, user, password); err != nil {
				t.Fatal(err)
			}
		}
		scram := func(password string) string {
			return newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", password).run()
		}
		answers(t, "nobody yet", try(t, srv, 1, "A", "one", ""), "535 ")
		set("A", "one")
		set("B", "bee")
		for range 2 {
			answers(t, "by PLAIN", try(t, srv, 1, "A", "one", ""), "230 ")
			answers(t, "by SCRAM", scram("one"), "230 ")
			restart()
		}

		p := lines(t, dial(t, srv, "127.0.0.1:5000"))
		p.say("HELO v=1\nAUTH user=A pass=one origin=a1")
		p.want("220")
		token := tokenIn(t, p.next())
		for range 3 {
			try(t, srv, 2, "A", "x", "")
		}
		set("A", "two")
		p.want("GBYE why=removed :The operator has ended your session")
		p.want("(EOF)")
		answers(t, "the old password, and a token", try(t, srv, 3, "A", "one", " origin=a1 token="+token), "535 left=2")
		answers(t, "the lockout is forgotten", try(t, srv, 2, "A", "two", ""), "230 ")
		answers(t, "by SCRAM, the old one", scram("one"), "535 ")
		answers(t, "by SCRAM", scram("two"), "230 ")
		restart()
		answers(t, "the old one, after a restart", try(t, srv, 4, "A", "one", ""), "535 left=2")

		time.Sleep(11 * time.Minute) // who was here is out
		b := lines(t, dial(t, srv, "127.0.0.1:5000"))
		b.say("HELO v=1 pres=0\nAUTH user=B pass=bee\nSEND to=A :to one who is there")
		b.want("220")
		b.want("230")
		b.want("201")
		p = lines(t, dial(t, srv, "127.0.0.1:5000"))
		p.say("HELO v=1\nAUTH user=A pass=two")
		p.want("220")
		p.want("230")
		p.want("MESG")
		if err := srv.RemoveAccount(ctx, "A"); err != nil {
			t.Fatal(err)
		}
		p.want("GBYE why=removed")
		for n := range 2 {
			b.say("SEND to=A :to one who is gone")
			b.want("550 :A is not a valid user.")
			answers(t, "removed", try(t, srv, 5+n, "A", "two", ""), "535 ")
			answers(t, "removed, by SCRAM", scram("two"), "535 ")
			if err := srv.RemoveAccount(ctx, "A"); !errors.Is(err, chatproto.ErrNoSuchUser) {
				t.Errorf("removing it again: %v", err)
			}
			restart()
			b = lines(t, dial(t, srv, "127.0.0.1:5000"))
			b.say("HELO v=1 pres=0\nAUTH user=B pass=bee")
			b.want("220")
			b.want("230")
		}
		set("a", "another of this name, but for capitals, may come now")
		answers(t, "a", try(t, srv, 9, "A", "two", ""), "535 ")
	})
}

func TestSetPasswordRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		srv := &chatserver.Server{}
		defer srv.Close()
		if err := srv.SetPassword(ctx, "Alice", "x"); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ user, password, err string }{
			{"alice", "x", `"Alice", which differs in capitals only`},
			{"ALICE", "x", `"Alice", which differs in capitals only`},
			{"", "x", "cannot be an account"},
			{"a b", "x", "cannot be an account"},
			{"\u0430lice", "x", "keeps to one script"},
			{"bob", "", "must not be empty"},
			{"bob", "a\xff", "must be UTF-8"},
		} {
			if err := srv.SetPassword(ctx, tt.user, tt.password); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q, %q: %v, want %q", tt.user, tt.password, err, tt.err)
			}
		}
		answers(t, "it left nothing", try(t, srv, 1, "bob", "", ""), "535 ")
		if err := srv.SetPassword(ctx, "Alice", "y"); err != nil {
			t.Error(err)
		}

		other := &chatserver.Server{Accounts: demo}
		defer other.Close()
		if err := other.SetPassword(ctx, "Z", "x"); err == nil {
			t.Error("the store takes an account though Accounts says who may log in")
		}
		if err := other.RemoveAccount(ctx, "A"); err == nil {
			t.Error("the store removes an account of Accounts")
		}
	})
}

// An account holds when it is stored, and not earlier; where that is not known,
// the caller is told.
func TestSetPasswordWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		st.fail = 1 << 30
		srv := &chatserver.Server{Store: st}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := srv.SetPassword(ctx, "A", "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a store that fails: %v", err)
		}
		answers(t, "not stored", try(t, srv, 1, "A", "one", ""), "535 ")
		st.set(func() { st.fail = 0 })
		time.Sleep(2 * time.Second)
		answers(t, "stored in the end", try(t, srv, 1, "A", "one", ""), "230 ")
		srv.Close()
		if err := srv.SetPassword(t.Context(), "B", "x"); err != chatserver.ErrServerClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}

// An account that cannot be read is somebody's, and nobody can log in to it
// until it gets a password; the log has the name and not the verifier.
func TestUnreadableAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		if err := st.Commit(t.Context(), &store.Batch{Accounts: []store.Account{{User: "A", Verifier: "SCRAM-SHA-256$4096:torn"}}}); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		srv := &chatserver.Server{Store: st, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		defer srv.Close()
		for _, pass := range []string{"", "x", "SCRAM-SHA-256$4096:torn"} {
			answers(t, "unreadable", try(t, srv, 1, "A", pass, ""), map[bool]string{true: "450 ", false: "535 "}[pass != "" && pass != "x"])
		}
		if err := srv.SetPassword(t.Context(), "a", "x"); err == nil {
			t.Error("its name can be taken")
		}
		if err := srv.SetPassword(t.Context(), "A", "new"); err != nil {
			t.Fatal(err)
		}
		answers(t, "mended", try(t, srv, 1, "A", "new", ""), "230 ")
		if s := log.String(); !strings.Contains(s, "account=A") || strings.Contains(s, "torn") {
			t.Errorf("the log says\n%s", s)
		}
	})
}

// changing are accounts that somebody edits.
type changing struct {
	atomic.Pointer[chatserver.Credentials]
}

func (c *changing) Exists(ctx context.Context, user string) (bool, error) {
	return c.Load().Exists(ctx, user)
}

func (c *changing) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	return c.Load().CheckPassword(ctx, user, password)
}

func (c *changing) Verifier(ctx context.Context, user string) (*chatserver.Verifier, error) {
	return c.Load().Verifier(ctx, user)
}

// When accounts are gone their sessions end, those that linger too, and nobody
// else's; nobody can write to them any more. One that comes back is there
// again.
func TestEndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := new(changing)
		accounts.Store(&demo)
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		a, b := login(t, srv, "A"), login(t, srv, "B")
		c := login(t, srv, "C")
		c.nc.Close() // lingers
		synctest.Wait()
		if err := srv.EndRemoved(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.say("ONLN n=1")
		b.want("111 n=1 user=A")
		b.want("111 n=1 user=C")
		b.want("211")
		b.say("SEND n=1 to=columbia :who was never here")
		b.want("201 n=1")
		accounts.Store(&chatserver.Credentials{"B": "new"})
		if err := srv.EndRemoved(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.want("GBYE why=removed :The operator has ended your session")
		a.want("")
		b.say("ONLN n=2\r\nSEND n=3 to=A\r\nSEND n=4 to=C\r\nSEND n=5 to=columbia")
		b.want("211 n=2")
		b.want("550 n=3")
		b.want("550 n=4")
		b.want("550 n=5")
		answers(t, "a session whose password changed goes on; a login needs the new one", try(t, srv, 1, "B", "passB", ""), "535")
		accounts.Store(&demo)
		b.say("SEND n=6 to=A :welcome back")
		b.want("201 n=6")
	})
}

// A login that was begun before the accounts were read anew goes on, if its own
// is as it was.
func TestLoginWhileAccountsAreReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := new(changing)
		verifier, err := chatserver.NewVerifier("passA")
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{"passA", verifier.String()} {
			before, err := chatserver.ParseCredentials(strings.NewReader("A " + kept))
			if err != nil {
				t.Fatal(err)
			}
			after, err := chatserver.ParseCredentials(strings.NewReader("A " + kept + "\nB passB"))
			if err != nil {
				t.Fatal(err)
			}
			accounts.Store(&before)
			var change func()
			srv := &chatserver.Server{Accounts: accounts, Hooks: chatserver.Hooks{AuthorizeLogin: func(context.Context, chatserver.ConnInfo) error { change(); return nil }}}
			change = func() {
				accounts.Store(&after)
				if err := srv.EndRemoved(t.Context()); err != nil {
					t.Error(err)
				}
			}
			answers(t, "by PLAIN", try(t, srv, 1, "A", "passA", ""), "230 ")
			c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", "passA")
			c.greet()
			c.prove(c.begin())
			accounts.Store(&before)
			change()
			answers(t, "by SCRAM", c.finish(), "230 ")
			change = func() {
				other := chatserver.Credentials{"A": "another"}
				accounts.Store(&other)
				srv.EndRemoved(t.Context())
			}
			accounts.Store(&before)
			answers(t, "with another password", try(t, srv, 1, "A", "passA", ""), "421 :The accounts have changed. Please log in again")
			srv.Close()
		}
	})
}

// A login that was proved by accounts that are gone meanwhile gets no session.
func TestLoginWhileAccountsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := new(changing)
		accounts.Store(&demo)
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", "passA")
		c.greet()
		c.prove(c.begin())
		accounts.Store(&chatserver.Credentials{"A": "another"})
		if err := srv.EndRemoved(t.Context()); err != nil {
			t.Fatal(err)
		}
		answers(t, "the second step", c.finish(), "421 :The accounts have changed. Please log in again")
		answers(t, "the old password", try(t, srv, 1, "A", "passA", ""), "535 ")
	})
}

// Whom Accounts cannot be asked about stays, and the caller is told.
func TestEndRemovedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := &unsureAccounts{Credentials: demo}
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		a := login(t, srv, "A")
		b := login(t, srv, "B")
		accounts.down.Store(true)
		err := srv.EndRemoved(t.Context())
		if err == nil || !errors.Is(err, errBroken) || strings.Count(err.Error(), "account \"") != 2 {
			t.Errorf("%v", err)
		}
		for i, p := range []*peer{a, b} {
			p.say("ONLN n=1")
			p.want("111 n=1 user=" + string("BA"[i]))
			p.want("211")
		}
	})
}

type unsureAccounts struct {
	chatserver.Credentials
	down atomic.Bool
}

func (u *unsureAccounts) Exists(ctx context.Context, user string) (bool, error) {
	if u.down.Load() {
		return false, errBroken
	}
	return u.Credentials.Exists(ctx, user)
}

// An account that went while the server was down is nobody's when it is back.
func TestRemovedWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		login(t, srv, "A").say("SEND n=1 to=B :hi")
		synctest.Wait()
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		srv = &chatserver.Server{Accounts: chatserver.Credentials{"C": "passC", "B": "passB"}, Store: st}
		defer srv.Close()
		c := login(t, srv, "C")
		c.say("SEND n=1 to=A :gone?\r\nSEND n=2 to=B :there?")
		c.want("550 n=1 :A is not a valid user.")
		c.want("201 n=2")
	})
}
