package chatserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
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

// So many logins may fail on one connection; the last is answered before the
// connection ends.
func TestLoginAttempts(t *testing.T) {
	for limit, set := range map[int]int{10: 0, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: demo, Limits: chatserver.Limits{LoginAttempts: set}}
			defer srv.Close()
			p := open(t, srv, "127.0.0.1:1")
			p.say("HELO v=1")
			p.want("220")
			for i := 1; i <= limit; i++ {
				if i == limit {
					p.say("AUTH user=A origin=no") // no failed login
					p.want("501")
				}
				p.say("AUTH user=u%d pass=wrong", i)
				p.want("535 left=2 :Invalid Password. Please try again")
			}
			p.want("GBYE why=protocol :Too many failed logins")
			p.want("(EOF)")
		})
	}
}

// A source whose logins failed too often is refused every login for a while,
// whatever the account and the connection; others are not.
func TestFailureRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Limits: chatserver.Limits{FailureRate: 6}}
		defer srv.Close()
		try := func(addr, user, pass string) string {
			p := open(t, srv, addr)
			defer p.nc.Close()
			p.say("HELO v=1\nAUTH user=%s pass=%s", user, pass)
			p.want("220")
			return p.next()
		}
		const one, other = "127.0.0.1:1", "[::1]:1"
		for i := range 5 {
			if got := try(one, fmt.Sprint("u", i), "wrong"); !strings.HasPrefix(got, "535 left=2") {
				t.Errorf("failure %d: %s", i, got)
			}
		}
		if got := try(one, "A", "passA"); !strings.HasPrefix(got, "230") {
			t.Error("below the limit a right password is refused:", got)
		}
		if got := try(one, "u6", "wrong"); !strings.HasPrefix(got, "535 left=2") {
			t.Error("at the limit:", got)
		}
		const refused = "450 retry=10000 :Due to multiple login failures, your account has been blocked. Please try again after 10 seconds."
		for _, pass := range []string{"wrong", "passA"} {
			if got := try(one, "A", pass); got != refused {
				t.Error("above the limit:", got)
			}
		}
		if got := try(other, "B", "passB"); !strings.HasPrefix(got, "230") {
			t.Error("another source:", got)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		if got := try(one, "A", "passA"); !strings.HasPrefix(got, "450 retry=1 ") {
			t.Error("too early:", got)
		}
		time.Sleep(time.Millisecond)
		if got := try(one, "A", "passA"); !strings.HasPrefix(got, "230") {
			t.Error("after retry=:", got)
		}
	})
}

// A session may send only so many requests a second once its burst is used
// up. A message that is refused for it is decided; what is not answered, and
// QUIT, are free; the rate is the session's, not the connection's.
func TestRequestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientTLS()
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS(), Limits: chatserver.Limits{RequestRate: 2, RequestBurst: 3}}
		defer srv.Close()
		enter := func() *linePeer { return loginOver(t, tlsClient(t, srv, "192.0.2.7:1", cfg), "A") }
		p := enter()
		p.say("SEND n=1 to=B :1\r\nONLN n=2\r\nSEND n=3 to=nobody :3")
		p.want("201 n=1")
		p.want("211 n=2")
		p.want("550 n=3")
		p.say("LIVE\r\nACKD count=0\r\nSEND n=4 to=B :4\r\nCAST n=5 :5\r\nONLN n=6\r\nBLOK user=unheard-of")
		p.want("429 n=4 retry=500 :Too many requests. Please slow down")
		p.want("429 n=5 retry=500 :Too many requests. Please slow down")
		p.want("429 n=6 retry=500 :Too many requests. Please slow down")
		p.want("429 retry=500 :Too many requests. Please slow down")
		p.nc.Close()
		synctest.Wait()
		p = enter()
		p.say("SEND n=1 to=B :1\r\nSEND n=4 to=B :4") // as it was decided
		p.want("201 n=1")
		p.want("455 n=4")
		time.Sleep(499 * time.Millisecond)
		p.say("ONLN n=7")
		p.want("429 n=7 retry=1 ")
		time.Sleep(time.Millisecond)
		p.say("ONLN n=8\r\nONLN n=9\r\nQUIT n=10")
		p.want("211 n=8")
		p.want("429 n=9")
		p.want("221 n=10")

		local := login(t, srv, "C")
		for n := 1; n <= 50; n++ {
			local.say("UBLK n=%d user=A", n)
			local.want("200")
		}
	})
}

