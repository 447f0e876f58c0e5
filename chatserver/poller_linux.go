package chatserver

import (
	"os"
	"syscall"
	"time"
)

// eventsPerRound bounds for how many connections what one caused may wait.
const eventsPerRound = 64

// forever is how long a poller waits if it waits for ever.
const forever time.Duration = 1<<63 - 1

// A poller waits for sockets that have something to read: an epoll of its
// own. One goroutine waits, any may do the rest.
type poller struct {
	fd    int
	nudge [2]int // a pipe that ends the wait: what it reads, and what is written to

	// How to wait through the runtime; nil if it waits in the kernel.
	file *os.File
	raw  syscall.RawConn
	try  func(uintptr) bool

	events [eventsPerRound]syscall.EpollEvent
	found  int // of them, at the last poll
}

// newPoller returns a poller, which shares its processor while it waits if
// there is no other.
func newPoller(shares bool) (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{fd: fd}
	if shares {
		err = p.share()
	}
	if err == nil {
		err = os.NewSyscallError("pipe2", syscall.Pipe2(p.nudge[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	}
	if err == nil {
		err = p.watch(int32(p.nudge[0]))
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// share has the poller wait through the runtime.
func (p *poller) share() (err error) {
	syscall.SetNonblock(p.fd, true) // for os.NewFile
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	p.try = func(uintptr) bool { return p.poll(0) }
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // fails if the runtime could not take it in
	}
	return err
}

// watch has what comes from fd, and its end, end the wait.
func (p *poller) watch(fd int32) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: fd}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, int(fd), &event))
}

// unwatch is the opposite.
func (p *poller) unwatch(fd int32) {
	syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_DEL, int(fd), nil)
}

// poll finds what can be read, and reports whether there is something. It
// waits for it for so long, or a little longer or shorter.
func (p *poller) poll(wait time.Duration) bool {
	p.found = 0
	if wait > 0 && p.file != nil {
		until := time.Time{}
		if wait < forever {
			until = time.Now().Add(wait)
		}
		p.file.SetReadDeadline(until)
		p.raw.Read(p.try)
		return p.found > 0
	}
	ms := -1
	if wait < forever {
		ms = int((min(wait, time.Hour) + time.Millisecond - 1) / time.Millisecond)
	}
	if n, err := syscall.EpollWait(p.fd, p.events[:], ms); err == nil { // else it is a signal
		p.found = n
	}
	return p.found > 0
}

// wake ends the wait, or the next.
func (p *poller) wake() {
	syscall.Write(p.nudge[1], []byte{0}) // if that is full, it is woken already
}

// woken takes notice of it, if it is what was found.
func (p *poller) woken(fd int32) {
	if fd == int32(p.nudge[0]) {
		var b [64]byte
		syscall.Read(p.nudge[0], b[:])
	}
}

// close ends the poller, for which nobody waits any more.
func (p *poller) close() {
	if p.file != nil {
		p.file.Close()
	} else {
		syscall.Close(p.fd)
	}
	if p.nudge[1] > 0 {
		syscall.Close(p.nudge[0])
		syscall.Close(p.nudge[1])
	}
}
