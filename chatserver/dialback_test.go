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
	r.say("AUTH mech=PLAIN user=%s pass=%s origin=%x known=1", r.user, demo[r.user], r.user)
	welcome := r.next()
	if !strings.HasPrefix(welcome, "230 ") || valueOf(welcome, "known") == "0" {
		r.say("QUIT") // it was never here: its origin is registered without known=1
		r.linePeer = lines(t, tlsClient(t, srv, addr, clientTLS()))
		r.say("HELO v=1 acks=1 beat=3600000 pres=0 caps=dialback")
		r.want("220 ")
		r.say("AUTH mech=PLAIN user=%s pass=%s origin=%x", r.user, demo[r.user], r.user)
		welcome = r.want("230 ")
	}
	return welcome
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
	if got := r.want("200 n=1 "); valueOf(got, "lease") != "600000" {
		r.t.Errorf("got %q", got)
	}
}

// leaves ends the client's connection and waits for that of the server.
func (r *rover) leaves() {
	r.t.Helper()
	r.nc.(*tls.Conn).CloseWrite()
	r.want("(EOF)")
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

// roved plays with B, who is away at 192.0.2.7, and A, who is there.
func roved(t *testing.T, play func(t *testing.T, srv *chatserver.Server, x *exchange, a *peer, b *rover)) {
	t.Helper()
	serverTLS()
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		srv := backServer(x)
		defer srv.Close()
		a := stays(t, srv, "A")
		b := rove(t, srv, x, "B", "192.0.2.7:50000")
		b.leaves()
		play(t, srv, x, a, b)
	})
}

// Who is away is online, and is called when somebody writes: once, for all
// that waits.
func TestDialBackDelivers(t *testing.T) {
	roved(t, func(t *testing.T, srv *chatserver.Server, x *exchange, a *peer, b *rover) {
		time.Sleep(4 * time.Minute)
		x.want(t, "nothing waits", 0)
		a.say("SEND n=1 to=B :one\r\nSEND n=2 to=B :two")
		b.linePeer = b.dialled(t)
		a.say("SEND n=3 to=B :three")
		synctest.Wait()
		b.say("%s", b.auth())
		if got := b.want("230 user=B new=0 known=1 high=0 "); valueOf(got, "mail") != "3" || valueOf(got, "token") == "" {
			t.Errorf("got %q", got)
		}
		for i, text := range []string{"one", "two", "three"} {
			if got := b.want(fmt.Sprintf("MESG from=A id=41.%d t=", i+1)); !strings.HasSuffix(got, " :A: "+text) {
				t.Errorf("got %q", got)
			}
		}
		b.say("ACKD count=3")
		b.leaves()
		time.Sleep(9 * time.Minute)
		x.want(t, "what was acknowledged waits no more", 1)
		if x.dials[0] != "4m0s 192.0.2.7:28404" {
			t.Errorf("dialled %q", x.dials)
		}
		a.want("201 n=1-2 how=stored")
		a.want("201 n=3 how=")
		a.say("ONLN n=4")
		a.want("111 n=4 user=B")
		a.want("211")
	})
}
