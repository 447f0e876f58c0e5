package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// established returns the TCP connections that a process has.
func established(t *testing.T, cmd *exec.Cmd) (conns []string) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	sockets := map[string]string{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		b, err := os.ReadFile(proc + table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			const stateEstablished = "01"
			if f := strings.Fields(line); len(f) > 9 && f[3] == stateEstablished {
				sockets["socket:["+f[9]+"]"] = f[1] + "-" + f[2]
			}
		}
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		link, _ := os.Readlink(proc + "fd/" + fd.Name())
		if c := sockets[link]; c != "" {
			conns = append(conns, c)
		}
	}
	return conns
}

// quiet waits until none of the programs has a connection.
func quiet(t *testing.T, programs ...*exec.Cmd) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond) // the system tells nobody
	defer look.Stop()
	for _, cmd := range programs {
		for conns := established(t, cmd); len(conns) > 0; conns = established(t, cmd) {
			select {
			case <-look.C:
			case <-deadline:
				t.Fatalf("%s still has the connections %q", cmd.Path, conns)
			}
		}
	}
}

// programOf returns the program of a seat.
func programOf(s seat) *exec.Cmd {
	if p, piped := s.(*pipeSeat); piped {
		return p.cmd
	}
	return s.(*ptySeat).cmd
}

// goesAway has the seat of somebody who does.
func goesAway(s seat) seat {
	if p, piped := s.(*pipeSeat); piped {
		p.away = true
	} else {
		s.(*ptySeat).away = true
	}
	return s
}

// dialBackScript is played so that before each line nobody has a connection:
// whatever is typed or comes has to bring one. Who comes and goes is not seen
// by who is away.
const dialBackScript = `
A: login
B: login
A> message B hello!
B< A: hello!
B> message A hello yourself!
A< B: hello yourself!
A> broadcast psa
B< A: psa
B> online
B< A
B> block A
B< User A has been blocked
A> message B hello?
A< You are blocked by B
A> message not_a_user
A< not_a_user is not a valid user.
B> unblock A
B< User A is unblocked
B> logout
B: exits 0
A> message B first
A> message B second
B: start
B< Username:
B> B
B< Password:
B> pb
B< Welcome to simple chat server!
B< Offline Messages:
B< A: first
B< A: second
A> getaddress B
B< A is requesting a private chat. To share your IP and port with them, reply saying 'consent A'
B> consent A
A< {port} {address} B
A> private B p2p message
B< A: p2p message
B> revoke A
A< B took back the consent to a private chat.
B< You took back your consent to a private chat with A.
A> private B p2p message
A< Invalid Command: private B p2p message
B: ^C
B: exits 0
A> message B nobody is there
A: end
A: exits 0
`

// playAway plays a script, with a pause before each line: while something is
// in the way that keeps a connection, it is shorter.
func playAway(t *testing.T, script string, server *exec.Cmd, sit func(name string) seat) {
	t.Helper()
	seats := map[string]seat{}
	consents := 0 // in force: their owners stay, for lines that the server carries
	for line := range strings.Lines(strings.TrimSpace(script)) {
		line = strings.TrimSuffix(line, "\n")
		s, what := seats[line[:1]], line[3:]
		if line[1] == '>' && !strings.HasPrefix(what, "p") && consents == 0 || line[1:] == ": ^C" || line[1:] == ": end" {
			programs := []*exec.Cmd{server}
			for _, s := range seats {
				programs = append(programs, programOf(s))
			}
			if len(what) > 2 { // no name, no password
				quiet(t, programs...)
			}
		}
		switch {
		case what == "start":
			seats[line[:1]] = sit(line[:1])
		case what == "login":
			seats[line[:1]] = sit(line[:1])
			logIn(seats[line[:1]], line[:1], "p"+strings.ToLower(line[:1]))
			quiet(t, server)
		case line[1] == '>':
			s.input(what)
			if strings.HasPrefix(what, "consent") {
				consents++
			}
			if strings.HasPrefix(what, "revoke") {
				consents--
			}
		case line[1] == '<':
			s.expect(pattern(what))
		case what == "^C":
			s.interrupt()
		case what == "end":
			s.end()
		case what == "exits 0":
			if got := s.exit(); got != 0 {
				t.Fatalf("%s's client ended with status %d", line[:1], got)
			}
			delete(seats, line[:1])
		default:
			t.Fatalf("%q is no line", line)
		}
	}
}

// Everything that people do, while nobody has a connection between one line
// and the next.
func TestDialBack(t *testing.T) {
	for name, sit := range map[string]func(*testing.T, string, string, ...string) seat{"pipes": pipes, "terminals": terminals} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, "-dialback")
			played := strings.Replace(dialBackScript, "{address}", "127.0.0.1", 1)
			playAway(t, played, server.cmd, func(name string) seat { return goesAway(sit(t, name, server.port, "-dialback")) })
		})
	}
}

