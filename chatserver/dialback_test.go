package chatserver_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// exchange is what connections of the server go through: it notes who was
// dialled when, and a test takes the other ends, or lets dials fail.
type exchange struct {
	start  time.Time
	mu     sync.Mutex
	dials  []string // time since the start, and place
	refuse error    // of all dials
	ends   chan net.Conn
}

func newExchange() *exchange { return &exchange{start: time.Now(), ends: make(chan net.Conn, 999)} }

func (x *exchange) dial(_ context.Context, place netip.AddrPort) (net.Conn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dials = append(x.dials, fmt.Sprintf("%v %v", time.Since(x.start).Round(time.Second), place))
	if x.refuse != nil {
		return nil, x.refuse
	}
	near, far := memnet.Pipe("10.0.0.1:4000", place.String())
	x.ends <- far
	return near, nil
}

// set changes whether dials fail.
func (x *exchange) set(refuse error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuse = refuse
}

// count is how many dials there were.
func (x *exchange) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.dials)
}

// want fails the test unless there were so many dials by now.
func (x *exchange) want(t *testing.T, why string, n int) {
	t.Helper()
	synctest.Wait()
	if got := x.count(); got != n {
		t.Errorf("%s: %d dials, want %d: %q", why, got, n, x.dials)
	}
}

var errNobody = errors.New("nobody listens")

// A rover is a client that goes away, and is called.
type rover struct {
	*linePeer
	x    *exchange
	user string
	cert tls.Certificate
}

// newIdentity makes a client's key, in a certificate.
func newIdentity() tls.Certificate {
	public, key, _ := ed25519.GenerateKey(nil)
	return certificateOf(public, key)
}

func certificateOf(public, key any) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// rove logs a client in that wants to be called.
func rove(t *testing.T, srv *chatserver.Server, x *exchange, user, addr string) *rover {
	t.Helper()
	r := &rover{x: x, user: user, cert: newIdentity()}
	r.comes(t, srv, addr)
	r.registers(28404)
	return r
}

// comes logs the client in by itself.
func (r *rover) comes(t *testing.T, srv *chatserver.Server, addr string) string {
	t.Helper()
	r.linePeer = lines(t, tlsClient(t, srv, addr, clientTLS()))
	r.say("HELO v=1 acks=1 beat=3600000 pres=0 caps=dialback")
	if got := r.want("220 "); valueOf(got, "caps") != "dialback" {
		t.Errorf("got %q", got)
	}
	r.say("AUTH mech=PLAIN user=%s pass=pass%s origin=%x", r.user, r.user, r.user)
	return r.want("230 ")
}

// lstn returns LSTN with the client's key, and what else it is to say.
func (r *rover) lstn(more string) string {
	state := r.nc.(*tls.Conn).ConnectionState()
	binding, _ := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	key := r.cert.PrivateKey.(ed25519.PrivateKey)
	return fmt.Sprintf("LSTN n=1 key=%s sig=%s%s", handshake.FormatKey(key.Public().(ed25519.PublicKey)),
		handshake.TLSBinding(binding).Sign(r.user, key), more)
}

// registers says where the client is to be called.
func (r *rover) registers(port int) {
	r.t.Helper()
	r.say("%s", r.lstn(fmt.Sprintf(" dial=%d", port)))
	if got := r.want("200 n=1 "); valueOf(got, "lease") == "" {
		r.t.Errorf("got %q", got)
	}
}

// leaves ends the client's connection and waits for that of the server,
// whatever comes before.
func (r *rover) leaves() {
	r.t.Helper()
	r.nc.(*tls.Conn).CloseWrite()
	last := ""
	for !strings.HasPrefix(last, "(") {
		last = r.next()
	}
	if last != "(EOF)" {
		r.t.Errorf("the connection ends with %s", last)
	}
	r.nc.Close()
	synctest.Wait()
}

// backTLS is the client's end of TLS on a dialled connection.
func (r *rover) backTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.BackALPN}, Certificates: []tls.Certificate{r.cert}}
}

// dialled takes the server's next connection, up to the 220.
func (r *rover) dialled(t *testing.T) *linePeer {
	t.Helper()
	synctest.Wait()
	select {
	case far := <-r.x.ends:
		t.Cleanup(func() { far.Close() })
		p := lines(t, tls.Client(far, r.backTLS()))
		p.say("HELO v=1 acks=1 beat=3600000 pres=0 caps=dialback")
		if got := p.want("220 "); valueOf(got, "mech") != "EXTERNAL" || valueOf(got, "caps") != "dialback" {
			t.Errorf("got %q", got)
		}
		return p
	default:
		t.Fatal("the server does not dial")
		return nil
	}
}

