//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// passwords are accounts that only a password itself opens.
type passwords map[string]string

func (p passwords) Exists(_ context.Context, user string) (bool, error) {
	_, ok := p[user]
	return ok, nil
}

func (p passwords) CheckPassword(_ context.Context, user, password string) (bool, error) {
	return p[user] == password && password != "", nil
}

// logIn answers the two questions.
func (p *person) logIn() {
	p.s.t.Helper()
	p.when("Username:", "A")
	p.when("Password:", "pa")
}

const (
	// trustQuestion is all of it: a ^C drops what the screen has not got yet.
	trustQuestion = "Trust this key from now on? (yes, no, or the fingerprint to compare)"
	script        = "A\npa\nmessage not_a_user\n" // what a script types
)

// TestScreens shows what a person sees of how their chat is secured:
// testdata/screens has each screen, rewritten by -update.
func TestScreens(t *testing.T) {
	for name, play := range map[string]func(s *scene){
		"first use, yes": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			for first := true; ; first = false {
				p := s.sit(s.chat(farHost))
				if first {
					p.when(trustQuestion, "yes")
				}
				p.logIn()
				p.when(prompt, "logout")
				p.leaves()
				if !first {
					return
				}
			}
		},
		"first use, no": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "A") // a name typed ahead is no answer
			p.when("Please type", "no")
			p.leaves()
			s.unpinned()
		},
		"first use, compared": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "sha256:"+strings.Repeat("0", 64))
			p.leaves()
			s.unpinned()
			p = s.sit(s.chat(farHost))
			p.when(trustQuestion, strings.ToUpper(s.keys[0]))
			p.logIn()
			p.when(prompt, "logout")
			p.leaves()
		},
		"first use, interrupted": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			p := s.sit(s.chat(farHost))
			p.sees(trustQuestion)
			p.interrupt()
			p.leaves()
			p = s.sit(s.chat(farHost))
			p.sees(trustQuestion)
			p.end()
			p.leaves()
			s.unpinned()
		},
		"unknown, without a terminal": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe("yes\n"+script, s.chat(farHost))
			s.unpinned()
			s.pipe(script, s.chat(farHost, "-fingerprint", s.keys[0]))
			s.unpinned() // what was given once is given again
		},
		"on this machine": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe(script, s.chat("127.0.0.1"))
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe(script, s.chat("127.0.0.1"))
			s.pipe("", s.chat("127.0.0.1", "-forget"))
			s.pipe(script, s.chat("127.0.0.1"))
			s.pipe("", s.chat("127.0.0.1", "-forget"))
			s.pipe("", s.chat("127.0.0.1", "-forget"))
		},
		"changed key": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pin(farHost, chatclient.Pin{Fingerprint: "sha256:" + strings.Repeat("0", 64), Mechanism: "SCRAM-SHA-256-PLUS"})
			s.pipe(script, s.chat(farHost))
			s.sit(s.chat(farHost)).leaves()
			s.sit(s.chat(farHost, "-forget")).leaves()
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "no")
			p.leaves()
		},
		"wrong fingerprint": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			for _, host := range []string{farHost, "127.0.0.1"} {
				s.pipe(script, s.chat(host, "-fingerprint", "sha256:"+strings.Repeat("0", 64)))
			}
		},
		"an authority vouches": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.vouched(farHost, time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))})
			s.pipe(script, s.chat(farHost))
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe(script, s.chat(farHost))
		},
		"expired certificate": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.vouched(farHost, time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))})
			s.pipe(script, s.chat(farHost))
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "no")
			p.leaves()
		},
		"another name": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.vouched("chat.example.com", time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))})
			s.pipe(script, s.chat(farHost))
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "no")
			p.leaves()
		},
		"only passwords": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade(), Accounts: passwords{"A": "pa"}})
			p := s.sit(s.chat(farHost))
			p.when(trustQuestion, "yes")
			p.logIn()
			p.leaves()
			s.unpinned()
			s.pipe(script, s.chat(farHost, "-fingerprint", s.keys[0]))
			s.pipe(script, s.chat("127.0.0.1"))
			s.pin(farHost, chatclient.Pin{Fingerprint: s.keys[0], Mechanism: "SCRAM-SHA-256"})
			s.pipe(script, s.chat(farHost))
		},
		"without TLS": func(s *scene) {
			s.serve(&chatserver.Server{})
			s.pipe(script, s.chat("127.0.0.1"))
			s.pipe(script, s.chat("127.0.0.1", "-cleartext"))
			s.pipe(script, s.chat(farHost, "-cleartext"))
		},
		"only passwords, without TLS": func(s *scene) {
			s.serve(&chatserver.Server{Accounts: passwords{"A": "pa"}})
			s.pipe(script, s.chat(farHost, "-cleartext"))
		},
		"downgrade to cleartext": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe(script, s.chat("127.0.0.1"))
			s.serve(&chatserver.Server{})
			s.pipe(script, s.chat("127.0.0.1"))
			s.pipe(script, s.chat("127.0.0.1", "-cleartext"))
		},
		"wrong password": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe("A\n1\n2\n3\n", s.chat("127.0.0.1"))
			s.pipe("A\npa\n", s.chat("127.0.0.1")) // locked out
			p := s.sit(s.chat("127.0.0.1", "-user", "B"))
			p.when("Password:", "1")
			p.when("Invalid", "2")
			p.wait("another refusal", func(lines []string) bool { return strings.Count(strings.Join(lines, "\n"), "Invalid") == 2 })
			p.input("3")
			p.leaves()
			p = s.sit(s.chat("127.0.0.1", "-user", "B"))
			p.when("Password:", "pb")
			p.leaves()
		},
		"server gone and back": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			config := s.server.TLSConfig
			p := s.sit(s.chat("127.0.0.1", "-user", "A", "-password-command", "echo pa"))
			p.sees(prompt)
			s.server.Close()
			p.sees("The connection is lost")
			s.serve(&chatserver.Server{TLSConfig: config})
			p.sees("Connected again.")
			s.server.Close()
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()}) // somebody else in its place
			p.leaves()
		},
		"no folder for keys": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			nobody := s.chat("127.0.0.1")
			nobody.Env = append(nobody.Env, "HOME=", "XDG_CONFIG_HOME=")
			s.pipe(script, nobody)
			if err := os.WriteFile(filepath.Join(s.home, "file"), nil, 0o600); err != nil {
				s.t.Fatal(err)
			}
			s.pipe(script, s.chat("127.0.0.1", "-config", filepath.Join(s.home, "file", "mine")))
		},
		"damaged files": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			s.pipe(script, s.chat("127.0.0.1"))
			if err := os.WriteFile(s.pins().String(), []byte("127.0.0.1:"+s.port+" sha256:1 any\n"), 0o600); err != nil {
				s.t.Fatal(err)
			}
			s.pipe(script, s.chat("127.0.0.1"))
			s.pipe("", s.chat("127.0.0.1", "-forget"))
			if err := os.Chmod(filepath.Join(filepath.Dir(s.pins().String()), "identity"), 0o644); err != nil {
				s.t.Fatal(err)
			}
			s.pipe(script, s.chat("127.0.0.1"))
		},
		"kept for the next start": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			config := s.server.TLSConfig
			b := s.meet("B")
			state := filepath.Join(s.home, "state")
			as := []string{"-user", "A", "-password-command", "echo pa", "-state", state}
			p := s.sit(s.chat("127.0.0.1", as...))
			p.when(prompt, "message B now")
			b.hears("A: now")
			p.when(prompt, "online") // and the message is answered
			p.wait("B", func(lines []string) bool { return slices.Contains(lines, "B") })
			s.server.Close()
			p.sees("The connection is lost")
			p.input("message B one")
			p.input("message B 漢字 two")
			p.input("block B")
			p.sees(">")
			s.pipe("", s.chat("127.0.0.1", as...)) // one at a time
			p.interrupt()
			p.leaves()
			s.serve(&chatserver.Server{TLSConfig: config})
			p = s.sit(s.chat("127.0.0.1", as...))
			b.hears("A: one", "A: 漢字 two")
			p.when("The message to B that was kept, \"漢字", "logout")
			p.leaves()
			s.pipe("B\npb\n", s.chat("127.0.0.1", "-state", state))
		},
		"key of a user": func(s *scene) {
			s.serve(&chatserver.Server{TLSConfig: s.selfMade()})
			a := s.sit(s.chat("127.0.0.1", "-user", "A", "-password-command", "echo pa"))
			a.when(prompt, "verify B")
			asB := []string{"-user", "B", "-password-command", "echo pb", "-listen", "127.0.0.1:0"}
			b := s.sit(s.chat("127.0.0.1", append(asB, "-config", filepath.Join(s.home, "one"))...))
			a.when("B logged in", "getaddress B")
			b.when("A is requesting", "verify A")
			b.when("Let A type", "consent A")
			a.sees("127.0.0.1 B")
			a.input("verify B")
			a.when("Let B type", "private B hello")
			b.when("A: hello", "logout")
			b.leaves()
			a.sees("B logged out")
			a.input("logout")
			a.leaves()
			a = s.sit(s.chat("127.0.0.1", "-user", "A", "-password-command", "echo pa"))
			a.sees(prompt)
			b = s.sit(s.chat("127.0.0.1", append(asB, "-config", filepath.Join(s.home, "two"))...)) // another key
			a.when("B logged in", "getaddress B")
			b.when("A is requesting", "consent A")
			a.sees("127.0.0.1 B")
			a.input("private B secret")
			a.when("The key of B has changed, so", "verify B")
			a.when("Let B type", "accept B")
			a.sees("The new key")
			b.input("logout")
			b.leaves()
			a.sees("B logged out")
			a.input("logout")
			a.leaves()
		},
	} {
		t.Run(strings.NewReplacer(" ", "_", ",", "").Replace(name), func(t *testing.T) {
			if runtime.GOOS == "darwin" && (name == "an authority vouches" || name == "expired certificate" || name == "another name" || name == "no folder for keys") {
				t.Skip("authorities of a test are no system's here")
			}
			t.Parallel()
			s := newScene(t)
			play(s)
			s.check()
		})
	}
}

// A listener is a user who is there for others.
type listener struct {
	s   *scene
	got chan string
}

// meet logs a user in who stays in the scene, whatever becomes of the server.
func (s *scene) meet(user string) *listener {
	s.t.Helper()
	l := &listener{s, make(chan string, 100)}
	c, err := chatclient.Dial(s.t.Context(), chatclient.Config{
		Addr: "127.0.0.1:" + s.port, User: user, Password: "p" + strings.ToLower(user), BackoffMax: 250 * time.Millisecond,
		Callbacks: chatclient.Callbacks{OnMessage: func(_ context.Context, m chatclient.Message) error {
			l.got <- m.Description
			return nil
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return l
}

// hears waits for these messages, the next ones.
func (l *listener) hears(texts ...string) {
	l.s.t.Helper()
	for _, want := range texts {
		select {
		case got := <-l.got:
			if got != want {
				l.s.t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(patience):
			l.s.t.Fatalf("%q does not come", want)
		}
	}
}

// unpinned fails if the server is known now.
func (s *scene) unpinned() {
	s.t.Helper()
	if p, found, err := s.pins().Pin(farHost + ":" + s.port); found || err != nil {
		s.t.Errorf("the server is known: %v, %v", p, err)
	}
}
