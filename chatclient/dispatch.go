package chatclient

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// Limits of what waits for the callbacks. Deliveries have the one of the
// protocol; the rest is news, which is coalesced (the latest of its key
// stays) from a number on, and more than is plausible is a flood.
const (
	coalesceFrom = 64
	maxKeyed     = 16 << 10
	maxNews      = 1 << 10
)

// An event waits for its callback: news, which call tells, or a delivery.
type event struct {
	key      string // news of one key may be coalesced; "" may not
	call     func(ctx context.Context)
	delivery *delivery
}

// seen remembers which messages were taken.
type seen interface {
	fresh(from string, id chatproto.ID) bool
	take(from string, id chatproto.ID, now time.Time)
}

// A dispatcher hands what arrives to the callbacks, one at a time and in
// order, on a goroutine of its own. Its lock is taken after Client.mu, never
// before it, and not held while a callback runs.
type dispatcher struct {
	c      *Client
	window seen // the goroutine's own, or the state file's

	mu     sync.Mutex
	queue  list.List // of event
	latest map[string]*list.Element
	keyed  int // queued events with a key
	news   int // queued events without one that are no deliveries

	paused    bool
	finishing bool
	busy      bool
	idle      chan struct{} // not nil: closed when the running callback has returned

	ackConn  *conn // of the deliveries taken last
	ackCount uint64
	taken    int // since the last flush

	wake chan struct{}
	done chan struct{}
}

func newDispatcher(c *Client) *dispatcher {
	var window seen = new(receiveWindow)
	if c.cfg.StateFile != nil {
		window = c.cfg.StateFile
	}
	return &dispatcher{c: c, window: window, latest: make(map[string]*list.Element),
		wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// push queues an event. It reports errFlood for more than is plausible.
func (d *dispatcher) push(ev event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ev.delivery != nil:
	case ev.key != "":
		if old := d.latest[ev.key]; old != nil && d.keyed >= coalesceFrom {
			d.remove(old)
		}
		if d.keyed == maxKeyed {
			return errFlood
		}
		d.keyed++
	default:
		if d.news == maxNews {
			return errFlood
		}
		d.news++
	}
	e := d.queue.PushBack(ev)
	if ev.key != "" {
		d.latest[ev.key] = e
	}
	d.signal()
	return nil
}

// remove takes an event out of the queue. mu is held.
func (d *dispatcher) remove(e *list.Element) event {
	ev := d.queue.Remove(e).(event)
	switch {
	case ev.delivery != nil:
	case ev.key != "":
		d.keyed--
		if d.latest[ev.key] == e {
			delete(d.latest, ev.key)
		}
	default:
		d.news--
	}
	return ev
}

// purge drops the deliveries that wait: they came on a connection that is
// gone and will be delivered again.
func (d *dispatcher) purge() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(func(ev event) bool { return ev.delivery != nil })
}

func (d *dispatcher) drop(which func(event) bool) {
	for e := d.queue.Front(); e != nil; {
		next := e.Next()
		if which(e.Value.(event)) {
			d.remove(e)
		}
		e = next
	}
}

func (d *dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run is the dispatcher's goroutine. ctx is what the callbacks get.
func (d *dispatcher) run(ctx context.Context) {
	defer close(d.done)
	ctx = context.WithValue(ctx, callbackKey{}, d)
	for {
		ev, ok := d.next()
		switch {
		case !ok:
			return
		case ev.delivery != nil:
			d.deliver(ctx, ev.delivery)
		default:
			ev.call(ctx)
		}
	}
}

// next waits for an event. It reports false when there will be none.
func (d *dispatcher) next() (event, bool) {
	d.mu.Lock()
	d.busy = false
	if d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
	for {
		if d.queue.Len() > 0 && !d.paused {
			ev := d.remove(d.queue.Front())
			d.busy = true
			d.mu.Unlock()
			return ev, true
		}
		finishing := d.finishing
		d.mu.Unlock()
		if finishing {
			return event{}, false
		}
		d.flush()
		<-d.wake
		d.mu.Lock()
	}
}

// callbackKey marks the context of a callback.
type callbackKey struct{}

// pause lets no further callback begin and waits for the one that runs, for
// a while only: it may be the one that calls this.
func (d *dispatcher) pause(ctx context.Context) {
	d.mu.Lock()
	d.paused = !d.finishing
	idle := d.idle
	if d.busy && idle == nil {
		idle = make(chan struct{})
		d.idle = idle
	}
	d.mu.Unlock()
	if idle == nil || ctx.Value(callbackKey{}) == d {
		return
	}
	limit := time.NewTimer(pauseLimit)
	defer limit.Stop()
	select {
	case <-idle:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// pauseLimit is how long Logout waits for a callback that runs.
const pauseLimit = time.Second

// finish lets the dispatcher end after the last event. Deliveries are
// dropped, they stay with the server; the rest as well, if quiet.
func (d *dispatcher) finish(last event, quiet bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(func(ev event) bool { return quiet || ev.delivery != nil })
	if last.call != nil {
		d.queue.PushBack(last)
		d.news++
	}
	d.finishing, d.paused = true, false
	d.signal()
}
