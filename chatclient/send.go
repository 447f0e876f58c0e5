package chatclient

import (
	"context"
	"fmt"

	"github.com/parleyproto/parley/chatproto"
)

// Send sends text to the user named to and waits for the server's answer. A
// message without text is a message.
//
// A refusal is a [*chatproto.Error]: no such user, blocked, mailbox full, too
// long. While the connection is down the message waits and goes out with the
// next one; at most 256 numbers are unanswered at a time, and a further Send
// waits for room. If ctx ends before there was room nothing was sent and the
// error is ctx's; if it ends later the message is still under way, and the
// error matches both [ErrUnknown] and ctx's.
//
// With a [StateFile] the message is in the file, synced, before it goes out.
// If that fails (the disk is full, say) it does not go out and the error
// matches [ErrState]. If the client ends before the answer the error matches
// [ErrKept].
func (c *Client) Send(ctx context.Context, to, text string) (Receipt, error) {
	if err := chatproto.CheckName(to); err != nil {
		return Receipt{}, err
	}
	return c.deliver(ctx, newCall(chatproto.SEND, "to", to, text))
}

// Broadcast sends text to everybody online who has not blocked this user,
// like [Client.Send].
func (c *Client) Broadcast(ctx context.Context, text string) (Receipt, error) {
	return c.deliver(ctx, newCall(chatproto.CAST, "", "", text))
}

func (c *Client) deliver(ctx context.Context, k *call) (Receipt, error) {
	if err := chatproto.CheckText(k.text); err != nil {
		return Receipt{}, err
	}
	if err := c.begin(ctx, k); err != nil {
		return Receipt{}, err
	}
	if err := c.wait(ctx, k); err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: chatproto.ID{Origin: k.origin, N: k.n}, How: k.reply.how, Skipped: k.reply.skipped}, nil
}

// begin puts a call where it waits for its turn.
func (c *Client) begin(ctx context.Context, k *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.stopping || c.left != nil {
		return c.closedErr()
	}
	if k.decided() {
		c.box.waiting = append(c.box.waiting, k)
	} else {
		c.box.asking = append(c.box.asking, k)
	}
	c.box.admit(c.conn)
	c.keep.signal()
	c.comeBack()
	return nil
}

// wait waits for the answer of a call. When ctx ends first, a call without a
// number is withdrawn; a message with one stays under way.
func (c *Client) wait(ctx context.Context, k *call) error {
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.ended() {
		return k.err
	}
	if c.box.withdraw(k) {
		if k.heed != nil {
			k.heed(answer{})
		}
		return ctx.Err()
	}
	k.abandoned = true
	if k.decided() {
		return fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
	return ctx.Err()
}
