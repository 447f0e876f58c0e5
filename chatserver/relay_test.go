package chatserver_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// loginRelay logs in a client that may use relayed lines.
func loginRelay(t *testing.T, srv *chatserver.Server, user string) *linePeer {
	t.Helper()
	p := lines(t, dial(t, srv, "127.0.0.1:50000"))
	p.say("HELO v=1 acks=1 beat=3600000 pres=0 caps=rooms,relay")
	if got := p.want("220"); !strings.HasSuffix(got, " caps=relay") {
		t.Errorf("got %q", got)
	}
	p.say("AUTH user=%s pass=%s origin=%x", user, demo[user], user)
	p.want("230")
	return p
}

// grantTo has owner consent to asker. The numbers of requests are n and up.
func grantTo(asker, owner *linePeer, askerName, ownerName string, n int) {
	owner.t.Helper()
	owner.say("LSTN n=%d port=2000", n)
	owner.want("200")
	asker.say("ADDR n=%d user=%s", n, ownerName)
	asker.want("202")
	owner.want("RQST")
	owner.say("CNST n=%d user=%s", n+1, askerName)
	owner.want("200")
	asker.want("GETA")
}

// relayed plays with a stream from A to B.
func relayed(t *testing.T, play func(srv *chatserver.Server, a, b *linePeer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Timeout: time.Hour, Heartbeat: time.Hour}
		defer srv.Close()
		a, b := loginRelay(t, srv, "A"), loginRelay(t, srv, "B")
		grantTo(a, b, "A", "B", 1)
		a.say("RLAY n=5 user=B")
		a.want("200 n=5 s=1")
		b.want("RLAY user=A s=1")
		play(srv, a, b)
	})
}

func octets(n int) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", n)))
}

// What one end sends the other gets, in order, until one ends it.
func TestRelayCarries(t *testing.T) {
	relayed(t, func(srv *chatserver.Server, a, b *linePeer) {
		a.say("RDAT s=1 data=%s", octets(1))
		a.say("RDAT s=1 data=%s", octets(4096))
		b.want("RDAT s=1 data=" + octets(1))
		b.want("RDAT s=1 data=" + octets(4096))
		b.say("RDAT s=1 data=%s ack=4097", octets(3))
		a.want("RDAT s=1 data=" + octets(3) + " ack=4097")
		a.say("RDAT s=1 ack=3 data=%s end=1", octets(2))
		b.want("RDAT s=1 data=" + octets(2) + " ack=3 end=1")
		b.say("RDAT s=1 data=%s", octets(1)) // nobody is there any more
		a.say("RLAY n=6 user=B")
		a.want("200 n=6 s=2")
	})
}

// A stream whose end does not keep to the rules is over.
func TestRelayRules(t *testing.T) {
	full := strings.Repeat("RDAT s=1 data="+octets(4096)+"\r\n", 8) // 32,768 octets
	for _, test := range []struct {
		why, say string
		passed   int // frames, before the end
		ends     bool
	}{
		{"32,768 octets on the way", strings.TrimSuffix(full, "\r\n"), 8, false},
		{"one more", full + "RDAT s=1 data=" + octets(1), 8, true},
		{"4,097 octets at once", "RDAT s=1 data=" + octets(4097), 0, true},
		{"no octets", "RDAT s=1 data=", 0, true},
		{"no base64", "RDAT s=1 data=x", 0, true},
		{"an ack of nothing", "RDAT s=1 ack=1", 0, true},
		{"an ack that is no number", "RDAT s=1 ack=x", 0, true},
		{"an end that is no flag", "RDAT s=1 end=2", 0, true},
		{"another stream", "RDAT s=2 data=x\r\nRDAT data=x\r\nRDAT s=x", 0, false},
	} {
		relayed(t, func(srv *chatserver.Server, a, b *linePeer) {
			a.say("%s", test.say)
			for range test.passed {
				b.want("RDAT s=1 data=")
			}
			if test.ends {
				a.want("RDAT s=1 end=1")
				b.want("RDAT s=1 end=1")
			}
			a.say("ONLN n=9")
			if got := a.next(); got != "111 n=9 user=B :B" {
				t.Errorf("%s: A gets %q", test.why, got)
			}
			b.say("ONLN n=9")
			if got := b.next(); got != "111 n=9 user=A :A" {
				t.Errorf("%s: B gets %q", test.why, got)
			}
		})
	}
}

// An ack makes room, and never falls.
func TestRelayAcks(t *testing.T) {
	relayed(t, func(srv *chatserver.Server, a, b *linePeer) {
		for i := range 100 {
			a.say("RDAT s=1 data=%s", octets(4096))
			b.want("RDAT s=1 data=")
			b.say("RDAT s=1 ack=%d", 4096*(i+1))
			a.want(fmt.Sprintf("RDAT s=1 ack=%d", 4096*(i+1)))
		}
		b.say("RDAT s=1 ack=1")
		a.want("RDAT s=1 end=1")
		b.want("RDAT s=1 end=1")
	})
}

