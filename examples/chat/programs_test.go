//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loggedIn starts a client through pipes and logs it in.
func loggedIn(t *testing.T, name string, server *daemon, flags ...string) *pipeSeat {
	t.Helper()
	p := pipes(t, name, server.port, flags...).(*pipeSeat)
	logIn(p, name, "p"+strings.ToLower(name))
	return p
}

// exits waits for a client's end with this status and what it says then on
// standard error.
func (p *pipeSeat) exits(status int, stderr string) {
	p.t.Helper()
	if got := p.exit(); got != status || !regexp.MustCompile("^"+stderr+"$").MatchString(p.stderr.String()) {
		p.t.Fatalf("%s's client ended with status %d, saying %q, want %d and %q", p.name, got, p.stderr.String(), status, stderr)
	}
}

// shows waits for these lines, the next ones on the screen.
func (p *pipeSeat) shows(lines ...string) {
	p.t.Helper()
	for _, l := range lines {
		p.expect(pattern(l))
	}
}

// After the lockout the right password works, and only after it.
func TestLockoutEnds(t *testing.T) {
	t.Parallel()
	lockout := 2 * time.Second
	for !lockedOut(t, lockout) { // on a slow machine it was over before somebody tried
		if lockout *= 2; lockout > time.Minute {
			t.Fatal("nobody is locked out")
		}
	}
}

// lockedOut locks an account out, and waits for the end of that. It reports
// whether the right password was refused meanwhile.
func lockedOut(t *testing.T, lockout time.Duration) (refused bool) {
	t.Helper()
	server := startServer(t, "-lockout", lockout.String())
	try := func(passwords ...string) *pipeSeat {
		p := pipes(t, "google", server.port).(*pipeSeat)
		p.input("google")
		for _, password := range passwords {
			p.input(password)
		}
		p.shows("Username:", "Password:")
		return p
	}
	again := regexp.MustCompile(`^Due to multiple login failures, your account has been blocked\. Please try again after (\d+) seconds\.$`)
	refuses := func(line string) {
		t.Helper()
		m := again.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("the screen shows %q", line)
		}
		if left, _ := strconv.Atoi(m[1]); left < 1 || left > int(lockout.Seconds()) {
			t.Errorf("of %v there are %d s left", lockout, left)
		}
	}
	begun := time.Now()
	p := try("1", "2", "3")
	p.shows("Invalid Password. Please try again", "Invalid Password. Please try again")
	refuses(<-p.lines)
	p.exits(1, "")
	for ; ; refused = true {
		p := try("hasglasses")
		line := <-p.lines
		if line != "Welcome to simple chat server!" {
			refuses(line)
			p.exits(1, "")
			continue
		}
		if held := time.Since(begun); held < lockout {
			t.Errorf("the lockout of %v is over after %v", lockout, held)
		}
		p.shows("Offline Messages:", "No offline messages")
		p.end()
		p.exits(0, "")
		return refused
	}
}

// A connection that breaks and comes back: one line says so, one that it is
// back, nobody seems to leave or to come, and what was typed meanwhile arrives,
// once.
func TestReconnects(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	line := startCable(t, server)
	b := loggedIn(t, "B", server)
	a := pipes(t, "A", line.port).(*pipeSeat)
	logIn(a, "A", "pa")
	b.shows("A logged in")
	a.input("message B before")
	b.shows("A: before")
	a.input("online") // and what was before it is answered
	a.shows("B")

	line.pull()
	a.expect(regexp.MustCompile(`^The connection is lost \(.+\)\. Reconnecting \.\.\. `))
	a.input("message B meanwhile")
	b.input("message A to who is away")
	line.plug()
	a.shows("Connected again.", "B: to who is away")
	b.shows("A: meanwhile")
	a.input("message B after")
	b.shows("A: after")
	a.end()
	a.exits(0, "")
	b.shows("A logged out")
	b.end()
	b.exits(0, "")
}

