package chatclient_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// edit makes a rewriting of what matches a pattern in the lines of one side.
func edit(fromServer bool, pattern, replacement string) func(bool, string) string {
	re := regexp.MustCompile(pattern)
	return func(from bool, line string) string {
		if from != fromServer {
			return line
		}
		return re.ReplaceAllString(line, replacement)
	}
}

const (
	ofServer = true
	ofClient = false
)

// A change is what somebody on the way does to one field of a login, and what
// comes of it.
type change struct {
	name    string
	rewrite func(bool, string) string
	want    error
	proof   bool // a proof of the password has left by then
}

var errHandshake = &chatproto.Error{Code: chatproto.ReplyBadField}

// changes are those that can be made to a login that is not bound to a
// connection. In none of them is anybody logged in.
var changes = []change{
	{"version", edit(ofServer, "^220 v=1", "220 v=2"), chatproto.ErrNoVersion, false},
	{"mechanisms in another order", edit(ofServer, "mech=([^ ]*)", "mech=X,$1"), errHandshake, false},
	{"no mechanisms", edit(ofServer, " mech=[^ ]*", ""), chatclient.ErrDowngrade, false},
	{"all of SCRAM stripped", edit(ofServer, "mech=[^ ]*", "mech=PLAIN"), chatclient.ErrDowngrade, false},
	{"boot", edit(ofServer, "boot=[^ ]*", "boot=a0"), errHandshake, false},
	{"time", edit(ofServer, " t=[0-9]*", " t=1"), errHandshake, false},
	{"a capability of the server", edit(ofServer, "^220 v=1", "220 v=1 caps=evil"), errHandshake, false},
	{"a description of 220", edit(ofServer, "^(220 .*)$", "$1 :hello"), errHandshake, false},
	{"a capability of the client", edit(ofClient, "^HELO v=1", "HELO v=1 caps=evil"), errHandshake, false},
	{"no acknowledgements", edit(ofClient, "^HELO v=1 acks=1", "HELO v=1"), errHandshake, false},
	{"heartbeat", edit(ofClient, "beat=30000", "beat=3000"), errHandshake, false},

	{"the client's nonce", edit(ofClient, ",r=....", ",r=abcd"), chatclient.ErrServerProof, false},
	{"the nonce's hash", edit(ofClient, ",r=(.{24})....", ",r=${1}abcd"), errHandshake, false},
	{"a short nonce", edit(ofClient, ",r=(.{68})", ",r=abcd"), errHandshake, false},
	{"the flag of binding", edit(ofClient, "data=n,,", "data=y,,"), chatproto.ErrDenied, true},
	{"the user of AUTH", edit(ofClient, "user=B", "user=A"), errHandshake, false},
	{"the server's nonce", edit(ofServer, "^(334 data=r=.{68})...", "${1}xyz"), chatproto.ErrDenied, true},
	{"the nonce sent back", edit(ofServer, "data=r=...", "data=r=xyz"), chatclient.ErrServerProof, false},
	{"the server's part of the nonce", edit(ofServer, "^(334 data=r=.{68})[^,]*", "$1"), chatclient.ErrServerProof, false},
	{"salt", edit(ofServer, ",s=....", ",s=AAAA"), chatproto.ErrDenied, true},
	{"no salt", edit(ofServer, ",s=[^,]*", ",s="), chatclient.ErrServerProof, false},
	{"fewer iterations", edit(ofServer, ",i=.*", ",i=4096"), chatproto.ErrDenied, true},
	{"too few iterations", edit(ofServer, ",i=.*", ",i=4095"), chatclient.ErrServerProof, false},
	{"more iterations", edit(ofServer, ",i=.*", ",i=20000"), chatproto.ErrDenied, true},
	{"too many iterations", edit(ofServer, ",i=.*", ",i=600001"), chatclient.ErrServerProof, false},
	{"the proof", edit(ofClient, ",p=....", ",p=abcd"), chatproto.ErrDenied, true},
	{"the binding of the proof", edit(ofClient, "data=c=[^,]*", "data=c=eSws"), chatproto.ErrDenied, true},
}