// A stream ends with the consent, with a connection, and when nothing passes.
func TestRelayEnds(t *testing.T) {
	tests := map[string]func(srv *chatserver.Server, a, b *linePeer){
		"revoked": func(_ *chatserver.Server, a, b *linePeer) { b.say("RVKE n=7 user=A") },
		"blocked": func(_ *chatserver.Server, a, b *linePeer) { b.say("BLOK n=7 user=A") },
		"moved":   func(_ *chatserver.Server, a, b *linePeer) { b.say("LSTN n=7 port=2001") },
		"idle": func(_ *chatserver.Server, a, b *linePeer) {
			time.Sleep(119 * time.Second)
			a.say("RDAT s=1 data=%s", octets(1))
			b.want("RDAT s=1 data=")
			begin := time.Now()
			a.want("RDAT s=1 end=1")
			if took := time.Since(begin); took != 2*time.Minute {
				a.t.Errorf("ends after %v", took)
			}
		},
	}
	for name, finish := range tests {
		t.Run(name, func(t *testing.T) {
			relayed(t, func(srv *chatserver.Server, a, b *linePeer) {
				finish(srv, a, b)
				if name != "idle" {
					a.want("RDAT s=1 end=1")
				}
				b.want("RDAT s=1 end=1")
				a.say("RDAT s=1 data=%s", octets(1))
				synctest.Wait()
			})
		})
	}
	t.Run("a connection", func(t *testing.T) {
		relayed(t, func(srv *chatserver.Server, a, b *linePeer) {
			a.nc.Close()
			begin := time.Now()
			b.want("RDAT s=1 end=1")
			if took := time.Since(begin); took > 0 {
				t.Errorf("ends after %v", took)
			}
			b.say("RDAT s=1 data=%s", octets(1))
			again := loginRelay(t, srv, "A") // the session goes on, the stream does not
			again.say("RDAT s=1 data=%s", octets(1))
			again.say("ONLN n=9")
			again.want("111")
		})
	})
}

// Who has no consent, or nobody to talk to, gets no stream; nor does who has
// enough of them.
func TestRelayRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Timeout: time.Hour, Heartbeat: time.Hour}
		defer srv.Close()
		a, b := loginRelay(t, srv, "A"), loginRelay(t, srv, "B")
		a.say("RLAY n=1")
		a.want("501 n=1 ")
		a.say("RLAY n=2 user=B")
		a.want("553 n=2 :No consent to a private chat")
		a.say("RLAY n=3 user=nobody")
		a.want("553 n=3 :No consent to a private chat")
		a.say("ADDR n=4 user=B")
		a.want("202")
		b.want("RQST")
		a.say("RLAY n=5 user=B") // asked is not granted
		a.want("553 n=5 ")
		b.say("LSTN n=1 port=2000")
		b.want("200")
		b.say("CNST n=2 user=A")
		b.want("200")
		a.want("GETA")
		b.say("RLAY n=3 user=A") // consent has a direction
		b.want("553 n=3 ")
		for i := range 4 {
			a.say("RLAY n=%d user=B", 10+i)
			a.want("200")
			b.want("RLAY")
		}
		a.say("RLAY n=20 user=B")
		a.want("429 n=20 ")
		a.say("RDAT s=1 end=1")
		b.want("RDAT s=1 end=1")
		a.say("RLAY n=21 user=B")
		a.want("200 n=21 s=5")
		b.want("RLAY")
		// C is not of them.
		c := loginRelay(t, srv, "C")
		c.say("RDAT s=2 data=%s", octets(1))
		c.say("RDAT s=2 end=1")
		synctest.Wait()
		a.say("RDAT s=2 data=%s", octets(2))
		b.want("RDAT s=2 data=" + octets(2))
		b.nc.Close() // lingers
		for range 4 {
			a.want("RDAT s=")
		}
		a.say("RLAY n=22 user=B")
		a.want("551 n=22 :B is not online.")
	})
}

// Nothing of it exists without the capability, on either side, or when the
// operator does not want it.
func TestRelayNotAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Timeout: time.Hour, Heartbeat: time.Hour}
		defer srv.Close()
		a := loginRelay(t, srv, "A")
		b := lines(t, dial(t, srv, "127.0.0.1:50000"))
		b.say("HELO v=1 acks=1 beat=3600000 pres=0")
		if got := b.want("220"); strings.Contains(got, "caps") {
			t.Errorf("got %q", got)
		}
		b.say("AUTH user=B pass=%s origin=b", demo["B"])
		b.want("230")
		grantTo(a, b, "A", "B", 1)
		a.say("RLAY n=5 user=B")
		a.want("551 n=5 ")
		b.say("RLAY n=5 user=A")
		b.want("503 n=5 :Not allowed now")
		b.say("RDAT s=1 data=x")
		b.say("ONLN n=6")
		b.want("111")

		srv = &chatserver.Server{Accounts: demo, NoRelay: true}
		defer srv.Close()
		a = lines(t, dial(t, srv, "127.0.0.1:50000"))
		a.say("HELO v=1 caps=relay")
		if got := a.want("220"); strings.Contains(got, "caps") {
			t.Errorf("got %q", got)
		}
	})
}