// auth is the login on a dialled connection.
func (r *rover) auth() string {
	return fmt.Sprintf("AUTH mech=EXTERNAL user=%s origin=%x known=1", r.user, r.user)
}

// answers takes the server's next connection and logs in there.
func (r *rover) answers(t *testing.T) string {
	t.Helper()
	r.linePeer = r.dialled(t)
	r.say("%s", r.auth())
	return r.want("230 user=" + r.user + " new=0 known=1 ")
}

// backServer is a server that calls its clients back.
func backServer(x *exchange) *chatserver.Server {
	return &chatserver.Server{Accounts: demo, TLSConfig: serverTLS(), DialBack: true, Dial: x.dial, IdleTimeout: 24 * time.Hour}
}

// stays logs in a client that need not say that it lives.
func stays(t *testing.T, srv *chatserver.Server, user string) *peer {
	t.Helper()
	p := connect(t, srv)
	p.say("HELO v=1 acks=1 pres=0")
	p.want("220")
	p.say("AUTH user=%s pass=%s origin=%x", user, demo[user], user)
	p.want("230")
	return p
}

// A scene is a server with A, who is there, and B, who is at 192.0.2.7 and
// wants to be called.
type scene struct {
	t   *testing.T
	srv *chatserver.Server
	x   *exchange
	a   *peer
	b   *rover
	n   int // numbers of A's requests

	without map[string]bool // accounts that are gone
}

// staged plays a scene. set, if it is not nil, changes the server before.
func staged(t *testing.T, set func(*chatserver.Server), play func(t *testing.T, s *scene)) {
	t.Helper()
	serverTLS()
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		s := &scene{t: t, x: x, srv: backServer(x)}
		if set != nil {
			set(s.srv)
		}
		defer s.srv.Close()
		s.a = stays(t, s.srv, "A")
		s.b = rove(t, s.srv, x, "B", "192.0.2.7:50000")
		play(t, s)
	})
}

// away is staged when B has left.
func away(t *testing.T, play func(t *testing.T, s *scene)) {
	t.Helper()
	staged(t, nil, func(t *testing.T, s *scene) {
		s.b.leaves()
		play(t, s)
	})
}

// writes has A write to B, and takes the answer.
func (s *scene) writes(text string) string {
	s.t.Helper()
	s.n++
	s.a.say("SEND n=%d to=B :%s", s.n, text)
	return s.a.want(fmt.Sprintf("201 n=%d ", s.n))
}

// online reports whether A sees B.
func (s *scene) online() bool {
	s.t.Helper()
	s.n++
	s.a.say("ONLN n=%d", s.n)
	if !strings.HasPrefix(s.a.next(), "111 ") {
		return false
	}
	s.a.want("211 ")
	return true
}

// until fails the test unless B is online for d from now, and not after it.
func (s *scene) until(why string, d time.Duration) {
	s.t.Helper()
	time.Sleep(d - time.Millisecond)
	if !s.online() {
		s.t.Errorf("%s: B is not online any more", why)
	}
	time.Sleep(2 * time.Millisecond)
	if s.online() {
		s.t.Errorf("%s: B is still online", why)
	}
}

// Who is away is online, and is called when somebody writes: once, for all
// that waits.
func TestDialBackDelivers(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		time.Sleep(4 * time.Minute)
		s.x.want(t, "nothing waits", 0)
		s.a.say("SEND n=1 to=B :one\r\nSEND n=2 to=B :two")
		p := s.b.dialled(t)
		s.a.say("SEND n=3 to=B :three")
		synctest.Wait()
		s.b.linePeer = p
		p.say("%s", s.b.auth())
		if got := p.want("230 user=B new=0 known=1 high=0 "); valueOf(got, "mail") != "3" || len(valueOf(got, "token")) != 32 {
			t.Errorf("got %q", got)
		}
		for i, text := range []string{"one", "two", "three"} {
			if got := p.want(fmt.Sprintf("MESG from=A id=41.%d t=", i+1)); !strings.HasSuffix(got, " :A: "+text) {
				t.Errorf("got %q", got)
			}
		}
		p.say("ACKD count=3")
		s.b.leaves()
		time.Sleep(9 * time.Minute)
		s.x.want(t, "what was acknowledged waits no more", 1)
		if s.x.dials[0] != "4m0s 192.0.2.7:28404" {
			t.Errorf("dialled %q", s.x.dials)
		}
		s.a.want("201 n=1-2 how=stored")
		s.a.want("201 n=3 how=")
		if s.n = 3; !s.online() {
			t.Error("B is not online")
		}
	})
}

