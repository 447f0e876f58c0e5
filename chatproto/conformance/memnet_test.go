package conformance_test

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A memConn is one end of a connection in memory, with a buffer as a socket
// has it, deadlines and half-close. It waits on condition variables alone, so
// that a synctest bubble sees when all is quiet.
type memConn struct{ in, out *half }

// memPipe returns the two ends of a connection between programs on one
// machine.
func memPipe() (a, b *memConn) {
	x, y := newHalf(), newHalf()
	return &memConn{x, y}, &memConn{y, x}
}

// A half is one direction.
type half struct {
	mu          sync.Mutex
	cond        sync.Cond
	buf         []byte
	ended, gone bool // the writer, the reader closed
	late        [2]bool
	timers      [2]*time.Timer
}

// Deadlines of a half.
const (
	reading = iota
	writing
)

const halfSize = 64 << 10

func newHalf() *half {
	h := new(half)
	h.cond.L = &h.mu
	return h
}

func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.cond.Broadcast()
}

func (h *half) deadline(which int, t time.Time) {
	h.change(func() {
		if h.timers[which] != nil {
			h.timers[which].Stop()
			h.timers[which] = nil
		}
		wait := time.Until(t)
		h.late[which] = !t.IsZero() && wait <= 0
		if t.IsZero() || wait <= 0 {
			return
		}
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			h.change(func() { h.late[which] = h.late[which] || h.timers[which] == timer })
		})
		h.timers[which] = timer
	})
}

func (c *memConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case h.late[reading]:
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.gone:
			return n, io.ErrClosedPipe
		case h.late[writing]:
			return n, os.ErrDeadlineExceeded
		}
		k := min(len(p), halfSize-len(h.buf))
		h.buf = append(h.buf, p[:k]...)
		n, p = n+k, p[k:]
		h.cond.Broadcast()
		if len(p) == 0 {
			return n, nil
		}
		h.cond.Wait()
	}
}

func (c *memConn) Close() error {
	c.in.change(func() { c.in.gone, c.in.buf = true, nil })
	c.out.change(func() { c.out.ended = true })
	for _, h := range []*half{c.in, c.out} {
		h.deadline(reading, time.Time{})
		h.deadline(writing, time.Time{})
	}
	return nil
}

func (c *memConn) CloseWrite() error {
	c.out.change(func() { c.out.ended = true })
	return nil
}

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "127.0.0.1:50000" }

func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.deadline(reading, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.deadline(writing, t)
	return nil
}
