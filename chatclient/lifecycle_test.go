package chatclient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// Logout acknowledges what was taken, lets the answers come, and says goodbye.
func TestLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var states []chatclient.State
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { states = append(states, st) }
		c, l := s.login(cfg)
		got := send(c, "A", "x")
		l.play(`
			C: SEND n=1 to=A :x
			S: MESG from=A id=1.1 t=0 :A: taken
			S: MESG from=A id=1.2 t=0 :A: too late`)
		synctest.Wait()
		out := async(func() error { return c.Logout(t.Context()) })
		again := async(func() error { return c.Logout(t.Context()) })
		synctest.Wait()
		if _, err := c.Send(t.Context(), "A", "y"); !errors.Is(err, chatclient.ErrClosed) {
			t.Errorf("Send after Logout: %v", err)
		}
		l.play(`
			C+100ms: ACKD count=1
			C: QUIT n=2
			S: PRES user=A on=0 :A logged out
			S: 201 n=1 how=stored
			S: 221 n=2
			C: <close>`)
		if err := errors.Join(<-out, <-again, (<-got).err, c.Err()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if len(states) != 2 || states[1].Kind != chatclient.Closed || states[1].Err != nil {
			t.Errorf("states are %+v", states)
		}
		if err := errors.Join(c.Logout(t.Context()), c.Close()); err != nil {
			t.Error(err)
		}
	})
}

// What the application refuses while the client ends is not overtaken by what
// waits behind it: a program that starts again gets both, in order.
func TestCloseWhileTheApplicationRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var seen []string
		var c *chatclient.Client
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			seen = append(seen, m.Text)
			time.Sleep(time.Second)
			c.Close()
			return errors.New("not now")
		}
		var l *link
		c, l = s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: refused
			S: MESG from=A id=1.2 t=0 :A: behind it`)
		<-c.Done()
		if len(seen) != 1 || seen[0] != "refused" {
			t.Errorf("the application was shown %q", seen)
		}
	})
}

// A server that does not answer QUIT, or is not there, is told of by an error.
func TestLogoutInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		out := async(func() error { return c.Logout(ctx) })
		l.play(`
			C: QUIT n=1
			C+1s: <close>`)
		if err := <-out; err != context.DeadlineExceeded {
			t.Errorf("no answer: %v", err)
		}
		<-c.Done()

		c, l = s.login(s.config())
		out = async(func() error { return c.Logout(t.Context()) })
		l.play(`
			C: QUIT n=1
			S: <close>`)
		if err := <-out; !errors.Is(err, chatclient.ErrConnection) {
			t.Errorf("connection lost: %v", err)
		}
		<-c.Done()

		c, l = s.login(s.config())
		s.refuse = true
		l.play("S: <close>")
		synctest.Wait()
		if err := c.Logout(t.Context()); !errors.Is(err, chatclient.ErrConnection) {
			t.Errorf("offline: %v", err)
		}
		<-c.Done()
	})
}

// Logout and Close may be called from a callback.
func TestEndFromCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var c *chatclient.Client
		cfg.Callbacks.OnMessage = func(ctx context.Context, _ chatclient.Message) error { return c.Logout(ctx) }
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: x
			C+0s: QUIT n=1
			S: 221 n=1
			C: <close>`)
		<-c.Done()

		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { return c.Close() }
		c, l = s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: x
			C: <close>`)
		<-c.Done()
	})
}

// Close ends everything at once: what was sent is unknown, what was not is
// not, and a callback's context ends.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Callbacks.OnMessage = func(ctx context.Context, _ chatclient.Message) error {
			<-ctx.Done()
			return ctx.Err()
		}
		c, l := s.login(cfg)
		sentOne := send(c, "A", "x")
		l.play(`
			C: SEND n=1 to=A :x
			S: MESG from=A id=1.1 t=0 :A: x
			S: MESG from=A id=1.2 t=0 :A: x`)
		asked := async(func() error { _, err := c.Online(t.Context()); return err })
		l.play("C: ONLN n=2")
		c.Close()
		if err := (<-sentOne).err; !errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, chatclient.ErrClosed) {
			t.Errorf("what was sent: %v", err)
		}
		if err := <-asked; !errors.Is(err, chatclient.ErrClosed) || errors.Is(err, chatclient.ErrUnknown) {
			t.Errorf("what was asked: %v", err)
		}
		l.play("C+0s: <close>")
		<-c.Done()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Online(t.Context()); !errors.Is(err, chatclient.ErrClosed) {
			t.Error(err)
		}
	})
}

// Close while the client tries to come back.
func TestCloseOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		s.refuse = true
		l.play("S: <close>")
		synctest.Wait()
		got := send(c, "A", "never sent")
		synctest.Wait()
		end(c)
		if err := (<-got).err; !errors.Is(err, chatclient.ErrClosed) || errors.Is(err, chatclient.ErrUnknown) {
			t.Error(err)
		}
	})
}

// Close in the middle of a login.
func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		l.play("S: <close>")
		l = s.link()
		l.play("C: HELO v=1 acks=1 beat=30000")
		c.Close()
		l.play("C: <close>")
		<-c.Done()
	})
}
