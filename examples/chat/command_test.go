package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	type want struct{ Name, User, Text string } // Name "" is an invalid command
	for _, tt := range []struct {
		line string
		want want
	}{
		{"message B hello!", want{"message", "B", "hello!"}},
		{"message B", want{"message", "B", ""}},
		{"message B ", want{"message", "B", ""}},
		{"message B  two spaces ", want{"message", "B", " two spaces "}},
		{"message B //home", want{"message", "B", "//home"}},
		{"message", want{}},
		{"message ", want{}},
		{"message  B", want{}},
		{"/message B hello!", want{"message", "B", "hello!"}},
		{"//message B hello!", want{}},
		{"MESSAGE B hello!", want{}},
		{" message B hello!", want{}},
		{"broadcast", want{"broadcast", "", ""}},
		{"broadcast psa", want{"broadcast", "", "psa"}},
		{"broadcast  check 1 2 3", want{"broadcast", "", " check 1 2 3"}},
		{"broadcasting", want{}},
		{"online", want{"online", "", ""}},
		{"online ", want{"online", "", ""}},
		{"online now", want{}},
		{"block B", want{"block", "B", ""}},
		{"block B ", want{"block", "B", ""}},
		{"block", want{}},
		{"block B C", want{}},
		{"unblock B", want{"unblock", "B", ""}},
		{"getaddress", want{}},
		{"getaddress B", want{"getaddress", "B", ""}},
		{"consent A", want{"consent", "A", ""}},
		{"consent", want{}},
		{"revoke A", want{"revoke", "A", ""}},
		{"private B p2p message", want{"private", "B", "p2p message"}},
		{"private B", want{"private", "B", ""}},
		{"private", want{}},
		{"verify B", want{"verify", "B", ""}},
		{"verify", want{}},
		{"accept B", want{"accept", "B", ""}},
		{"logout", want{"logout", "", ""}},
		{"logout now", want{}},
		{"/help", want{"help", "", ""}},
		{"help", want{"help", "", ""}},
		{"no such command", want{}},
	} {
		c, in := parse(tt.line)
		var got want
		if c != nil {
			got = want{c.name, in.user, in.text}
		}
		if got != tt.want {
			t.Errorf("parse(%q): %s", tt.line, cmp.Diff(tt.want, got))
		}
		if in.line != tt.line {
			t.Errorf("parse(%q) keeps the line as %q", tt.line, in.line)
		}
	}
}

func TestComplete(t *testing.T) {
	users := []string{"B", "columbia", "consul"}
	for _, tt := range []struct {
		before string
		want   string
	}{
		{"", "message broadcast online block unblock getaddress consent revoke private verify accept logout help"},
		{"b", "broadcast block"},
		{"/h", "/help"},
		{"message ", "B columbia consul"},
		{"message co", "columbia consul"},
		{"/private col", "columbia"},
		{"message B co", ""},
		{"broadcast co", ""},
		{"online ", ""},
		{"nothing ", ""},
	} {
		if got := strings.Join(complete(tt.before, users), " "); got != tt.want {
			t.Errorf("complete(%q) is %q, want %q", tt.before, got, tt.want)
		}
	}
}

// Every command is in the help, on a line of its own that fits a terminal.
func TestHelp(t *testing.T) {
	lines := strings.Split(helpText(), "\n")
	if len(lines) != len(commands()) {
		t.Fatalf("%d lines for %d commands", len(lines), len(commands()))
	}
	for i, c := range commands() {
		if !strings.HasPrefix(lines[i], c.name+" ") || len(lines[i]) > 79 {
			t.Errorf("line %d is %q, want one on %s of 79 octets at most", i, lines[i], c.name)
		}
	}
}
