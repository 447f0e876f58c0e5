package main

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A ledger knows what every user sent, what he was told about it, and what
// the others saw.
type ledger struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something happens
	lines   map[entry]*line
	seen    map[pair][]chatproto.ID
	acked   int
	cuts    int
	strange []string
}

type pair struct{ from, to string }

type entry struct {
	pair
	n int
}

type line struct {
	acked, refused bool
	seen           int
}

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}), lines: make(map[entry]*line), seen: make(map[pair][]chatproto.ID)}
}

// change is called with mu held after something happened.
func (l *ledger) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) sent(from, to string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[entry{pair{from, to}, n}] = new(line)
}

func (l *ledger) answered(from, to string, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.lines[entry{pair{from, to}, n}]
	switch {
	case err == nil:
		e.acked = true
		l.acked++
	case !errors.Is(err, chatclient.ErrUnknown):
		e.refused = true
		l.strange = append(l.strange, "refused: "+err.Error())
	}
	l.change()
}

func (l *ledger) saw(user string, m chatclient.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := pair{m.From, user}
	n, err := strconv.Atoi(m.Text)
	e := l.lines[entry{p, n}]
	if err != nil || e == nil {
		l.strange = append(l.strange, user+" saw what "+m.From+" never sent: "+m.Text)
		return
	}
	e.seen++
	l.seen[p] = append(l.seen[p], m.ID)
	l.change()
}

func (l *ledger) broke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts++
}

// progress is how many messages were acknowledged.
func (l *ledger) progress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// await waits until so many messages were acknowledged.
func (l *ledger) await(t *testing.T, acked int) {
	t.Helper()
	l.wait(t, "no progress", func() bool { return l.acked >= acked })
}

// settle waits until every acknowledged message was seen.
func (l *ledger) settle(t *testing.T) {
	t.Helper()
	l.wait(t, "an acknowledged message is not seen", func() bool {
		for _, e := range l.lines {
			if e.acked && e.seen == 0 {
				return false
			}
		}
		return true
	})
}

// wait waits until ok, which is called with mu held.
func (l *ledger) wait(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		changed, done := l.changed, ok()
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Errorf("%s for a minute", otherwise)
			return
		}
	}
}

// check fails the test for every breach of the guarantee.
func (l *ledger) check(t *testing.T) (acked, unknown, cuts int) {
	for _, b := range l.breaches() {
		t.Error(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.lines {
		if !x.acked && !x.refused {
			unknown++
		}
	}
	return l.acked, unknown, l.cuts
}

// breaches is the verdict: what the guarantee forbids and happened.
func (l *ledger) breaches() (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	breach := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for e, x := range l.lines {
		switch {
		case x.seen > 1:
			breach("%s saw message %d of %s %d times", e.to, e.n, e.from, x.seen)
		case x.acked && x.seen == 0:
			breach("message %d of %s to %s was acknowledged and is lost", e.n, e.from, e.to)
		case x.refused && x.seen > 0:
			breach("message %d of %s to %s was refused and is seen", e.n, e.from, e.to)
		}
	}
	for p, ids := range l.seen {
		for i := 1; i < len(ids); i++ {
			if ids[i].Origin == ids[i-1].Origin && ids[i].N < ids[i-1].N {
				breach("%s saw message %v of %s after %v", p.to, ids[i], p.from, ids[i-1])
			}
		}
	}
	return append(found, l.strange...)
}
