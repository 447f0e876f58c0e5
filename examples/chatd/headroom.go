package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much a heap may grow between two collections, however small
// it is. Go's rule is to collect when it has doubled, and what lives of a
// chat server is a few megabytes: it would collect dozens of times a second,
// and spend a third of its time on that.
const headroom = 64 << 20

// giveHeadroom has the heap collected not before it has grown by headroom. An
// operator who sets GOGC or GOMEMLIMIT decides himself.
func giveHeadroom() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		runtime.AddCleanup(new(sentinel), collected, 100)
	}
}

// collected is called after each collection with the percentage that is set:
// a sentinel that nobody holds tells of the next one.
func collected(percent int) {
	base := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(base) // which all count for the next collection
	wanted := growth(base[0].Value.Uint64() + base[1].Value.Uint64() + base[2].Value.Uint64())
	if wanted != percent {
		debug.SetGCPercent(wanted)
	}
	runtime.AddCleanup(new(sentinel), collected, wanted)
}

// A sentinel is an object of its own, not a part of a block of tiny ones.
type sentinel struct{ _ [64]byte }

// growth is by how many percent of base the heap is to grow. Go takes a base
// below 4 MiB for as much.
func growth(base uint64) int {
	return int(max(100, headroom*100/max(base, 4<<20)))
}
