package main

import (
	"context"
	"sync/atomic"
	"time"
)

// pingPong (-w1) sends one message at a time to and fro between two users.
func (b *bench) pingPong(ctx context.Context, p params) (figs figures, err error) {
	defer b.keepAwake()()
	before := b.server()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	cs, err := f.login(0, 2, bufferSize, nil)
	if err != nil {
		return nil, err
	}
	a, z := cs[0], cs[1]
	a.inbox.expect(z)
	z.inbox.expect(a)
	z.reads = true
	f.group.Go(func() error { return echo(z, a.user, p.Size) })
	text := newText(p.Size)
	trip := func() error {
		setNumber(text, a.inbox.got)
		due := a.inbox.got + 1
		if err := a.send(z.user, text); err != nil {
			return err
		}
		if err := a.flush(); err != nil { // with the acknowledgement of the last
			return err
		}
		for a.inbox.got < due {
			if err := a.read(); err != nil {
				return err
			}
		}
		return nil
	}
	took, m, err := b.trips(f.ctx, a, trip)
	if err != nil {
		return nil, err
	}
	m.stop(&figs, uint64(len(took)), "trip", before)
	took.sort()
	figs.add("p50_us", "round trip, median, µs", took.at(0.5))
	figs.add("p99_us", "round trip, 99 of 100, µs", took.at(0.99))
	figs.add("p999_us", "round trip, 999 of 1,000, µs", took.at(0.999))
	return figs, b.settle(a)
}

// trips makes round trips, first to warm up and then to measure.
func (b *bench) trips(ctx context.Context, a *client, trip func() error) (latencies, meter, error) {
	took := make(latencies, 0, 1<<16)
	a.nc.SetReadDeadline(time.Now().Add(b.o.warmup + b.o.duration + b.o.patience))
	for start := time.Now(); time.Since(start) < b.o.warmup; {
		if err := trip(); err != nil {
			return nil, meter{}, err
		}
	}
	var done atomic.Int64
	stop := b.progress("round trips", func() string { return number(float64(done.Load())) })
	defer stop()
	m := b.meter()
	for now := time.Now(); now.Sub(m.at) < b.o.duration; {
		if err := trip(); err != nil {
			return nil, meter{}, err
		}
		then := time.Now()
		took = append(took, then.Sub(now))
		done.Add(1)
		now = then
		if ctx.Err() != nil {
			return nil, meter{}, context.Cause(ctx)
		}
	}
	return took, m, nil
}

// settle reads until everything that c sent is answered, and acknowledges
// what came.
func (b *bench) settle(c *client) error {
	for c.unanswered() > 0 {
		if err := c.read(); err != nil {
			return err
		}
	}
	return c.acknowledge()
}

// echo answers each delivery by a message, until the server says goodbye.
func echo(c *client, to string, size int) error {
	text := newText(size)
	for n := uint64(0); ; {
		err := c.read()
		if err == errBye {
			return nil
		}
		for ; err == nil && n < c.inbox.got; n++ {
			setNumber(text, n)
			err = c.send(to, text)
		}
		if err == nil {
			err = c.flush()
		}
		if err != nil {
			return err
		}
	}
}
