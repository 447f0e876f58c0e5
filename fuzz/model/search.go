package model

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A Result is what a search found.
type Result struct {
	Config    *Config
	States    int           // that differ
	Steps     int           // between them
	Depth     int           // of the longest of the shortest ways to a state
	Windows   int           // that the real code made
	Took      time.Duration // of the search
	Full      bool          // it was not ended by a bound or a violation
	Violation string        // "" if there is none
	Unwritten bool          // some run ends with all accepted and nothing but the origin ever on the disk
	Trace     []string      // the shortest way to the violation, in sentences
	Round     int           // where in Trace the steps begin that go on for ever; 0: they do not

	happened [lastEvent]bool
}

func (r *Result) String() string {
	rate := float64(r.States) / max(r.Took.Seconds(), 1e-9)
	s := fmt.Sprintf("%-36s %9d states %10d steps  depth %2d  %4d windows  %6.2f s  %7.0f/s", r.Config.Name, r.States, r.Steps, r.Depth, r.Windows, r.Took.Seconds(), rate)
	if !r.Full && r.Violation == "" {
		s += "  NOT FINISHED"
	}
	return s
}

// Story is the violation and how it came, a line each.
func (r *Result) Story() string {
	var b strings.Builder
	for i, line := range r.Trace {
		if i == r.Round && i > 0 {
			fmt.Fprintf(&b, "      And then, again and again:\n")
		}
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, line)
	}
	fmt.Fprintf(&b, "      %s\n", r.Violation)
	return b.String()
}

// Search visits every state that can be reached, breadth first, until one
// violates what is promised or bound states were seen (0: no bound). So the
// trace of a violation is as short as any.
//
// A state that was visited is remembered by 64 bits of its hash. Two states
// of the same hash would be taken for one; among ten million states the
// chance that there is such a pair is one in three hundred thousand, and it
// differs with each run.
func Search(c *Config, bound int) *Result {
	c.check()
	x := newSteps(c)
	q := &search{steps: x, seed: maphash.MakeSeed(), index: make(map[uint64]uint32), res: &Result{Config: c}}
	began := time.Now()
	q.run(bound)
	q.res.Took = time.Since(began)
	q.res.States, q.res.Windows = len(q.from), len(x.w.all)-1
	return q.res
}

type search struct {
	*steps
	seed  maphash.Seed
	index map[uint64]uint32 // hash of a state to its number
	from  []uint32          // the state that each was first reached from
	nth   []uint8           // and by which of its steps
	next  []state           // the states of the level to come
	edges [][2]uint32       // ordinary steps
	res   *Result
}

// visit gives a state its number, and reports whether it is a new one.
func (q *search) visit(s *state, from uint32, nth int) (number uint32, fresh bool) {
	h := maphash.Comparable(q.seed, *s)
	if n, ok := q.index[h]; ok {
		return n, false
	}
	n := uint32(len(q.from))
	q.index[h] = n
	q.from = append(q.from, from)
	q.nth = append(q.nth, uint8(nth))
	q.next = append(q.next, *s)
	return n, true
}

func (q *search) run(bound int) {
	first := q.initial()
	q.visit(&first, 0, 0)
	number := uint32(0)
	for len(q.next) > 0 {
		level := q.next
		q.next = nil
		for i := range level {
			if !q.expand(&level[i], number) {
				return
			}
			number++
			if bound > 0 && len(q.from) >= bound {
				return
			}
		}
		if len(q.next) > 0 {
			q.res.Depth++
		}
	}
	q.res.Full = true
	if round := q.endless(); round != nil {
		q.foundRound(round)
	}
}

// expand visits what follows a state. It reports false if that violates what
// is promised.
func (q *search) expand(s *state, number uint32) bool {
	quiet := true
	for i, e := range q.steps.from(s) {
		q.res.Steps++
		q.res.happened[e.what.what] = true
		q.res.happened[e.what.then] = true
		quiet = quiet && e.kind != ordinary
		n, fresh := q.visit(&e.to, number, i)
		if fresh && e.to.wrong != right {
			q.found(e.to.wrong, e.to.who, e.to.m, n)
			return false
		}
		if e.kind == ordinary {
			q.edges = append(q.edges, [2]uint32{number, n})
		}
	}
	if quiet {
		if w, who, m := q.judgeEnd(s); w != right {
			q.found(w, who, m, number)
			return false
		}
		q.res.Unwritten = q.res.Unwritten || int(s.next) > len(q.Messages) && s.no|s.given == 0 && s.disk == q.blank()
	}
	return true
}

// blank is a disk on which no message ever was.
func (q *search) blank() disk {
	return disk{windows: [maxOrigins]windowID{emptyWindow}}
}

// found writes down a violation and the way to it.
func (q *search) found(w wrong, who, m uint8, number uint32) {
	q.res.Violation = verdict(w, who, m)
	q.retrace(number)
}

// foundRound writes down steps that go on for ever, and the way to them.
func (q *search) foundRound(round []uint32) {
	q.res.Violation = "ENDLESS: without any fault the steps go on for ever."
	s := q.retrace(round[0])
	q.res.Round = len(q.res.Trace)
	for i := range round {
		next := round[(i+1)%len(round)]
		for _, e := range q.steps.from(&s) {
			if e.kind == ordinary && q.index[maphash.Comparable(q.seed, e.to)] == next {
				s = e.to
				q.res.Trace = append(q.res.Trace, q.sentence(e.what, &s))
				break
			}
		}
	}
}

// retrace writes down the way to a state, and returns it.
func (q *search) retrace(number uint32) state {
	var way []uint8
	for ; number != 0; number = q.from[number] {
		way = append(way, q.nth[number])
	}
	s := q.initial()
	for i := len(way) - 1; i >= 0; i-- {
		e := q.steps.from(&s)[way[i]]
		s = e.to
		q.res.Trace = append(q.res.Trace, q.sentence(e.what, &s))
	}
	return s
}

// endless returns a round of ordinary steps, without a fault among them, as
// the states that it passes, from the one that is reached first; nil if they
// lead to an end from everywhere.
func (q *search) endless() []uint32 {
	n := len(q.from)
	into := make([]uint32, n)
	start := make([]uint32, n+1) // of the steps of each state in edges, which are in the order of states
	for _, e := range q.edges {
		into[e[1]]++
		start[e[0]+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	var free []uint32
	for i := range into {
		if into[i] == 0 {
			free = append(free, uint32(i))
		}
	}
	left := n
	for len(free) > 0 {
		s := free[len(free)-1]
		free = free[:len(free)-1]
		left--
		for _, e := range q.edges[start[s]:start[s+1]] {
			if into[e[1]]--; into[e[1]] == 0 {
				free = append(free, e[1])
			}
		}
	}
	if left == 0 {
		return nil
	}
	return q.round(into)
}

// round returns a round among the states that something still leads into. One
// of them leads into each: so who goes back must come to where he was.
func (q *search) round(into []uint32) []uint32 {
	before := make(map[uint32]uint32)
	for _, e := range q.edges {
		if _, has := before[e[1]]; into[e[0]] > 0 && into[e[1]] > 0 && !has {
			before[e[1]] = e[0]
		}
	}
	s := uint32(0)
	for into[s] == 0 {
		s++
	}
	seen := make(map[uint32]bool)
	for ; !seen[s]; s = before[s] {
		seen[s] = true
	}
	round := []uint32{s}
	for b := before[s]; b != s; b = before[b] {
		round = append(round, b)
	}
	slices.Reverse(round)
	first := slices.Index(round, slices.Min(round))
	return append(round[first:len(round):len(round)], round[:first]...)
}
