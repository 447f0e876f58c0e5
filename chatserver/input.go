package chatserver

import (
	"bytes"
	"errors"
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

// restAfter is how long a connection says nothing before it is idle. It then
// gives up its goroutine, whose stack has grown with what it did: soon, so that
// there are never as many in a storm of logins as there are logins, for the
// runtime keeps a part of each for ever.
const restAfter = 250 * time.Millisecond

// errIdle says that a connection is idle.
var errIdle = errors.New("idle")

// fill waits until the reader has a whole line, or one that is too long. While
// there is nothing to read the connection has no buffer.
func (c *conn) fill() error {
	for !c.reader.Buffered() && len(c.reader.Rest()) < c.version.Limits.Frame {
		n, err := c.socket.read(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.early()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		c.fresh, c.heard = false, true
		c.reader.Refill(c.lent.octets[:], len(c.reader.Rest())+n)
		if !c.reader.Buffered() {
			c.mu.Lock()
			if c.bye == nil && c.dead == "" {
				c.arm()
			}
			c.mu.Unlock()
		}
	}
	if !c.reader.Buffered() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fresh = true // who reads to the end of this line does not rest before
		if c.bye == nil && c.dead == "" {
			c.arm()
		}
	}
	return nil
}

// arm sets the deadline of the next read: when the client will have been
// silent for too long, or, on a socket, when it is idle. That is not set anew
// for each read, and so a little earlier than it should be. The caller holds
// mu.
func (c *conn) arm() {
	rests := c.sess != nil && c.socket.ok()
	if c.heard || !rests {
		c.silentTo, c.heard = c.deadline(), !rests
	}
	to, slack := c.silentTo, time.Duration(0)
	if rests {
		slack = c.srv.Timeout / 16
		after := restAfter
		if c.srv.restAfter > 0 {
			after = c.srv.restAfter
		}
		if idle := time.Now().Add(after); !c.fresh && idle.Before(to) {
			to, slack = idle, after/4
		}
	}
	if to.Sub(c.armed) > slack || to.Before(c.armed) {
		c.armed = to
		c.nc.SetReadDeadline(to)
	}
}

// early judges a deadline that has passed: nil if it was too early and the
// right one is set, errIdle, or that the client was silent for too long.
func (c *conn) early() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != "" || c.bye != nil || !time.Now().Before(c.silentTo) {
		return os.ErrDeadlineExceeded
	}
	c.armed = c.silentTo
	c.nc.SetReadDeadline(c.armed)
	if !c.fresh {
		c.fresh = true
		return errIdle
	}
	return nil
}

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
	rest := bytes.Clone(c.reader.Rest())
	c.reader.Refill(rest, len(rest))
	inputs.Put(c.lent)
	c.lent, c.in = nil, nil
}

// park leaves an idle connection to those who watch for it. It reports false
// if it must go on by itself: it is to end, or nobody watches.
func (c *conn) park() bool {
	c.mu.Lock()
	if c.dead != "" || c.bye != nil {
		c.mu.Unlock()
		return false
	}
	c.idle, c.parked = true, true
	c.stopHeartbeat()
	c.mu.Unlock()
	if c.srv.idle.add(c) {
		if c.srv.onRest != nil {
			c.srv.onRest()
		}
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	woken := !c.idle
	c.idle = false
	return woken
}

// wake gives an idle connection a goroutine again.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rouse()
}

// rouse is wake for a caller that holds mu.
func (c *conn) rouse() {
	if c.idle {
		c.idle = false
		c.srv.running.Go(c.resume)
	}
}

// rest gives back what a busy connection keeps for its next message.
func (c *conn) rest() {
	c.slab, c.by = nil, sweep{}
	c.mu.Lock()
	if len(c.slots) == 0 {
		c.slots = nil
	}
	c.mu.Unlock()
	c.sess.origin.rest()
}
