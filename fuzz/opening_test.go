package fuzz

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// startsTLS is the first octet of a connection that speaks TLS.
const startsTLS = "\x16"

// fuzzTLS is a certificate that nobody vouches for. It is made once, out of
// any bubble.
var fuzzTLS = sync.OnceValue(func() *tls.Config {
	cert, err := chatserver.SelfSigned("")
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
})

// corners are where a connection may come from, by its number.
var corners = []struct {
	addr  string
	proxy bool // a PROXY header has to come first
	tls   bool // the server has a certificate
}{
	{"127.0.0.1:1", false, true},
	{"192.0.2.7:1", false, true},
	{"192.0.2.7:1", false, false},
	{"198.51.100.1:1", true, true},
	{"198.51.100.1:1", true, false},
}

// FuzzOpening throws arbitrary bytes at a server as the first ones of a
// connection: lines, a ClientHello, a PROXY header, or what looks like one.
// Whatever comes, the server answers in frames before TLS has begun and in
// records of TLS afterwards, reads no more than it may, and ends the
// connection in time; meanwhile and afterwards a good client logs in.
func FuzzOpening(f *testing.F) {
	const v1, v2 = "PROXY TCP4 192.0.2.7 192.0.2.9 1 2\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x09\xdc\x04\x01\xbb"
	hello := string(clientHello())
	for _, s := range []string{
		"", "\n", startsTLS, hello, hello[:len(hello)/2], hello + hello, "\x16\x03\x01\x40\x00\x01\x00\xff\xff", "\x16\n", "\x15\x03\x03\x00\x02\x02\x28", "HELO v=1\r\n",
		"HELO v=1\nAUTH user=A pass=a\nQUIT\n", "GET / HTTP/1.1\r\n\r\n", "PROXY UNKNOWN\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n",
	} {
		for corner := range corners {
			for _, header := range []string{"", v1, v2} {
				f.Add(uint8(corner), uint16(7), []byte(header+s))
			}
		}
	}
	f.Fuzz(func(t *testing.T, corner uint8, cut uint16, input []byte) {
		if len(input) > 128<<10 {
			return
		}
		at := corners[int(corner)%len(corners)]
		cfg := fuzzTLS()
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{
				Accounts: fuzzAccounts, Logger: slog.New(slog.DiscardHandler),
				ProxyFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
			}
			if at.tls {
				srv.TLSConfig = cfg
			}
			defer srv.Close()
			begun := time.Now()
			near, far := net.Pipe()
			meter := &opening{Conn: far, t: t, from: at.addr}
			served := make(chan bool)
			go func() { srv.ServeConn(meter); close(served) }()
			said := make(chan []byte)
			go func() { b, _ := io.ReadAll(near); said <- b }()
			near.SetWriteDeadline(begun.Add(10 * time.Second))
			if n := min(int(cut), len(input)); true { // in two writes, with a pause between them
				if _, err := near.Write(input[:n]); err == nil {
					time.Sleep(time.Second)
					near.Write(input[n:])
				}
			}
			goodLogin(t, srv, false)
			<-served
			if took := time.Since(begun); took > 12*time.Minute {
				t.Errorf("the connection lasts %v", took)
			}
			near.Close()
			checkSaid(t, meter.rest(at.proxy), <-said)
			goodLogin(t, srv, at.tls)
		})
	})
}

// goodLogin logs a client in from the server's machine.
func goodLogin(t *testing.T, srv *chatserver.Server, secure bool) {
	near, far := net.Pipe()
	go srv.ServeConn(elsewhere{far, "127.0.0.1:2"})
	defer near.Close()
	near.SetDeadline(time.Now().Add(time.Second))
	nc := near
	if secure {
		nc = tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}, CurvePreferences: []tls.CurveID{tls.X25519}})
	}
	r := chatproto.NewReader(nc)
	var f chatproto.Frame
	for _, step := range []struct {
		line string
		want chatproto.Code
	}{{"HELO v=1", chatproto.ReplyGreeting}, {"AUTH user=B pass=b", chatproto.ReplyWelcome}, {"QUIT", chatproto.ReplyBye}} {
		fmt.Fprintf(nc, "%s\r\n", step.line)
		for {
			if err := r.Next(&f); err != nil {
				t.Fatalf("%s is not answered: %v", step.line, err)
			}
			if f.Code == step.want {
				break
			}
			if f.Code.IsReply() {
				t.Fatalf("%s is answered by %s", step.line, f.Code)
			}
		}
	}
}

// checkSaid checks what a server said to input: records of TLS if it begins
// with that, else frames.
func checkSaid(t *testing.T, input, said []byte) {
	if bytes.HasPrefix(input, []byte(startsTLS)) {
		for len(said) > 0 {
			if len(said) < 5 || said[0] < 0x14 || said[0] > 0x17 || said[1] != 3 || len(said) < 5+int(said[3])<<8+int(said[4]) {
				t.Fatalf("TLS is answered by %q", said)
			}
			said = said[5+int(said[3])<<8+int(said[4]):]
		}
		return
	}
	r := chatproto.NewReader(bytes.NewReader(said))
	var f chatproto.Frame
	for {
		if err := r.Next(&f); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("the server says %q: %v", said, err)
		}
	}
}

// An elsewhere is a connection that comes from an address.
type elsewhere struct {
	net.Conn
	from string
}

func (e elsewhere) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(e.from))
}

// An opening watches what a server reads of a connection: never more at once
// than TLS or a line may bring.
type opening struct {
	net.Conn
	t    *testing.T
	from string
	mu   sync.Mutex
	read []byte
}

func (o *opening) RemoteAddr() net.Addr { return elsewhere{from: o.from}.RemoteAddr() }

func (o *opening) Read(p []byte) (int, error) {
	const most = 64 << 10 // what the buffers of crypto/tls may grow to in a handshake
	if len(p) > most {
		o.t.Errorf("a read into %d octets", len(p))
	}
	n, err := o.Conn.Read(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read = append(o.read, p[:n]...)
	return n, err
}

// rest is what was read, without a PROXY header if there has to be one.
func (o *opening) rest(proxy bool) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !proxy:
		return o.read
	case bytes.HasPrefix(o.read, []byte("PROXY ")):
		_, rest, _ := bytes.Cut(o.read, []byte("\r\n"))
		return rest
	case len(o.read) < 16:
		return nil
	}
	return o.read[min(len(o.read), 16+int(o.read[14])<<8+int(o.read[15])):]
}

// clientHello is what a client of TLS begins with.
func clientHello() []byte {
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}}).Handshake()
		near.Close()
	}()
	hello := make([]byte, 8<<10)
	n, _ := far.Read(hello)
	return hello[:n]
}
