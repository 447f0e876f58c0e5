package main

import (
	"testing"
	"time"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"hello, wörld 你好 \U0001f44b": "hello, wörld 你好 \U0001f44b",
		"tab\tand\nline":             "tab\tand\nline",
		"\x1b[2J\a\r":                "^[[2J^G^M",
		"\x7f":                       "^?",
		"\u009b2J":                   `\u009b2J`,
		"\u202eevil\u2066":           `\u202eevil\u2066`,
		"\u2028":                     `\u2028`,
		"bad \xff\xc3":               `bad \xff\xc3`,
		"\ufffd":                     "\ufffd",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestStyleLine(t *testing.T) {
	noon := time.Now().Truncate(time.Second)
	old := time.Date(2020, 2, 3, 4, 5, 6, 0, time.Local)
	for _, tt := range []struct {
		style      style
		at         time.Time
		name, text string
		want       string
	}{
		{style{}, noon, "A", "A: hello!", "A: hello!"},
		{style{}, noon, "A", "A: one\nB: two", "A: one\n  B: two"},
		{style{times: true}, noon, "A", "A: hello!", noon.Format("15:04:05 ") + "A: hello!"},
		{style{times: true}, old, "A", "A: hello!", "2020-02-03 04:05:06 A: hello!"},
		{style{colour: true}, noon, "A", "A: hello!", colour("A") + "A\x1b[0m: hello!"},
		{style{colour: true}, noon, "", "You are blocked by A", "You are blocked by A"},
		{style{colour: true}, noon, "A", "28403 160.39.204.24 B", "28403 160.39.204.24 B"},
	} {
		if got := tt.style.line(tt.at, tt.name, tt.text); got != tt.want {
			t.Errorf("%+v.line(%q, %q) is %q, want %q", tt.style, tt.name, tt.text, got, tt.want)
		}
	}
}
