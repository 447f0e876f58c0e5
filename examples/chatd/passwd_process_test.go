//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// status is how a process ended.
func status(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// A person is asked twice, sees nothing of what is typed, and finds the
// terminal as it was.
func TestPasswdTerminal(t *testing.T) {
	for _, tt := range []struct {
		why   string
		types []string // in answer to the questions
		exit  int
		last  string // what stands last on the screen
		know  bool   // the account has the new password then
	}{
		{"twice the same", []string{"p\u00e4ss phrase\r", "p\u00e4ss phrase\r"}, 0, "alice has a new password in credentials.txt\r\n" + strings.TrimSuffix(sentence, "\n") + "\r\n", true},
		{"two different", []string{"p\u00e4ss phrase\r", "pass\r"}, 1, "chatd: the two differ; nothing was changed\r\n", false},
		{"nothing", []string{"\r"}, 1, "chatd: no password was given; nothing was changed\r\n", false},
		{"Ctrl-C at the first", []string{"\x03"}, 1, "chatd: stopped; nothing was changed\r\n", false},
		{"Ctrl-D at the first", []string{"\x04"}, 1, "chatd: no password was given; nothing was changed\r\n", false},
		{"Ctrl-D at the second", []string{"p\u00e4ss phrase\r", "\x04"}, 1, "chatd: no password was given; nothing was changed\r\n", false},
		{"both at once", []string{"p\u00e4ss phrase\rp\u00e4ss phrase\r"}, 0, "alice has a new password in credentials.txt\r\n" + strings.TrimSuffix(sentence, "\n") + "\r\n", true},
		{"Ctrl-C at the second", []string{"p\u00e4ss phrase\r", "p\u00e4\x03"}, 1, "chatd: stopped; nothing was changed\r\n", false},
	} {
		t.Run(tt.why, func(t *testing.T) {
			dir, file := folder(t, "alice wonderland\n")
			master, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			echoes := func() bool {
				t.Helper()
				got, err := unix.IoctlGetTermios(int(tty.Fd()), getTermios)
				if err != nil {
					t.Fatal(err)
				}
				return got.Lflag&unix.ECHO != 0
			}
			cmd := chatdCommand(dir, "passwd", "set", "alice")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.SysProcAttr = terminalOwner()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			screen := follow(master)
			for i, typed := range tt.types {
				screen.await(t, []string{"New password for alice: ", "The same again: "}[i])
				for echoes() { // the question comes first
					if cmd.Process.Signal(syscall.Signal(0)) != nil {
						t.Fatal("it ended")
					}
				}
				io.WriteString(master, typed)
			}
			got := status(cmd.Wait())
			if !echoes() {
				t.Error("the terminal shows nothing of what is typed any more")
			}
			tty.Close()
			text := screen.all()
			if got != tt.exit || !strings.HasSuffix(text, "\r\n"+tt.last) || strings.Contains(text, "phrase") {
				t.Errorf("status %d, want %d; the screen shows\n%q", got, tt.exit, text)
			}
			if now := readFile(t, file); (now != "alice wonderland\n") != tt.know {
				t.Errorf("the file is %q", now)
			} else if tt.know {
				masked(t, now, map[string]string{"alice": "p\u00e4ss phrase"})
			}
		})
	}
}

// The exit status is 0, 1 for what could not be done, and 2 for a wrong call;
// neither the password nor a stack trace is ever shown.
func TestPasswdStatus(t *testing.T) {
	dir, _ := folder(t, "alice wonderland\n")
	for _, tt := range []struct {
		args, stdin string
		want        int
	}{
		{"add bob", "secret\n", 0}, {"add bob", "secret\n", 1}, {"add bob secret", "", 2}, {"add", "", 2}, {"", "", 2}, {"-h", "", 0},
		{"set bob", "secret\n", 0}, {"set eve", "secret\n", 1}, {"list", "", 0}, {"import", "", 0}, {"import -credentials /nonexistent/x", "", 1},
		{"add eve -credentials /nonexistent/x", "secret\n", 1}, {"list -credentials .", "", 1}, {"del bob", "", 0}, {"del bob", "", 1}, {"-x", "", 2},
	} {
		cmd := chatdCommand(dir, append([]string{"passwd"}, strings.Fields(tt.args)...)...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		got := status(cmd.Run())
		if got != tt.want || said.Len() == 0 || strings.Contains(said.String(), "secret") || strings.Contains(said.String(), "goroutine") {
			t.Errorf("chatd passwd %s: status %d, want %d\n%s", tt.args, got, tt.want, said.String())
		}
	}
}

// Many at once lose nothing of each other's, and a reader always finds a whole
// file.
func TestPasswdAtOnce(t *testing.T) {
	dir, file := folder(t, "# staff\nalice wonderland\n")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for seen := 0; ; {
			c, _, err := readCredentials(file)
			if n := accountsIn(c); err != nil || n < seen {
				t.Errorf("a reader finds %d accounts after %d: %v", n, seen, err)
				return
			} else {
				seen = n
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	const many = 16
	know := map[string]string{"alice": "wonderland"}
	var wg sync.WaitGroup
	for i := range many {
		user := fmt.Sprintf("user%d", i)
		know[user] = "secret"
		wg.Go(func() {
			cmd := chatdCommand(dir, "passwd", "add", user)
			cmd.Stdin = strings.NewReader("secret\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Go(func() {
		if out, err := chatdCommand(dir, "passwd", "import").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	wg.Wait()
	close(stop)
	<-stopped
	text := masked(t, readFile(t, file), know)
	if n := strings.Count(text, " VERIFIER\n"); n != many+1 || !strings.HasPrefix(text, "# staff\nalice VERIFIER\n") {
		t.Errorf("the file has %d of %d accounts:\n%s", n, many+1, text)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("they leave %v behind", entries)
	}
}

// Passwords that were converted are still those of the logins: by
// SCRAM-SHA-256-PLUS, SCRAM-SHA-256 and PLAIN.
func TestPasswdImportedLogins(t *testing.T) {
	dir, file := folder(t, "# demo\nalice p\u00e4ss phrase\nbob pass\n")
	p := launch(t, dir)
	logins := func(when string) {
		t.Helper()
		for user, password := range map[string]string{"alice": "pa\u0308ss phrase", "bob": "pass"} { // composed or not
			p.mustLogin(user, password).Close()
			if _, err := p.login(user, password+"x"); !errors.Is(err, chatproto.ErrDenied) {
				t.Errorf("%s: %s with a wrong password: %v", when, user, err)
			}
			c, err := chatclient.Dial(t.Context(), chatclient.Config{Addr: p.addr, Cleartext: chatclient.CleartextLocal, User: user, Password: password, PeerListen: "off"})
			if err != nil {
				t.Fatalf("%s: %s in cleartext: %v", when, user, err)
			}
			c.Close()
		}
		talkTo(t, p.addr, "bob", "origin=b1") // types the password
	}
	logins("before")
	cmd := chatdCommand(dir, "passwd", "import")
	out, err := cmd.CombinedOutput()
	if want := "credentials.txt: 2 passwords are verifiers now; copies of the old file still have them in plaintext\n" + sentence; err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
	if c, unwise, err := readCredentials(file); err != nil || len(unwise) > 0 || plaintexts(c) > 0 {
		t.Errorf("the file is %v, %v, %v", c, unwise, err)
	}
	p.hangUp()
	p.out.await(t, `^read credentials\.txt again: 2 accounts\n`)
	logins("after")
	p.stop()
	p = launch(t, dir)
	logins("after a restart")
	if got := p.stop(); got != "" {
		t.Errorf("it still says %s", got)
	}
}

// Names that mix scripts are for nobody to add, whatever the way.
func TestNamesAgree(t *testing.T) {
	for _, name := range []string{"alice", "\u0430lice", "zo\u00eb", "zoe\u0308", "\uff41lice", "\u5c71\u7530taro"} {
		dir := t.TempDir()
		cmd := chatdCommand(dir, "passwd", "add", name)
		cmd.Stdin = strings.NewReader("x\n")
		if out, err := cmd.CombinedOutput(); (err == nil) != (chatserver.CheckAccountName(name) == nil) {
			t.Errorf("%q: %v\n%s", name, err, out)
		} else if _, _, readErr := readCredentials(filepath.Join(dir, defaultCredentials)); err == nil && readErr != nil {
			t.Errorf("%q was added, and the file is not taken: %v", name, readErr)
		}
	}
}
