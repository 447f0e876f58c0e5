package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// A caller is a scripted server with TLS that calls its client.
type caller struct {
	*server
	n      *peerNet
	cert   tls.Certificate
	states chan chatclient.State
	stays  chan error
	gone   atomic.Bool // nobody answers
	tries  atomic.Int32
}

func newCaller(t *testing.T) *caller {
	return &caller{server: newServer(t), n: newPeerNet(), cert: selfMade(t, newKey(t), year1999, year2001),
		states: make(chan chatclient.State, 100), stays: make(chan error, 10)}
}

// dial is Config.Dial: the server is on this machine, and has a key that is
// pinned.
func (s *caller) dial(context.Context) (net.Conn, error) {
	s.tries.Add(1)
	if s.gone.Load() {
		return nil, errors.New("connection refused")
	}
	client, end := net.Pipe()
	l := newLink(s.t, tls.Server(end, serverTLS(s.cert, handshake.ALPN)))
	s.links <- l
	return remote{client, "127.0.0.1:8000"}, nil
}

func serverTLS(cert tls.Certificate, alpn string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// backTLS is that of a connection which the server made.
func backTLS(cert tls.Certificate) *tls.Config {
	t := serverTLS(cert, handshake.BackALPN)
	t.ClientAuth = tls.RequireAnyClientCert
	return t
}

func (s *caller) config() chatclient.Config {
	cfg := chatclient.Config{Addr: farAddr, Dial: s.dial, User: "B", Password: "secret", PeerListen: "off",
		Identity: identityOf(s.t, "B"), DialBack: &chatclient.DialBack{},
		Callbacks: chatclient.Callbacks{
			OnState:          func(_ context.Context, st chatclient.State) { s.states <- st },
			OnStaysConnected: func(_ context.Context, why error) { s.stays <- why },
		}}
	s.n.use(&cfg)
	return cfg
}

const (
	backHello = `
		C: HELO v=1 acks=1 beat=30000 caps=dialback
		S: 220 v=1 mech=PLAIN boot=9c t=0 caps=dialback
		C: AUTH mech=PLAIN user=B pass=secret origin=*{ known=1}{ token=*}
	`
	called = `
		C: HELO v=1 acks=1 beat=30000 caps=dialback
		S: 220 v=1 mech=EXTERNAL boot=9c t=0 caps=dialback
		C: AUTH mech=EXTERNAL user=B origin=* known=1
	`
	parts = `
		C+2s: <close>
		S: <close>
	`
)

// registered is the rest of a login: the client tells where to call.
func (s *caller) registered(fresh, n int) string {
	return fmt.Sprintf(`
		S: 230 user=B new=%d known=%d high=%d mail=0 token=%d
		C: LSTN n=%d key=%s sig=* dial=28403
		S: 200 n=%[4]d lease=600000
	`, fresh, 1-fresh, (n-1)/2, n, n, keyOf(s.t, "B"))
}

// login returns a client that is logged in.
func (s *caller) login(cfg chatclient.Config) (*chatclient.Client, *link) {
	s.t.Helper()
	d := async(func() dialled {
		c, err := chatclient.Dial(s.t.Context(), cfg)
		return dialled{c, err}
	})
	l := s.link()
	l.play(backHello + s.registered(1, 1))
	got := <-d
	if got.err != nil {
		s.t.Fatal(got.err)
	}
	s.t.Cleanup(func() { s.gone.Store(true); end(got.c) })
	return got.c, l
}

// away returns a client that has gone away.
func (s *caller) away(cfg chatclient.Config) *chatclient.Client {
	s.t.Helper()
	c, l := s.login(cfg)
	l.play(parts)
	synctest.Wait()
	s.said(chatclient.Online, chatclient.Away)
	return c
}

// said expects these states and no more.
func (s *caller) said(want ...chatclient.StateKind) {
	s.t.Helper()
	synctest.Wait()
	var got []chatclient.StateKind
	for len(s.states) > 0 {
		st := <-s.states
		got = append(got, st.Kind)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the states are %v, want %v", got, want)
	}
}

// knock connects to the client's port.
func (s *caller) knock() net.Conn { s.t.Helper(); return s.n.connect(s.t, 28403) }

// call is a call of the server, with its key.
func (s *caller) call() *link { s.t.Helper(); return s.callAs(backTLS(s.cert)) }

func (s *caller) callAs(config *tls.Config) *link {
	s.t.Helper()
	return newLink(s.t, tls.Server(s.knock(), config))
}

// callWhenAway is call once the client is ready for it.
func (s *caller) callWhenAway() *link { s.t.Helper(); synctest.Wait(); return s.call() }

// withRelay has both ends name relay, too.
func withRelay(script string) string {
	return strings.ReplaceAll(script, "caps=dialback\n", "caps=relay,dialback\n")
}

// hungUp expects that a connection to the client's port is closed, at once.
func (s *caller) hungUp(nc net.Conn, why string) {
	s.t.Helper()
	nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	if got, err := io.ReadAll(nc); isTimeout(err) {
		s.t.Errorf("%s: the connection is open (after %d octets)", why, len(got))
	}
}

// A client goes away when it has nothing to say, comes back by itself when it
// has, and is called when there is something for it: the application sees one
// login.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		var seen []string
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			seen = append(seen, m.Text)
			return nil
		}
		c := s.away(cfg)

		got := send(c, "A", "hello")
		l := s.link()
		l.play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=0 token=2
			C: SEND n=2 to=A :hello
			C: LSTN n=3 key=` + keyOf(t, "B") + ` sig=* dial=28403
			S: 201 n=2 how=stored
			S: 200 n=3 lease=600000` + parts)
		if r := <-got; r.err != nil || r.ID.N != 2 {
			t.Error(r)
		}
		s.said(chatclient.Online, chatclient.Away)

		time.Sleep(time.Minute)
		l = s.call()
		l.play(called + `
			S: 230 user=B new=0 known=1 high=2 mail=1 token=4
			S: MESG from=A id=1.1 t=0 :A: are you there?
			C: ACKD count=1` + parts)
		certs := l.nc.(*tls.Conn).ConnectionState().PeerCertificates
		if len(certs) != 1 || !slices.Equal(certs[0].Raw, identityOf(t, "B").Certificate().Certificate[0]) {
			t.Error("the client did not show its key")
		}
		s.said(chatclient.Online, chatclient.Away)

		// What is unanswered on a call is sent again, on whatever comes next.
		l = s.call()
		l.play(called + "S: 230 user=B new=0 known=1 high=2 mail=0 token=5")
		synctest.Wait()
		got = send(c, "A", "again")
		l.play(`
			C: SEND n=4 to=A :again
			S: <close>`)
		s.link().play(backHello + `
			S: 230 user=B new=0 known=1 high=2 mail=0 token=6
			C: SEND n=4 to=A :again
			C: LSTN n=5 key=` + keyOf(t, "B") + ` sig=* dial=28403
			S: 201 n=4 how=stored
			S: 200 n=5 lease=600000` + parts)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		s.said(chatclient.Online, chatclient.Waiting, chatclient.Connecting, chatclient.Online, chatclient.Away)

		// At half of the lease it comes back by itself.
		began := time.Now()
		l = s.link()
		if waited := time.Since(began); waited != 5*time.Minute {
			t.Errorf("it came back after %v", waited)
		}
		l.play(backHello + s.resumedAt(4, 6) + parts)
		s.said(chatclient.Online, chatclient.Away)

		out := async(func() error { return c.Logout(t.Context()) })
		s.link().play(backHello + `
			S: 230 user=B new=0 known=1 high=4 mail=0 token=7
			C: LSTN n=7 key=` + keyOf(t, "B") + ` sig=* dial=28403
			C: QUIT n=8
			S: 200 n=7 lease=600000
			S: 221 n=8
			C: <close>`)
		if err := <-out; err != nil {
			t.Error(err)
		}
		<-c.Done()
		if !slices.Equal(seen, []string{"are you there?"}) {
			t.Errorf("the application saw %q", seen)
		}
		if len(s.stays) > 0 {
			t.Error(<-s.stays)
		}
	})
}

// resumedAt is the rest of a login in which nothing is new.
func (s *caller) resumedAt(high, n int) string {
	return fmt.Sprintf(`
		S: 230 user=B new=0 known=1 high=%d mail=0 token=%d
		C: LSTN n=%d key=%s sig=* dial=28403
		S: 200 n=%[2]d lease=600000
	`, high, n, n, keyOf(s.t, "B"))
}

// What is new while the client goes away is not lost: what the server said
// before it heard of it is heeded, and what the application wants waits for
// the next connection.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		var asked, seen []string
		cfg.Callbacks.OnConsentAsked = func(_ context.Context, user, _ string) { asked = append(asked, user) }
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			seen = append(seen, m.Text)
			return nil
		}
		c, l := s.login(cfg)
		time.Sleep(time.Second)
		l.play(`
			S: PRES user=A on=1 :A logged in
			C+1s: <close>
			S: RQST user=A key=` + keyOf(t, "A") + ` :A wants your address
			S: MESG from=A id=1.1 t=0 :A: one`)
		got := send(c, "A", "meanwhile")
		synctest.Wait()
		l.play("S: <close>")
		s.link().play(backHello + `
			S: 230 user=B new=0 known=1 high=0 mail=1 token=2
			C: SEND n=2 to=A :meanwhile
			C: LSTN n=3 key=` + keyOf(t, "B") + ` sig=* dial=28403
			S: 201 n=2 how=stored
			S: 200 n=3 lease=600000
			S: MESG from=A id=1.1 t=0 :A: one
			C: ACKD count=1` + parts)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !slices.Equal(asked, []string{"A"}) || !slices.Equal(seen, []string{"one"}) {
			t.Errorf("the application saw %q and %q", asked, seen)
		}
		s.said(chatclient.Online, chatclient.Online, chatclient.Away)

		// A server that does not end its side is not waited for for long.
		l = s.call()
		l.play(called + `
			S: 230 user=B new=0 known=1 high=2 mail=0 token=4
			C+2s: <close>`)
		time.Sleep(5 * time.Second)
		s.said(chatclient.Online, chatclient.Away)
		l.nc.Close()
	})
}

// A session that another login takes while the client goes away is not taken
// back, nor logged out.
func TestReplacedWhileLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		c, l := s.login(s.config())
		l.play(`
			C+2s: <close>
			S: GBYE why=replaced :You logged in elsewhere`)
		<-c.Done()
		var bye *chatclient.GoodbyeError
		if !errors.As(c.Err(), &bye) || s.tries.Load() != 1 {
			t.Error(c.Err(), s.tries.Load())
		}
		l.nc.Close()
	})
}

// What keeps a client connected.
func TestNotQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCaller(t)
		cfg := s.config()
		cfg.Relay = true
		release := make(chan struct{})
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { <-release; return nil }
		d := async(func() *chatclient.Client {
			c, err := chatclient.Dial(t.Context(), cfg)
			if err != nil {
				t.Error(err)
			}
			return c
		})
		l := s.link()
		l.play(withRelay(backHello) + s.registered(1, 1))
		c := <-d
		t.Cleanup(func() { s.gone.Store(true); end(c) })
		quiet := time.Now()
		passes := func(d time.Duration) {
			t.Helper()
			l.silent(d)
			if len(s.states) > 1 {
				t.Errorf("it goes away after %v", time.Since(quiet))
			}
		}
		passes(1999 * time.Millisecond)
		l.play("S: PRES user=A on=1 :A logged in\nS: MESG from=A id=1.1 t=0 :A: one")
		passes(10 * time.Second) // the application has not taken it
		close(release)
		l.play("C: ACKD count=1")
		got := send(c, "A", "x")
		l.play("C: SEND n=2 to=A :x")
		passes(10 * time.Second) // it has no answer
		l.play("S: 201 n=2 how=stored")
		<-got
		list := async(func() error { _, err := c.Online(t.Context()); return err })
		l.play("C: ONLN n=3")
		passes(10 * time.Second) // nor has this
		l.play("S: 211 n=3\nS: RQST user=A key=" + keyOf(t, "A") + " :A wants your address")
		if err := <-list; err != nil {
			t.Error(err)
		}
		consented := async(func() error { return c.Consent(t.Context(), "A") })
		l.play("C: CNST n=4 user=A\nS: 200 n=4 key=" + keyOf(t, "A") + " ttl=49000")
		if err := <-consented; err != nil {
			t.Error(err)
		}
		passes(20 * time.Second) // A may write by the relay
		l.play(`
			C+10s: LIVE
			S: PRES user=A on=0 :A logged out
			C+30s: <close>
			S: <close>`)
		s.said(chatclient.Online, chatclient.Away)
	})
}
