package chatproto_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	. "github.com/parleyproto/parley/chatproto"
)

// naive is a window without bounds, obviously right: a map of what was
// accepted, and the rule that says what is too old to know.
type naive struct {
	high     uint64
	accepted map[uint64]bool
}

func (w *naive) look(n uint64) Verdict {
	switch {
	case n > w.high:
		return Undecided
	case w.accepted[n] && w.high-n < WindowSize:
		return Accepted
	}
	return Refused
}

func (w *naive) decide(n uint64, accept bool) {
	w.high = n
	if accept {
		w.accepted[n] = true
	}
}

// TestWindowModel decides at random, with steps around the sizes of words and
// of the window, and compares with the naive window after each.
func TestWindowModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		model := naive{accepted: map[uint64]bool{}}
		if rapid.Bool().Draw(t, "near the end of numbers") {
			w.Decide(1<<64-1500, true)
			model.decide(1<<64-1500, true)
		}
		step := rapid.OneOf(rapid.Uint64Range(1, 3), rapid.SampledFrom([]uint64{1, 63, 64, 65, 127, 128, 255, 256, 257, 300}))
		for range rapid.IntRange(1, 40).Draw(t, "decisions") {
			s := step.Draw(t, "step")
			if model.high > 1<<64-1-s {
				break
			}
			n, accept := model.high+s, rapid.Bool().Draw(t, "accept")
			w.Decide(n, accept)
			model.decide(n, accept)
			b, _ := w.AppendBinary(nil)
			var back Window
			if err := back.UnmarshalBinary(b); err != nil || back != w {
				t.Fatalf("the stored form brings back %v, %v", back, err)
			}
			for d := uint64(0); d < 600 && d <= n; d++ {
				if got, want := w.Look(n-d), model.look(n-d); got != want {
					t.Fatalf("%d below the highest: %v, want %v", d, got, want)
				}
			}
			for _, above := range []uint64{n + 1, n + 256, 1<<64 - 1} {
				if above > n && w.Look(above) != Undecided {
					t.Fatalf("%d above %d is decided", above, n)
				}
			}
		}
	})
}

// TestWindowEdges stands at the places where the window begins and ends.
func TestWindowEdges(t *testing.T) {
	var w Window
	check := func(n uint64, want Verdict) {
		t.Helper()
		if got := w.Look(n); got != want {
			t.Errorf("%d with the highest at %d: %v, want %v", n, w.High, got, want)
		}
	}
	check(0, Refused) // no request has the number 0
	check(1, Undecided)
	w.Decide(1, true)
	check(1, Accepted)
	check(0, Refused)
	w.Decide(256, true)
	check(1, Accepted) // 255 below
	check(2, Refused)  // skipped
	w.Decide(257, false)
	check(1, Refused) // too old to know, by one
	check(256, Accepted)
	check(257, Refused)
	w.Decide(512, true)
	check(257, Refused)
	check(256, Refused)
	w.Decide(1<<64-3, true)
	w.Decide(1<<64-1, true) // there is no number behind it to count up to
	check(1<<64-1, Accepted)
	check(1<<64-2, Refused)
	check(1<<64-3, Accepted)
	check(512, Refused)
}

// TestWindowDecidesOnce: to decide again what is decided is a fault of the
// program, and no request has the number 0.
func TestWindowDecidesOnce(t *testing.T) {
	for _, n := range []uint64{0, 1, 5} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d was decided again", n)
				}
			}()
			w := Window{High: 5}
			w.Decide(n, true)
		}()
	}
}

// TestWindowBinary fixes the stored form: it outlives the program.
func TestWindowBinary(t *testing.T) {
	var w Window
	for n := range uint64(4) {
		w.Decide(0x101+64*n, n != 1)
	}
	b, err := w.AppendBinary([]byte("before"))
	want := append([]byte("before"), 0, 0, 0, 0, 0, 0, 1, 0xc1)
	for _, bit := range []byte{2, 0, 2, 2} { // 0x101 mod 256 is 1: bit 1 of the first word
		want = append(want, 0, 0, 0, 0, 0, 0, 0, bit)
	}
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("%x, %v; want %x", b, err, want)
	}
	for _, n := range []int{0, 39, 41} {
		if err := w.UnmarshalBinary(make([]byte, n)); err == nil {
			t.Errorf("%d octets were taken", n)
		}
	}
	damaged := append([]byte{0, 0, 0, 0, 0, 0, 0, 5}, bytes.Repeat([]byte{0xff}, 32)...)
	var d Window
	if err := d.UnmarshalBinary(damaged); err != nil || d.Look(0) != Refused {
		t.Error("a stored form made the number 0 one that was accepted")
	}
	if w.High != 0x1c1 {
		t.Error("a refused form changed the window")
	}
}

// TestWindowAt: a window as it stood when a number was the highest is the
// window that had not decided anything beyond, but for what has fallen out.
func TestWindowAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		var at []Window
		for range rapid.IntRange(1, 60).Draw(t, "decisions") {
			w.Decide(w.High+rapid.Uint64Range(1, 40).Draw(t, "step"), rapid.Bool().Draw(t, "accept"))
			at = append(at, w)
		}
		for _, want := range at {
			got := w.At(want.High)
			if got.High != want.High {
				t.Fatalf("High is %d, want %d", got.High, want.High)
			}
			for n := uint64(0); n <= want.High+2; n++ {
				look := want.Look(n)
				if n+WindowSize <= w.High && n <= want.High {
					look = Refused // fallen out since
				}
				if got.Look(n) != look {
					t.Fatalf("of %d, at %d of %d, it says %v, want %v", n, want.High, w.High, got.Look(n), look)
				}
			}
		}
		if w.At(w.High+1) != w {
			t.Fatal("a window changes at a number above its highest")
		}
	})
}
