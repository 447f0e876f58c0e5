package main

import (
	"context"
	"errors"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// run echoes until ctx is done, and then logs out, or until the client ends by
// itself: lost connections do not end it.
func run(ctx context.Context, cfg chatclient.Config) error {
	var c *chatclient.Client
	ready := make(chan struct{}) // closed when c is set: mail can come before Dial returns
	echo := func(ctx context.Context, m chatclient.Message) error {
		if m.Broadcast {
			return nil // one echo of it would be heard by nobody else
		}
		<-ready
		_, err := c.Send(ctx, m.From, m.Text)
		if refusal := (*chatproto.Error)(nil); errors.As(err, &refusal) {
			return nil // they have blocked the bot, say: another try changes nothing
		}
		return err // not nil: the message is not acknowledged, and comes again
	}
	cfg.DeclinePresence = true // a bot does not care who comes and goes
	cfg.Callbacks.OnMessage = echo
	c, err := chatclient.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	close(ready)
	select {
	case <-ctx.Done():
		return c.Logout(context.WithoutCancel(ctx))
	case <-c.Done():
		return c.Err()
	}
}
