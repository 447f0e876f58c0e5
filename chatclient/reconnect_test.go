package chatclient_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A client that has nothing to say says LIVE, as often as the server wants.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := dial(t, s.config())
		l := s.link()
		l.play(hello + "S: 230 user=B new=1 known=0 high=0 mail=0 beat=20000")
		c := (<-d).c
		l.play(`
			C+20s: LIVE
			S: LIVE
			C+40s: LIVE
			S: LIVE`)
		time.Sleep(15 * time.Second)
		got := send(c, "A", "x")
		l.play(`
			C: SEND n=1 to=A :x
			S: 201 n=1 how=stored
			C+20s: LIVE`)
		<-got
		end(c)
	})
}

// A connection on which nothing comes for 1.5 heartbeats is dead.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		states := make(chan chatclient.State, 10)
		cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { states <- st }
		c, l := s.login(cfg)
		l.play(`
			C+30s: LIVE
			C+45s: <close>`)
		s.link().play(resumed)
		synctest.Wait()
		end(c)
		want := []chatclient.StateKind{chatclient.Online, chatclient.Waiting, chatclient.Connecting, chatclient.Online, chatclient.Closed}
		for i, kind := range want {
			st := <-states
			if st.Kind != kind || st.Resumed != (i == 3) || (st.Err != nil) != (kind == chatclient.Waiting) {
				t.Errorf("state %d is %+v", i, st)
			}
		}
	})
}

// A server that does not read does not keep its own frames from being heard,
// and the connection is given up after a while.
func TestServerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		taken := 0
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { taken++; return nil }
		c, l := s.login(cfg)
		got := send(c, "A", "x")
		l.play("S: MESG from=C id=1.1 t=0 :C: x")
		synctest.Wait()
		if taken != 1 {
			t.Error("the message was not heard")
		}
		l2 := s.link()
		l2.play(resumed + `
			C: SEND n=1 to=A :x
			S: 201 n=1 how=stored`)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		end(c)
	})
}

// Tries to come back get rarer, and go on for ever.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.BackoffMin, cfg.BackoffMax = time.Second, 16*time.Second
		var waits []time.Duration
		cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) {
			if st.Kind == chatclient.Waiting {
				waits = append(waits, st.Retry)
			}
		}
		c, l := s.login(cfg)
		s.refuse = true
		l.play("S: <close>")
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.dials < 200 || s.dials > 900 {
			t.Errorf("%d tries in an hour", s.dials)
		}
		limit := time.Second
		var longest time.Duration
		for i, w := range waits {
			if w > limit {
				t.Errorf("wait %d is %v, above %v", i, w, limit)
			}
			limit = min(2*limit, 16*time.Second)
			longest = max(longest, w)
		}
		if longest < 12*time.Second {
			t.Errorf("the longest wait is %v", longest)
		}
		end(c)
	})
}

// The server says when it wants to see the client again, in whichever way.
func TestRetryHonoured(t *testing.T) {
	tests := map[string]func(s *server, l *link){
		"GBYE": func(s *server, l *link) { l.play("S: GBYE why=shutdown retry=60000 :Back soon") },
		"421":  func(s *server, l *link) { l.play("S: 421 retry=60000 :Service not available") },
		"450": func(s *server, l *link) {
			l.play("S: <close>")
			s.link().play(hello + "S: 450 retry=60000 :Blocked")
		},
		"450 without retry": func(s *server, l *link) {
			l.play("S: <close>")
			s.link().play(hello + "S: 450 :Blocked")
		},
		"429": func(s *server, l *link) {
			l.play("S: <close>")
			s.link().play(hello + "S: 429 retry=60000 :Slow down")
		},
	}
	for name, play := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, l := s.login(s.config())
				play(s, l)
				begin := time.Now()
				l = s.link()
				if got := time.Since(begin); got < time.Minute || got > 62*time.Second {
					t.Errorf("came back after %v", got)
				}
				l.play(resumed)
				end(c)
			})
		})
	}
}

