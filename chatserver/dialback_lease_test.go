package chatserver_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// For how long who is away is online, when nobody writes.
func TestDialBackLease(t *testing.T) {
	for _, test := range []struct {
		why    string
		set    func(*chatserver.Server)
		leaves func(s *scene)
		want   time.Duration
	}{
		{"with dial=", nil, func(s *scene) { s.b.leaves() }, 10 * time.Minute},
		{"with another LSTN without dial=", nil, func(s *scene) {
			s.b.say("%s", s.b.lstn(" port=2000"))
			s.b.want("200 n=1")
			s.b.leaves()
		}, 45 * time.Second},
		{"with another LSTN with dial=", nil, func(s *scene) {
			s.b.registers(2000)
			s.b.leaves()
		}, 10 * time.Minute},
		{"after an LSTN that was refused", nil, func(s *scene) {
			s.b.say("LSTN n=2")
			s.b.want("501 n=2")
			s.b.leaves()
		}, 10 * time.Minute},
		{"cut off", nil, func(s *scene) { s.b.nc.Close() }, 10 * time.Minute},
		{"it came back, and said nothing of it", nil, func(s *scene) {
			s.b.leaves()
			time.Sleep(5 * time.Minute)
			s.b.comes(s.t, s.srv, "192.0.2.7:50001")
			s.b.leaves()
		}, 10 * time.Minute},
		{"it was called", nil, func(s *scene) {
			s.b.leaves()
			time.Sleep(5 * time.Minute)
			s.writes("hi")
			s.b.answers(s.t)
			s.b.want("MESG")
			s.b.say("ACKD count=1")
			s.b.leaves()
		}, 10 * time.Minute},
		{"a longer timeout", func(srv *chatserver.Server) { srv.Timeout = time.Hour }, func(s *scene) { s.b.leaves() }, 10 * time.Minute},
	} {
		t.Run(test.why, func(t *testing.T) {
			staged(t, test.set, func(t *testing.T, s *scene) {
				s.t = t
				test.leaves(s)
				synctest.Wait()
				s.until(test.why, test.want)
			})
		})
	}
}

// The lease that a server is set to, and tells.
func TestDialBackOwnLease(t *testing.T) {
	serverTLS()
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		s := &scene{t: t, x: x, srv: backServer(x)}
		s.srv.Lease = 2 * time.Minute
		defer s.srv.Close()
		s.a = stays(t, s.srv, "A")
		s.b = &rover{x: x, user: "B", cert: newIdentity()}
		s.b.comes(t, s.srv, "192.0.2.7:1")
		s.b.say("%s", s.b.lstn(" dial=28404"))
		s.b.want("200 n=1 lease=120000")
		s.b.leaves()
		s.until("the lease", 2*time.Minute)
	})
}

// A client that is silent on its connection is logged out as any other.
func TestDialBackSilence(t *testing.T) {
	staged(t, nil, func(t *testing.T, s *scene) { s.until("silence", 45*time.Second) })
}

// Who cannot be reached is called ever more seldom, and offline after one
// timeout; what is for him waits.
func TestDialBackFails(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		time.Sleep(time.Minute)
		s.x.set(errNobody)
		s.writes("hi")
		s.until("nobody listens", 45*time.Second)
		var at []time.Duration
		for _, d := range s.x.dials {
			when, _ := time.ParseDuration(d[:len(d)-len(" 192.0.2.7:28404")])
			at = append(at, when)
		}
		if len(at) < 5 || len(at) > 7 || at[0] != time.Minute {
			t.Fatalf("dialled %v", at)
		}
		for i, pause := range []time.Duration{1, 2, 4, 8} {
			got := at[i+1] - at[i]
			if pause *= time.Second; got < pause*3/4-time.Second || got > pause*5/4+time.Second {
				t.Errorf("after %v for dial %d: %v", got, i+1, at)
			}
		}
		n := s.x.count()
		time.Sleep(20 * time.Minute)
		s.x.want(t, "after the session", n)
		s.x.set(nil)
		if got := s.b.comes(t, s.srv, "192.0.2.7:50002"); valueOf(got, "new") != "1" || valueOf(got, "mail") != "1" {
			t.Errorf("got %q", got)
		}
	})
}

