package chatserver_test

import (
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatserver"
)

func TestCheckAccountName(t *testing.T) {
	for _, tt := range []struct {
		why, name string
		ok        bool
	}{
		{"one octet", "A", true},
		{"64 octets", strings.Repeat("n", 64), true},
		{"65 octets", strings.Repeat("n", 65), false},
		{"65 octets in 33 letters", strings.Repeat("ü", 32) + "n", false},
		{"empty, which PRECIS takes", "", false},
		{"digits and signs", "R2-D2_(x)!~=,", true},
		{"capitals stay", "Columbia", true},
		{"a space", "a b", false},
		{"a no-break space", "a\u00a0b", false},
		{"a line feed", "a\nb", false},
		{"a right-to-left override", "a\u202eb", false},
		{"a zero-width joiner", "a\u200db", false},
		{"no UTF-8", "a\xff", false},
		{"composed", "M\u00fcller", true},
		{"decomposed", "Mu\u0308ller", false},
		{"full width", "\uff21lice", false},
		{"a ligature", "\ufb01sh", false},
		{"an emoji", "cat\U0001F431", false},
		{"an unassigned code point", "a\u0378", false},
		{"the accent alone is of no script", "n\u0303\u0323", false}, // not composed in this order
		{"Greek", "Ελένη", true},
		{"Cyrillic", "Ольга", true},
		{"Cyrillic and digits", "Ольга-2", true},
		{"Hebrew", "אבג", true},
		{"Arabic with its digits", "عمر٢", true},
		{"Thai", "สมชาย", true},
		{"Latin with a Cyrillic a", "\u0430lice", false},
		{"Latin with a Greek o", "b\u03bfb", false},
		{"Cyrillic with a Greek letter", "Ольгα", false},
		{"Latin with a Cherokee letter", "\u13aalice", false},
		{"Latin with Arabic", "xعمر", false},
		{"Han, Hiragana and Katakana", "東京のカメラ", true},
		{"the same, with Latin", "東京のカメラABC1", true},
		{"Han and Hangul, with Latin", "金민수Kim", true},
		{"Han and Bopomofo, with Latin", "王ㄅAbc", true},
		{"Hangul with Hiragana", "민の", false},
		{"Han with Cyrillic", "東Ольга", false},
		{"the long vowel sign is shared", "カー", true},
	} {
		if err := chatserver.CheckAccountName(tt.name); (err == nil) != tt.ok {
			t.Errorf("%s: %q: %v, want ok=%v", tt.why, tt.name, err, tt.ok)
		}
	}
}