// What is a reason to call, and what is none.
func TestDialBackReasons(t *testing.T) {
	leave := func(s *scene) { s.b.leaves() }
	for _, test := range []struct {
		why    string
		set    func(*chatserver.Server)
		before func(s *scene) // leaves
		after  func(s *scene)
		want   int
		first  string // what B is told then
	}{
		{why: "nothing", before: leave},
		{"a message", nil, leave, func(s *scene) { s.writes("hi") }, 1, "MESG from=A"},
		{"a message without text", nil, leave, func(s *scene) { s.a.say("SEND n=1 to=B") }, 1, "MESG from=A"},
		{"a broadcast", nil, leave, func(s *scene) { s.a.say("CAST n=1 :psa") }, 1, "BCST from=A"},
		{"a request for the address", nil, leave, func(s *scene) { s.a.say("ADDR n=1 user=B") }, 1, "RQST user=A"},
		{"an address", nil, func(s *scene) {
			s.b.say("ADDR n=2 user=A")
			s.b.want("202")
			s.b.leaves()
		}, func(s *scene) {
			s.a.want("RQST")
			s.a.say("LSTN n=1 port=2000\r\nCNST n=2 user=B")
		}, 1, "GETA user=A"},
		{"the end of a consent", nil, func(s *scene) {
			s.b.say("%s", s.b.lstn(" port=28403 dial=28404"))
			s.b.want("200")
			s.a.say("ADDR n=1 user=B")
			s.b.want("RQST")
			s.b.say("CNST n=2 user=A")
			s.b.want("200")
			s.b.leaves()
		}, func(s *scene) { s.a.say("QUIT n=2") }, 1, "RVKD user=A"},
		{"somebody comes and goes", nil, leave, func(s *scene) {
			c := login(s.t, s.srv, "C")
			c.say("QUIT n=1")
			c.want("221")
		}, 0, ""},
		{"a message to somebody else", nil, leave, func(s *scene) { s.a.say("SEND n=1 to=C :hi") }, 0, ""},
		{"a message that is refused", nil, leave, func(s *scene) { s.a.say("SEND n=1 to=B :%s", strings.Repeat("x", 7169)) }, 0, ""},
		{"what was not acknowledged", nil, func(s *scene) {
			s.a.say("SEND n=1 to=B :hi")
			s.b.want("MESG")
			s.b.leaves()
		}, func(*scene) {}, 1, "MESG from=A"},
		{"what was acknowledged", nil, func(s *scene) {
			s.a.say("SEND n=1 to=B :hi")
			s.b.want("MESG")
			s.b.say("ACKD count=1")
			s.b.leaves()
		}, func(*scene) {}, 0, ""},
		{"a message, after QUIT", nil, func(s *scene) {
			s.b.say("QUIT n=2")
			s.b.want("221")
		}, func(s *scene) { s.writes("hi") }, 0, ""},
		{"a message, after an LSTN without dial=", nil, func(s *scene) {
			s.b.say("%s", s.b.lstn(""))
			s.b.want("200 n=1")
			s.b.leaves()
		}, func(s *scene) { s.writes("hi") }, 0, ""},
		{"somebody who is blocked", nil, blocking, func(s *scene) {
			s.a.say("SEND n=1 to=B :hi\r\nCAST n=2 :psa\r\nADDR n=3 user=B")
			s.a.want("553 n=1")
		}, 0, ""},
		{"somebody who is blocked, and is not told", func(srv *chatserver.Server) { srv.HideBlocks = true }, blocking, func(s *scene) {
			s.a.say("SEND n=1 to=B :hi\r\nCAST n=2 :psa\r\nADDR n=3 user=B")
			s.a.want("201 n=1")
		}, 0, ""},
	} {
		t.Run(test.why, func(t *testing.T) {
			staged(t, test.set, func(t *testing.T, s *scene) {
				s.t = t
				test.before(s)
				if test.after != nil {
					test.after(s)
				}
				s.x.want(t, test.why, test.want)
				if test.first != "" {
					s.b.answers(t)
					s.b.want(test.first)
				}
			})
		})
	}
}

// blocking has B block A, and leave.
func blocking(s *scene) {
	s.b.say("BLOK n=2 user=A")
	s.b.want("200 n=2")
	s.b.leaves()
}
