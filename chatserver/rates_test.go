package chatserver

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// manySources is the n-th of as many sources as there are IPv4 addresses.
func manySources(n int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

// A table of rates keeps so many sources at most, forgets those whose burst
// is whole again, and not one before.
func TestRatesTable(t *testing.T) {
	var r rates
	r.set(2, 10) // full in 5 s
	now := time.Unix(1_000_000_000, 0)
	for n := range 5 * maxRated {
		if wait := r.take(manySources(n), now); wait > 0 {
			t.Fatalf("source %d waits %v", n, wait)
		}
		if kept := len(r.young) + len(r.old); kept > 2*maxRated {
			t.Fatalf("%d sources are kept", kept)
		}
	}
	busy := manySources(1)
	spend := func(want int) {
		t.Helper()
		got := 0
		for r.take(busy, now) == 0 {
			got++
		}
		if got != want {
			t.Errorf("%d at once at %v, want %d", got, now, want)
		}
	}
	now = now.Add(time.Minute)
	spend(10)
	for range 40 { // the generations change while it stays in sight, and is not forgotten
		now = now.Add(500 * time.Millisecond)
		spend(1)
	}
	for range 3 { // or only looked at
		now = now.Add(1250 * time.Millisecond)
		if wait := r.empty(busy, now); wait > 0 {
			t.Errorf("it waits %v", wait)
		}
	}
	now = now.Add(1250*time.Millisecond - 1)
	spend(9)
	now = now.Add(5 * time.Second)
	spend(10)
	if now = now.Add(5 * time.Second); r.take(manySources(2), now) > 0 || len(r.young) != 1 {
		t.Errorf("%d sources are young", len(r.young))
	}
	if now = now.Add(5 * time.Second); r.take(manySources(2), now) > 0 || len(r.young)+len(r.old) != 1 {
		t.Errorf("%d and %d sources are kept when all are forgotten but one", len(r.young), len(r.old))
	}
	if now = now.Add(time.Hour); r.empty(busy, now) > 0 || len(r.young)+len(r.old) != 0 {
		t.Errorf("%d and %d sources are kept after an hour", len(r.young), len(r.old))
	}
}

// Without a rate nothing is counted or kept.
func TestRatesUnlimited(t *testing.T) {
	var r rates
	r.set(-1, -10)
	for range 100 {
		if r.take(manySources(1), time.Now()) > 0 || r.empty(manySources(1), time.Now()) > 0 || len(r.young) > 0 {
			t.Fatal("-1 is a limit")
		}
	}
}
