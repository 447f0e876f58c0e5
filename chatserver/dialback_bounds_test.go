package chatserver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// crowd is a server with A, who is there, and n users who are away, the i-th at
// the address that at says.
func crowd(t *testing.T, n int, at func(i int) string, play func(t *testing.T, s *scene, users []*rover)) {
	t.Helper()
	users := chatserver.Credentials{"A": "passA"}
	for i := range n {
		users[fmt.Sprintf("u%d", i)] = fmt.Sprintf("passu%d", i)
	}
	staged(t, func(srv *chatserver.Server) {
		users["B"] = "passB"
		srv.Accounts = users
		srv.Limits.ConnectRate = -1
	}, func(t *testing.T, s *scene) {
		s.b.say("QUIT n=9")
		s.b.leaves()
		var away []*rover
		for i := range n {
			r := rove(t, s.srv, s.x, fmt.Sprintf("u%d", i), at(i))
			r.leaves()
			away = append(away, r)
		}
		play(t, s, away)
	})
}

// A server calls 64 at once, in the order in which there was a reason to; the
// others wait until one is logged in or has failed.
func TestDialBackAtOnce(t *testing.T) {
	crowd(t, 70, func(i int) string { return fmt.Sprintf("198.51.100.%d:5000", i) }, func(t *testing.T, s *scene, users []*rover) {
		for i := range users {
			s.a.say("SEND n=%d to=u%d :hi", i+1, i)
			synctest.Wait()
		}
		s.x.want(t, "at once", 64)
		for i, d := range s.x.dials {
			if !strings.Contains(d, fmt.Sprintf(" 198.51.100.%d:28404", i)) {
				t.Fatalf("dial %d is %q", i, d)
			}
		}
		users[0].answers(t)
		s.x.want(t, "one is logged in", 65)
		for i := 65; i < 70; i++ {
			(<-s.x.ends).Close()
			s.x.want(t, "one has failed", i+1)
			if !strings.Contains(s.x.dials[i], fmt.Sprintf(" 198.51.100.%d:28404", i)) {
				t.Fatalf("dial %d is %q", i, s.x.dials[i])
			}
		}
		(<-s.x.ends).Close()
		s.x.want(t, "nobody waits", 70)
		time.Sleep(9 * time.Second)
		if n := s.x.count(); n != 71 {
			t.Errorf("%d dials where one has room", n)
		}
	})
}

// Of them 8 are to one source at most, and hold up nobody else.
func TestDialBackToOneSource(t *testing.T) {
	crowd(t, 12, func(i int) string {
		if i == 11 {
			return "[2001:db8:0:1::1]:5000"
		}
		return fmt.Sprintf("[2001:db8::%x]:5000", i+1) // one network
	}, func(t *testing.T, s *scene, users []*rover) {
		for i := range users {
			s.a.say("SEND n=%d to=u%d :hi", i+1, i)
			synctest.Wait()
		}
		s.x.want(t, "at once", 9)
		others := 0
		for _, d := range s.x.dials {
			if strings.Contains(d, "[2001:db8:0:1::1]:28404") {
				others++
			}
		}
		if others != 1 {
			t.Errorf("%d dials to another source: %q", others, s.x.dials)
		}
		(<-s.x.ends).Close()
		s.x.want(t, "one has failed", 10)
	})
}

// Who has come by himself before his turn is not called any more.
func TestDialBackCameBefore(t *testing.T) {
	crowd(t, 10, func(i int) string { return fmt.Sprintf("[2001:db8::%x]:5000", i+1) }, func(t *testing.T, s *scene, users []*rover) {
		for i := range users {
			s.a.say("SEND n=%d to=u%d :hi", i+1, i)
			synctest.Wait()
		}
		users[8].comes(t, s.srv, "[2001:db8::9]:5001")
		synctest.Wait()
		(<-s.x.ends).Close()
		s.x.want(t, "the ninth is there, the tenth is called", 9)
		for range 7 {
			(<-s.x.ends).Close()
		}
		users[9].answers(t)
	})
}

// Who is about to lose his connection is called when it is gone.
func TestDialBackStillThere(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) {
		s.b.say("ACKD count=99")
		s.b.want("GBYE why=protocol")
		synctest.Wait() // the server reads a little longer
		s.writes("hi")
		s.x.want(t, "the connection is there", 0)
		time.Sleep(time.Second)
		s.x.want(t, "it is gone", 1)
	})
}

// For one session there is one call, whatever comes meanwhile.
func TestDialBackOneASession(t *testing.T) {
	called(t, nil, func(t *testing.T, s *scene) {
		for i := range 50 {
			s.writes(fmt.Sprint(i))
		}
		s.x.want(t, "messages", 1)
		time.Sleep(5 * time.Second)
		s.b.comes(t, s.srv, "192.0.2.7:2")
		s.b.leaves() // without having taken them
		time.Sleep(5*time.Second - time.Millisecond)
		s.x.want(t, "the client came and went meanwhile", 1)
		time.Sleep(time.Millisecond)
		s.x.want(t, "then the next", 2)
		if !s.online() {
			t.Error("B is not online")
		}
		time.Sleep(8 * time.Second)
		<-s.x.ends
		s.b.answers(t)
		for range 51 {
			s.b.want("MESG")
		}
		s.b.say("ACKD count=51")
		s.b.leaves()
		s.until("the call that was under way when it was here counts for nothing", 10*time.Minute)
	})
}

