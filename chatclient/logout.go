package chatclient

import (
	"cmp"
	"context"

	"github.com/parleyproto/parley/chatproto"
)

// Logout ends the session: it waits up to a second for a callback that is
// running (not if ctx is that callback's), acknowledges what was taken, says
// QUIT and waits for the server's goodbye, or for the end of ctx, and closes.
// The answers to messages that were sent before come first; messages for this
// user that are not taken yet stay with the server. nil says that the server
// said goodbye; an error that it did not, and that the session lingers there
// until its timeout. A client that is away comes back for it. It may be called
// twice, and from a callback.
func (c *Client) Logout(ctx context.Context) error {
	c.mu.Lock()
	if c.left != nil || c.ended || c.stopping {
		left, err := c.left, c.err
		c.mu.Unlock()
		if left == nil {
			return err
		}
		select {
		case <-left:
			return c.leftErr
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.left = make(chan struct{})
	c.box.failWaiting(ErrClosed)
	c.comeBack()
	back := c.away
	c.stopping = back == nil
	c.mu.Unlock()
	if back != nil {
		select {
		case <-back:
		case <-ctx.Done():
		}
		c.mu.Lock()
		c.stopping = true
		c.mu.Unlock()
	}

	c.events.pause(ctx)
	c.events.flush()
	err := c.quit(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.leftErr = err
	close(c.left)
	c.stop()
	return err
}

// quit says QUIT and waits for the answer.
func (c *Client) quit(ctx context.Context) error {
	c.mu.Lock()
	cn := c.conn
	if cn == nil || cn.leaving || c.ended {
		err := cmp.Or(c.err, ErrConnection)
		c.mu.Unlock()
		return err
	}
	c.box.resendAll(cn)
	k := newCall(chatproto.QUIT, "", "", "")
	c.box.number(k) // the last of this client: none is given any more
	c.mu.Unlock()
	c.keep.flush() // what could not be written is not acknowledged; the file's Close says why
	c.mu.Lock()
	if c.conn != cn || cn.leaving || c.ended {
		c.mu.Unlock()
		return ErrConnection
	}
	cn.send(k)
	cn.leaving = true
	c.mu.Unlock()
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
