package sim

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Stats counts what happened, by name.
type Stats struct {
	mu sync.Mutex
	n  map[string]int
}

// Add counts.
func (s *Stats) Add(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = make(map[string]int)
	}
	s.n[what] += n
}

// Get returns a count.
func (s *Stats) Get(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n[what]
}

// Merge adds the counts of other.
func (s *Stats) Merge(other *Stats) {
	other.mu.Lock()
	counts := maps.Clone(other.n)
	other.mu.Unlock()
	for what, n := range counts {
		s.Add(what, n)
	}
}

// String lists the counts, one a line.
func (s *Stats) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(s.n)) {
		fmt.Fprintf(&b, "%9d %s\n", s.n[what], what)
	}
	return b.String()
}

// A Log is what happened in a run, one event a line.
type Log struct {
	start time.Time
	mu    sync.Mutex
	lines []string
}

func (l *Log) add(who, format string, args ...any) {
	at := time.Since(l.start)
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf("%16.9f %-6s %s", at.Seconds(), who, text))
}

// Lines returns the events.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// Hash names the run: two runs with one hash were the same. Events of one
// instant count as a set.
func (l *Log) Hash() uint64 {
	lines := l.Lines()
	slices.Sort(lines)
	h := fnv.New64a()
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return h.Sum64()
}

// About returns the events that name one of the words, and the last limit of
// those that are not about messages.
func (l *Log) About(limit int, words ...string) []string {
	lines := l.Lines()
	keep := make([]bool, len(lines))
	for i := len(lines) - 1; i >= 0; i-- {
		if line := lines[i]; len(line) > 17 && line[17] != 'u' && limit > 0 {
			keep[i] = true
			limit--
		}
		for _, w := range words {
			keep[i] = keep[i] || w != "" && strings.Contains(lines[i]+" ", " "+w+" ")
		}
	}
	var out []string
	for i, line := range lines {
		if keep[i] {
			out = append(out, line)
		}
	}
	return out
}
