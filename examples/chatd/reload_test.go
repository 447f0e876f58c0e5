//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// plaintextWarning is what chatd says of a file as the mission has it.
const plaintextWarning = "chatd: warning: credentials.txt has %n of %n passwords in plaintext, for everybody who ever gets to see the file; to keep only what verifies them: chatd passwd import\n"

// SIGHUP takes over accounts that changed. Who is logged in goes on, but for
// those whose account is gone.
func TestReloadAccounts(t *testing.T) {
	dir, file := folder(t, "alice wonderland\nbob builder\n")
	p := launch(t, dir)
	alice, bob := p.mustLogin("alice", "wonderland"), p.mustLogin("bob", "builder")

	put(t, file, "alice looking-glass\ncarol singer\n")
	p.hangUp()
	p.out.await(t, `^read credentials\.txt again: 2 accounts\n`)
	ends(t, bob)
	if bye := new(chatclient.GoodbyeError); !errors.As(bob.Err(), &bye) || bye.Why != "removed" {
		t.Errorf("bob's session ended with %v", bob.Err())
	}
	if _, err := alice.Online(t.Context()); err != nil {
		t.Errorf("alice, whose password changed, is no longer served: %v", err)
	}
	p.mustLogin("carol", "singer")
	if _, err := p.login("bob", "builder"); !errors.Is(err, chatproto.ErrDenied) {
		t.Errorf("bob, who is gone: %v", err)
	}
	if _, err := alice.Send(t.Context(), "bob", "hello"); !errors.Is(err, chatproto.ErrNoSuchUser) {
		t.Errorf("a message to bob, who is gone: %v", err)
	}
	// The keys that were derived of the old password are forgotten.
	alice.Close()
	if _, err := p.login("alice", "wonderland"); !errors.Is(err, chatproto.ErrDenied) {
		t.Errorf("alice's old password: %v", err)
	}
	p.mustLogin("alice", "looking-glass")

	warning := strings.ReplaceAll(plaintextWarning, "%n", "2")
	if got := p.stop(); got != warning+warning {
		t.Errorf("it says\n%s\nwant\n%s", got, warning+warning)
	}
}

// ends waits for a client that the server sends away.
func ends(t *testing.T, c *chatclient.Client) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatalf("%s is still served", c.User())
	}
}

