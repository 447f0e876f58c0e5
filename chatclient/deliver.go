package chatclient

import (
	"context"
	"log/slog"
	"time"
)

// ackEvery is how many deliveries are acknowledged at once while more wait.
const ackEvery = 64

// How long to wait before a callback that failed is called again.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 10 * time.Second
)

// A delivery is a message on its way to OnMessage.
type delivery struct {
	cn      *conn
	count   uint64 // on that connection
	m       Message
	ignored bool // of a kind that this version does not know
}

// deliver checks whether a message was seen, gives it to the callback until
// that takes it, marks it, and counts it for the next acknowledgement: in
// this order, in this goroutine (SPEC section 6). Once the client has ended
// nothing is shown: what the application did not take then must not be
// overtaken by what waits behind it.
func (d *dispatcher) deliver(ctx context.Context, dl *delivery) {
	if ctx.Err() != nil {
		return
	}
	if !dl.ignored && d.window.fresh(dl.m.From, dl.m.ID) {
		if !d.give(ctx, &dl.m) {
			return
		}
		d.window.take(dl.m.From, dl.m.ID, time.Now())
	}
	d.mu.Lock()
	if d.ackConn != dl.cn {
		d.ackConn, d.taken = dl.cn, 0
	}
	d.ackCount = dl.count
	d.taken++
	full := d.taken >= ackEvery
	d.mu.Unlock()
	if full {
		d.flush()
	}
}

// give calls OnMessage until it takes the message. It reports false if the
// client ended first.
func (d *dispatcher) give(ctx context.Context, m *Message) bool {
	call := d.c.cfg.Callbacks.OnMessage
	if call == nil {
		return true
	}
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := call(ctx, *m)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		d.c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the message callback failed",
			slog.String("from", m.From), slog.String("id", m.ID.String()), slog.Duration("retry", wait), slog.Any("err", err))
		d.flush()
		if !sleep(ctx, wait) {
			return false
		}
	}
}

// flush acknowledges what was taken.
func (d *dispatcher) flush() {
	d.mu.Lock()
	cn, count := d.ackConn, d.ackCount
	taken := d.taken
	d.taken = 0
	d.mu.Unlock()
	if taken > 0 {
		d.c.keep.ack(cn, count)
	}
}

// sleep waits. It reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
