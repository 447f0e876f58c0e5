package model

import (
	"iter"
	"math/bits"
)

// What one search can hold.
const (
	maxMessages = 5 // messages of the sender, numbered from 1
	maxOrigins  = 3 // origins that the sender uses, one after the other
	recipients  = 2 // B and C
)

// A state is everything that the sender A, the server, its disk and the
// recipients B and C know at one moment, and what the judge remembers. Two
// states that are equal have the same future. It holds no pointer, so that it
// can be compared and hashed as it is.
type state struct {
	sender
	server
	disk    disk
	copied  disk // a backup of the disk; taken at most once
	readers [recipients]reader
	judge
	left Faults // what may still go wrong
}

// A sender is what the client of A knows.
type sender struct {
	next     uint8                  // the message that is sent next
	ids      [maxMessages + 1]ident // the origin and number of each message
	origin   uint8                  // the one it uses
	last     uint8                  // the last number it gave
	link     link
	welcomed bool // a 230 came for this origin
	out      set  // sent and not answered
	todo     set  // of these, not yet sent again on this connection
	again    set  // of these, sent on more than one connection
}

// A link is how far the sender is with its connection.
type link uint8

const (
	offline link = iota
	greeted      // AUTH is sent, the 230 has not come
	online
)

// A server is what a crash takes away.
type server struct {
	attached bool   // a connection of A is open, for all that the server knows
	pipe     queue  // requests on their way on it
	lively   bool   // a LIVE is on its way on it
	welcome  answer // the 230 on its way back
	asked    queue  // requests that it has read there and not answered
	refused  set    // of these, those that are refused

	origins [maxOrigins]origin
	after   [maxMessages + 1]uint8 // of a message in a mailbox: what must be stored before it leaves
	pending set                    // accepted in this life, and neither stored nor acknowledged

	boxes [recipients]queue
	sent  [recipients]uint8 // how much of the front of a mailbox is on its way, or with the recipient
	told  [recipients]uint8 // acknowledgements on this connection; only kept where a count may be mistaken

	callable [recipients]bool // knows where to call it
	called   [recipients]bool // has made a connection to it, on which AUTH is on its way

	open    batch
	cut     [2]batch // the batch in the store; a second one only without its rule
	written set      // messages of this life that were in a batch that was cut
	loaded  set      // messages that were read back from the disk
}

// An answer is what a 230 says.
type answer struct {
	coming, known bool
	high          uint8
}

// An origin is what the server holds of one client instance.
type origin struct {
	win    windowID // 0: it does not know the origin
	bar    uint8    // the highest number decided as a refusal or a broadcast in this life
	stored uint8    // the highest number in the window on the disk
	shown  bool     // the client has shown that it had the 230; see Registration
}

// A batch is what one commit writes.
type batch struct {
	used    bool // it was cut
	msgs    set
	back    set                  // of these, what a batch that failed held
	bodies  [recipients]set      // as cut: the mailboxes of what it holds
	acks    [recipients]set      // what it deletes
	windows [maxOrigins]windowID // of its messages
	rows    [maxOrigins]windowID // written by a login
}

func (b *batch) empty() bool { return *b == batch{} }

// A disk is what a crash leaves.
type disk struct {
	windows [maxOrigins]windowID // 0: not registered
	shown   [maxOrigins]bool
	boxes   [recipients]queue
}

// A reader is what the client of a recipient knows.
type reader struct {
	up    bool  // it has a connection
	live  bool  // it has a session
	away  bool  // it has gone away, to be called
	taken uint8 // of what the server has sent on this connection and was not told of
	kept  uint8 // of these, written down
	memory
	durable memory // of what it has written down
}

// A memory is what a recipient has seen, and knows that it has seen.
type memory struct {
	high [maxOrigins]uint8 // the receive window: the highest number of each origin
	seen set               // what the application was shown
}

// A judge remembers what the participants do not, to tell right from wrong.
type judge struct {
	ok       set             // the application was told: accepted
	no       set             // the application was told: refused, or perhaps delivered
	first    set             // of these, refused on the first connection, so surely not delivered
	given    set             // the application was told: unknown, the server has forgotten
	refusals set             // some server has refused these
	due      [recipients]set // the audience of what was accepted last
	gone     set             // what was promised by a server whose disk was lost since
	lost     bool            // a disk was lost, restored, or an origin forgotten
	copy     bool            // a backup exists
	spent    bool            // A has no more origins: the search ends here
	wrong    wrong
	who, m   uint8 // about whom and what
}

// An ident is an origin and one of its numbers.
type ident uint8

func identOf(origin, k uint8) ident { return ident(origin<<4 | k) }
func (i ident) origin() uint8       { return uint8(i >> 4) }
func (i ident) k() uint8            { return uint8(i & 15) }

// A set is a set of messages.
type set uint8

func only(m uint8) set         { return 1 << m }
func (s set) has(m uint8) bool { return s>>m&1 == 1 }
func (s set) first() uint8     { return uint8(bits.TrailingZeros8(uint8(s))) }
func (s set) last() uint8      { return uint8(bits.Len8(uint8(s))) - 1 }
func (s set) each() iter.Seq[uint8] {
	return func(yield func(uint8) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(s.first()) {
				return
			}
		}
	}
}

// A queue is a list of messages, at most eight.
type queue uint32

func (q queue) len() uint8       { return uint8(bits.Len32(uint32(q))+3) / 4 }
func (q queue) at(i uint8) uint8 { return uint8(q>>(4*i)) & 15 }
func (q queue) pop() queue       { return q >> 4 }
func (q queue) has(m uint8) bool { return q.set().has(m) }
func (q queue) without(s set) queue {
	var r queue
	for ; q != 0; q = q.pop() {
		if !s.has(q.at(0)) {
			r = r.push(q.at(0))
		}
	}
	return r
}

func (q queue) push(m uint8) queue {
	n := q.len()
	if n == 8 {
		panic("model: a queue is full")
	}
	return q | queue(m)<<(4*n)
}

// move takes what is at i to at, from where the rest moves back.
func (q queue) move(i, at uint8) queue {
	m := q.at(i)
	var r queue
	for k := range q.len() {
		if k == at {
			r = r.push(m)
		}
		if k != i {
			r = r.push(q.at(k))
		}
	}
	return r
}

func (q queue) set() set {
	var s set
	for ; q != 0; q = q.pop() {
		s |= only(q.at(0))
	}
	return s
}
