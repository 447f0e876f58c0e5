package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// Why a client stays connected, which is told once.
func TestStaysConnected(t *testing.T) {
	plain := strings.ReplaceAll(backHello, " t=0 caps=dialback", " t=0")
	welcome := "S: 230 user=B new=%d known=%d high=0 mail=0\n"
	for _, test := range []struct {
		name    string
		prepare func(s *caller, cfg *chatclient.Config)
		play    func(s *caller, fresh, n int) string
		want    string
	}{
		{"not offered", nil, func(s *caller, fresh, n int) string {
			return plain + fmt.Sprintf(welcome, fresh, 1-fresh)
		}, "the server does not offer to dial back"},
		{"refused", nil, func(s *caller, fresh, n int) string {
			return backHello + fmt.Sprintf(welcome, fresh, 1-fresh) + fmt.Sprintf(`
				C: LSTN n=%d port=28403 key=%s sig=* dial=28404
				S: 501 n=%[1]d :That address is not dialled
				C: LSTN n=%[3]d port=28403 key=%[2]s sig=*
				S: 200 n=%[3]d`, n, keyOf(s.t, "B"), n+1)
		}, "That address is not dialled"},
		{"cleartext", func(s *caller, cfg *chatclient.Config) {
			cfg.Cleartext, cfg.Dial = chatclient.CleartextLocal, s.server.dial
		}, func(s *caller, fresh, n int) string {
			return strings.ReplaceAll(plain, " caps=dialback", "") + fmt.Sprintf(welcome, fresh, 1-fresh)
		}, "there is no dial-back without TLS"},
		{"no port", func(s *caller, cfg *chatclient.Config) {
			cfg.PeerNetwork(func(_, addr string) (net.Listener, error) { return nil, errors.New("no port " + addr) }, nil)
		}, func(s *caller, fresh, n int) string {
			return backHello + fmt.Sprintf(welcome, fresh, 1-fresh)
		}, "cannot listen for the server: no port 127.0.0.1:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newCaller(t)
				cfg := s.config()
				if test.name == "refused" { // and private chat does not suffer
					cfg.PeerListen = ""
					cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
				}
				if test.prepare != nil {
					test.prepare(s, &cfg)
				}
				d := dial(t, cfg)
				s.link().playTo(test.play(s, 1, 1), "S: <close>")
				c := (<-d).c
				synctest.Wait()
				l := s.link()
				l.playTo(test.play(s, 0, 3), "")
				l.play("C+30s: LIVE")
				s.said(chatclient.Online, chatclient.Waiting, chatclient.Connecting, chatclient.Online)
				if len(s.stays) != 1 {
					t.Fatalf("it was told %d times", len(s.stays))
				}
				if why := <-s.stays; !strings.Contains(why.Error(), test.want) {
					t.Error(why)
				}
				s.gone.Store(true)
				end(c)
			})
		})
	}
}

// playTo plays two scripts as one.
func (l *link) playTo(scripts ...string) { l.t.Helper(); l.play(strings.Join(scripts, "\n")) }

// Who cannot be called finds the session over, and stays connected.
func TestUnreachable(t *testing.T) {
	for name, test := range map[string]struct {
		boot  string
		slept time.Duration
		stays bool
	}{
		"the server tried in vain": {"9c", 0, true},
		"the server was restarted": {"9d", 0, false},
		"the machine slept":        {"9c", 5 * time.Second, false},
		"it did hardly":            {"9c", 4999 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newCaller(t)
				c := s.away(s.config())
				time.Sleep(time.Minute)
				c.Slept(test.slept)
				got := send(c, "A", "x")
				l := s.link()
				script := strings.ReplaceAll(backHello, "boot=9c", "boot="+test.boot) + `
					S: 230 user=B new=1 known=1 high=0 mail=0 token=2
					C: SEND n=2 to=A :x`
				told := `
					C: LSTN n=3 key=` + keyOf(t, "B") + ` sig=* dial=28403
					S: 201 n=2 how=stored
					S: 200 n=3 lease=600000`
				if test.stays {
					l.play(script + "\nS: 201 n=2 how=stored")
					l.play("C+30s: LIVE")
					s.said(chatclient.Online)
				} else {
					l.play(script + told + parts)
					s.said(chatclient.Online, chatclient.Away)
				}
				<-got
				if told := len(s.stays) == 1; told != test.stays {
					t.Error("it is told that the client stays:", told)
				}
			})
		})
	}
}

