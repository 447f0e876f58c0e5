package chatserver_test

import (
	"context"
	"encoding/base64"
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

// swap replaces the first old in what passes.
func swap(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

const changed = "501 :The handshake was changed on the way"

// Somebody between client and server changes one thing; the client, who is
// told nothing, goes on as far as he can. Each change is refused. A wrong proof
// is a failed login; what is found before a proof is looked at is none.
func TestSCRAMTampering(t *testing.T) {
	cfg := serverTLS()
	const none = "SCRAM-SHA-256"
	const plus = "SCRAM-SHA-256-PLUS"
	const bad = "501 :data= is not what this step of SCRAM takes"
	b64 := base64.StdEncoding.EncodeToString
	last := func(s string) string { // another character before the end
		return s[:len(s)-2] + swap(s[len(s)-2:len(s)-1], map[bool]string{true: "B", false: "A"}[s[len(s)-2] == 'A'])(s[len(s)-2:])
	}
	for _, tt := range []struct {
		why, mech string
		change    func(*scramClient)
		want      string
		ends      bool
		counted   bool
	}{
		{"nothing", none, func(c *scramClient) {}, "230 ", false, false},
		{"nothing, bound", plus, func(c *scramClient) {}, "230 ", false, false},
		{"v= of HELO", none, func(c *scramClient) { c.editHelo = swap("v=1", "v=1,2") }, changed, true, false},
		{"acks= of HELO", none, func(c *scramClient) { c.editHelo = swap("acks=1", "acks=0") }, changed, true, false},
		{"beat= of HELO, bound", plus, func(c *scramClient) { c.editHelo = swap("beat=30000", "beat=1") }, changed, true, false},
		{"a field of HELO that nobody knows", none, func(c *scramClient) { c.editHelo = func(s string) string { return s + " x=y" } }, changed, true, false},
		{"v= of 220", none, func(c *scramClient) { c.editGreeting = swap("v=1", "v=2") }, changed, true, false},
		{"the list of mechanisms, of who cannot bind", none, func(c *scramClient) { c.editGreeting = swap("SCRAM-SHA-256-PLUS,", "") }, changed, true, false},
		{"the list of mechanisms, of who can bind", none, func(c *scramClient) { c.editGreeting, c.flag = swap("SCRAM-SHA-256-PLUS,", ""), "y" }, changed, true, false},
		{"boot=", none, func(c *scramClient) { c.editGreeting = swap("boot=", "boot=a") }, changed, true, false},
		{"t=", plus, func(c *scramClient) { c.editGreeting = swap("t=", "t=1") }, changed, true, false},
		{"a field of 220 that nobody knows", none, func(c *scramClient) { c.editGreeting = swap(" t=", " caps=x t=") }, changed, true, false},
		{"the random part of the nonce", none, func(c *scramClient) {
			c.editFirst = func(s string) string { return swap(c.random, b64([]byte("eighteen octets...")))(s) }
		}, "535 left=2", false, true},
		{"the hash in the nonce", none, func(c *scramClient) { c.editFirst = last }, changed, true, false},
		{"the flag from n to y, where nothing can bind", none, func(c *scramClient) { c.editFirst = swap("n,,", "y,,") }, changed, true, false},
		{"the flag from p to n", plus, func(c *scramClient) { c.editFirst = swap("p=tls-exporter,,", "n,,") }, bad, false, false},
		{"the flag from p to y", plus, func(c *scramClient) { c.editFirst = swap("p=tls-exporter,,", "y,,") }, bad, false, false},
		{"the flag and the mechanism", plus, func(c *scramClient) {
			c.editAuth = func(s string) string { return swap("-PLUS", "")(swap("p=tls-exporter,,", "n,,")(s)) }
		}, changed, true, false},
		{"the kind of binding", plus, func(c *scramClient) { c.editFirst = swap("tls-exporter", "tls-unique") }, bad, false, false},
		{"the mechanism, to one that binds", none, func(c *scramClient) { c.mech, c.flag = plus, "n" }, bad, false, false},
		{"the mechanism, to one that does not", plus, func(c *scramClient) { c.editAuth = swap("-PLUS", "") }, bad, false, false},
		{"y, though -PLUS was offered", none, func(c *scramClient) { c.flag = "y" }, changed, true, false},
		{"the binding: two connections of TLS", plus, func(c *scramClient) { c.binding = []byte("of the connection to the attacker") }, changed, true, false},
		{"no binding behind the flag", plus, func(c *scramClient) { c.binding = nil }, changed, true, false},
		{"fewer iterations", none, func(c *scramClient) { c.editServerFirst = swap("i=15000", "i=4096") }, "535 left=2", false, true},
		{"the salt", plus, func(c *scramClient) {
			c.editServerFirst = func(s string) string { return s[:strings.Index(s, ",s=")] + ",s=c2FsdA==,i=15000" }
		}, "535 left=2", false, true},
		{"user= alone", none, func(c *scramClient) { c.editAuth = swap("user=A", "user=B") }, bad, false, false},
		{"n= alone", none, func(c *scramClient) { c.editFirst = swap("n=A", "n=B") }, bad, false, false},
		{"user= and n=", none, func(c *scramClient) {
			c.editAuth = func(s string) string { return swap("user=A", "user=B")(swap("n=A", "n=B")(s)) }
		}, "535 left=2", false, false}, // against B
		{"an authorization identity", none, func(c *scramClient) { c.editFirst = swap("n,,", "n,a=B,") }, bad, false, false},
		{"an empty authorization identity", none, func(c *scramClient) { c.editFirst = swap("n,,", "n,a=,") }, bad, false, false},
		{"c= of the second step", none, func(c *scramClient) { c.editFinal = swap("biws", b64([]byte("y,,"))) }, changed, true, false},
		{"r= of the second step", none, func(c *scramClient) { c.editFinal = swap("r=", "r=x") }, changed, true, false},
		{"the proof", none, func(c *scramClient) {
			c.editFinal = func(s string) string { return s[:len(s)-44] + b64(make([]byte, 32)) }
		}, "535 left=2", false, true},
		{"a proof that is too short", none, func(c *scramClient) {
			c.editFinal = func(s string) string { return s[:len(s)-44] + b64(make([]byte, 31)) }
		}, bad, false, false},
		{"no proof", none, func(c *scramClient) { c.editFinal = func(s string) string { return s[:strings.Index(s, ",p=")] } }, bad, false, false},
		{"an extension before the proof", none, func(c *scramClient) { c.editFinal = swap(",p=", ",x=1,p=") }, bad, false, false},
		{"an extension behind the proof", none, func(c *scramClient) { c.editFinal = func(s string) string { return s + ",x=1" } }, bad, false, false},
		{"an end of line within the base64", none, func(c *scramClient) { c.editFinal = swap(",p=", `,p=\n`) }, bad, false, false},
		{"an empty second step", none, func(c *scramClient) { c.editFinal = func(string) string { return "" } }, bad, false, false},
		{"an extension of the first step", none, func(c *scramClient) { c.editFirst = swap("n=A", "m=x,n=A") }, bad, false, false},
		{"a field behind the nonce", none, func(c *scramClient) { c.editFirst = func(s string) string { return s + ",x=1" } }, bad, false, false},
		{"a name that is not escaped", none, func(c *scramClient) { c.editFirst = swap("n=A", "n==41") }, bad, false, false},
		{"a nonce without the hash", none, func(c *scramClient) { c.editFirst = func(s string) string { return s[:len(s)-44] } }, bad, false, false},
		{"a nonce that is longer", none, func(c *scramClient) { c.editFirst = func(s string) string { return s + "A" } }, bad, false, false},
		{"a random part that is no base64", none, func(c *scramClient) {
			c.editFirst = func(s string) string { return swap(c.random, strings.Repeat("!", 24))(s) }
		}, bad, false, false},
		{"the wrong password", none, func(c *scramClient) { c.password = "passB" }, "535 left=2", false, true},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, TLSConfig: cfg}
				defer srv.Close()
				c := newScramClient(t, overTLS(t, srv, remote), tt.mech, "A", "passA")
				tt.change(c)
				if got := c.run(); !strings.HasPrefix(got, tt.want) {
					t.Errorf("the login is answered %q, want %q", got, tt.want)
				}
				if tt.ends {
					c.want("GBYE why=protocol :The handshake was changed on the way")
					c.want("(EOF)")
				}
				count := lines(t, overTLS(t, srv, remote))
				count.say("HELO v=1")
				count.want("220")
				count.say("AUTH user=A pass=wrong")
				count.want(map[bool]string{false: "535 left=2", true: "535 left=1"}[tt.counted])
			})
		})
	}
}

