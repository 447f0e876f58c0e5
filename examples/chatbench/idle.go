package main

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// idle (-w4) logs users in as fast as it goes and then keeps them, silent.
func (b *bench) idle(ctx context.Context, p params) (figs figures, err error) {
	before := b.server()
	f := b.newFleet(ctx)
	defer func() { err = f.end(err) }()
	var mu sync.Mutex
	var took latencies
	m := b.meter()
	_, err = f.login(0, p.Conns, 0, func(_ int, _ *client, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		took = append(took, d)
	})
	if err != nil {
		return nil, err
	}
	seconds := time.Since(m.at).Seconds()
	m.stop(&figs, uint64(p.Conns), "login", before)
	took.sort()
	figs.add("logins_s", "time of all logins, s", seconds)
	figs.add("p50_us", "a login, median, µs", took.at(0.5))
	figs.add("p99_us", "a login, 99 of 100, µs", took.at(0.99))
	debug.FreeOSMemory() // so as not to disturb the pause
	after := b.server()
	if err := pause(f.ctx, b.o.duration); err != nil {
		return figs, err
	}
	if b.o.pid != 0 {
		later := b.server()
		figs.add("login_kib_per_connection", "server's memory a connection, at once, KiB", kibEach(before, after, p.Conns))
		figs.add("idle_kib_per_connection", "server's memory a connection, later, KiB", kibEach(before, later, p.Conns))
		figs.add("idle_cores", "server's CPU while all are silent, cores", (later.cpu()-after.cpu())/b.o.duration.Seconds())
	}
	return figs, nil // to log out shows that each is still there
}
