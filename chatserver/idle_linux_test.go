package chatserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// An idler is a client of a server on whose connections rest follows at once.
type idler struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func (i *idler) say(format string, args ...any) {
	i.t.Helper()
	if _, err := fmt.Fprintf(i, format, args...); err != nil {
		i.t.Error(err)
	}
}

func (i *idler) want(prefix string) {
	i.t.Helper()
	for {
		l, err := i.ReadString('\n')
		if strings.HasPrefix(l, "LIVE") {
			continue
		}
		if !strings.HasPrefix(l, prefix) || prefix == "" && err == nil {
			i.t.Errorf("got %q, %v, want %q", l, err, prefix)
		}
		return
	}
}

// restless starts a server whose connections are idle after a moment, and
// tells how many came to be.
func restless(t *testing.T, srv *Server) (dial func(user string) *idler, rested chan struct{}) {
	rested = make(chan struct{}, 1000)
	srv.Accounts = Credentials{"A": "a", "B": "b"}
	srv.restAfter, srv.onRest = time.Millisecond, func() { rested <- struct{}{} }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return func(user string) *idler {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		i := &idler{nc, bufio.NewReader(nc), t}
		i.say("HELO v=1 acks=1 pres=0 beat=60000\r\nAUTH user=%s pass=%s origin=%s\r\n", user, strings.ToLower(user), strings.ToLower(user))
		i.want("220 ")
		i.want("230 ")
		return i
	}, rested
}

// TestIdle: a connection that has no goroutine takes what comes from either
// side, also a line in pieces, and its end.
func TestIdle(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a, b := dial("A"), dial("B")
	<-rested
	<-rested
	for n := 1; n < 20; n++ {
		a.say("SEND n=%d to=B :he", n)
		<-rested // with a line in part
		a.say("llo\r\n")
		b.want(fmt.Sprintf("MESG from=A id=a.%d ", n))
		b.say("ACKD count=%d\r\n", n)
		a.want("201 ")
		<-rested
		<-rested
	}
	b.Close()
	a.say("SEND n=20 to=B :you there?\r\n")
	a.want("201 n=20 how=stored")
	srv.idle.mu.Lock()
	defer srv.idle.mu.Unlock()
	if n := len(srv.idle.conns); n > 1 {
		t.Errorf("%d connections are watched", n)
	}
}

// TestIdleIsSilent: who is idle for too long is logged out.
func TestIdleIsSilent(t *testing.T) {
	srv := &Server{Timeout: time.Second} // of which a login takes a part
	dial, rested := restless(t, srv)
	a := dial("A")
	<-rested
	a.want("GBYE why=timeout")
	a.want("")
}

// TestIdleGoodbye: who is idle is told goodbye, and cut.
func TestIdleGoodbye(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a := dial("A")
	<-rested
	other := dial("A") // from the same origin: it takes the session over
	a.want("")
	<-rested
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	other.want("GBYE why=shutdown")
	other.want("")
	srv.idle.mu.Lock()
	defer srv.idle.mu.Unlock()
	if n := len(srv.idle.conns); n > 0 {
		t.Errorf("%d connections are watched", n)
	}
}

// TestIdleHeartbeat: who is idle is told that the server lives, as often as he
// asked for, and not sooner because of what was said meanwhile.
func TestIdleHeartbeat(t *testing.T) {
	srv := &Server{Heartbeat: time.Second}
	dial, rested := restless(t, srv)
	begun := time.Now()
	a := dial("A")
	<-rested
	for n := range time.Duration(2) {
		if l, err := a.ReadString('\n'); l != "LIVE\r\n" {
			t.Fatalf("got %q, %v, want LIVE", l, err)
		}
		// Between two that come can be less time than between their going out.
		if since := time.Since(begun); since < (n+1)*900*time.Millisecond {
			t.Errorf("the server lived %d times in %v", n+1, since)
		}
	}
	select {
	case <-rested:
		t.Error("a goroutine was started to say so")
	default:
	}
	a.say("LIVE\r\n") // it has a goroutine again
	<-rested
	if l, err := a.ReadString('\n'); l != "LIVE\r\n" {
		t.Errorf("got %q, %v, want LIVE", l, err)
	}
}