// A server that goes away for good: ^C ends the client all the same.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := loggedIn(t, "A", server)
	server.kill()
	a.expect(regexp.MustCompile(`^The connection is lost \(.+\)\. Reconnecting \.\.\. `))
	a.input("message B is anybody there?")
	a.interrupt()
	for line := range a.lines {
		if want := `It is not known whether "message B is anybody there?" was delivered (interrupted).`; line != want {
			t.Errorf("the screen shows %q", line)
		}
	}
	a.exits(0, "")
}

// The screen of a client that another login replaces.
func TestReplaced(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	first := loggedIn(t, "A", server)
	second := loggedIn(t, "A", server)
	first.exits(1, "chat: the session is over: replaced by another login of this user\n")
	second.interrupt()
	second.exits(0, "")
}

// Who pipes in nothing but a name and a password gets the mail, once.
func TestMailThroughPipes(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := loggedIn(t, "A", server)
	for i := range 100 {
		a.input(fmt.Sprintf("message B %d", i))
	}
	a.end()
	a.exits(0, "")
	for range 2 {
		b := pipes(t, "B", server.port).(*pipeSeat)
		b.input("B")
		b.input("pb\r")
		b.end()
		b.shows("Username:", "Password:", "Welcome to simple chat server!", "Offline Messages:")
		if line := <-b.lines; line == "No offline messages" {
			b.exits(0, "")
			return
		} else if line != "A: 0" {
			t.Fatalf("the first message is %q", line)
		}
		for i := 1; i < 100; i++ {
			b.shows(fmt.Sprintf("A: %d", i))
		}
		b.exits(0, "")
	}
	t.Fatal("the mail came twice")
}

// The flags that log in, and those that show more.
func TestFlags(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("116bway\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := pipes(t, "columbia", server.port, "-user", "columbia", "-password-file", file, "-debug", "-time").(*pipeSeat)
	p.shows("Welcome to simple chat server!", "Offline Messages:", "No offline messages")
	p.input("message not_a_user")
	p.expect(regexp.MustCompile(`^\d\d:\d\d:\d\d not_a_user is not a valid user\.$`))
	p.input("\x1b[2J")
	p.expect(regexp.MustCompile(`^\d\d:\d\d:\d\d Invalid Command: \^\[\[2J$`))
	p.end()
	if status := p.exit(); status != 0 {
		t.Errorf("status %d", status)
	}
	trace := p.stderr.String()
	for _, want := range []string{"C: HELO v=1", "S: 220 ", "user=columbia", "S: 230 ", " to=not_a_user", " :not_a_user is not a valid user.", "S: 221"} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace lacks %q", want)
		}
	}
	if strings.Contains(trace, "116bway") {
		t.Error("the trace shows the password")
	}

	p = pipes(t, "columbia", server.port, "-user", "columbia", "-password-command", "echo wrong").(*pipeSeat)
	p.exits(1, "chat: Invalid Password. Please try again\n")
	p = pipes(t, "columbia", server.port, "-user", "columbia").(*pipeSeat)
	p.shows("Password:")
	p.end()
	p.exits(1, "chat: the input ended before the login was complete\n")
}

// On a terminal: a message that comes in while a line with wide characters is
// half typed leaves that line as it is, and the line is sent whole. A password
// never shows.
func TestHalfTyped(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := loggedIn(t, "A", server)
	b := terminals(t, "B", server.port).(*ptySeat)
	logIn(b, "B", "pb")
	a.shows("B logged in")
	const draft = "message A 你好, half"
	b.typed(draft)
	b.waitLast(">" + draft)
	for i := range 40 { // more than the window has rows
		a.input(fmt.Sprintf("message B 漢字 %d", i))
		b.expect(pattern(fmt.Sprintf("A: 漢字 %d", i)))
		b.waitLast(fmt.Sprintf("A: 漢字 %d", i), ">"+draft)
	}
	b.typed(" typed\r")
	a.shows("B: 你好, half typed")
	b.input("logout")
	if status := b.exit(); status != 0 {
		t.Errorf("status %d", status)
	}
	a.shows("B logged out")
	if strings.Contains(string(b.raw), "pb") {
		t.Errorf("the terminal showed the password: %q", b.raw)
	}
	if lines := b.screen.lines(); slices.Contains(lines, ">") {
		t.Errorf("an empty prompt stays on the screen:\n%s", strings.Join(lines, "\n"))
	}
}

