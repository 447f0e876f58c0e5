package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Go collects a heap when it has doubled. What lives of a chat server is a few
// megabytes: in busy times that is dozens of collections a second, and a third
// of what the processor does. So the heap has headroom: it may grow by what is
// allocated in collectEvery, but not by more than maxHeadroom.
const (
	collectEvery = 400 * time.Millisecond
	maxHeadroom  = 64 << 20
)

// A collection is what is known when one has ended.
type collection struct {
	at      time.Time
	allocs  uint64 // octets allocated until then
	percent int    // by how many the heap grows until the next
}

// giveHeadroom has the heap collected less often than Go would in busy times.
// An operator who sets GOGC or GOMEMLIMIT decides himself.
func giveHeadroom() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		runtime.AddCleanup(new(sentinel), collected, collection{time.Now(), 0, 100})
	}
}

// A sentinel is held by nobody: its cleanup tells of the next collection. It is
// an object of its own, not a part of a block of tiny ones.
type sentinel struct{ _ [64]byte }

// collected is called after each collection.
func collected(last collection) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(samples)
	size := func(i int) uint64 { return samples[i].Value.Uint64() }
	now := collection{at: time.Now(), allocs: size(0)}
	rate := float64(now.allocs-last.allocs) / max(now.at.Sub(last.at), time.Millisecond).Seconds()
	now.percent = growth(size(1)+size(2)+size(3), rate)
	if now.percent != last.percent {
		debug.SetGCPercent(now.percent)
	}
	runtime.AddCleanup(new(sentinel), collected, now)
}

// growth is by how many percent of base, which counts for the next collection,
// the heap is to grow when so many octets are allocated a second. Go takes a
// base below 4 MiB for as much.
func growth(base uint64, rate float64) int {
	headroom := min(rate*collectEvery.Seconds(), maxHeadroom)
	return max(100, int(headroom*100/float64(max(base, 4<<20))))
}
