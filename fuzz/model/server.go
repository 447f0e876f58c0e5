package model

import "github.com/parleyproto/parley/chatproto"

// serverSteps is what the server may do next with A's connection, and with
// what it holds of origins.
func (x *steps) serverSteps(s *state) {
	if s.attached && s.pipe != 0 {
		t := *s
		m := t.pipe.at(0)
		t.pipe = t.pipe.pop()
		x.read(t, m, label{})
	}
	if s.attached && s.lively {
		t := *s
		t.lively = false
		x.show(&t)
		x.add(t, does(readsLive))
	}
	if s.left.PageOuts+s.left.Forgotten == 0 {
		return
	}
	if s.attached && s.link == offline {
		t := *s
		t.attached, t.pipe, t.lively = false, 0, false
		x.add(t, does(seesEnd))
	}
	for o := range s.origins {
		if s.origins[o].win == 0 || s.ids[1] == 0 { // nothing was sent yet
			continue
		}
		open := s.attached && int(s.origin) == o
		held := batched(s, uint8(o)) || s.open.rows[o]+s.cut[0].rows[o] != 0
		if s.left.PageOuts > 0 && (!open || x.lacks(OpenWindowStays)) && (!held || x.lacks(BatchedWindowStays)) {
			t := *s
			t.left.PageOuts--
			t.pageOut(x.w, o)
			x.fault(t, does(pagesOut))
		}
		if s.left.Forgotten > 0 && !open && !held {
			t := *s
			t.left.Forgotten--
			t.lost = true
			t.origins[o], t.disk.windows[o], t.disk.shown[o] = origin{}, 0, false
			x.fault(t, does(forgets))
		}
	}
}

// batched reports whether a batch holds a message of an origin.
func batched(s *state, o uint8) bool {
	for m := range (s.open.msgs | s.cut[0].msgs | s.cut[1].msgs).each() {
		if s.ids[m].origin() == o {
			return true
		}
	}
	return false
}

func (s *state) pageOut(w *windows, o int) {
	win := s.disk.windows[o]
	s.origins[o] = origin{win: win, stored: w.high(win), shown: s.origins[o].shown}
}

// login is what the server makes of an AUTH: it fences the old connection and
// says what it holds of the origin.
func (x *steps) login(s state) {
	s.link, s.attached, s.pipe, s.lively = greeted, true, 0, false
	o := &s.origins[s.origin]
	what := does(registers)
	switch {
	case o.win != 0:
		what = does(remembers)
		s.welcome = answer{true, x.Restraint == Told || o.shown, x.w.high(o.win)}
		if !batched(&s, s.origin) {
			s.open.rows[s.origin] = o.win
		}
	case s.welcomed && x.Restraint == Told && !x.lacks(NotRegisteredAgain):
		what = does(disowns)
		s.welcome = answer{coming: true}
		s.attached = false // it drew an origin of its own, that A will not use
	default:
		s.welcome = answer{coming: true}
		o.win = emptyWindow
		if !x.lacks(RegisteredFirst) {
			s.disk.windows[s.origin] = emptyWindow
		}
	}
	if !s.welcome.known && o.win != 0 && what == does(remembers) {
		what = does(registers) // it says so again
	}
	if x.Logins {
		x.add(s, what)
		return
	}
	s.link, s.todo, s.welcome = online, s.out, answer{}
	x.add(s, does(comesBack))
}

// show notes that the client has had the 230 of its origin.
func (x *steps) show(s *state) {
	if o := &s.origins[s.origin]; x.Restraint != Told && !o.shown {
		o.shown = true
		if x.Restraint == ShownOnDisk {
			s.disk.shown[s.origin] = true
		}
	}
}

// read decides the request that carries m, or knows that it was decided.
func (x *steps) read(s state, m uint8, what label) {
	x.show(&s)
	id := s.ids[m]
	o := &s.origins[id.origin()]
	verdict := x.w.look(o.win, id.k())
	if x.lacks(ServerWindow) {
		verdict = chatproto.Undecided
	}
	switch verdict {
	case chatproto.Accepted:
		s.ask(m)
		if x.lacks(DuplicatesWait) {
			s.pending &^= only(m)
		}
		x.add(s, what.and(knows).of(m))
	case chatproto.Refused:
		s.ask(m)
		s.refused |= only(m)
		x.add(s, what.and(refusesAgain).of(m))
	default:
		if s.left.Refusals > 0 {
			x.refuse(s, m, what)
		}
		x.accept(s, m, what)
	}
}

