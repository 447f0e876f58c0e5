package chatserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// try logs in once by PLAIN, from the n-th of many sources, and returns the
// answer. fields are more of AUTH, such as " origin=a1".
func try(t *testing.T, srv *chatserver.Server, n int, user, pass, fields string) string {
	t.Helper()
	near, far := memnet.Pipe(fmt.Sprintf("127.0.%d.%d:5000", n/250, n%250+1), "127.0.0.1:8000")
	go srv.ServeConn(far)
	defer near.Close()
	p := lines(t, near)
	p.say("HELO v=1")
	p.want("220")
	p.say("AUTH user=%s pass=%s%s", user, pass, fields)
	return p.next()
}

// answers fails the test unless got begins with want.
func answers(t *testing.T, why, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: %q, want %q", why, got, want)
	}
}

// A restart ends no lockout and forgives no failure, and forgets none that was
// forgiven.
func TestLockoutOutlivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		var srv *chatserver.Server
		restart := func() {
			if srv != nil {
				if err := srv.Close(); err != nil {
					t.Fatal(err)
				}
			}
			srv = &chatserver.Server{Accounts: demo, Store: st}
		}
		restart()
		defer func() { srv.Close() }()
		for i, want := range []string{"535 left=2", "535 left=1", "450 retry=60000 "} {
			answers(t, "a failure", try(t, srv, 1, "A", "x", ""), want)
			answers(t, "a failure of nobody's", try(t, srv, 1, "nobody", "x", ""), want)
			restart()
			if i == 1 {
				answers(t, "another source", try(t, srv, 2, "A", "passA", ""), "230 ")
			}
		}
		time.Sleep(20 * time.Second)
		answers(t, "while locked", try(t, srv, 1, "A", "passA", ""), "450 retry=40000 ")
		restart()
		answers(t, "while locked, after a restart", try(t, srv, 1, "nobody", "x", ""), "450 retry=40000 ")
		time.Sleep(40*time.Second - time.Millisecond)
		answers(t, "a millisecond before its end", try(t, srv, 1, "A", "passA", ""), "450 retry=1 ")
		time.Sleep(time.Millisecond)
		answers(t, "after it, one failure", try(t, srv, 1, "A", "x", ""), "535 left=2")
		answers(t, "and the right one", try(t, srv, 1, "A", "passA", ""), "230 ")
		restart()
		answers(t, "a success forgives", try(t, srv, 1, "A", "x", ""), "535 left=2")
		time.Sleep(time.Hour + time.Millisecond)
		restart()
		answers(t, "so does an hour", try(t, srv, 1, "A", "x", ""), "535 left=2")
	})
}

// Sources that never logged in to an account wait after the 20th failure of
// any of them, for twice as long after each, a minute at most, whether there
// is such an account or not; until nobody failed for an hour.
func TestGuessingFromManySources(t *testing.T) {
	for _, user := range []string{"A", "nobody"} {
		t.Run(user, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memstore.New()
				srv := &chatserver.Server{Accounts: demo, Store: st}
				defer func() { srv.Close() }()
				n := 0
				fail := func(want string) {
					t.Helper()
					n++
					answers(t, fmt.Sprint("failure ", n), try(t, srv, n, user, "x", ""), want)
				}
				for range 19 {
					fail("535 left=2")
				}
				if user == "A" {
					answers(t, "after 19", try(t, srv, 400, user, "passA", ""), "230 ")
				}
				fail("535 left=2")
				for _, wait := range []int{1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000} {
					answers(t, "the right one, too early", try(t, srv, 300, user, "passA", ""), fmt.Sprintf("450 retry=%d ", wait))
					time.Sleep(time.Duration(wait-1) * time.Millisecond)
					answers(t, "a millisecond too early, after a restart", try(t, srv, 301, user, "x", ""), "450 retry=1 ")
					time.Sleep(time.Millisecond)
					fail("535 left=2")
					if err := srv.Close(); err != nil {
						t.Fatal(err)
					}
					srv = &chatserver.Server{Accounts: demo, Store: st}
				}
				if user == "A" {
					answers(t, "where somebody logged in before", try(t, srv, 400, user, "passA", ""), "230 ")
				}
				answers(t, "another account", try(t, srv, 300, "B", "passB", ""), "230 ")
				time.Sleep(time.Hour + time.Millisecond)
				for range 19 {
					fail("535 left=2")
				}
				fail("535 left=2")
				fail("450 retry=1000 ")
			})
		})
	}
}

