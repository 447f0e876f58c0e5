package chatserver_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// elsewhere logs B in with another program.
func (s *scene) elsewhere(origin string) *peer {
	s.t.Helper()
	p := connect(s.t, s.srv)
	p.say("HELO v=1 acks=1 pres=0")
	p.want("220")
	p.say("AUTH user=B pass=passB origin=%s", origin)
	p.want("230 user=B new=1 ")
	return p
}

// stays fails the test unless the session of p goes on.
func (s *scene) stays(p *peer) {
	s.t.Helper()
	p.say("ONLN")
	p.want("111 ")
	p.want("211")
}

// back is the first answer to B's login as the program that was away.
func (s *scene) back(pass, token string) string {
	s.t.Helper()
	return try(s.t, s.srv, 1, "B", pass, " origin=42 token="+token)
}

// replaced is staged with B's token, when B is away and has been replaced.
func replaced(t *testing.T, set func(*chatserver.Server), play func(t *testing.T, s *scene, token string, b2 *peer)) {
	t.Helper()
	staged(t, set, func(t *testing.T, s *scene) {
		token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001"))
		s.b.leaves()
		play(t, s, token, s.elsewhere("b2"))
	})
}

const (
	goneReplaced = "GBYE why=replaced :You logged in elsewhere"
	goneRemoved  = "GBYE why=removed :The operator has ended your session"
)

