package chatclient_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/parleyproto/parley/chatclient"
)

func ExampleDisplay() {
	fmt.Println(chatclient.Display("hi\x1b[2J\nB: a line that A did not get from B"))
	fmt.Println(chatclient.Display("invoice\u202egpj.exe"), chatclient.DisplayWidth("漢字"))
	// Output:
	// hi^[[2J
	//   B: a line that A did not get from B
	// invoice\u202egpj.exe 4
}

func TestDisplay(t *testing.T) {
	tests := []struct {
		name, in, want string
		width          int
	}{
		{"empty", "", "", 0},
		{"ASCII", "A: hello! \\n ~", "A: hello! \\n ~", 14},
		{"escape sequence", "\x1b]0;owned\a", "^[]0;owned^G", 12},
		{"carriage return", "you win\rA: lost", "you win^MA: lost", 16},
		{"delete", "a\x7fb", "a^?b", 4},
		{"C1", "\u009b31m\u0085", `\u009b31m\u0085`, 15},
		{"tab", "a\tb", "a    b", 6},
		{"new line", "one\ntwo longer\n", "one\n  two longer\n  ", 12},
		{"indented already", "one\n  two\n three\n\nfour", "one\n  two\n   three\n  \n  four", 8},
		{"separators", "a\u2028b\u2029c", `a\u2028b\u2029c`, 15},
		{"overrides", "\u202aa\u202eb\u202c", `\u202aa\u202eb\u202c`, 20},
		{"isolates", "\u2066a\u2069", `\u2066a\u2069`, 13},
		{"marks of direction", "\u200e\u200f\u061c", `\u200e\u200f\u061c`, 18},
		{"not UTF-8", "a\xff\xc0\xafb", `a\xff\xc0\xafb`, 14},
		{"noncharacter", "\ufffe", `\ufffe`, 6},
		{"German, Greek, Russian", "Grüße, Γειά, Привет", "Grüße, Γειά, Привет", 19},
		{"decomposed", "e\u0301te\u0301", "e\u0301te\u0301", 3},
		{"Hebrew with points", "שָׁלוֹם", "שָׁלוֹם", 4},
		{"Arabic", "السلام عليكم", "السلام عليكم", 12},
		{"Persian, which needs a non-joiner", "می\u200cخواهم", "می\u200cخواهم", 7},
		{"Hindi", "क्\u200dष नमस्ते", "क्\u200dष नमस्ते", 7},
		{"Thai", "สวัสดี", "สวัสดี", 4},
		{"Chinese, Japanese, Korean", "漢字かな한글", "漢字かな한글", 12},
		{"full and half width", "Ａｱ", "Ａｱ", 3},
		{"emoji", "😀👍🏽", "😀👍🏽", 4},
		{"family", "👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧", 2},
		{"heart on fire", "❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥", 2},
		{"head that shakes", "🙂\u200d↔\ufe0f", "🙂\u200d↔\ufe0f", 2},
		{"flag", "🇩🇪", "🇩🇪", 2},
		{"flag of Scotland", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", 2},
		{"keycap", "1\ufe0f\u20e3", "1\ufe0f\u20e3", 1},
		{"hidden text in tags", "hi\U000e0068\U000e0069", `hi\U000e0068\U000e0069`, 22},
		{"hidden text behind a flag", "🏴\U000e0067\U000e007f", "🏴" + `\U000e0067\U000e007f`, 22},
		{"hidden text in selectors", "a\ufe01\ufe02\ufe03", "a\ufe01" + `\ufe02` + "\ufe03", 7},
		{"zero-width space", "pay\u200bpal", `pay\u200bpal`, 12},
		{"joiner without purpose", "pay\u200dpal\u200d", `pay\u200dpal\u200d`, 18},
		{"two joiners", "👩\u200d\u200d👧", "👩" + `\u200d\u200d` + "👧", 16},
		{"joiner before what is no UTF-8", "👩\u200d\xa9", "👩" + `\u200d\xa9`, 12},
		{"soft hyphen, BOM, word joiner", "a\u00ad\ufeff\u2060", `a\u00ad\ufeff\u2060`, 19},
		{"blank letters", "\u3164\uffa0\u115f", `\u3164\uffa0\u115f`, 18},
		{"sign of a number", "\u0600١", "\u0600١", 2},
		{"eight marks", "a" + strings.Repeat("\u0301", 8), "a" + strings.Repeat("\u0301", 8), 1},
		{"nine marks", "a" + strings.Repeat("\u0301", 9) + "b", "a" + strings.Repeat("\u0301", 8) + "\ufffdb", 3},
		{"a flood of marks", "a" + strings.Repeat("\u0301\u0489", 500) + "b", "a" + strings.Repeat("\u0301\u0489", 4) + "\ufffdb", 3},
		{"marks without a character", strings.Repeat("\u0301", 100), strings.Repeat("\u0301", 8) + "\ufffd", 1},
	}
	for _, test := range tests {
		got := chatclient.Display(test.in)
		if got != test.want {
			t.Errorf("%s: Display(%+q) is %+q, want %+q", test.name, test.in, got, test.want)
		}
		if again := chatclient.Display(got); again != got {
			t.Errorf("%s: a second time it is %+q", test.name, again)
		}
		if w := chatclient.DisplayWidth(test.in); w != test.width {
			t.Errorf("%s: DisplayWidth(%+q) is %d, want %d", test.name, test.in, w, test.width)
		}
	}
}

// What a terminal may act on never passes, once is as good as twice, and what
// can be read stays as it is.
func TestDisplayProperties(t *testing.T) {
	odd := []rune("a  é漢\n\t\r\x1b\x7f\u0085\u009b\u061c\u200b\u200c\u200d\u200e\u2028\u202e\u2060\u2069\u0301\u0489\u0600\ufe0f\ufe0e\u094d\u0915\u0627\u2194\u115f\ufeff\ufffd👩👧🏽🏴❤" +
		"\U000e0001\U000e0067\U000e0062\U000e0073\U000e007f\U000e0101\U0001fae9\ufdd0")
	text := rapid.OneOf(rapid.StringOf(rapid.SampledFrom(odd)), rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		got := chatclient.Display(s)
		for i, r := range got {
			if r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || unicode.In(r, unicode.Zl, unicode.Zp)) {
				t.Fatalf("%+q at octet %d", got, i)
			}
		}
		if strings.Contains(strings.ReplaceAll(got, "\n  ", ""), "\n") {
			t.Fatalf("a line of %+q is not indented", got)
		}
		if again := chatclient.Display(got); again != got {
			t.Fatalf("%+q a second time is %+q", got, again)
		}
		if w := chatclient.DisplayWidth(s); w < 0 || w != chatclient.DisplayWidth(got) {
			t.Fatalf("the width of %+q is %d, that of %+q %d", s, w, got, chatclient.DisplayWidth(got))
		}
	})
	readable := rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P, unicode.S, unicode.Zs).Filter(func(r rune) bool {
		return !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
	}))
	rapid.Check(t, func(t *rapid.T) {
		if s := readable.Draw(t, "text"); chatclient.Display(s) != s {
			t.Fatalf("%+q becomes %+q", s, chatclient.Display(s))
		}
	})
}