// forged are the changes to what the server says after the proof: the server
// has logged somebody in, the client has not logged in.
var forged = []change{
	{"no signature", edit(ofServer, "^(230 .*) data=[^ ]*", "$1"), chatclient.ErrServerProof, true},
	{"another signature", edit(ofServer, "data=v=....", "data=v=abcd"), chatclient.ErrServerProof, true},
	{"an error of SCRAM", edit(ofServer, "data=v=[^ ]*", "data=e=other-error"), chatclient.ErrServerProof, true},
}

// check dials through somebody in the middle who makes a change.
func (ch change) check(t *testing.T, m *middle, cfg chatclient.Config) {
	t.Helper()
	m.rewrite = ch.rewrite
	cfg.Dial = m.dial
	err := tryDial(t, cfg)
	synctest.Wait()
	if err == nil || !errors.Is(err, ch.want) {
		t.Errorf("%s: %v", ch.name, err)
	}
	if proved := len(proofs(m.lines())) > 0; proved != ch.proof {
		t.Errorf("%s: on the way was seen %q", ch.name, m.lines())
	}
	if strings.Contains(fmt.Sprint(m.lines()), "secret") {
		t.Errorf("%s: the password was seen", ch.name)
	}
}

// In cleartext somebody on the way can end a login, and cannot change one: not
// what was agreed on before, and not to a worse kind.
func TestMiddleOfCleartext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := farConfig(nil)
		cfg.Cleartext = chatclient.CleartextAlways
		for _, ch := range slices.Concat(changes, forged) {
			s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
			s.tls, s.clear = nil, true
			ch.check(t, &middle{far: s}, cfg)
			if s.logins > 0 && !slices.ContainsFunc(forged, func(f change) bool { return f.name == ch.name }) {
				t.Errorf("%s: somebody is logged in", ch.name)
			}
		}
		// And without a change all is well.
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.clear = true
		cfg.Dial = (&middle{far: s}).dial
		if err := tryDial(t, cfg); err != nil {
			t.Error(err)
		}
	})
}

// A signature that was seen in an earlier login is not taken in a later one.
func TestReplayedFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.clear = true
		seen := ""
		m := &middle{far: s, rewrite: func(fromServer bool, line string) string {
			if !fromServer || !strings.HasPrefix(line, "230 ") {
				return line
			}
			if seen == "" {
				seen = line
			}
			return seen
		}}
		cfg := farConfig(m.dial)
		cfg.Cleartext = chatclient.CleartextAlways
		if err := tryDial(t, cfg); err != nil {
			t.Fatal(err)
		}
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrServerProof) {
			t.Error(err)
		}
	})
}

// TLS that ends at somebody else is noticed before anything is said in it; and
// if a person trusts it all the same, the login does not work there, the
// password is not seen, and the server is not logged in to.
func TestMiddleOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		theirs := map[string]tls.Certificate{
			"wrong":       newAuthority(t).sign(newKey(t), "chat.example.com", year1999, year2001),
			"expired":     ca.sign(newKey(t), "chat.example.com", year1999, year1999.AddDate(0, 6, 0)),
			"self-made":   selfMade(t, newKey(t), year1999, year2001),
			"other names": ca.sign(newKey(t), "chat.example.org", year1999, year2001),
		}
		stripPlus := edit(ofServer, "SCRAM-SHA-256-PLUS,", "")
		stripScram := edit(ofServer, "mech=[^ ]*", "mech=PLAIN")
		bound := edit(ofClient, "^$", "")
		for name, cert := range theirs {
			for _, pin := range []bool{true, false} {
				s := newFar(t, ca.sign(newKey(t), "chat.example.com", year1999, year2001))
				cfg := farConfig(s.dial)
				cfg.TLS = &tls.Config{RootCAs: ca.pool()}
				cfg.Pins = pinMap{}
				want := chatclient.ErrServerUnknown
				if pin {
					want = chatclient.ErrServerChanged
					if err := tryDial(t, cfg); err != nil {
						t.Fatal(err)
					}
				}
				m := &middle{far: s, tls: &tls.Config{Certificates: []tls.Certificate{cert}}}
				cfg.Dial = m.dial
				if err := tryDial(t, cfg); !errors.Is(err, want) || len(m.lines()) > 0 {
					t.Errorf("%s: %v; on the way was seen %q", name, err, m.lines())
				}
			}
			// The person says yes to what should be a no.
			for _, ch := range []change{
				{"relayed", bound, chatproto.ErrDenied, true},
				{"-PLUS stripped", stripPlus, errHandshake, false},
				{"all of SCRAM stripped", stripScram, chatclient.ErrDowngrade, false},
				{"SCRAM of one's own", ownChallenge, chatclient.ErrServerProof, true},
			} {
				s := newFar(t, ca.sign(newKey(t), "chat.example.com", year1999, year2001))
				cfg := farConfig(nil)
				cfg.TLS = &tls.Config{RootCAs: ca.pool()}
				pins := pinMap{}
				cfg.Pins = pins
				cfg.TrustServer = trustAll
				ch.name = name + ", " + ch.name
				ch.check(t, &middle{far: s, tls: &tls.Config{Certificates: []tls.Certificate{cert}}}, cfg)
				if s.logins > 0 || len(pins) > 0 {
					t.Errorf("%s: %d logins, pins %v", ch.name, s.logins, pins)
				}
			}
		}
	})
}

