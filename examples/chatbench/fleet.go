package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parleyproto/parley/chatproto"
)

// A fleet is the connections of one run, and the goroutines that work them.
// The first of these that fails ends it: ctx ends, with the error as its
// cause, and every connection is closed.
type fleet struct {
	b     *bench
	ctx   context.Context
	group *errgroup.Group
	rest  func()        // stops the heartbeats
	busy  atomic.Int64  // senders that have not ended
	still chan struct{} // closed when they have stopped

	mu      sync.Mutex
	clients []*client
	closed  bool
}

func (b *bench) newFleet(ctx context.Context) *fleet {
	f := &fleet{b: b, still: make(chan struct{})}
	f.group, f.ctx = errgroup.WithContext(ctx)
	context.AfterFunc(f.ctx, f.close)
	stop := make(chan struct{})
	f.rest = sync.OnceFunc(func() { close(stop) })
	go f.beat(stop)
	return f
}

// beat says LIVE on all connections, often enough for the server.
func (f *fleet) beat(stop chan struct{}) {
	defer close(f.still)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			if now.Sub(last) < time.Duration(f.b.beat.Load())/2 {
				continue
			}
			last = now
			f.sayAll(chatproto.LIVE)
		}
	}
}

// sayAll sends a request without fields on every connection. One that broke
// is noticed by who reads it.
func (f *fleet) sayAll(code chatproto.Code) {
	f.mu.Lock()
	clients := f.clients[:len(f.clients):len(f.clients)]
	f.mu.Unlock()
	line := []byte(code.String() + "\r\n")
	for _, c := range clients {
		c.nc.Write(line)
	}
}

// add takes a client into the fleet.
func (f *fleet) add(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = append(f.clients, c)
	if f.closed {
		c.nc.Close()
	}
}

// login logs in the users from first on, n of them, several at once, and
// calls each, which may be nil, with every one and how long it took.
func (f *fleet) login(first, n, buffer int, each func(i int, c *client, took time.Duration)) ([]*client, error) {
	clients := make([]*client, n)
	var done atomic.Int64
	stop := f.b.progress("logging in", func() string { return fmt.Sprintf("%d of %d", done.Load(), n) })
	defer stop()
	group, ctx := errgroup.WithContext(f.ctx)
	group.SetLimit(f.b.o.dialers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			start := time.Now()
			c, err := f.b.login(ctx, user(first+i), 0, buffer)
			if err != nil {
				return err
			}
			clients[i] = c
			if each != nil {
				each(i, c, time.Since(start))
			}
			f.add(c)
			done.Add(1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return clients, context.Cause(f.ctx)
}

// receive has a goroutine read and acknowledge what is delivered to c.
func (f *fleet) receive(c *client, each func(taken uint64) error) {
	c.reads = true
	f.group.Go(func() error { return c.receive(each) })
}

// send has a goroutine send.
func (f *fleet) send(run func() error) {
	f.busy.Add(1)
	f.group.Go(func() error {
		defer f.busy.Add(-1)
		return run()
	})
}

// answered waits until the senders, who were told to stop, have ended and
// everything that they sent is answered.
func (f *fleet) answered(senders []*client) error {
	open := func() (n uint64) {
		for _, c := range senders {
			n += uint64(c.unanswered())
		}
		return n
	}
	return f.b.wait(f.ctx, "answers", open, func(n uint64) bool { return f.busy.Load() == 0 && open() == 0 })
}

// end ends a run: with QUIT on every connection, so that no session lingers,
// or at once if the run has failed. It returns the error that ended it.
func (f *fleet) end(failed error) error {
	f.rest()
	if failed == nil {
		failed = f.logout()
	}
	if failed != nil { // closes the connections, whose readers then tell of that
		if cause := context.Cause(f.ctx); cause != nil {
			failed = cause
		}
		f.parting()
	}
	if failed == nil {
		failed = f.group.Wait()
	}
	f.close()
	f.group.Wait()
	<-f.still
	return failed
}

// cut ends a run without a word: the sessions linger.
func (f *fleet) cut() {
	f.rest()
	f.close()
	f.group.Wait()
	<-f.still
}

// parting says QUIT on every connection that takes it at once.
func (f *fleet) parting() {
	f.mu.Lock()
	for _, c := range f.clients {
		c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	}
	f.mu.Unlock()
	<-f.still
	f.sayAll(chatproto.QUIT)
}

// logout says QUIT on every connection and waits for the goodbyes.
func (f *fleet) logout() error {
	var group errgroup.Group
	group.SetLimit(f.b.o.dialers)
	for _, c := range f.clients {
		group.Go(func() error { return f.b.quit(c) })
	}
	return group.Wait()
}

// quit logs a client out. If nobody reads it, quit does.
func (b *bench) quit(c *client) error {
	c.nc.SetDeadline(time.Now().Add(b.o.patience))
	if _, err := c.nc.Write([]byte(chatproto.QUIT.String() + "\r\n")); err != nil {
		return c.lost(err)
	}
	if c.reads {
		return nil
	}
	for {
		switch err := c.read(); {
		case err == errBye:
			return c.nc.Close()
		case err != nil:
			return err
		}
	}
}

// close closes every connection.
func (f *fleet) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, c := range f.clients {
		c.nc.Close()
	}
}

// isTimeout reports whether an error is that of a deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
