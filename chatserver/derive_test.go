package chatserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// counted has the derivations of a server counted, and each takes a second.
func counted(t *testing.T, srv *Server) *atomic.Int32 {
	if err := srv.start(); err != nil {
		t.Fatal(err)
	}
	n := new(atomic.Int32)
	srv.logins.deriver.derive = func(password string, salt []byte, iterations int) (*Verifier, error) {
		n.Add(1)
		time.Sleep(time.Second)
		return deriveVerifier(password, salt, minIterations)
	}
	return n
}

// loginLine is one AUTH with the wrong password, from the n-th source; it
// returns when that is answered.
func loginLine(t *testing.T, srv *Server, n int, user string, scram bool) (took time.Duration) {
	near, far := memnet.Pipe(fmt.Sprintf("127.0.0.%d:5000", n), "127.0.0.1:8000")
	go srv.ServeConn(far)
	defer near.Close()
	r := chatproto.NewReader(near)
	var f chatproto.Frame
	start := time.Now()
	say := func(line string) {
		fmt.Fprintf(near, "%s\n", line)
		if err := r.Next(&f); err != nil {
			t.Error(err)
		}
	}
	say("HELO v=1")
	line, err := chatproto.AppendFrame(nil, &f)
	if err != nil {
		t.Error(err)
	}
	if scram {
		hash := handshake.Hash([]byte("HELO v=1"), bytes.TrimSuffix(line, []byte("\r\n")))
		say("AUTH mech=SCRAM-SHA-256 user=" + user + " data=n,,n=" + user + ",r=" + randomNonce() + hash)
	} else {
		say("AUTH user=" + user + " pass=x")
	}
	return time.Since(start)
}

// Whatever a name is, a stranger's first try takes as many derivations, and so
// does his second, whether or not its owner has logged in; by SCRAM and by
// PLAIN. That makes the time equal that can be told from outside.
func TestDerivationsTellNothing(t *testing.T) {
	verifier, err := NewVerifier("passB")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(lines ...string) Credentials {
		c, err := ParseCredentials(strings.NewReader(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	withVerifier := func(user string) string { return user + " " + verifier.String() }
	for _, tt := range []struct {
		why           string
		accounts      Credentials
		scram         bool
		first, second int32
	}{
		{"passwords, SCRAM", parse("A passA", "B passB"), true, 1, 0},
		{"passwords, PLAIN", parse("A passA", "B passB"), false, 0, 0},
		{"verifiers, SCRAM", parse(withVerifier("A"), withVerifier("B")), true, 0, 0},
		{"verifiers, PLAIN", parse(withVerifier("A"), withVerifier("B")), false, 1, 1},
		{"both, SCRAM", parse("A passA", withVerifier("B")), true, 1, 0},
		{"both, PLAIN", parse("A passA", withVerifier("B")), false, 1, 1},
		{"the store's, SCRAM", nil, true, 0, 0},
		{"the store's, PLAIN", nil, false, 1, 1},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &Server{}
				if tt.accounts != nil {
					srv.Accounts = tt.accounts
				}
				defer srv.Close()
				n := counted(t, srv)
				if tt.accounts == nil {
					for _, user := range []string{"A", "B"} {
						if err := srv.SetPassword(t.Context(), user, "pass"+user); err != nil {
							t.Fatal(err)
						}
					}
				}
				loginLine(t, srv, 1, "A", tt.scram) // the owner was here
				for _, user := range []string{"A", "B", "nobody", "nemo"} {
					for i, want := range []int32{tt.first, tt.second} {
						n.Store(0)
						took := loginLine(t, srv, 2, user, tt.scram)
						if got := n.Load(); got != want || took != time.Duration(want)*time.Second {
							t.Errorf("try %d of %s takes %d derivations and %v, want %d", i, user, got, took, want)
						}
					}
				}
			})
		})
	}
}

// However many ask at once, one derivation runs at a time; and one source that
// asks for many holds up another for one, not for all of them.
func TestDerivationsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{Accounts: Credentials{"A": "passA"}, Limits: Limits{FailureRate: -1}, LoginTimeout: time.Hour}
		defer srv.Close()
		n := counted(t, srv)
		inner := srv.logins.deriver.derive
		var running, most atomic.Int32
		srv.logins.deriver.derive = func(p string, salt []byte, i int) (*Verifier, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			return inner(p, salt, i)
		}
		loginLine(t, srv, 3, "A", true)
		for i := range 20 {
			go loginLine(t, srv, 1, fmt.Sprint("u", i), true)
		}
		synctest.Wait()
		if took := loginLine(t, srv, 3, "A", true); took > 0 {
			t.Errorf("a name that was derived waits for %v", took)
		}
		if took := loginLine(t, srv, 2, "A", true); took > 2*time.Second {
			t.Errorf("another source waits for %v", took)
		}
		time.Sleep(time.Minute)
		if most.Load() != 1 || n.Load() != 22 {
			t.Errorf("%d derivations, %d at once", n.Load(), most.Load())
		}
	})
}

// Who waits too long for a derivation is told so, and holds nobody up.
func TestDerivationWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deriver{secret: func() []byte { return []byte("s") }, derive: func(string, []byte, int) (*Verifier, error) {
			time.Sleep(10 * time.Second)
			return new(Verifier), nil
		}}
		at := func(n byte) *derivation {
			return &derivation{d, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, n}), 32)}
		}
		go at(1).spend(t.Context(), "a", 4096)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for n := range byte(2) {
			if err := at(1+n).spend(ctx, "b", 4096); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("source %d: %v", n, err)
			}
		}
		start := time.Now()
		if err := at(1).spend(t.Context(), "c", 4096); err != nil || time.Since(start) != 19*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := at(2).spend(ctx, "c", 4096); err != nil {
			t.Errorf("the source that gave up has its turn no more: %v", err)
		}
	})
}

// What is kept is bounded: the name that was longest unused goes.
func TestDerivedIsBounded(t *testing.T) {
	n := 0
	d := &derivation{deriver: &deriver{secret: func() []byte { return []byte("s") }, derive: func(string, []byte, int) (*Verifier, error) {
		n++
		return new(Verifier), nil
	}}}
	ask := func(i int) {
		t.Helper()
		if err := d.spend(t.Context(), fmt.Sprint(i), 4096); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxDerived {
		ask(i)
	}
	ask(0)
	if n != maxDerived || len(d.kept) != maxDerived {
		t.Fatalf("%d derivations, %d kept", n, len(d.kept))
	}
	ask(maxDerived)
	ask(0)
	if n != maxDerived+1 || len(d.kept) != maxDerived || d.used.Len() != maxDerived {
		t.Errorf("%d derivations, %d kept", n, len(d.kept))
	}
	if ask(1); n != maxDerived+2 {
		t.Error("the oldest is still kept")
	}
}

// A password that changed is derived anew; the keys of the old one are no use.
func TestDerivedFollowsThePassword(t *testing.T) {
	d := derivationOf(t.Context())
	for _, password := range []string{"one", "two", "two"} {
		v, err := d.verifier(t.Context(), "A", password, minIterations)
		if err != nil || !v.Check(password) {
			t.Errorf("%s: %v", password, err)
		}
	}
	if err := d.spend(t.Context(), "A", minIterations); err != nil {
		t.Error(err)
	}
	if len(d.kept) != 1 || d.used.Len() != 1 {
		t.Errorf("%d kept", len(d.kept))
	}
}
