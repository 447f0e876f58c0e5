package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// What is sent to the bot comes back, in order and once; what is said to
// everybody does not.
func TestEcho(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := chatserver.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := chatserver.LeafFingerprint(cert)
	if err != nil {
		t.Fatal(err)
	}
	server := &chatserver.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, Accounts: chatserver.Credentials{"google": "hasglasses", "A": "pa"}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	pins := chatclient.PinFile(filepath.Join(t.TempDir(), "parley", "known_servers"))
	bot := chatclient.Config{Addr: l.Addr().String(), User: "google", Password: "hasglasses", Pins: pins}
	guest, stranger := bot, bot
	guest.Password = "wrong"
	stranger.Fingerprint = "sha256:" + strings.Repeat("0", 64)
	if err := run(t.Context(), stranger); !errors.Is(err, chatclient.ErrServerChanged) {
		t.Errorf("another server: %v, want %v", err, chatclient.ErrServerChanged)
	}
	if err := run(t.Context(), guest); !errors.Is(err, chatproto.ErrDenied) {
		t.Errorf("a wrong password: %v, want %v", err, chatproto.ErrDenied)
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	got := make(chan string, 8)
	online := make(chan struct{}, 1)
	a, err := chatclient.Dial(t.Context(), chatclient.Config{
		Addr: l.Addr().String(), User: "A", Password: "pa", Fingerprint: key,
		Callbacks: chatclient.Callbacks{
			OnMessage:  func(_ context.Context, m chatclient.Message) error { got <- m.Description; return nil },
			OnPresence: func(context.Context, chatclient.Presence) { online <- struct{}{} },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- run(ctx, bot) }()
	<-online
	if _, err := a.Broadcast(t.Context(), "everybody"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello!", "", "two\nlines"} {
		if _, err := a.Send(t.Context(), "google", text); err != nil {
			t.Fatal(err)
		}
		want := string(chatproto.AppendMessage(nil, "google", []byte(text)))
		if echo := <-got; echo != want {
			t.Errorf("the echo is %q, want %q", echo, want)
		}
	}
	if p, found, err := pins.Pin(bot.Addr); !found || p.Fingerprint != key || err != nil {
		t.Errorf("the server is remembered as %v (%v, %v), want %s", p, found, err, key)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the bot ended with %v", err)
	}
	if err := a.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, chatserver.ErrServerClosed) {
		t.Error(err)
	}
}
