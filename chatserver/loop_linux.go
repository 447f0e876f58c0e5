package chatserver

import (
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// eventLoops read the sockets of those who are logged in: such a connection
// has no goroutine, no timer and no buffer of its own while it says nothing.
// There is a loop for each processor.
type eventLoops struct {
	mu   sync.Mutex
	all  []*eventLoop // nil until the first connection logged in
	last int          // who got a connection last
	over bool
}

// An eventLoop deals with its connections in rounds: it reads each that has
// something to read once, applies what came, and then writes what all of that
// caused. Whatever may block leaves the loop before (conn.stepAside).
type eventLoop struct {
	srv   *Server
	epoll *os.File
	wait  syscall.RawConn // of epoll, which is itself waited for by the runtime
	fd    int             // likewise

	// Of the goroutine that runs the loop.
	events [eventsPerRound]syscall.EpollEvent
	found  int // of them, in this round
	poll   func(uintptr) bool
	ready  []*conn      // what is to be read in this round
	now    time.Time    // when it began
	by     sweep        // what it touched
	lent   *inputBuffer // what is read into
	lookAt time.Time    // when to look at the connections that say nothing
	rounds int          // since then
	warm   []*conn      // have said something since they rested; guarded by mu

	mu    sync.Mutex
	conns map[int32]*conn
	due   time.Time // nobody is silent for too long, or waits for a word, before
}

// eventsPerRound bounds for how many connections what one caused may wait.
const eventsPerRound = 64

// roundsToLook is for how many rounds a loop that always has something to read
// puts off to look at those who say nothing, at most.
const roundsToLook = 256

// lookEvery is how often the connections are looked at that say nothing: for
// their deadlines, and whether they rest.
const lookEvery = 250 * time.Millisecond

// open makes the loops, at the first call. The caller holds mu.
func (x *eventLoops) open(s *Server) {
	for range runtime.GOMAXPROCS(0) {
		l, err := newEventLoop(s)
		if err != nil {
			s.log.Warn("connections get goroutines of their own", "err", err)
			break
		}
		x.all = append(x.all, l)
		go l.run()
	}
	x.over = len(x.all) == 0
}

func newEventLoop(s *Server) (*eventLoop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	syscall.SetNonblock(fd, true) // for os.NewFile
	return loopOn(s, fd)
}

// loopOn returns a loop on an epoll that is set not to block.
func loopOn(s *Server, fd int) (l *eventLoop, err error) {
	l = &eventLoop{srv: s, epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, conns: make(map[int32]*conn)}
	if l.wait, err = l.epoll.SyscallConn(); err == nil {
		err = l.epoll.SetReadDeadline(time.Time{}) // fails if the runtime could not take it in
	}
	if err != nil {
		l.epoll.Close()
		return nil, err
	}
	l.poll = func(fd uintptr) bool {
		l.found, _ = syscall.EpollWait(int(fd), l.events[:], 0)
		return l.found > 0
	}
	return l, nil
}

// add takes in a connection whose goroutine ends now. It reports false if the
// connection must read by itself.
func (x *eventLoops) add(c *conn, live time.Duration) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil && !x.over {
		x.open(c.srv)
	}
	if x.over {
		return false
	}
	added := false
	c.socket.raw.Control(func(fd uintptr) {
		x.last++
		added = x.all[x.last%len(x.all)].add(c, int32(fd), live)
	})
	return added
}

func (l *eventLoop) add(c *conn, fd int32, live time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: fd}
	if syscall.EpollCtl(l.fd, syscall.EPOLL_CTL_ADD, int(fd), &event) != nil {
		return false
	}
	c.fd, c.loop, c.liveTo = fd, l, live
	c.heardAt = time.Since(c.opened)
	l.conns[fd] = c
	l.warmUp(c)
	l.await(c)
	return true
}

// warmUp notes that c has what it gives back when it rests. The caller holds
// mu.
func (l *eventLoop) warmUp(c *conn) {
	if c.warm == 0 {
		l.warm = append(l.warm, c)
		c.warm = int32(len(l.warm))
	}
}

// cool is the opposite. The caller holds mu.
func (l *eventLoop) cool(c *conn) {
	if c.warm == 0 {
		return
	}
	last := l.warm[len(l.warm)-1]
	l.warm[c.warm-1] = last
	last.warm = c.warm
	l.warm[len(l.warm)-1] = nil
	l.warm = l.warm[:len(l.warm)-1]
	c.warm = 0
}

// await has the loop look at c in time. The caller holds mu.
func (l *eventLoop) await(c *conn) {
	to := c.heardAt + c.patience()
	if c.beat > 0 {
		to = min(to, c.liveTo)
	}
	if at := c.opened.Add(to); l.due.IsZero() || at.Before(l.due) {
		l.due = at
	}
}

// remove takes c out.
func (l *eventLoop) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cool(c)
	if l.conns[c.fd] != c {
		return
	}
	delete(l.conns, c.fd)
	c.socket.raw.Control(func(fd uintptr) { // fails if it is closed, and so no longer watched
		syscall.EpollCtl(l.fd, syscall.EPOLL_CTL_DEL, int(fd), nil)
	})
}

