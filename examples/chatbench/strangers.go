package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// kinds are what bad connections can do.
var kinds = []string{"silent", "slow", "garbage", "handshake", "never-read"}

// strangers measures a good client, first alone and then beside many bad
// connections, and what these cost the server.
func (b *bench) strangers(ctx context.Context) error {
	if err := b.files(b.o.conns + b.o.senders + 2); err != nil {
		return err
	}
	var failed []error
	for kind := range strings.SplitSeq(b.o.kind, ",") {
		p := params{Kind: kind, Conns: b.o.conns, Size: b.o.size, Seconds: b.o.duration.Seconds()}
		figs, err := b.beside(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.report("strangers", 1, p, figs, err); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if !b.o.json {
			if err := table(b.stdout, "strangers  "+p.String(), []figures{figs}); err != nil {
				return err
			}
		}
		if err := b.tooMuch(figs); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", kind, err))
		}
	}
	return errors.Join(failed...)
}

// A crowd is many bad connections, or logged-in clients that never read.
type crowd interface {
	// open opens them all.
	open(ctx context.Context) error
	// count returns how many are open, and how many were at most.
	count() (now, most int)
	// close closes them. What they were sent must not be lost by that.
	close(ctx context.Context, f *figures) error
}

// beside measures the visits of a good client without and with a crowd.
func (b *bench) beside(ctx context.Context, p params) (figs figures, err error) {
	defer b.keepAwake()()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	v, err := b.newVisitor(f, p.Size)
	if err != nil {
		return nil, err
	}
	if _, err := b.visits(f.ctx, v, "first visits", b.o.duration/10); err != nil {
		return nil, err
	}
	alone, err := b.visits(f.ctx, v, "alone", b.o.duration)
	if err != nil {
		return nil, err
	}
	before := b.server()
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	crowd := b.newCrowd(p)
	loaded, err := b.crowded(ctx, p, v, crowd, before, &figs)
	if err != nil {
		cancel(err)
		crowd.close(ctx, &figs)
		return nil, err
	}
	compare(&figs, "login", alone.logins, loaded.logins)
	compare(&figs, "send", alone.sends, loaded.sends)
	return figs, crowd.close(ctx, &figs)
}

// crowded opens a crowd and measures visits beside it.
func (b *bench) crowded(ctx context.Context, p params, v *visitor, crowd crowd, before usage, figs *figures) (*visited, error) {
	if err := crowd.open(ctx); err != nil {
		return nil, err
	}
	m := b.meter()
	loaded, err := b.visits(ctx, v, "beside them", b.o.duration)
	if err != nil {
		return nil, fmt.Errorf("beside %d bad connections: %w", p.Conns, err)
	}
	now, most := crowd.count()
	later := b.server()
	figs.add("connections_most", "bad connections open at once, at most", float64(most))
	figs.add("connections_end", "bad connections open at the end", float64(now))
	if b.o.pid != 0 {
		m.cores(figs)
		figs.add("kib_per_connection", "server's memory a bad connection, KiB", kibEach(before, later, max(most, 1)))
		b.memory(figs, before)
	}
	return loaded, nil
}

func (b *bench) newCrowd(p params) crowd {
	if p.Kind == "never-read" {
		return &deaf{b: b, p: p}
	}
	return newRabble(b, p)
}

// compare adds the latencies of the same without and with load.
func compare(figs *figures, what string, alone, loaded latencies) {
	for _, q := range []struct {
		key, label string
		share      float64
	}{{"p50", "median", 0.5}, {"p99", "99 of 100", 0.99}} {
		a, l := alone.at(q.share), loaded.at(q.share)
		figs.add(what+"_"+q.key+"_us_alone", what+", "+q.label+", alone, µs", a)
		figs.add(what+"_"+q.key+"_us_beside", what+", "+q.label+", beside them, µs", l)
		figs.add(what+"_"+q.key+"_ratio", what+", "+q.label+", ratio", l/max(a, 1))
	}
}

// tooMuch holds the figures against -max-ratio and -max-kib.
func (b *bench) tooMuch(figs figures) error {
	var failed []error
	for _, f := range figs {
		if most := b.o.maxRatio; most > 0 && strings.HasSuffix(f.key, "_ratio") && f.value > most {
			failed = append(failed, fmt.Errorf("%s is %s, more than %s", f.label, number(f.value), number(most)))
		}
		if most := b.o.maxKiB; most > 0 && f.key == "kib_per_connection" && f.value > most {
			failed = append(failed, fmt.Errorf("%s is %s, more than %s", f.label, number(f.value), number(most)))
		}
	}
	return errors.Join(failed...)
}

// A visitor is the good client: it logs in, sends a message to a friend who
// is online, and logs out, again and again.
type visitor struct {
	friend *client
	origin uint64
	sent   uint64
	size   int
}

func (b *bench) newVisitor(f *fleet, size int) (*visitor, error) {
	cs, err := f.login(1, 1, 0, nil)
	if err != nil {
		return nil, err
	}
	c, err := b.login(f.ctx, user(0), 0, 0)
	if err != nil {
		return nil, err
	}
	v := &visitor{friend: cs[0], origin: c.origin, size: size}
	v.friend.inbox.expect(c)
	f.receive(v.friend, nil)
	return v, b.quit(c)
}

// visited is how long the visits took.
type visited struct {
	logins, sends latencies
}

// visits visits for d, every so often, and checks that each message arrived.
func (b *bench) visits(ctx context.Context, v *visitor, what string, d time.Duration) (*visited, error) {
	r := new(visited)
	stop := b.progress(what, func() string { return "measuring logins and messages of a good client" })
	defer stop()
	start := time.Now()
	for next := start; time.Since(start) < d; next = later(next.Add(b.o.every), time.Now()) {
		if err := pause(ctx, time.Until(next)); err != nil {
			return nil, err
		}
		if err := b.visit(ctx, v, r); err != nil {
			return nil, err
		}
	}
	r.logins.sort()
	r.sends.sort()
	return r, b.wait(ctx, "messages to a friend", v.friend.taken.Load, func(n uint64) bool { return n == v.sent })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// visit is one login, one message and one logout.
func (b *bench) visit(ctx context.Context, v *visitor, r *visited) error {
	start := time.Now()
	c, err := b.login(ctx, user(0), v.origin, 0)
	if err != nil {
		return err
	}
	defer c.nc.Close()
	r.logins = append(r.logins, time.Since(start))
	text := newText(v.size)
	setNumber(text, v.sent)
	v.sent++
	c.nc.SetReadDeadline(time.Now().Add(b.o.patience))
	start = time.Now()
	if err := c.send(v.friend.user, text); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	if err := b.settle(c); err != nil {
		return err
	}
	r.sends = append(r.sends, time.Since(start))
	return b.quit(c)
}