// Tab completes the names of those who are around.
func TestTabCompletesNames(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := terminals(t, "A", server.port).(*ptySeat)
	logIn(a, "A", "pa")
	c := pipes(t, "columbia", server.port).(*pipeSeat)
	logIn(c, "columbia", "116bway")
	a.expect(pattern("columbia logged in"))
	a.typed("mess\t col\t hi\r")
	c.shows("A: hi")
	a.typed("\x1b[A!\r")
	c.shows("A: hi!")
	a.interrupt()
	if status := a.exit(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// A name has a colour on a terminal, unless NO_COLOR is set. The text is the
// same either way.
func TestColour(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for _, env := range []string{"NO_COLOR=", "NO_COLOR=1"} {
		cmd := exec.Command(filepath.Join(binaries, "chat"), "-user", "A", "-password-command", "echo pa", "127.0.0.1", server.port)
		a := startTerminal(t, "A", server.port, cmd, env)
		for _, line := range []string{"Welcome to simple chat server!", "Offline Messages:", "No offline messages"} {
			a.expect(pattern(line))
		}
		b := loggedIn(t, "B", server)
		a.expect(pattern("B logged in"))
		b.input("message A hello!")
		a.expect(pattern("B: hello!"))
		if got, want := strings.Contains(string(a.raw), colour("B")+"B\x1b[0m: hello!"), env == "NO_COLOR="; got != want {
			t.Errorf("with %s the name has a colour: %t\n%q", env, got, a.raw)
		}
		b.end()
		b.exits(0, "")
		a.expect(pattern("B logged out"))
		a.input("logout")
		a.exit()
	}
}

// However the program ends, the terminal is left as it was found.
func TestTerminalRestored(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	for _, tt := range []struct {
		name string
		play func(a *ptySeat)
	}{
		{"^C at the name", func(a *ptySeat) {
			a.expect(pattern("Username:"))
			a.interrupt()
		}},
		{"^C at the password", func(a *ptySeat) {
			a.expect(pattern("Username:"))
			a.input("A")
			a.expect(pattern("Password:"))
			a.interrupt()
		}},
		{"end of input", func(a *ptySeat) {
			logIn(a, "A", "pa")
			a.waitLast(prompt)
			a.end()
		}},
		{"replaced in the middle of a line", func(a *ptySeat) {
			logIn(a, "A", "pa")
			a.typed("half a li")
			a.waitLast(prompt + "half a li")
			other := loggedIn(t, "A", server)
			other.end()
			other.exits(0, "")
			a.expect(pattern("chat: the session is over: replaced by another login of this user"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chat := filepath.Join(binaries, "chat")
			a := startTerminal(t, "A", server.port, exec.Command("sh", "-c", `trap : INT; "$0" 127.0.0.1 "$1"; stty -a`, chat, server.port))
			tt.play(a)
			a.wait("the settings of the terminal", func(lines []string) bool {
				return regexp.MustCompile(`(?m) -?echo `).MatchString(strings.Join(lines, "\n") + " ")
			})
			screen := strings.Join(a.screen.lines(), "\n") + " "
			for _, want := range []string{" echo ", " icanon ", " isig ", " opost ", " icrnl "} {
				if !strings.Contains(strings.ReplaceAll(screen, "\n", " "), want) {
					t.Errorf("the terminal lacks%sat the end:\n%s", want, screen)
				}
			}
		})
	}
}