// A client that was replaced while it was away is told so when it comes back,
// once, and replaces nobody.
func TestReplacedAway(t *testing.T) {
	for _, test := range []struct {
		why string
		run func(t *testing.T, s *scene, token string, b2 *peer)
	}{
		{"once", func(t *testing.T, s *scene, token string, b2 *peer) {
			time.Sleep(5 * time.Minute)
			answers(t, "it comes back", s.back("passB", token), goneReplaced)
			s.stays(b2)
			answers(t, "it was told", s.back("passB", token), "230 user=B new=1 ")
			b2.want(goneReplaced)
		}},
		{"nothing but the GBYE", func(t *testing.T, s *scene, token string, b2 *peer) {
			p := lines(t, dial(t, s.srv, "127.0.0.2:5000"))
			p.say("HELO v=1")
			p.want("220")
			p.say("AUTH user=B pass=passB origin=42 token=%s\r\nQUIT", token)
			p.want(goneReplaced)
			p.want("(EOF)")
			s.stays(b2)
		}},
		{"by SCRAM", func(t *testing.T, s *scene, token string, b2 *peer) {
			c := newScramClient(t, dial(t, s.srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "B", "passB")
			c.extra = " origin=42 token=" + token
			answers(t, "it comes back", c.run(), goneReplaced)
			s.stays(b2)
		}},
		{"by SCRAM, with a wrong password", func(t *testing.T, s *scene, token string, b2 *peer) {
			c := newScramClient(t, dial(t, s.srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "B", "x")
			c.extra = " origin=42 token=" + token
			answers(t, "nothing is learnt", c.run(), "535 ")
			s.stays(b2)
		}},
		{"at the end of its lease", func(t *testing.T, s *scene, token string, b2 *peer) {
			time.Sleep(10*time.Minute - time.Millisecond)
			answers(t, "before", s.back("passB", token), goneReplaced)
			s.stays(b2)
		}},
		{"after its lease", func(t *testing.T, s *scene, token string, b2 *peer) {
			time.Sleep(10 * time.Minute)
			answers(t, "after", s.back("passB", token), "230 user=B new=1 ")
		}},
		{"the other has gone", func(t *testing.T, s *scene, token string, b2 *peer) {
			b2.say("QUIT")
			b2.want("221")
			answers(t, "it was replaced", s.back("passB", token), goneReplaced)
		}},
		{"a person starts it again", func(t *testing.T, s *scene, token string, b2 *peer) {
			answers(t, "without a token", try(t, s.srv, 1, "B", "passB", " origin=42"), "230 user=B new=1 ")
			b2.want(goneReplaced)
		}},
		{"a wrong password", func(t *testing.T, s *scene, token string, b2 *peer) {
			answers(t, "nothing is learnt", s.back("x", token), "535 left=2 ")
			s.stays(b2)
			answers(t, "and nothing is used", s.back("passB", token), goneReplaced)
		}},
		{"the token exempts from nothing", func(t *testing.T, s *scene, token string, b2 *peer) {
			for range 3 {
				s.back("x", "0")
			}
			answers(t, "locked out", s.back("passB", token), "450 ")
			s.stays(b2)
		}},
		{"another's token", func(t *testing.T, s *scene, token string, b2 *peer) {
			other := tokenIn(t, try(t, s.srv, 2, "C", "passC", " origin=c1"))
			answers(t, "C with B's", try(t, s.srv, 2, "C", "passC", " origin=c1 token="+token), "230 user=C new=0 ")
			answers(t, "B with C's", s.back("passB", other), "230 user=B new=1 ")
			b2.want(goneReplaced)
		}},
		{"not quite the token", func(t *testing.T, s *scene, token string, b2 *peer) {
			answers(t, "a part of it", s.back("passB", token[1:]), "230 user=B new=1 ")
		}},
	} {
		t.Run(test.why, func(t *testing.T) {
			replaced(t, nil, func(t *testing.T, s *scene, token string, b2 *peer) {
				s.t = t
				test.run(t, s, token, b2)
			})
		})
	}
}

// Whose session ends otherwise comes back as ever.
func TestReplacedHere(t *testing.T) {
	t.Run("with a connection", func(t *testing.T) {
		staged(t, nil, func(t *testing.T, s *scene) {
			s.b.leaves()
			token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001")) // it can be called still
			b2 := s.elsewhere("b2")
			s.b.want(goneReplaced)
			answers(t, "it was told", s.back("passB", token), "230 user=B new=1 ")
			b2.want(goneReplaced)
		})
	})
	t.Run("it cannot be called", func(t *testing.T) {
		staged(t, nil, func(t *testing.T, s *scene) {
			token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001"))
			s.b.say("%s", s.b.lstn(""))
			s.b.want("200 n=1")
			s.b.leaves()
			s.elsewhere("b2")
			answers(t, "it was never away", s.back("passB", token), "230 user=B new=1 ")
		})
	})
	t.Run("by a call that failed", func(t *testing.T) {
		staged(t, nil, func(t *testing.T, s *scene) {
			token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001"))
			s.b.leaves()
			s.x.set(errNobody)
			s.writes("hi")
			time.Sleep(5 * time.Minute)
			answers(t, "nobody replaced it", s.back("passB", token), "230 user=B new=1 ")
		})
	})
	t.Run("by the end of its lease", func(t *testing.T) {
		staged(t, nil, func(t *testing.T, s *scene) {
			token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001"))
			s.b.leaves()
			time.Sleep(10*time.Minute + time.Millisecond)
			answers(t, "nobody replaced it", s.back("passB", token), "230 user=B new=1 ")
		})
	})
}

// That the server could not reach it makes the session end earlier, and the
// client come back no earlier.
func TestReplacedUnreachable(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) {
		token := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50001"))
		s.b.leaves()
		s.x.set(errNobody)
		s.writes("hi")
		time.Sleep(30 * time.Second)
		s.elsewhere("b2").want("MESG ")
		time.Sleep(5 * time.Minute)
		answers(t, "at half of its lease", s.back("passB", token), goneReplaced)
	})
}

// Of several that were replaced in turn the newest is told.
func TestReplacedTwice(t *testing.T) {
	replaced(t, nil, func(t *testing.T, s *scene, first string, b2 *peer) {
		second := tokenIn(t, s.b.comes(t, s.srv, "192.0.2.7:50002"))
		b2.want(goneReplaced)
		s.b.registers(28404)
		s.b.leaves()
		answers(t, "a wrong password uses the token", s.back("x", second), "535 ")
		b3 := s.elsewhere("b3")
		answers(t, "and it is known all the same", s.back("passB", second), goneReplaced)
		s.stays(b3)
		answers(t, "the older is forgotten", s.back("passB", first), "230 user=B new=1 ")
	})
}