// A call takes 10 s at most, wherever it hangs.
func TestDialBackTime(t *testing.T) {
	for _, test := range []struct {
		why  string
		hang func(s *scene, far net.Conn) net.Conn // returns what reads the end
	}{
		{"nothing is said", func(_ *scene, far net.Conn) net.Conn { return far }},
		{"a part of the handshake", func(_ *scene, far net.Conn) net.Conn {
			io.WriteString(far, "\x16\x03")
			return far
		}},
		{"nothing behind the handshake", func(s *scene, far net.Conn) net.Conn {
			nc := tls.Client(far, s.b.backTLS())
			if err := nc.Handshake(); err != nil {
				s.t.Error(err)
			}
			return nc
		}},
		{"heartbeats", func(s *scene, far net.Conn) net.Conn {
			nc := tls.Client(far, s.b.backTLS())
			io.WriteString(nc, "HELO v=1 acks=1 beat=1000\r\n")
			go func() {
				for {
					if _, err := io.WriteString(nc, "LIVE\r\n"); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			return nc
		}},
	} {
		t.Run(test.why, func(t *testing.T) {
			called(t, func(srv *chatserver.Server) { srv.Limits.HandshakeTimeout = time.Minute }, func(t *testing.T, s *scene) {
				s.t = t
				synctest.Wait()
				start := time.Now()
				nc := test.hang(s, <-s.x.ends)
				defer nc.Close()
				io.Copy(io.Discard, nc)
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
				time.Sleep(2 * time.Second)
				s.x.want(t, "the next", 2)
			})
		})
	}
	t.Run("the dial", func(t *testing.T) {
		var took chan time.Duration
		called(t, func(srv *chatserver.Server) {
			took = make(chan time.Duration, 9)
			srv.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
				asked := time.Now()
				<-ctx.Done()
				took <- time.Since(asked)
				return nil, ctx.Err()
			}
		}, func(t *testing.T, s *scene) {
			if took := <-took; took != 10*time.Second {
				t.Errorf("it took %v", took)
			}
			time.Sleep(2 * time.Second) // the next is under way when the server ends
		})
	})
}

// Shutdown waits for no call.
func TestDialBackShutdown(t *testing.T) {
	hang := func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, stage := range []string{"in the dial", "in the handshake", "greeted", "while one waits for its time"} {
		t.Run(stage, func(t *testing.T) {
			called(t, func(srv *chatserver.Server) {
				if stage == "in the dial" {
					srv.Dial = hang
				}
			}, func(t *testing.T, s *scene) {
				s.t = t
				var p *linePeer
				switch stage {
				case "greeted":
					p = s.b.dialled(t)
				case "while one waits for its time":
					synctest.Wait()
					(<-s.x.ends).Close()
					synctest.Wait()
				}
				start := time.Now()
				go func() {
					if p != nil {
						p.want("GBYE why=shutdown")
						p.nc.Close()
					}
					s.a.want("GBYE why=shutdown")
					s.a.nc.Close()
				}()
				if err := s.srv.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
				n := s.x.count()
				time.Sleep(time.Minute)
				s.x.want(t, "after the end", n)
			})
		})
	}
}

// Whom the server called is none of the strangers, and sends no PROXY header.
func TestDialBackIsNoStranger(t *testing.T) {
	staged(t, func(srv *chatserver.Server) {
		srv.Limits.StrangersPerSource, srv.Limits.Strangers = 1, 1
		srv.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	}, func(t *testing.T, s *scene) {
		nc := dial(t, s.srv, "198.51.100.1:1") // the proxy
		io.WriteString(nc, "PROXY TCP4 198.51.100.77 10.0.0.1 5000 8000\r\n")
		s.b.linePeer = lines(t, tls.Client(nc, clientTLS()))
		s.b.say("HELO v=1 acks=1 beat=30000 pres=0 caps=dialback")
		s.b.want("220 ")
		s.b.say("AUTH mech=PLAIN user=B pass=passB origin=42 known=1")
		s.b.want("230 user=B new=0 ")
		s.b.registers(28405)
		s.b.leaves()
		stranger := dial(t, s.srv, "192.0.2.7:9")
		defer stranger.Close()
		s.writes("hi")
		s.b.answers(t)
		s.b.want("MESG")
		if s.x.dials[0] != "0s 198.51.100.77:28405" {
			t.Errorf("dialled %q", s.x.dials)
		}
		p := lines(t, tls.Client(stranger, clientTLS()))
		p.say("HELO v=1")
		p.want("220 ") // it has not had to make room
	})
}
