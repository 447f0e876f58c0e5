package main

import (
	"context"
	"strings"
)

// A command is one row of what can be typed.
type command struct {
	name string
	args string // what follows the name: "", "USER", "TEXT" or "USER TEXT"
	help string
	run  func(ctx context.Context, s *session, in input) error
}

// An input is a line that was typed, taken apart.
type input struct {
	line string // as typed
	user string
	text string // everything after the one space that follows the name
}

// commands returns all commands, in the order of /help. It is a function
// because /help is one of them.
func commands() []command {
	return []command{
		{"message", "USER TEXT", "send a message; who is away gets it at the next login", runMessage},
		{"broadcast", "TEXT", "send a message to everybody online", runBroadcast},
		{"online", "", "list who is online", runOnline},
		{"block", "USER", "refuse what this user sends, and hide from them", runBlock},
		{"unblock", "USER", "take that back", runUnblock},
		{"getaddress", "USER", "ask this user for their address, for a private chat", runGetAddress},
		{"consent", "USER", "give your address to this user, who asked for it", runConsent},
		{"revoke", "USER", "take your consent back", runRevoke},
		{"private", "USER TEXT", "send a message directly, not through the server", runPrivate},
		{"verify", "USER", "show the number that tells if somebody is in between", runVerify},
		{"accept", "USER", "accept this user's new key, after comparing numbers", runAccept},
		{"logout", "", "log out and end (so do ^C and the end of input)", nil},
		{"help", "", "show this list", runHelp},
	}
}

// parse takes a line apart. It returns nil if the line is no command, or not
// a whole one. A slash before the name of a command changes nothing, for those
// who are used to it.
func parse(line string) (*command, input) {
	in := input{line: line}
	name, rest, spaced := strings.Cut(strings.TrimPrefix(line, "/"), " ")
	all := commands()
	for i := range all {
		c := &all[i]
		if c.name == name && in.take(c.args, rest, spaced) {
			return c, in
		}
	}
	return nil, in
}

// take fills in what follows the name of a command, and reports whether that
// is what the command wants.
func (in *input) take(args, rest string, spaced bool) bool {
	switch args {
	case "TEXT":
		in.text = rest
		return true
	case "USER TEXT":
		in.user, in.text, _ = strings.Cut(rest, " ")
		return in.user != ""
	case "USER":
		in.user = strings.TrimRight(rest, " ")
		return in.user != "" && !strings.Contains(in.user, " ")
	}
	return strings.TrimSpace(rest) == ""
}

// isLogout reports whether a line ends the session, so that no prompt needs to
// follow it.
func isLogout(line string) bool {
	c, _ := parse(line)
	return c != nil && c.run == nil
}

// helpText is what /help shows.
func helpText() string {
	var b strings.Builder
	for i, c := range commands() {
		if i > 0 {
			b.WriteByte('\n')
		}
		head := c.name
		if c.args != "" {
			head += " " + c.args
		}
		b.WriteString(head + strings.Repeat(" ", 21-len(head)) + c.help)
	}
	return b.String()
}

// complete returns what the word before the cursor can become: a command, or
// the name of a user where a command wants one.
func complete(before string, users []string) []string {
	slash := ""
	if strings.HasPrefix(before, "/") {
		slash, before = "/", before[1:]
	}
	name, rest, spaced := strings.Cut(before, " ")
	var found []string
	for _, c := range commands() {
		switch {
		case !spaced && strings.HasPrefix(c.name, name):
			found = append(found, slash+c.name)
		case spaced && c.name == name && strings.HasPrefix(c.args, "USER") && !strings.Contains(rest, " "):
			for _, u := range users {
				if strings.HasPrefix(u, rest) {
					found = append(found, u)
				}
			}
		}
	}
	return found
}
