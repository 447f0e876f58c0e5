package chatserver

import "testing"

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