// ask puts m among those that wait for their answer, if there is somebody to
// answer.
func (s *state) ask(m uint8) {
	if s.link == online {
		s.asked = s.asked.push(m)
	}
}

func (x *steps) refuse(s state, m uint8, what label) {
	id := s.ids[m]
	o := &s.origins[id.origin()]
	s.left.Refusals--
	s.refusals |= only(m)
	s.ask(m)
	s.refused |= only(m)
	if !x.lacks(RefusalsDecide) {
		x.decide(o, id.k(), false)
		if !x.lacks(BarOfRefusals) {
			o.bar = id.k()
		}
	}
	x.add(s, what.and(refuses).of(m))
}

// decide writes a decision into the real window, which panics if there was
// one before.
func (x *steps) decide(o *origin, k uint8, accept bool) {
	if x.lacks(ServerWindow) && k <= x.w.high(o.win) {
		return
	}
	o.win = x.w.decide(o.win, k, accept)
}

// accept takes m in: into the mailboxes of its audience, and into the open
// batch.
func (x *steps) accept(s state, m uint8, what label) {
	id := s.ids[m]
	o := &s.origins[id.origin()]
	x.decide(o, id.k(), true)
	s.after[m] = o.bar
	for r := range s.boxes {
		if x.isCast(m) {
			s.due[r] &^= only(m)
			if b := &s.readers[r]; b.live {
				s.due[r] |= only(m)
			} else if b.up {
				s.wrong, s.who, s.m = passedBy, uint8(r), m
			}
		}
		if s.due[r].has(m) {
			s.boxes[r] = s.boxes[r].push(m)
		}
	}
	if x.isCast(m) && !x.lacks(BarOfCasts) {
		o.bar = id.k()
	}
	s.loaded &^= only(m)
	s.written &^= only(m)
	s.open.msgs |= only(m)
	s.open.windows[id.origin()] = o.win
	if !x.lacks(AnswerWhenStored) {
		s.pending |= only(m)
	}
	s.ask(m)
	x.add(s, what.and(accepts).of(m))
}

// acknowledged is what the server does when r acknowledges the first message
// in its mailbox.
func (x *steps) acknowledged(s *state, r int) {
	m := s.boxes[r].at(0)
	s.boxes[r] = s.boxes[r].pop()
	s.sent[r]--
	left := s.boxes[0].has(m) || s.boxes[1].has(m)
	switch {
	case s.loaded.has(m):
		s.open.acks[r] |= only(m)
		return
	case !left && s.written.has(m):
		for i := range s.due {
			s.open.acks[i] |= s.due[i] & only(m)
		}
	}
	if !x.isCast(m) || x.lacks(CastIsNoSend) {
		s.pending &^= only(m)
	}
	if x.isCast(m) && !left && x.lacks(CastsAreStored) {
		s.pending &^= only(m)
		s.unbar(s.ids[m])
	}
}

// unbar has nothing wait for a decision any more.
func (s *state) unbar(id ident) {
	if o := &s.origins[id.origin()]; o.bar == id.k() {
		o.bar = 0
	}
	for m := range s.after {
		if s.after[m] == id.k() && s.ids[m].origin() == id.origin() {
			s.after[m] = 0
		}
	}
}

// crash takes the server's memory and all connections.
func (x *steps) crash(s *state) {
	s.hangUp()
	s.server = server{}
	for o, win := range s.disk.windows {
		if win == 0 {
			continue
		}
		shown := x.Restraint == ShownInMemory || x.Restraint == ShownByLive || s.disk.shown[o]
		s.origins[o] = origin{win: win, stored: x.w.high(win), shown: shown}
	}
	s.boxes = s.disk.boxes
	s.loaded = s.boxes[0].set() | s.boxes[1].set()
	for r := range s.readers {
		s.readers[r].hangUp()
	}
}
