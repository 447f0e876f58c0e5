package chatclient_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// relayOwner logs in B, who takes relayed lines, at a played server.
func relayOwner(t *testing.T, s *server) (*chatclient.Client, *link) {
	n := newPeerNet()
	cfg := s.config()
	n.use(&cfg)
	cfg.Identity, cfg.Relay = identityOf(t, "B"), true
	cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
	login := async(func() *chatclient.Client {
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		return c
	})
	l := s.link()
	l.play(strings.ReplaceAll(strings.ReplaceAll(welcomed, "beat=30000", "beat=30000 caps=relay"), "boot=9c", "boot=9c caps=relay") +
		"C: LSTN n=1 port=28403 key=* sig=*\nS: 200 n=1")
	c := <-login
	t.Cleanup(func() { end(c) })
	return c, l
}

// A server cannot make a client take a line that nobody was consented to, nor
// keep more of one than is agreed.
func TestRelayStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := relayOwner(t, newServer(t))
		l.play("S: RLAY user=A s=7\nC: RDAT s=7 end=1\nS: RDAT s=7 data=AAAA\nS: RDAT s=9 end=1")
		consent(t, c, l, 2, "A")
		l.play("S: RLAY user=A s=8\nS: RDAT s=8 ack=1\nC+0s: RDAT s=8 end=1")
		// 5 s for a stranger, also here.
		l.play("S: RLAY user=A s=10\nC+5s: RDAT s=10 end=1")
	})
}

// Whoever is on the relay and has another key is not heard.
func TestRelayOtherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := relayOwner(t, newServer(t))
		consent(t, c, l, 2, "A")
		l.play("S: RLAY user=A s=7\nS: RDAT s=7 data=" + base64.StdEncoding.EncodeToString([]byte("PEER v=1 from=A to=B origin=5eed\r\n")))
		for {
			line := l.read()
			if line == "RDAT s=7 end=1" {
				break
			}
			if !strings.HasPrefix(line, "RDAT s=7 data=") { // the alert of TLS
				t.Fatalf("got %q", line)
			}
		}
	})
}

// A stream has a window in either direction, and a client 16 of them.
func TestRelayBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := relayOwner(t, newServer(t))
		consent(t, c, l, 2, "A")
		for i := range 16 {
			l.play(fmt.Sprintf("S: RLAY user=A s=%d", 100+i))
		}
		synctest.Wait()
		l.play("S: RLAY user=A s=200\nS: RDAT s=200 ack=5") // there is none
		l.silent(time.Second)
		data := base64.StdEncoding.EncodeToString([]byte("\x16\x03\x01\x40\x00" + strings.Repeat("x", 4091))) // a record that never ends
		for range 8 {
			fmt.Fprintf(l.nc, "RDAT s=100 data=%s\r\n", data)
		}
		l.nc.SetDeadline(time.Now().Add(time.Minute))
		for l.read() != "RDAT s=100 end=1" { // TLS has had enough of it, or the window was too small
		}
	})
}
