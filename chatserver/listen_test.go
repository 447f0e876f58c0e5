package chatserver_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

func identity(octet byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{octet}, ed25519.SeedSize))
}

func keyText(octet byte) string {
	return handshake.FormatKey(identity(octet).Public().(ed25519.PublicKey))
}

// A keyed is a logged-in connection that can prove a key.
type keyed struct {
	*linePeer
	binding handshake.Binding
	user    string
}

// loginKeyed logs in over TLS or not.
func loginKeyed(t *testing.T, srv *chatserver.Server, user, origin string, secure bool) *keyed {
	t.Helper()
	return loginKeyedFrom(t, srv, "127.0.0.1:50000", user, origin, secure)
}

func loginKeyedFrom(t *testing.T, srv *chatserver.Server, addr, user, origin string, secure bool) *keyed {
	t.Helper()
	nc := dial(t, srv, addr)
	k := &keyed{lines(t, nc), "", user}
	if secure {
		c := tls.Client(nc, clientTLS())
		k.linePeer = lines(t, c)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		state := c.ConnectionState()
		exported, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		k.binding = handshake.TLSBinding(exported)
	}
	k.say("HELO v=1 acks=1 beat=30000 pres=0")
	boot := regexp.MustCompile("boot=([0-9a-f]+)").FindStringSubmatch(k.want("220"))[1]
	k.say("AUTH user=%s pass=%s origin=%s", user, demo[user], origin)
	k.want("230")
	if !secure {
		k.binding = handshake.Binding("cleartext:" + boot + ":" + origin)
	}
	return k
}

func (k *keyed) proof(octet byte) string {
	return "key=" + keyText(octet) + " sig=" + k.binding.Sign(k.user, identity(octet))
}

// A key is registered by whoever has it, on the connection that it is proved
// on, for themselves.
func TestKeyIsProved(t *testing.T) {
	for _, secure := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
			defer srv.Close()
			a, b := loginKeyed(t, srv, "A", "a1", secure), loginKeyed(t, srv, "B", "b1", secure)
			proof := b.proof(2)
			key, sig, _ := strings.Cut(proof, " ")
			for _, test := range []struct{ why, fields, want string }{
				{"no field", "", "501 n=1 :LSTN takes port=PORT, from 1024 to 65535"},
				{"a port that is none", "port=1023 " + proof, "501 n=1 :LSTN takes port=PORT"},
				{"places without a port", "cand=192.0.2.1:2000 " + proof, "501 n=1 :LSTN takes port=PORT"},
				{"a key without proof", "port=2000 " + key, "501 n=1 :key= and sig= go together"},
				{"a proof without key", "port=2000 " + sig, "501 n=1 :key= and sig= go together"},
				{"the proof of another key", "port=2000 key=" + keyText(3) + " " + sig, "501 n=1 :key= and sig= do not prove"},
				{"the proof of another user and connection", "port=2000 " + a.proof(1), "501 n=1 :key= and sig= do not prove"},
				{"a link-local place", "port=2000 cand=169.254.169.254:2000 " + proof, "501 n=1 :cand= takes"},
				{"nine places", "port=2000 cand=" + strings.Repeat("192.0.2.1:2000,", 8) + "192.0.2.1:2000", "501 n=1 :cand= takes"},
				{"eight places", "port=2000 cand=" + strings.Repeat("192.0.2.1:2000,", 7) + "192.0.2.1:2000", "200 n=1"},
				{"loopback, from this machine", "port=2000 cand=127.0.0.1:2000", "200 n=1"},
				{"the key alone", proof, "200 n=1"},
				{"all of it", "port=2000 cand=192.0.2.1:2000,[2001:db8::1]:2001 " + proof, "200 n=1"},
			} {
				b.say("%s", strings.TrimSuffix("LSTN n=1 "+test.fields, " "))
				if got := b.next(); !strings.HasPrefix(got, test.want) {
					t.Errorf("%s: got %q", test.why, got)
				}
			}
			a.say("LSTN n=1 %s", a.proof(1))
			a.want("200")
			a.say("ADDR n=2 user=B")
			a.want("202")
			b.want("RQST user=A key=" + keyText(1) + " :")
			b.say("CNST n=2 user=A")
			b.want("200 n=2 key=" + keyText(1) + " ttl=600000")
			a.want("GETA user=B addr=127.0.0.1 port=2000 ttl=600000 key=" + keyText(2) + " cand=192.0.2.1:2000,[2001:db8::1]:2001 :2000 127.0.0.1 B")
			// The key of one connection proves nothing on the next.
			again := loginKeyed(t, srv, "B", "b1", secure)
			again.say("LSTN n=3 port=2000 cand=192.0.2.1:2000,[2001:db8::1]:2001 %s", b.proof(2))
			if secure {
				again.want("501")
			} else { // the same session: nothing tells them apart, and nothing changes
				again.want("200")
			}
		})
	}
}

