package chatclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// Who connects to the port of a client that is away learns the server's name,
// and keeps nobody out: not by silence, not by noise, not by numbers.
func TestStrangersCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		s.away(s.config())
		nc := s.knock()
		nc.SetReadDeadline(time.Now().Add(time.Hour))
		began := time.Now()
		said, err := io.ReadAll(nc)
		if took := time.Since(began); err != nil || took != 10*time.Second {
			t.Errorf("a silent one is borne for %v (%v)", took, err)
		}
		if len(said) < 5 || said[0] != 0x16 || len(said) != 5+int(said[3])<<8+int(said[4]) || said[5] != 1 {
			t.Errorf("a stranger is told %x, want a ClientHello and no more", said)
		}
		if !bytes.Contains(said, []byte("chat.example.com")) || !bytes.Contains(said, []byte("\x00\x0e\x0dparley-back/1")) || bytes.Contains(said, identityOf(t, "B").Certificate().Certificate[0]) {
			t.Error("the ClientHello is not what it should be")
		}

		for name, words := range map[string]string{
			"cleartext": "220 v=1 mech=EXTERNAL boot=9c t=0\r\n",
			"a browser": "GET / HTTP/1.1\r\n\r\n",
			"zeros":     string(make([]byte, 100)),
			"a client":  string(said), // its own words, back at it
		} {
			nc := s.knock()
			go io.WriteString(nc, words)
			nc.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := io.ReadAll(nc); isTimeout(err) {
				t.Errorf("%s: the connection stays open", name)
			}
			nc.Close()
		}

		time.Sleep(time.Second)
		var all []net.Conn
		for range 100 {
			nc := s.knock()
			go io.Copy(io.Discard, nc)
			all = append(all, nc)
			synctest.Wait()
		}
		var open []int
		for i, nc := range all {
			if _, err := nc.Write([]byte{0x16}); err == nil {
				open = append(open, i)
			}
		}
		if !slices.Equal(open, []int{60, 61, 62, 63}) { // the newest of the 64 that are heard in a second
			t.Errorf("of 100 are heard %d", open)
		}
		time.Sleep(time.Second)
		s.call().play(called + "S: 230 user=B new=0 known=1 high=0 mail=0 token=5" + parts)
		for i, nc := range all[60:64] {
			nc.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := nc.Write([]byte{0x16}); err == nil || isTimeout(err) {
				t.Errorf("stranger %d is heard beside the server", i)
			}
		}
		s.said(chatclient.Online, chatclient.Away)
		if s.tries.Load() != 1 {
			t.Errorf("strangers made the client connect %d times", s.tries.Load()-1)
		}
	})
}

// The port may be one of a network of the program's own.
func TestListenFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		var asked []string
		cfg.DialBack.Listen = ":9001"
		cfg.DialBack.ListenFunc = func(network, address string) (net.Listener, error) {
			asked = append(asked, network+" "+address)
			return s.n.listen(network, address)
		}
		s.away(cfg)
		if !slices.Equal(asked, []string{"tcp :9001"}) {
			t.Errorf("it was called for %q", asked)
		}
		s.call().play(called + "S: 230 user=B new=0 known=1 high=0 mail=0 token=5" + parts)
	})
}

