package main

import (
	"context"
	"fmt"
	"time"
)

// say tells the person something on standard error.
func (b *bench) say(format string, args ...any) {
	if !b.o.quiet {
		b.mu.Lock()
		defer b.mu.Unlock()
		fmt.Fprintf(b.stderr, "chatbench: "+format+"\n", args...)
	}
}

// progress tells every other second how far something is, until stop.
func (b *bench) progress(what string, how func() string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.say("%s: %s", what, how())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// watch waits for d, or until ctx ends, and tells how a count grows. A count
// that stands still for longer than b.o.patience is an error.
func (b *bench) watch(ctx context.Context, what string, d time.Duration, count func() uint64) error {
	start := time.Now()
	return b.wait(ctx, what, count, func(uint64) bool { return time.Since(start) >= d })
}

// wait waits until done says so of the count, as watch does.
func (b *bench) wait(ctx context.Context, what string, count func() uint64, done func(uint64) bool) error {
	last, changed, said := count(), time.Now(), time.Now()
	before := last
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		n, now := count(), time.Now()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case done(n):
			return nil
		case n != last:
			last, changed = n, now
		case now.Sub(changed) > b.o.patience:
			return broken("%s: nothing arrived for %v, after %d", what, b.o.patience, n)
		}
		if since := now.Sub(said); since >= 2*time.Second {
			b.say("%s: %s, %s/s", what, number(float64(n)), number(float64(n-before)/since.Seconds()))
			said, before = now, n
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
