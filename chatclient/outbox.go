package chatclient

import (
	"slices"

	"github.com/parleyproto/parley/chatproto"
)

// maxAsked is how many requests other than messages are unanswered at a time.
// With a full window of messages they are as many as a server reads ahead.
var maxAsked = chatproto.V1.Limits.Unanswered - chatproto.V1.Limits.Window

// An outbox holds the requests of a client across its connections, and gives
// them their numbers. Client.mu guards it.
type outbox struct {
	origin   uint64
	welcomed bool    // a 230 came for this origin
	last     uint64  // the last number given
	sent     uint64  // the highest number of a SEND or CAST that was written
	kept     []*call // SEND and CAST with a number and without an answer, ascending
	waiting  []*call // SEND and CAST that wait for room in the window
	asking   []*call // other requests that wait for a connection
}

// room reports whether one more message may have a number.
func (o *outbox) room() bool {
	return len(o.kept) == 0 || o.last+1-o.kept[0].n < uint64(chatproto.V1.Limits.Window)
}

// admit gives numbers to those who wait and now may have one, in the order in
// which they came, and writes them to cn unless that is nil or takes nothing
// any more.
func (o *outbox) admit(cn *conn) {
	for len(o.waiting) > 0 && o.room() {
		var k *call
		k, o.waiting = shift(o.waiting)
		o.number(k)
		o.kept = append(o.kept, k)
		if cn != nil && !cn.leaving {
			cn.send(k)
		}
	}
	for cn != nil && !cn.leaving && len(o.asking) > 0 && cn.asked < maxAsked {
		var k *call
		k, o.asking = shift(o.asking)
		o.number(k)
		cn.send(k)
	}
}

func (o *outbox) number(k *call) {
	o.last++
	k.n, k.origin = o.last, o.origin
}

// forget takes an answered message out of the window.
func (o *outbox) forget(k *call) {
	if len(o.kept) > 0 && o.kept[0] == k {
		_, o.kept = shift(o.kept)
		return
	}
	o.kept = slices.DeleteFunc(o.kept, func(x *call) bool { return x == k })
}

// withdraw takes back a call that has no number yet. It reports false if it
// has one, or has ended.
func (o *outbox) withdraw(k *call) bool {
	if k.n != 0 || k.ended() {
		return false
	}
	is := func(x *call) bool { return x == k }
	o.waiting = slices.DeleteFunc(o.waiting, is)
	o.asking = slices.DeleteFunc(o.asking, is)
	return true
}

// again puts the unanswered requests of a lost connection back. Messages are
// in kept already. What may be asked twice is, under a new number, unless it
// was unlucky too often; err then says why.
func (o *outbox) again(pending []*call, err error) {
	var back []*call
	for _, k := range pending {
		switch {
		case k.decided():
		case k.abandoned:
			k.fail(err)
		case k.verb == chatproto.QUIT || k.verb == chatproto.LSTN || k.writes >= maxWrites:
			k.fail(err)
		default:
			k.n, k.entries = 0, nil
			back = append(back, k)
		}
	}
	o.asking = append(back, o.asking...)
}

// maxWrites is on how many connections a request other than a message is
// tried: one that breaks every connection must not do so for ever.
const maxWrites = 3

// abandonOrigin starts anew under another origin, because the server does not
// know the old one as this client does. What was sent and not answered is
// reported and never resent; what was never sent keeps its turn.
func (o *outbox) abandonOrigin(origin uint64, err error) {
	kept := o.kept
	o.origin, o.welcomed, o.last, o.sent, o.kept = origin, false, 0, 0, nil
	for _, k := range kept {
		if k.writes > 0 {
			k.fail(err)
			continue
		}
		o.number(k)
		o.kept = append(o.kept, k)
	}
}

// fail ends everything.
func (o *outbox) fail(err error) {
	o.failWaiting(err)
	for _, k := range o.kept {
		k.fail(err)
	}
	o.kept = nil
}

// failWaiting ends what was not sent and now never will be.
func (o *outbox) failWaiting(err error) {
	for _, k := range slices.Concat(o.waiting, o.asking) {
		k.fail(err)
	}
	o.waiting, o.asking = nil, nil
}

// shift takes the first of a queue.
func shift(queue []*call) (*call, []*call) {
	k := queue[0]
	queue[0] = nil
	if len(queue) == 1 {
		return k, queue[:0]
	}
	return k, queue[1:]
}
