//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// accounts are those of the tests' servers.
const accounts = "columbia 116bway\ngoogle hasglasses\nA pa\nB pb\nC pc\n"

// binaries is the folder that TestMain builds chat and chatd into.
var binaries string

// buildFlags are for building them.
var buildFlags []string

// environment is that of a program under test: a user of its own, with a
// configuration folder for each server, since the next one on the same port
// has another key.
func environment(t *testing.T, port string) []string {
	name := strings.Map(func(r rune) rune {
		if r < 'A' {
			return '_'
		}
		return r
	}, t.Name())
	home := filepath.Join(binaries, "home", name+"-"+port)
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	return append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"))
}

// TestMain builds the programs, once: the sessions are played on what a user
// would start.
func TestMain(m *testing.M) {
	if os.Getenv(editorChild) != "" {
		runEditorChild()
		return
	}
	if os.Getenv(farChild) != "" {
		runFarChild()
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "chat-test-"); err == nil {
		defer os.RemoveAll(binaries)
		args := append([]string{"build", "-o", binaries + "/"}, buildFlags...)
		build := exec.Command("go", append(args, ".", "../chatd")...)
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the programs:", err)
		return 1
	}
	return m.Run()
}

// A daemon is a running chatd.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	port string
	log  strings.Builder // its standard error
}

// startServer starts chatd on a port that the system chooses.
func startServer(t *testing.T, flags ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir(), port: "0"}
	if err := os.WriteFile(filepath.Join(d.dir, "credentials.txt"), []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(flags...)
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("chatd said: %s", d.log.String())
		}
	})
	return d
}

// start starts chatd, again on the same port if it ran before, and waits until
// it listens.
func (d *daemon) start(flags ...string) {
	d.t.Helper()
	d.cmd = exec.Command(filepath.Join(binaries, "chatd"), append(flags, d.port)...)
	d.cmd.Dir = d.dir
	d.cmd.Stderr = &d.log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		in := bufio.NewReader(out)
		line, _ := in.ReadString('\n')
		first <- line
		io.Copy(io.Discard, in)
	}()
	select {
	case line := <-first:
		m := regexp.MustCompile(`^listening on 127\.0\.0\.1:(\d+)\n$`).FindStringSubmatch(line)
		if m == nil {
			d.t.Fatalf("chatd says %q, not where it listens", line)
		}
		d.port = m[1]
	case <-time.After(patience):
		d.t.Fatal("chatd does not say where it listens")
	}
}

// kill ends chatd as a crash does.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// A cable is a way to the server that can be pulled out.
type cable struct {
	port string
	to   string

	mu     sync.Mutex
	pulled bool
	conns  []net.Conn
}

// startCable lays a cable to the server.
func startCable(t *testing.T, server *daemon) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{to: "127.0.0.1:" + server.port}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	t.Cleanup(func() { l.Close(); c.pull() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.connect(client)
		}
	}()
	return c
}

func (c *cable) connect(client net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server, err := net.Dial("tcp", c.to)
	if err != nil || c.pulled {
		client.Close()
		return
	}
	c.conns = append(c.conns, client, server)
	relay := func(to, from net.Conn) {
		io.Copy(to, from)
		to.Close()
		from.Close()
	}
	go relay(client, server)
	go relay(server, client)
}

// pull breaks all connections and lets nobody connect until plug.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = false
}

// A seat is where one person sits: a chat client and its screen.
type seat interface {
	// input types a line.
	input(line string)
	// expect waits for the next line on the screen.
	expect(want *regexp.Regexp)
	// interrupt presses ^C; end ends the input.
	interrupt()
	end()
	// exit waits for the end of the program, with nothing more on the screen,
	// and returns its status.
	exit() int
}

// exitStatus waits for the end of cmd.
func exitStatus(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// A pipeSeat is a client whose input and output are pipes.
type pipeSeat struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // closed at the end of the output
	stderr strings.Builder
	away   bool // at times: who comes and goes is shown or not
}

// comesOrGoes is a line about that.
var comesOrGoes = regexp.MustCompile(`^\w+ logged (in|out)$`)

// next is where the next line comes that counts.
func (p *pipeSeat) next() <-chan string {
	if !p.away {
		return p.lines
	}
	counted := make(chan string, 1)
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if ok && comesOrGoes.MatchString(line) {
				continue
			}
			if ok {
				counted <- line
			}
			close(counted)
		case <-timeout:
		}
		return counted
	}
}