// A file that cannot be read changes nothing, and every fault is told.
func TestReloadFaultyAccounts(t *testing.T) {
	dir, file := folder(t, "alice wonderland\n")
	p := launch(t, dir)
	alice := p.mustLogin("alice", "wonderland")
	for _, tt := range []struct{ why, text, want string }{
		{"two faults", "alice new\nbob\nALICE x\n", "chatd: the accounts stay as they were: the credentials file credentials.txt has 2 bad line(s):\n  line 2: no password after the user name \"bob\"\n  line 3: user \"ALICE\" stands in line 1 already (capitals make no difference)\n"},
		{"no account", "# none\n", "chatd: the accounts stay as they were: the credentials file credentials.txt has no account; chatd passwd add makes one\n"},
		{"no file", "", "chatd: the accounts stay as they were: there is no credentials file credentials.txt; chatd passwd add makes one\n"},
	} {
		if tt.text != "" {
			put(t, file, tt.text)
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		p.hangUp()
		p.err.await(t, "^"+quote(tt.want))
		if _, err := alice.Online(t.Context()); err != nil {
			t.Errorf("%s: alice is no longer served: %v", tt.why, err)
		}
		alice.Close()
		alice = p.mustLogin("alice", "wonderland")
	}
	put(t, file, "alice new\n")
	p.hangUp()
	p.out.await(t, `^read credentials\.txt again: 1 accounts\n`)
	p.mustLogin("alice", "new")
	p.stop()
}

// With the demo accounts there is nothing to read, until there is.
func TestReloadDemo(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir)
	p.out.await(t, `^  google hasglasses\n`)
	p.hangUp()
	p.out.await(t, `^there is still no credentials\.txt; the demo accounts stay\n`)
	columbia := p.mustLogin("columbia", "116bway")
	put(t, filepath.Join(dir, defaultCredentials), "dora explorer\n")
	p.hangUp()
	p.out.await(t, `^read credentials\.txt again: 1 accounts\n`)
	ends(t, columbia)
	p.mustLogin("dora", "explorer")
	if _, err := p.login("columbia", "116bway"); !errors.Is(err, chatproto.ErrDenied) {
		t.Errorf("a demo account beside a file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, defaultCredentials)); err != nil {
		t.Fatal(err)
	}
	p.hangUp() // whose passwords everybody knows do not come back
	p.err.await(t, `^chatd: the accounts stay as they were: there is no credentials file credentials\.txt`)
	p.stop()
}

// SIGHUP takes over a certificate that changed, and keeps the old one when the
// new one is broken; nobody is disconnected.
func TestReloadCertificate(t *testing.T) {
	dir, _ := folder(t, "alice wonderland\n")
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	var prints [2]string
	for i, folder := range []string{one, two} {
		cert, err := chatserver.SelfSigned(folder)
		if err != nil {
			t.Fatal(err)
		}
		prints[i], _ = chatserver.LeafFingerprint(cert)
	}
	install := func(from string, names ...string) {
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, name), string(b))
		}
	}
	install(one, "cert.pem", "key.pem")
	p := launch(t, dir, "-cert", "cert.pem", "-key", "key.pem")
	if _, err := os.Stat(filepath.Join(dir, "chatd-data", "tls")); err == nil {
		t.Error("it made a certificate beside the one it was given")
	}
	if p.print != prints[0] {
		t.Errorf("it announces %s, want %s", p.print, prints[0])
	}
	alice := p.mustLogin("alice", "wonderland")
	install(two, "cert.pem", "key.pem")
	p.hangUp()
	if got := p.out.await(t, `^certificate fingerprint: (\S+)\n`)[1]; got != prints[1] {
		t.Errorf("after SIGHUP it announces %s, want %s", got, prints[1])
	}
	p.print = prints[1]
	if _, err := alice.Online(t.Context()); err != nil {
		t.Errorf("alice is no longer served: %v", err)
	}
	alice.Close()
	alice = p.mustLogin("alice", "wonderland")

	install(one, "key.pem") // half of the next
	p.hangUp()
	p.err.await(t, `^chatd: the certificate stays the old one: chatserver: loading a certificate: tls: private key does not match public key\n`)
	alice.Close()
	alice = p.mustLogin("alice", "wonderland")
	if err := os.Remove(filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	p.hangUp()
	p.err.await(t, `^chatd: the certificate stays the old one: chatserver: loading a certificate: open cert\.pem: no such file or directory\n`)
	alice.Close()
	p.mustLogin("alice", "wonderland")
	p.stop()
}

// When the terminal goes that it was started on, chatd ends, as every program
// does that is not told otherwise.
func TestTerminalGoes(t *testing.T) {
	dir, _ := folder(t, "alice wonderland\n")
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: chatdCommand(dir, "0")}
	p.cmd.Stdin = tty
	p.cmd.SysProcAttr = terminalOwner()
	p.start()
	tty.Close()
	p.hangUp() // by hand: the terminal is still there
	p.out.await(t, `^read credentials\.txt again: 1 accounts\n`)
	master.Close()
	if err := p.wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// A client that logs in while the accounts change meets the old or the new
// ones, or is told to begin again.
func TestReloadUnderLogins(t *testing.T) {
	dir, file := folder(t, "alice wonderland\n")
	p := launch(t, dir)
	ctx, stop := context.WithCancel(t.Context())
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		for ctx.Err() == nil {
			c, err := p.login("alice", "wonderland")
			if again := new(chatclient.GoodbyeError); err != nil && !errors.As(err, &again) {
				t.Errorf("a login meanwhile: %v", err)
				return
			} else if err == nil {
				c.Close()
			}
			select {
			case tried <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}()
	for i := range 20 {
		put(t, file, fmt.Sprintf("alice wonderland\nbob b%d\n", i))
		p.hangUp()
		p.out.await(t, `^read credentials\.txt again: 2 accounts\n`)
		<-tried
	}
	stop()
	for range tried {
	}
	p.mustLogin("alice", "wonderland")
	p.stop()
}
