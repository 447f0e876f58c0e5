package fuzz

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/parleyproto/parley/chatclient"
)

// FuzzDisplay shows arbitrary octets on a screen: nothing passes that a
// terminal acts on, no line begins where another's would, no character
// carries a tower of marks, once is as good as twice, and the width is that of
// what is shown.
func FuzzDisplay(f *testing.F) {
	for _, s := range []string{
		"", "A: hello", "a\x1b[31mb\a\r\n\tc", "\u202eevil\u2066\u2069\u200f\u061c", "one\ntwo\n  three\u2028four", "\xff\xc0\xafa\u009b", "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301x",
		"👩\u200d👩\u200d👧 👍🏽 ❤\ufe0f\u200d🔥 🇩🇪 1\ufe0f\u20e3", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f\U000e0041", "क्\u200dष می\u200cخ a\u200db", "\u115f\u3164\ufeff\u00ad", "漢字ｶﾅ", "a\ufe0f\ufe0f\ufe0e",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := chatclient.Display(s)
		if !utf8.ValidString(got) {
			t.Errorf("%+q is no UTF-8", got)
		}
		marks := 0
		for i, r := range got {
			switch {
			case r == '\n':
				if !strings.HasPrefix(got[i+1:], "  ") {
					t.Errorf("a line of %+q is not indented", got)
				}
			case unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp):
				t.Errorf("%+q has %+q", got, r)
			}
			if !unicode.Is(unicode.M, r) {
				marks = 0
			} else if marks++; marks > 8 {
				t.Errorf("%+q has %d marks on a character", got, marks)
			}
		}
		if again := chatclient.Display(got); again != got {
			t.Errorf("%+q a second time is %+q", got, again)
		}
		if len(got) > 10*len(s) {
			t.Errorf("%d octets become %d", len(s), len(got))
		}
		if w := chatclient.DisplayWidth(s); w < 0 || w != chatclient.DisplayWidth(got) || w > 2*len(got) {
			t.Errorf("the width of %+q is %d", got, w)
		}
	})
}