// ownChallenge answers like a server that has made up the account, to be told
// a proof; it cannot make the signature.
func ownChallenge(fromServer bool, line string) string {
	switch {
	case !fromServer:
		return line
	case strings.HasPrefix(line, "334 "):
		return regexp.MustCompile(",s=.*").ReplaceAllString(line, ",s=AAAA,i=4096")
	case strings.HasPrefix(line, "535 "):
		return welcomeScram + "data=v=" + b64(make([]byte, 32))
	}
	return line
}

// Somebody whom a known authority vouches for is not stopped by that, but by
// the login.
func TestMiddleWithAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		cert := ca.sign(newKey(t), "chat.example.com", year1999, year2001)
		evil := &tls.Config{Certificates: []tls.Certificate{ca.sign(newKey(t), "chat.example.com", year1999, year2001)}}
		connect := func(ch change, met bool) {
			t.Helper()
			s := newFar(t, cert)
			cfg := farConfig(s.dial)
			cfg.TLS = &tls.Config{RootCAs: ca.pool()}
			cfg.Pins = pinMap{}
			if met {
				if err := tryDial(t, cfg); err != nil {
					t.Fatal(err)
				}
			}
			logins := s.logins
			ch.check(t, &middle{far: s, tls: evil}, cfg)
			if s.logins != logins {
				t.Errorf("%s: somebody is logged in", ch.name)
			}
		}
		for _, met := range []bool{true, false} {
			connect(change{"relayed", nil, chatproto.ErrDenied, true}, met)
			connect(change{"the flag of binding", edit(ofClient, "data=p=tls-exporter", "data=n"), errHandshake, false}, met)
			connect(change{"the mechanism", edit(ofClient, "mech=SCRAM-SHA-256-PLUS", "mech=SCRAM-SHA-256"), errHandshake, false}, met)
			connect(change{"boot", edit(ofServer, "boot=[^ ]*", "boot=a0"), errHandshake, false}, met)
		}
		connect(change{"-PLUS stripped, first", edit(ofServer, "SCRAM-SHA-256-PLUS,", ""), errHandshake, false}, false)
		connect(change{"-PLUS stripped", edit(ofServer, "SCRAM-SHA-256-PLUS,", ""), chatclient.ErrDowngrade, false}, true)
		connect(change{"all of SCRAM stripped", edit(ofServer, "mech=[^ ]*", "mech=PLAIN"), chatclient.ErrDowngrade, false}, true)
	})
}

