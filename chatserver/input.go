package chatserver

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"
)

// An inputBuffer is what one read of a logged-in connection may bring: more
// than any line is long, so that a busy client's requests are dealt with, and
// what they caused is written, in large pieces.
type inputBuffer [16 << 10]byte

var inputs = sync.Pool{New: func() any { return new(inputBuffer) }}

// fill waits until the reader has a whole line, or one that is too long. While
// there is nothing to read the connection has no buffer.
func (c *conn) fill() error {
	for !c.reader.Buffered() && len(c.reader.Rest()) < c.version.Limits.Frame {
		n, err := c.socket.read(c)
		if errors.Is(err, os.ErrDeadlineExceeded) && c.early() {
			continue
		}
		if err != nil {
			return err
		}
		c.reader.Refill(c.lent[:], len(c.reader.Rest())+n)
	}
	return nil
}

// early reports whether the deadline that passed was an earlier one, since it
// is not set anew for each read, and sets the right one.
func (c *conn) early() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != "" || c.bye != nil || !time.Now().Before(c.silentTo) {
		return false
	}
	c.armed = c.silentTo
	c.nc.SetReadDeadline(c.armed)
	return true
}

// lend returns what a read is to fill: the room behind the line that is there
// in part.
func (c *conn) lend() []byte {
	buf := c.lent
	if buf == nil {
		buf = inputs.Get().(*inputBuffer)
	}
	n := copy(buf[:], c.reader.Rest())
	c.reader.Refill(buf[:], n)
	c.lent = buf
	return buf[n:]
}

// takeBack leaves the reader no more than the line that is there in part.
func (c *conn) takeBack() {
	rest := bytes.Clone(c.reader.Rest())
	c.reader.Refill(rest, len(rest))
	inputs.Put(c.lent)
	c.lent = nil
}
