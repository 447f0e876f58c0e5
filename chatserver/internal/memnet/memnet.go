// Package memnet is a network in memory for tests: connections with a buffer
// each way, deadlines, half-close, and cuts that neither side is told of.
// Everything blocks on condition variables, so that a synctest bubble sees
// when all is quiet.
package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// bufferSize is what fits into one direction of a connection, as in a
// socket's buffers.
const bufferSize = 64 << 10

// Addr is the address of an end. It is not an IP address unless it looks like
// one.
type Addr string

// Network implements [net.Addr].
func (Addr) Network() string { return "mem" }

func (a Addr) String() string { return string(a) }

// Pipe returns the two ends of a connection; each has the other's name for
// its remote address.
func Pipe(client, server string) (*Conn, *Conn) {
	a, b := newHalf(), newHalf()
	return &Conn{in: a, out: b, local: Addr(client), remote: Addr(server)},
		&Conn{in: b, out: a, local: Addr(server), remote: Addr(client)}
}

// A Conn is one end of a connection in memory.
type Conn struct {
	in, out       *half
	local, remote Addr
}

// A half is one direction.
type half struct {
	mu            sync.Mutex
	cond          sync.Cond
	buf           []byte
	ended         bool // the writer closed
	gone          bool // the reader closed
	cut           bool // what is written goes nowhere
	read, written deadline
}

type deadline struct {
	past  bool
	timer *time.Timer
}

func newHalf() *half {
	h := new(half)
	h.cond.L = &h.mu
	return h
}

func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	wait := time.Until(t)
	d.past = !t.IsZero() && wait <= 0
	if !t.IsZero() && wait > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if d.timer == timer {
				d.past = true
				h.cond.Broadcast()
			}
		})
		d.timer = timer
	}
	h.cond.Broadcast()
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case h.read.past:
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

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.gone:
			return n, io.ErrClosedPipe
		case h.written.past:
			return n, os.ErrDeadlineExceeded
		case h.cut:
			return n + len(p), nil
		}
		k := min(len(p), bufferSize-len(h.buf))
		h.buf = append(h.buf, p[:k]...)
		n, p = n+k, p[k:]
		if k > 0 {
			h.cond.Broadcast()
		}
		if len(p) == 0 {
			return n, nil
		}
		h.cond.Wait()
	}
}

// Close implements [net.Conn].
func (c *Conn) Close() error {
	c.in.change(func() { c.in.gone, c.in.buf = true, nil })
	c.out.change(func() { c.out.ended = true })
	for _, h := range []*half{c.in, c.out} {
		h.set(&h.read, time.Time{})
		h.set(&h.written, time.Time{})
	}
	return nil
}

// CloseWrite ends what this end writes; it may go on to read.
func (c *Conn) CloseWrite() error {
	c.out.change(func() { c.out.ended = true })
	return nil
}

// Cut breaks the connection so that neither end is told: what is written, by
// either, goes nowhere.
func (c *Conn) Cut() {
	c.in.change(func() { c.in.cut = true })
	c.out.change(func() { c.out.cut = true })
}

func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.cond.Broadcast()
}

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.written, t)
	return nil
}
