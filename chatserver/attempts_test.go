package chatserver

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
)

// The table of failures is bounded: what is over goes first, then what was
// longest untouched (of some that are looked at); and so is what is to be written down of it, however long
// the store fails.
func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		key := func(i int) attemptKey { return attemptKey{fmt.Sprint("u", i), "s"} }
		for i := range maxFailures {
			a.fail(key(i), 3, time.Minute)
		}
		if n := len(a.failed); n != maxFailures {
			t.Errorf("%d entries at the limit", n) // two a failure: the source's, and that of all
		}
		time.Sleep(time.Second)
		for i := range 5000 {
			a.fail(key(maxFailures+i), 3, time.Minute)
		}
		if n := len(a.failed); n != maxFailures {
			t.Errorf("%d entries beyond the limit", n)
		}
		target := func(i int) attemptKey { return attemptKey{fmt.Sprint("target", i), "s"} }
		for i := range 500 {
			a.fail(target(i), 3, time.Minute)
		}
		for i := range 5000 {
			a.fail(key(-i), 3, time.Minute)
		}
		forgotten := 0
		for i := range 500 {
			if left := a.fail(target(i), 3, time.Minute); left != 1 {
				forgotten++
			}
		}
		if forgotten > 0 {
			t.Errorf("of 500 failures of just now %d are forgotten", forgotten)
		}
		time.Sleep(2 * time.Hour)
		a.fail(attemptKey{"another", "s"}, 3, time.Minute)
		if n := len(a.failed); n > maxFailures-30 {
			t.Errorf("what is over is kept: %d entries", n)
		}
		for i := range 3 * maxFailures {
			a.touch(key(i))
		}
		if n := len(a.dirty); n > 2*maxFailures {
			t.Errorf("%d entries to be written", n)
		}
	})
}

// What the store has comes back as it was; what is too old to matter does not,
// and is forgotten there. A clock that was wrong locks nobody out for long.
func TestAttemptsLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		at := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
		const day = 24 * time.Hour
		for _, tt := range []struct {
			why    string
			row    store.Attempt
			wait   time.Duration
			left   int // after one more failure
			forget bool
		}{
			{"nothing", store.Attempt{}, 0, 2, false},
			{"a failure", store.Attempt{Fails: 1, Last: at(-time.Minute)}, 0, 1, false},
			{"an hour ago", store.Attempt{Fails: 2, Last: at(-time.Hour)}, 0, 0, false},
			{"longer ago", store.Attempt{Fails: 2, Last: at(-time.Hour - time.Millisecond)}, 0, 2, true},
			{"locked", store.Attempt{Last: at(-time.Second), Until: at(59 * time.Second)}, 59 * time.Second, 2, false},
			{"locked, and over", store.Attempt{Last: at(-time.Minute), Until: at(0)}, 0, 2, true},
			{"locked until far too late", store.Attempt{Last: at(day), Until: at(day)}, time.Minute, 2, false},
			{"proven", store.Attempt{Proven: at(-day)}, 0, 2, false},
			{"proven long ago", store.Attempt{Proven: at(-90*day - time.Millisecond)}, 0, 2, true},
		} {
			var a attempts
			tt.row.User, tt.row.Source = "A", "s"
			key := attemptKey{"A", "s"}
			if tt.row.Last != 0 || tt.row.Proven != 0 {
				a.load([]store.Attempt{tt.row}, time.Minute)
			}
			rows := a.take()
			if forget := len(rows) == 1 && rows[0].Forget; forget != tt.forget || len(rows) > 1 {
				t.Errorf("%s: rows %+v", tt.why, rows)
			}
			if wait := a.wait(key, time.Minute); wait != tt.wait {
				t.Errorf("%s: waits for %v, want %v", tt.why, wait, tt.wait)
			}
			if left := a.fail(key, 3, time.Minute); left != tt.left {
				t.Errorf("%s: left=%d, want %d", tt.why, left, tt.left)
			}
			if known := a.knows(key); known != (tt.row.Proven != 0 && !tt.forget) {
				t.Errorf("%s: known %v", tt.why, known)
			}
		}
	})
}

// Rows that are on their way are not overtaken, and what changes meanwhile
// follows: once, whatever happened to it.
func TestAttemptsAreWrittenBehind(t *testing.T) {
	var a attempts
	key := attemptKey{"A", "s"}
	a.fail(key, 3, time.Minute)
	if rows := a.take(); len(rows) != 2 {
		t.Errorf("%+v", rows)
	}
	for range 5 {
		a.fail(key, 100, time.Minute)
	}
	if rows := a.take(); rows != nil {
		t.Errorf("rows overtake: %+v", rows)
	}
	a.saved()
	if rows := a.take(); len(rows) != 2 || rows[0].Fails != 6 || rows[1].Fails != 6 {
		t.Errorf("%+v", rows)
	}
	a.saved()
	a.succeed(key)
	if rows := a.take(); len(rows) != 1 || rows[0].Fails != 0 || rows[0].Proven == 0 || rows[0].Forget {
		t.Errorf("%+v", rows)
	}
	a.saved()
	a.succeed(key)
	if rows := a.take(); rows != nil {
		t.Errorf("a login like the last writes %+v", rows)
	}
	a.forget("A")
	for _, row := range a.take() {
		if !row.Forget {
			t.Errorf("%+v", row)
		}
	}
}

// What has no address is a source of its own, and an IPv6 /64 is one.
func TestAttemptSources(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "pipe": "local", "": "local",
	} {
		if got := newAttemptKey("A", source(memnet.Addr(addr))).source; got != want {
			t.Errorf("%q is %q, want %q", addr, got, want)
		}
	}
	if got := newAttemptKey("A", netip.Prefix{}); got.source == got.all().source {
		t.Error("no address is all addresses")
	}
}

// A connection keeps nothing of its login once it is in, and little before.
func TestLoginLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{Accounts: revAccounts}
		defer srv.Close()
		a, of := revConn(srv)
		revSay(a, "HELO v=1 acks=1 beat=30000 pres=0")
		c := of()
		if c.auth == nil || len(c.auth.hash) != 44 {
			t.Fatalf("%+v", c.auth)
		}
		revSay(a, "AUTH user=A pass=passA origin=a1")
		synctest.Wait()
		if c.sess == nil || c.auth != nil {
			t.Errorf("logged in %v, and it keeps %+v", c.sess != nil, c.auth)
		}
	})
}
