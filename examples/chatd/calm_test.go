package main

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory goes back once after many connections, when it is calm, and not too
// often.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		c := &calm{release: func() { released.Add(1) }}
		wants := func(when string, n int) {
			t.Helper()
			synctest.Wait()
			if got := int(released.Load()); got != n {
				t.Errorf("%s: memory went back %d times, want %d", when, got, n)
			}
		}
		stir := func(n int) {
			for range n {
				c.stir()
			}
		}
		stir(calmAfter - 1)
		time.Sleep(time.Hour)
		wants("after too few connections", 0)
		stir(1)
		time.Sleep(calmFor - 1)
		wants("a moment before it is calm", 0)
		stir(1)
		time.Sleep(calmFor - 1)
		wants("a moment before it is calm again", 0)
		time.Sleep(time.Nanosecond)
		wants("when it is calm", 1)
		time.Sleep(time.Hour)
		wants("when nothing more came", 1)

		stir(calmAfter)
		time.Sleep(calmFor)
		wants("when it is calm long after the last time", 2)
		stir(calmAfter)
		time.Sleep(calmEvery - 1)
		wants("soon after the last time", 2)
		time.Sleep(time.Nanosecond)
		wants("later", 3)
		stir(calmAfter)
		c.stop()
		stir(calmAfter)
		time.Sleep(time.Hour)
		wants("when it was stopped", 3)
	})
}
