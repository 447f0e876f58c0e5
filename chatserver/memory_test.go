package chatserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// strangerMemory is what a stranger may make the server keep in cleartext
// (SPEC section 9.2), and tlsMemory what he may with TLS, most of which is
// crypto/tls's.
const (
	strangerMemory = 16 << 10
	tlsMemory      = 64 << 10
)

// raceEnabled says that the tests were built with -race.
var raceEnabled bool

// What a connection costs that is not logged in, heap and stack: silent,
// talkative, and as greedy as it may be. The client's ends are there before
// the first measurement, and keep nothing of their TLS.
func TestStrangerMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps more")
	}
	hello, cfg := clientHello(t), serverTLS()
	limits := chatproto.V1.Limits
	longLine := func(start string) string {
		return start + strings.Repeat("x", limits.LoginFrame-len(start)-len("\r\n"))
	}
	many := func(line string, n int) string { return strings.Repeat(line+"\r\n", n) }
	text := func(lines string) func(net.Conn) {
		return func(nc net.Conn) { io.WriteString(nc, lines) }
	}
	secure := func(lines string) func(net.Conn) {
		return func(nc net.Conn) {
			c := tlsOver(nc)
			if err := c.Handshake(); err != nil {
				t.Error(err)
			}
			io.WriteString(c, lines)
		}
	}
	fields := ""
	for c := 'a'; c < 'p'; c++ {
		fields += fmt.Sprintf(" a%c=x", c)
	}
	for _, test := range []struct {
		name  string
		limit int
		deaf  bool
		talk  func(net.Conn)
	}{
		{"silent", strangerMemory, false, text("")},
		{"greeted", strangerMemory, false, text("HELO v=1\r\n")},
		{"a long line that does not end", strangerMemory, false, text(longLine("HELO v=1 a="))},
		{"greeted, half a login, a long line that does not end", strangerMemory, false,
			text("HELO v=1" + fields + "\r\nAUTH user=" + strings.Repeat("u", limits.Name) + "\r\n" + longLine("AUTH pass="))},
		{"reads no answers", strangerMemory, true,
			text("HELO v=1\r\n" + many("AUTH user=A", 100_000))},
		{"reads no answers, and a long line", strangerMemory, true,
			text("HELO v=1\r\n" + many("AUTH user=A pass=", 5) + many(longLine("AUTH user=A a="), 5000))},
		{"failed logins", strangerMemory, false,
			text("HELO v=1\r\n" + many("AUTH user=A pass=x", 1) + many("AUTH user=B pass=x", 1) + longLine("AUTH "))},
		{"TLS: the first octet", strangerMemory, false, text("\x16")},
		{"TLS: half a ClientHello", tlsMemory, false, text(string(hello[:len(hello)/2]))},
		{"TLS: an endless ClientHello", tlsMemory, false, text("\x16\x03\x01\x3f\xf0\x01\x00\xff\xff" + strings.Repeat("x", 16_000))},
		{"TLS: after the ClientHello", tlsMemory, false, text(string(hello))},
		{"TLS: silent", tlsMemory, false, secure("")},
		{"TLS: greeted", tlsMemory, false, secure("HELO v=1\r\n")},
		{"TLS: greeted, half a login, a long line that does not end", tlsMemory, false,
			secure("HELO v=1" + fields + "\r\nAUTH user=A\r\n" + longLine("AUTH pass="))},
		{"TLS: reads no answers", tlsMemory, true, secure("HELO v=1\r\n" + many("AUTH user=A", 10_000))},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heap, stack := costs(t, cfg, test.deaf, test.talk)
				t.Logf("%6d octets of heap and %6d of stack", heap, stack)
				if heap+stack > test.limit {
					t.Errorf("it costs %d octets, the limit is %d", heap+stack, test.limit)
				}
			})
		})
	}
}

// costs measures what each of many connections costs the server that say
// this. A deaf one reads nothing once it has said it.
func costs(t *testing.T, cfg *tls.Config, deaf bool, talk func(net.Conn)) (heap, stack int) {
	const n = 300
	srv := &chatserver.Server{Accounts: demo, TLSConfig: cfg, AllowCleartext: true, LockoutTries: 10 * n,
		Limits: chatserver.Limits{StrangersPerSource: -1, ConnectRate: -1, FailureRate: -1}}
	defer srv.Close()
	var near, far []net.Conn
	for range n {
		c, s := net.Pipe() // which buffers nothing
		near, far = append(near, c), append(far, elsewhere{s, memnet.Addr("192.0.2.7:1")})
		defer c.Close()
	}
	l := &handed{conns: make(chan net.Conn)}
	go srv.Serve(l)
	before := memory()
	for i, c := range far {
		l.conns <- c
		near[i].SetWriteDeadline(time.Now().Add(time.Millisecond)) // what the server does not read any more is not said
		talk(near[i])
		synctest.Wait()
		if !deaf {
			near[i].SetReadDeadline(time.Now().Add(time.Millisecond))
			io.ReadAll(near[i])
		}
	}
	after := memory()
	if here := srv.Stats().Connections; here != n {
		t.Errorf("%d connections of %d are there", here, n)
	}
	return int(after.HeapAlloc-before.HeapAlloc) / n, int(after.StackInuse-before.StackInuse) / n
}

// A handed listener accepts the connections that it is handed.
type handed struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *handed) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *handed) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

func (l *handed) Addr() net.Addr { return memnet.Addr("127.0.0.1:8000") }

// memory returns what is in use once all is quiet.
func memory() (m runtime.MemStats) {
	synctest.Wait()
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