func pipes(t *testing.T, name, port string, flags ...string) seat {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "chat"), append(flags, "127.0.0.1", port)...)
	cmd.Env = environment(t, port)
	return startPipes(t, name, cmd)
}

// startPipes starts a client whose input and output are pipes.
func startPipes(t *testing.T, name string, cmd *exec.Cmd) *pipeSeat {
	t.Helper()
	p := &pipeSeat{t: t, name: name, cmd: cmd, lines: make(chan string, 1024)}
	cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	go func() {
		defer close(p.lines)
		in := bufio.NewScanner(out)
		for in.Scan() {
			p.lines <- in.Text()
		}
	}()
	return p
}

func (p *pipeSeat) input(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s cannot type %q: %v", p.name, line, err)
	}
}

func (p *pipeSeat) expect(want *regexp.Regexp) {
	p.t.Helper()
	select {
	case line, ok := <-p.next():
		if !ok {
			p.cmd.Wait() // and all of its standard error is there
			p.t.Fatalf("%s's screen ended, want %s\nstandard error: %s", p.name, want, p.stderr.String())
		}
		if !want.MatchString(line) {
			p.t.Fatalf("%s's screen shows %q, want %s", p.name, line, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("%s's screen does not show %s", p.name, want)
	}
}

func (p *pipeSeat) interrupt() { p.cmd.Process.Signal(syscall.SIGINT) }
func (p *pipeSeat) end()       { p.stdin.Close() }

func (p *pipeSeat) exit() int {
	p.t.Helper()
	select {
	case line, ok := <-p.next():
		if ok {
			p.t.Fatalf("%s's screen shows %q, want the end", p.name, line)
		}
	case <-time.After(patience):
		p.t.Fatalf("%s's client does not end", p.name)
	}
	return exitStatus(p.t, p.cmd)
}

// A ptySeat is a client on a terminal. Empty lines, and those that were typed
// behind the prompt, are not counted as what the screen shows.
type ptySeat struct {
	*console
	name string
	cmd  *exec.Cmd
	seen int  // lines that were expected
	away bool // at times: who comes and goes is shown or not
}

func terminals(t *testing.T, name, port string, flags ...string) seat {
	t.Helper()
	return startTerminal(t, name, port, exec.Command(filepath.Join(binaries, "chat"), append(flags, "127.0.0.1", port)...))
}

func startTerminal(t *testing.T, name, port string, cmd *exec.Cmd, env ...string) *ptySeat {
	t.Helper()
	cmd.Env = append(environment(t, port), "TERM=xterm", "INPUTRC=/dev/null", "NO_COLOR=")
	cmd.Env = append(cmd.Env, env...)
	return &ptySeat{console: startConsole(t, cmd, 100, 24), name: name, cmd: cmd}
}

// shown returns the lines that the screen shows, less what was typed.
func (p *ptySeat) shown(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return l == "" || strings.HasPrefix(l, prompt) || p.away && comesOrGoes.MatchString(l)
	})
}

// input types a line once the program waits for one, as a person would:
// before that the terminal, not the program, would show it.
func (p *ptySeat) input(line string) { p.t.Helper(); p.typed(line + "\r") }

func (p *ptySeat) expect(want *regexp.Regexp) {
	p.t.Helper()
	p.wait(fmt.Sprintf("to %s, as line %d, %s", p.name, p.seen, want), func(lines []string) bool {
		got := p.shown(lines)
		if len(got) <= p.seen {
			return false
		}
		if len(got) > p.seen+1 && !want.MatchString(got[p.seen]) {
			p.t.Fatalf("%s's screen shows %q, want %s; all of it:\n%s", p.name, got[p.seen], want, strings.Join(lines, "\n"))
		}
		return want.MatchString(got[p.seen])
	})
	p.seen++
}

func (p *ptySeat) interrupt() { p.typed("\x03") }
func (p *ptySeat) end()       { p.typed("\x04") }

func (p *ptySeat) exit() int {
	p.t.Helper()
	p.waitEnd(p.name + "'s client")
	if more := p.shown(p.screen.lines())[p.seen:]; len(more) > 0 {
		p.t.Fatalf("%s's screen also shows %q", p.name, more)
	}
	return exitStatus(p.t, p.cmd)
}