// Places on this machine are nobody else's business.
func TestLoopbackPlaceFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		defer srv.Close()
		p := loginKeyedFrom(t, srv, "192.0.2.9:50000", "A", "a1", true)
		p.say("LSTN port=2000 cand=127.0.0.1:2000")
		p.want("501 :cand=")
	})
}

// Who changes his key is somebody else, in both directions.
func TestKeyChangeEndsConsents(t *testing.T) {
	for _, test := range []struct{ who, owner string }{{"A", "B"}, {"B", "B"}} {
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: demo}
			defer srv.Close()
			a, b := loginKeyed(t, srv, "A", "a1", false), loginKeyed(t, srv, "B", "b1", false)
			listen := map[string]func(key byte){
				"A": func(key byte) { a.say("LSTN n=1 %s", a.proof(key)) },
				"B": func(key byte) { b.say("LSTN n=1 port=2000 %s", b.proof(key)) },
			}
			listen["A"](1)
			a.want("200")
			listen["B"](2)
			b.want("200")
			a.say("ADDR n=2 user=B")
			a.want("202")
			b.want("RQST")
			b.say("CNST n=2 user=A")
			b.want("200")
			a.want("GETA")
			listen[test.who](map[string]byte{"A": 1, "B": 2}[test.who]) // the same again changes nothing
			map[string]*keyed{"A": a, "B": b}[test.who].want("200")
			listen[test.who](9)
			a.want("RVKD user=B owner=B why=gone")
			b.want("RVKD user=A owner=B why=gone")
			map[string]*keyed{"A": a, "B": b}[test.who].want("200")
		})
	}
}

// An end that was lost with a connection is told again on the next, before
// what waited; an end that is no end any more is not.
func TestRevocationIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a, b := loginKeyed(t, srv, "A", "a1", false), loginKeyed(t, srv, "B", "b1", false)
		b.say("LSTN n=1 port=2000")
		b.want("200")
		grant := func() {
			t.Helper()
			a.say("ADDR n=2 user=B")
			a.want("202")
			b.want("RQST")
			b.say("CNST n=2 user=A")
			b.want("200")
			a.want("GETA")
		}
		grant()
		b.say("RVKE n=3 user=A")
		b.want("RVKD")
		b.want("200")
		a.nc.Close() // with RVKD in it, for all that anybody knows
		a = loginKeyed(t, srv, "A", "a1", false)
		a.want("RVKD user=B owner=B why=revoked")
		a = loginKeyed(t, srv, "A", "a1", false)
		a.want("RVKD user=B owner=B why=revoked")
		a.nc.Close()
		synctest.Wait()
		a = loginKeyed(t, srv, "A", "a1", false)
		a.want("RVKD user=B owner=B why=revoked")
		grant()
		a = loginKeyed(t, srv, "A", "a1", false)
		a.say("ONLN n=4")
		a.want("111") // and no RVKD
		a.want("211")
		b.say("RVKE n=4 user=A")
		b.want("RVKD")
		b.want("200")
		a.want("RVKD")
		for range 25 { // until nobody can believe in it any more
			a.say("LIVE")
			b.say("LIVE")
			time.Sleep(25 * time.Second)
		}
		a = loginKeyed(t, srv, "A", "a1", false)
		a.say("ONLN n=4")
		a.want("111")
	})
}

// The consent that the search of consentcache asks for: an asker who blocks
// the owner cannot be granted anything, and a grant stays one.
func TestConsentToOneWhoBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a, b := loginKeyed(t, srv, "A", "a1", false), loginKeyed(t, srv, "B", "b1", false)
		b.say("LSTN n=1 port=2000")
		b.want("200")
		a.say("ADDR n=2 user=B")
		a.want("202")
		b.want("RQST")
		a.say("BLOK n=3 user=B")
		a.want("200")
		b.say("CNST n=2 user=A")
		b.want("553 n=2 :Blocked by A")
		a.say("UBLK n=4 user=B")
		a.want("200")
		b.say("CNST n=3 user=A")
		b.want("200")
		a.want("GETA")
		a.say("BLOK n=5 user=B")
		a.want("200")
		b.say("CNST n=4 user=A")
		b.want("200")
	})
}
