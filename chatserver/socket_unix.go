//go:build unix

package chatserver

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// A socket is a connection of the system that is read and written without
// waiting where that is possible: while it is idle nothing is kept for it but
// its goroutine.
type socket struct{ raw syscall.RawConn }

// socketOf returns the socket of a connection, if it is nothing else than one.
func socketOf(nc net.Conn) socket {
	switch nc := nc.(type) {
	case *net.TCPConn:
		raw, _ := nc.SyscallConn()
		return socket{raw}
	case *net.UnixConn:
		raw, _ := nc.SyscallConn()
		return socket{raw}
	}
	return socket{}
}

func (s socket) ok() bool { return s.raw != nil }

// An ioCall is one call of read or write, kept for the next.
type ioCall struct {
	buf  []byte
	into *conn // whose buffer is read into
	n    int
	err  error

	readFn, writeFn func(uintptr) bool
}

var ioCalls = sync.Pool{New: func() any {
	c := new(ioCall)
	c.readFn, c.writeFn = c.read, c.write
	return c
}}

func (c *ioCall) read(fd uintptr) bool {
	c.n, c.err = readNow(int(fd), c.into.lend())
	if c.n == 0 && c.err == nil {
		c.into.takeBack()
		return false
	}
	return true
}

func (c *ioCall) write(fd uintptr) bool {
	c.n, c.err = writeNow(int(fd), c.buf)
	return true
}

// readNow reads once, without waiting: 0 octets if there is nothing.
func readNow(fd int, b []byte) (int, error) {
	for {
		switch n, err := syscall.Read(fd, b); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// writeNow writes what goes without waiting, and returns how much that was.
func writeNow(fd int, b []byte) (int, error) {
	for {
		switch n, err := syscall.Write(fd, b); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}

func (c *ioCall) release() {
	c.buf, c.into = nil, nil
	ioCalls.Put(c)
}

// read waits until there is something to read for c, or the deadline. It
// reads into what c.lend returns, which c.takeBack takes back before a wait.
func (s socket) read(into *conn) (int, error) {
	c := ioCalls.Get().(*ioCall)
	defer c.release()
	c.into = into
	if err := s.raw.Read(c.readFn); err != nil {
		return 0, err
	}
	return c.n, c.err
}

// write writes what goes without waiting, and returns how much that was.
func (s socket) write(b []byte) (int, error) {
	c := ioCalls.Get().(*ioCall)
	defer c.release()
	c.buf = b
	if err := s.raw.Write(c.writeFn); err != nil {
		return 0, err
	}
	return c.n, c.err
}
