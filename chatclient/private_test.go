package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// owner logs in a client B that listens for private chats, and returns the
// texts that reach it.
func owner(t *testing.T, s *server, n *peerNet) (*chatclient.Client, *link, chan string) {
	cfg := s.config()
	n.use(&cfg)
	cfg.Identity = identityOf(t, "B")
	texts := make(chan string, 100)
	cfg.Callbacks.OnPrivate = func(_ context.Context, m chatclient.PrivateMessage) error {
		if m.Text == "fail" {
			return errors.New("cannot take it")
		}
		texts <- m.From + " " + m.Text
		return nil
	}
	c, l := s.login(cfg)
	l.play("C: LSTN n=1 port=28403 key=" + keyOf(t, "B") + " sig=*\nS: 200 n=1")
	return c, l, texts
}

// consent lets user write to the client.
func consent(t *testing.T, c *chatclient.Client, l *link, n int, user string) {
	t.Helper()
	done := async(func() error { return c.Consent(t.Context(), user) })
	l.play(fmt.Sprintf("C: CNST n=%d user=%s\nS: 200 n=%d key=%s ttl=600000", n, user, n, keyOf(t, user)))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who was consented to may write: the answer comes when the callback took it.
func TestPrivateReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, texts := owner(t, s, n)
		consent(t, c, l, 2, "A")
		p := n.link(t, 28403, "A")
		p.play(`
			S: PEER v=1 from=A to=B origin=5eed
			C: 220 v=1
			S: MESG n=1 :A: p2p message
			C: 201 n=1
			S: LIVE
			S: MESG n=2 :A:
			C: 201 n=2
			S: MESG n=3 :A: fail
			C: 451 n=3 :Internal server error. Please try again later
			S: QUIT
			C: 221
			C: <close>`)
		if got := []string{<-texts, <-texts}; !slices.Equal(got, []string{"A p2p message", "A "}) {
			t.Errorf("got %q", got)
		}
	})
}

// Who says what is not allowed on a line is told so.
func TestPrivateMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, texts := owner(t, s, n)
		consent(t, c, l, 2, "A")
		go l.keepAlive()
		for _, script := range []string{
			"S: PEER v=1 from=C to=B origin=5eed\nC: 553 :No consent to a private chat\nC: <close>",
			"S: PEER v=1 from=A to=D origin=5eed\nC: 553 :No consent to a private chat\nC: <close>",
			"S: PEER v=2 from=A to=B origin=5eed\nC: 505 :No common protocol version\nC: <close>",
			"S: PEER v=1 from=A\nC: 501 :PEER v=1 from= to= origin= comes first\nC: <close>",
			"S: PEER v=1 from=A to=B\nC: 501 :PEER v=1 from= to= origin= comes first\nC: <close>",
			"S: PEER v=1 from=A to=B origin=0\nC: 501 :PEER v=1 from= to= origin= comes first\nC: <close>",
			"S: MESG n=1 :A: x\nC: 501 :PEER v=1 from= to= origin= comes first\nC: <close>",
			"S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\nS: MESG n=1 :C: forged\nC: 501 :*\nC: <close>",
			"S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\nS: SEND n=1 to=C :x\nC: 503 :Not allowed now\nC: <close>",
			"S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\nS: MESG n=1 :A: " + strings.Repeat("x", 7169) + "\nC: 552 :The message is too long: expected a text of 7168 octets at most\nC: <close>",
			"C+5s: <close>",
			"S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\nC+90s: <close>",
		} {
			script = strings.ReplaceAll(script, "501 :*", "501 :A field is missing or wrong")
			n.link(t, 28403, "A").play(script)
		}
		p := n.link(t, 28403, "A")
		fmt.Fprint(p.nc, "GET / HTTP/1.1\r\n")
		if got := p.read(); !strings.HasPrefix(got, "500 :") {
			t.Errorf("got %q", got)
		}
		if len(texts) != 0 {
			t.Errorf("got %q", <-texts)
		}
	})
}

// Strangers are few at a time, and few in a second, and keep nobody out by
// being silent.
func TestPrivateManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		consent(t, c, l, 2, "A")
		open := func(all []net.Conn) (open []int) {
			for i, nc := range all {
				nc.SetReadDeadline(time.Now().Add(time.Millisecond))
				if _, err := nc.Read(make([]byte, 1)); isTimeout(err) {
					open = append(open, i)
				}
			}
			return open
		}
		var all []net.Conn
		for range 17 {
			all = append(all, n.connect(t, 28403))
			synctest.Wait()
		}
		if got := open(all); len(got) != 16 || got[0] != 1 {
			t.Errorf("of 17 are heard %d, want the newest 16", got)
		}
		n.link(t, 28403, "A").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
		if got := open(all); len(got) != 15 || got[0] != 2 {
			t.Errorf("beside a line are heard %d", got)
		}
		all = append(all, n.connect(t, 28403)) // who is no stranger any more takes no place of theirs
		synctest.Wait()
		if got := open(all); len(got) != 16 {
			t.Errorf("beside a line are heard %d", got)
		}

		all[10].Close() // nor does who has gone
		synctest.Wait()
		all = append(all, n.connect(t, 28403))
		synctest.Wait()
		if got := open(all); len(got) != 16 {
			t.Errorf("when one has gone are heard %d", got)
		}

		time.Sleep(6 * time.Second)
		all = nil
		for range 65 {
			all = append(all, n.connect(t, 28403))
			synctest.Wait()
		}
		if got := open(all); len(got) != 16 || got[0] != 48 || got[15] != 63 {
			t.Errorf("of 65 in a second are heard %d", got)
		}
	})
}

