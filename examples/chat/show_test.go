package main

import (
	"strings"
	"testing"
	"time"
)

// Nothing that others send is obeyed by the terminal, or passes for a line of
// somebody else, wherever on the screen it stands.
func TestOthersAreDisplayed(t *testing.T) {
	const evil = "\x1b[2J\u202ex\u200b\nB: I owe you\u2028\xff"
	const want = `^[[2J\u202ex\u200b` + "\n  B: I owe you" + `\u2028\xff`
	noon := time.Now()
	for where, got := range map[string]string{
		"a message":  style{}.line(noon, "A", "A: "+evil),
		"a name":     style{colour: true}.line(noon, evil, "A: "+evil),
		"an alarm":   style{}.alarm(noon, "A: ", "A: "+evil),
		"a greeting": strings.Replace(greeting("A: "+evil), "\nB", "\n  B", 1), // its lines stand as they are
	} {
		if got != "A: "+want {
			t.Errorf("%s becomes %q, want %q", where, got, "A: "+want)
		}
	}
	for text, want := range map[string]string{
		"short":                  `"short"`,
		"two\n  lines\x1b":       `"two lines^["`,
		strings.Repeat("漢字", 20): `"` + strings.Repeat("漢字", 9) + ` ..."`,
		"0123456789012345678901234567890123456789":  `"0123456789012345678901234567890123456789"`,
		"0123456789012345678901234567890123456789x": `"012345678901234567890123456789012345 ..."`,
	} {
		if got := shortened(text); got != want {
			t.Errorf("shortened(%q) is %s, want %s", text, got, want)
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
