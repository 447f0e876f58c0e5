package chatserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
						near = notCutOff{dial(t, srv, "192.0.2.7:50000"), t}
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

// tlsClient connects to srv from addr, for TLS.
func tlsClient(t *testing.T, srv *chatserver.Server, addr string, cfg *tls.Config) *tls.Conn {
	return tls.Client(dial(t, srv, addr), cfg)
}

// A notCutOff is what TLS of a client reads that must end before its
// transport does.
type notCutOff struct {
	net.Conn
	t *testing.T
}

func (c notCutOff) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.t.Error("the connection ends without a close_notify")
	}
	return n, err
}

// No connection goes on with the keys of an earlier one.
func TestTLSNoTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		defer srv.Close()
		cfg := clientTLS()
		cfg.ClientSessionCache, cfg.ServerName = tls.NewLRUClientSessionCache(9), "parley"
		for range 3 {
			nc := tlsClient(t, srv, "192.0.2.7:1", cfg)
			p := loginOver(t, nc, "A")
			p.say("QUIT n=1")
			p.want("221")
			p.want("(EOF)")
			if nc.ConnectionState().DidResume {
				t.Error("a connection was resumed")
			}
		}
	})
}

// A client that the server's TLS refuses, whatever Server.TLSConfig says: an
// older TLS, or another protocol. What the raw connection carries back is TLS
// alone.
func TestTLSRefused(t *testing.T) {
	base := serverTLS()
	older := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	other := func(c *tls.Config) { c.NextProtos = []string{"h2", "parley/2"} }
	lax := &tls.Config{Certificates: base.Certificates, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}}
	for _, test := range []struct {
		name   string
		server *tls.Config
		client func(*tls.Config)
		want   string
	}{
		{"TLS 1.2", base, older, "protocol version not supported"},
		{"another ALPN", base, other, "no application protocol"},
		{"TLS 1.2 and a lax configuration", lax, older, "protocol version not supported"},
		{"TLS 1.2 and a configuration of TLS 1.2", &tls.Config{Certificates: base.Certificates, MaxVersion: tls.VersionTLS12}, older, "protocol version not supported"},
		{"another ALPN and a lax configuration", lax, other, "no application protocol"},
		{"TLS 1.2 and a lax configuration for each client", choosing(lax), older, "protocol version not supported"},
		{"another ALPN and a lax configuration for each client", choosing(lax), other, "no application protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, TLSConfig: test.server}
				defer srv.Close()
				cfg := clientTLS()
				test.client(cfg)
				near := dial(t, srv, "127.0.0.1:1")
				if err := tls.Client(near, cfg).Handshake(); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("the handshake ends with %v, want %q", err, test.want)
				}
				if rest, err := io.ReadAll(near); err != nil || len(rest) > 0 {
					t.Errorf("then comes %q, %v", rest, err)
				}
				loginOver(t, tlsClient(t, srv, "127.0.0.1:1", clientTLS()), "A")
			})
		})
	}
}

// choosing is a configuration that leaves everything to one for each client.
func choosing(cfg *tls.Config) *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return cfg, nil }}
}

// A configuration without a certificate is found before anybody connects.
func TestTLSWithoutCertificate(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	srv := &chatserver.Server{Accounts: demo, TLSConfig: &tls.Config{}}
	if err := srv.ServeConn(far); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("ServeConn returned %v", err)
	}
}

// Who may talk in cleartext, with TLS and without.
func TestCleartext(t *testing.T) {
	for _, test := range []struct {
		addr  string
		tls   bool
		allow bool
		want  string
	}{
		{"127.0.0.1:1", true, false, "220"},
		{"[::1]:1", true, false, "220"},
		{"[::ffff:127.0.0.1]:1", true, false, "220"},
		{"/run/parley.sock", true, false, "220"},
		{"192.0.2.7:1", true, false, "421 :This server takes cleartext connections from its own machine only"},
		{"[fe80::1%eth0]:1", true, false, "421"},
		{"10.0.0.1:1", false, false, "421"},
		{"192.0.2.7:1", true, true, "220"},
		{"192.0.2.7:1", false, true, "220"},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, AllowCleartext: test.allow}
				if test.tls {
					srv.TLSConfig = serverTLS()
				}
				defer srv.Close()
				p := open(t, srv, test.addr)
				p.say("HELO v=1")
				p.want(test.want)
				if test.want != "220" {
					p.want("(EOF)")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // by net.Pipe, and with an address that is none
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		for want, addr := range map[string]net.Addr{"220": nil, "421": &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}} {
			near, far := net.Pipe()
			go srv.ServeConn(elsewhere{far, addr})
			go io.WriteString(near, "HELO v=1\r\n")
			lines(t, near).want(want)
			near.Close()
		}
	})
}

// An elsewhere is a connection that comes from an address.
type elsewhere struct {
	net.Conn
	addr net.Addr
}

func (e elsewhere) RemoteAddr() net.Addr { return e.addr }

// A ClientHello to a server without TLS is told nothing, sees a clean end,
// and the log says why.
func TestTLSWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		srv := &chatserver.Server{Accounts: demo, Logger: textLog(&log)}
		defer srv.Close()
		if err := tlsClient(t, srv, "127.0.0.1:1", clientTLS()).Handshake(); err != io.EOF {
			t.Errorf("the handshake ends with %v", err)
		}
		time.Sleep(2 * time.Second)
		if !strings.Contains(log.String(), "level=DEBUG") || !strings.Contains(log.String(), "the client speaks TLS, and Server.TLSConfig is not set") {
			t.Errorf("the log has %q", log.String())
		}
	})
}