// Some reasons are final: the client ends and says why, and does not fight.
func TestFinal(t *testing.T) {
	bye := func(why string) func(error) bool {
		return func(err error) bool {
			var g *chatclient.GoodbyeError
			return errors.As(err, &g) && g.Why == why && g.Text == "Bye"
		}
	}
	code := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	tests := []struct {
		name  string
		play  func(s *server, l *link)
		check func(error) bool
	}{
		{"replaced", func(s *server, l *link) { l.play("S: GBYE why=replaced :Bye") }, bye("replaced")},
		{"removed", func(s *server, l *link) { l.play("S: GBYE why=removed :Bye") }, bye("removed")},
		{"password changed", func(s *server, l *link) {
			l.play("S: <close>")
			s.link().play(hello + "S: 535 left=2 :Invalid Password. Please try again\nC: <close>")
		}, code(chatproto.ErrDenied)},
		{"version gone", func(s *server, l *link) {
			l.play("S: <close>")
			s.link().play("C: HELO v=1 acks=1 beat=30000\nS: 505 :No common protocol version")
		}, code(chatproto.ErrNoVersion)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cfg := s.config()
				var last chatclient.State
				cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { last = st }
				asked := false
				cfg.Credentials = func(context.Context, *chatproto.Error) (string, string, error) {
					asked = true
					return "B", "secret", nil
				}
				c, l := s.login(cfg)
				test.play(s, l)
				<-c.Done()
				if !test.check(c.Err()) || last.Kind != chatclient.Closed || last.Err != c.Err() || asked {
					t.Errorf("ended with %v, %+v, asked %v", c.Err(), last, asked)
				}
				if _, err := c.Send(t.Context(), "A", "x"); !errors.Is(err, chatclient.ErrClosed) || !test.check(err) || errors.Is(err, chatclient.ErrUnknown) {
					t.Errorf("Send after the end: %v", err)
				}
				if s.dials > 2 {
					t.Errorf("%d tries", s.dials)
				}
			})
		})
	}
}

// A held connection takes its time to close.
type held struct {
	net.Conn
	once    sync.Once
	closing chan struct{}
	release chan struct{}
}

func (h *held) Close() error {
	h.once.Do(func() { close(h.closing) })
	<-h.release
	return h.Conn.Close()
}

// What is asked between the server's last word and the end of the connection
// has its turn on the next.
func TestAskedAfterGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		h := &held{closing: make(chan struct{}), release: make(chan struct{})}
		cfg.Dial = func(ctx context.Context) (net.Conn, error) {
			nc, err := s.dial(ctx)
			if h.Conn != nil {
				return nc, err
			}
			h.Conn = nc
			return h, err
		}
		c, l := s.login(cfg)
		l.play("S: GBYE why=shutdown")
		<-h.closing
		asked := async(func() error { _, err := c.Online(t.Context()); return err })
		synctest.Wait()
		got := send(c, "A", "x")
		synctest.Wait()
		close(h.release)
		s.link().play(resumed + `
			C: SEND n=1 to=A :x
			C: ONLN n=2
			S: 201 n=1 how=stored
			S: 211 n=2`)
		if err := errors.Join(<-asked, (<-got).err); err != nil {
			t.Error(err)
		}
	})
}

// Other reasons are not.
func TestNotFinal(t *testing.T) {
	for _, line := range []string{
		"GBYE why=shutdown :Bye", "GBYE why=timeout :Bye", "GBYE why=protocol :Bye", "GBYE :Bye", "GBYE why=new",
		"503 :Not allowed now", "451", "421", "MESG from=A :A: without id", "LIVE x=1 :fine\r\nGBYE",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c, l := s.login(s.config())
			l.nc.Write([]byte(line + "\r\n"))
			s.link().play(resumed)
			end(c)
		})
	}
}

// A login that somebody changed on the way is told, and tried again after a
// while; one that is refused is not.
func TestChangedHandshake(t *testing.T) {
	for refusal, final := range map[string]bool{
		"501 :The handshake was changed on the way": false,
		"535 left=2 :Invalid Password":              true,
		"505 :No common protocol version":           true,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			cfg := s.config()
			states := make(chan chatclient.State, 10)
			cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) { states <- st }
			c, l := s.login(cfg)
			l.play("S: <close>")
			l = s.link()
			l.play(as(hello, " known=1") + "S: " + refusal + "")
			if final {
				<-c.Done()
				if c.Err() == nil {
					t.Error("the client ended without a reason")
				}
				return
			}
			s.link().play(resumed)
			synctest.Wait()
			end(c)
			told := false
			for len(states) > 0 {
				st := <-states
				told = told || st.Kind == chatclient.Waiting && errors.Is(st.Err, chatproto.ErrBadField) && st.Retry > 0 && st.Text != ""
			}
			if !told {
				t.Error("nobody is told")
			}
		})
	}
}

// Whoever changes one login gets no weaker one.
func TestChangedHandshakeIsNotWeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.loginScram(s.config())
		l.play("S: <close>")
		l = s.link()
		l.play(helloScram + "C: AUTH mech=SCRAM-SHA-256 user=B data=* origin=* known=1\nS: 501 :The handshake was changed on the way")
		s.link().play("C: HELO v=1 acks=1 beat=30000\nS: 220 v=1 mech=PLAIN boot=9c t=0\nC: <close>")
		<-c.Done()
		if !errors.Is(c.Err(), chatclient.ErrDowngrade) {
			t.Error(c.Err())
		}
	})
}
