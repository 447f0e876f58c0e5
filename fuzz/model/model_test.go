package model

import (
	"flag"
	"runtime"
	"slices"
	"testing"
	"time"
)

var (
	size  = flag.Int("model.size", int(Normal), "how much is searched: 0 little, 1, 2 for minutes, 3 for an hour")
	bound = flag.Int("model.bound", 0, "the number of states at which a search is given up; 0: never")
)

// atMost is the size that is searched, which is the given one unless the test
// has to be short.
func atMost() Size {
	if testing.Short() || underRace {
		return Short
	}
	return Size(*size)
}

// With all rules nothing that is acknowledged is lost, nothing is seen twice
// or out of order, and all is answered when nothing goes wrong any more.
func TestSearch(t *testing.T) {
	var happened [lastEvent]bool
	states, unwritten, left := 0, false, len(Searches(atMost()))
	began := time.Now()
	for _, c := range Searches(atMost()) {
		t.Run(c.Name, func(t *testing.T) {
			r := Search(&c, *bound)
			t.Log(r)
			if r.Violation != "" {
				t.Errorf("\n%s", r.Story())
			}
			for e, did := range r.happened {
				happened[e] = happened[e] || did
			}
			states += r.States
			unwritten = unwritten || r.Unwritten
			left--
			runtime.GC()
		})
	}
	t.Logf("%d states in %.1f s", states, time.Since(began).Seconds())
	if atMost() == Short || left > 0 || *bound > 0 {
		return
	}
	if states < 1_000_000 {
		t.Errorf("only %d states: such a search shows little", states)
	}
	if !unwritten {
		t.Error("live chat never was without a write")
	}
	// Without a rule, or with another one, these happen in other tests.
	elsewhere := map[event]bool{nothing: true, tears: true, miscounts: true, sendsLive: true, readsLive: true, asksOnline: true, fencesNewer: true}
	for e, did := range happened {
		if !did && !elsewhere[event(e)] {
			t.Errorf("it never happened: %s", sentences[e])
		}
	}
}

// That steps go on for ever is noticed.
func TestEndless(t *testing.T) {
	for _, tt := range []struct {
		edges [][2]uint32
		round []uint32
	}{
		{nil, nil},
		{[][2]uint32{{0, 1}, {0, 2}, {1, 3}, {2, 3}}, nil},
		{[][2]uint32{{0, 1}, {1, 2}, {2, 1}, {2, 3}}, []uint32{1, 2}},
		{[][2]uint32{{0, 1}, {3, 3}}, []uint32{3}},
		{[][2]uint32{{0, 2}, {1, 0}, {2, 3}, {3, 1}}, []uint32{0, 2, 3, 1}},
	} {
		q := &search{from: make([]uint32, 4), edges: tt.edges}
		if got := q.endless(); !slices.Equal(got, tt.round) {
			t.Errorf("%v: goes round %v, want %v", tt.edges, got, tt.round)
		}
	}
}
