package chatserver

import (
	"bytes"
	"os"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// An inputBuffer is what one read of a logged-in connection may bring: more
// than any line is long, so that a busy client's requests are dealt with, and
// what they caused is written, in large pieces; and the frame that is read
// from it.
type inputBuffer struct {
	octets [16 << 10]byte
	frame  chatproto.Frame
}

var inputs = sync.Pool{New: func() any { return new(inputBuffer) }}

// fill waits until the reader has a whole line, or one that is too long. While
// there is nothing to read the connection has no buffer.
func (c *conn) fill() error {
	for !c.reader.Buffered() && len(c.reader.Rest()) < c.version.Limits.Frame {
		n, err := c.readSocket()
		if err != nil {
			return err
		}
		c.reader.Refill(c.lent.octets[:], len(c.reader.Rest())+n)
		if !c.mayRead(true) { // the deadline stays: a part of a line is no sign of life (SPEC section 7.3)
			return os.ErrDeadlineExceeded // somebody ended it
		}
	}
	return nil
}

// readSocket reads into what c.lend returns, and waits if there is nothing.
func (c *conn) readSocket() (int, error) {
	if c.fd > 0 {
		return c.readOwn(c.lend(), c.silentAt())
	}
	return c.socket.read(c)
}

// silentAt is when a client that owns its socket has said no line for too long.
func (c *conn) silentAt() time.Time { return c.opened.Add(c.heardAt + c.patience()) }

// lend returns what a read is to fill: the room behind the line that is there
// in part.
func (c *conn) lend() []byte {
	buf := c.lent
	if buf == nil {
		buf = inputs.Get().(*inputBuffer)
	}
	n := copy(buf.octets[:], c.reader.Rest())
	c.reader.Refill(buf.octets[:], n)
	c.lent, c.in = buf, &buf.frame
	return buf.octets[n:]
}

// takeBack leaves the reader no more than the line that is there in part.
func (c *conn) takeBack() {
	c.keepRest()
	if c.lent != nil {
		inputs.Put(c.lent)
	}
	c.lent, c.in = nil, nil
}

// keepRest is takeBack, where it is not the pool that lent.
func (c *conn) keepRest() {
	rest := bytes.Clone(c.reader.Rest())
	c.reader.Refill(rest, len(rest))
}

// loops reports whether an event loop can wait for what comes next. It cannot
// before the login, under TLS, and in a line that is too long.
func (c *conn) loops() bool {
	return c.sess != nil && c.socket.ok() && !c.alone && !c.once && len(c.reader.Rest()) < c.version.Limits.Frame
}

// park leaves the connection to an event loop. It reports false if it must go
// on by itself: it is to end, or there is no loop.
func (c *conn) park() bool {
	open := c.srv.loops.open(c.srv)
	c.mu.Lock()
	if c.dead != "" || c.bye != nil {
		c.mu.Unlock()
		return false
	}
	if c.fd == 0 && c.writing { // through nc; so what comes next is waited for through it, too
		c.once = true
		c.mu.Unlock()
		return false
	}
	owns := open && c.own()
	c.stopHeartbeat()
	live := c.lastWrite.Sub(c.opened) + c.silence()
	c.mu.Unlock()
	c.takeBack()
	c.by = nil
	if !owns || !c.srv.loops.add(c, live) {
		c.alone, c.once, c.by = !owns, true, new(sweep)
		c.startHeartbeat()
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = c.dead == "" && c.bye == nil
	if !c.waits {
		go c.finish()
	}
	return true
}

// ownEarly makes the socket the connection's own before anything of the login
// is written, and before others may write: a goroutine might still do that
// through nc when the connection is to be left to an event loop, which would
// then have to wait for what the client says next. One of the application's
// stays with it: it may be closed there.
func (c *conn) ownEarly() {
	if c.done != nil && c.socket.ok() {
		c.alone = true
	}
	if c.alone || !c.socket.ok() || !c.srv.loops.open(c.srv) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.writing && c.dead == "" && c.bye == nil {
		c.own()
	}
}

// wake takes the connection out of the hands of its event loop. It reports
// false if it was not in them: it then has a goroutine.
func (c *conn) wake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waits := c.waits
	c.waits = false
	return waits
}

// rouse ends a connection that has no goroutine which would see that it is to
// end. The caller holds mu.
func (c *conn) rouse() {
	if c.waits {
		c.waits = false
		go c.finish()
	}
}

// rest gives back what a connection keeps for its next message. It reports
// false if no event loop has it.
func (c *conn) rest() bool {
	c.mu.Lock()
	waits := c.waits
	if waits {
		c.slab = nil
		if len(c.slots) == 0 {
			c.slots = nil
		}
	}
	c.mu.Unlock()
	if waits {
		c.sess.origin.rest()
		if c.srv.onRest != nil {
			c.srv.onRest()
		}
	}
	return waits
}
