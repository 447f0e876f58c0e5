package chatproto_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// TestLine builds frames in every way that there is.
func TestLine(t *testing.T) {
	for _, c := range []struct {
		build func(l *Line) ([]byte, error)
		want  string
	}{
		{func(l *Line) ([]byte, error) { return l.End("") }, "SEND\r\n"},
		{func(l *Line) ([]byte, error) { return l.End("hi") }, "SEND :hi\r\n"},
		{func(l *Line) ([]byte, error) { return l.EndBytes([]byte("hi")) }, "SEND :hi\r\n"},
		{func(l *Line) ([]byte, error) { return l.EndBytes(nil) }, "SEND\r\n"},
		{func(l *Line) ([]byte, error) { l.Field("to", "a b"); return l.End("a b\n") }, `SEND to=a\sb :a b\n` + "\r\n"},
		{func(l *Line) ([]byte, error) { l.Bytes("to", []byte(`a\`)); return l.End(`a\`) }, `SEND to=a\\ :a\\` + "\r\n"},
		{func(l *Line) ([]byte, error) { l.Uint("n", 1<<64-1); l.Uint("m", 0); return l.End("") }, "SEND n=18446744073709551615 m=0\r\n"},
		{func(l *Line) ([]byte, error) {
			l.Run("a", 0, 0)
			l.Run("b", 7, 7)
			l.Run("c", 17, 80)
			return l.End("")
		}, "SEND b=7 c=17-80\r\n"},
		{func(l *Line) ([]byte, error) { l.Origin("o", 0xabc); l.ID("id", ID{0x1f2e, 4}); return l.End("") }, "SEND o=abc id=1f2e.4\r\n"},
		{func(l *Line) ([]byte, error) { return l.EndMessage("A", []byte("hello!")) }, "SEND :A: hello!\r\n"},
		{func(l *Line) ([]byte, error) { return l.EndMessage("A", nil) }, "SEND :A:\r\n"},
		{func(l *Line) ([]byte, error) { return l.EndMessage(`A\`, []byte("\t")) }, `SEND :A\\: \t` + "\r\n"},
	} {
		l := Begin([]byte("before"), SEND)
		got, err := c.build(&l)
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%q, %v; want %q", got, err, "before"+c.want)
		}
	}
}

// TestLineRefuses: what Parse would refuse is refused with the same cause, at
// the octet of the line, and nothing is left behind.
func TestLineRefuses(t *testing.T) {
	field := func(key, value string) func(l *Line) ([]byte, error) {
		return func(l *Line) ([]byte, error) { l.Field(key, value); return l.End("") }
	}
	end := func(s string) func(l *Line) ([]byte, error) {
		return func(l *Line) ([]byte, error) { return l.End(s) }
	}
	for _, c := range []struct {
		name  string
		build func(l *Line) ([]byte, error)
		at    int
		cause error
	}{
		{"no key", field("", "x"), 4, ErrKey},
		{"a capital", field("To", "x"), 4, ErrKey},
		{"a key of 17 octets", field("abcdefghijklmnopq", "x"), 4, ErrKey},
		{"an equals sign in a key", field("a=", "x"), 4, ErrKey},
		{"a key beyond ASCII", field("é", "x"), 4, ErrKey},
		{"a duplicate", func(l *Line) ([]byte, error) { l.Field("to", "B"); return field("to", "C")(l) }, 9, ErrDuplicateKey},
		{"a duplicate number", func(l *Line) ([]byte, error) {
			l.Uint("n", 1)
			l.Uint("no", 1)
			l.Run("n", 1, 2)
			return l.End("x")
		}, 13, ErrDuplicateKey},
		{"17 fields", func(l *Line) ([]byte, error) {
			for c := 'a'; c <= 'q'; c++ {
				l.Field(string(c), "")
			}
			return l.End("")
		}, 4 + 16*3, ErrManyFields},
		{"a control", field("a", "x\x00"), 8, ErrControl},
		{"a control behind an escape", field("a", " \x00"), 9, ErrControl},
		{"a CR", end("a\rb"), 7, ErrControl},
		{"DEL", end("\x7f"), 6, ErrControl},
		{"C1", end("\u0085"), 6, ErrControl},
		{"a line separator", end("\u2028"), 6, ErrControl},
		{"bidi", end("\u202e"), 6, ErrControl},
		{"bad UTF-8", end("é\xff"), 8, ErrUTF8},
		{"a surrogate", end("\xed\xa0\x80"), 6, ErrUTF8},
		{"a character cut off", end("\xe6\x97"), 6, ErrUTF8},
		{"a bad sender", func(l *Line) ([]byte, error) { return l.EndMessage("\x01", []byte("x")) }, 6, ErrControl},
		{"a bad text", func(l *Line) ([]byte, error) { return l.EndMessage("A", []byte("\x01")) }, 9, ErrControl},
		{"the first fault counts", func(l *Line) ([]byte, error) { l.Field("A", ""); l.Field("a", "\x00"); return l.End("\xff") }, 4, ErrKey},
		{"8,193 octets", end(strings.Repeat("x", 8185)), 8192, ErrFrameTooLong},
		{"8,193 octets by escapes", end(strings.Repeat("\n", 4093)), 8192, ErrFrameTooLong},
		{"a long value", field("a", strings.Repeat("x", 8184)), 8192, ErrFrameTooLong},
		{"a megabyte", end(strings.Repeat("\x00", 1<<20)), 8192, ErrFrameTooLong},
	} {
		l := Begin([]byte("before"), SEND)
		got, err := c.build(&l)
		var bad *Error
		if !errors.As(err, &bad) || bad.Code != ReplyBadFrame || bad.At != c.at || bad.Err != c.cause {
			t.Errorf("%s: %v, want %v at %d", c.name, err, c.cause, c.at)
		}
		if string(got) != "before" {
			t.Errorf("%s: left %d octets", c.name, len(got))
		}
	}
}

// TestLineLimits stands on the last octet that is allowed.
func TestLineLimits(t *testing.T) {
	for _, s := range []string{strings.Repeat("x", 8184), strings.Repeat("\n", 4092)} {
		l := Begin(nil, SEND)
		if b, err := l.End(s); err != nil || len(b) != 8192 {
			t.Errorf("%d octets, %v", len(b), err)
		}
	}
	l := Begin(nil, SEND)
	for c := 'a'; c <= 'p'; c++ {
		l.Field(string(c)+"bcdefghijklmnop", "")
	}
	if _, err := l.End("x"); err != nil {
		t.Error("16 fields with keys of 16 octets:", err)
	}
}

// A refused value costs no memory, however long it is.
func TestLineRefusesBeforeCopying(t *testing.T) {
	long, buf := strings.Repeat("x", 1<<20), make([]byte, 0, 64)
	l := Begin(buf, SEND)
	b, err := l.End(long)
	if !errors.Is(err, ErrFrameTooLong) || cap(b) > 64 {
		t.Errorf("a buffer of %d octets, %v", cap(b), err)
	}
}

// TestBadCodes: what no line can begin with cannot be sent.
func TestBadCodes(t *testing.T) {
	for _, c := range []Code{0, 1, 'S', 'S'<<24 | 'E'<<16 | 'N'<<8 | 'd', '2'<<24 | '0'<<16 | '0'<<8 | '0', '6'<<16 | '0'<<8 | '0', '2'<<16 | '0'<<8 | 'O', 1<<32 - 1} {
		l := Begin([]byte("before"), c)
		l.Uint("n", 1)
		if b, err := l.End("x"); string(b) != "before" || !errors.Is(err, ErrCode) {
			t.Errorf("Begin with %#x: %q, %v", uint32(c), b, err)
		}
		if b, err := AppendFrame([]byte("before"), NewFrame(c, "x")); string(b) != "before" || !errors.Is(err, ErrCode) {
			t.Errorf("AppendFrame with %#x: %q, %v", uint32(c), b, err)
		}
	}
}

// TestParseLimit: Parse keeps to the limit by itself, also without a Reader.
func TestParseLimit(t *testing.T) {
	var f Frame
	for n, want := range map[int]error{8189: nil, 8190: nil, 8191: ErrFrameTooLong, 1 << 20: ErrFrameTooLong} {
		line := bytes.Repeat([]byte("x"), n)
		copy(line, "SEND :")
		if err := Parse(&f, line); !errors.Is(err, want) {
			t.Errorf("%d octets: %v, want %v", n, err, want)
		}
	}
}

// failing is a stream that breaks after some writes.
type failing struct {
	good int
	got  bytes.Buffer
}

func (w *failing) Write(p []byte) (int, error) {
	if w.good--; w.good < 0 {
		return 0, errors.New("broken pipe")
	}
	return w.got.Write(p)
}

// TestWriter: many frames, one Write; a refused frame leaves nothing behind;
// the first error of the stream stays.
func TestWriter(t *testing.T) {
	out := &failing{good: 1}
	w := NewWriter(out)
	if err := w.Write(NewFrame(SEND, "hi", "to", "B")); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(NewFrame(SEND, "\x00")); !errors.Is(err, ErrControl) {
		t.Fatal(err)
	}
	if err := w.Write(NewFrame(LIVE, "")); err != nil {
		t.Fatal(err)
	}
	if out.got.Len() != 0 {
		t.Error("written before Flush")
	}
	for range 2 {
		if err := w.Flush(); err != nil || out.got.String() != "SEND to=B :hi\r\nLIVE\r\n" {
			t.Fatalf("%q, %v", out.got.String(), err)
		}
	}
	w.Write(NewFrame(LIVE, ""))
	for range 2 {
		if err := w.Flush(); err == nil || err.Error() != "broken pipe" {
			t.Fatal(err)
		}
	}
	if err := w.Write(NewFrame(LIVE, "")); err == nil {
		t.Error("a broken Writer took a frame")
	}
}

// An empty description is none, for whoever compares frames.
func TestParseEmptyDescription(t *testing.T) {
	var f Frame
	if err := Parse(&f, []byte("SEND :")); err != nil || f.Description != nil {
		t.Errorf("%v, %v", f.Description, err)
	}
}

func TestNewFrame(t *testing.T) {
	f := NewFrame(SEND, "hello!", "n", "4", "to")
	if got := show(f); got != `SEND n="4" to="" :"hello!"` {
		t.Error(got)
	}
	if v, ok := f.Get("to"); !ok || len(v) != 0 {
		t.Error("an empty value is a value")
	}
	if _, ok := f.Get("t"); ok || f.Value("t") != "" || f.Value("n") != "4" {
		t.Error("Get and Value")
	}
}
