package chatserver

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// takeToken takes a token and returns 0, or returns how long there will be
// none.
func takeToken(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

// maxRated bounds the sources that a table of rates keeps in one generation.
const maxRated = 32768

// rates bound how often something happens, by source. A source that did
// nothing for as long as a bucket takes to fill is forgotten: its bucket
// would be full. So the table is kept in two generations, of which the older
// one is dropped when that time has passed, or earlier if the younger one is
// full: then some sources have their burst again, and the memory is bounded.
type rates struct {
	limit rate.Limit
	burst int // 0: everything is allowed

	mu     sync.Mutex
	turned time.Time // when the younger generation began
	young  map[netip.Prefix]*rate.Limiter
	old    map[netip.Prefix]*rate.Limiter
}

// set sets the rate: so many a second, so many at once. Below 0 it is no
// limit.
func (r *rates) set(perSecond float64, burst int) {
	if perSecond > 0 {
		r.limit, r.burst = rate.Limit(perSecond), max(burst, 1)
	}
}

// take counts one more of the source and returns 0, or returns how long it is
// refused.
func (r *rates) take(from netip.Prefix, now time.Time) time.Duration {
	if r.burst == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	b, ok := r.find(from)
	if !ok {
		if len(r.young) >= maxRated {
			r.turned, r.old, r.young = now, r.young, make(map[netip.Prefix]*rate.Limiter)
		}
		b = rate.NewLimiter(r.limit, r.burst)
		r.young[from] = b
	}
	return takeToken(b, now)
}

// empty returns how long one more of the source would be refused, 0 if it
// would not, and counts nothing.
func (r *rates) empty(from netip.Prefix, now time.Time) time.Duration {
	if r.burst == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	b, ok := r.find(from)
	if !ok {
		return 0
	}
	missing := 1 - b.TokensAt(now)
	return max(0, time.Duration(missing/float64(r.limit)*float64(time.Second)))
}

// find returns the bucket of a source, moved to the younger generation. The
// caller holds mu.
func (r *rates) find(from netip.Prefix) (*rate.Limiter, bool) {
	if b, ok := r.young[from]; ok {
		return b, true
	}
	b, ok := r.old[from]
	if ok {
		delete(r.old, from)
		r.young[from] = b
	}
	return b, ok
}

// turn drops what is full again. The caller holds mu.
func (r *rates) turn(now time.Time) {
	full := time.Duration(float64(r.burst) / float64(r.limit) * float64(time.Second))
	switch age := now.Sub(r.turned); {
	case r.young == nil || age >= 2*full:
		r.old, r.young = nil, make(map[netip.Prefix]*rate.Limiter)
	case age >= full:
		r.old, r.young = r.young, make(map[netip.Prefix]*rate.Limiter)
	default:
		return
	}
	r.turned = now
}
