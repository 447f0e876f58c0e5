package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parleyproto/parley/chatproto"
)

// storeAndForward (-w5) has senders write to users who are away, who then
// come and read it all.
func (b *bench) storeAndForward(ctx context.Context, p params) (figs figures, err error) {
	before := b.server()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	senders, err := f.login(0, p.Senders, bufferSize, nil)
	if err != nil {
		return nil, err
	}
	var stop atomic.Bool
	first, n := p.Senders, p.Receivers
	for i, c := range senders {
		c.refused = func(n uint64, code chatproto.Code) error {
			return fmt.Errorf("message %d of %s was refused, %s: if the mailboxes are full, take more -receivers or a shorter -duration", n, c.user, code)
		}
		s := &sender{c: c, window: p.Window, size: p.Size, stop: &stop, to: roundRobin(first, n, i)}
		f.send(s.run)
	}
	if err := b.measure(f, &figs, "message", before, total(senders, (*client).messages)); err != nil {
		return figs, err
	}
	stop.Store(true)
	if err := f.answered(senders); err != nil {
		return figs, err
	}
	boxes := make([]*inbox, n)
	for j := range boxes {
		boxes[j] = newInbox(p.Size)
		for i, c := range senders {
			boxes[j].expect(c).want = share(c.messages(), n, j, i)
		}
	}
	start := time.Now()
	if err := b.collect(f.ctx, first, boxes, nil); err != nil {
		return figs, err
	}
	figs.add("read_per_s", "messages read later, a second", float64(total(senders, (*client).messages)())/time.Since(start).Seconds())
	return figs, nil
}

// roundRobin addresses n users in turn, from the first one on, beginning at a
// place of the i-th sender's own. With each it numbers from 0.
func roundRobin(first, n, i int) func(k uint64) (string, uint64) {
	names := make([]string, n)
	for j := range names {
		names[j] = user(first + j)
	}
	return func(k uint64) (string, uint64) {
		return names[(k+offset(i, n))%uint64(n)], k / uint64(n)
	}
}

func offset(i, n int) uint64 { return uint64(7*i) % uint64(n) }

// share is how many of the i-th sender's messages went to the j-th of n users.
func share(sent uint64, n, j, i int) uint64 {
	turn := (uint64(j) + uint64(n) - offset(i, n)) % uint64(n) // of this user, from 0
	return (sent + uint64(n) - 1 - turn) / uint64(n)
}

// collect has users log in, from the given origins or, if that is nil, from
// new ones, read what their inboxes wait for, and log out.
func (b *bench) collect(ctx context.Context, first int, boxes []*inbox, origins []uint64) error {
	var done atomic.Int64
	stop := b.progress("reading the mail", func() string {
		return number(float64(done.Load())) + " of " + number(float64(len(boxes))) + " users"
	})
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.o.dialers)
	for i, box := range boxes {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			origin := uint64(0)
			if origins != nil {
				origin = origins[i]
			}
			defer done.Add(1)
			return b.collectOne(ctx, user(first+i), box, origin)
		})
	}
	return group.Wait()
}

func (b *bench) collectOne(ctx context.Context, name string, box *inbox, origin uint64) error {
	c, err := b.login(ctx, name, origin, 16<<10)
	if err != nil {
		return err
	}
	defer c.nc.Close()
	unhook := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer unhook()
	c.inbox = box
	for box.missing() > 0 {
		c.nc.SetReadDeadline(time.Now().Add(b.o.patience))
		if err := c.read(); err != nil {
			if isTimeout(err) {
				return broken("%s still misses %d messages that were accepted, and got %d", name, box.missing(), box.got)
			}
			return err
		}
		if err := c.acknowledge(); err != nil {
			return err
		}
	}
	return b.quit(c)
}
