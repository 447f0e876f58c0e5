package fuzz

import (
	"net"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// A meteredConn watches how much its user reads and writes at once: what it
// keeps of a connection is bounded by that.
type meteredConn struct {
	net.Conn
	t                   *testing.T
	readLimit, writeMax int
}

func (c meteredConn) Read(p []byte) (int, error) {
	if len(p) > c.readLimit {
		c.t.Errorf("a read into %d octets, the limit is %d", len(p), c.readLimit)
	}
	return c.Conn.Read(p)
}

func (c meteredConn) Write(p []byte) (int, error) {
	if len(p) > c.writeMax {
		c.t.Errorf("a write of %d octets, the limit is %d", len(p), c.writeMax)
	}
	return c.Conn.Write(p)
}

// maxWrite is the outbound buffer of a connection: 64 KiB, and what one more
// event or reply adds.
const maxWrite = 64<<10 + 16<<10

// lines collects the frames that one end of a connection receives.
type lines struct {
	mu     sync.Mutex
	frames []*chatproto.Frame
	bad    error
	ended  bool
}

// collect reads nc until it ends.
func collect(nc net.Conn) *lines {
	l := new(lines)
	go func() {
		r := chatproto.NewReader(nc)
		for {
			var f chatproto.Frame
			err := r.Next(&f)
			l.mu.Lock()
			if err == nil {
				b, err := chatproto.AppendFrame(nil, &f)
				g := new(chatproto.Frame)
				if err == nil {
					err = chatproto.Parse(g, b[:len(b)-2])
				}
				if err != nil {
					l.bad = err
				}
				l.frames = append(l.frames, g)
			} else if _, ok := err.(*chatproto.Error); ok {
				l.bad = err
			} else {
				l.ended = true
			}
			ended := l.ended
			l.mu.Unlock()
			if ended {
				return
			}
		}
	}()
	return l
}

// take returns what came since the last call.
func (l *lines) take(t *testing.T) (frames []*chatproto.Frame, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad != nil {
		t.Errorf("a line that is no frame was sent: %v", l.bad)
	}
	frames, l.frames = l.frames, nil
	return frames, l.ended
}
