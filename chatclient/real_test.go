package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// A real is a chatserver on another machine.
type real struct {
	*chatserver.Server
	conns []net.Conn // the clients' ends
}

func newReal(t *testing.T, cert tls.Certificate) *real {
	s := &real{Server: &chatserver.Server{
		Accounts:  chatserver.Credentials{farUser: farPassword},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *real) serve(nc net.Conn) { s.ServeConn(nc) }

func (s *real) dial(context.Context) (net.Conn, error) {
	client, end := net.Pipe()
	go s.ServeConn(farEnd{end})
	s.conns = append(s.conns, client)
	return remote{client, farIP}, nil
}

// hangUp breaks the connection.
func (s *real) hangUp() { s.conns[len(s.conns)-1].Close() }

// A client and a server of ours agree on every kind of login that each side's
// configuration allows, over lost connections and without a moment's wait.
func TestRealLogin(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*chatserver.Server, *chatclient.Config)
		mech    string
	}{
		{"TLS", func(s *chatserver.Server, _ *chatclient.Config) {}, "SCRAM-SHA-256-PLUS"},
		{"TLS, binding required", func(s *chatserver.Server, _ *chatclient.Config) { s.RequireBinding = true }, "SCRAM-SHA-256-PLUS"},
		{"TLS, accounts without verifiers", func(s *chatserver.Server, _ *chatclient.Config) { s.Accounts = onlyPasswords{} }, "PLAIN"},
		{"cleartext", func(s *chatserver.Server, cfg *chatclient.Config) {
			s.AllowCleartext, cfg.Cleartext, cfg.Fingerprint = true, chatclient.CleartextAlways, ""
		}, "SCRAM-SHA-256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert := selfMade(t, newKey(t), year1999, year2001)
				s := newReal(t, cert)
				cfg := farConfig(s.dial)
				cfg.Fingerprint = fingerprint(cert)
				test.prepare(s.Server, &cfg)
				var trace []string
				cfg.Trace = func(_ bool, line []byte) { trace = append(trace, string(line)) }
				states := make(chan chatclient.State, 10)
				cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { states <- st }
				began := time.Now()
				c, err := chatclient.Dial(t.Context(), cfg)
				if err != nil || time.Since(began) != 0 {
					t.Fatal(time.Since(began), err)
				}
				<-states
				s.hangUp()
				for st := range states {
					if st.Kind == chatclient.Online {
						if !st.Resumed {
							t.Error("the session did not go on")
						}
						break
					}
				}
				if _, err := c.Online(t.Context()); err != nil {
					t.Error(err)
				}
				began = time.Now()
				err = c.Logout(t.Context())
				<-c.Done()
				if err != nil || time.Since(began) != 0 {
					t.Error(time.Since(began), err)
				}
				logins := 0
				for _, line := range trace {
					if strings.HasPrefix(line, "AUTH mech="+test.mech+" ") {
						logins++
					}
				}
				if logins != 2 {
					t.Errorf("the trace is %q", trace)
				}
			})
		})
	}
}

// onlyPasswords are accounts that can do no SCRAM.
type onlyPasswords struct{}

func (onlyPasswords) Exists(_ context.Context, user string) (bool, error) {
	return user == farUser, nil
}
func (onlyPasswords) CheckPassword(_ context.Context, user, password string) (bool, error) {
	return user == farUser && password == farPassword, nil
}

// The token lets a client come back whose account somebody keeps locked.
func TestRealToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := selfMade(t, newKey(t), year1999, year2001)
		s := newReal(t, cert)
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(cert)
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(c) })
		live := len(s.conns) - 1
		wrong := cfg
		wrong.Password = "a guess"
		for range 3 {
			tryDial(t, wrong)
		}
		if err := tryDial(t, cfg); !errors.Is(err, chatproto.ErrLockedOut) {
			t.Fatalf("the account is not locked: %v", err)
		}
		dials := len(s.conns)
		s.conns[live].Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if c.Err() != nil || len(s.conns) != dials+1 {
			t.Fatalf("%v after %d dials", c.Err(), len(s.conns)-dials)
		}
		if _, err := c.Online(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// realAnswers are the changes of a login that our server answers otherwise than
// as a wrong password: it sees that something was changed.
var realAnswers = []string{"the flag of binding", "the server's nonce", "the binding of the proof"}

// Somebody in the middle of a real client and a real server.
func TestRealMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert := selfMade(t, newKey(t), year1999, year2001)
		for _, ch := range slices.Concat(changes, forged) {
			s := newReal(t, cert)
			s.AllowCleartext = true
			cfg := farConfig(nil)
			cfg.Cleartext = chatclient.CleartextAlways
			if slices.Contains(realAnswers, ch.name) {
				ch.want = errHandshake
			}
			ch.check(t, &middle{far: s}, cfg)
			s.Close()
		}
		evil := &tls.Config{Certificates: []tls.Certificate{selfMade(t, newKey(t), year1999, year2001)}}
		for _, ch := range []change{
			{"nothing", nil, chatclient.ErrServerUnknown, false},
			{"relayed", nil, errHandshake, true},
			{"-PLUS stripped", edit(ofServer, "SCRAM-SHA-256-PLUS,", ""), errHandshake, false},
			{"-PLUS stripped on both sides", bothSides, errHandshake, false},
			{"all of SCRAM stripped", edit(ofServer, "mech=[^ ]*", "mech=PLAIN"), chatclient.ErrDowngrade, false},
		} {
			s := newReal(t, cert)
			cfg := farConfig(nil)
			if ch.name != "nothing" {
				cfg.TrustServer = trustAll
			}
			m := &middle{far: s, tls: evil}
			ch.check(t, m, cfg)
			if ch.name == "nothing" && len(m.lines()) > 0 {
				t.Errorf("on the way was seen %q", m.lines())
			}
			if s.Stats().Online != 0 {
				t.Errorf("%s: somebody is logged in", ch.name)
			}
			s.Close()
		}
	})
}

// bothSides strips -PLUS from the list, and makes the client's flag fit.
func bothSides(fromServer bool, line string) string {
	if fromServer {
		return strings.Replace(line, "SCRAM-SHA-256-PLUS,", "", 1)
	}
	return strings.Replace(line, "data=y,,", "data=n,,", 1)
}

// Who speaks the wrong one of TLS and cleartext with a real server.
func TestRealWrongLanguage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newReal(t, selfMade(t, newKey(t), year1999, year2001))
		s.TLSConfig, s.AllowCleartext = nil, true
		if err := tryDial(t, farConfig(s.dial)); !errors.Is(err, chatclient.ErrNotTLS) {
			t.Error(err)
		}
		s = newReal(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Cleartext = chatclient.CleartextAlways
		var bye *chatclient.GoodbyeError
		if err := tryDial(t, cfg); !errors.As(err, &bye) || !strings.Contains(err.Error(), "CleartextNever") {
			t.Error(err)
		}
	})
}
