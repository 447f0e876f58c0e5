package chatclient

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A privateCall is one message to a user. peers.mu guards it until done is
// closed.
type privateCall struct {
	n        uint64
	text     string
	pos      uint64       // what of the state file must be synced before it is sent
	writes   int          // on how many lines it was written; one more for an earlier program
	on       *privateLine // the last of them
	left     bool         // nobody waits for the answer
	leftover bool         // of an earlier program: its outcome goes to OnOutcome
	err      error
	done     chan struct{}
}

func (k *privateCall) end(err error) {
	select {
	case <-k.done:
	default:
		k.err = err
		close(k.done)
	}
}

// judge returns the error of a message that has none of its own: once it was
// sent it may have been taken.
func (k *privateCall) judge(err error) error {
	if err != nil && k.writes > 0 {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// A privateEnd waits to be told until the state file says that the message is
// never sent again.
type privateEnd struct {
	pos  uint64
	tell func()
}

// note writes a message down. It may be sent when that is synced. mu is held.
func (p *peers) note(l *dialledLine, g *grant, k *privateCall) {
	if file := p.c.cfg.StateFile; file != nil {
		k.pos = file.privateLetter(l, g, k)
	}
}

// refused ends a message that the other end did not take. If it was sent more
// than once it may have been taken the first time. mu is held.
func (l *dialledLine) refused(k *privateCall, err error) {
	if k.writes == 1 {
		k.writes = 0
	}
	l.conclude(k, err)
}

// conclude ends a message that is out of the queue, with nil if it was taken.
// That is told at once: if the program dies before it is written down the
// message is sent again, which the other end recognizes. mu is held.
func (l *dialledLine) conclude(k *privateCall, err error) {
	p, file := l.p, l.p.c.cfg.StateFile
	id := chatproto.ID{Origin: l.origin, N: k.n}
	switch {
	case file == nil:
		k.end(k.judge(err))
	case k.leftover:
		p.concludeLeft(l.user, id, k, err)
	case err == nil:
		k.end(nil)
		file.forget(id)
		if p.forgetting == nil {
			p.forgetting = time.AfterFunc(forgetWithin, p.c.keep.signal)
		}
	default:
		err := k.judge(err)
		p.ends = append(p.ends, privateEnd{file.forget(id), func() { k.end(err) }})
		p.c.keep.signal()
	}
}

// concludeLeft is conclude for a message of an earlier program. mu is held.
func (p *peers) concludeLeft(user string, id chatproto.ID, k *privateCall, err error) {
	told := (&letter{origin: id.Origin, n: id.N, verb: chatproto.MESG, to: user, text: k.text}).call()
	told.reply = answer{code: chatproto.ReplyAccepted, how: Delivered}
	told.err = k.judge(err)
	if err != nil {
		told.reply = answer{text: err.Error()}
	}
	pos := p.c.cfg.StateFile.privateSettled(id, told.reply)
	p.ends = append(p.ends, privateEnd{pos, func() { p.c.keep.tell(told) }})
	p.c.keep.signal()
}

// noted sends what is synced up to pos, and tells the ends that waited for
// that. So it does after a sync that failed, with its error: what was to be
// sent is not.
func (p *peers) noted(pos uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgetting != nil {
		p.forgetting.Stop()
		p.forgetting = nil
	}
	if err == nil {
		p.durable = max(p.durable, pos)
	}
	for _, l := range p.dialled {
		for _, k := range slices.Clone(l.queue) {
			if err != nil && k.pos > p.durable && k.pos <= pos {
				l.remove(k)
				p.c.cfg.StateFile.forget(chatproto.ID{Origin: l.origin, N: k.n})
				k.end(err)
			}
		}
		if len(l.queue) > 0 {
			l.signal()
		}
	}
	due := 0
	for ; due < len(p.ends) && p.ends[due].pos <= pos; due++ {
		p.ends[due].tell()
	}
	p.ends = slices.Delete(p.ends, 0, due)
}

// errLeftPrivate is why a private message of an earlier program is not sent
// again.
var errLeftPrivate = errors.New("the program that sent it ended before it was answered, and the consent is over")

// takeUp takes the private messages that an earlier program left, at the first
// login. If the session, and with it the consents, goes on they are sent again
// under their numbers, else they are reported as unknown (SPEC section 8.4).
func (p *peers) takeUp(goesOn bool) {
	file := p.c.cfg.StateFile
	if file == nil || p.tookUp {
		return
	}
	p.tookUp = true
	for _, left := range file.privateLeft() {
		key, places := readWay(left.way)
		ttl := time.Until(left.until)
		again := goesOn && ttl > 0 && len(places) > 0
		if again {
			p.grant(left.user, key, places, ttl)
		}
		p.mu.Lock()
		if again {
			p.asks = true
			p.numbers[left.user] = numbers{left.origin, left.last}
			p.newLine(left.user).queue = left.queue
		} else {
			for _, k := range left.queue {
				p.concludeLeft(left.user, chatproto.ID{Origin: left.origin, N: k.n}, k, errLeftPrivate)
			}
		}
		p.mu.Unlock()
	}
}
