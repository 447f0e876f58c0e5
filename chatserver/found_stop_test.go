package chatserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
)

// Close ends the server at once, also while a Shutdown waits.
func TestCloseDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := revLogin(t, srv, "A", "a1")
		st.set(false, true)
		a.send("SEND n=1 to=B :never stored")
		time.Sleep(time.Second)
		go srv.Shutdown(context.Background())
		time.Sleep(time.Second)
		closed := make(chan bool)
		go func() { srv.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(time.Hour):
			t.Error("Close did not return for an hour")
		}
		st.set(false, false)
		time.Sleep(time.Minute)
	})
}

// Shutdown and Close end when they must, also if the store hangs.
func TestShutdownWhileTheStoreHangs(t *testing.T) {
	for name, end := range map[string]func(*chatserver.Server){
		"Close": func(s *chatserver.Server) { s.Close() },
		"Shutdown": func(s *chatserver.Server) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newRevGate()
				srv := &chatserver.Server{Accounts: demo, Store: st}
				a := revLogin(t, srv, "A", "a1")
				st.set(true, false)
				a.send("SEND n=1 to=B :never stored")
				time.Sleep(time.Second)
				closed := make(chan bool)
				go func() { end(srv); close(closed) }()
				select {
				case <-closed:
				case <-time.After(time.Hour):
					t.Error("it did not return for an hour")
				}
				st.set(false, false)
				time.Sleep(time.Minute)
			})
		})
	}
}

// A Shutdown that was cut short says so.
func TestShutdownCutShort(t *testing.T) {
	cause := errors.New("the operator is in a hurry")
	for name, with := range map[string]func() context.Context{
		"canceled": func() context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			return ctx
		},
		"deadline with a cause": func() context.Context {
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, cause)
			time.AfterFunc(2*time.Second, cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
					OnDisconnect: func(context.Context, chatserver.ConnInfo, string) { time.Sleep(5 * time.Second) },
				}}
				a := revLogin(t, srv, "A", "a1")
				_ = a
				if err := srv.Shutdown(with()); err == nil {
					t.Error("Shutdown was cut short, and returns nil")
				}
			})
		})
	}
}

// While the server ends, a failing store is not asked without a pause.
func TestCommitSpinsWhileClosing(t *testing.T) {
	release := make(chan bool)
	st := newRevGate()
	srv := &chatserver.Server{Accounts: demo, Store: st, Hooks: chatserver.Hooks{
		OnDisconnect: func(context.Context, chatserver.ConnInfo, string) { <-release },
	}}
	p := revMeet(t, srv, revLocal)
	p.login("A", "a1")
	if !p.within(5*time.Second, "230") {
		t.Fatal("no login")
	}
	st.set(false, true)
	p.send("SEND n=1 to=B :never stored")
	for before, now := st.asked(), 0; now <= before; now = st.asked() {
		runtime.Gosched()
	}
	done := make(chan bool)
	go func() { srv.Close(); close(done) }()
	end := time.After(500 * time.Millisecond)
	<-end
	n := st.asked()
	close(release)
	<-done
	if n > 100 {
		t.Errorf("in half a second of closing the failing store was asked %d times, with a line in the log each", n)
	}
}

// eofListener is closed by its other end for good.
type eofListener struct{ net.Listener }

func (eofListener) Accept() (net.Conn, error) { return nil, io.EOF }
func (eofListener) Close() error              { return nil }

func TestServeReturnsLastingErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		done := make(chan error)
		go func() { done <- srv.Serve(eofListener{}) }()
		select {
		case <-done:
		case <-time.After(time.Hour):
			t.Error("Serve asked a listener that has ended again and again for an hour")
		}
		srv.Close()
		select {
		case <-done:
		case <-time.After(time.Hour):
		}
	})
}

// A hook holds up the connection that it runs on, and no other.
func TestHookHoldsUpDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
			OnConsentAsked: func(context.Context, string, string) { time.Sleep(time.Minute) },
		}}
		a, b := revLogin(t, srv, "A", "a1"), revLogin(t, srv, "B", "b1")
		c := revLogin(t, srv, "C", "c1")
		_ = c
		b.got()
		a.send("SEND n=1 to=B :hi", "ADDR n=2 user=C")
		time.Sleep(10 * time.Second)
		if got := b.got(); !revHas(got, "MESG ") {
			t.Errorf("B's message waits for a hook of A's connection: %q", got)
		}
		time.Sleep(time.Minute)
		srv.Close()
	})
}

// No lock is held while a hook runs.
func TestHookHoldsTheUsersLock(t *testing.T) {
	running, release := make(chan bool), make(chan bool)
	srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
		OnLogin: func(_ context.Context, c chatserver.ConnInfo) {
			if c.Origin == 0xa1 {
				close(running)
				<-release
			}
		},
	}}
	first := revMeet(t, srv, revLocal)
	first.login("A", "a1")
	<-running
	second := revMeet(t, srv, revLocal)
	second.login("A", "a2")
	if !second.within(2*time.Second, "230") {
		t.Error("a hook of A's first connection holds up A's second login: user.login is held")
	}
	close(release)
	srv.Close()
}

