package chatserver

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// strangers are the connections that are not logged in, those from the
// server's own machine excepted.
type strangers struct {
	arrivals rates // how often a source connects

	mu     sync.Mutex
	byAge  list.List // of stranger, the oldest first
	from   map[netip.Prefix]int
	parted int // that are read from until they are gone, see mayDrain
}

// A stranger is a connection that counts as one, and for which source.
type stranger struct {
	*conn
	from netip.Prefix
}

// maxDraining is how many strangers that are sent away are read from for up
// to a second, so that they see why and not a reset. Beyond it they are
// closed at once.
const maxDraining = 256

// enter takes in a new connection. It returns why it is sent away instead, or
// nil, and the one that has to make room, or nil.
func (x *strangers) enter(c *conn, limits *Limits) (refused *farewell, oldest *conn) {
	if c.isLocal {
		return nil, nil
	}
	now, from := time.Now(), source(c.nc.RemoteAddr())
	if wait := x.arrivals.take(from, now); wait > 0 {
		return turnedAway("Too many connections from your address. Please try again later", wait), nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if limits.StrangersPerSource > 0 && x.from[from] >= limits.StrangersPerSource {
		return turnedAway("Too many connections from your address that are not logged in. Please try again later", 0), nil
	}
	if x.byAge.Len() >= limits.Strangers {
		oldest = x.byAge.Front().Value.(stranger).conn
		x.remove(oldest)
	}
	if x.from == nil {
		x.from = make(map[netip.Prefix]int)
	}
	x.from[from]++
	c.place = x.byAge.PushBack(stranger{c, from})
	return nil, oldest
}

// leave takes a connection out: it is logged in, or gone.
func (x *strangers) leave(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(c)
}

// remove is leave for a caller that holds mu.
func (x *strangers) remove(c *conn) {
	if c.place == nil {
		return
	}
	from := x.byAge.Remove(c.place).(stranger).from
	c.place = nil
	if x.from[from]--; x.from[from] <= 0 {
		delete(x.from, from)
	}
}

// mayDrain reports whether one more that is sent away may be read from until
// it is gone; if so, drained is to be called then.
func (x *strangers) mayDrain() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.parted >= maxDraining {
		return false
	}
	x.parted++
	return true
}

func (x *strangers) drained() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.parted--
}

// known makes a connection that has logged in one that is no stranger's.
func (c *conn) known() {
	c.srv.strangers.leave(c)
	c.reader.Short(false)
}
