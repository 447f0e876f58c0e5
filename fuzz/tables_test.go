package fuzz

import (
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// consent is SPEC section 8 said again, as a person would: who has asked, who
// has been granted, and what is told.
func consent(s chatproto.ConsentState, e chatproto.ConsentEvent) (next chatproto.ConsentState, reply, notify chatproto.Code, why string) {
	granted, requested := s == chatproto.ConsentGranted, s == chatproto.ConsentRequested
	end := func(w string) {
		next = chatproto.ConsentNone
		if granted {
			notify, why = chatproto.RVKD, w
		}
	}
	next = s
	switch e {
	case chatproto.ConsentAsk:
		reply, notify = chatproto.ReplyAsked, chatproto.RQST
		if granted {
			notify = chatproto.GETA
		} else {
			next = chatproto.ConsentRequested
		}
	case chatproto.ConsentGrant:
		reply = chatproto.ReplyNotAsked
		if granted || requested {
			next, reply, notify = chatproto.ConsentGranted, chatproto.ReplyOK, chatproto.GETA
		}
	case chatproto.ConsentRevoke:
		reply = chatproto.ReplyOK
		end("revoked")
	case chatproto.ConsentBlock:
		end("blocked")
	case chatproto.ConsentExpire:
		end("expired")
	case chatproto.ConsentGone, chatproto.ConsentReplace, chatproto.ConsentRekey:
		end("gone")
	case chatproto.ConsentMove:
		if granted { // an address that is known no more; a request stays
			end("gone")
		}
	}
	return next, reply, notify, why
}

// FuzzConsent walks through the table.
func FuzzConsent(f *testing.F) {
	f.Add([]byte{0, 1, 2})
	f.Add([]byte{0, 1, 6, 0, 6, 1, 0, 5})
	f.Fuzz(func(t *testing.T, events []byte) {
		var state chatproto.ConsentState
		for _, b := range events {
			e := chatproto.ConsentEvent(b % byte(chatproto.ConsentRekey+1))
			r := state.Step(e)
			next, reply, notify, why := consent(state, e)
			want := chatproto.ConsentRule{State: state, Event: e, Next: next, Reply: reply, Notify: notify, Why: why}
			if r != want {
				t.Fatalf("%v in %v: %v, want %v", e, state, r, want)
			}
			state = r.Next
		}
	})
}

// FuzzWindow decides as the octets say, and compares with a map. An octet is
// a step from the highest number on, and its lowest bit the decision; from
// 128 on a step is a word or a window and a bit. start leads to the end of
// numbers, too.
func FuzzWindow(f *testing.F) {
	f.Add(uint64(0), []byte{3, 2, 129, 200, 255})
	f.Add(uint64(1<<64-300), []byte{255, 3, 3, 3})
	f.Add(uint64(1<<64-2), []byte{3})
	f.Fuzz(func(t *testing.T, start uint64, steps []byte) {
		var w chatproto.Window
		accepted, high := map[uint64]bool{}, uint64(0)
		decide := func(n uint64, accept bool) {
			w.Decide(n, accept)
			accepted[n], high = accept, n
		}
		if start > 0 {
			decide(start, true)
		}
		for _, b := range steps {
			n := uint64(b >> 1)
			if b >= 128 {
				n = (n - 63) * 8
			}
			if n == 0 || n > 1<<64-1-high {
				continue
			}
			decide(high+n, b&1 == 1)
			stored, _ := w.AppendBinary(nil)
			var back chatproto.Window
			if err := back.UnmarshalBinary(stored); err != nil || back != w || len(stored) != 40 {
				t.Fatalf("%x brings back %v, %v", stored, back, err)
			}
			for d := uint64(0); d <= min(high, 600); d++ {
				want := chatproto.Refused
				if d < 256 && accepted[high-d] {
					want = chatproto.Accepted
				}
				if got := w.Look(high - d); got != want {
					t.Fatalf("%d below %d: %v, want %v", d, high, got, want)
				}
			}
			if high < 1<<64-1 && w.Look(high+1) != chatproto.Undecided {
				t.Fatalf("%d is decided", high+1)
			}
		}
	})
}
