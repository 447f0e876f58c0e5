package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

type dialled struct {
	c   *chatclient.Client
	err error
}

func dial(t *testing.T, cfg chatclient.Config) <-chan dialled {
	return async(func() dialled {
		c, err := chatclient.Dial(t.Context(), cfg)
		return dialled{c, err}
	})
}

// A login tells what the server said, first of all callbacks.
func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var states []chatclient.State
		cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { states = append(states, st) }
		c, _ := s.login(cfg)
		if c.User() != "B" {
			t.Errorf("User is %q", c.User())
		}
		synctest.Wait()
		end(c)
		if len(states) != 2 || states[0].Kind != chatclient.Online || states[0].Resumed ||
			!strings.HasSuffix(states[0].Text, "\nNo offline messages") || states[1].Kind != chatclient.Closed || states[1].Err != nil {
			t.Errorf("states are %+v", states)
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

// Without Credentials a refusal ends Dial with the server's sentence.
func TestLoginRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := dial(t, s.config())
		s.link().play(hello + `
			S: 535 left=2 :Invalid Password. Please try again
			C: <close>`)
		var refusal *chatproto.Error
		if err := (<-d).err; !errors.As(err, &refusal) || refusal.Code != chatproto.ReplyDenied || refusal.Text != "Invalid Password. Please try again" {
			t.Errorf("got %v", err)
		}
	})
}

// A person types the password three times; the third failure locks out, for
// good and with the server's sentence.
func TestLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.User, cfg.Password = "", ""
		tries := []string{"hasglassses", "hasgaases", "hasgas"}
		cfg.Credentials = func(_ context.Context, refused *chatproto.Error) (string, string, error) {
			if (refused == nil) != (len(tries) == 3) {
				t.Errorf("refused is %v before %v", refused, tries)
			}
			password := tries[0]
			tries = tries[1:]
			return "google", password, nil
		}
		d := dial(t, cfg)
		s.link().play(`
			C: HELO v=1 acks=1 beat=30000
			S: 220 v=1 mech=SCRAM-SHA-512,PLAIN boot=9c t=0
			C: AUTH mech=PLAIN user=google pass=hasglassses origin=*
			S: 535 left=2 :Invalid Password. Please try again
			C: AUTH mech=PLAIN user=google pass=hasgaases origin=*
			S: 535 left=1 :Invalid Password. Please try again
			C: AUTH mech=PLAIN user=google pass=hasgas origin=*
			S: 450 retry=60000 :Due to multiple login failures, your account has been blocked. Please try again after 60 seconds.
			C: <close>`)
		refusal, ok := (<-d).err.(*chatproto.Error)
		if !ok || refusal.Code != chatproto.ReplyLockedOut || !strings.HasSuffix(refusal.Text, "60 seconds.") {
			t.Errorf("got %v", refusal)
		}
	})
}

// A person may type what no account can have; and a server may say that no
// other password helps.
func TestOddCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Password = ""
		typed := [][2]string{{"", ""}, {"a b", "x"}, {"google", ""}, {"google", "x"}, {"unreached", "x"}}
		var refusals []string
		cfg.Credentials = func(_ context.Context, refused *chatproto.Error) (string, string, error) {
			if refused != nil {
				refusals = append(refusals, refused.Code.String())
			}
			one := typed[0]
			typed = typed[1:]
			return one[0], one[1], nil
		}
		d := dial(t, cfg)
		s.link().play(`
			C: HELO v=1 acks=1 beat=30000
			S: 220 v=1
			C: AUTH mech=PLAIN user=google pass= origin=*
			S: 535 left=2 :Invalid Password. Please try again
			C: AUTH mech=PLAIN user=google pass=x origin=*
			S: 535 :Not you
			C: <close>`)
		err, ok := (<-d).err.(*chatproto.Error)
		if !ok || err.Text != "Not you" || strings.Join(refusals, " ") != "535 535 535" {
			t.Errorf("got %v after %q", err, refusals)
		}

		typed = [][2]string{{"", ""}, {"", ""}, {"", ""}, {"unreached", "x"}}
		d = dial(t, cfg)
		s.link().play("C: HELO v=1 acks=1 beat=30000\nS: 220 v=1\nC: <close>")
		if err := (<-d).err; !errors.Is(err, chatproto.ErrBadField) {
			t.Errorf("got %v", err)
		}
		cfg.Credentials = func(context.Context, *chatproto.Error) (string, string, error) {
			return "", "", context.Canceled
		}
		d = dial(t, cfg)
		s.link().play("C: HELO v=1 acks=1 beat=30000\nS: 220 v=1\nC: <close>")
		if err := (<-d).err; err != context.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

