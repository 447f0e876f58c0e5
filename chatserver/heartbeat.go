package chatserver

import (
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// silence is how long the server may be silent to the client, 0 if for ever.
func (c *conn) silence() time.Duration {
	if c.beat == 0 {
		return 0
	}
	return min(c.srv.Heartbeat, max(c.beat, time.Second))
}

// startHeartbeat tells a client that has a heartbeat of its own that the
// server lives, when nothing else does. Who is in an event loop has no timer: the loop
// sees to that (loop_linux.go).
func (c *conn) startHeartbeat() {
	every := c.silence()
	c.mu.Lock()
	defer c.mu.Unlock()
	if every == 0 || c.live != nil || c.dead != "" {
		return
	}
	wait := every
	if c.loop != nil || c.alone { // else it is the login, whose answer is still to be written
		wait = max(every-time.Since(c.lastWrite), 0)
	}
	c.live = c.srv.after(wait, c.heartbeat)
}

// stopHeartbeat ends it. The caller holds mu.
func (c *conn) stopHeartbeat() {
	if c.live != nil {
		c.live.Stop()
		c.live = nil
	}
}

func (c *conn) heartbeat() {
	next := c.sayLive()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live != nil {
		c.live.Reset(next)
	}
}

// sayLive sends LIVE if the server was silent for long enough, and returns
// when to call it again.
func (c *conn) sayLive() (next time.Duration) {
	next = c.silence()
	c.mu.Lock()
	silent := time.Since(c.lastWrite)
	if silent < next {
		next -= silent
	} else if c.dead == "" {
		c.event(chatproto.LIVE, nil, "")
	}
	c.mu.Unlock()
	c.flush()
	return next
}