// The lease is not longer for a call that failed at its end.
func TestDialBackFailsLate(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		time.Sleep(10*time.Minute - 20*time.Second)
		s.x.set(errNobody)
		s.writes("hi")
		s.until("20 s are left", 20*time.Second)
	})
}

// A session that ends while its client is called is not called for again.
func TestDialBackEndsMeanwhile(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		time.Sleep(10*time.Minute - 5*time.Second)
		s.writes("hi") // and nobody answers
		s.until("5 s are left", 5*time.Second)
		time.Sleep(5 * time.Minute)
		s.x.want(t, "it is over", 1)
	})
}

// At most a minute passes between two calls.
func TestDialBackPause(t *testing.T) {
	staged(t, func(srv *chatserver.Server) { srv.Timeout, srv.Lease = time.Hour, 2*time.Hour }, func(t *testing.T, s *scene) {
		s.b.leaves()
		s.x.set(errNobody)
		s.writes("hi")
		time.Sleep(10 * time.Minute)
		for range 20 {
			before := s.x.count()
			time.Sleep(75 * time.Second)
			if n := s.x.count() - before; n < 1 || n > 2 {
				t.Errorf("%d calls in 75 s", n)
			}
		}
	})
}

// A client that was here is called as if no call had failed, whoever made the
// connection; but two calls are a second apart.
func TestDialBackResets(t *testing.T) {
	for _, test := range []struct {
		why  string
		here func(s *scene)
	}{
		{"it was reached", func(s *scene) {
			for len(s.x.ends) == 0 { // until the next call
				time.Sleep(time.Second)
			}
			s.b.answers(s.t)
			s.b.want("MESG")
			s.b.say("ACKD count=1")
		}},
		{"it came by itself", func(s *scene) {
			s.b.comes(s.t, s.srv, "192.0.2.7:50002")
			s.b.want("MESG")
			s.b.say("ACKD count=1")
		}},
	} {
		t.Run(test.why, func(t *testing.T) {
			staged(t, func(srv *chatserver.Server) { srv.Timeout = time.Minute }, func(t *testing.T, s *scene) {
				s.t = t
				s.b.leaves()
				s.x.set(errNobody)
				s.writes("hi")
				time.Sleep(10 * time.Second)
				s.x.set(nil)
				test.here(s)
				s.b.leaves()
				time.Sleep(8 * time.Minute) // of a lease of 10
				s.x.set(errNobody)
				n := s.x.count()
				s.writes("again")
				s.x.want(t, "at once", n+1)
				time.Sleep(3 * time.Second)
				if got := s.x.count() - n; got < 2 || got > 3 {
					t.Errorf("%d calls in 3 s", got)
				}
				s.until("from the first that failed", 57*time.Second)
			})
		})
	}
}

// A client that always goes away before it has taken its mail is called once a
// second, and not as fast as it can.
func TestDialBackSecond(t *testing.T) {
	away(t, func(t *testing.T, s *scene) {
		s.writes("hi")
		for i := range 5 {
			s.x.want(t, fmt.Sprint("second ", i), i+1)
			s.b.answers(t)
			s.b.want("MESG")
			s.b.leaves()
			time.Sleep(999 * time.Millisecond)
			s.x.want(t, fmt.Sprint("before second ", i+1), i+1)
			time.Sleep(time.Millisecond)
		}
	})
}

// A server that was started again knows the session, and nobody to call.
func TestDialBackRestart(t *testing.T) {
	serverTLS()
	synctest.Test(t, func(t *testing.T) {
		x := newExchange()
		st := memstore.New()
		srv := backServer(x)
		srv.Store = st
		b := rove(t, srv, x, "B", "192.0.2.7:50000")
		b.leaves()
		time.Sleep(time.Minute)
		srv.Close()
		s := &scene{t: t, x: x, srv: backServer(x), b: b}
		s.srv.Store = st
		defer s.srv.Close()
		s.a = stays(t, s.srv, "A")
		s.writes("hi")
		s.until("a restart", 45*time.Second)
		x.want(t, "after a restart", 0)
	})
}
