package chatserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// called is away when A has written, and the server dials.
func called(t *testing.T, set func(*chatserver.Server), play func(t *testing.T, s *scene)) {
	t.Helper()
	staged(t, set, func(t *testing.T, s *scene) {
		s.b.leaves()
		s.writes("hi")
		play(t, s)
	})
}

// Who is not the client that is called is told nothing but TLS, whatever the
// application's own configuration says; the client is called again.
func TestDialBackStrangers(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := certificateOf(&curve.PublicKey, curve)
	configs := map[string]*tls.Config{
		"":                        serverTLS(),
		" of an own choice":       choosing(&tls.Config{Certificates: serverTLS().Certificates, NextProtos: []string{"acme-tls/1"}}),
		" that wants no client's": {Certificates: serverTLS().Certificates, ClientAuth: tls.NoClientCert, VerifyConnection: func(tls.ConnectionState) error { return nil }},
	}
	for _, test := range []struct {
		why  string
		edit func(*tls.Config)
	}{
		{"another key", func(c *tls.Config) { c.Certificates = []tls.Certificate{newIdentity()} }},
		{"a key of another kind", func(c *tls.Config) { c.Certificates = []tls.Certificate{other} }},
		{"no certificate", func(c *tls.Config) { c.Certificates = nil }},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }},
		{"the ALPN of logins", func(c *tls.Config) { c.NextProtos = []string{handshake.ALPN} }},
		{"the ALPN of private lines", func(c *tls.Config) { c.NextProtos = []string{handshake.PeerALPN} }},
		{"the ALPN of authorities", func(c *tls.Config) { c.NextProtos = []string{"acme-tls/1"} }},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
	} {
		for name, cfg := range configs {
			t.Run(test.why+name, func(t *testing.T) {
				called(t, func(srv *chatserver.Server) { srv.TLSConfig = cfg }, func(t *testing.T, s *scene) {
					synctest.Wait()
					ccfg := s.b.backTLS()
					test.edit(ccfg)
					far := tls.Client(<-s.x.ends, ccfg)
					if far.Handshake() == nil { // it does not know yet
						io.WriteString(far, "HELO v=1 acks=1 beat=30000\r\n"+s.b.auth()+"\r\n")
						if got, err := io.ReadAll(far); err == nil || len(got) > 0 {
							t.Errorf("got %q, %v", got, err)
						}
					}
					far.Close()
					time.Sleep(2 * time.Second)
					s.b.answers(t)
					s.b.want("MESG")
				})
			})
		}
	}
}