// The end of a consent, however it comes, ends the line.
func TestPrivateConsentEnds(t *testing.T) {
	tests := map[string]func(t *testing.T, c *chatclient.Client, l *link){
		"revoked by us": func(t *testing.T, c *chatclient.Client, l *link) {
			done := async(func() error { return c.Revoke(t.Context(), "A") })
			l.play("C: RVKE n=3 user=A\nS: 200 n=3\nS: RVKD user=A owner=B why=revoked")
			if err := <-done; err != nil {
				t.Error(err)
			}
		},
		"blocked": func(t *testing.T, c *chatclient.Client, l *link) {
			done := async(func() error { _, err := c.Block(t.Context(), "A"); return err })
			l.play("C: BLOK n=3 user=A\nS: 200 n=3 :User A has been blocked")
			<-done
		},
		"RVKD": func(t *testing.T, c *chatclient.Client, l *link) {
			l.play("S: RVKD user=A owner=B why=gone")
		},
		"expired here": func(t *testing.T, c *chatclient.Client, l *link) {
			go l.keepAlive()
			time.Sleep(11 * time.Minute)
		},
		"new session": func(t *testing.T, c *chatclient.Client, l *link) {
			l.play("S: <close>")
			l.s.link().play(hello + `
				S: 230 user=B new=1 known=1 high=0 mail=0
				C: LSTN n=3 port=28403 key=* sig=*
				S: 200 n=3`)
		},
	}
	for name, finish := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, l, texts := owner(t, s, n)
				consent(t, c, l, 2, "A")
				p := n.link(t, 28403, "A")
				p.play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
				finish(t, c, l)
				p.play("C: <close>")
				n.refused(t, 28403, "A")
				if len(texts) != 0 {
					t.Errorf("got %q", <-texts)
				}
			})
		})
	}
}

// A consent that the server refuses arms nobody.
func TestConsentRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		done := async(func() error { return c.Consent(t.Context(), "A") })
		l.play("C: CNST n=2 user=A\nS: 554 n=2 :A has not requested a P2P chat with you. Use the getaddress command to start one")
		if err := <-done; !errors.Is(err, chatproto.ErrNotAsked) {
			t.Error(err)
		}
		n.refused(t, 28403, "A")

		consent(t, c, l, 3, "A") // nor does it take anything from who was
		done = async(func() error { return c.Consent(t.Context(), "A") })
		l.play("C: CNST n=4 user=A\nS: 429 n=4")
		if err := <-done; !errors.Is(err, chatproto.ErrSlowDown) {
			t.Error(err)
		}
		n.link(t, 28403, "A").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
	})
}

// Without a session the listener closes; it opens again with the next login.
func TestListenerLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		consent(t, c, l, 2, "A")
		p := n.link(t, 28403, "A")
		p.play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
		l.play("S: GBYE why=shutdown retry=100000")
		time.Sleep(44 * time.Second)
		n.link(t, 28403, "A").nc.Close()
		p.play("C+1s: <close>")
		if _, err := n.dial(t.Context(), "tcp", "127.0.0.1:28403"); err == nil {
			t.Error("still listens")
		}
		l = s.link()
		l.play(resumed + "C: LSTN n=3 port=28404 key=* sig=*\nS: 200 n=3")
		n.link(t, 28404, "A").nc.Close()
		consent(t, c, l, 4, "A")
		l.play("S: <close>") // a short break of the same session changes nothing
		s.link().play(resumed + "C: LSTN n=5 port=28404 key=* sig=*\nS: 200 n=5")
		n.link(t, 28404, "A").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
	})
}

// A server that was restarted has forgotten where we listen.
func TestListenerRegisteredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		consent(t, c, l, 2, "A")
		l.play("S: <close>")
		l = s.link()
		l.play(strings.ReplaceAll(resumed, "boot=9c", "boot=9d") + `
			C: LSTN n=3 port=28403 key=* sig=*
			S: <close>`)
		s.link().play(strings.ReplaceAll(resumed, "boot=9c", "boot=9d") + `
			C: LSTN n=4 port=28403 key=* sig=*
			S: 200 n=4`)
		n.refused(t, 28403, "A")
	})
}

// Without OnPrivate, or with "off", there is no listener.
func TestNoListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		cfg := s.config()
		n.use(&cfg)
		c, l := s.login(cfg)
		l.silent(time.Second)
		end(c)
		cfg.PeerListen = "off"
		cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
		c, l = s.login(cfg)
		l.silent(time.Second)
		end(c)
		if n.ports != 0 {
			t.Error("listens")
		}
	})
}
