package chatclient

import (
	"fmt"
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
	p, err := newPeers(c)
	if err != nil {
		t.Fatal(err)
	}
	key := p.id.Key()
	for i := range maxPairs + 10 {
		user := fmt.Sprint("u", i)
		p.asked(user, key)
		if _, err := p.consent(user); err != nil {
			t.Error(err)
		}
		p.grant(user, key, nil, time.Duration(i+1)*time.Second)
	}
	if len(p.given) != maxPairs || len(p.grants) != maxPairs || len(p.named) != maxPairs {
		t.Errorf("%d given, %d grants, %d named", len(p.given), len(p.grants), len(p.named))
	}
	var windows takenWindows
	for i := range uint64(maxTaken + 10) {
		windows.window(source{"u", i})
	}
	if len(windows.of) != maxTaken || windows.age.Len() != maxTaken {
		t.Errorf("%d windows", len(windows.of))
	}
	if _, err := p.lookUp(fmt.Sprint("u", maxPairs+9)); err != nil {
		t.Error("the newest is gone:", err)
	}
	p.shut()
}
