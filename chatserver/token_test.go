package chatserver_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// lockOut has so many fail in A's name, from where A is, that A is locked out.
func lockOut(t *testing.T, srv *chatserver.Server) {
	t.Helper()
	for range 3 {
		try(t, srv, 1, "A", "x", "")
	}
	answers(t, "without a token", try(t, srv, 1, "A", "passA", ""), "450 ")
}

// tokenIn returns the token of a 230.
func tokenIn(t *testing.T, answer string) string {
	t.Helper()
	token := valueOf(answer, "token")
	if !strings.HasPrefix(answer, "230 ") || len(token) != 32 || strings.Trim(token, "0123456789abcdef") != "" {
		t.Fatalf("no token in %q", answer)
	}
	return token
}

// The token of the last login lets a client past a lockout and past the
// waiting of strangers: once, its user alone, while the session lives, with
// the right password alone.
func TestToken(t *testing.T) {
	auth := func(token string) string { return " origin=a1 token=" + token }
	for _, tt := range []struct {
		why string
		run func(t *testing.T, srv *chatserver.Server, token string)
	}{
		{"it works, and brings another", func(t *testing.T, srv *chatserver.Server, token string) {
			next := tokenIn(t, try(t, srv, 1, "A", "passA", auth(token)))
			if next == token {
				t.Error("the same token again")
			}
			lockOut(t, srv)
			answers(t, "used before", try(t, srv, 1, "A", "passA", auth(token)), "450 ")
			answers(t, "the new one", try(t, srv, 1, "A", "passA", auth(next)), "230 user=A new=0 ")
		}},
		{"from a source that nobody knows", func(t *testing.T, srv *chatserver.Server, token string) {
			for n := range 20 {
				try(t, srv, 100+n, "A", "x", "")
			}
			answers(t, "without", try(t, srv, 99, "A", "passA", ""), "450 ")
			answers(t, "with", try(t, srv, 99, "A", "passA", auth(token)), "230 ")
		}},
		{"it replaces no password, and is used by a wrong one", func(t *testing.T, srv *chatserver.Server, token string) {
			answers(t, "a wrong password", try(t, srv, 1, "A", "x", auth(token)), "535 ")
			answers(t, "used before", try(t, srv, 1, "A", "passA", auth(token)), "450 ")
		}},
		{"of two steps", func(t *testing.T, srv *chatserver.Server, token string) {
			p := lines(t, dial(t, srv, "127.0.0.2:5000"))
			p.say("HELO v=1")
			p.want("220")
			p.say("AUTH user=A origin=a1 token=%s", token)
			p.want("331")
			p.say("AUTH pass=passA token=%s", token)
			p.want("501")
			p.say("AUTH user=A origin=a1 token=%s", token)
			p.want("331")
			p.say("AUTH pass=passA")
			p.want("230 user=A new=0")
		}},
		{"by SCRAM", func(t *testing.T, srv *chatserver.Server, token string) {
			c := newScramClient(t, dial(t, srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "A", "passA")
			c.extra = " origin=a1"
			c.greet()
			answers(t, "the first step without", c.begin(), "450 ")
			c = newScramClient(t, dial(t, srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "A", "passA")
			c.extra = auth(token)
			answer := c.run()
			c.in(answer)
			tokenIn(t, answer)
		}},
		{"by SCRAM, begun and given up", func(t *testing.T, srv *chatserver.Server, token string) {
			c := newScramClient(t, dial(t, srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "A", "passA")
			c.extra = auth(token)
			c.greet()
			answers(t, "the first step", c.begin(), "334 ")
			c.nc.Close()
			answers(t, "it is not used", try(t, srv, 1, "A", "passA", auth(token)), "230 ")
		}},
		{"two at once, by SCRAM", func(t *testing.T, srv *chatserver.Server, token string) {
			var cs [2]*scramClient
			for i := range cs {
				cs[i] = newScramClient(t, dial(t, srv, "127.0.0.2:5000"), "SCRAM-SHA-256", "A", "passA")
				cs[i].extra = auth(token)
				cs[i].greet()
				cs[i].prove(cs[i].begin())
			}
			answers(t, "the first", cs[0].finish(), "230 ")
			lockOut(t, srv)
			answers(t, "the second", cs[1].finish(), "450 ")
		}},
		{"another's", func(t *testing.T, srv *chatserver.Server, token string) {
			other := tokenIn(t, try(t, srv, 2, "B", "passB", " origin=b1"))
			answers(t, "B's", try(t, srv, 1, "A", "passA", auth(other)), "450 ")
			for _, no := range []string{token[1:], token + "0", token[:31] + "g", "0", strings.Repeat("0", 32)} {
				answers(t, "not quite", try(t, srv, 1, "A", "passA", auth(no)), "450 ")
			}
			for _, none := range []string{strings.Repeat("A", 32), ""} {
				answers(t, "no token", try(t, srv, 1, "A", "passA", auth(none)), "501 ")
			}
			answers(t, "none of which used it", try(t, srv, 1, "A", "passA", auth(token)), "230 ")
		}},
		{"when the session is over", func(t *testing.T, srv *chatserver.Server, token string) {
			time.Sleep(46 * time.Second)
			answers(t, "after the timeout", try(t, srv, 1, "A", "passA", auth(token)), "450 ")
		}},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, Limits: chatserver.Limits{FailureRate: -1}}
				defer srv.Close()
				token := tokenIn(t, try(t, srv, 1, "A", "passA", " origin=a1"))
				synctest.Wait()
				lockOut(t, srv)
				tt.run(t, srv, token)
			})
		})
	}
}

