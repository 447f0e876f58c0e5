package chatclient

import (
	"fmt"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A call is one request and, in the end, its answer. Client.mu guards it
// until done is closed; then it does not change any more.
type call struct {
	verb       chatproto.Code
	key, value string // its field, if it has one
	text       string
	n          uint64 // its number; 0 while it waits for one
	origin     uint64 // whose number it is
	writes     int    // how many connections it was written to
	abandoned  bool   // nobody waits for the answer
	pos        uint64 // what of the state file must be synced before it is sent
	ready      bool   // a message: that is so
	leftover   bool   // of an earlier client: its outcome goes to OnOutcome

	entries []string // of a list
	reply   answer
	err     error
	done    chan struct{}
	then    func(err error) // not nil: told as well, under Client.mu
	heed    func(a answer)  // not nil: told of the answer also if nobody waits for it any more, under Client.mu; without a code there is none
	fields  func(l *chatproto.Line)
}

// An answer is what of a reply matters to a caller.
type answer struct {
	code    chatproto.Code
	text    string
	how     How
	skipped int
	more    string
	key     string
	ttl     time.Duration
	lease   time.Duration
	stream  uint64
}

func newCall(verb chatproto.Code, key, value, text string) *call {
	return &call{verb: verb, key: key, value: value, text: text, done: make(chan struct{})}
}

// decided reports whether the server decides the request once and for all:
// it is kept in the outbox and resent under its number (SPEC section 6). The
// number of any other request is a tag.
func (k *call) decided() bool { return k.verb == chatproto.SEND || k.verb == chatproto.CAST }

func (k *call) append(b []byte) ([]byte, error) {
	l := chatproto.Begin(b, k.verb)
	l.Run("n", k.n, k.n)
	if k.key != "" {
		l.Field(k.key, k.value)
	}
	if k.fields != nil {
		k.fields(&l)
	}
	return l.End(k.text)
}

// finish gives the call its answer. A reply of class 2 is success, whichever
// it is: an unknown one counts as 200 (SPEC section 4).
func (k *call) finish(a answer) {
	var err error
	if a.code.Class() != 2 {
		err = &chatproto.Error{Code: a.code, Text: a.text}
		if k.decided() && k.writes > 1 {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
	if k.heed != nil {
		k.heed(a)
	}
	if !k.ended() {
		k.reply = a
	}
	k.end(err)
}

// fail ends the call without an answer.
func (k *call) fail(err error) {
	if k.heed != nil {
		k.heed(answer{})
	}
	if k.decided() && k.writes > 0 {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	k.end(err)
}

// end ends the call, unless it has ended: an answer may still come for a
// call that was given up.
func (k *call) end(err error) {
	if k.ended() {
		return
	}
	k.err = err
	close(k.done)
	if k.then != nil {
		k.then(err)
	}
}

// ended reports whether done is closed.
func (k *call) ended() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}