// A syncBuffer is a log that may be written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The end of input is what close_notify says; a stream that was cut off is
// told apart. What came before it was the client's, is answered, and nothing
// that was accepted is lost.
func TestTLSEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(raw *memnet.Conn, nc *tls.Conn)
		why  string
	}{
		{"close_notify", func(raw *memnet.Conn, nc *tls.Conn) { nc.CloseWrite() }, "end of input"},
		{"close_notify and the end", func(raw *memnet.Conn, nc *tls.Conn) { nc.CloseWrite(); raw.CloseWrite() }, "end of input"},
		{"cut off", func(raw *memnet.Conn, nc *tls.Conn) { raw.CloseWrite() }, "the TLS connection was cut off"},
		{"cut off in a record", func(raw *memnet.Conn, nc *tls.Conn) { raw.Write([]byte{0x17, 3, 3}); raw.CloseWrite() }, "the TLS connection was cut off"},
		{"garbage", func(raw *memnet.Conn, nc *tls.Conn) { raw.Write([]byte("QUIT n=9\r\n")) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan string, 9)
				srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS(), Hooks: chatserver.Hooks{
					OnDisconnect: func(_ context.Context, _ chatserver.ConnInfo, why string) { ended <- why },
				}}
				defer srv.Close()
				raw := dial(t, srv, "192.0.2.7:1")
				nc := tls.Client(raw, clientTLS())
				p := loginOver(t, nc, "A")
				p.say("SEND n=1 to=B :first\r\nSEND n=2 to=B :second\r\nSEND n=3 to=B :never whole")
				nc.Write([]byte("SEND n=4 to=B :no end of line"))
				test.end(raw, nc)
				if test.why != "" {
					for got := ""; got != "(EOF)"; got = p.next() {
						if got != "" && !strings.HasPrefix(got, "201 n=") {
							t.Errorf("got %q", got)
						}
					}
				} else {
					io.ReadAll(nc)
				}
				if why := <-ended; test.why != "" && why != test.why || why == "" {
					t.Errorf("it ended for %q, want %q", why, test.why)
				}
				time.Sleep(time.Second)
				again := loginOver(t, tlsClient(t, srv, "192.0.2.7:2", clientTLS()), "A")
				again.say("SEND n=2 to=B :second")
				again.want("201 n=2")
				b := login(t, srv, "B")
				for n := 1; n <= 3; n++ {
					b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
				}
			})
		})
	}
}

// The server's goodbye goes out in TLS, with a close_notify behind it, also to
// a client that does not read at once; and never into a handshake.
func TestTLSShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		p := loginOver(t, tlsClient(t, srv, "192.0.2.7:1", clientTLS()), "A")
		hello := clientHello(t)
		half, far := net.Pipe()
		go srv.ServeConn(far)
		half.Write(hello[:100])
		synctest.Wait()
		down := make(chan error)
		go func() { down <- srv.Shutdown(t.Context()) }()
		p.want("GBYE why=shutdown :The server is shutting down")
		p.want("(EOF)")
		p.nc.Close()
		if got, _ := io.ReadAll(half); len(got) > 0 {
			t.Errorf("into the handshake it says %q", got)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// Close does not wait for a client that does not read.
func TestTLSClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		near, far := net.Pipe() // whose writes wait for reads
		go srv.ServeConn(far)
		nc := tls.Client(near, clientTLS())
		p := loginOver(t, nc, "A")
		p.say("RVKE n=1 user=B")
		synctest.Wait()
		begun := time.Now()
		srv.Close()
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		near.Close()
	})
}

// An authority that looks whether the server has a name (RFC 8737) gets the
// handshake that it asks for if the configuration names the protocol, and the
// end; it is no way around the protocol's own.
func TestTLSAuthority(t *testing.T) {
	const acme = "acme-tls/1"
	with := serverTLS().Clone()
	with.NextProtos = []string{"h2", acme}
	chosen := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return with, nil }}
	for _, tt := range []struct {
		why    string
		server *tls.Config
		offers []string
		gets   string // "" is a handshake that fails
	}{
		{"an authority", with, []string{acme}, acme},
		{"an authority, by GetConfigForClient", chosen, []string{acme}, acme},
		{"an authority without the server's doing", serverTLS(), []string{acme}, ""},
		{"a client that offers both", with, []string{acme, handshake.ALPN}, handshake.ALPN},
		{"a web browser", with, []string{"h2"}, ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, TLSConfig: tt.server}
				defer srv.Close()
				cfg := clientTLS()
				cfg.NextProtos = tt.offers
				nc := tlsClient(t, srv, "192.0.2.7:1", cfg)
				err := nc.Handshake()
				if got := nc.ConnectionState().NegotiatedProtocol; (err == nil) != (tt.gets != "") || err == nil && got != tt.gets {
					t.Fatalf("ALPN %q, %v", got, err)
				}
				if tt.gets != acme {
					return
				}
				fmt.Fprint(nc, "HELO v=1\r\n")
				if said, err := io.ReadAll(nc); len(said) > 0 || err != nil {
					t.Errorf("after the handshake there is %q, %v; want the end", said, err)
				}
			})
		})
	}
}

// tlsOver is the client's TLS on a connection.
func tlsOver(nc net.Conn) *tls.Conn { return tls.Client(nc, clientTLS()) }

// textLog logs everything to w.
func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
