package chatclient_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// asker logs in a client B that C consents to, at a listener that a test
// plays.
func asker(t *testing.T, s *server, n *peerNet, addr string) (*chatclient.Client, *link, net.Listener) {
	cfg := s.config()
	n.use(&cfg)
	cfg.Identity = identityOf(t, "B")
	addresses := make(chan chatclient.Address, 1)
	cfg.Callbacks.OnAddress = func(_ context.Context, a chatclient.Address) { addresses <- a }
	c, l := s.login(cfg)
	ln, _ := n.listen("tcp", "")
	done := async(func() error { return c.RequestAddress(t.Context(), "C") })
	l.play(`
		C: LSTN n=1 key=* sig=*
		C: ADDR n=2 user=C
		S: 200 n=1
		S: 202 n=2`)
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.play("S: GETA user=C addr=" + addr + " port=28403 ttl=600000 key=" + keyOf(t, "C") + " :28403 " + addr + " C")
	want := chatclient.Address{User: "C", Host: addr, Port: 28403, TTL: 10 * time.Minute, Text: "28403 " + addr + " C"}
	if got := <-addresses; got != want {
		t.Errorf("got %+v", got)
	}
	return c, l, ln
}

func private(c *chatclient.Client, text string) <-chan sent {
	return async(func() sent {
		r, err := c.Private(context.Background(), "C", text)
		return sent{r, err}
	})
}

// A line is opened for the first message, used again for the next, and closed
// when it is idle.
func TestPrivateSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, ln := asker(t, s, n, "127.0.0.1")
		go l.keepAlive()
		got := private(c, "p2p message")
		p := accept(t, ln, "C")
		p.play(`
			C: PEER v=1 from=B to=C origin=*
			S: 220 v=1
			C: MESG n=1 :B: p2p message
			S: 201 n=1`)
		if r := <-got; r.err != nil || r.How != chatclient.Delivered {
			t.Errorf("got %+v", r)
		}
		time.Sleep(50 * time.Second)
		got = private(c, "")
		p.play(`
			C: MESG n=2 :B:
			S: 451 n=2 :Internal server error. Please try again later`)
		if r := <-got; !errors.Is(r.err, chatproto.ErrInternal) || errors.Is(r.err, chatclient.ErrUnknown) {
			t.Errorf("got %+v", r)
		}
		p.play(`
			C+60s: QUIT
			S: 221
			C: <close>`)
		got = private(c, "again")
		p = accept(t, ln, "C")
		p.play(`
			C: PEER v=1 from=B to=C origin=*
			S: 220 v=1
			C: MESG n=3 :B: again
			S: 201 n=3`)
		if r := <-got; r.err != nil {
			t.Error(r.err)
		}
		p.play("S: <close>") // noticed at once: the next message takes a new line
		synctest.Wait()
		got = private(c, "once more")
		p = accept(t, ln, "C")
		p.play(`
			C: PEER v=1 from=B to=C origin=*
			S: 220 v=1
			C: MESG n=4 :B: once more
			S: <close>`)
		accept(t, ln, "C").play(`
			C: PEER v=1 from=B to=C origin=*
			S: 220 v=1
			C: MESG n=4 :B: once more
			S: 201 n=4`)
		if r := <-got; r.err != nil {
			t.Error(r.err)
		}
	})
}

// Nobody is dialled without a consent. One that ended because its owner went
// away leaves a tombstone, one that was taken back does not.
func TestPrivateNoConsent(t *testing.T) {
	tests := []struct {
		name, script string
		want         error
	}{
		{"gone", "S: RVKD user=C owner=C why=gone", chatclient.ErrPeerGone},
		{"expired", "S: RVKD user=C owner=C why=expired", chatclient.ErrPeerGone},
		{"a later reason", "S: RVKD user=C owner=C why=moved", chatclient.ErrPeerGone},
		{"revoked", "S: RVKD user=C owner=C why=revoked", chatclient.ErrNoConsent},
		{"blocked", "S: RVKD user=C owner=C why=blocked", chatclient.ErrNoConsent},
		{"granted again", `
			S: RVKD user=C owner=C why=gone
			S: GETA user=C addr=127.0.0.1 port=28999 ttl=600000 key=` + keyOf(t, "C"), chatclient.ErrPeerGone},
		{"gone, then revoked", `
			S: RVKD user=C owner=C why=gone
			S: RVKD user=C owner=C why=revoked`, chatclient.ErrNoConsent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, l, ln := asker(t, s, n, "127.0.0.1")
				if _, err := c.Private(t.Context(), "A", "x"); err != chatclient.ErrNoConsent {
					t.Errorf("never asked: %v", err)
				}
				got := private(c, "x")
				p := accept(t, ln, "C")
				p.play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: x\nS: 201 n=1")
				if r := <-got; r.err != nil {
					t.Error(r.err)
				}
				l.play(test.script)
				p.play("C: <close>")
				synctest.Wait()
				if _, err := c.Private(t.Context(), "C", "x"); !errors.Is(err, test.want) || errors.Is(err, chatclient.ErrUnknown) {
					t.Error(err)
				}
			})
		})
	}
}

