package model

import "github.com/parleyproto/parley/chatproto"

// senderSteps is what the client of A may do next.
func (x *steps) senderSteps(s *state) {
	switch s.link {
	case offline:
		x.login(*s)
	case greeted:
		if s.welcome.coming {
			x.takeWelcome(*s)
		}
		if x.Restraint == ShownByLive && !s.lively && s.welcome.coming && x.mayBeWritten(s, chatproto.LIVE) {
			t := *s
			t.lively = true
			x.add(t, does(sendsLive))
		}
	case online:
		x.sendNext(s)
		x.takeAnswer(s)
		if x.Restraint != Told && !s.origins[s.origin].shown && s.origins[s.origin].win != 0 {
			t := *s
			x.show(&t)
			x.add(t, does(asksOnline))
		}
	}
	if s.link != offline && s.left.Drops > 0 {
		t := *s
		t.left.Drops--
		t.hangUp()
		x.fault(t, does(dropsA))
	}
	if s.left.Restarts > 0 {
		t := *s
		t.left.Restarts--
		t.hangUp()
		if x.lacks(WelcomeKept) {
			t.welcomed = false
		}
		x.fault(t, does(restartsA))
	}
	if s.left.Setbacks > 0 && s.last > 0 {
		t := *s
		t.left.Setbacks--
		t.hangUp()
		m := t.next - 1 // has the last number
		t.out &^= only(m)
		t.given |= only(m)
		t.last--
		t.lost = true
		x.fault(t, does(setsBackA))
	}
}

// hangUp is the end of A's connection as A sees it.
func (s *state) hangUp() {
	s.link, s.todo = offline, 0
	s.welcome, s.asked, s.refused = answer{}, 0, 0
}

// takeWelcome reads the 230 (SPEC section 6.6).
func (x *steps) takeWelcome(s state) {
	w := s.welcome
	s.welcome = answer{}
	forgotten := !w.known && s.welcomed && !x.lacks(NewOrigin)
	ahead := w.high > s.last && !x.lacks(HighIsOurs)
	if forgotten || ahead {
		x.abandon(s)
		return
	}
	s.link, s.welcomed, s.todo = online, true, s.out
	what := does(goesOn)
	if !w.known {
		what = does(begins)
	}
	x.add(s, what)
}

// abandon begins anew under another origin. What is unanswered is never sent
// again.
func (x *steps) abandon(s state) {
	if !s.lost && !x.Needless && s.out != 0 {
		s.wrong, s.m = needless, s.out.first()
	}
	s.given |= s.out
	s.hangUp()
	s.attached, s.pipe, s.lively = false, 0, false
	s.out, s.again, s.last, s.welcomed = 0, 0, 0, false
	if s.origin++; s.origin == maxOrigins {
		s.origin, s.spent = 0, true
	}
	x.add(s, does(abandons))
}

// sendNext writes one request: those of an earlier connection first, then new
// ones.
func (x *steps) sendNext(s *state) {
	if !x.mayBeWritten(s, chatproto.SEND) {
		panic("model: A is online and may not send")
	}
	if s.todo != 0 {
		t := *s
		m := t.todo.first()
		t.todo &^= only(m)
		t.again |= only(m)
		x.write(t, m, does(resends).of(m))
		if !x.lacks(ResendFirst) {
			return
		}
	}
	if int(s.next) > len(x.Messages) || s.last == maxNumbers {
		return
	}
	low := uint8(0)
	if s.out != 0 {
		low = s.ids[s.out.first()].k()
	}
	if !room(s.last+1, low) && !x.lacks(WindowRoom) {
		return
	}
	t := *s
	m := t.next
	t.next++
	t.last++
	t.ids[m] = identOf(t.origin, t.last)
	t.out |= only(m)
	if !x.isCast(m) {
		t.due[x.to(m)] |= only(m)
	}
	x.write(t, m, does(sends).of(m))
}

// write puts a request on its way.
func (x *steps) write(t state, m uint8, what label) {
	if !x.Flight {
		x.read(t, m, what)
		return
	}
	t.pipe = t.pipe.push(m)
	x.add(t, what)
}

// takeAnswer reads the answer to the request whose turn it is.
func (x *steps) takeAnswer(s *state) {
	if s.asked == 0 {
		return
	}
	m := s.asked.at(0)
	t := *s
	t.asked = t.asked.pop()
	t.refused &^= only(m)
	t.out &^= only(m)
	t.again &^= only(m)
	switch {
	case s.refused.has(m):
		x.checkAnswer(s, chatproto.ReplyRefusedEarlier)
		t.no |= only(m)
		if !s.again.has(m) {
			t.first |= only(m)
		}
		if !s.refusals.has(m) {
			t.wrong, t.m = neverRefused, m
		}
		x.add(t, does(hearsNo).of(m))
	case !s.pending.has(m):
		x.checkAnswer(s, chatproto.ReplyAccepted)
		t.ok |= only(m)
		x.add(t, does(hearsYes).of(m))
	}
}

// mayBeWritten asks the real phase table whether A, in whose view the
// connection is where it is, may write verb.
func (x *steps) mayBeWritten(s *state, verb chatproto.Code) bool {
	key := mayKey{s.link, verb}
	may, ok := x.may[key]
	if !ok {
		m := loggingIn()
		if s.link == online {
			x.must(m.Reply(chatproto.ReplyWelcome, 0, 0))
		}
		may = m.Request(verb, 1) == nil
		x.may[key] = may
	}
	return may
}

type mayKey struct {
	link link
	verb chatproto.Code
}

// checkAnswer has a real machine take the requests that are unanswered, and
// the answer to the first of them.
func (x *steps) checkAnswer(s *state, code chatproto.Code) {
	key := answerKey{code, s.asked, s.ids}
	if x.answers[key] {
		return
	}
	m := loggingIn()
	x.must(m.Reply(chatproto.ReplyWelcome, 0, 0))
	for q := s.asked; q != 0; q = q.pop() {
		verb := chatproto.SEND
		if x.isCast(q.at(0)) {
			verb = chatproto.CAST
		}
		x.must(m.Request(verb, number(s.ids[q.at(0)].k())))
	}
	n := number(s.ids[s.asked.at(0)].k())
	x.must(m.Reply(code, n, n))
	x.answers[key] = true
}

type answerKey struct {
	code  chatproto.Code
	asked queue
	ids   [maxMessages + 1]ident
}

// loggingIn is a machine whose last AUTH is unanswered.
func loggingIn() *chatproto.Machine {
	m := chatproto.V1.Machine()
	m.Request(chatproto.HELO, 0)
	m.Reply(chatproto.ReplyGreeting, 0, 0)
	m.Request(chatproto.AUTH, 0)
	return m
}

func (x *steps) must(err error) {
	if err != nil {
		panic("model: chatproto has it otherwise: " + err.Error())
	}
}