// Somebody ends TLS and goes on to the server in cleartext, which that takes:
// there is nothing then that the client could be bound to, and a server that
// was met before must offer it.
func TestMiddleGoesOnInCleartext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.clear = true
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		m := &middle{far: s, tls: s.tls, clear: true} // it even has the key
		cfg.Fingerprint, cfg.Pins, cfg.TrustServer = "", pinMap{}, trustAll
		if err := tryDial(t, cfg); err != nil {
			t.Fatal(err)
		}
		cfg.Dial = m.dial
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrDowngrade) || len(m.lines()) != 1 {
			t.Errorf("%v; on the way was seen %q", err, m.lines())
		}
	})
}

// A server that was met by TLS is not talked to in cleartext, whatever the
// configuration allows.
func TestDowngradeToCleartext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.clear = true
		cfg := farConfig(local(s.dial))
		cfg.Pins = pinMap{}
		if err := tryDial(t, cfg); err != nil {
			t.Fatal(err)
		}
		for _, c := range []chatclient.Cleartext{chatclient.CleartextLocal, chatclient.CleartextAlways} {
			lines := len(s.lines())
			cfg.Cleartext = c
			if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrDowngrade) || len(s.lines()) != lines+1 {
				t.Errorf("%v; the server saw %q", err, s.lines()[lines:])
			}
		}
		// Somebody who answers TLS in cleartext is told nothing.
		cfg.Cleartext = chatclient.CleartextNever
		s.tls = nil
		lines := len(s.lines())
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrNotTLS) || len(s.lines()) != lines {
			t.Errorf("%v; the server saw %q", err, s.lines()[lines:])
		}
	})
}

// A login is never weaker than the last one, with pins and without, in this
// life of the client and in the next.
func TestWeaker(t *testing.T) {
	kinds := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"} // what the server offers at best
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		for i, before := range kinds {
			for j, now := range kinds {
				s := newFar(t, ca.sign(newKey(t), "chat.example.com", year1999, year2001))
				s.mech = strings.Join(kinds[i:], ",")
				cfg := farConfig(s.dial)
				cfg.TLS = &tls.Config{RootCAs: ca.pool()}
				pins := pinMap{}
				cfg.Pins = pins
				c, err := chatclient.Dial(t.Context(), cfg)
				if err != nil || pins[farAddr].Mechanism != before {
					t.Fatal(err, pins)
				}
				s.mu.Lock()
				s.mech = strings.Join(kinds[j:], ",")
				s.mu.Unlock()
				weaker := j > i
				if err := tryDial(t, cfg); errors.Is(err, chatclient.ErrDowngrade) != weaker || (err != nil) != weaker {
					t.Errorf("%s, then %s: %v", before, now, err)
				}
				if want := kinds[min(i, j)]; pins[farAddr].Mechanism != want {
					t.Errorf("%s, then %s: pinned is %v", before, now, pins)
				}
				clear(pins)
				s.hangUp()
				if weaker {
					<-c.Done()
					if !errors.Is(c.Err(), chatclient.ErrDowngrade) {
						t.Errorf("%s, then %s: the client ends with %v", before, now, c.Err())
					}
				}
				end(c)
			}
		}
	})
}

// A mechanism of a later program in the pins is stronger than all of ours.
func TestPinOfLaterMechanism(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Pins = pinMap{farAddr: {Fingerprint: fingerprint(s.tls.Certificates[0]), Mechanism: "OPAQUE-3"}}
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrDowngrade) || len(s.lines()) != 1 {
			t.Errorf("%v; the server saw %q", err, s.lines())
		}
	})
}

// Where nothing is pinned, this life of the client remembers.
func TestWeakerDuringReconnect(t *testing.T) {
	for _, given := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
			s.clear, s.mech = true, "SCRAM-SHA-256,PLAIN"
			cfg := farConfig(local(s.dial))
			cfg.Cleartext = chatclient.CleartextLocal
			if given {
				cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
			}
			c, err := chatclient.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end(c) })
			s.mu.Lock()
			s.mech = "PLAIN"
			s.mu.Unlock()
			s.hangUp()
			time.Sleep(time.Hour)
			synctest.Wait()
			if !errors.Is(c.Err(), chatclient.ErrDowngrade) {
				t.Errorf("the client ends with %v", c.Err())
			}
		})
	}
}
