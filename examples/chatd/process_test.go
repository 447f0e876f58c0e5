//go:build unix

package main

import (
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// patience is how long a process may take to say what is expected of it, on a
// busy machine.
const patience = 30 * time.Second

// A process is a chatd that runs by itself.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *output
	addr     string
	print    string // the fingerprint that it told
	listens  string // pattern of the address; "" is loopback
}

// An output is what a process has said.
type output struct {
	mu    sync.Mutex
	text  string
	seen  int           // what was awaited already
	grown chan struct{} // closed when there is more
	done  chan struct{}
}

func follow(r io.Reader) *output {
	o := &output{grown: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		part := make([]byte, 4096)
		for {
			n, err := r.Read(part)
			o.mu.Lock()
			o.text += string(part[:n])
			close(o.grown)
			o.grown = make(chan struct{})
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o
}

// await returns the next text that matches.
func (o *output) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.After(patience)
	for {
		o.mu.Lock()
		text, grown := o.text[o.seen:], o.grown
		if at := re.FindStringSubmatchIndex(text); at != nil {
			o.seen += at[1]
			o.mu.Unlock()
			return re.FindStringSubmatch(text)
		}
		o.mu.Unlock()
		select {
		case <-grown:
			continue
		case <-o.done:
			if o.ended(text) {
				t.Fatalf("it ended without saying %s; it said\n%s", pattern, text)
			}
		case <-late:
			t.Fatalf("it does not say %s, but\n%s", pattern, text)
		}
	}
}

// ended reports whether nothing came after text.
func (o *output) ended(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text[o.seen:] == text
}

func (o *output) all() string {
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text
}

// chatdCommand is a call of chatd in a folder.
func chatdCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asChatd+"=1")
	return cmd
}

// launch starts chatd in a folder, on a free port unless args name one.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: chatdCommand(dir, append(args, "0")...)}
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.out, p.err = follow(stdout), follow(stderr)
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.wait()
		}
	})
	p.addr = p.out.await(p.t, `^listening on (`+cmp.Or(p.listens, `127\.0\.0\.1`)+`:\d+)\n`)[1]
	p.print = p.out.await(p.t, `\Acertificate fingerprint: (sha256:[0-9a-f]{64})\n`)[1]
}

func (p *process) wait() error {
	out, errs := p.out.all(), p.err.all() // Wait closes the pipes
	err := p.cmd.Wait()
	if strings.Contains(out+errs, "goroutine ") || strings.Contains(out+errs, "panic") {
		p.t.Errorf("chatd crashed:\n%s%s", out, errs)
	}
	return err
}

func (p *process) hangUp() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends chatd as an operator does, and returns what it said on standard
// error.
func (p *process) stop() string {
	p.t.Helper()
	p.cmd.Process.Signal(os.Interrupt)
	if err := p.wait(); err != nil {
		p.t.Errorf("chatd ended with %v\n%s", err, p.err.all())
	}
	return p.err.all()
}

// login logs a client in by TLS and SCRAM-SHA-256-PLUS, to the server that the
// fingerprint names.
func (p *process) login(user, password string) (*chatclient.Client, error) {
	return chatclient.Dial(p.t.Context(), chatclient.Config{Addr: p.addr, Fingerprint: p.print, User: user, Password: password, PeerListen: "off"})
}

func (p *process) mustLogin(user, password string) *chatclient.Client {
	p.t.Helper()
	c, err := p.login(user, password)
	if err != nil {
		p.t.Fatalf("%s cannot log in: %v", user, err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}

// put writes a file as a program does that is careful.
func put(t *testing.T, file, text string) {
	t.Helper()
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

// folder is a new folder with a credentials file in it.
func folder(t *testing.T, credentials string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, defaultCredentials)
	put(t, file, credentials)
	return dir, file
}

// terminalOwner starts a process whose standard input is its own terminal.
func terminalOwner() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

// quote is for a pattern that is meant as it stands.
func quote(s string) string { return regexp.QuoteMeta(s) }
