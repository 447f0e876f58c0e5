package chatproto

import "encoding/binary"

// WindowSize is how many request numbers a [Window] remembers, the highest
// one included.
const WindowSize = 256

// A Window is a server's memory of the requests of one origin that it
// decided: the highest number, and of the 256 numbers up to it which were
// accepted (SPEC section 6; the anti-replay window of RFC 6479). Its memory
// is constant, and decisions are final: a number at or below High is never
// decided again. The zero Window has decided nothing.
type Window struct {
	High uint64
	bits [WindowSize / 64]uint64 // of number n at n mod 256; 1 is accepted
}

// A Verdict says what a window knows of a number.
type Verdict uint8

// The verdicts of a window.
const (
	Undecided Verdict = iota // new: to be decided now
	Accepted                 // accepted before: a duplicate, not to be delivered again
	Refused                  // refused before, skipped, or too old to know
)

// Look returns what the window knows of n.
func (w *Window) Look(n uint64) Verdict {
	switch {
	case n > w.High:
		return Undecided
	case n == 0 || w.High-n >= WindowSize || w.bits[n/64%4]>>(n%64)&1 == 0:
		return Refused
	}
	return Accepted
}

// Decide writes a decision down. It panics if n was decided before: that
// would break the promise that every message is seen once.
func (w *Window) Decide(n uint64, accept bool) {
	if n <= w.High {
		panic("chatproto: a request is decided twice")
	}
	if n-w.High >= WindowSize {
		w.bits = [WindowSize / 64]uint64{}
	} else {
		for k := w.High; k < n; { // k never passes n, which may be the last number there is
			k++
			w.bits[k/64%4] &^= 1 << (k % 64)
		}
	}
	if accept {
		w.bits[n/64%4] |= 1 << (n % 64)
	}
	w.High = n
}

// At returns the window as it stood when n was the highest number decided: it
// knows nothing of what came later. What has fallen out of the window since
// then is refused in it: nobody sends that again who keeps the room of 256
// (SPEC section 6.2). For an n above High it is the window itself.
func (w Window) At(n uint64) Window {
	if n >= w.High {
		return w
	}
	at := Window{High: n}
	if w.High-n >= WindowSize {
		return at
	}
	at.bits = w.bits
	for k := n; k < w.High; { // those of later numbers stand in the places of the oldest
		k++
		at.bits[k/64%4] &^= 1 << (k % 64)
	}
	return at
}

// windowLen is the length of a window's stored form.
const windowLen = 8 + WindowSize/8

// AppendBinary appends the window's stored form, 40 octets: High and the bits
// as big-endian words.
func (w *Window) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, w.High)
	for _, word := range w.bits {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (w *Window) UnmarshalBinary(b []byte) error {
	if len(b) != windowLen {
		return &Error{Code: ReplyInternal, Text: "A stored window has the wrong length"}
	}
	w.High = binary.BigEndian.Uint64(b)
	for i := range w.bits {
		w.bits[i] = binary.BigEndian.Uint64(b[8+8*i:])
	}
	return nil
}