// A name with all that has to be escaped, in SCRAM and on the wire, and y from
// a client that could bind where nothing was offered.
func TestSCRAMNames(t *testing.T) {
	for _, tt := range []struct{ name, wire, flag string }{
		{"a=b,c", "a=b,c", "n"}, {"=2C", "=2C", "n"}, {"=", "=", "y"}, {"\u00fc\u00df", "\u00fc\u00df", "n"},
		{`back\slash`, `back\\slash`, "y"},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: chatserver.Credentials{tt.name: "p"}}
			defer srv.Close()
			c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", tt.name, "p")
			c.flag = tt.flag
			c.editAuth = func(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }
			c.user = tt.name
			got := c.run()
			if !strings.HasPrefix(got, "230 user="+tt.wire+" ") || valueOf(got, "data") != c.signature {
				t.Errorf("%q logs in: %q", tt.name, got)
			}
		})
	}
}

// Who has listened to a login cannot log in by saying it again: on another
// connection, even in the same millisecond, or on the same one.
func TestSCRAMReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		honest := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "A", "passA")
		honest.in(honest.run())

		thief := newScramClient(t, dial(t, srv, "127.0.0.1:5001"), "SCRAM-SHA-256", "A", "")
		thief.greet()
		if thief.greeting != honest.greeting {
			t.Fatalf("the greetings differ: %s", thief.greeting)
		}
		thief.say("AUTH mech=SCRAM-SHA-256 user=A data=%s", honest.first)
		thief.want("334 ")
		thief.say("AUTH data=%s", honest.final)
		thief.want(changed)
		thief.want("GBYE why=protocol")

		again := newScramClient(t, dial(t, srv, "127.0.0.1:5002"), "SCRAM-SHA-256", "A", "wrong")
		if got := again.run(); !strings.HasPrefix(got, "535 left=2") {
			t.Fatal(got)
		}
		for range 2 {
			again.say("AUTH data=%s", again.final)
			again.want("501 :AUTH takes user=USER")
		}
		again.password = "passA" // a proof that would be right, for a login that was answered
		again.prove(again.begin())
		again.say("AUTH data=%s", "c=biws,r=x,p=x")
		again.want("501 ")
		again.say("AUTH data=%s", again.final)
		again.want("501 ")
	})
}

// A password from afar in cleartext is refused before anybody looks at it, in
// each of the ways in which it can be said.
func TestPlainFromAfar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: unasked{demo, t}, AllowCleartext: true}
		defer srv.Close()
		p := lines(t, dial(t, srv, remote))
		p.say("HELO v=1")
		p.want("220 v=1 mech=SCRAM-SHA-256 ")
		for _, auth := range []string{"AUTH user=A pass=passA", "AUTH mech=PLAIN user=A pass=passA", "AUTH user=A", "AUTH mech=PLAIN user=nobody"} {
			p.say("%s", auth)
			p.want("501 :mech= takes one that the greeting named")
		}
		p.say("AUTH pass=passA")
		p.want("501 :AUTH takes")
	})
}

// unasked fails the test when it is asked about a password.
type unasked struct {
	chatserver.Credentials
	t *testing.T
}

func (u unasked) CheckPassword(context.Context, string, string) (bool, error) {
	u.t.Error("the password was looked at")
	return true, nil
}
