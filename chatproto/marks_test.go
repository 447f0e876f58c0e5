package chatproto

import (
	"encoding/binary"
	"strings"
	"testing"
)

// TestMarks compares the arithmetic on words with a look at each octet, for
// every pair of neighbours in every place of a word.
func TestMarks(t *testing.T) {
	for _, lowest := range []uint64{lowestInText, lowestInValue} {
		plain := func(c int) bool { return c >= int(byte(lowest)) && c < 0x7f && c != '\\' }
		for a := range 256 {
			for b := range 256 {
				word := []byte("!~[]!~[]")
				for i := range 7 {
					word[i], word[i+1] = byte(a), byte(b)
					got := marks(binary.LittleEndian.Uint64(word), lowest)&every80 == 0
					if want := plain(a) && plain(b); got != want {
						t.Fatalf("%q is plain from %x on: %v, want %v", word, byte(lowest), got, want)
					}
					copy(word, "!~[]!~[]")
				}
			}
		}
	}
}

// TestIsPlain puts one octet that is not plain into every place of strings of
// every length up to some words: none is overlooked, none is read behind.
func TestIsPlain(t *testing.T) {
	for n := range 100 {
		s := strings.Repeat("x", n)
		if !isPlain(s, lowestInValue) {
			t.Errorf("%d plain octets are not plain", n)
		}
		for i := range n {
			for _, bad := range []string{"\x00", "\x1f", "\\", "\x7f", "\x80", "\xff", " "} {
				if isPlain(s[:i]+bad+s[i+1:], lowestInValue) {
					t.Errorf("%q at %d of %d is overlooked", bad, i, n)
				}
			}
			if !isPlain(s[:i]+" "+s[i+1:], lowestInText) {
				t.Errorf("a space at %d of %d is not plain in a text", i, n)
			}
		}
	}
}
