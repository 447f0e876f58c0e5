package chatclient

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// The table forgets who was silent for 7 days, and never holds more than its
// limit.
func TestReceiveWindow(t *testing.T) {
	now := time.UnixMilli(0)
	id := func(n uint64) chatproto.ID { return chatproto.ID{Origin: 1, N: n} }
	w := receiveWindow{max: 3}
	w.take("A", id(5), now)
	for n, fresh := range map[uint64]bool{1: false, 5: false, 6: true} {
		if w.fresh("A", id(n)) != fresh {
			t.Errorf("fresh(%d) is %v", n, !fresh)
		}
	}
	w.take("A", id(3), now)
	if w.fresh("A", id(5)) {
		t.Error("the mark went back")
	}

	now = now.Add(seenFor - time.Second)
	w.take("B", id(1), now)
	if w.fresh("A", id(5)) {
		t.Error("forgot too early")
	}
	now = now.Add(time.Second)
	w.take("C", id(1), now)
	if !w.fresh("A", id(5)) || len(w.seen) != 2 {
		t.Error("did not forget")
	}

	w.take("D", id(1), now)
	w.take("B", id(2), now) // heard again: C is the oldest now
	w.take("E", id(1), now)
	if !w.fresh("C", id(1)) || w.fresh("B", id(2)) || w.fresh("D", id(1)) || len(w.seen) != 3 || w.age.Len() != 3 {
		t.Errorf("%d entries", len(w.seen))
	}
}

// What the server or others can make a client keep about pairs is bounded.
func TestPairsBounded(t *testing.T) {
	c := &Client{}
	p := newPeers(c)
	for i := range maxPairs + 10 {
		p.arm(fmt.Sprint("u", i))
		p.grant(fmt.Sprint("u", i), netip.AddrPort{}, time.Duration(i)*time.Second)
	}
	if len(p.armed) != maxPairs || len(p.grants) != maxPairs {
		t.Errorf("%d armed, %d grants", len(p.armed), len(p.grants))
	}
	if _, err := p.lookUp(fmt.Sprint("u", maxPairs+9)); err != nil {
		t.Error("the newest is gone:", err)
	}
}
