package main

import (
	"context"
	"sync/atomic"
)

// A sender keeps a window of messages unanswered.
type sender struct {
	c      *client
	window int
	to     func(k uint64) (user string, number uint64) // of its k-th message, from 0
	size   int
	begin  uint64       // the k of its first message
	most   uint64       // how many messages; 0: until stop
	stop   *atomic.Bool // nil: there is a most
	pace   func() error // called before each message; may be nil
}

// run sends until the end, and then waits for the answers.
func (s *sender) run() error {
	text := newText(s.size)
	for k := s.begin; ; {
		for s.c.unanswered() < s.window && (s.stop == nil || !s.stop.Load()) && (s.most == 0 || k < s.begin+s.most) {
			if s.pace != nil {
				if err := s.pace(); err != nil {
					return err
				}
			}
			to, number := s.to(k)
			setNumber(text, number)
			if err := s.c.send(to, text); err != nil {
				return err
			}
			k++
		}
		if s.c.unanswered() == 0 {
			return nil
		}
		if err := s.c.flush(); err != nil {
			return err
		}
		if err := s.c.read(); err != nil {
			return err
		}
	}
}

// pointToPoint (-w2) has pairs, of which one sends to the other. A message is
// over when its sender has the 201, which comes after its recipient's
// acknowledgement or the store.
func (b *bench) pointToPoint(ctx context.Context, p params) (figs figures, err error) {
	before := b.server()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	cs, err := f.login(0, 2*p.Pairs, bufferSize, nil)
	if err != nil {
		return nil, err
	}
	var stop atomic.Bool
	senders, receivers := make([]*client, p.Pairs), make([]*client, p.Pairs)
	for i := range p.Pairs {
		from, to := cs[2*i], cs[2*i+1]
		senders[i], receivers[i] = from, to
		to.inbox.expect(from)
		f.receive(to, nil)
		s := &sender{c: from, window: p.Window, size: p.Size, stop: &stop,
			to: func(k uint64) (string, uint64) { return to.user, k }}
		f.send(s.run)
	}
	if err := b.measure(f, &figs, "message", before, total(senders, (*client).messages)); err != nil {
		return figs, err
	}
	stop.Store(true)
	if err := f.answered(senders); err != nil {
		return figs, err
	}
	sent := total(senders, (*client).messages)()
	direct := total(senders, func(c *client) uint64 { return c.direct.Load() })()
	figs.add("delivered_percent", "confirmed as delivered, not as stored, %", 100*float64(direct)/float64(max(sent, 1)))
	taken := total(receivers, func(c *client) uint64 { return c.taken.Load() })
	return figs, b.wait(f.ctx, "deliveries", taken, func(n uint64) bool { return n >= sent })
}

// messages is how many messages of this connection were answered.
func (c *client) messages() uint64 { return c.answered.Load() - c.high }

// total adds a number of all clients up.
func total(cs []*client, one func(*client) uint64) func() uint64 {
	return func() (n uint64) {
		for _, c := range cs {
			n += one(c)
		}
		return n
	}
}

// measure warms up and then measures how a count grows, and what that costs.
func (b *bench) measure(f *fleet, figs *figures, unit string, before usage, count func() uint64) error {
	if err := b.watch(f.ctx, plural(unit)+", warming up", b.o.warmup, count); err != nil {
		return err
	}
	m, from := b.meter(), count()
	if err := b.watch(f.ctx, plural(unit), b.o.duration, count); err != nil {
		return err
	}
	m.stop(figs, count()-from, unit, before)
	return nil
}
