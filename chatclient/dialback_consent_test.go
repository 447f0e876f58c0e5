package chatclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// A consent lasts while its owner is away: who has it writes straight to them.
// It ends with the session.
func TestConsentWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		cfg.PeerListen = ""
		texts := make(chan string, 10)
		asked := make(chan string, 10)
		cfg.Callbacks.OnPrivate = func(_ context.Context, m chatclient.PrivateMessage) error { texts <- m.Text; return nil }
		cfg.Callbacks.OnConsentAsked = func(_ context.Context, user, _ string) { asked <- user }
		d := dial(t, cfg)
		listens := fmt.Sprintf("C: LSTN n=1 port=28403 key=%s sig=* dial=28404\nS: 200 n=1 lease=600000\n", keyOf(t, "B"))
		s.link().playTo(backHello, "S: 230 user=B new=1 known=0 high=0 mail=0 token=1", listens, parts)
		c := (<-d).c
		synctest.Wait()
		s.said(chatclient.Online, chatclient.Away)

		call := func() *link { return newLink(t, tls.Server(s.n.connect(t, 28404), backTLS(s.cert))) }
		l := call()
		l.play(called + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			S: RQST user=A key=` + keyOf(t, "A") + ` :A wants your address`)
		if user := <-asked; user != "A" {
			t.Error(user)
		}
		consent(t, c, l, 2, "A")
		l.play(parts)
		s.said(chatclient.Online, chatclient.Away)

		time.Sleep(4 * time.Minute)
		p := s.n.link(t, 28403, "A")
		p.play(`
			S: PEER v=1 from=A to=B origin=5eed
			C: 220 v=1
			S: MESG n=1 :A: p2p message
			C: 201 n=1`)
		if text := <-texts; text != "p2p message" {
			t.Error(text)
		}
		s.said()

		s.gone.Store(true) // the server is, when the lease is renewed
		time.Sleep(time.Minute)
		if _, err := s.n.dial(t.Context(), "tcp", "127.0.0.1:28403"); err != nil {
			t.Error("the consent ends too soon:", err)
		}
		time.Sleep(45 * time.Second)
		synctest.Wait()
		p.play("C: <close>")
		if _, err := s.n.dial(t.Context(), "tcp", "127.0.0.1:28403"); err == nil {
			t.Error("the client listens for private lines although its session is over")
		}
		end(c)
	})
}

// To write privately a client that is away needs the server only where there
// is no direct line: then it comes back, and the server carries it.
func TestPrivateFromAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		cfg.Relay = true
		d := dial(t, cfg)
		hello := withRelay(backHello)
		s.link().playTo(hello, s.registered(1, 1), parts)
		c := (<-d).c
		l := s.callWhenAway()
		l.play(withRelay(called) + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			S: GETA user=A addr=127.0.0.1 port=28404 key=` + keyOf(t, "A") + ` ttl=600000 :28404 127.0.0.1 A` + parts)
		s.said(chatclient.Online, chatclient.Away, chatclient.Online, chatclient.Away)

		ln, _ := s.n.listen("tcp", "")
		got := async(func() error { _, err := c.Private(t.Context(), "A", "direct"); return err })
		p := accept(t, ln, "A")
		p.play(`
			C: PEER v=1 from=B to=A origin=*
			S: 220 v=1
			C: MESG n=1 :B: direct
			S: 201 n=1
			C: QUIT
			S: 221
			C: <close>`)
		if err := <-got; err != nil {
			t.Error(err)
		}
		s.said()
		ln.Close()

		got = async(func() error { _, err := c.Private(t.Context(), "A", "by the relay"); return err })
		l = s.link()
		l.play(hello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=3
			C: LSTN n=2 key=` + keyOf(t, "B") + ` sig=* dial=28403
			C: RLAY n=3 user=A
			S: 200 n=2 lease=600000
			S: 551 n=3 :A is not online` + parts)
		if err := <-got; err == nil {
			t.Error("no error")
		}
		s.said(chatclient.Online, chatclient.Away)
		s.gone.Store(true)
		end(c)
	})
}
