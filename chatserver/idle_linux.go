package chatserver

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// idlers are the connections that are idle. They have no goroutine and no
// timer: one goroutine watches the sockets of all of them, and their deadlines,
// and tells their clients that the server lives.
type idlers struct {
	mu    sync.Mutex
	epoll *os.File // nil until the first connection is idle
	fd    int      // of epoll
	conns map[int32]*conn
	next  time.Time // nothing is to be done earlier
	over  bool
}

// lookEvery is how often the deadlines of idle connections are looked at.
const lookEvery = 250 * time.Millisecond

// add takes in a connection whose goroutine ends now; c.wake is called when
// there is something to read, or its client was silent for too long. It
// reports false if the connection must be waited for in another way.
func (x *idlers) add(c *conn) bool {
	live := c.nextLive()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over || x.epoll == nil && x.open(c.srv) != nil {
		return false
	}
	added := false
	c.socket.raw.Control(func(fd uintptr) {
		event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd)}
		err := syscall.EpollCtl(x.fd, syscall.EPOLL_CTL_MOD, int(fd), &event)
		if err == syscall.ENOENT {
			err = syscall.EpollCtl(x.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
		}
		if added = err == nil; added {
			c.fd = int32(fd)
			x.conns[c.fd] = c
		}
	})
	if added {
		c.liveTo = live
		x.await(c)
	}
	return added
}

// await has the watch look at c in time. The caller holds mu.
func (x *idlers) await(c *conn) {
	to := c.silentTo
	if live := c.opened.Add(c.liveTo); c.beat > 0 && live.Before(to) {
		to = live
	}
	if x.next.IsZero() || to.Before(x.next) {
		x.next = to
	}
}

// told notes when c is to be told next that the server lives.
func (x *idlers) told(c *conn, next time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conns[c.fd] == c {
		c.liveTo = time.Since(c.opened) + next
		x.await(c)
	}
}

// open begins to watch. The caller holds mu.
func (x *idlers) open(s *Server) error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	syscall.SetNonblock(fd, true) // for os.NewFile: the epoll is itself waited for by the runtime
	x.fd = fd
	x.epoll = os.NewFile(uintptr(fd), "epoll")
	x.conns = make(map[int32]*conn)
	go x.watch(x.epoll)
	return nil
}

// watch wakes connections until close.
func (x *idlers) watch(epoll *os.File) {
	raw, err := epoll.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		n := 0
		epoll.SetReadDeadline(time.Now().Add(lookEvery))
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil && !os.IsTimeout(err) {
			return // closed
		}
		woken, silent := x.due(events[:max(n, 0)])
		for _, c := range woken {
			c.wake()
		}
		for _, c := range silent {
			x.told(c, c.sayLive())
		}
	}
}

// due takes out whoever has something to read or was silent for too long, and
// returns beside them who may be waiting for a word of the server.
func (x *idlers) due(events []syscall.EpollEvent) (due, live []*conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range events {
		if c := x.conns[events[i].Fd]; c != nil {
			delete(x.conns, events[i].Fd)
			due = append(due, c)
		}
	}
	now := time.Now()
	if x.next.IsZero() || now.Before(x.next) {
		return due, nil
	}
	x.next = time.Time{}
	for fd, c := range x.conns {
		if !now.Before(c.silentTo) {
			delete(x.conns, fd)
			due = append(due, c)
			continue
		}
		if c.beat > 0 && now.Sub(c.opened) >= c.liveTo {
			live = append(live, c)
			c.liveTo = now.Sub(c.opened) + c.silence()
		}
		x.await(c)
	}
	return due, live
}

// remove takes out a connection that was woken by somebody else.
func (x *idlers) remove(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conns[c.fd] == c {
		delete(x.conns, c.fd)
	}
}

// close ends the watch.
func (x *idlers) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.epoll != nil {
		x.epoll.Close()
	}
}
