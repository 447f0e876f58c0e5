package chatserver

import (
	"os"
	"syscall"
	"time"
)

// own makes the socket the connection's own: the runtime does not watch it
// any more, or everything that comes would wake a thread of it beside the
// event loop. What is left of nc are its addresses. It reports false if that
// cannot be. The caller holds mu, nobody reads or writes, and whoever does
// later began after it.
func (c *conn) own() bool {
	if c.fd > 0 {
		return true
	}
	fd := -1
	c.socket.raw.Control(func(of uintptr) { fd, _ = dup(int(of)) })
	if fd < 0 {
		return false
	}
	c.fd = int32(fd)
	c.nc.Close()
	return true
}

// dup returns a copy of a descriptor; it is above 0.
func dup(of int) (int, error) {
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(of), syscall.F_DUPFD_CLOEXEC, 3)
	if errno != 0 {
		return -1, os.NewSyscallError("dup", errno)
	}
	return int(fd), nil
}

// Who has to wait and no means to be woken looks again after shortPause, and
// then less and less often.
const (
	shortPause = time.Millisecond
	longPause  = 250 * time.Millisecond
)

// readOwn reads a socket that is the connection's own and in no event loop,
// where it stays for as long as a line is too long, and at its end: it looks
// again and again until then, or until the connection is to end, which it
// ignores if it is dead already.
func (c *conn) readOwn(p []byte, until time.Time) (int, error) {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		n, err := readNow(int(c.fd), p)
		if n > 0 || err != nil {
			return n, err
		}
		c.mu.Lock()
		ends := c.bye != nil && c.dead == ""
		c.mu.Unlock()
		if ends || time.Now().After(until) {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(pause)
	}
}

// writeOwn is writeSome for a connection that owns its socket.
func (c *conn) writeOwn(out []byte, now bool, until time.Time) (int, error) {
	n := 0
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		more, err := writeNow(int(c.fd), out[n:])
		n += more
		if now || err != nil || n == len(out) {
			return n, err
		}
		if f, err := c.lendFile(); err == nil {
			defer f.Close()
			f.SetWriteDeadline(until)
			more, err := f.Write(out[n:])
			return n + more, err
		}
		if time.Now().After(until) {
			return n, os.ErrDeadlineExceeded
		}
		time.Sleep(pause)
	}
}

// lendFile returns a file that is written through the runtime, which wakes who
// waits for it. The caller closes it. It fails if the process has as many
// descriptors as it may.
func (c *conn) lendFile() (*os.File, error) {
	fd, err := dup(int(c.fd))
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "connection")
	if err := f.SetDeadline(time.Time{}); err != nil { // the runtime does not watch it
		f.Close()
		return nil, err
	}
	return f, nil
}

// shutDown ends both directions of a socket that is the connection's own. The
// caller holds mu; finish has not closed it.
func (c *conn) shutDown() {
	if c.fd > 0 {
		syscall.Shutdown(int(c.fd), syscall.SHUT_RDWR)
	}
}

// shutWrite ends the sending direction. The caller is the one who writes.
func (c *conn) shutWrite() { syscall.Shutdown(int(c.fd), syscall.SHUT_WR) }

// closeOwn closes the socket if it is the connection's own: nobody reads or
// writes it any more.
func (c *conn) closeOwn() {
	if c.fd > 0 {
		syscall.Close(int(c.fd))
	}
}
