package main

import (
	"slices"
	"time"
)

// latencies are how long the same took, again and again.
type latencies []time.Duration

// at returns what a share q of them does not exceed, in microseconds.
func (l latencies) at(q float64) float64 {
	if len(l) == 0 {
		return 0
	}
	i := min(int(q*float64(len(l))), len(l)-1)
	return float64(l[i].Nanoseconds()) / 1e3
}

// sort must come before at.
func (l latencies) sort() { slices.Sort(l) }
