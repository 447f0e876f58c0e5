package chatserver_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatserver"
)

// An absentMinded takes its time to find B.
type absentMinded struct {
	chatserver.Credentials
	hold atomic.Pointer[chan struct{}]
}

func (a *absentMinded) Exists(ctx context.Context, user string) (bool, error) {
	if hold := a.hold.Load(); hold != nil && user == "B" {
		<-*hold
	}
	return a.Credentials.Exists(ctx, user)
}

// Of a connection that another has taken over from nothing is applied any
// more, also not what it had begun with (SPEC section 6.5).
func TestFencedRequestIsNotApplied(t *testing.T) {
	for _, test := range []struct {
		request string
		before  func(a, b *revPeer)
		sign    string // what B would be told
	}{
		{"BLOK n=9 user=B", func(_, _ *revPeer) {}, "553"},
		{"ADDR n=9 user=B", func(_, _ *revPeer) {}, "RQST"},
		{"CNST n=9 user=B", func(a, b *revPeer) {
			a.send("LSTN n=1 port=2000")
			a.got()
			b.send("ADDR n=1 user=A")
		}, "GETA"},
		{"RVKE n=9 user=B", func(a, b *revPeer) {
			a.send("LSTN n=1 port=2000")
			a.got()
			b.send("ADDR n=1 user=A")
			b.got()
			a.send("CNST n=2 user=B")
		}, "RVKD"},
	} {
		t.Run(test.request[:4], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				accounts := &absentMinded{Credentials: demo}
				srv := &chatserver.Server{Accounts: accounts}
				defer srv.Close()
				a, b := revLogin(t, srv, "A", "a1"), revLogin(t, srv, "B", "b1")
				test.before(a, b)
				b.got()
				if err := srv.EndRemoved(t.Context()); err != nil { // so that Accounts is asked
					t.Fatal(err)
				}
				hold := make(chan struct{})
				accounts.hold.Store(&hold)
				a.send(test.request)
				a.got()
				revLogin(t, srv, "A", "a1")
				accounts.hold.Store(nil)
				close(hold)
				synctest.Wait()
				b.send("SEND n=8 to=A :x")
				if got := b.got(); revHas(got, test.sign) {
					t.Errorf("it was applied after the other's 230: %q", got)
				}
			})
		})
	}
}
