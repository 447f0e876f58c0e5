package chatserver

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
)

// A message that is acknowledged before its sender's origin has noted it
// leaves nothing there, where it would keep the places of all others.
func TestAcknowledgedBeforeRemembered(t *testing.T) {
	o := new(origin)
	m := &message{origin: o}
	m.id.N = 5
	m.settle(settledDelivered)
	o.remember(m)
	if o.waitingAt(5) != nil {
		t.Error("the message is kept")
	}
	if o.rest(); o.pending.Load() != nil {
		t.Error("the places are kept")
	}
}

// A broadcast that is stored and waits for somebody who does not take it keeps
// its text, which is one for all, and not the list of all who were online.
func TestStoredBroadcastKeepsNoAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audience := 0
		srv := &Server{Accounts: revAccounts, Hooks: Hooks{OnAccepted: func(_ context.Context, a Accepted) { audience = a.Audience }}}
		defer srv.Close()
		for _, user := range []string{"A", "B"} {
			nc, _ := revConn(srv)
			go io.Copy(io.Discard, nc)
			revLogin(nc, user)
			synctest.Wait()
			if user == "B" {
				revSay(nc, "CAST n=1 :psa")
			}
		}
		synctest.Wait()
		u, err := srv.startedUser("A")
		if err != nil {
			t.Fatal(err)
		}
		u.box.mu.Lock()
		defer u.box.mu.Unlock()
		if m := u.box.queue[u.box.head].m; audience != 1 || m.settled.Load() != settledStored || m.cast != nil {
			t.Errorf("a broadcast to %d that is stored keeps %d users", audience, len(m.cast))
		}
	})
}
