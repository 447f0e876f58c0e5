package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// fanOut (-w3) has one sender broadcast to many. It is at most the window
// ahead of what they have acknowledged on average.
func (b *bench) fanOut(ctx context.Context, p params) (figs figures, err error) {
	before := b.server()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	start := time.Now()
	cs, err := f.login(0, p.Receivers+1, 16<<10, nil)
	if err != nil {
		return nil, err
	}
	loggedIn := time.Since(start)
	from, receivers := cs[0], cs[1:]
	c := &caster{c: from, window: p.Window, receivers: uint64(p.Receivers), size: p.Size, wake: make(chan struct{}, 1)}
	for _, to := range receivers {
		to.inbox.expect(from)
		seen := uint64(0)
		f.receive(to, func(taken uint64) error {
			c.delivered(taken - seen)
			seen = taken
			return nil
		})
	}
	f.receive(from, func(uint64) error { c.signal(); return nil })
	f.send(func() error { return c.run(f.ctx) })
	if err := b.measure(f, &figs, "delivery", before, c.total.Load); err != nil {
		return figs, err
	}
	c.stop.Store(true)
	c.signal()
	if err := f.answered(cs[:1]); err != nil {
		return figs, err
	}
	figs.add("login_s", "time of all logins, s", loggedIn.Seconds())
	return figs, b.wait(f.ctx, "deliveries", c.total.Load, func(n uint64) bool { return n == from.messages()*c.receivers })
}

// A caster sends broadcasts. Another goroutine reads its connection.
type caster struct {
	c         *client
	window    int
	receivers uint64
	size      int
	total     atomic.Uint64 // deliveries that were acknowledged
	stop      atomic.Bool
	wake      chan struct{}
}

// delivered counts deliveries, and wakes the caster when one more is with all
// receivers, on average.
func (c *caster) delivered(n uint64) {
	if now := c.total.Add(n); now/c.receivers != (now-n)/c.receivers {
		c.signal()
	}
}

func (c *caster) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *caster) run(ctx context.Context) error {
	text := newText(c.size)
	for sent := uint64(0); !c.stop.Load(); {
		for sent < c.total.Load()/c.receivers+uint64(c.window) && c.c.unanswered() < chatproto.V1.Limits.Window {
			setNumber(text, sent)
			if err := c.c.send("", text); err != nil {
				return err
			}
			sent++
		}
		if err := c.c.post(); err != nil {
			return err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