// The server says nothing before a ClientHello, and nothing in cleartext, on a
// connection that it made; not even that it ends.
func TestDialBackSaysNothing(t *testing.T) {
	for _, test := range []struct {
		why, say string
		end      func(*chatserver.Server)
	}{
		{"to a client that waits", "", nil},
		{"to a line", "HELO v=1 acks=1 beat=30000\r\n", nil},
		{"to a part of a line", "HELO", nil},
		{"to the first octet of TLS", "\x16", nil},
		{"when it is shut down", "", func(srv *chatserver.Server) { srv.Shutdown(context.Background()) }},
		{"when it is closed", "\x16", func(srv *chatserver.Server) { srv.Close() }},
	} {
		t.Run(test.why, func(t *testing.T) {
			called(t, func(srv *chatserver.Server) { srv.AllowCleartext = true }, func(t *testing.T, s *scene) {
				synctest.Wait()
				far := <-s.x.ends
				defer far.Close()
				io.WriteString(far, test.say)
				start := time.Now()
				if test.end != nil {
					go test.end(s.srv)
				}
				got, _ := io.ReadAll(far)
				if len(got) > 0 && got[0] != 0x15 { // an alert
					t.Errorf("got %q", got)
				}
				if took := time.Since(start); took > 10*time.Second || test.end != nil && took > 0 {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// What AUTH on a dialled connection is answered. Who is refused by mistake may
// try again there, and nothing of it is a failed login.
func TestDialBackAuth(t *testing.T) {
	removed := make(map[string]bool)
	for _, test := range []struct {
		why, auth, want string
		before          func(s *scene)
		lasting         bool // the right one is refused, too
	}{
		{"", "AUTH mech=EXTERNAL user=B origin=42 known=1", "230 user=B new=0 known=1 high=0 mail=1 ", nil, false},
		{"without known=", "AUTH mech=EXTERNAL user=B origin=42", "230 user=B new=0 known=1 high=0 mail=1 ", nil, false},
		{"with a token", "AUTH mech=EXTERNAL user=B origin=42 known=1 token=00112233445566778899aabbccddeeff", "230 user=B new=0 ", nil, false},
		{"another user", "AUTH mech=EXTERNAL user=A origin=42 known=1", "535 :This session is over", nil, false},
		{"nobody", "AUTH mech=EXTERNAL user=nobody origin=42 known=1", "535 :", nil, false},
		{"another origin", "AUTH mech=EXTERNAL user=B origin=43 known=1", "535 :", nil, false},
		{"no origin", "AUTH mech=EXTERNAL user=B", "501 :EXTERNAL", nil, false},
		{"no user", "AUTH mech=EXTERNAL origin=42", "501 :", nil, false},
		{"a password", "AUTH mech=EXTERNAL user=B origin=42 pass=passB", "501 :", nil, false},
		{"data", "AUTH mech=EXTERNAL user=B origin=42 data=", "501 :", nil, false},
		{"a password alone", "AUTH user=B origin=42 pass=passB", "501 :", nil, false},
		{"a user alone", "AUTH user=B origin=42", "501 :", nil, false},
		{"PLAIN", "AUTH mech=PLAIN user=B origin=42 pass=passB", "501 :", nil, false},
		{"SCRAM", "AUTH mech=SCRAM-SHA-256-PLUS user=B origin=42 data=n", "501 :", nil, false},
		{"it came by itself", "", "421 :", func(s *scene) { s.b.comes(s.t, s.srv, "192.0.2.7:2") }, true},
		{"it came by itself and went", "", "230 user=B new=0 ", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.leaves()
		}, false},
		{"it came by itself and logged out", "", "535 :", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.say("QUIT")
			s.b.leaves()
		}, true},
		{"it came by itself, logged out, and came again", "", "535 :", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.say("QUIT")
			s.b.leaves()
			s.b.comes(s.t, s.srv, "192.0.2.7:3")
			s.b.want("MESG")
			s.b.registers(28404)
			s.b.leaves()
		}, true},
		{"it came from another origin", "", "535 :", func(s *scene) {
			p := loginOver(s.t, tlsClient(s.t, s.srv, "192.0.2.8:1", clientTLS()), "B") // the same origin: only fences
			p.nc.Close()
			p = lines(s.t, tlsClient(s.t, s.srv, "192.0.2.8:2", clientTLS()))
			p.say("HELO v=1 acks=1")
			p.want("220")
			p.say("AUTH mech=PLAIN user=B pass=passB origin=b2")
			p.want("230 user=B new=1")
			p.nc.Close()
			synctest.Wait()
		}, true},
		{"it wants to be called by another key", "", "535 :", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.want("MESG")
			s.b.cert = newIdentity()
			s.b.registers(28404)
			s.b.leaves()
		}, true},
		{"it does not want to be called any more", "", "535 :", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.want("MESG")
			s.b.say("%s", s.b.lstn(""))
			s.b.want("200")
			s.b.leaves()
		}, true},
		{"the account is gone", "", "535 :", func(*scene) { removed["B"] = true }, true},
		{"the operator does not want it", "", "535 :Not you", func(s *scene) {
			s.srv.Hooks.AuthorizeLogin = func(_ context.Context, c chatserver.ConnInfo) error {
				if c.User != "B" || c.Origin != 0x42 {
					s.t.Errorf("asked about %v", c)
				}
				return &chatproto.Error{Code: chatproto.ReplyDenied, Text: "Not you"}
			}
		}, true},
	} {
		t.Run(test.why, func(t *testing.T) {
			clear(removed)
			called(t, func(srv *chatserver.Server) {
				srv.Accounts = fewer{demo, removed}
			}, func(t *testing.T, s *scene) {
				s.t = t
				p := s.b.dialled(t)
				if test.before != nil {
					test.before(s)
				}
				if test.auth == "" {
					test.auth = s.b.auth()
				}
				for range 20 {
					p.say("%s", test.auth)
					got := p.want(test.want)
					if valueOf(got, "left") != "" || valueOf(got, "retry") != "" {
						t.Errorf("got %q", got)
					}
					if !strings.HasPrefix(got, "5") {
						break
					}
				}
				switch {
				case strings.HasPrefix(test.want, "230"):
					p.want("MESG")
				case strings.HasPrefix(test.want, "421"):
					p.want("(EOF)")
				case !test.lasting:
					p.say("%s", s.b.auth())
					p.want("230 user=B new=0 ")
				}
				delete(removed, "B")
				s.srv.Hooks.AuthorizeLogin = nil
				answers(t, "it counts for nothing", try(t, s.srv, 7, "B", "x", ""), "535 left=2")
			})
		})
	}
}

// What happens while the operator is asked counts: the session that was called
// for is looked at again.
func TestDialBackMeanwhile(t *testing.T) {
	for _, test := range []struct {
		why       string
		meanwhile func(s *scene)
		want      string
	}{
		{"nothing", func(*scene) {}, "230 user=B new=0 "},
		{"it came by itself", func(s *scene) { s.b.comes(s.t, s.srv, "192.0.2.7:2") }, "421 :You have come"},
		{"it came by itself and logged out", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.say("QUIT")
			s.b.leaves()
		}, "535 :This session is over"},
		{"it came by itself, logged out, and came again", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.say("QUIT")
			s.b.leaves()
			s.b.comes(s.t, s.srv, "192.0.2.7:3")
			s.b.want("MESG")
			s.b.registers(28404)
			s.b.leaves()
		}, "535 :This session is over"},
		{"it wants to be called by another key", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:2")
			s.b.want("MESG")
			s.b.cert = newIdentity()
			s.b.registers(28404)
			s.b.leaves()
		}, "535 :This session is over"},
		{"the accounts changed, and not its own", func(s *scene) { s.srv.EndRemoved(context.Background()) }, "230 user=B new=0 "},
		{"its account is gone", func(s *scene) {
			s.without["B"] = true
			s.srv.EndRemoved(context.Background())
		}, "535 :This session is over"},
	} {
		t.Run(test.why, func(t *testing.T) {
			without := make(map[string]bool)
			called(t, func(srv *chatserver.Server) { srv.Accounts = fewer{demo, without} }, func(t *testing.T, s *scene) {
				s.t, s.without = t, without
				p := s.b.dialled(t)
				asked := false
				if err := s.srv.EndRemoved(context.Background()); err != nil { // and nobody was
					t.Error(err)
				}
				s.srv.Hooks.AuthorizeLogin = func(context.Context, chatserver.ConnInfo) error {
					if !asked {
						asked = true
						test.meanwhile(s)
					}
					return nil
				}
				p.say("AUTH mech=EXTERNAL user=B origin=42 known=1")
				p.want(test.want)
			})
		})
	}
}

