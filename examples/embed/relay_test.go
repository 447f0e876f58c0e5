package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// A wiretap keeps everything that a server reads and writes, by connection
// and direction.
type wiretap struct {
	net.Listener
	mu   sync.Mutex
	logs []*bytes.Buffer
}

type tapped struct {
	net.Conn
	tap         *wiretap
	read, wrote *bytes.Buffer
}

func (w *wiretap) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := tapped{nc, w, new(bytes.Buffer), new(bytes.Buffer)}
	w.logs = append(w.logs, c.read, c.wrote)
	return c, nil
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.wrote.Write(p)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}

// saw is what the server saw, and after it, decoded and put together, what it
// relayed.
func (w *wiretap) saw() (text string, relayed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, log := range w.logs {
		text := log.String()
		b.WriteString(text)
		for _, m := range regexp.MustCompile(`RDAT [^\r]*data=(\S+)`).FindAllStringSubmatch(text, -1) {
			raw, _ := base64.StdEncoding.DecodeString(m[1])
			b.Write(raw)
			relayed += len(raw)
		}
	}
	return b.String(), relayed
}

// unreachable has B listen where A is not told to look for it.
func unreachable(t *testing.T, srv *chatserver.Server, relayA, relayB bool) (a, b *party, tap *wiretap) {
	t.Helper()
	if probe, err := net.Listen("tcp", "127.0.0.2:0"); err != nil {
		t.Skip("only 127.0.0.1 is loopback here: ", err)
	} else {
		probe.Close()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap = &wiretap{Listener: ln}
	if srv.Accounts, err = chatserver.ParseCredentials(strings.NewReader("A secret\nB secret\n")); err != nil {
		t.Fatal(err)
	}
	go srv.Serve(tap)
	t.Cleanup(func() { srv.Close() })
	cfg := chatclient.Config{Addr: ln.Addr().String(), Cleartext: chatclient.CleartextLocal, Relay: relayA}
	a = join(t, "A", cfg)
	cfg.Relay, cfg.PeerListen = relayB, "127.0.0.2:0"
	b = join(t, "B", cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.RequestAddress(ctx, "B"); err != nil {
		t.Fatal(err)
	}
	<-b.asked
	if err := b.Consent(ctx, "A"); err != nil {
		t.Fatal(err)
	}
	<-a.granted
	return a, b, tap
}

// Two clients that cannot reach each other talk through the server, which
// sees who they are and how much they say, and nothing of it.
func TestRelay(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, b, tap := unreachable(t, new(chatserver.Server), true, true)
	const secret = "the password is swordfish"
	if r, err := a.Private(ctx, "B", secret); err != nil || r.How != chatclient.Delivered {
		t.Fatalf("%+v %v", r, err)
	}
	if m := <-b.private; m.From != "A" || m.Text != secret {
		t.Errorf("got %+v", m)
	}
	// Much more than may be on the way at once, in order.
	var all sync.WaitGroup
	long := strings.Repeat("swordfish ", 700)
	all.Go(func() {
		for i := range 40 {
			m := <-b.private
			if m.Text != fmt.Sprint(i, " ", long) {
				t.Errorf("message %d is %.20q", i, m.Text)
				return
			}
		}
	})
	for i := range 40 {
		if _, err := a.Private(ctx, "B", fmt.Sprint(i, " ", long)); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	saw, relayed := tap.saw()
	if relayed < 2*40*len(long) {
		t.Errorf("%d octets were relayed", relayed)
	}
	for _, word := range []string{"swordfish", "PEER v=", "MESG n="} { // four letters alone do occur in so much base64
		if strings.Contains(saw, word) {
			t.Errorf("the server sees %q", word)
		}
	}
	// The end of the consent is the end of the line.
	if err := b.Revoke(ctx, "A"); err != nil {
		t.Error(err)
	}
	<-a.revoked
	if _, err := a.Private(ctx, "B", "still there?"); !errors.Is(err, chatclient.ErrNoConsent) {
		t.Error(err)
	}
}

// Unless server and both clients want it, nothing is relayed, and the user is
// no longer there.
func TestNoRelay(t *testing.T) {
	for _, test := range []struct{ server, a, b bool }{{false, true, true}, {true, false, true}, {true, true, false}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, _, tap := unreachable(t, &chatserver.Server{NoRelay: !test.server}, test.a, test.b)
		if _, err := a.Private(ctx, "B", "x"); !errors.Is(err, chatclient.ErrPeerGone) || errors.Is(err, chatclient.ErrUnknown) {
			t.Errorf("%+v: %v", test, err)
		}
		if saw, relayed := tap.saw(); relayed > 0 || strings.Contains(saw, "RDAT") {
			t.Errorf("%+v: is relayed", test)
		}
	}
}