// On a connection that the server made no token is looked at.
func TestReplacedThenCalled(t *testing.T) {
	replaced(t, nil, func(t *testing.T, s *scene, token string, b2 *peer) {
		s.b.comes(t, s.srv, "192.0.2.7:50002")
		s.b.registers(28404)
		s.b.leaves()
		s.writes("hi")
		p := s.b.dialled(t)
		p.say("%s token=%s", s.b.auth(), token)
		p.want("230 user=B new=0 ")
	})
}

// A login that the application refuses is not told either.
func TestReplacedNotAuthorized(t *testing.T) {
	var no atomic.Bool
	replaced(t, func(srv *chatserver.Server) {
		srv.Hooks.AuthorizeLogin = func(context.Context, chatserver.ConnInfo) error {
			if no.Load() {
				return errors.New("not now")
			}
			return nil
		}
	}, func(t *testing.T, s *scene, token string, b2 *peer) {
		no.Store(true)
		if got := s.back("passB", token); strings.HasPrefix(got, "GBYE") || strings.HasPrefix(got, "230") {
			t.Errorf("got %q", got)
		}
		no.Store(false)
		answers(t, "now", s.back("passB", token), goneReplaced)
		s.stays(b2)
	})
}

// A session that the operator ended while its client was away, with an account
// that is still there and with one that is another now.
func TestRemovedAway(t *testing.T) {
	for why, test := range map[string]struct {
		change func(ctx context.Context, srv *chatserver.Server) error
		want   string
	}{
		"the same password, set anew": {func(context.Context, *chatserver.Server) error { return nil }, goneRemoved},
		"an account of the same name": {func(ctx context.Context, srv *chatserver.Server) error { return srv.RemoveAccount(ctx, "B") }, "230 user=B new=1 "},
	} {
		t.Run(why, func(t *testing.T) {
			serverTLS()
			synctest.Test(t, func(t *testing.T) {
				x := newExchange()
				srv := backServer(x)
				srv.Accounts = nil
				defer srv.Close()
				must := func(err error) {
					if err != nil {
						t.Fatal(err)
					}
				}
				must(srv.SetPassword(t.Context(), "B", "passB"))
				s := &scene{t: t, x: x, srv: srv, b: rove(t, srv, x, "B", "192.0.2.7:50000")}
				token := tokenIn(t, s.b.comes(t, srv, "192.0.2.7:50001"))
				s.b.leaves()
				must(test.change(t.Context(), srv))
				must(srv.SetPassword(t.Context(), "B", "passB"))
				answers(t, "it comes back", s.back("passB", token), test.want)
			})
		})
	}
}

// What was kept of an account that is gone by itself is gone with it.
func TestReplacedThenRemoved(t *testing.T) {
	accounts := &fickle{Accounts: demo}
	replaced(t, func(srv *chatserver.Server) { srv.Accounts = accounts }, func(t *testing.T, s *scene, token string, b2 *peer) {
		b2.say("QUIT")
		b2.want("221")
		accounts.gone.Store(true)
		if err := s.srv.EndRemoved(t.Context()); err != nil {
			t.Fatal(err)
		}
		accounts.gone.Store(false)
		answers(t, "another account", s.back("passB", token), "230 user=B new=1 ")
	})
}

// What proved a login must be true still when the client is told.
func TestReplacedWhileAccountsChange(t *testing.T) {
	accounts := new(changing)
	accounts.Store(&demo)
	replaced(t, func(srv *chatserver.Server) { srv.Accounts = accounts }, func(t *testing.T, s *scene, token string, b2 *peer) {
		c := newScramClient(t, dial(t, s.srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "B", "passB")
		c.extra = " origin=42 token=" + token
		c.greet()
		c.prove(c.begin())
		accounts.Store(&chatserver.Credentials{"A": "passA", "B": "another"})
		if err := s.srv.EndRemoved(t.Context()); err != nil {
			t.Fatal(err)
		}
		answers(t, "the old password", c.finish(), "421 :The accounts have changed. Please log in again")
		s.stays(b2)
		answers(t, "the new one", s.back("another", token), goneReplaced)
	})
}

// fickle are Accounts of which B may be gone.
type fickle struct {
	chatserver.Accounts
	gone atomic.Bool
}

func (f *fickle) Exists(ctx context.Context, user string) (bool, error) {
	if user == "B" && f.gone.Load() {
		return false, nil
	}
	return f.Accounts.Exists(ctx, user)
}
