//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"golang.org/x/crypto/acme"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// A certificate comes from an authority, which looks at the server's one port,
// and is kept: the next start asks for none.
func TestACME(t *testing.T) {
	const host = "chat.example.org"
	a := newFakeAuthority(t)
	reserved, err := net.Listen("tcp", "127.0.0.1:0") // chatd is to be where the authority looks from the start
	if err != nil {
		t.Fatal(err)
	}
	a.looksAt(reserved.Addr().String())
	_, port, _ := net.SplitHostPort(reserved.Addr().String())
	reserved.Close()
	dir, _ := folder(t, "alice wonderland\n")
	start := func() *process {
		p := &process{t: t, cmd: chatdCommand(dir, "-acme", host, "-acme-directory", a.web.URL+"/", "-acme-email", "ops@example.org", port)}
		p.start()
		p.out.await(t, `^certificate for chat\.example\.org: by `+quote(a.web.URL)+`/, until \d{4}-\d\d-\d\d\n`)
		return p
	}
	p := start()
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	login := func(name string, roots *x509.CertPool) error {
		c, err := chatclient.Dial(t.Context(), chatclient.Config{Addr: name + ":443", TLS: &tls.Config{RootCAs: roots}, User: "alice", Password: "wonderland", PeerListen: "off",
			TrustServer: func(context.Context, chatclient.UnknownServer) error { return errors.New("it is unknown") },
			Dial:        func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", p.addr) }})
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := login(host, roots); err != nil {
		t.Errorf("a client that knows the authority: %v", err)
	}
	sees := func(name string) (string, bool) {
		c, err := tls.Dial("tcp", p.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		leaf := c.ConnectionState().PeerCertificates[0]
		return handshake.Fingerprint(leaf.RawSubjectPublicKeyInfo), leaf.CheckSignatureFrom(a.root) == nil
	}
	issued, ok := sees(host)
	if upper, _ := sees("CHAT.example.org"); !ok || upper != issued || issued == p.print {
		t.Errorf("clients that name the host see %s (from the authority: %v), or %s", issued, ok, upper)
	}
	for _, name := range []string{"", "other.example.org"} {
		if got, _ := sees(name); got != p.print {
			t.Errorf("clients that name %q see %s, want the server's own %s", name, got, p.print)
		}
	}
	// Outside of an order, and for other names, there is nothing to prove.
	for _, name := range []string{host, "other.example.org"} {
		if c, err := tls.Dial("tcp", p.addr, &tls.Config{ServerName: name, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true}); err == nil {
			t.Errorf("anybody can ask what %s shows to an authority", name)
			c.Close()
		}
	}
	p.stop()
	p = start()
	if again, _ := sees(host); again != issued || a.orders != 1 {
		t.Errorf("the second start shows %s, not %s, after %d orders", again, issued, a.orders)
	}
	p.stop()
}

// While there is no certificate the server's own one serves, and the operator
// is told why.
func TestACMERefused(t *testing.T) {
	a := newFakeAuthority(t)
	dir, _ := folder(t, "alice wonderland\n")
	p := launch(t, dir, "-acme", "chat.example.org", "-acme-directory", a.web.URL+"/")
	p.err.await(t, `^chatd: no certificate for chat\.example\.org yet, asking again in 2m0s: .*chat\.example\.org`)
	p.err.await(t, `^chatd: the authority looks at port 443 of chat\.example\.org; that must lead to port `+p.addr[len("127.0.0.1:"):]+` of this machine\n`)
	p.mustLogin("alice", "wonderland")
	p.stop()
}
