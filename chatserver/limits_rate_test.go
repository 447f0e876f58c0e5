package chatserver_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

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