// A source that logged in is exempt for 90 days, over restarts; an account has
// 16 of them, and a new one takes the place of the oldest. What fails there is
// not counted against the others.
func TestProvenSources(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		var srv *chatserver.Server
		restart := func() {
			if srv != nil {
				if err := srv.Close(); err != nil {
					t.Fatal(err)
				}
			}
			srv = &chatserver.Server{Accounts: demo, Store: st, LockoutTries: 1000, Limits: chatserver.Limits{FailureRate: -1}}
		}
		restart()
		defer func() { srv.Close() }()
		siege := func() { // from there, so that unknown sources wait
			for n := range 20 {
				try(t, srv, 100+n, "A", "x", "")
			}
			answers(t, "an unknown source", try(t, srv, 99, "A", "passA", ""), "450 ")
		}
		for n := range 17 {
			answers(t, "nobody guesses", try(t, srv, n, "A", "passA", ""), "230 ")
			time.Sleep(time.Second)
		}
		for range 30 {
			answers(t, "a friend's mistake", try(t, srv, 5, "A", "x", ""), "535 ")
		}
		answers(t, "that counts for nobody else", try(t, srv, 50, "A", "x", ""), "535 ")
		restart()
		siege()
		answers(t, "the 17th before", try(t, srv, 0, "A", "passA", ""), "450 ")
		for n := 1; n < 17; n++ {
			answers(t, fmt.Sprint("source ", n), try(t, srv, n, "A", "passA", ""), "230 ")
		}
		time.Sleep(50 * day)
		answers(t, "long after", try(t, srv, 1, "A", "passA", ""), "230 ")
		time.Sleep(40*day + time.Minute)
		siege()
		answers(t, "renewed 40 days ago", try(t, srv, 1, "A", "passA", ""), "230 ")
		answers(t, "90 days ago", try(t, srv, 2, "A", "passA", ""), "450 ")
		time.Sleep(time.Hour)
		restart()
		siege()
		answers(t, "90 days ago, after a restart", try(t, srv, 3, "A", "passA", ""), "450 ")
		answers(t, "renewed, after a restart", try(t, srv, 1, "A", "passA", ""), "230 ")
	})
}

// However many guess at once, from however many sources: one is looked at, and
// the others wait for what it finds.
func TestGuessingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := &slowAccounts{Credentials: demo}
		srv := &chatserver.Server{Accounts: accounts, LoginTimeout: time.Hour}
		defer srv.Close()
		for n := range 19 {
			try(t, srv, n, "A", "x", "")
		}
		accounts.asked.Store(0)
		got := make(chan string)
		for n := range 100 {
			go func() { got <- try(t, srv, 100+n, "A", "x", "") }()
		}
		denied := 0
		for range 100 {
			if strings.HasPrefix(<-got, "535 ") {
				denied++
			}
		}
		if asked := accounts.asked.Load(); asked != 1 || denied != 1 {
			t.Errorf("%d guesses were looked at, %d denied", asked, denied)
		}
	})
}

// slowAccounts take a while for a password, and count how often they are
// asked.
type slowAccounts struct {
	chatserver.Credentials
	asked atomic.Int32
}

func (s *slowAccounts) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	s.asked.Add(1)
	time.Sleep(100 * time.Millisecond)
	return s.Credentials.CheckPassword(ctx, user, password)
}

// A store that fails lets nobody in, locks nobody out, and holds no answer up.
func TestLoginsWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		st.fail = 1 << 30
		srv := &chatserver.Server{Accounts: demo, Store: st}
		start := time.Now()
		for _, want := range []string{"535 left=2", "535 left=1", "450 retry=60000 "} {
			answers(t, "a wrong password", try(t, srv, 1, "A", "x", ""), want)
		}
		answers(t, "the right one, elsewhere", try(t, srv, 2, "A", "passA", ""), "230 ")
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
		st.set(func() { st.fail = 0 })
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		state, err := st.Load(t.Context(), func(*store.Message) error { return nil })
		if err != nil || len(state.Attempts) == 0 {
			t.Errorf("the store has %d attempts, %v", len(state.Attempts), err)
		}
	})
}

// Accounts that cannot be asked: the client may try later, and nothing is
// counted.
func TestAccountsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := &brokenAccounts{Credentials: demo}
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		answers(t, "before", try(t, srv, 1, "A", "x", ""), "535 left=2")
		accounts.broken.Store(true)
		for range 5 {
			answers(t, "by PLAIN", try(t, srv, 1, "A", "passA", ""), "451 :Internal server error")
			c := newScramClient(t, dial(t, srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "A", "passA")
			answers(t, "by SCRAM", c.run(), "451 :Internal server error")
		}
		accounts.broken.Store(false)
		answers(t, "afterwards", try(t, srv, 1, "A", "x", ""), "535 left=1")
	})
}

type brokenAccounts struct {
	chatserver.Credentials
	broken atomic.Bool
}

var errBroken = errors.New("the directory is down")

func (b *brokenAccounts) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	if b.broken.Load() {
		return true, errBroken
	}
	return b.Credentials.CheckPassword(ctx, user, password)
}

func (b *brokenAccounts) Verifier(ctx context.Context, user string) (*chatserver.Verifier, error) {
	v, err := b.Credentials.Verifier(ctx, user)
	if b.broken.Load() {
		return v, errBroken
	}
	return v, err
}

// The log names who failed, from where, and how many tries are left; and
// nothing that anybody could log in with.
func TestLoginLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		srv := &chatserver.Server{Accounts: demo, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		var secrets []string
		for _, password := range []string{"hunter2", "passA"} {
			secrets = append(secrets, password, valueOf(try(t, srv, 1, "A", password, " origin=a1"), "token"))
			c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", password)
			c.extra = " origin=a2"
			answer := c.run()
			secrets = append(secrets, valueOf(answer, "token"), c.first, c.final, c.final[len(c.final)-44:], c.signature)
		}
		c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", "passA")
		c.editFinal = swap("r=", "r=x")
		answers(t, "changed on the way", c.run(), changed)
		secrets = append(secrets, c.final)
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		said := log.String()
		for _, secret := range secrets {
			if secret != "" && strings.Contains(said, secret) {
				t.Errorf("the log has %q:\n%s", secret, said)
			}
		}
		for _, want := range []string{`msg="login refused" remote=127.0.0.2:5000 account=A mech=PLAIN left=2`, "mech=SCRAM-SHA-256 left=2", "changed on the way"} {
			if !strings.Contains(said, want) {
				t.Errorf("the log lacks %q:\n%s", want, said)
			}
		}
	})
}
