package chatserver

import (
	"runtime"
	"sync"
	"time"
)

// eventLoops read the sockets of those who are logged in: such a connection
// has no goroutine, no timer and no buffer of its own while it says nothing.
//
// A loop waits in the kernel, and not through the runtime, which would wake
// two threads for what one has to do; and the runtime does not watch the
// sockets (conn.own). While it waits the runtime may believe for some
// milliseconds that it still needs its processor. So there is a loop for
// every second processor, and the others see to everything else; where there
// is one processor alone, the loop waits through the runtime.
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
	srv    *Server
	poller *poller

	// Of the goroutine that runs the loop.
	ready  []*conn      // what is to be read in this round
	now    time.Time    // when it began
	by     sweep        // what it touched
	lent   *inputBuffer // what is read into
	rounds int          // since it was time to look at the connections that say nothing
	kept   int          // rounds since others had the processor
	warm   []*conn      // have said something since they rested; guarded by mu

	mu     sync.Mutex
	conns  map[int32]*conn
	due    time.Time // nobody is silent for too long, or waits for a word, before
	lookAt time.Time // when to look at those who say nothing; zero if there is nothing to see
	over   bool
}

// roundsToLook is for how many rounds a loop that always has something to read
// puts off to look at those who say nothing, at most.
const roundsToLook = 256

// lookEvery is how often the connections are looked at that have said
// something lately: whether they rest.
const lookEvery = 250 * time.Millisecond

// keepFor is for how many rounds a loop keeps its processor, unless it has
// given others something to do: the runtime would wake a thread at each.
const keepFor = 16

// open makes the loops, at the first call, and reports whether there are any.
func (x *eventLoops) open(s *Server) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all != nil || x.over {
		return !x.over
	}
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		p, err := newPoller(runtime.GOMAXPROCS(0) == 1)
		if err != nil {
			s.log.Warn("connections get goroutines of their own", "err", err)
			break
		}
		l := &eventLoop{srv: s, poller: p, conns: make(map[int32]*conn)}
		x.all = append(x.all, l)
		go l.run()
	}
	x.over = len(x.all) == 0
	return !x.over
}

// add takes in a connection that owns its socket and whose goroutine ends now.
// It reports false if the connection must read by itself.
func (x *eventLoops) add(c *conn, live time.Duration) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.last++
	return x.all[x.last%len(x.all)].add(c, live)
}

func (l *eventLoop) add(c *conn, live time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.poller.watch(c.fd) != nil {
		return false
	}
	c.loop, c.liveTo = l, live
	now := time.Now()
	c.heardAt = now.Sub(c.opened)
	l.conns[c.fd] = c
	l.warmUp(c)
	l.await(c)
	if l.lookBy(now.Add(l.every())) {
		l.poller.wake()
	}
	return true
}

// every is after which time of silence a connection rests.
func (l *eventLoop) every() time.Duration {
	if l.srv.restAfter > 0 {
		return l.srv.restAfter
	}
	return lookEvery
}

// lookLater has the loop look at its connections when there will be something
// to see, but not at once: it may have many. The caller holds mu.
func (l *eventLoop) lookLater() {
	at := l.now.Add(l.every())
	if len(l.warm) == 0 {
		if l.due.IsZero() {
			return
		}
		if l.due.After(at) {
			at = l.due
		}
	}
	l.lookBy(at)
}

// lookBy has the loop look at its connections at that time, or before, and
// reports whether it would have been later. The caller holds mu.
func (l *eventLoop) lookBy(at time.Time) bool {
	if !l.lookAt.IsZero() && !at.Before(l.lookAt) {
		return false
	}
	l.lookAt = at
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
	if !l.over {
		l.poller.unwatch(c.fd)
	}
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
		l.kept++
		if l.by.commit != nil || l.kept == keepFor {
			l.kept = 0
		}
		l.by.flush()
		if l.kept == 0 {
			runtime.Gosched()
		}
		if !l.next() {
			return
		}
	}
}

// next waits for the next round. It reports false if the loop is closed.
func (l *eventLoop) next() bool {
	for {
		l.now = time.Now()
		wait, over := l.patience()
		if over {
			return false
		}
		found := false
		if wait > 0 {
			found = l.poller.poll(wait)
		} else if l.rounds++; l.rounds < roundsToLook {
			// Who seems to be silent may have said something that is not read yet, all
			// the more after the whole machine stood still.
			found = l.poller.poll(0)
		}
		if found {
			l.collect()
			return true
		}
		if wait <= 0 {
			l.rounds = 0
			l.look()
		}
	}
}

// patience is how long there is nothing to do unless something comes. It ends
// a loop that is over.
func (l *eventLoop) patience() (d time.Duration, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over:
		l.poller.close()
		return 0, true
	case l.lookAt.IsZero():
		return forever, false
	}
	return l.lookAt.Sub(l.now), false
}

// collect finds the connections that have something to read.
func (l *eventLoop) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = time.Now()
	for _, event := range l.poller.events[:l.poller.found] {
		if c := l.conns[event.Fd]; c != nil {
			l.warmUp(c)
			l.ready = append(l.ready, c)
		} else {
			l.poller.woken(event.Fd)
		}
	}
	l.lookLater()
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
	n, err = readNow(int(c.fd), c.lend())
	if n == 0 || err != nil {
		return 0, err
	}
	c.now = l.now
	c.reader.Refill(c.lent.octets[:], len(c.reader.Rest())+n)
	return n, nil
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
func (l *eventLoop) look() {
	resting, silent, live := l.quiet()
	for _, c := range resting {
		if !c.rest() {
			l.restsLater(c)
		}
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

// restsLater has c looked at again: it was not quite in the loop yet, or it is
// about to leave.
func (l *eventLoop) restsLater(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c.fd] == c {
		l.warmUp(c)
		l.lookLater()
	}
}

// quiet finds them, and when to look again.
func (l *eventLoop) quiet() (resting, silent, live []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	every := l.every()
	for i := len(l.warm) - 1; i >= 0; i-- {
		if c := l.warm[i]; l.now.Sub(c.opened)-c.heardAt >= every {
			l.cool(c)
			resting = append(resting, c)
		}
	}
	l.lookAt = time.Time{}
	defer l.lookLater()
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
		l.lookLater()
	}
}

// close ends the loops.
func (x *eventLoops) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	for _, l := range x.all {
		l.mu.Lock()
		l.over = true
		l.poller.wake()
		l.mu.Unlock()
	}
}
