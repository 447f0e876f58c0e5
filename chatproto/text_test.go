package chatproto_test

import (
	"errors"
	"strings"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// TestCheckText: the limit counts the encoded text; before it, what has no
// place on the wire is refused by its octet in the text.
func TestCheckText(t *testing.T) {
	x := strings.Repeat
	for _, c := range []struct {
		name, text string
		code       Code // 0: it can be sent
		at         int
		cause      error
	}{
		{"nothing", "", 0, 0, nil},
		{"words, a line feed, a tab and a backslash", "one two\n\t\\", 0, 0, nil},
		{"7,167 octets", x("x", 7167), 0, 0, nil},
		{"7,168 octets, the limit", x("x", 7168), 0, 0, nil},
		{"7,169 octets", x("x", 7169), ReplyTooLong, 7168, ErrTextTooLong},
		{"7,168 octets by escapes", x("\n", 3584), 0, 0, nil},
		{"7,169 octets by escapes", x("\n", 3584) + "x", ReplyTooLong, 7168, ErrTextTooLong},
		{"7,168 octets of long characters", x("é", 3584), 0, 0, nil},
		{"7,169 octets of long characters", x("é", 3584) + "x", ReplyTooLong, 7168, ErrTextTooLong},
		{"a control", "a\x1b", ReplyBadFrame, 1, ErrControl},
		{"a CR", "a\r\n", ReplyBadFrame, 1, ErrControl},
		{"the octet is that of the text, not of its encoding", "\n\n\x00", ReplyBadFrame, 2, ErrControl},
		{"bidi", "é\u202e", ReplyBadFrame, 2, ErrControl},
		{"bad UTF-8", "é\xc3", ReplyBadFrame, 2, ErrUTF8},
		{"what is much too long is not looked at", x("\x00", 1<<20), ReplyTooLong, 7168, ErrTextTooLong},
	} {
		err := CheckText(c.text)
		if c.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if n := EncodedLen(c.text); n > 7168 {
				t.Errorf("%s: EncodedLen is %d", c.name, n)
			}
			continue
		}
		var bad *Error
		if !errors.As(err, &bad) || bad.Code != c.code || bad.At != c.at || bad.Err != c.cause {
			t.Errorf("%s: %v, want %v %v at %d", c.name, err, c.code, c.cause, c.at)
		}
	}
}

// A text that may be sent makes a MESG that may be sent, whatever the name of
// its sender: the limit on texts is there for this.
func TestEveryTextFitsItsDelivery(t *testing.T) {
	name := strings.Repeat(`\`, 64) // the longest that a name can become
	if err := CheckName(name); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{strings.Repeat("x", 7168), strings.Repeat("\n", 3584)} {
		if err := CheckText(text); err != nil {
			t.Fatal(err)
		}
		l := Begin(nil, MESG)
		l.Field("from", name)
		l.ID("id", ID{1<<64 - 1, 1<<64 - 1})
		l.Uint("t", 1<<64-1)
		b, err := l.EndMessage(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var f Frame
		if err := Parse(&f, b[:len(b)-2]); err != nil {
			t.Fatal(err)
		}
		if got, ok := MessageText(name, f.Description); !ok || string(got) != text {
			t.Errorf("%d octets came back of %d", len(got), len(text))
		}
	}
}

func TestMessageText(t *testing.T) {
	for _, c := range []struct {
		from, description, text string
		ok                      bool
	}{
		{"A", "A: hello!", "hello!", true},
		{"A", "A:", "", true},
		{"A", "A:  two spaces", " two spaces", true},
		{"A", "A: A: nested", "A: nested", true},
		{"a:b", "a:b: x", "x", true},
		{"A", "A: ", "", false}, // AppendMessage writes no space before nothing
		{"A", "A:x", "", false},
		{"A", "A", "", false},
		{"A", "", "", false},
		{"A", "B: x", "", false},
		{"A", "AA: x", "", false},
	} {
		text, ok := MessageText(c.from, []byte(c.description))
		if ok != c.ok || string(text) != c.text {
			t.Errorf("%q of %q: %q, %v", c.description, c.from, text, ok)
		}
		if c.ok && string(AppendMessage([]byte("x"), c.from, []byte(c.text))) != "x"+c.description {
			t.Errorf("%q of %q does not come back", c.text, c.from)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"A", "columbia", "not_a_user", "O'Brien", `back\slash`, "日本", "é", "a:b", "-", strings.Repeat("x", 64), strings.Repeat("é", 32),
	} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := CheckName([]byte(name)); err != nil {
			t.Errorf("%q as octets: %v", name, err)
		}
	}
	for name, at := range map[string]int{
		"": 0, strings.Repeat("x", 65): 0, strings.Repeat("é", 32) + "x": 0,
		"a b": 1, "a\u00a0b": 1, "a\u3000": 1, "a\tb": 1, "a\n": 1, "\x00": 0, "a\x7f": 1, "\u0085": 0,
		"a\u200b": 1, "a\u200d": 1, "\ufeffa": 0, "a\u00ad": 1, "é\u202e": 2, "a\u2028": 1, "a\u2066": 1,
		"a\xff": 1, "a\ufffd": 1,
	} {
		var bad *Error
		if err := CheckName(name); !errors.As(err, &bad) || bad.Code != ReplyBadField || bad.At != at {
			t.Errorf("%q: %v at %d, want 501 at %d", name, err, bad.At, at)
		}
	}
}
