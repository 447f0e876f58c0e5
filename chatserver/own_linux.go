package chatserver

import (
	"net"
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

// lendFile returns a file that is read and written through the runtime: there,
// waiting takes no thread. The caller closes it.
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

// A resumed connection is read through the runtime again.
type resumed struct {
	*os.File
	was    net.Conn
	socket socket
}

// LocalAddr implements [net.Conn].
func (r *resumed) LocalAddr() net.Addr { return r.was.LocalAddr() }

// RemoteAddr implements [net.Conn].
func (r *resumed) RemoteAddr() net.Addr { return r.was.RemoteAddr() }

// resume lets the goroutine that has the connection wait for what is to be
// read. Event loops have done with it.
func (c *conn) resume() error {
	if _, is := c.nc.(*resumed); is || c.fd == 0 {
		return nil
	}
	f, err := c.lendFile()
	if err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alone = true
	c.nc = &resumed{f, c.nc, socket{raw}}
	return nil
}

// inbound is the socket to read through the runtime.
func (c *conn) inbound() socket {
	if r, is := c.nc.(*resumed); is {
		return r.socket
	}
	return c.socket
}

// noDescriptor is how long a writer waits who gets no descriptor to wait with.
const noDescriptor = 20 * time.Millisecond

// writeOwn is writeSome for a connection that owns its socket.
func (c *conn) writeOwn(out []byte, now bool, until time.Time) (int, error) {
	for n := 0; ; {
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
		time.Sleep(noDescriptor)
	}
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
