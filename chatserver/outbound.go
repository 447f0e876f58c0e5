package chatserver

import (
	"bytes"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// What may wait in a connection's outbound buffer, beside
// Limits.OutboundBytes. Messages beyond it wait in their mailbox, presence is
// coalesced, and a client that does not read its answers is not read from.
const (
	strangerLimit  = 2 << 10 // of a connection that is not logged in
	eventsFactor   = 4       // times OutboundBytes of events, with which a client that reads none is cut off
	presenceQueued = 4 << 10
)

// buffers are outbound buffers between two bursts: a connection that has
// nothing to write owns none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// keptBuffer is the size up to which a buffer goes back to the pool.
const keptBuffer = 128 << 10

// buffer returns the outbound buffer to append to. The caller holds mu.
func (c *conn) buffer() []byte {
	switch {
	case c.out != nil:
	case c.user == nil:
		c.out = make([]byte, 0, 512)
	default:
		c.out = *buffers.Get().(*[]byte)
	}
	return c.out
}

// A sweep is what one goroutine has touched while it dealt with one read:
// connections whose outbound buffers it filled, to be flushed once each.
type sweep struct {
	touched []*conn
	commit  *committer // to be woken; nil if it need not be
	acked   []*message // scratch
	away    []*user    // something waits for them: they are called, if they can be
}

// call has a user who is away called.
func (w *sweep) call(u *user) {
	if n := len(w.away); n == 0 || w.away[n-1] != u {
		w.away = append(w.away, u)
	}
}

// touch remembers that t's outbound buffer was filled.
func (w *sweep) touch(t *conn) {
	if t.toucher.Swap(w) != w {
		w.touched = append(w.touched, t)
	}
}

// flush flushes every connection that was touched, and has committed what was
// accepted.
func (w *sweep) flush() {
	if w.commit != nil {
		w.commit.signal()
		w.commit = nil
	}
	for i, t := range w.touched {
		t.toucher.CompareAndSwap(w, nil)
		t.flush()
		w.touched[i] = nil
	}
	w.touched = w.touched[:0]
	for _, u := range w.away {
		u.box.srv.callUser(u)
	}
	w.away = nil
}

// push puts one counted delivery into the outbound buffer. It reports false
// if there is no room, or the connection takes no more; by, if it is not nil,
// will flush it.
func (c *conn) push(frame []byte, by *sweep) bool {
	c.mu.Lock()
	if c.muted || len(c.out) >= c.srv.Limits.OutboundBytes || c.machine.Event(verbOf(frame)) != nil {
		c.mu.Unlock()
		return false
	}
	c.out = append(c.buffer(), frame...)
	c.counted++
	c.mu.Unlock()
	if by != nil {
		by.touch(c)
	}
	return true
}

func verbOf(frame []byte) chatproto.Code {
	return chatproto.Code(frame[0])<<24 | chatproto.Code(frame[1])<<16 | chatproto.Code(frame[2])<<8 | chatproto.Code(frame[3])
}

// notify sends an event that is not counted, and reports whether it could. A
// client that lets too many pile up is cut off: its session lingers.
func (c *conn) notify(code chatproto.Code, text string, fields ...field) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) >= eventsFactor*c.srv.Limits.OutboundBytes {
		c.abort("reads too slowly")
	}
	return !c.muted && c.dead == "" && c.event(code, fields, text)
}

// mute has nothing more sent but answers.
func (c *conn) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
}

// recall ends the deliveries of a connection that does not acknowledge them,
// since another takes its place: those that nobody has begun to write are taken
// out of the outbound buffer, which begins with a whole frame. It returns how
// many they were.
func (c *conn) recall() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted = true
	kept := c.out[:0]
	for frame := range bytes.Lines(c.out) {
		if verb := verbOf(frame); verb != chatproto.MESG && verb != chatproto.BCST {
			kept = append(kept, frame...)
		}
	}
	c.out = kept
	n = c.counted - c.handed
	c.counted = c.handed
	return n
}

// flush has what is buffered written: at once if that needs no waiting, else
// by a writer's goroutine, which lives only while there is something to write.
// For a client that is logged in and does not acknowledge, to have written is
// to have delivered, which the caller may not have the time for. The caller
// holds no lock.
func (c *conn) flush() {
	if c.mayWrite() && !(c.socket.ok() && (c.acks || c.user == nil) && c.write(true)) {
		c.writeLater()
	}
}

// flushLocked is flush for a caller that holds locks.
func (c *conn) flushLocked() {
	if c.mayWrite() {
		c.writeLater()
	}
}

// mayWrite reports whether there is something to write and nobody who does.
// If so the caller is the one.
func (c *conn) mayWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.dead != "" || len(c.out) == 0 && !c.ending() {
		return false
	}
	c.writing = true
	return true
}

// writeLater writes on a goroutine of its own. The connection's own, which
// the server waits for, does not end before.
func (c *conn) writeLater() {
	c.srv.running.Go(func() { c.write(false) })
}

// ending reports whether the last word is said, and the sending side not yet
// shut. The caller holds mu.
func (c *conn) ending() bool {
	return c.machine.Phase() >= chatproto.Closing && !c.shut
}

// write writes what is buffered until nothing is left, and reports true. Told
// to do it now, it does not wait for the client to read: if that is needed it
// reports false, and is still the one who writes.
func (c *conn) write(now bool) bool {
	var by sweep
	c.mu.Lock()
	for len(c.out) > 0 && c.dead == "" {
		out, counted, u := c.out, c.counted, c.user
		c.out, c.handed = nil, counted
		c.lastWrite = time.Now()
		until := c.lastWrite.Add(c.srv.Timeout)
		if !now && c.fd == 0 {
			c.nc.SetWriteDeadline(until)
		}
		c.mu.Unlock()
		n, err := c.writeSome(out, now, until)
		if err == nil && n < len(out) {
			c.putBack(out[n:])
			return false
		}
		if cap(out) >= 4<<10 && cap(out) <= keptBuffer {
			out = out[:0]
			buffers.Put(&out)
		}
		if u != nil && (err == nil || !c.acks) { // part of it may have arrived: at most once
			c.wrote(u, counted, &by)
		}
		c.mu.Lock()
		if err != nil {
			c.abort(err.Error())
		}
		c.sendPresence()
		c.answered.Broadcast()
	}
	if c.dead == "" && c.ending() {
		c.shut = true
		c.mu.Unlock()
		c.closeWrite()
		c.mu.Lock()
	}
	c.writing = false
	if !now && c.dead == "" && c.socket.ok() && c.fd == 0 {
		c.nc.SetWriteDeadline(time.Time{})
	}
	c.keepWritable()
	c.answered.Broadcast()
	c.mu.Unlock()
	return true
}

// writeSome writes what goes without waiting, or all of it.
func (c *conn) writeSome(out []byte, now bool, until time.Time) (int, error) {
	switch {
	case c.fd > 0:
		return c.writeOwn(out, now, until)
	case now:
		return c.socket.write(out)
	}
	return c.nc.Write(out)
}

// putBack puts what was not written before what came meanwhile.
func (c *conn) putBack(rest []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead == "" {
		c.out = append(rest[:len(rest):len(rest)], c.out...)
	}
}

// wrote tells that the first counted deliveries of the connection were
// written: to a client that does not acknowledge, that is delivering. Then it
// refills the buffer from the mailbox.
func (c *conn) wrote(u *user, counted int, by *sweep) {
	if !c.acks && counted > c.taken {
		n := counted - c.taken
		c.taken = counted
		c.acknowledged(u, n, by)
		by.flush()
		return
	}
	b := &u.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == c {
		b.pump(nil)
	}
}
