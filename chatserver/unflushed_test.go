package chatserver_test

import (
	"context"
	"sync/atomic"
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

// A request that waits for a login of the same user, which takes its time,
// holds up nothing either.
func TestLoginHoldsUpNoDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := &slowCheck{Credentials: demo}
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		logins, enter, check := 0, make(chan struct{}), make(chan struct{})
		srv.Hooks.AuthorizeLogin = func(context.Context, chatserver.ConnInfo) error {
			if logins++; logins == 3 {
				<-enter
			}
			return nil
		}
		c, a := revLogin(t, srv, "C", "c1"), revLogin(t, srv, "A", "a1")
		again := revMeet(t, srv, revLocal)
		again.login("A", "a1")
		again.got()
		if err := srv.EndRemoved(t.Context()); err != nil { // so that the password is checked again
			t.Fatal(err)
		}
		a.send("SEND n=1 to=B :x", "SEND n=2 to=C :x")
		a.got()
		c.got()
		accounts.hold.Store(&check)
		close(enter)
		again.got()
		a.send("SEND n=3 to=C :hello", "BLOK n=4 user=B")
		if got := c.got(); !revHas(got, "MESG from=A id=a1.3 ") {
			t.Errorf("C waits as well: %q", got)
		}
		close(check)
		if got := again.got(); !revHas(got, "230") {
			t.Error(got)
		}
	})
}

// slowCheck are accounts whose passwords take their time to be checked.
type slowCheck struct {
	chatserver.Credentials
	hold atomic.Pointer[chan struct{}]
}

func (s *slowCheck) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	if hold := s.hold.Load(); hold != nil {
		<-*hold
	}
	return s.Credentials.CheckPassword(ctx, user, password)
}
