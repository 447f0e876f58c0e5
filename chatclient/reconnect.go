package chatclient

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// lockedOutFor is how long to wait after a 450 that does not say.
const lockedOutFor = time.Minute

// run keeps the client up until it ends, and cleans up behind it.
func (c *Client) run(cn *conn) {
	err := plainly(c.keepUp(cn))
	c.mu.Lock()
	away := c.away != nil
	c.returned()
	if c.stopping {
		err = nil
	}
	c.end(err)
	err = c.err
	quiet := c.stopping
	if c.linger != nil {
		c.linger.Stop()
	}
	c.mu.Unlock()
	c.die()
	if away && quiet {
		c.farewell()
	}
	c.back.close()
	c.peers.shut()
	c.events.finish(c.stateEvent(State{Kind: Closed, Err: err}), quiet)
	<-c.events.done
	c.keep.finish()
	close(c.done)
}

// keepUp serves the connection and finds a new one when it is lost. It
// returns why there will be none.
func (c *Client) keepUp(cn *conn) error {
	for attempt := 0; ; {
		since := time.Now()
		err := cn.serve()
		c.lost(cn, err)
		if c.life.Err() != nil || final(err) {
			return err
		}
		if time.Since(since) >= c.cfg.BackoffMax {
			attempt = 0
		}
		if err == errParted {
			if cn, err = c.stayAway(); err == nil {
				continue
			}
			if c.life.Err() != nil || final(err) {
				return err
			}
			c.cfg.Logger.Info("cannot come back", slog.Any("err", err))
		}
		for {
			c.mu.Lock()
			c.returned()
			stopping := c.stopping
			c.mu.Unlock()
			if stopping {
				return nil
			}
			wait := c.backoff(attempt, err)
			attempt++
			c.tell(State{Kind: Waiting, Text: farewell(err), Err: plainly(err), Retry: wait})
			if !sleep(c.life, wait) {
				return nil
			}
			c.tell(State{Kind: Connecting})
			if cn, err = c.comeOnline(c.life, false); err == nil {
				break
			}
			if c.life.Err() != nil || final(err) {
				return err
			}
			c.cfg.Logger.Info("cannot log in again", slog.Any("err", err))
		}
	}
}

// backoff is how long to wait after err: exponential with full jitter, and
// not before the server wants to see this client again.
func (c *Client) backoff(attempt int, err error) time.Duration {
	limit := c.cfg.BackoffMin
	for range attempt {
		if limit *= 2; limit >= c.cfg.BackoffMax {
			limit = c.cfg.BackoffMax
			break
		}
	}
	return retryAfter(err) + rand.N(limit)
}

func retryAfter(err error) time.Duration {
	var bye *GoodbyeError
	var r *refusal
	switch {
	case errors.As(err, &bye):
		return bye.Retry
	case errors.As(err, &r) && r.retry == 0 && r.reply.Code == chatproto.ReplyLockedOut:
		return lockedOutFor
	case errors.As(err, &r):
		return r.retry
	}
	return 0
}

// plainly returns err as the application shall see it.
func plainly(err error) error {
	if r, ok := err.(*refusal); ok {
		return r.reply
	}
	return err
}

func farewell(err error) string {
	var bye *GoodbyeError
	var r *refusal
	switch {
	case errors.As(err, &bye):
		return bye.Text
	case errors.As(err, &r):
		return r.reply.Text
	}
	return ""
}

