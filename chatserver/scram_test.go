package chatserver_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatserver"
)

const remote = "192.0.2.7:50000"

// Logins by each mechanism, by TLS and without, from the own machine and from
// another, with each kind of account: and what the 220 offers.
func TestLoginMechanisms(t *testing.T) {
	cfg := serverTLS()
	file := func(t *testing.T) chatserver.Credentials {
		return credentials(t, "A passA", line("B", verifierOf(t, "passB", "sixteen octets!!", 6000)))
	}
	for _, tt := range []struct {
		why, addr string
		tls       bool
		set       func(*chatserver.Server)
		offered   string
		by        []string
	}{
		{"TLS from afar", remote, true, nil, "SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN", []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}},
		{"TLS on the own machine", "127.0.0.1:5000", true, nil, "SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN", []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}},
		{"cleartext on the own machine", "127.0.0.1:5000", false, nil, "SCRAM-SHA-256,PLAIN", []string{"SCRAM-SHA-256", "PLAIN"}},
		{"cleartext without an address", "pipe", false, nil, "SCRAM-SHA-256,PLAIN", []string{"SCRAM-SHA-256", "PLAIN"}},
		{"cleartext from afar", remote, false, func(s *chatserver.Server) { s.AllowCleartext = true }, "SCRAM-SHA-256", []string{"SCRAM-SHA-256"}},
		{"binding is required", remote, true, func(s *chatserver.Server) { s.RequireBinding = true }, "SCRAM-SHA-256-PLUS", []string{"SCRAM-SHA-256-PLUS"}},
		{"binding is required, where there is nothing to bind to", "[::1]:5000", false, func(s *chatserver.Server) { s.RequireBinding = true }, "SCRAM-SHA-256,PLAIN", []string{"SCRAM-SHA-256", "PLAIN"}},
		{"accounts without verifiers, TLS", remote, true, func(s *chatserver.Server) { s.Accounts = struct{ chatserver.Accounts }{s.Accounts} }, "PLAIN", []string{"PLAIN"}},
		{"accounts without verifiers, own machine", "127.0.0.1:5000", false, func(s *chatserver.Server) { s.Accounts = struct{ chatserver.Accounts }{s.Accounts} }, "PLAIN", []string{"PLAIN"}},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: file(t), TLSConfig: cfg}
				if tt.set != nil {
					tt.set(srv)
				}
				defer srv.Close()
				for _, mech := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"} {
					for user, pass := range map[string]string{"A": "passA", "B": "passB"} {
						var c *scramClient
						if tt.tls {
							c = newScramClient(t, overTLS(t, srv, tt.addr), mech, user, pass)
						} else {
							c = newScramClient(t, dial(t, srv, tt.addr), mech, user, pass)
						}
						c.greet()
						if got := valueOf(c.greeting, "mech"); got != tt.offered {
							t.Fatalf("mech=%s, want %s", got, tt.offered)
						}
						ok := strings.Contains(" "+strings.Join(tt.by, " ")+" ", " "+mech+" ")
						switch {
						case mech == "PLAIN":
							c.say("AUTH user=%s pass=%s", user, pass)
							if ok {
								c.want("230 user=" + user)
							} else {
								c.want("501 :mech= takes one that the greeting named")
							}
						case ok:
							c.prove(c.begin())
							c.in(c.finish())
						default:
							if got := c.begin(); !strings.HasPrefix(got, "501 :mech= takes") {
								t.Errorf("%s is answered %q", mech, got)
							}
						}
						c.nc.Close()
					}
				}
			})
		})
	}
}

// Accounts that cannot give verifiers, and a client to which a password would
// go in the clear: there is no way to log in, and the server says so.
func TestNoMechanism(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: struct{ chatserver.Accounts }{demo}, AllowCleartext: true}
		defer srv.Close()
		p := lines(t, dial(t, srv, remote))
		p.say("HELO v=1")
		p.want("421 :This server takes passwords over TLS only")
		p.want("(EOF)")
	})
}
