package chatserver

import (
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A farewell is how the server wants to end a connection: with a last frame,
// and why for OnDisconnect.
type farewell struct {
	code      chatproto.Code
	why, text string
	fields    []field
}

// goodbye has the connection end with GBYE, once what was read is answered.
func (c *conn) goodbye(why, text string) {
	c.leave(&farewell{code: chatproto.GBYE, why: why, text: text, fields: []field{{"why", why}}})
}

// leave has the connection end as f says, once what was read is answered; at
// once while there is no TLS to say it in.
func (c *conn) leave(f *farewell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.bye != nil || c.dead != "":
	case c.mum:
		c.abort(f.why)
	default:
		c.bye = f
		c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		c.answered.Broadcast()
		c.rouse()
	}
}

// die ends the connection without another word.
func (c *conn) die(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort(why)
}

// abort is die for a caller that holds mu.
func (c *conn) abort(why string) {
	if c.dead == "" {
		c.dead = why
		c.out = nil
		if c.waits { // or epoll would watch it for as long as somebody has a copy of the descriptor
			c.loop.remove(c)
		}
		c.shutDown() // both wake reader and writer
		c.transport().Close()
		c.answered.Broadcast()
		c.rouse()
	}
}

// finish ends the connection: it answers what was read, says goodbye, writes
// what is buffered, reads a little longer so that the client sees the end and
// not a reset, and lets the session linger.
func (c *conn) finish() {
	if c.loop != nil {
		c.loop.remove(c)
	}
	if c.by == nil {
		c.by = new(sweep)
	}
	c.mute() // no deliveries and events any more
	if c.callee != nil && c.sess == nil {
		close(c.callee.over)
	}
	if c.sess != nil && c.acks {
		c.user.box.detach(c)
	}
	c.by.flush()
	c.waitAnswered()
	c.mu.Lock()
	if c.bye != nil && c.dead == "" && c.machine.Phase() < chatproto.Closing {
		c.why = c.bye.why
		c.event(c.bye.code, c.bye.fields, c.bye.text)
	}
	c.mu.Unlock()
	c.flush()
	c.mu.Lock()
	for c.writing {
		c.answered.Wait()
	}
	if c.why == "" {
		c.why = c.dead
	}
	drain := c.dead == "" && !c.ended
	if c.dead == "" {
		c.dead = "closed"
	}
	c.stopHeartbeat()
	c.machine.EOF()
	c.mu.Unlock()
	if drain {
		c.drain()
	}
	s := c.srv
	c.nc.Close()
	c.closeOwn()
	s.strangers.leave(c)
	if c.sess != nil {
		c.user.box.detach(c) // what was written to a client that does not acknowledge is out of it by now
		s.detach(c)
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	if c.fault != nil {
		c.log().Error("the server was about to break the protocol", "err", c.fault)
	}
	s.log.Debug("connection ended", "remote", addrText(c.nc.RemoteAddr()), "why", c.why)
	if hook := s.Hooks.OnDisconnect; hook != nil && c.told {
		hook(s.ctx, c.info(), c.why)
	}
	if c.done != nil {
		close(c.done)
	}
	s.running.Done()
}

// drain reads a little longer, so that the client sees the end and not a
// reset. Of strangers only so many are given the time.
func (c *conn) drain() {
	if x := &c.srv.strangers; c.sess == nil && !c.isLocal {
		if !x.mayDrain() {
			return
		}
		defer x.drained()
	}
	nc, until := c.transport(), time.Now().Add(time.Second)
	nc.SetReadDeadline(until)
	buf := make([]byte, 512) // io.Discard would take 8 KiB
	for left := c.version.Limits.LineSkip; left > 0; {
		var n int
		var err error
		if c.fd > 0 {
			n, err = c.readOwn(buf, until)
		} else {
			n, err = nc.Read(buf)
		}
		if err != nil {
			return
		}
		left -= n
	}
}
