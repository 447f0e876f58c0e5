package chatclient

import (
	"bytes"
	"io"
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
	raw      net.Conn // below TLS; nc without it
	rd       *chatproto.Reader
	sent     *lineCutter
	received *lineCutter

	mu    sync.Mutex
	idle  time.Duration // a read that brings nothing for so long fails; 0: no deadline of its own
	dying bool

	// Of the goroutine that reads, during HELO.
	heeding bool
	heard   []byte // what was read and is in no frame yet
	line    []byte // of the last frame, as it was on the wire, without its end
}

func newWire(nc, raw net.Conn, t *tracer) *wire {
	w := &wire{nc: nc, raw: raw, sent: t.cutter(true), received: t.cutter(false)}
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
	if w.heeding && len(w.heard)+n <= chatproto.V1.Limits.LineSkip {
		w.heard = append(w.heard, p[:n]...)
	}
	return n, err
}

// heed begins or ends to keep lines as they were on the wire, which a login
// is bound to.
func (w *wire) heed(on bool) {
	w.heeding = on
	if on {
		w.heard, w.line = nil, nil
	}
}

// nextLine tells that the reader has made a frame of the next line.
func (w *wire) nextLine() {
	if i := bytes.IndexByte(w.heard, '\n'); i >= 0 {
		w.line, w.heard = bytes.TrimSuffix(w.heard[:i], []byte("\r")), w.heard[i+1:]
	}
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

// close closes the connection. TLS says so to the other end, and meanwhile
// takes what that says: two ends that both only write would wait for each
// other.
func (w *wire) close() {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if w.nc != w.raw {
			io.Copy(io.Discard, w.nc)
		}
	}()
	w.nc.Close()
	<-drained
}

// cut closes the connection at once and without a word, not even of TLS, which
// might have to wait.
func (w *wire) cut() { w.raw.Close() }

// die lets the reader hear the last words and no more.
func (w *wire) die(within time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dying = true
	w.nc.SetReadDeadline(time.Now().Add(within))
}