// A machine that slept counts the time.
func TestAwayAsleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c := s.away(s.config())
		time.Sleep(90 * time.Second)
		c.Slept(time.Hour)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if s.tries.Load() != 1 {
			t.Error("it does not wait for the clock")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.tries.Load() != 2 {
			t.Error("it does not come back when the machine is awake")
		}
		s.gone.Store(true)
		s.link().nc.Close()
	})
}

// A call that comes to nothing refuses nothing: the client stays away, or
// comes by itself at once if the server does not know its session.
func TestCallInVain(t *testing.T) {
	greeted := strings.Split(called, "C: AUTH")[0]
	for name, test := range map[string]struct {
		script string
		comes  bool
	}{
		"hung up":          {"S: <close>", false},
		"421":              {"C: HELO v=1 acks=1 beat=30000 caps=dialback\nS: 421 retry=60000 :Service not available\nS: <close>", false},
		"421 to AUTH":      {called + "S: 421 :Service not available\nC: <close>", false},
		"450":              {called + "S: 450 retry=600000 :Blocked\nC: <close>", false},
		"505":              {called + "S: 505 :Upgrade\nC: <close>", false},
		"501":              {called + "S: 501 :No\nC: <close>", false},
		"GBYE":             {called + "S: GBYE why=replaced :You logged in elsewhere\nC: <close>", false},
		"removed":          {"C: HELO v=1 acks=1 beat=30000 caps=dialback\nS: GBYE why=removed :The account is gone\nC: <close>", false},
		"other mechanisms": {strings.Replace(greeted, "EXTERNAL", "EXTERNAL,PLAIN", 1) + "C: <close>", false},
		"a password":       {strings.Replace(greeted, "EXTERNAL", "PLAIN", 1) + "C: <close>", false},
		"a challenge":      {called + "S: 334 data=x\nC: <close>", false},
		"silence":          {"C: HELO v=1 acks=1 beat=30000 caps=dialback\nC+10s: <close>", false},
		"535":              {called + "S: 535 :No such session\nC: <close>", true},
		"another session":  {called + "S: 230 user=B new=1 known=1 high=0 mail=0\nC: <close>", true},
		"another window":   {called + "S: 230 user=B new=0 known=0 high=0 mail=0\nC: <close>", true},
		"numbers ahead":    {called + "S: 230 user=B new=0 known=1 high=9 mail=0\nC: <close>", true},
		"another boot":     {strings.Replace(called, "9c", "9d", 1) + "S: 230 user=B new=0 known=1 high=0 mail=0\nC: <close>", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newCaller(t)
				c := s.away(s.config())
				dials := s.tries.Load()
				s.call().play(test.script)
				time.Sleep(time.Second)
				synctest.Wait()
				if came := s.tries.Load() > dials; came != test.comes {
					t.Error("it comes by itself:", came)
				}
				if test.comes {
					s.link().play(backHello + s.resumedAt(0, 2) + parts)
					s.said(chatclient.Online, chatclient.Away)
				}
				s.call().play(called + "S: 230 user=B new=0 known=1 high=0 mail=0 token=5" + parts)
				s.said(chatclient.Online, chatclient.Away)
				if c.Err() != nil {
					t.Error(c.Err())
				}
			})
		})
	}
}

