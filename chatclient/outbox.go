package chatclient

import (
	"errors"
	"fmt"
	"slices"

	"github.com/parleyproto/parley/chatproto"
)

// maxAsked is how many requests other than messages are unanswered at a time.
// With a full window of messages they are as many as a server reads ahead.
var maxAsked = chatproto.V1.Limits.Unanswered - chatproto.V1.Limits.Window

// An outbox holds the requests of a client across its connections, and gives
// them their numbers. Client.mu guards it.
type outbox struct {
	file     *StateFile // keeps it; nil if nothing does
	durable  uint64     // position up to which the file is synced
	origin   uint64
	welcomed bool    // a 230 came for this origin
	last     uint64  // the last number given
	sent     uint64  // the highest number of a SEND or CAST that was written
	kept     []*call // SEND and CAST with a number and without an answer, ascending
	line     []*call // with a number, not yet written to any connection: they wait for the file
	tags     int     // of them, those that are no message
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
		o.kept = append(o.kept, k)
		o.issue(k, cn)
	}
	for cn != nil && !cn.leaving && len(o.asking) > 0 && cn.asked+o.tags < maxAsked {
		var k *call
		k, o.asking = shift(o.asking)
		o.issue(k, cn)
	}
}

// number gives a request its number and writes it down.
func (o *outbox) number(k *call) {
	o.last++
	k.n, k.origin = o.last, o.origin
	if o.file == nil {
		return
	}
	if k.decided() {
		k.pos = o.file.letter(k)
	} else {
		k.pos = o.file.number(k.n)
	}
}

// issue gives a request its number and sends it as soon as that is durable.
func (o *outbox) issue(k *call, cn *conn) {
	o.number(k)
	o.line = append(o.line, k)
	if !k.decided() {
		o.tags++
	}
	o.pump(cn)
}

// pump sends what may be sent, in the order of the numbers. Without a
// connection, or on one that takes nothing any more, messages have their turn
// when there is one, and other requests are numbered anew.
func (o *outbox) pump(cn *conn) {
	if cn != nil && !cn.leaving && len(cn.resends) > 0 {
		return // they come first
	}
	var back []*call
	for len(o.line) > 0 && (o.line[0].pos <= o.durable || o.file.mutant.sendUnsynced) {
		var k *call
		k, o.line = shift(o.line)
		if !k.decided() {
			o.tags--
		}
		k.ready = true
		switch {
		case cn != nil && !cn.leaving:
			cn.send(k)
		case !k.decided():
			back = append(back, k)
		}
	}
	if len(back) > 0 {
		o.again(back, errNotSent)
	}
}

// errNotSent is why a request that is not asked twice has failed before it
// was sent.
var errNotSent = connectionError(errors.New("it was lost before the request was sent"))

// recall takes what is no message out of the line, because the connection
// that it was numbered for is gone.
func (o *outbox) recall() (tags []*call) {
	o.line = slices.DeleteFunc(o.line, func(k *call) bool {
		if !k.decided() {
			tags = append(tags, k)
		}
		return !k.decided()
	})
	o.tags = 0
	return tags
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
	o.origin, o.welcomed, o.last, o.sent, o.kept, o.line = origin, false, 0, 0, nil, nil
	if o.file != nil {
		o.file.append(&record{kind: recOrigin, num: [4]uint64{origin}})
	}
	for _, k := range kept {
		if k.writes > 0 {
			o.settled(k, answer{text: err.Error()})
			k.fail(err)
			continue
		}
		o.answered(k)
		k.ready = false
		o.number(k)
		o.kept = append(o.kept, k)
		o.line = append(o.line, k)
	}
	o.pump(nil)
}

// fail ends everything. What the file keeps is sent by the next client.
func (o *outbox) fail(err error) {
	o.failWaiting(err)
	for _, k := range o.kept {
		switch {
		case k.leftover: // and is told by that one, too
		case o.file != nil:
			k.end(fmt.Errorf("%w: %w: %w", ErrUnknown, ErrKept, err))
		default:
			k.fail(err)
		}
	}
	for _, k := range o.recall() {
		k.fail(err)
	}
	o.kept, o.line = nil, nil
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
