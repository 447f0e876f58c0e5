//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMission plays the sessions in testdata/mission on the real programs,
// through pipes and on terminals. A line of a script is
//
//	A> what A types
//	A< the next line on A's screen; {port} and {seconds} stand for a number
//	A: start       A's client is started
//	A: login       the same, and logs in as the user A
//	A: ^C          A presses it
//	A: end         A's input ends
//	A: exits N     A's client ends with this status, and nothing more on the screen
//
// Nothing may be on a screen that no line of the script expects.
func TestMission(t *testing.T) {
	scripts, err := filepath.Glob("testdata/mission/*.txt")
	if err != nil || len(scripts) < 7 {
		t.Fatalf("found the scripts %q, %v", scripts, err)
	}
	for _, script := range scripts {
		b, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(script), ".txt")
		t.Run(name+"/pipes", func(t *testing.T) { play(t, string(b), pipes) })
		t.Run(name+"/terminals", func(t *testing.T) { play(t, string(b), terminals) })
	}
}

// play plays a script on a server of its own.
func play(t *testing.T, script string, sit func(t *testing.T, name, port string, flags ...string) seat) {
	t.Parallel()
	server := startServer(t)
	playSeats(t, script, func(name string) seat { return sit(t, name, server.port) })
}

// playSeats plays a script with the seats that sit starts.
func playSeats(t *testing.T, script string, sit func(name string) seat) {
	t.Helper()
	seats := map[string]seat{}
	for i, line := range strings.Split(script, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) < 3 || line[2] != ' ' {
			t.Fatalf("line %d is none: %q", i+1, line)
		}
		name, what, rest := line[:1], line[1], line[3:]
		s := seats[name]
		switch {
		case what == ':' && rest == "start":
			seats[name] = sit(name)
		case what == ':' && rest == "login":
			seats[name] = sit(name)
			logIn(seats[name], name, "p"+strings.ToLower(name))
		case what == '>':
			s.input(rest)
		case what == '<':
			s.expect(pattern(rest))
		case rest == "^C":
			s.interrupt()
		case rest == "end":
			s.end()
		case strings.HasPrefix(rest, "exits "):
			if got := strconv.Itoa(s.exit()); got != rest[6:] {
				t.Fatalf("line %d: %s's client ended with status %s, want %s", i+1, name, got, rest[6:])
			}
			delete(seats, name)
		default:
			t.Fatalf("line %d is none: %q", i+1, line)
		}
	}
	if len(seats) > 0 {
		t.Fatalf("the script leaves %d clients running", len(seats))
	}
}

// pattern matches one line of a screen.
func pattern(line string) *regexp.Regexp {
	p := regexp.QuoteMeta(line)
	p = strings.ReplaceAll(p, `\{port\}`, `[1-9]\d{3,4}`)
	p = strings.ReplaceAll(p, `\{seconds\}`, `([1-9]|[1-5]\d|60)`)
	return regexp.MustCompile("^" + p + "$")
}

// logIn goes through the login of a client that was just started, and finds
// no mail.
func logIn(s seat, user, password string) {
	s.expect(pattern("Username:"))
	s.input(user)
	s.expect(pattern("Password:"))
	s.input(password)
	for _, line := range []string{"Welcome to simple chat server!", "Offline Messages:", "No offline messages"} {
		s.expect(pattern(line))
	}
}
