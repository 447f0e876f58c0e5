package chatclient

import (
	"net"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// lastWords is how long a connection that can no longer be written to is
// still read, so that a GBYE that explains it is not lost.
const lastWords = time.Second

// A wire is a connection as frames: deadlines and trace are its business.
type wire struct {
	nc       net.Conn
	rd       *chatproto.Reader
	sent     *lineCutter
	received *lineCutter

	mu    sync.Mutex
	idle  time.Duration // a read that brings nothing for so long fails; 0: no deadline of its own
	dying bool
}

func newWire(nc net.Conn, t *tracer) *wire {
	w := &wire{nc: nc, sent: t.cutter(true), received: t.cutter(false)}
	w.rd = chatproto.NewReader(w)
	return w
}

// Read reads from the connection, within the idle time.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	if w.idle > 0 && !w.dying {
		w.nc.SetReadDeadline(time.Now().Add(w.idle))
	}
	w.mu.Unlock()
	n, err := w.nc.Read(p)
	w.received.pass(p[:n])
	return n, err
}

// setIdle sets how long a read may bring nothing.
func (w *wire) setIdle(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = d
}

// deadline sets the time by which the reads of a login step must be done.
func (w *wire) deadline(d time.Duration) {
	w.nc.SetReadDeadline(time.Now().Add(d))
}

// write writes whole lines.
func (w *wire) write(lines []byte, timeout time.Duration) error {
	w.sent.pass(lines)
	w.nc.SetWriteDeadline(time.Now().Add(timeout))
	_, err := w.nc.Write(lines)
	return err
}

// die lets the reader hear the last words and no more.
func (w *wire) die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dying = true
	w.nc.SetReadDeadline(time.Now().Add(lastWords))
}