// The end of our own consent to C has nothing to do with C's to us.
func TestConsentHasADirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, ln := asker(t, s, n, "127.0.0.1")
		l.play("S: RVKD user=C owner=B why=revoked")
		got := private(c, "x")
		accept(t, ln, "C").play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: x\nS: 201 n=1")
		if r := <-got; r.err != nil {
			t.Error(r.err)
		}
	})
}

// Whoever answers at the address and is not the user is not the user.
func TestPrivateWrongAnswer(t *testing.T) {
	for name, script := range map[string]string{
		"refused": "C: PEER v=1 from=B to=C origin=*\nS: 553 :No consent to a private chat\nS: <close>",
		"closed":  "C: PEER v=1 from=B to=C origin=*\nS: <close>",
		"silent":  "C: PEER v=1 from=B to=C origin=*\nC+10s: <close>",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, _, ln := asker(t, s, n, "127.0.0.1")
				got := private(c, "x")
				accept(t, ln, "C").play(script)
				if r := <-got; !errors.Is(r.err, chatclient.ErrPeerGone) || errors.Is(r.err, chatclient.ErrUnknown) {
					t.Error(r.err)
				}
			})
		})
	}
}

// A grant ends by its time also when the server says nothing.
func TestGrantExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := asker(t, s, n, "127.0.0.1")
		go l.keepAlive()
		time.Sleep(10 * time.Minute)
		if _, err := c.Private(t.Context(), "C", "x"); err != chatclient.ErrPeerGone {
			t.Error(err)
		}
	})
}

// A server elsewhere cannot make us connect to our own machine, nor anybody
// to a system service.
func TestPrivateAddresses(t *testing.T) {
	for _, test := range []struct {
		server, addr string
		dialled      bool
	}{
		{"192.0.2.1:8000", "127.0.0.1", false},
		{"192.0.2.1:8000", "::1", false},
		{"192.0.2.1:8000", "169.254.1.1", false},
		{"192.0.2.1:8000", "0.0.0.0", false},
		{"192.0.2.1:8000", "224.0.0.1", false},
		{"192.0.2.1:8000", "198.51.100.7", true},
		{"127.0.0.1:8000", "127.0.0.1", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			cfg := s.config()
			cfg.Cleartext = chatclient.CleartextAlways
			cfg.Dial = func(ctx context.Context) (net.Conn, error) {
				nc, err := s.dial(ctx)
				return remote{nc, test.server}, err
			}
			dialled := false
			cfg.PeerNetwork(nil, func(context.Context, string, string) (net.Conn, error) {
				dialled = true
				return nil, errors.New("refused")
			})
			c, l := s.loginScram(cfg)
			l.play("S: GETA user=C addr=" + test.addr + " port=28403 ttl=600000 key=" + keyOf(t, "C"))
			synctest.Wait()
			if _, err := c.Private(t.Context(), "C", "x"); !errors.Is(err, chatclient.ErrPeerGone) || dialled != test.dialled {
				t.Errorf("%s at %s: dialled %v, %v", test.addr, test.server, dialled, err)
			}
		})
	}
}

// Two clients, one network: A may write to B, B may not write to A.
func TestPrivateBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		b, lb, texts := owner(t, s, n)
		consent(t, b, lb, 2, "B")
		a, la, _ := asker(t, newServer(t), n, "127.0.0.1")
		la.play("S: GETA user=B addr=127.0.0.1 port=28403 ttl=600000 key=" + keyOf(t, "B"))
		synctest.Wait()
		if _, err := a.Private(t.Context(), "B", "two\nlines"); err != nil {
			t.Error(err)
		}
		if got := <-texts; got != "B two\nlines" {
			t.Errorf("got %q", got)
		}
		if _, err := b.Private(t.Context(), "A", "x"); err != chatclient.ErrNoConsent {
			t.Error(err)
		}
		end(b)
		synctest.Wait()
		if _, err := a.Private(t.Context(), "B", "another"); !errors.Is(err, chatclient.ErrPeerGone) {
			t.Error(err)
		}
		end(a)
		if _, err := a.Private(t.Context(), "B", "another"); err != chatclient.ErrClosed {
			t.Error(err)
		}
	})
}
