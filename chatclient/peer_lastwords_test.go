package chatclient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// The consent ends while the application has a message: that is answered, if
// it is soon, and nothing after it is read.
func TestAnswerAfterRevocation(t *testing.T) {
	for _, test := range []struct {
		name   string
		takes  time.Duration // the callback
		answer string
	}{
		{"soon", 900 * time.Millisecond, "C+900ms: 201 n=1\nC: <close>"},
		{"late", time.Minute, "C+1s: <close>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				cfg := s.config()
				n.use(&cfg)
				cfg.Identity = identityOf(t, "B")
				var texts []string
				cfg.Callbacks.OnPrivate = func(_ context.Context, m chatclient.PrivateMessage) error {
					texts = append(texts, m.Text)
					time.Sleep(test.takes)
					return nil
				}
				c, l := s.login(cfg)
				l.play("C: LSTN n=1 port=28403 key=" + keyOf(t, "B") + " sig=*\nS: 200 n=1")
				consent(t, c, l, 2, "A")
				p := n.link(t, 28403, "A")
				p.play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\nS: MESG n=1 :A: one")
				synctest.Wait()
				revoked := async(func() error { return c.Revoke(t.Context(), "A") })
				l.play("C: RVKE n=3 user=A")
				go p.nc.Write([]byte("MESG n=2 :A: two\r\n"))
				l.play("S: 200 n=3")
				if err := <-revoked; err != nil {
					t.Error(err)
				}
				p.play(test.answer)
				go l.keepAlive()
				time.Sleep(2 * time.Minute)
				if len(texts) != 1 {
					t.Errorf("the callback got %q", texts)
				}
			})
		})
	}
}

// The consent to us ends while a message of ours is unanswered: nothing more
// is said, and what the other end answers within a second counts.
func TestAnsweredAfterRevocation(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		took         bool
		unknown      bool
	}{
		{"taken", "S: 201 n=1", true, false},
		{"not taken", "S: 553 n=1 :No consent to a private chat", false, false},
		{"failed", "S: 451 n=1", false, false},
		{"closed", "S: <close>", false, true},
		{"silent", "C+1s: <close>", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, l, ln := asker(t, s, n, "127.0.0.1")
				got := private(c, "one")
				p := accept(t, ln, "C")
				p.play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: one")
				l.play("S: RVKD user=C owner=C why=revoked")
				synctest.Wait()
				if r := <-private(c, "two"); r.err != chatclient.ErrNoConsent {
					t.Errorf("another message: %v", r.err)
				}
				if test.took {
					time.Sleep(900 * time.Millisecond)
				}
				p.play(test.answer)
				if test.answer[0] == 'S' && test.answer != "S: <close>" {
					p.play("C: <close>")
				}
				r := <-got
				if (r.err == nil) != test.took || errors.Is(r.err, chatclient.ErrUnknown) != test.unknown {
					t.Errorf("got %+v", r)
				}
				failed := errors.Is(r.err, chatproto.ErrInternal)
				if r.err != nil && errors.Is(r.err, chatclient.ErrNoConsent) == failed {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}
