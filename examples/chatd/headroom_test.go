package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	const mega = 1 << 20
	for _, c := range []struct {
		base    uint64
		rate    float64
		percent int
	}{
		{10 * mega, 0, 100},
		{10 * mega, 25 * mega, 100},
		{10 * mega, 50 * mega, 200},
		{10 * mega, 150 * mega, 600},
		{10 * mega, 1000 * mega, 640}, // not more than 64 MiB
		{0, 100 * mega, 1000},         // Go takes nothing for 4 MiB
		{64 * mega, 1000 * mega, 100},
		{1 << 40, 1000 * mega, 100},
	} {
		if got := growth(c.base, c.rate); got != c.percent {
			t.Errorf("a heap of %d octets, %v allocated a second, grows by %d percent, want %d", c.base, c.rate, got, c.percent)
		}
	}
}

var garbage []byte // keeps allocations on the heap

// TestHeadroom: a small heap in busy times is collected rarely.
func TestHeadroom(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	giveHeadroom()
	collections := func(megabytes int) uint32 {
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		for range megabytes << 10 {
			garbage = make([]byte, 1<<10)
		}
		runtime.ReadMemStats(&is)
		return is.NumGC - was.NumGC
	}
	runtime.GC()
	collections(256) // until some of them have told
	begun := time.Now()
	n := collections(512)
	// A slow machine allocates slowly, which is no reason for headroom.
	most := 48 + 2*uint32(time.Since(begun)/collectEvery)
	if n < 1 || n > most { // without headroom it is twice as often
		t.Errorf("512 MiB of garbage were collected %d times, in %v", n, time.Since(begun))
	}
}
