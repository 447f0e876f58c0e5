package chatserver_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// Which LSTN with dial= is taken, of a client that has agreed on dial-back.
func TestDialBackRegisters(t *testing.T) {
	const from, helo, origin = "192.0.2.7:5000", "HELO v=1 acks=1 beat=30000 caps=dialback", "42"
	for _, test := range []struct {
		why, from, helo, origin, lstn string // lstn behind key= and sig=, or the whole of it
		place                         string // "" is 501
	}{
		{"", from, helo, origin, " dial=28404", "192.0.2.7:28404"},
		{"with port=", from, helo, origin, " port=2000 dial=28404", "192.0.2.7:28404"},
		{"the lowest port", from, helo, origin, " dial=1024", "192.0.2.7:1024"},
		{"the highest port", from, helo, origin, " dial=65535", "192.0.2.7:65535"},
		{"a low port", from, helo, origin, " dial=1023", ""},
		{"no port", from, helo, origin, " dial=65536", ""},
		{"0", from, helo, origin, " dial=0", ""},
		{"nothing", from, helo, origin, " dial=", ""},
		{"a word", from, helo, origin, " dial=http", ""},
		{"a place", from, helo, origin, " dial=198.51.100.1:28404", ""},
		{"a port beyond 64 bits", from, helo, origin, " dial=18446744073709580020", ""},
		{"a port beyond 16 bits", from, helo, origin, " dial=93940", ""},
		{"no key", from, helo, origin, "LSTN n=1 port=2000 dial=28404", ""},
		{"a key without a proof", from, helo, origin, "LSTN n=1 key=ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c dial=28404", ""},
		{"neither port nor key", from, helo, origin, "LSTN n=1 dial=28404", ""},
		{"without acknowledgements", from, "HELO v=1 beat=30000 caps=dialback", origin, " dial=28404", ""},
		{"a person", from, "HELO v=1 acks=1 caps=dialback", origin, " dial=28404", ""},
		{"an origin that the server drew", from, helo, "", " dial=28404", ""},
		{"IPv6", "[2001:db8::7]:5000", helo, origin, " dial=28404", "[2001:db8::7]:28404"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.7]:5000", helo, origin, " dial=28404", "192.0.2.7:28404"},
		{"at home", "192.168.1.7:5000", helo, origin, " dial=28404", "192.168.1.7:28404"},
		{"the same machine", "127.0.0.1:5000", helo, origin, " dial=28404", "127.0.0.1:28404"},
		{"the same machine by IPv6", "[::1]:5000", helo, origin, " dial=28404", "[::1]:28404"},
		{"a link", "169.254.1.1:5000", helo, origin, " dial=28404", ""},
		{"a link by IPv6", "[fe80::1%eth0]:5000", helo, origin, " dial=28404", ""},
		{"a cloud", "100.100.100.200:5000", helo, origin, " dial=28404", ""},
		{"a cloud in IPv6", "[64:ff9b::100.100.100.200]:5000", helo, origin, " dial=28404", ""},
		{"everybody", "224.0.0.1:5000", helo, origin, " dial=28404", ""},
		{"nowhere", "0.0.0.0:5000", helo, origin, " dial=28404", ""},
		{"without an address", "/run/parley.sock", helo, origin, " dial=28404", ""},
	} {
		t.Run(test.why, func(t *testing.T) {
			staged(t, nil, func(t *testing.T, s *scene) {
				s.b.say("QUIT n=1")
				s.b.leaves()
				s.b.linePeer = lines(t, tlsClient(t, s.srv, test.from, clientTLS()))
				s.b.say("%s", test.helo)
				s.b.want("220 ")
				s.b.say("AUTH mech=PLAIN user=B pass=passB%s", strings.TrimSuffix(" origin="+test.origin, " origin="))
				s.b.want("230 ")
				lstn := test.lstn
				if !strings.HasPrefix(lstn, "LSTN") {
					lstn = s.b.lstn(lstn)
				}
				s.b.say("%s", lstn)
				if test.place != "" {
					if got := s.b.want("200 n=1 lease=600000"); strings.Contains(got, "ttl") {
						t.Errorf("got %q", got)
					}
				} else {
					s.b.want("501 n=1 :")
				}
				s.b.leaves()
				s.writes("hi")
				if test.place == "" {
					s.x.want(t, "nobody to call", 0)
				} else if s.x.want(t, "somebody to call", 1); s.x.dials[0] != "0s "+test.place {
					t.Errorf("dialled %q", s.x.dials)
				}
			})
		})
	}
}

// Where the two have not agreed on dial-back, dial= is a field that nobody
// knows, whatever it says.
func TestDialBackNotAgreed(t *testing.T) {
	for _, test := range []struct {
		why, caps string
		set       func(*chatserver.Server)
	}{
		{"not offered", "", nil},
		{"another offered", " caps=dial-back,relay", nil},
		{"not wanted by the operator", " caps=dialback", func(srv *chatserver.Server) { srv.DialBack = false }},
	} {
		t.Run(test.why, func(t *testing.T) {
			staged(t, nil, func(t *testing.T, s *scene) {
				s.b.say("QUIT n=1")
				s.b.leaves()
				srv := s.srv
				if test.set != nil {
					srv = backServer(s.x)
					test.set(srv)
					defer srv.Close()
				}
				for _, dial := range []string{" dial=28404", " dial=80", " dial=x", " dial="} {
					s.b.linePeer = lines(t, tlsClient(t, srv, "192.0.2.7:1", clientTLS()))
					s.b.say("HELO v=1 acks=1 beat=30000 pres=0%s", test.caps)
					if got := s.b.want("220 "); strings.Contains(got, "dialback") {
						t.Errorf("got %q", got)
					}
					s.b.say("AUTH mech=PLAIN user=B pass=passB origin=42")
					s.b.want("230 ")
					s.b.say("%s", s.b.lstn(dial))
					if got := s.b.want("200 n=1"); got != "200 n=1" {
						t.Errorf("got %q", got)
					}
				}
				s.b.leaves()
				time.Sleep(time.Second)
				if srv == s.srv {
					s.writes("hi")
					s.until("as any other", 44*time.Second)
				}
				s.x.want(t, "nobody to call", 0)
			})
		})
	}
}

// Both capabilities may be agreed on.
func TestDialBackAndRelay(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) {
		p := lines(t, tlsClient(t, s.srv, "192.0.2.7:1", clientTLS()))
		p.say("HELO v=1 caps=dialback,x,relay")
		if got := p.want("220 "); valueOf(got, "caps") != "relay,dialback" {
			t.Errorf("got %q", got)
		}
	})
}

// The place is that of the LSTN, wherever its client comes from later; an LSTN
// on a dialled connection gives another port, through whatever Server.Dial
// connects.
func TestDialBackPlace(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		s.srv.Dial = func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
			nc, err := s.x.dial(ctx, place)
			return elsewhere{nc, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1080}}, err
		}
		s.b.comes(t, s.srv, "198.51.100.9:1")
		s.b.leaves()
		s.writes("one")
		s.b.answers(t)
		s.b.want("MESG")
		s.b.say("ACKD count=1")
		s.b.registers(28405)
		s.b.leaves()
		time.Sleep(time.Minute)
		s.writes("two")
		s.b.answers(t)
		if got := strings.Join(s.x.dials, "; "); got != "0s 192.0.2.7:28404; 1m0s 192.0.2.7:28405" {
			t.Errorf("dialled %s", got)
		}
	})
}