// What came before the fence is applied before it, or not at all.
func TestReplacedConnectionIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: slowExists{demo}}
		defer srv.Close()
		old := revLogin(t, srv, "A", "a1")
		old.send("SEND n=1 to=B :from the grave", "ONLN n=2")
		synctest.Wait() // the server asks whether there is a B
		revLogin(t, srv, "A", "a2")
		time.Sleep(time.Minute)
		if got := revLoginLines(t, srv, "B", "b1"); revHas(got, "MESG ") {
			t.Errorf("decided and delivered after the 230 that fenced it: %q", got)
		}
	})
}

type slowExists struct{ chatserver.Credentials }

func (s slowExists) Exists(ctx context.Context, user string) (bool, error) {
	if user == "B" {
		time.Sleep(10 * time.Second)
	}
	return s.Credentials.Exists(ctx, user)
}

// OnAccepted tells before the sender is told.
func TestOnAcceptedComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
			OnAccepted: func(context.Context, chatserver.Accepted) { time.Sleep(time.Minute) },
		}}
		a, b := revLogin(t, srv, "A", "a1"), revLogin(t, srv, "B", "b1")
		a.send("SEND n=1 to=B :hi")
		b.got()
		b.send("ACKD count=1")
		if got := a.got(); revHas(got, "201") {
			t.Errorf("the sender was told while OnAccepted runs: %q", got)
		}
		time.Sleep(time.Hour)
		srv.Close()
	})
}

// GETA's addr= has the form of an address: no zone, no name of a socket.
func TestFormOfAddress(t *testing.T) {
	for _, from := range []string{"[fe80::1%eth0]:5000", "pipe"} {
		t.Run(from, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, AllowCleartext: true}
				defer srv.Close()
				a := revLogin(t, srv, "A", "a1")
				b := revMeet(t, srv, from)
				b.login("B", "b1")
				b.send("LSTN n=1 port=2000")
				b.got()
				a.send("ADDR n=1 user=B")
				a.got()
				b.send("CNST n=2 user=A")
				for _, l := range a.got() {
					if revHas([]string{l}, "GETA user=B addr=pipe") || revHas([]string{l}, "GETA user=B addr=fe80::1%") {
						t.Error(l)
					}
				}
			})
		})
	}
}

// An RVKD for a session whose connection is about to end is kept for the next.
func TestEventOfEndingConnectionIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a, b := revLogin(t, srv, "A", "a1"), revLogin(t, srv, "B", "b1")
		b.send("LSTN n=1 port=2000")
		b.got()
		a.send("ADDR n=1 user=B")
		a.got()
		b.send("CNST n=2 user=A")
		a.got()
		st.set(true, false)
		a.send("SEND n=2 to=C :waits for the disk")
		synctest.Wait()
		a.nc.CloseWrite() // A's network is gone
		synctest.Wait()
		b.send("RVKE n=3 user=A")
		b.got()
		st.set(false, false)
		time.Sleep(time.Second)
		got := append(a.got(), revLoginLines(t, srv, "A", "a1")...)
		if !revHas(got, "RVKD") {
			t.Errorf("A never hears that B's consent ended: %q", got)
		}
		srv.Close()
	})
}

// When Shutdown has returned, nothing of the server runs any more.
func TestTimerOutlivesShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := false
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
			OnLogout: func(context.Context, string, string) {
				running = true
				time.Sleep(time.Minute)
				running = false
			},
		}}
		a := revLogin(t, srv, "A", "a1")
		a.nc.Close()
		time.Sleep(46 * time.Second) // the session has lingered long enough
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if running {
			t.Error("Shutdown has returned, and a hook still runs on a timer's goroutine")
		}
		time.Sleep(time.Hour)
	})
}

// unreadable is a store that cannot read messages back.
type unreadable struct {
	*revGate
	reads atomic.Int64
}

func (u *unreadable) Messages(context.Context, []uint64) ([]*store.Message, error) {
	u.reads.Add(1)
	return nil, errRevDisk
}

// While the server ends, a store that cannot be read is not asked without a
// pause.
func TestReadingSpinsWhileClosing(t *testing.T) {
	running, release := make(chan bool), make(chan bool)
	st := &unreadable{revGate: newRevGate()}
	srv := &chatserver.Server{Accounts: demo, Store: st, Hooks: chatserver.Hooks{
		AuthorizeMessage: func(_ context.Context, m chatserver.Outgoing) error {
			if m.From == "B" {
				close(running)
				<-release
			}
			return nil
		},
	}}
	a := revMeet(t, srv, revLocal)
	a.login("A", "a1")
	a.send("SEND n=1 to=B :mail")
	if !a.within(5*time.Second, "201") {
		t.Fatal("no answer")
	}
	b := revMeet(t, srv, revLocal)
	b.login("B", "b1")
	b.send("SEND n=1 to=A :held up by a hook")
	<-running
	done := make(chan bool)
	go func() { srv.Close(); close(done) }()
	<-time.After(500 * time.Millisecond)
	n := st.reads.Load()
	close(release)
	<-done
	if n > 100 {
		t.Errorf("in half a second of closing the store was read %d times, with a line in the log each", n)
	}
}