// The burst is what a client may have to send again at once, or a second's
// worth of requests.
func TestRequestBurst(t *testing.T) {
	for rate, burst := range map[float64]int{1: 256, 300: 300} {
		synctest.Test(t, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS(), Limits: chatserver.Limits{RequestRate: rate}}
			defer srv.Close()
			p := loginOver(t, tlsClient(t, srv, "192.0.2.7:1", clientTLS()), "A")
			for n := 1; n <= burst; n++ {
				p.say("RVKE n=%d user=B", n)
				p.want("200")
			}
			p.say("RVKE n=%d user=B", burst+1)
			p.want("429")
		})
	}
}

// With Limits left alone there is no rate, and requests are read as fast as
// they are answered.
func TestNoRequestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		defer srv.Close()
		p := loginOver(t, tlsClient(t, srv, "192.0.2.7:1", clientTLS()), "A")
		for n := 1; n <= 2000; n++ {
			p.say("RVKE n=%d user=B", n)
			p.want("200")
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

// What waits to be written to a client that does not read is bounded: its
// messages wait in the mailbox, its requests are not read, and of other events
// four times as much cuts it off.
func TestOutboundBytes(t *testing.T) {
	const limit = 2000
	many := chatserver.Credentials{"A": "x", "B": "x"}
	for i := range 100 {
		many[fmt.Sprint("u", i)] = "x"
	}
	for _, test := range []struct {
		name string
		fill func(t *testing.T, srv *chatserver.Server, b net.Conn)
		most int // octets of one write
		cut  bool
	}{
		{"messages", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			a := enter(t, srv, "A")
			for n := 1; n <= 50; n++ {
				a.say("SEND n=%d to=B :%s", n, strings.Repeat("x", 400))
				a.want("201")
			}
		}, limit + 500, false},
		{"answers", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			b.SetWriteDeadline(time.Now().Add(time.Second))
			for range 500 {
				fmt.Fprintf(b, "BLOK user=%s\r\n", strings.Repeat("x", 60))
			}
		}, limit + 100, false},
		{"events", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			io.WriteString(b, "LSTN n=1 port=2000\r\n")
			for i := range 100 {
				a := enter(t, srv, fmt.Sprint("u", i))
				a.say("ADDR n=1 user=B")
				a.want("202")
			}
		}, 4*limit + 200, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := ""
				srv := &chatserver.Server{Accounts: many, Limits: chatserver.Limits{OutboundBytes: limit}, Hooks: chatserver.Hooks{
					OnDisconnect: func(_ context.Context, c chatserver.ConnInfo, why string) {
						if c.User == "B" {
							ends = why
						}
					},
				}}
				near, far := net.Pipe()
				meter := &meteredWrites{Conn: far}
				go srv.ServeConn(meter)
				b := lines(t, near)
				go io.WriteString(near, "HELO v=1 acks=1 pres=0\r\nAUTH user=B pass=x origin=b\r\n")
				b.want("220")
				b.want("230")
				test.fill(t, srv, near)
				synctest.Wait()
				if cut := ends == "reads too slowly"; cut != test.cut {
					t.Errorf("cut off: %v (%q), want %v", cut, ends, test.cut)
				}
				near.SetReadDeadline(time.Now().Add(time.Second))
				io.Copy(io.Discard, near)
				srv.Close()
				if most := meter.most.Load(); most > int64(test.most) || !test.cut && most < limit {
					t.Errorf("%d octets are written at once, want at most %d", most, test.most)
				}
				near.Close()
			})
		})
	}
}

// enter logs user in whose password is x.
func enter(t *testing.T, srv *chatserver.Server, user string) *linePeer {
	t.Helper()
	p := open(t, srv, "127.0.0.1:1")
	p.say("HELO v=1 acks=1 pres=0\r\nAUTH user=%s pass=x origin=1", user)
	p.want("220")
	p.want("230")
	return p
}

// A meteredWrites notes the largest write.
type meteredWrites struct {
	net.Conn
	most atomic.Int64
}

func (m *meteredWrites) Write(p []byte) (int, error) {
	m.most.Store(max(m.most.Load(), int64(len(p))))
	return m.Conn.Write(p)
}

// Only so many who are sent away are read from for a while; the others are
// closed at once, and later ones have their second again.
func TestDrainingLimit(t *testing.T) {
	const limit = 256
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo} // sends everybody from afar away
		defer srv.Close()
		for range 2 {
			for i := range limit + 2 {
				p := open(t, srv, ip(i))
				io.WriteString(p.nc, "H")
				p.want("421")
				p.want("(EOF)")
				synctest.Wait()
				if _, err := io.WriteString(p.nc, "x"); (err == nil) != (i < limit) {
					t.Errorf("connection %d: %v", i, err)
				}
			}
			time.Sleep(2 * time.Second)
			if n := srv.Stats().Connections; n != 0 {
				t.Errorf("%d connections are left", n)
			}
		}
	})
}