// Who is not the server that the client logged in to is refused in the
// handshake, before the client shows its key; nobody is asked, and nothing is
// lost.
func TestFalseCallers(t *testing.T) {
	ca, key, otherKey := newAuthority(t), newKey(t), newKey(t)
	vouched := ca.sign(key, "chat.example.com", year1999, year2001)
	selfMadeOne := selfMade(t, key, year1999, year2001)
	with := func(cert tls.Certificate, change func(*tls.Config)) *tls.Config {
		config := backTLS(cert)
		if change != nil {
			change(config)
		}
		return config
	}
	stolen := vouched // the certificate, without its key
	stolen.PrivateKey = otherKey
	other := newAuthority(t)
	for _, test := range []struct {
		name  string
		at    tls.Certificate // at the login
		call  *tls.Config
		shown bool // the client shows its key: this is a server, if not the one
	}{
		{"another key", selfMadeOne, with(selfMade(t, otherKey, year1999, year2001), nil), false},
		{"another key for a vouched one", vouched, with(selfMade(t, otherKey, year1999, year2001), nil), false},
		{"another name", vouched, with(ca.sign(key, "chat.example.org", year1999, year2001), nil), false},
		{"another authority", vouched, with(other.sign(key, "chat.example.com", year1999, year2001), nil), false},
		{"expired", vouched, with(ca.sign(key, "chat.example.com", year1999, year1999.AddDate(0, 6, 0)), nil), false},
		{"its certificate without the key", vouched, with(stolen, nil), false},
		{"no ALPN", selfMadeOne, with(selfMadeOne, func(c *tls.Config) { c.NextProtos = nil }), false},
		{"ALPN of clients", selfMadeOne, with(selfMadeOne, func(c *tls.Config) { c.NextProtos = []string{handshake.ALPN} }), false},
		{"ALPN of private lines", selfMadeOne, with(selfMadeOne, func(c *tls.Config) { c.NextProtos = []string{handshake.PeerALPN} }), false},
		{"TLS 1.2", selfMadeOne, with(selfMadeOne, func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 }), false},
		{"vouched for, with another key", vouched, with(ca.sign(otherKey, "chat.example.com", year1999, year2001), nil), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newCaller(t)
				s.cert = test.at
				cfg := s.config()
				cfg.TLS = &tls.Config{RootCAs: ca.pool()}
				cfg.TrustServer = func(context.Context, chatclient.UnknownServer) error {
					t.Error("somebody is asked")
					return nil
				}
				s.away(cfg)
				nc := tls.Server(s.knock(), test.call)
				nc.SetDeadline(time.Now().Add(time.Minute))
				err := nc.Handshake()
				if shown := err == nil; shown != test.shown || shown != (len(nc.ConnectionState().PeerCertificates) > 0) {
					t.Errorf("the client shows its key: %t (%v)", shown, err)
				}
				if got, err := io.ReadAll(nc); len(got) > 0 || isTimeout(err) {
					t.Errorf("the caller is told %q (%v)", got, err)
				}
				nc.NetConn().Close()
				synctest.Wait()
				if test.shown { // its key has changed, maybe; the login tells
					if s.tries.Load() != 2 {
						t.Fatal("the client does not come by itself")
					}
					s.link().play(backHello + s.resumedAt(0, 2) + parts)
					s.said(chatclient.Online, chatclient.Away)
				}
				s.said()
				s.call().play(called + "S: 230 user=B new=0 known=1 high=0 mail=0 token=5" + parts)
				s.said(chatclient.Online, chatclient.Away)
			})
		})
	}
}

// A fingerprint that was given is the only one for callers, too; and what the
// application demands of TLS holds.
func TestCallersByConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		cfg.Fingerprint = fingerprint(s.cert)
		right := s.cert
		var checked atomic.Int32
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{selfMade(t, newKey(t), year1999, year2001)},
			VerifyConnection: func(state tls.ConnectionState) error {
				checked.Add(1)
				if !state.PeerCertificates[0].Equal(right.Leaf) {
					return errors.New("not that one")
				}
				return nil
			}}
		s.away(cfg)
		for _, cert := range []tls.Certificate{
			selfMade(t, newKey(t), year1999, year2001),
			selfMade(t, newKey(t), year1999, year2001.AddDate(1, 0, 0)),
		} {
			nc := tls.Server(s.knock(), backTLS(cert))
			if err := nc.Handshake(); err == nil {
				t.Error("another key is taken")
			}
			nc.NetConn().Close()
		}
		l := s.call()
		l.play(called + "S: 230 user=B new=0 known=1 high=0 mail=0 token=5" + parts)
		if got := l.nc.(*tls.Conn).ConnectionState().PeerCertificates[0]; !bytes.Equal(got.Raw, identityOf(t, "B").Certificate().Certificate[0]) {
			t.Error("the client shows a certificate of the application")
		}
		if checked.Load() != 4 {
			t.Errorf("the application was asked %d times", checked.Load())
		}
	})
}
