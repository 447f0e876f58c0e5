package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		base    uint64
		percent int
	}{
		{0, 1600}, // which is headroom: Go takes nothing for 4 MiB
		{4 << 20, 1600},
		{16 << 20, 400},
		{64 << 20, 100},
		{1 << 30, 100},
	} {
		if got := growth(c.base); got != c.percent {
			t.Errorf("a heap of %d octets grows by %d percent, want %d", c.base, got, c.percent)
		}
	}
}

var garbage []byte // keeps allocations on the heap

// TestHeadroom: a small heap is collected rarely, and not less than it should.
func TestHeadroom(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	collections := func(megabytes int) uint32 {
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		for range megabytes << 10 {
			garbage = make([]byte, 1<<10)
		}
		runtime.ReadMemStats(&is)
		return is.NumGC - was.NumGC
	}
	without := collections(512)
	giveHeadroom()
	runtime.GC()
	collections(64) // until the first sentinel has told
	if with := collections(512); with < 2 || with > 16 || with > without/2 {
		t.Errorf("512 MiB of garbage were collected %d times, and %d times without headroom", with, without)
	}
}
