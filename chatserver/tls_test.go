package chatserver_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// serverTLS is a server's configuration with a certificate that nobody
// vouches for. It is made once, out of any bubble.
var serverTLS = sync.OnceValue(func() *tls.Config {
	dir, err := os.MkdirTemp("", "parley-test-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cert, err := chatserver.SelfSigned(dir)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
})

// clientTLS is the configuration of a client that does not care whom it talks
// to.
func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}}
}

// dial connects to srv from addr and returns the client's end.
func dial(t *testing.T, srv *chatserver.Server, addr string) *memnet.Conn {
	near, far := memnet.Pipe(addr, "127.0.0.1:8000")
	go srv.ServeConn(far)
	t.Cleanup(func() { near.Close() })
	return near
}

// A linePeer is a connection of any kind, read frame by frame.
type linePeer struct {
	t  *testing.T
	nc net.Conn
	r  *chatproto.Reader
}

func lines(t *testing.T, nc net.Conn) *linePeer {
	return &linePeer{t, nc, chatproto.NewReader(nc)}
}

func (p *linePeer) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.nc, format+"\r\n", args...); err != nil {
		p.t.Errorf("sending: %v", err)
	}
}

// next returns the next frame as a line without its end; at the end of the
// stream the error.
func (p *linePeer) next() string {
	var f chatproto.Frame
	if err := p.r.Next(&f); err != nil {
		return "(" + err.Error() + ")"
	}
	b, _ := chatproto.AppendFrame(nil, &f)
	return strings.TrimSuffix(string(b), "\r\n")
}

func (p *linePeer) want(prefix string) string {
	p.t.Helper()
	got := p.next()
	if !strings.HasPrefix(got, prefix) {
		p.t.Errorf("got %q, want %q…", got, prefix)
	}
	return got
}

// loginOver logs user in over TLS and returns what it talks by.
func loginOver(t *testing.T, nc net.Conn, user string) *linePeer {
	t.Helper()
	p := lines(t, nc)
	p.say("HELO v=1 acks=1 beat=30000 pres=0")
	p.want("220 v=1 ")
	p.say("AUTH mech=PLAIN user=%s pass=%s origin=%x", user, demo[user], user)
	p.want("230 user=" + user)
	return p
}

// A login over TLS from another machine, with the protocol's ALPN and without
// one; both ends say goodbye in TLS.
func TestTLSLogin(t *testing.T) {
	cfg := serverTLS()
	for _, protos := range [][]string{{handshake.ALPN}, nil, {"h2", handshake.ALPN}} {
		for _, pipe := range []string{"memnet", "net.Pipe"} {
			t.Run(fmt.Sprint(protos, " ", pipe), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := &chatserver.Server{Accounts: demo, TLSConfig: cfg}
					defer srv.Close()
					near, far := net.Pipe()
					if pipe == "memnet" {
						near = dial(t, srv, "192.0.2.7:50000")
					} else {
						go srv.ServeConn(far)
					}
					ccfg := clientTLS()
					ccfg.NextProtos = protos
					nc := tls.Client(near, ccfg)
					p := loginOver(t, nc, "A")
					p.say("QUIT n=1")
					p.want("221 n=1")
					p.want("(EOF)")
					nc.Close()
					if s := nc.ConnectionState(); s.Version != tls.VersionTLS13 || s.DidResume || protos != nil && s.NegotiatedProtocol != handshake.ALPN {
						t.Errorf("TLS %x, ALPN %q, resumed %v", s.Version, s.NegotiatedProtocol, s.DidResume)
					}
				})
			})
		}
	}
}
