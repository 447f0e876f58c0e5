package chatclient

import (
	"github.com/parleyproto/parley/chatproto"
)

// What a client asks its state file about the messages that it sends.

// owner returns whose state this is, "" if nobody has logged in with it.
func (s *StateFile) owner() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.img.user
}

// welcome notes a login, and reports whether the one before was to the same
// life of the server.
func (s *StateFile) welcome(user, boot string) (same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same = s.img.welcomed && s.img.boot == boot && boot != ""
	if !s.img.welcomed || s.img.boot != boot || s.img.user != user {
		s.note(&record{kind: recWelcome, str: [2]string{user, boot}})
	}
	return same
}

// letter notes a message that has its number, and returns the position that
// must be synced before it is sent.
func (s *StateFile) letter(k *call) uint64 {
	l := letter{origin: k.origin, n: k.n, verb: k.verb, to: k.value, text: k.text}
	r := l.record()
	return s.append(&r)
}

// restore fills the outbox of a new client with what is not answered.
func (s *StateFile) restore(o *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.file, o.durable = s, s.pos
	o.origin, o.welcomed, o.last, o.sent = s.img.origin, s.img.welcomed, s.img.counter, s.img.top
	for _, l := range s.img.letters {
		if !l.settled && !l.private() {
			k := l.call()
			k.writes = 1 // for all that is known
			if l.tainted {
				k.writes = 2
			}
			k.ready = true
			o.kept = append(o.kept, k)
		}
	}
}

func (l *letter) call() *call {
	key := ""
	if l.verb != chatproto.CAST {
		key = "to"
	}
	k := newCall(l.verb, key, l.to, l.text)
	k.n, k.origin, k.leftover = l.n, l.origin, true
	return k
}

// untold returns the messages whose outcome was learnt and not told.
func (s *StateFile) untold() (ended []*call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.img.letters {
		if l.settled {
			k := l.call()
			k.reply = l.outcome
			switch {
			case l.outcome.code == 0:
				k.err = errLeftUnknown(l.outcome.text)
			case l.outcome.code.Class() != 2:
				k.err = &chatproto.Error{Code: l.outcome.code, Text: l.outcome.text}
			}
			ended = append(ended, k)
		}
	}
	return ended
}

// forget drops a message.
func (s *StateFile) forget(id chatproto.ID) uint64 {
	return s.append(&record{kind: recAnswered, num: [4]uint64{id.Origin, id.N}})
}

// clean reports that nothing of a sync that failed is in the file.
func (s *StateFile) clean() bool {
	s.io.Lock()
	defer s.io.Unlock()
	return s.j.Clean()
}

// settled notes that a message has its answer, and, of one of an earlier
// client, the outcome, until that is told.
func (o *outbox) settled(k *call, a answer) uint64 {
	switch {
	case o.file == nil:
		return 0
	case !k.leftover:
		return o.answered(k)
	}
	if a.code != 0 && a.code.Class() != 2 && k.writes > 1 {
		a = answer{text: (&chatproto.Error{Code: a.code, Text: a.text}).Error()} // its refusal proves nothing
	}
	l := letter{origin: k.origin, n: k.n, outcome: a}
	r := l.settle()
	return o.file.append(&r)
}

// answered notes that a message need not be kept any more.
func (o *outbox) answered(k *call) uint64 {
	if o.file == nil {
		return 0
	}
	return o.file.forget(chatproto.ID{Origin: k.origin, N: k.n})
}

// unissue ends the requests whose numbers could not be made durable.
func (o *outbox) unissue(pos uint64, err error) {
	for len(o.line) > 0 && o.line[0].pos <= pos {
		var k *call
		k, o.line = shift(o.line)
		if k.decided() {
			o.forget(k)
			o.answered(k)
		} else {
			o.tags--
		}
		k.end(err)
	}
}
