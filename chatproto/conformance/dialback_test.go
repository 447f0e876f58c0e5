package conformance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatproto/conformance"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// A memHost has the ports on which the suite listens.
type memHost struct {
	mu    sync.Mutex
	ports map[uint16]*portListener
	next  uint16
}

// A portListener is one of them.
type portListener struct {
	host   *memHost
	port   uint16
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (h *memHost) listen(context.Context, net.Conn) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ports == nil {
		h.ports, h.next = make(map[uint16]*portListener), 28404
	}
	l := &portListener{host: h, port: h.next, conns: make(chan net.Conn, 99), closed: make(chan struct{})}
	h.ports[l.port] = l
	h.next++
	return l, nil
}

// dial is the server's.
func (h *memHost) dial(_ context.Context, place netip.AddrPort) (net.Conn, error) {
	h.mu.Lock()
	l := h.ports[place.Port()]
	h.mu.Unlock()
	if l == nil {
		return nil, errors.New("nobody listens")
	}
	near, far := memPipe()
	l.conns <- far
	return near, nil
}

func (l *portListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *portListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	delete(l.host.ports, l.port)
	return nil
}

func (l *portListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.port))
}

// spoilt is a connection with TLS and a party in it.
type spoilt struct {
	*memConn
	t *tls.Conn
}

func (s spoilt) ConnectionState() tls.ConnectionState { return s.t.ConnectionState() }