// final reports whether it would be wrong, or of no use, to come back after
// err. A refused login is, unless the server says that it is a matter of time
// or that it was changed on the way: the same password will be refused again.
// Whoever changed one login must not keep this client away for ever (SPEC
// section 7.6); the next one is no weaker.
func final(err error) bool {
	var bye *GoodbyeError
	var r *refusal
	switch {
	case errors.As(err, &bye):
		return bye.final()
	case errors.As(err, &r):
		return r.reply.Code.Class() != 4 && !r.changed
	}
	for _, e := range []error{ErrServerUnknown, ErrServerChanged, ErrDowngrade, ErrServerProof, errNoMechanism, errUnexpectedStep, ErrStateUser, chatproto.ErrNoVersion} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// comeOnline logs in and makes the connection the client's. A server that
// does not know our window as we do (SPEC section 6) is left at once for a
// login with a new origin.
func (c *Client) comeOnline(ctx context.Context, first bool) (*conn, error) {
	for range maxForgotten {
		cn, w, err := c.login(ctx, first)
		if err != nil {
			return nil, err
		}
		if c.sameWindow(w) {
			if err := c.moveIn(cn, w); err != nil {
				cn.close()
				return nil, err
			}
			return cn, nil
		}
		if err := c.keep.flush(); err != nil {
			cn.close()
			return nil, err
		}
		cn.leave()
	}
	return nil, errForgotten
}

// moveIn makes cn, which is logged in, the client's connection.
func (c *Client) moveIn(cn *conn, w *welcome) error {
	w.same = c.keep.welcome(c.user, cn.boot, w)
	if err := c.keep.flush(); err != nil {
		return err
	}
	c.prepareDialBack(cn)
	return c.online(cn, w)
}

// maxForgotten is how often in a row a new origin is tried before the usual
// wait: a server that forgets each of them at once must not be stormed.
const maxForgotten = 3

// errForgotten says why messages were given up.
var errForgotten = errors.New("chatclient: the server does not remember this client")

// agrees reports whether the server's memory of this origin is as ours. mu is
// held.
func (c *Client) agrees(w *welcome) bool {
	return w.high <= c.box.sent && (w.known || !c.box.welcomed)
}

// sameWindow reports whether the server's memory of this origin agrees with
// ours, and starts a new origin if not.
func (c *Client) sameWindow(w *welcome) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agrees(w) {
		return true
	}
	c.cfg.Logger.Warn("the server does not remember this client as it was; logging in as a new one")
	c.box.abandonOrigin(newOrigin(), errForgotten)
	return false
}

// leave says QUIT on a connection that is not the client's, and lets the
// server finish.
func (cn *conn) leave() {
	cn.setIdle(0)
	l := chatproto.Begin(nil, chatproto.QUIT)
	if line, err := l.End(""); err == nil {
		var f chatproto.Frame
		cn.ask(chatproto.QUIT, line, &f)
	}
	cn.close()
}

// online makes cn the client's connection: what was unanswered goes out
// first, then what waited.
func (c *Client) online(cn *conn, w *welcome) error {
	if w.fresh || w.reset {
		c.peers.sessionEnded()
	}
	c.events.purge()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return ErrClosed
	}
	if c.linger != nil {
		c.linger.Stop()
	}
	c.name, c.box.welcomed, c.conn = w.user, true, cn
	c.peers.takeUp(w.same && !w.fresh)
	c.reached(cn, w)
	c.returned()
	c.box.resume(cn)
	resumes := c.peers.resumes(w.fresh)
	port, registers := c.peers.registers()
	if _, dials := c.dialsBack(cn); (registers || dials) && !cn.called { // the server called where it was told to: nothing has changed
		if resumes && port != 0 {
			c.register(cn, 0)
		}
		c.register(cn, port)
	}
	c.box.pump(cn)
	c.box.admit(cn)
	c.keep.signal()
	c.tell(State{Kind: Online, Resumed: !w.fresh, Mail: w.mail, Text: w.text})
	return nil
}

// lost takes a connection away that has ended.
func (c *Client) lost(cn *conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	cn.endStreams()
	c.box.again(append(cn.pending, c.box.recall()...), connectionError(err))
	cn.pending = nil
	if c.ended || c.stopping {
		c.box.failWaiting(ErrClosed)
		return
	}
	if c.away != nil {
		c.linger = time.AfterFunc(c.lease, c.lingered)
		return
	}
	c.cfg.Logger.Info("the connection was lost", slog.Any("err", err))
	c.linger = time.AfterFunc(max(deadAfter(cn.beat), minLinger), c.lingered)
}

// minLinger is how long a session lasts at least without a connection, at a
// server with the usual timeout.
const minLinger = 45 * time.Second

// lingered closes what a session owns: without a connection for so long it is
// over at the server.
func (c *Client) lingered() {
	c.mu.Lock()
	gone := c.conn == nil
	c.mu.Unlock()
	if gone {
		c.peers.stopListening()
		c.peers.sessionEnded()
	}
}

func connectionError(err error) error { return &lostError{err} }

// A lostError is ErrConnection with the reason.
type lostError struct{ why error }

func (e *lostError) Error() string   { return ErrConnection.Error() + ": " + e.why.Error() }
func (e *lostError) Unwrap() []error { return []error{ErrConnection, e.why} }

// tell queues a state for OnState.
func (c *Client) tell(s State) {
	if ev := c.stateEvent(s); ev.call != nil {
		c.events.push(ev)
	}
}

func (c *Client) stateEvent(s State) event {
	call := c.cfg.Callbacks.OnState
	if call == nil {
		return event{}
	}
	return event{key: "state", call: func(ctx context.Context) { call(ctx, s) }}
}