// Who named no origin cannot come back, and gets no token; a restart ends all
// tokens.
func TestNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		if answer := try(t, srv, 1, "B", "passB", ""); valueOf(answer, "token") != "" {
			t.Errorf("a token for a drawn origin: %q", answer)
		}
		token := tokenIn(t, try(t, srv, 1, "A", "passA", " origin=a1"))
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		srv = &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		lockOut(t, srv)
		answers(t, "after a restart", try(t, srv, 1, "A", "passA", " origin=a1 token="+token), "450 ")
	})
}

// A session that lives is not touched by what others do in its user's name.
func TestLiveSessionUnderSiege(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := login(t, srv, "A")
		lockOut(t, srv)
		for n := range 30 {
			try(t, srv, 10+n, "A", "x", "")
		}
		a.say("SEND n=1 to=B :still here")
		a.want("201 n=1")
	})
}

// Ten logins may fail on one connection, and those by SCRAM that were begun
// and not brought to an end count.
func TestAttemptsOnConnection(t *testing.T) {
	const bye = "GBYE why=protocol :Too many failed logins"
	names := "abcdefghijkl"
	for _, tt := range []struct {
		why string
		run func(t *testing.T, c *scramClient)
	}{
		{"wrong passwords", func(t *testing.T, c *scramClient) {
			for i := range 10 {
				c.say("AUTH user=%c pass=x", names[i])
				c.want("535 left=2")
			}
			c.want(bye)
		}},
		{"nine, and the right one", func(t *testing.T, c *scramClient) {
			for i := range 9 {
				c.say("AUTH user=%c pass=x", names[i])
				c.want("535 left=2")
			}
			c.in(c.steps())
		}},
		{"wrong proofs", func(t *testing.T, c *scramClient) {
			for i := range 10 {
				c.user = names[i : i+1]
				c.prove(c.begin())
				answers(t, "a wrong proof", c.finish(), "535 left=2")
			}
			c.want(bye)
		}},
		{"first steps alone", func(t *testing.T, c *scramClient) {
			for range 10 {
				answers(t, "a first step", c.begin(), "334 ")
			}
			answers(t, "one too many", c.begin(), bye)
		}},
		{"nine first steps, and one to the end", func(t *testing.T, c *scramClient) {
			for range 9 {
				answers(t, "a first step", c.begin(), "334 ")
			}
			c.in(c.steps())
		}},
		{"second steps that are none", func(t *testing.T, c *scramClient) {
			for range 10 {
				answers(t, "a first step", c.begin(), "334 ")
				c.say("AUTH data=")
				c.want("501 ")
			}
			c.want(bye)
		}},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo}
				defer srv.Close()
				c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", "passA")
				c.greet()
				tt.run(t, c)
			})
		})
	}
}

// steps takes both steps of a login as A and returns the last answer.
func (c *scramClient) steps() string {
	c.prove(c.begin())
	return c.finish()
}

// A field of AUTH that has not its form is a bad field, whether it would have
// mattered or not (SPEC section 3.4).
func TestFormsOfAUTH(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		for _, fields := range []string{" token=", " token=A", " token=a_b", " token=\\s", " known=2", " known=", " origin=a1 known=x"} {
			answers(t, fields, try(t, srv, 1, "A", "passA", fields), "501 ")
		}
		answers(t, "a token that nobody gave", try(t, srv, 1, "A", "passA", " token=0a-z"), "230 ")
	})
}