// The operator is asked about the one who is called, and about nobody whose
// session is over.
func TestDialBackAsksOnlyFor(t *testing.T) {
	asked := ""
	called(t, nil, func(t *testing.T, s *scene) {
		p := s.b.dialled(t)
		s.srv.Hooks.AuthorizeLogin = func(_ context.Context, c chatserver.ConnInfo) error {
			asked += fmt.Sprintf("%s %x;", c.User, c.Origin)
			return nil
		}
		for _, auth := range []string{"user=A origin=42", "user=C origin=42", "user=B origin=41"} {
			p.say("AUTH mech=EXTERNAL %s", auth)
			p.want("535 :This session is over")
		}
		s.b.comes(t, s.srv, "192.0.2.7:2")
		s.b.say("QUIT")
		s.b.leaves()
		p.say("AUTH mech=EXTERNAL user=B origin=42")
		p.want("535 :This session is over")
		if asked != "B 42;" { // its own login
			t.Errorf("asked about %s", asked)
		}
	})
}

// fewer are accounts without some.
type fewer struct {
	chatserver.Credentials
	without map[string]bool
}

func (f fewer) Exists(ctx context.Context, user string) (bool, error) {
	if f.without["store"] {
		return false, errors.New("the accounts are not there")
	}
	ok, err := f.Credentials.Exists(ctx, user)
	return ok && !f.without[user], err
}

// Accounts that cannot be asked let nobody in.
func TestDialBackAccountsFail(t *testing.T) {
	without := map[string]bool{}
	called(t, func(srv *chatserver.Server) { srv.Accounts = fewer{demo, without} }, func(t *testing.T, s *scene) {
		p := s.b.dialled(t)
		without["store"] = true
		p.say("%s", s.b.auth())
		p.want("451 :")
		without["store"] = false
		p.say("%s", s.b.auth())
		p.want("230 user=B new=0 ")
	})
}

