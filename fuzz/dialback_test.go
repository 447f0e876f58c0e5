package fuzz

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// fuzzIdentity is the key of a client that is called back, and its
// certificate.
var fuzzIdentity = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// callOpenings are how far a connection that the server made has come before
// it is given arbitrary bytes: not into TLS, or so far in it.
var callOpenings = []struct {
	tls   bool
	lines string
}{
	{false, ""},
	{true, ""},
	{true, "HELO v=1 acks=1 beat=30000\n"},
	{true, "HELO v=1 acks=1 beat=30000 caps=dialback\nAUTH mech=EXTERNAL user=B origin=b2 known=1\n"},
}

// FuzzDialBack throws arbitrary bytes at a connection that the server made
// (SPEC section 7.7). Before TLS it says nothing that is no TLS, to whatever.
// Within, it keeps to the tables, and lets nobody in but the client for which
// it dialled, whose session goes on. If nobody logs in the connection is over in
// time, and the client is called again.
func FuzzDialBack(f *testing.F) {
	hello := string(clientHello())
	for _, s := range []string{
		"", "\n", startsTLS, hello, hello[:len(hello)/2], "\x15\x03\x03\x00\x02\x02\x28", "HELO v=1\r\n", "HELO v=1\nAUTH mech=EXTERNAL user=B origin=b2\n", "GET / HTTP/1.1\r\n\r\n",
		"AUTH mech=EXTERNAL user=B origin=b2\n", "AUTH mech=EXTERNAL user=A origin=b2\n", "AUTH mech=EXTERNAL user=B origin=b3\n", "AUTH mech=EXTERNAL user=B\n",
		"AUTH user=B pass=b origin=b2\n", "AUTH user=B\nAUTH pass=b\n", "AUTH mech=EXTERNAL user=B origin=b2 pass=b\n", "AUTH mech=EXTERNAL user=B origin=b2 data=\n", "AUTH mech=SCRAM-SHA-256-PLUS user=B data=n\n",
		"LIVE\nQUIT\n", "ACKD count=1\nLSTN port=2000\n", "ACKD count=1\nLSTN n=1 dial=2000\nSEND n=2 to=A :x\nQUIT\n",
	} {
		for i := range callOpenings {
			f.Add(uint8(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, opening uint8, input []byte) {
		if len(input) > 128<<10 {
			return
		}
		at := callOpenings[int(opening)%len(callOpenings)]
		cfg, identity := fuzzTLS(), fuzzIdentity()
		synctest.Test(t, func(t *testing.T) {
			calls := make(chan net.Conn, 999)
			srv := &chatserver.Server{Accounts: fuzzAccounts, TLSConfig: cfg, DialBack: true}
			srv.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
				near, far := net.Pipe()
				calls <- far
				return near, nil
			}
			defer srv.Close()
			goAway(t, srv, identity)
			write(t, srv)
			far := <-calls
			begun := time.Now()
			in := false
			if at.tls {
				in = throwWithin(t, far, identity, at.lines+string(input))
			} else {
				throwBelow(t, far, input)
			}
			far.Close()
			if took := time.Since(begun); took > 11*time.Second && !in {
				t.Errorf("nobody logs in, for %v", took)
			}
			for len(calls) > 0 {
				(<-calls).Close() // it was away again
			}
			if !in {
				select {
				case again := <-calls:
					again.Close()
				case <-time.After(11 * time.Second):
					t.Error("the client is not called again")
				}
			}
		})
	})
}

// goAway logs B in, says where it is called, and ends the connection.
func goAway(t *testing.T, srv *chatserver.Server, identity tls.Certificate) {
	near, far := net.Pipe()
	go srv.ServeConn(elsewhere{far, "192.0.2.7:1"})
	nc := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}, CurvePreferences: []tls.CurveID{tls.X25519}})
	r := chatproto.NewReader(nc)
	say(t, nc, r, "HELO v=1 acks=1 beat=30000 caps=dialback", chatproto.ReplyGreeting)
	say(t, nc, r, "AUTH mech=PLAIN user=B pass=b origin=b2", chatproto.ReplyWelcome)
	state := nc.ConnectionState()
	binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	key := identity.PrivateKey.(ed25519.PrivateKey)
	say(t, nc, r, fmt.Sprintf("LSTN n=1 dial=2000 key=%s sig=%s", handshake.FormatKey(key.Public().(ed25519.PublicKey)),
		handshake.TLSBinding(binding).Sign("B", key)), chatproto.ReplyOK)
	near.Close()
	synctest.Wait()
}

// write has A write to B.
func write(t *testing.T, srv *chatserver.Server) {
	near, far := net.Pipe()
	go srv.ServeConn(far)
	defer near.Close()
	r := chatproto.NewReader(near)
	say(t, near, r, "HELO v=1", chatproto.ReplyGreeting)
	say(t, near, r, "AUTH user=A pass=a", chatproto.ReplyWelcome)
	say(t, near, r, "SEND to=B :hi", chatproto.ReplyAccepted)
}

// say sends a line and wants the reply to it.
func say(t *testing.T, nc net.Conn, r *chatproto.Reader, line string, want chatproto.Code) {
	if _, err := fmt.Fprintf(nc, "%s\r\n", line); err != nil {
		t.Fatal(err)
	}
	var f chatproto.Frame
	for !f.Code.IsReply() {
		if err := r.Next(&f); err != nil {
			t.Fatalf("%s is not answered: %v", line, err)
		}
	}
	if f.Code != want {
		t.Fatalf("%s is answered by %s", line, f.Code)
	}
}

// throwBelow sends input to a server that waits for a ClientHello.
func throwBelow(t *testing.T, far net.Conn, input []byte) {
	said := make(chan []byte)
	go func() { b, _ := io.ReadAll(far); said <- b }()
	far.SetWriteDeadline(time.Now().Add(time.Second))
	far.Write(input)
	checkSaid(t, []byte(startsTLS), <-said) // the end comes by itself
}

// throwWithin sends input in TLS, and reports whether somebody was logged in.
func throwWithin(t *testing.T, far net.Conn, identity tls.Certificate, input string) (in bool) {
	nc := tls.Client(far, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.BackALPN},
		Certificates: []tls.Certificate{identity}, CurvePreferences: []tls.CurveID{tls.X25519}})
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := &judge{t: t, machine: chatproto.V1.Machine(), said: collect(nc)}
	c.heard = func(f *chatproto.Frame) {
		if f.Code == chatproto.ReplyWelcome {
			in = true
			if f.Value("user") != "B" || f.Value("new") != "0" {
				t.Errorf("user=%s new=%s logs in", f.Value("user"), f.Value("new"))
			}
		}
	}
	c.throw(nc, []byte(input))
	return in
}
