package chatserver_test

import (
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatserver"
)

// While Accounts takes its time about one request, what came before it in the
// same read is delivered.
func TestAccountsHoldUpNoDelivery(t *testing.T) {
	for _, request := range []string{"SEND n=2 to=B :x", "BLOK n=2 user=B", "RVKE n=2 user=B", "CNST n=2 user=B", "RLAY n=2 user=B"} {
		t.Run(request[:4], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				accounts := &absentMinded{Credentials: demo}
				srv := &chatserver.Server{Accounts: accounts}
				defer srv.Close()
				c := revLogin(t, srv, "C", "c1")
				a := revMeet(t, srv, revLocal)
				a.send("HELO v=1 acks=1 beat=30000 caps=relay", "AUTH user=A pass=passA origin=a1", "SEND n=100 to=C :x")
				a.got()
				c.got()
				hold := make(chan struct{})
				accounts.hold.Store(&hold)
				a.send("SEND n=101 to=C :hello", request)
				if got := c.got(); !revHas(got, "MESG from=A id=a1.101 ") {
					t.Errorf("C waits as well: %q", got)
				}
				close(hold)
			})
		})
	}
}
