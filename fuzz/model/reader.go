package model

// readerSteps is what a recipient may do next, and what the server does on
// its connection.
func (x *steps) readerSteps(s *state, r int) {
	b := &s.readers[r]
	if x.DialBack {
		x.callSteps(s, r)
	}
	if s.left.CrashesBC > 0 && b.memory != (memory{}) {
		t := *s
		t.left.CrashesBC--
		x.restart(&t.readers[r])
		t.sent[r], t.told[r] = 0, 0
		x.fault(t, does(restartsBC).by(r))
	}
	if !b.up {
		t := *s
		t.arrives(r, x.DialBack)
		if b.live && !x.Away && !b.away {
			x.add(t, does(returns).by(r))
		} else {
			x.choice(t, does(returns).by(r))
		}
		if b.live && s.left.Ends > 0 {
			t := *s
			t.left.Ends--
			t.readers[r].live = false
			x.fault(t, does(endsSession).by(r))
		}
		return
	}
	x.deliver(s, r)
	if b.taken < s.sent[r] {
		x.take(*s, r, b.taken)
		if x.lacks(TakenInOrder) && b.taken+1 < s.sent[r] {
			x.take(*s, r, b.taken+1)
		}
	}
	if b.kept < b.taken {
		t := *s
		t.readers[r].keep()
		x.add(t, does(writesDown).by(r))
	}
	if b.kept > 0 || b.taken > 0 && x.lacks(KeptBeforeAcknowledged) {
		t := *s
		m := t.boxes[r].at(0)
		t.readers[r].taken--
		t.readers[r].kept -= min(b.kept, 1)
		x.acknowledged(&t, r)
		if x.lacks(CountsEndWithConnection) {
			t.told[r]++
		}
		x.add(t, does(acknowledges).of(m).by(r))
	}
	if s.left.DropsBC > 0 {
		x.dropReader(*s, r)
	}
}

// deliver puts the next message in the mailbox on its way, if it may leave.
func (x *steps) deliver(s *state, r int) {
	for i := s.sent[r]; i < s.boxes[r].len(); i++ {
		m := s.boxes[r].at(i)
		o := &s.origins[s.ids[m].origin()]
		if o.stored < s.after[m] && !x.lacks(WaitForBar) {
			if x.lacks(FirstInFirstOut) {
				continue
			}
			return
		}
		t := *s
		t.boxes[r] = t.boxes[r].move(i, s.sent[r])
		t.sent[r]++
		if x.lacks(WritingIsNoDelivery) {
			t.pending &^= only(m)
		}
		if x.Flight {
			x.add(t, does(delivers).of(m).by(r))
		} else {
			x.take(t, r, t.readers[r].taken)
		}
		if !x.lacks(FirstInFirstOut) {
			return
		}
	}
}

// take is what the client of r does with a delivery (SPEC section 6.5).
func (x *steps) take(s state, r int, i uint8) {
	s.boxes[r] = s.boxes[r].move(i, s.readers[r].taken)
	b := &s.readers[r]
	m := s.boxes[r].at(b.taken)
	b.taken++
	id := s.ids[m]
	what := does(drops).of(m).by(r)
	if id.k() > b.high[id.origin()] || x.lacks(ReceiveWindow) {
		what = does(sees).of(m).by(r)
		switch {
		case b.seen.has(m):
			s.wrong, s.who, s.m = twice, uint8(r), m
		case b.seen.last() > m && b.seen != 0:
			s.wrong, s.who, s.m = order, uint8(r), m
		}
		b.high[id.origin()] = max(b.high[id.origin()], id.k())
		b.seen |= only(m)
	}
	if x.CrashesBC == 0 {
		b.keep()
	}
	x.add(s, what)
}

// keep writes down what was taken.
func (b *reader) keep() { b.durable, b.kept = b.memory, b.taken }

// dropReader breaks a recipient's connection.
func (x *steps) dropReader(s state, r int) {
	s.left.DropsBC--
	if x.lacks(UnacknowledgedStays) {
		for s.sent[r] > 0 {
			x.acknowledged(&s, r)
		}
	}
	stale := min(s.told[r]+s.readers[r].taken, s.boxes[r].len())
	s.sent[r], s.told[r] = 0, 0
	s.readers[r].hangUp()
	x.fault(s, does(dropsBC).by(r))
	if x.lacks(CountsEndWithConnection) && stale > 0 {
		// It is back at once, and what it said on the old connection is counted
		// on the new one, which breaks too.
		for s.sent[r] = stale; s.sent[r] > 0; {
			x.acknowledged(&s, r)
		}
		x.fault(s, does(miscounts).by(r))
	}
}

// arrives is a recipient's login on a connection of its own.
func (s *state) arrives(r int, callable bool) {
	b := &s.readers[r]
	b.up, b.live, b.away = true, true, false
	s.callable[r] = callable
}

// hangUp is the end of a recipient's connection.
func (b *reader) hangUp() { b.up, b.taken, b.kept = false, 0, 0 }

// restart is the end of a recipient's program, and a new one with what the
// old one had written down.
func (x *steps) restart(b *reader) {
	b.hangUp()
	b.away = false
	b.memory = b.durable
	if x.lacks(ReceiveWindowKept) {
		b.high = [maxOrigins]uint8{}
		b.durable.high = b.high
	}
}