// Who types slowly finds the connection dead; the client dials again and
// does not ask again.
func TestSlowTyping(t *testing.T) {
	for name, farewell := range map[string]string{"goodbye": "S: GBYE why=timeout :Too slow", "close": "S: <close>"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cfg := s.config()
				cfg.User, cfg.Password = "", ""
				asked := 0
				cfg.Credentials = func(context.Context, *chatproto.Error) (string, string, error) {
					asked++
					time.Sleep(time.Minute)
					return "B", "secret", nil
				}
				d := dial(t, cfg)
				first := s.link()
				first.play(`
					C: HELO v=1 acks=1 beat=30000
					S: 220 v=1`)
				go first.play(farewell)
				s.link().play(welcomed)
				got := <-d
				if got.err != nil || asked != 1 {
					t.Fatalf("asked %d times, %v", asked, got.err)
				}
				end(got.c)
			})
		})
	}
}

// Refusals of the handshake end Dial.
func TestDialErrors(t *testing.T) {
	tests := []struct {
		name, script string
		check        func(error) bool
	}{
		{"no version", `
			C: HELO v=1 acks=1 beat=30000
			S: 505 :No common protocol version`,
			func(err error) bool { return errors.Is(err, chatproto.ErrNoVersion) }},
		{"no mechanism", `
			C: HELO v=1 acks=1 beat=30000
			S: 220 v=1 mech=SCRAM-SHA-512,SCRAM-SHA-256-PLUS`,
			func(err error) bool { return strings.Contains(err.Error(), "no login") }},
		{"full", `
			C: HELO v=1 acks=1 beat=30000
			S: 421 retry=5000 :Too many connections`,
			func(err error) bool {
				var bye *chatclient.GoodbyeError
				return errors.As(err, &bye) && bye.Retry == 5*time.Second && bye.Text == "Too many connections"
			}},
		{"not a server", `
			C: HELO v=1 acks=1 beat=30000
			S: MESG from=A id=1.1 :A: hi`,
			func(err error) bool { var p *chatproto.ProtocolError; return errors.As(err, &p) }},
		{"silent", `
			C: HELO v=1 acks=1 beat=30000
			C+30s: <close>`,
			func(err error) bool { return isTimeout(err) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				d := dial(t, s.config())
				l := s.link()
				l.play(test.script)
				if err := (<-d).err; err == nil || !test.check(err) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// Dial heeds its context.
func TestDialCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d := async(func() error { _, err := chatclient.Dial(ctx, s.config()); return err })
		s.link().play("C: HELO v=1 acks=1 beat=30000")
		if err := <-d; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

type remote struct {
	net.Conn
	addr string
}

func (r remote) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", r.addr)
	return a
}

// Every fault of a configuration is told at once.
func TestConfigFaults(t *testing.T) {
	_, err := chatclient.Dial(t.Context(), chatclient.Config{User: "a b", PeerListen: ":80", Heartbeat: -1, Fingerprint: "sha256:abc", Cleartext: 3})
	for _, want := range []string{"Addr", "Credentials", "spaces", "PeerListen", "negative", "Fingerprint", "Cleartext"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

// Passwords never show in the trace.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.DeclinePresence = true
		var lines []string
		cfg.Trace = func(sent bool, line []byte) {
			who := "S: "
			if sent {
				who = "C: "
			}
			lines = append(lines, who+string(line))
		}
		d := dial(t, cfg)
		s.link().play(`
			C: HELO v=1 acks=1 beat=30000 pres=0
			S: 220 v=1
			C: AUTH mech=PLAIN user=B pass=secret origin=*
			S: 230 user=B new=1 known=0 high=0 mail=0`)
		end((<-d).c)
		got := strings.Join(lines, "\n")
		if strings.Contains(got, "secret") || !strings.Contains(got, "pass=*** origin=") || !strings.HasPrefix(got, "C: HELO v=1 acks=1 beat=30000 pres=0\nS: 220 v=1\n") {
			t.Error(got)
		}
	})
}

// Neither do proofs, what they answer, and tokens; what a person reads stays
// as it is.
func TestTraceOfScram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.welcomeText = " :your token=1 data=2"
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		var b strings.Builder
		cfg.Trace = func(sent bool, line []byte) { fmt.Fprintln(&b, sent, string(line)) }
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.hangUp()
		time.Sleep(time.Minute)
		end(c)
		login := `true HELO v=1 acks=1 beat=30000
false 220 v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN boot=9c t=1795348800000
true AUTH mech=SCRAM-SHA-256-PLUS user=B data=*** origin=ORIGIN%s
false 334 data=***
true AUTH data=***
false 230 user=B new=%d known=%d high=0 mail=0 token=*** data=*** :your token=1 data=2
`
		got := regexp.MustCompile("origin=[0-9a-f]+").ReplaceAllString(b.String(), "origin=ORIGIN")
		got = regexp.MustCompile("(?m)^(true|false) (LIVE|LSTN .*|200 .*|SEND .*)\n").ReplaceAllString(got, "")
		if want := fmt.Sprintf(login, "", 1, 0) + fmt.Sprintf(login, " known=1 token=***", 0, 1); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}