// The same between machines; who reads along sees TLS and nothing else, also
// on the connections that the server makes.
func TestDialBackMachines(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.serve("-dialback")
	observer := l.observe("portB")
	played := strings.Replace(dialBackScript, "{address}", labB, 1)
	playAway(t, played, server, func(name string) seat { return goesAway(l.sit(name, "-dialback=:28404", "-fingerprint", l.key)) })
	seen := observer.until(l.lastWord("B"))
	if back := seen.to(labB, 28404); len(back) == 0 || back[0] != 0x16 {
		t.Errorf("the server sent %d octets to where B is called, want TLS", len(back))
	}
	seen.hides(t, "hello", "psa", "p2p", "AUTH", "EXTERNAL", "MESG")
	if !bytes.Contains(seen.between(labServer, labB), []byte("parley-back/1")) {
		t.Error("no call was seen")
	}
}

// Killed while they are away, the programs lose nothing, and nothing comes
// twice.
func TestDialBackKilled(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-dialback")
	state := filepath.Join(t.TempDir(), "state")
	flags := []string{"-dialback", "-state", state, "-user", "B", "-password-command", "echo pb"}
	a := loggedIn(t, "A", server, "-dialback")
	a.away = true
	b := pipes(t, "B", server.port, flags...).(*pipeSeat)
	b.shows("Welcome to simple chat server!", "Offline Messages:", "No offline messages")
	for i := range 3 {
		quiet(t, server.cmd, a.cmd, b.cmd)
		b.cmd.Process.Kill()
		b.cmd.Wait()
		a.input(fmt.Sprintf("message B to the dead %d", i))
		a.input("message not_a_user")
		a.shows("not_a_user is not a valid user.")
		quiet(t, a.cmd)
		b = pipes(t, "B", server.port, flags...).(*pipeSeat)
		b.shows("Connected again.", fmt.Sprintf("A: to the dead %d", i))
		b.input(fmt.Sprintf("message A from the living %d", i))
		a.shows(fmt.Sprintf("B: from the living %d", i))

		quiet(t, server.cmd, a.cmd, b.cmd)
		server.kill()
		server.start("-dialback")
		a.input(fmt.Sprintf("message B after the crash %d", i)) // B cannot be called: it has to come by itself
		a.input("message not_a_user")
		a.shows("not_a_user is not a valid user.")
		b.input(fmt.Sprintf("message A me too %d", i))
		b.shows(fmt.Sprintf("A: after the crash %d", i))
		a.shows(fmt.Sprintf("B: me too %d", i))
	}
	quiet(t, server.cmd, a.cmd, b.cmd)
	a.input("message B the end")
	b.shows("A: the end")
	b.end()
	b.exits(0, "")
	a.end()
	a.exits(0, "")
}

// A server that does not call is talked to as ever, and a line on standard
// error says why.
func TestDialBackNotOffered(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	a := loggedIn(t, "A", server, "-dialback")
	b := loggedIn(t, "B", server)
	a.shows("B logged in")
	// When somebody who came later, but where it is offered, has gone away, so
	// would A have.
	offers := startServer(t, "-dialback")
	c := loggedIn(t, "C", offers, "-dialback")
	quiet(t, c.cmd)
	if len(established(t, a.cmd)) != 1 {
		t.Error("A went away")
	}
	c.end()
	c.exits(0, "")
	b.input("message A hello!")
	a.shows("B: hello!")
	b.end()
	b.exits(0, "")
	a.shows("B logged out")
	a.end()
	a.exits(0, "chat: the connection stays open: the server does not offer to dial back\n")
}

// A stranger at the port of somebody who is away is not seen on the screen.
func TestDialBackStranger(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-dialback")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	a := loggedIn(t, "A", server, "-dialback="+addr)
	b := loggedIn(t, "B", server, "-dialback")
	a.away, b.away = true, true
	quiet(t, server.cmd, a.cmd, b.cmd)
	for range 10 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		fmt.Fprint(nc, "GET / HTTP/1.1\r\n\r\n")
		nc.SetReadDeadline(time.Now().Add(patience))
		if said, err := io.ReadAll(nc); bytes.Contains(said, []byte("user")) || os.IsTimeout(err) {
			t.Errorf("a stranger is told %q (%v)", said, err)
		}
	}
	for range 10 { // and these say nothing
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	b.input("message A hello!")
	a.shows("B: hello!")
	a.end()
	a.exits(0, "")
	b.end()
	b.exits(0, "")
}
