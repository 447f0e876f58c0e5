package chatserver_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// open connects to srv from addr, without a word.
func open(t *testing.T, srv *chatserver.Server, addr string) *linePeer {
	return lines(t, dial(t, srv, addr))
}

// living reports whether the server still talks to a connection that said
// nothing yet.
func (p *linePeer) living() bool {
	p.t.Helper()
	p.say("HELO v=1")
	return strings.HasPrefix(p.next(), "220 ")
}

// ip is one of many addresses of other machines.
func ip(i int) string { return fmt.Sprintf("192.0.%d.%d:50000", 2+i/250, 1+i%250) }

// The oldest stranger makes room for one too many, and is told so; those who
// are logged in and those from this machine do not count.
func TestStrangersLimit(t *testing.T) {
	const limit = 5
	for _, n := range []int{limit - 1, limit, limit + 1, limit + 2} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, AllowCleartext: true, TLSConfig: serverTLS(), Limits: chatserver.Limits{Strangers: limit}}
				defer srv.Close()
				in := loginOver(t, tlsClient(t, srv, ip(200), clientTLS()), "A")
				for range 2 * limit {
					open(t, srv, "127.0.0.1:50000")
					open(t, srv, "@")
				}
				var strangers []*linePeer
				for i := range n {
					strangers = append(strangers, open(t, srv, ip(i)))
					synctest.Wait()
				}
				for i, p := range strangers {
					if i < n-limit {
						p.want("421 :Too many connections that are not logged in. Please try again later")
						p.want("(EOF)")
					} else if !p.living() {
						t.Errorf("stranger %d of %d has to go, the limit is %d", i, n, limit)
					}
				}
				in.say("ONLN")
				in.want("211")
			})
		})
	}
}

// A source may have only so many strangers; who leaves or logs in makes room
// for others.
func TestStrangersPerSourceLimit(t *testing.T) {
	const limit = 4
	for _, test := range []struct {
		name string
		addr func(i int) string
		free bool // no limit
	}{
		{"IPv4", func(i int) string { return fmt.Sprintf("192.0.2.7:%d", 1000+i) }, false},
		{"mapped", func(i int) string { return []string{"192.0.2.7:1", "[::ffff:192.0.2.7]:1"}[i%2] }, false},
		{"one IPv6 /64", func(i int) string { return fmt.Sprintf("[2001:db8::%d:1]:1000", i) }, false},
		{"IPv6 /64s", func(i int) string { return fmt.Sprintf("[2001:db8:0:%d::1]:1000", i) }, true},
		{"loopback", func(int) string { return "127.0.0.1:1000" }, true},
		{"IPv6 loopback", func(int) string { return "[::1]:1000" }, true},
		{"no IP address", func(int) string { return "/run/parley.sock" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo, AllowCleartext: true, Limits: chatserver.Limits{StrangersPerSource: limit}}
				defer srv.Close()
				var in []*linePeer
				for i := range limit + 2 {
					p := open(t, srv, test.addr(i))
					synctest.Wait()
					if i < limit || test.free {
						in = append(in, p)
						continue
					}
					p.want("421 :Too many connections from your address that are not logged in. Please try again later")
					p.want("(EOF)")
					p.nc.Close()
				}
				for _, p := range in {
					if !p.living() {
						t.Error("a connection within the limit is refused")
					}
				}
				if test.free {
					return
				}
				if !open(t, srv, "198.51.100.1:1").living() {
					t.Error("another source is refused")
				}
				in[0].nc.Close()
				time.Sleep(2 * time.Second)
				if !open(t, srv, test.addr(9)).living() {
					t.Error("who left makes no room")
				}
				open(t, srv, test.addr(9)).want("421")
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, AllowCleartext: true, Limits: chatserver.Limits{StrangersPerSource: -1}}
		defer srv.Close()
		for range 90 {
			if !open(t, srv, "192.0.2.7:1").living() {
				t.Fatal("-1 is a limit")
			}
		}
	})
}

// A source may open only so many connections a second once its burst is used
// up, and is told when to come back.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, AllowCleartext: true, Limits: chatserver.Limits{ConnectRate: 2}}
		defer srv.Close()
		comes := func(addr string) (refused string) {
			p := open(t, srv, addr)
			defer p.nc.Close()
			defer synctest.Wait()
			p.say("HELO v=1")
			if line := p.next(); !strings.HasPrefix(line, "220 ") {
				return line
			}
			return ""
		}
		for i := range 20 { // the burst: ten seconds' worth
			if got := comes("192.0.2.7:1"); got != "" {
				t.Fatalf("connection %d: %s", i, got)
			}
		}
		if got := comes("192.0.2.7:2"); got != "421 retry=500 :Too many connections from your address. Please try again later" {
			t.Error(got)
		}
		if got := comes("192.0.2.8:1"); got != "" {
			t.Error("another source:", got)
		}
		for range 50 {
			if got := comes("127.0.0.1:1"); got != "" {
				t.Error("this machine:", got)
			}
		}
		time.Sleep(499 * time.Millisecond)
		if got := comes("192.0.2.7:3"); got != "421 retry=1 :Too many connections from your address. Please try again later" {
			t.Error(got)
		}
		time.Sleep(time.Millisecond)
		if got := comes("192.0.2.7:4"); got != "" {
			t.Error("after retry=:", got)
		}
		if got := comes("192.0.2.7:5"); got == "" {
			t.Error("the wait is good for one connection only")
		}
		time.Sleep(time.Minute) // forgotten, and full
		for i := range 20 {
			if got := comes("192.0.2.7:1"); got != "" {
				t.Errorf("a minute later, connection %d: %s", i, got)
			}
		}
		if got := comes("192.0.2.7:1"); got == "" {
			t.Error("a minute later there is more than the burst")
		}
	})
}

// Who is sent away at once is nothing that hooks are told of; who makes room
// is.
func TestHooksOfRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}
		srv := &chatserver.Server{Accounts: demo, AllowCleartext: true, Limits: chatserver.Limits{StrangersPerSource: 1, Strangers: 1},
			Hooks: chatserver.Hooks{
				OnConnect: func(_ context.Context, c chatserver.ConnInfo) { note("+" + c.RemoteAddr.String()) },
				OnDisconnect: func(_ context.Context, c chatserver.ConnInfo, why string) {
					note("-" + c.RemoteAddr.String() + " " + why)
				},
			}}
		defer srv.Close()
		for _, addr := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"} {
			open(t, srv, addr)
			time.Sleep(2 * time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(told, ", "); got != "+192.0.2.1:1, +192.0.2.2:1, -192.0.2.1:1 too many connections" {
			t.Error(got)
		}
	})
}

// A hundred connections of garbage from this machine leave a server that
// logs the next one in.
func TestGarbage(t *testing.T) {
	srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	garbage := []string{"", "\x16", "\x16\x03\x01\x02\x00\x01\x00", "\x16\x03\x01\xff\xff" + strings.Repeat("\x00", 100), "GET / HTTP/1.1\r\n\r\n",
		"\r\n\r\n\x00\r\nQUIT\n", "\x00\xff\xfe", "HELO v=1\r\nAUTH user=A pass=wrong\r\n", strings.Repeat("x", 70000)}
	for i := range 100 {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write([]byte(garbage[i%len(garbage)]))
		if i%3 == 0 {
			nc.Close()
		}
	}
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	loginOver(t, nc, "B")
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	<-served
}
