package chatproto_test

import (
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

func TestParseUint(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "1": 1, "9": 9, "10": 10, "18446744073709551615": 1<<64 - 1, "18446744073709551609": 1<<64 - 7,
	} {
		if n, ok := ParseUint([]byte(s)); !ok || n != want {
			t.Errorf("%q: %d, %v", s, n, ok)
		}
	}
	for _, s := range []string{
		"", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "a", "1.", "１", // no sign, no space, ASCII only
		"18446744073709551616", "18446744073709551620", "28446744073709551615", "99999999999999999999", "100000000000000000000",
	} {
		if n, ok := ParseUint([]byte(s)); ok {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestFrameRange(t *testing.T) {
	for s, want := range map[string][2]uint64{
		"1": {1, 1}, "17-80": {17, 80}, "1-2": {1, 2}, "1-18446744073709551615": {1, 1<<64 - 1},
	} {
		if lo, hi, ok := NewFrame(ReplyAccepted, "", "n", s).Range("n"); !ok || lo != want[0] || hi != want[1] {
			t.Errorf("%q: %d, %d, %v", s, lo, hi, ok)
		}
	}
	for _, s := range []string{"", "0", "0-1", "2-2", "2-1", "-", "1-", "-1", "1-2-3", "1--2", "01-2", "1-02", "1,2", "1-18446744073709551616"} {
		if lo, hi, ok := NewFrame(ReplyAccepted, "", "n", s).Range("n"); ok {
			t.Errorf("%q: %d, %d", s, lo, hi)
		}
	}
	if lo, hi, ok := NewFrame(ReplyAccepted, "", "m", "1").Range("n"); !ok || lo != 0 || hi != 0 {
		t.Errorf("no field: %d, %d, %v", lo, hi, ok)
	}
	if _, ok := NewFrame(SEND, "").Uint("n"); ok {
		t.Error("a number that is not there")
	}
	if n, ok := NewFrame(SEND, "", "n", "4").Uint("n"); !ok || n != 4 {
		t.Error("a number that is there")
	}
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]ID{
		"1f2e.4": {0x1f2e, 4}, "ffffffffffffffff.18446744073709551615": {1<<64 - 1, 1<<64 - 1},
		"001f.4": {0x1f, 4}, // a leniency: leading zeros
	} {
		if id, ok := ParseID([]byte(s)); !ok || id != want {
			t.Errorf("%q: %v, %v", s, id, ok)
		}
	}
	if s := (ID{0x1f2e, 4}).String(); s != "1f2e.4" {
		t.Error(s)
	}
	for _, s := range []string{"", ".", "1f2e", "1f2e.", ".4", "0.4", "1.0", "1.04", "1F.4", "1.2.3", "1-2", "10000000000000000.1", "g.1", "1.18446744073709551616"} {
		if id, ok := ParseID([]byte(s)); ok {
			t.Errorf("%q: %v", s, id)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	for s, want := range map[string]uint64{"1": 1, "f": 15, "ffffffffffffffff": 1<<64 - 1, "0000000000000001": 1} {
		if o, ok := ParseOrigin([]byte(s)); !ok || o != want {
			t.Errorf("%q: %x, %v", s, o, ok)
		}
	}
	for _, s := range []string{"", "0", "0000000000000000", "00000000000000001", "F", "0x1", "g", " 1", "-1"} {
		if o, ok := ParseOrigin([]byte(s)); ok {
			t.Errorf("%q: %x", s, o)
		}
	}
}

func TestParseCode(t *testing.T) {
	for _, s := range []string{"SEND", "ZZZZ", "AAAA", "100", "599", "201"} {
		c, ok := ParseCode(s)
		if !ok || c.String() != s {
			t.Errorf("%q: %v, %v", s, c, ok)
		}
		if c.IsVerb() == c.IsReply() {
			t.Errorf("%q is a verb and a reply, or neither", s)
		}
	}
	for _, s := range []string{"", "S", "SEN", "SENDS", "send", "SEN1", "99", "099", "600", "1000", "20a", "2 0", "\x00200", "@AAA", "[AAA", "AAA@", "AAA["} {
		if c, ok := ParseCode(s); ok {
			t.Errorf("%q: %v", s, c)
		}
	}
	if ReplyBlocked.Class() != 5 || ReplyEntry.Class() != 1 || SEND.Class() != 0 || Code(0).Class() != 0 {
		t.Error("classes")
	}
	if Code(0).IsVerb() || Code(0).IsReply() || Code(0).String() != "none" {
		t.Error("the zero Code is no code")
	}
}

func TestNegotiate(t *testing.T) {
	v2 := *V1
	v2.Number = 2
	for _, c := range []struct {
		offered string
		have    []*Version
		want    int // 0: the error code
		code    Code
	}{
		{"1", []*Version{V1}, 1, 0},
		{"1,2", []*Version{V1}, 1, 0},
		{"2,1", []*Version{V1, &v2}, 2, 0},
		{"1,2", []*Version{&v2, V1}, 2, 0},
		{"1,1,1", []*Version{V1, &v2}, 1, 0},
		{"65535,1", []*Version{V1}, 1, 0},
		{"2", []*Version{V1}, 0, ReplyNoVersion},
		{"1", nil, 0, ReplyNoVersion},
		{"", []*Version{V1}, 0, ReplyBadField},
		{",1", []*Version{V1}, 0, ReplyBadField},
		{"1,", []*Version{V1}, 0, ReplyBadField},
		{"1,,2", []*Version{V1}, 0, ReplyBadField},
		{"1, 2", []*Version{V1}, 0, ReplyBadField},
		{"1,x", []*Version{V1}, 0, ReplyBadField},
		{"01", []*Version{V1}, 0, ReplyBadField},
		{"0", []*Version{V1}, 0, ReplyBadField},
		{"+1", []*Version{V1}, 0, ReplyBadField},
		{"-1", []*Version{V1}, 0, ReplyBadField},
		{"1_0", []*Version{V1}, 0, ReplyBadField},
		{"65536,18446744073709551615,1", []*Version{V1}, 1, 0},
		{"1,18446744073709551616", []*Version{V1}, 0, ReplyBadField},
	} {
		v, err := Negotiate(c.offered, c.have...)
		switch {
		case c.want != 0:
			if err != nil || v.Number != c.want {
				t.Errorf("%q: %v, %v; want %d", c.offered, v, err, c.want)
			}
		default:
			if bad, ok := err.(*Error); !ok || bad.Code != c.code || v != nil {
				t.Errorf("%q: %v, want %v", c.offered, err, c.code)
			}
		}
	}
}
