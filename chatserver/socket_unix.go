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

	readFn, tryFn, writeFn func(uintptr) bool
}

var ioCalls = sync.Pool{New: func() any {
	c := new(ioCall)
	c.readFn, c.tryFn, c.writeFn = c.read, c.try, c.write
	return c
}}

func (c *ioCall) read(fd uintptr) bool {
	buf := c.into.lend()
	for {
		c.n, c.err = syscall.Read(int(fd), buf)
		switch {
		case c.err == syscall.EINTR:
		case c.err == syscall.EAGAIN:
			c.into.takeBack()
			return false
		default:
			return true
		}
	}
}

func (c *ioCall) try(fd uintptr) bool {
	for {
		if c.n, c.err = syscall.Read(int(fd), c.buf); c.err != syscall.EINTR {
			return true
		}
	}
}

func (c *ioCall) write(fd uintptr) bool {
	for {
		if c.n, c.err = syscall.Write(int(fd), c.buf); c.err != syscall.EINTR {
			return true
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
	if c.err != nil {
		return 0, c.err
	}
	if c.n == 0 {
		return 0, io.EOF
	}
	return c.n, nil
}

// write writes what goes without waiting, and returns how much that was.
func (s socket) write(b []byte) (int, error) {
	c := ioCalls.Get().(*ioCall)
	defer c.release()
	c.buf = b
	if err := s.raw.Write(c.writeFn); err != nil {
		return 0, err
	}
	if c.err == syscall.EAGAIN {
		return 0, nil
	}
	return max(c.n, 0), c.err
}