// Lockouts do not concern who is called, and it does not end them; the tokens
// go on.
func TestDialBackLockout(t *testing.T) {
	called(t, nil, func(t *testing.T, s *scene) {
		password := func(want, more string) string {
			t.Helper()
			p := lines(t, tlsClient(t, s.srv, "192.0.2.7:3", clientTLS()))
			p.say("HELO v=1 acks=1 beat=30000 pres=0")
			p.want("220 ")
			p.say("AUTH mech=PLAIN user=B %s", more)
			return p.want(want)
		}
		password("535 left=2", "pass=x")
		password("535 left=1", "pass=x")
		p := s.b.dialled(t)
		p.say("%s", s.b.auth())
		token := valueOf(p.want("230 user=B new=0 "), "token")
		p.want("MESG")
		password("450 retry=", "pass=x")
		password("450 retry=", "pass=passB origin=42 known=1")
		if next := valueOf(password("230 user=B new=0 ", "pass=passB origin=42 known=1 token="+token), "token"); len(next) != 32 || next == token {
			t.Errorf("the next token is %q", next)
		}
	})
}

// A token is not used up by a dialled connection that is refused.
func TestDialBackKeepsToken(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) {
		token := valueOf(s.b.comes(t, s.srv, "192.0.2.7:2"), "token")
		s.b.leaves()
		s.writes("hi")
		p := s.b.dialled(t)
		p.say("AUTH mech=EXTERNAL user=B origin=43 known=1 token=%s", token)
		p.want("535 :")
		lockOutOf(t, s.srv, "B")
		answers(t, "the token", try(t, s.srv, 1, "B", "passB", " origin=42 token="+token), "230 user=B new=0 ")
	})
}

// lockOutOf has so many fail in a user's name that he is locked out.
func lockOutOf(t *testing.T, srv *chatserver.Server, user string) {
	t.Helper()
	for range 3 {
		try(t, srv, 1, user, "x", "")
	}
	answers(t, "without a token", try(t, srv, 1, user, "pass"+user, ""), "450 ")
}

// On connections that clients make there is neither EXTERNAL nor its ALPN.
func TestDialBackNowhereElse(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) {
		cfg := s.b.backTLS()
		cfg.NextProtos = []string{handshake.ALPN, handshake.BackALPN} // and with the right key
		nc := tlsClient(t, s.srv, "192.0.2.7:2", cfg)
		p := lines(t, nc)
		p.say("HELO v=1 acks=1 beat=30000 caps=dialback")
		if got := p.want("220 "); strings.Contains(got, "EXTERNAL") {
			t.Errorf("got %q", got)
		}
		if got := nc.ConnectionState().NegotiatedProtocol; got != handshake.ALPN {
			t.Errorf("ALPN is %q", got)
		}
		p.say("%s", s.b.auth())
		p.want("501 :mech= takes one that the greeting named")
		p.nc.Close()
		cfg.NextProtos = []string{handshake.BackALPN}
		if err := tlsClient(t, s.srv, "192.0.2.7:3", cfg).Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("the handshake ends with %v", err)
		}
		local := open(t, s.srv, "127.0.0.1:5")
		local.say("HELO v=1 acks=1 beat=30000 caps=dialback")
		if got := local.want("220 "); strings.Contains(got, "EXTERNAL") || strings.Contains(got, "dialback") {
			t.Errorf("got %q", got)
		}
		local.say("%s", s.b.auth())
		local.want("501 :")
	})
}

// A client that comes by itself while it is called takes every message once,
// whichever connection is there first.
func TestDialBackCrossing(t *testing.T) {
	for _, first := range []string{"its own", "the server's"} {
		t.Run(first, func(t *testing.T) {
			called(t, nil, func(t *testing.T, s *scene) {
				taken := 0
				take := func(p *linePeer, n int) {
					t.Helper()
					for range n {
						taken++
						p.want(fmt.Sprintf("MESG from=A id=41.%d ", taken))
					}
				}
				back := s.b.dialled(t)
				if first == "its own" {
					s.b.comes(t, s.srv, "192.0.2.7:2")
					s.writes("two")
					back.say("%s", s.b.auth())
					back.want("421 :")
					back.want("(EOF)")
				} else {
					back.say("%s", s.b.auth())
					back.want("230 user=B new=0 ")
					take(back, 1)
					back.say("ACKD count=1")
					synctest.Wait()
					s.writes("two")
					back.want("MESG from=A id=41.2 ") // and is not acknowledged
					s.b.comes(t, s.srv, "192.0.2.7:2")
					back.want("(EOF)")
				}
				s.writes("three")
				take(s.b.linePeer, 3-taken)
				s.b.say("ACKD count=%d", map[string]int{"its own": 3, "the server's": 2}[first])
				s.b.leaves()
				time.Sleep(time.Minute)
				s.x.want(t, "all is taken", 1)
				if !s.online() {
					t.Error("B is not online")
				}
			})
		})
	}
}