// run goes through round after round until close. It returns as well when a
// connection had to leave: another goroutine then goes on.
func (l *eventLoop) run() {
	for {
		for len(l.ready) > 0 {
			c := l.ready[len(l.ready)-1]
			l.ready[len(l.ready)-1] = nil
			l.ready = l.ready[:len(l.ready)-1]
			if !l.turn(c) {
				return
			}
		}
		l.by.flush()
		runtime.Gosched() // a loop that always has something to do leaves the committer its turn
		if !l.next() {
			return
		}
	}
}

// next waits for the next round. It reports false if the loop is closed.
func (l *eventLoop) next() bool {
	for {
		l.now, l.found = time.Now(), 0
		if !l.now.Before(l.lookAt) {
			// Who seems to be silent may have said something that is not read yet, all
			// the more after the whole machine stood still.
			l.rounds++
			if l.rounds < roundsToLook && l.wait.Control(func(fd uintptr) { l.poll(fd) }) == nil && l.found > 0 {
				l.collect()
				return true
			}
			every := lookEvery
			if l.srv.restAfter > 0 {
				every = l.srv.restAfter
			}
			l.look(every)
			l.rounds, l.lookAt = 0, l.now.Add(every)
			l.epoll.SetReadDeadline(l.lookAt)
		}
		err := l.wait.Read(l.poll)
		if l.found > 0 {
			l.collect()
			return true
		}
		if err != nil && !os.IsTimeout(err) {
			return false
		}
	}
}

// collect finds the connections that have something to read.
func (l *eventLoop) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = time.Now()
	for i := range l.events[:l.found] {
		if c := l.conns[l.events[i].Fd]; c != nil {
			l.warmUp(c)
			l.ready = append(l.ready, c)
		}
	}
}

// turn reads c once and applies what came. It reports false if c had to leave
// the loop: the caller's goroutine was c's then, and another runs the loop.
func (l *eventLoop) turn(c *conn) bool {
	c.mu.Lock()
	if !c.waits { // somebody woke it
		c.mu.Unlock()
		return true
	}
	c.waits = false
	crowded := c.crowded()
	c.mu.Unlock()
	c.turn, c.by = l, &l.by
	waits := true
	if crowded {
		c.stepAside()
		waits = c.read()
	} else if n, err := l.read(c); err != nil {
		waits = false
		c.readFailed(err)
	} else if n > 0 {
		if c.reader.Buffered() { // a part of a line is no sign of life (SPEC section 7.3)
			c.heardAt = l.now.Sub(c.opened)
		}
		waits = c.read()
	}
	if c.turn == nil {
		c.goOn(waits)
		return false
	}
	c.turn, c.by = nil, nil
	if c.lent != nil {
		c.keepRest()
		c.lent, c.in = nil, nil
	}
	c.mu.Lock()
	waits = waits && c.dead == "" && c.bye == nil
	c.waits = waits
	c.mu.Unlock()
	if !waits {
		l.remove(c)
		c.by = new(sweep)
		go c.finish()
	}
	return true
}

// read reads once, without waiting; n is 0 if there was nothing.
func (l *eventLoop) read(c *conn) (n int, err error) {
	if l.lent == nil {
		l.lent = inputs.Get().(*inputBuffer)
	}
	c.lent = l.lent
	call := ioCalls.Get().(*ioCall)
	defer call.release()
	call.buf = c.lend()
	if err := c.socket.raw.Read(call.tryFn); err != nil {
		return 0, err
	}
	switch {
	case call.err == syscall.EAGAIN:
		return 0, nil
	case call.err != nil:
		return 0, call.err
	case call.n == 0:
		return 0, io.EOF
	}
	c.now = l.now
	c.reader.Refill(c.lent.octets[:], len(c.reader.Rest())+call.n)
	return call.n, nil
}

// leave takes c out of the loop, whose goroutine becomes c's.
func (l *eventLoop) leave(c *conn) {
	l.remove(c)
	if c.lent != nil {
		l.lent = nil // it goes with c
	}
	c.turn, c.by = nil, new(sweep)
	go l.run()
}

// look looks at the connections that say nothing: who did so for every gives
// back what it keeps, who did so for too long is logged out, and who waits for
// a word of the server is sent one.
func (l *eventLoop) look(every time.Duration) {
	resting, silent, live := l.quiet(every)
	for _, c := range resting {
		c.rest()
	}
	for _, c := range silent {
		if c.wake() {
			l.remove(c) // before its logout, which may have to wait
			go c.silent()
		}
	}
	for _, c := range live {
		l.told(c, c.sayLive())
	}
}

// quiet finds them.
func (l *eventLoop) quiet(every time.Duration) (resting, silent, live []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.warm) - 1; i >= 0; i-- {
		if c := l.warm[i]; l.now.Sub(c.opened)-c.heardAt >= every {
			l.cool(c)
			resting = append(resting, c)
		}
	}
	if l.due.IsZero() || l.now.Before(l.due) {
		return resting, nil, nil
	}
	l.due = time.Time{}
	for _, c := range l.conns {
		age := l.now.Sub(c.opened)
		if age-c.heardAt >= c.patience() {
			silent = append(silent, c)
			continue
		}
		if c.beat > 0 && age >= c.liveTo {
			live = append(live, c)
			c.liveTo = age + c.silence()
		}
		l.await(c)
	}
	return resting, silent, live
}

// told notes when c is to be told next that the server lives.
func (l *eventLoop) told(c *conn, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c.fd] == c {
		c.liveTo = time.Since(c.opened) + next
		l.await(c)
	}
}

// close ends the loops.
func (x *eventLoops) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	for _, l := range x.all {
		l.epoll.Close()
	}
}