// dialBackReport runs the cases of dial-back against a server that does it, in
// virtual time, with a party inside of each TLS, and with what change makes of
// the server.
func dialBackReport(t *testing.T, opts conformance.Options, change func(*chatserver.Server), spoil func(*party)) (report *conformance.Report) {
	t.Helper()
	cert := serverCertificate(t)
	if opts.Match == nil {
		opts.Match = regexp.MustCompile(`^dialback/`)
	}
	synctest.Test(t, func(t *testing.T) {
		host := new(memHost)
		srv := newServer(t)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		srv.DialBack, srv.Dial = true, host.dial
		if change != nil {
			change(srv)
		}
		parties := new(crowd)
		inside := func(nc net.Conn) net.Conn {
			if spoil == nil {
				return nc
			}
			return spoilt{parties.pass(nc, spoil).(*memConn), nc.(*tls.Conn)}
		}
		target := conformance.ServerTarget{
			Dial: func(context.Context) (net.Conn, error) {
				near, far := memPipe()
				go srv.ServeConn(far)
				nc := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}})
				if err := nc.Handshake(); err != nil {
					return nil, err
				}
				return inside(nc), nil
			},
			Listen: host.listen, Accounts: accounts, Options: opts,
		}
		target.SetInside(inside)
		var err error
		report, err = conformance.CheckServer(untilFound(t.Context(), &opts), target)
		if err != nil {
			t.Log(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return report
}

// serverCertificate is one for all tests of this file.
var serverCertificate = func() func(t *testing.T) tls.Certificate {
	var once sync.Once
	var cert tls.Certificate
	return func(t *testing.T) tls.Certificate {
		once.Do(func() {
			var err error
			if cert, err = chatserver.SelfSigned(t.TempDir()); err != nil {
				t.Fatal(err)
			}
		})
		return cert
	}
}()

// The server passes every case of dial-back, and skips none.
func TestServerDialBack(t *testing.T) {
	for name, spoil := range map[string]func(*party){"": nil, "behind a party": func(p *party) { p.up, p.down = replace(`^$`, ""), replace(`^$`, "") }} {
		t.Run(name, func(t *testing.T) {
			r := dialBackReport(t, conformance.Options{Slow: true, Strict: true}, nil, spoil)
			allPass(t, r)
			for _, c := range r.Results {
				if c.Outcome == conformance.Skipped {
					t.Errorf("%s is skipped: %s", c.Case.Name, c.Reason)
				}
			}
		})
	}
}

// By TCP, as any server is tested, it is called at its own address.
func TestServerDialBackTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t)
	srv.TLSConfig, srv.DialBack = &tls.Config{Certificates: []tls.Certificate{serverCertificate(t)}}, true
	go srv.Serve(l)
	defer srv.Close()
	r, err := conformance.CheckServer(t.Context(), conformance.ServerTarget{
		Dial: func(ctx context.Context) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}}}
			return d.DialContext(ctx, "tcp", l.Addr().String())
		},
		Accounts: accounts, Options: conformance.Options{Strict: true, Match: regexp.MustCompile(`^dialback/(called|one-too-many|reasons)$`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	allPass(t, r)
	for _, c := range r.Results {
		if c.Outcome != conformance.Passed {
			t.Errorf("%s: %s", c.Case.Name, c.Reason)
		}
	}
}

// A server that does not offer dial-back skips what is about it.
func TestServerWithoutDialBack(t *testing.T) {
	r := dialBackReport(t, conformance.Options{Strict: true}, func(srv *chatserver.Server) { srv.DialBack = false }, nil)
	allPass(t, r)
	skipped, passed := 0, 0
	for _, c := range r.Results {
		switch {
		case c.Outcome == conformance.Passed:
			passed++
		case strings.Contains(c.Reason, "calls nobody back"):
			skipped++
		}
	}
	if passed != 3 || skipped < 10 {
		t.Errorf("%d cases passed, %d are skipped", passed, skipped)
	}
}

// Servers that do it wrong are found.
func TestServerDialBackMutants(t *testing.T) {
	twice := func(srv *chatserver.Server) {
		dial := srv.Dial
		srv.Dial = func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
			dial(ctx, place)
			return dial(ctx, place)
		}
	}
	first := func(octets string) func(*chatserver.Server) {
		return func(srv *chatserver.Server) {
			dial := srv.Dial
			srv.Dial = func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
				nc, err := dial(ctx, place)
				if err == nil {
					nc.Write([]byte(octets))
				}
				return nc, err
			}
		}
	}
	for _, test := range []struct {
		name   string
		change func(*chatserver.Server)
		spoil  mutant
	}{
		{name: "nobody is called", change: func(srv *chatserver.Server) {
			srv.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errors.New("no") }
		}},
		{name: "who is called is called twice", change: twice},
		{name: "the server speaks first", change: first("GBYE why=timeout\r\n")},
		{name: "the server speaks TLS first", change: first("\x16\x03\x01")},
		{name: "a server without a lease", spoil: down("", `^(200.*) lease=\d+`, "$1")},
		{name: "the lease is no time", spoil: down("", ` lease=\d+`, " lease=0")},
		{name: "EXTERNAL is listed among others", spoil: down("", `mech=EXTERNAL`, "mech=EXTERNAL,PLAIN")},
		{name: "any port is taken", spoil: up("", ` dial=(0|80|1023)( |$)`, " dial=28404$2")},
		{name: "what is no port is passed over", spoil: up("", ` dial=(65536|\d{20}|x)( |$)`, "$2")},
		{name: "dial= without a key is passed over", spoil: up("", `^(LSTN n=20 .*) dial=\d+`, "$1")},
		{name: "acknowledgements are not needed", spoil: up("", `^HELO v=1 beat=30000`, "HELO v=1 acks=1 beat=30000")},
		{name: "a heartbeat is not needed", spoil: up("", `^HELO v=1 acks=1 pres`, "HELO v=1 acks=1 beat=30000 pres")},
		{name: "an origin is not needed", spoil: up("", `^(AUTH user=\S+ pass=\S+)$`, "$1 origin=1ace")},
		{name: "who was replaced while it was away replaces", spoil: up("", `^(AUTH .*) token=\w+`, "$1")},
		{name: "a session that is called begins anew", spoil: down("", ` new=0`, " new=1")},
		{name: "mail is not counted", spoil: down("", `^(230.*) mail=1`, "$1 mail=0")},
		{name: "a token is not given", spoil: down("", ` token=\w+`, "")},
		{name: "a login that is refused is a failed one", spoil: down("", `^535 :This`, "535 left=2 :This")},
		{name: "any user is taken", spoil: up("", `^AUTH mech=EXTERNAL user=columbia `, "AUTH mech=EXTERNAL user=A ")},
		{name: "any origin is taken", spoil: up("", `^(AUTH mech=EXTERNAL user=\S+)$`, "$1 origin=1")},
		{name: "a password is passed over", spoil: up("", `^(AUTH mech=EXTERNAL.*) pass=x`, "$1")},
		{name: "data is passed over", spoil: up("", `^(AUTH mech=EXTERNAL.*) data=x`, "$1")},
		{name: "one too many is told when to come", spoil: down("", `^421 :You`, "421 retry=1000 :You")},
		{name: "one too many is a login that is refused", spoil: down("", `^421 :You`, "535 :You")},
		{name: "an LSTN without dial= changes nothing", spoil: up("", `^LSTN n=91 .*`, "RVKE n=91 user=A")},
		{name: "a field that was not agreed on is refused", spoil: down("", `^200 n=2$`, "501 n=2")},
		{name: "EXTERNAL is known everywhere", spoil: down("", `^501 :mech=`, "535 :mech=")},
		{name: "dialback is agreed on with everybody", spoil: up("", ` caps=future-1`, " caps=dialback")},
		{name: "a request for the address is no reason", spoil: up("", `^ADDR.*`, "RVKE user=A")},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := dialBackReport(t, conformance.Options{Strict: true}, test.change, test.spoil.spoil)
			if found := finders(r); len(found) == 0 {
				t.Error("no case finds it")
			} else {
				t.Log(found)
			}
		})
	}
}
