package chatclient

import (
	"container/list"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// How long and how many senders are remembered. The server forgets an origin
// after 6 days, so a day more covers whatever it still redelivers (SPEC
// section 6).
const (
	seenFor    = 7 * 24 * time.Hour
	maxSources = 1 << 16
)

// A receiveWindow remembers the highest message number that was taken from
// each sender and origin, so that what is delivered twice is seen once. It
// belongs to the dispatcher's goroutine, or to a StateFile.
type receiveWindow struct {
	seen map[source]*list.Element
	age  list.List // of *mark, the one heard last in front
	max  int       // sources; 0 is maxSources
}

// A source is one client instance of one user.
type source struct {
	from   string
	origin uint64
}

type mark struct {
	source
	high uint64
	last time.Time
}

// fresh reports whether the message was not taken yet.
func (w *receiveWindow) fresh(from string, id chatproto.ID) bool {
	e := w.seen[source{from, id.Origin}]
	return e == nil || id.N > e.Value.(*mark).high
}

// take marks a message as taken, and forgets who was silent for too long, or
// whoever was silent the longest when the table is full.
func (w *receiveWindow) take(from string, id chatproto.ID, now time.Time) {
	key := source{from, id.Origin}
	if e := w.seen[key]; e != nil {
		m := e.Value.(*mark)
		m.high, m.last = max(m.high, id.N), now
		w.age.MoveToFront(e)
		return
	}
	limit := w.max
	if limit == 0 {
		limit = maxSources
	}
	w.expire(now)
	for len(w.seen) >= limit {
		w.remove(w.age.Back())
	}
	if w.seen == nil {
		w.seen = make(map[source]*list.Element)
	}
	w.seen[key] = w.age.PushFront(&mark{key, id.N, now})
}

// expire forgets who was silent for too long.
func (w *receiveWindow) expire(now time.Time) {
	for e := w.age.Back(); e != nil && now.Sub(e.Value.(*mark).last) >= seenFor; e = w.age.Back() {
		w.remove(e)
	}
}

func (w *receiveWindow) remove(e *list.Element) {
	delete(w.seen, w.age.Remove(e).(*mark).source)
}
