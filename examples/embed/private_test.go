package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// A party is a client with what reaches it.
type party struct {
	*chatclient.Client
	asked    chan string
	granted  chan chatclient.Address
	revoked  chan chatclient.Revocation
	private  chan chatclient.PrivateMessage
	identity *chatclient.Identity
}

func join(t *testing.T, user string, cfg chatclient.Config) *party {
	t.Helper()
	id, err := chatclient.OpenIdentity(filepath.Join(t.TempDir(), "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p := &party{asked: make(chan string, 10), granted: make(chan chatclient.Address, 10), revoked: make(chan chatclient.Revocation, 10),
		private: make(chan chatclient.PrivateMessage, 100), identity: id}
	cfg.User, cfg.Password, cfg.Identity = user, "secret", id
	cfg.Callbacks = chatclient.Callbacks{
		OnConsentAsked: func(_ context.Context, user, _ string) { p.asked <- user },
		OnAddress:      func(_ context.Context, a chatclient.Address) { p.granted <- a },
		OnRevoked:      func(_ context.Context, r chatclient.Revocation) { p.revoked <- r },
		OnPrivate:      func(_ context.Context, m chatclient.PrivateMessage) error { p.private <- m; return nil },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if p.Client, err = chatclient.Dial(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		<-p.Done()
	})
	return p
}

// Two real clients at a real server, over TLS and in cleartext, over IPv4 and
// IPv6: a request, a consent, private messages, its end.
func TestPrivate(t *testing.T) {
	for _, test := range []struct {
		name, addr string
		cleartext  chatclient.Cleartext
	}{
		{"TLS", "127.0.0.1:0", chatclient.CleartextNever},
		{"cleartext", "127.0.0.1:0", chatclient.CleartextLocal},
		{"IPv6", "[::1]:0", chatclient.CleartextNever},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ln, err := net.Listen("tcp", test.addr)
			if err != nil {
				t.Skip(err) // a machine without IPv6
			}
			cert, err := chatserver.SelfSigned(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			accounts, err := chatserver.ParseCredentials(bytes.NewReader([]byte("A secret\nB secret\n")))
			if err != nil {
				t.Fatal(err)
			}
			srv := &chatserver.Server{Accounts: accounts, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
			go srv.Serve(ln)
			defer srv.Close()
			cfg := chatclient.Config{Addr: ln.Addr().String(), Cleartext: test.cleartext}
			a, b := join(t, "A", cfg), join(t, "B", cfg)

			if err := a.RequestAddress(ctx, "B"); err != nil {
				t.Fatal(err)
			}
			if user := <-b.asked; user != "A" {
				t.Errorf("asked by %s", user)
			}
			if err := b.Consent(ctx, "A"); err != nil {
				t.Fatal(err)
			}
			addr := <-a.granted
			if host, _, _ := net.SplitHostPort(ln.Addr().String()); addr.Host != host {
				t.Errorf("got %+v", addr)
			}
			if r, err := a.Private(ctx, "B", "hello"); err != nil || r.How != chatclient.Delivered {
				t.Fatalf("%+v %v", r, err)
			}
			if m := <-b.private; m.From != "A" || m.Text != "hello" {
				t.Errorf("got %+v", m)
			}
			if _, err := b.Private(ctx, "A", "back"); !errors.Is(err, chatclient.ErrNoConsent) {
				t.Error(err)
			}
			x, err := a.SafetyNumber("B")
			y, err2 := b.SafetyNumber("A")
			if x != y || err != nil || err2 != nil {
				t.Errorf("%q %v, %q %v", x, err, y, err2)
			}
			if err := b.Revoke(ctx, "A"); err != nil {
				t.Error(err)
			}
			for _, p := range []*party{a, b} {
				if r := <-p.revoked; r.Owner != "B" || r.Why != "revoked" {
					t.Errorf("got %+v", r)
				}
			}
			if _, err := a.Private(ctx, "B", "still there?"); !errors.Is(err, chatclient.ErrNoConsent) {
				t.Error(err)
			}
		})
	}
}