// What is said on a call after the login counts as on any connection.
func TestCalledAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c := s.away(s.config())
		dials := s.tries.Load()
		s.call().play(called + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			S: GBYE why=replaced :You logged in elsewhere
			C: <close>`)
		<-c.Done()
		var bye *chatclient.GoodbyeError
		if !errors.As(c.Err(), &bye) || s.tries.Load() > dials {
			t.Error(c.Err(), s.tries.Load())
		}
	})
}

// While the client has a connection, or makes one, nobody is heard on the
// port.
func TestCalledWhileConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c, l := s.login(s.config())
		s.hungUp(s.knock(), "connected")
		l.play(parts)
		synctest.Wait()
		early := s.knock() // in the middle of its handshake
		hello := make([]byte, 1)
		if _, err := io.ReadFull(early, hello); err != nil || hello[0] != 0x16 {
			t.Error(hello, err)
		}
		got := send(c, "A", "x")
		l = s.link()
		synctest.Wait()
		s.hungUp(early, "making one")
		s.hungUp(s.knock(), "making one")
		l.play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			C: SEND n=2 to=A :x
			C: LSTN n=3 key=` + keyOf(t, "B") + ` sig=* dial=28403
			S: 201 n=2 how=stored
			S: 200 n=3 lease=600000` + parts)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		// And while one call is taken, another is not.
		synctest.Wait()
		first := s.call()
		first.play("C: HELO v=1 acks=1 beat=30000 caps=dialback")
		s.hungUp(s.knock(), "called")
		first.play(strings.Replace(called, "C: HELO v=1 acks=1 beat=30000 caps=dialback", "", 1) + "S: 230 user=B new=0 known=1 high=2 mail=0 token=3" + parts)
	})
}

// Close and Logout of a client that is away end its session, if the server is
// there.
func TestEndWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c := s.away(s.config())
		c.Close()
		s.link().play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			C: QUIT
			S: 221
			C: <close>
			S: <close>`)
		<-c.Done()
		s.said(chatclient.Closed)

		s = newCaller(t)
		c = s.away(s.config())
		began := time.Now()
		c.Close()
		s.link().play("C: HELO v=1 acks=1 beat=30000 caps=dialback\nC+5s: <close>")
		<-c.Done()
		if took := time.Since(began); took != 5*time.Second || c.Err() != nil {
			t.Errorf("%v after %v", c.Err(), took)
		}

		s = newCaller(t)
		c = s.away(s.config())
		out := async(func() error { return c.Logout(t.Context()) })
		l := s.link()
		if _, err := c.Send(t.Context(), "A", "too late"); !errors.Is(err, chatclient.ErrClosed) {
			t.Error(err)
		}
		l.play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			C: LSTN n=2 key=` + keyOf(t, "B") + ` sig=* dial=28403
			C: QUIT n=3
			S: 200 n=2 lease=600000
			S: 221 n=3
			C: <close>`)
		if err := <-out; err != nil {
			t.Error(err)
		}

		s = newCaller(t)
		c = s.away(s.config())
		s.gone.Store(true)
		if err := c.Logout(t.Context()); !errors.Is(err, chatclient.ErrConnection) {
			t.Error(err)
		}
		<-c.Done()

		s = newCaller(t)
		c = s.away(s.config())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Logout(ctx); !errors.Is(err, chatclient.ErrConnection) {
			t.Error(err)
		}
		s.gone.Store(true)
		<-c.Done()
		s.link().play("C: <close>")
	})
}

// A server that is gone when the client needs it is waited for as ever.
func TestServerGoneWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c := s.away(s.config())
		s.gone.Store(true)
		got := send(c, "A", "x")
		synctest.Wait()
		s.gone.Store(false)
		s.said(chatclient.Waiting)
		s.link().play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			C: SEND n=2 to=A :x
			C: LSTN n=3 key=` + keyOf(t, "B") + ` sig=* dial=28403
			S: 201 n=2 how=stored
			S: 200 n=3 lease=600000` + parts)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		s.said(chatclient.Connecting, chatclient.Online, chatclient.Away)
	})
}
