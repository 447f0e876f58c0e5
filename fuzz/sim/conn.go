package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// never is when a segment arrives that was lost.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// A link is one connection: two ends and a flow in each direction.
type link struct {
	net    *Network
	host   *Host
	id     uint64
	client *Conn
	server *Conn
	dice   dice

	pending atomic.Int64 // when the last octet of the client arrives at the server

	mu   sync.Mutex
	up   flow // from the client to the server
	down flow
	fate fate
}

// A flow is one direction of a link. Its octets arrive in order, each some
// time after it was written; the window bounds what was written and not read.
type flow struct {
	segs    []segment
	held    int           // octets in segs
	written uint64        // octets since the beginning
	piece   int           // octets until the next segment begins
	roll    *roller       // draws the lengths of segments
	changed chan struct{} // closed, and made anew, when something changes
	last    time.Time     // when the last segment arrives
	fin     time.Time     // when the end of the stream arrives; zero: it does not
	lost    bool          // what is written from now on never arrives
	gone    bool          // the reader closed: what arrives is dropped

	window  int
	latency time.Duration
	jitter  time.Duration
	rate    int // octets a second; 0: no limit
}

type segment struct {
	at   time.Time
	data []byte
}

// A Conn is one end of a link.
type Conn struct {
	l        *link
	isServer bool
	in, out  *flow

	// Guarded by link.mu.
	closed   bool
	finished bool  // the sending side is shut
	reset    error // what every call returns
	brokenAt time.Time
	rdl, wdl time.Time
}

func (f *flow) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// await waits until the flow changes, or t; the zero t is never. link.mu is
// released meanwhile.
func (c *Conn) await(f *flow, t time.Time) {
	ch := f.changed
	c.l.mu.Unlock()
	defer c.l.mu.Lock()
	if t.IsZero() {
		<-ch
		return
	}
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func past(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	f := c.in
	for {
		now := time.Now()
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case past(c.rdl, now):
			return 0, os.ErrDeadlineExceeded
		case c.reset != nil:
			return 0, c.reset
		}
		n := 0
		for n < len(p) && len(f.segs) > 0 && past(f.segs[0].at, now) {
			s := &f.segs[0]
			k := copy(p[n:], s.data)
			n += k
			if s.data = s.data[k:]; len(s.data) == 0 {
				f.segs = f.segs[1:]
			}
		}
		if n > 0 || len(p) == 0 {
			f.held -= n
			f.wake()
			return n, nil
		}
		wait := c.rdl
		if len(f.segs) > 0 {
			if f.segs[0].at != never {
				wait = earlier(wait, f.segs[0].at)
			}
		} else if past(f.fin, now) {
			return 0, io.EOF
		} else {
			wait = earlier(wait, f.fin)
		}
		c.await(f, wait)
	}
}

// Write implements [net.Conn]. It may write a part before it fails.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	f := c.out
	for {
		now := time.Now()
		switch {
		case c.closed || c.finished:
			return n, net.ErrClosed
		case past(c.wdl, now):
			if n > 0 {
				c.l.net.stats.Add("partial writes", 1)
			}
			return n, os.ErrDeadlineExceeded
		case c.reset != nil:
			return n, c.reset
		case past(c.brokenAt, now):
			return n, syscall.EPIPE
		case n == len(p):
			return n, nil
		}
		room := f.window - f.held
		if room > 0 {
			n += c.put(f, p[n:min(len(p), n+room)], now)
			continue
		}
		c.l.net.stats.Add("full windows", 1)
		c.await(f, earlier(c.wdl, c.brokenAt))
	}
}

// put sends a piece of data: as much of it as comes before the next segment,
// or before the place where this connection is doomed to break.
func (c *Conn) put(f *flow, data []byte, now time.Time) int {
	if f.piece == 0 {
		f.piece = 1 + f.roll.IntN(1400)
	}
	n := min(len(data), f.piece)
	if doom := c.l.fate.at; doom > f.written && c.l.fate.up == !c.isServer {
		n = int(min(uint64(n), doom-f.written))
	}
	f.piece -= n
	f.written += uint64(n)
	if f.gone {
		return n
	}
	f.held += n
	at := never
	if !f.lost {
		at = c.l.net.arrival(c, f, n, now)
		f.last = at
		if !c.isServer {
			c.l.pending.Store(at.UnixNano())
		}
	}
	if k := len(f.segs); k > 0 && f.segs[k-1].at.Equal(at) {
		f.segs[k-1].data = append(f.segs[k-1].data[:len(f.segs[k-1].data):len(f.segs[k-1].data)], data[:n]...)
	} else {
		f.segs = append(f.segs, segment{at, append([]byte(nil), data[:n]...)})
	}
	f.wake()
	if fate := &c.l.fate; fate.at > 0 && fate.up == !c.isServer && f.written >= fate.at {
		fate.at = 0
		c.l.net.logf("net", "%v breaks after %d octets: %v", c.l, f.written, fate.kind)
		c.l.apply(fate.kind)
	}
	return n
}

// end sends the end of the stream behind what was sent.
func (c *Conn) end() {
	f := c.out
	if c.finished {
		return
	}
	c.finished = true
	if !f.lost && c.reset == nil {
		f.fin = c.l.net.arrival(c, f, 0, time.Now())
		f.wake()
	}
}

// CloseWrite shuts the sending side.
func (c *Conn) CloseWrite() error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.end()
	return nil
}

// Close implements [net.Conn]. What was written still arrives.
func (c *Conn) Close() error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.end()
	c.closed = true
	c.in.segs, c.in.held = nil, 0
	c.in.gone = true
	if other := c.other(); !c.out.lost {
		other.brokenAt = c.out.fin
	}
	c.in.wake()
	c.out.wake()
	if c.other().closed {
		c.l.net.forget(c.l)
	}
	return nil
}

func (c *Conn) other() *Conn {
	if c.isServer {
		return c.l.client
	}
	return c.l.server
}

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return c.addr(c.isServer) }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return c.addr(!c.isServer) }

func (c *Conn) addr(server bool) net.Addr {
	port := 8000
	if !server {
		port = 20000 + int(c.l.id%40000)
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
}

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *Conn) setDeadlines(r, w *time.Time) error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if r != nil {
		c.rdl = *r
		c.in.wake()
	}
	if w != nil {
		c.wdl = *w
		c.out.wake()
	}
	return nil
}
