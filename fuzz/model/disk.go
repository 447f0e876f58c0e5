package model

// diskSteps is what the committer and the disk may do next.
func (x *steps) diskSteps(s *state) {
	slots := 1
	if x.lacks(OneBatch) {
		slots = 2
	}
	for i := range slots {
		if !s.cut[i].used {
			if !s.open.empty() && (i == 0 || s.cut[0].used) {
				x.cutSteps(s, i)
			}
			break
		}
	}
	for i := range slots {
		if !s.cut[i].used {
			continue
		}
		t := *s
		t.disk.write(&s.cut[i], x)
		x.committed(&t, i)
		x.add(t, does(syncs))
		if s.left.Failures > 0 {
			x.fails(*s, i)
		}
	}
	x.diskFaults(s)
}

// cutSteps cut the open batch: all of it, or what came before any of its
// messages; but what was put back goes with the next one, whole.
func (x *steps) cutSteps(s *state, slot int) {
	early := set(0)
	for m := range s.open.msgs.each() {
		t, whole := *s, s.open.back&^early == 0 || x.lacks(PutBackWhole)
		if whole && (early != 0 || s.open.others()) {
			what := does(cutsEarly)
			if x.cutBatch(&t, slot, early); t.cut[slot].used {
				x.add(t, what)
			}
		}
		early |= only(m)
	}
	t := *s
	what := does(cuts)
	if x.cutBatch(&t, slot, early); !t.cut[slot].used {
		what = does(drained)
	}
	x.add(t, what)
}

// others reports whether a batch holds something else than messages.
func (b *batch) others() bool {
	other := *b
	other.msgs, other.back, other.windows = 0, 0, [maxOrigins]windowID{}
	return !other.empty()
}

// cutBatch takes these messages, the first ones, and all else out of the open
// batch: what was acknowledged meanwhile is dropped, and a window stays if a
// message of its origin does, as it stood at the last of its messages.
func (x *steps) cutBatch(s *state, slot int, msgs set) {
	b := s.open
	s.open = batch{msgs: b.msgs &^ msgs}
	var last [maxOrigins]uint8
	for m := range msgs.each() {
		last[s.ids[m].origin()] = s.ids[m].k()
	}
	for m := range s.open.msgs.each() {
		o := s.ids[m].origin()
		s.open.windows[o] = b.windows[o]
	}
	for o := range b.windows {
		if b.windows[o] != 0 && !x.lacks(WindowOfTheCut) {
			b.windows[o] = x.w.at(b.windows[o], last[o])
		}
	}
	b.msgs, b.back = msgs, 0
	var kept set
	var dropped [maxOrigins]set // numbers
	for m := range b.msgs.each() {
		id := s.ids[m]
		waits := s.boxes[0].has(m) || s.boxes[1].has(m)
		if !waits && (!x.isCast(m) || x.lacks(CastsAreStored)) {
			dropped[id.origin()] |= only(id.k())
			continue
		}
		kept |= only(m)
		if waits {
			s.written |= only(m)
			for r := range b.bodies {
				b.bodies[r] |= s.due[r] & only(m)
			}
		}
	}
	b.msgs = kept
	var keeps [maxOrigins]bool
	for m := range kept.each() {
		keeps[s.ids[m].origin()] = true
	}
	for o := range b.windows {
		if !keeps[o] {
			b.windows[o] = 0
		} else if x.lacks(WindowAsCut) {
			b.windows[o] = x.w.without(b.windows[o], dropped[o])
		}
	}
	if b.empty() {
		return
	}
	b.used = true
	s.cut[slot] = b
}

// write is a commit: all of the batch or nothing of it.
func (d *disk) write(b *batch, x *steps) {
	d.writeWindows(b, x)
	for r := range d.boxes {
		for m := range b.bodies[r].each() {
			if !d.boxes[r].has(m) {
				d.boxes[r] = d.boxes[r].push(m)
			}
		}
		d.boxes[r] = d.boxes[r].without(b.acks[r])
	}
}

func (d *disk) writeWindows(b *batch, x *steps) {
	for o := range d.windows {
		if b.rows[o] != 0 {
			d.windows[o] = b.rows[o]
		}
		if b.windows[o] != 0 && !x.lacks(WindowWithBodies) {
			d.windows[o] = b.windows[o]
		}
	}
}

// committed is what follows from a batch that counts as stored.
func (x *steps) committed(s *state, slot int) {
	b := &s.cut[slot]
	for o, win := range b.windows {
		if win != 0 {
			s.origins[o].stored = max(s.origins[o].stored, x.w.high(win))
		}
	}
	s.pending &^= b.msgs
	*b = batch{}
}

// fails has a commit fail, with nothing of it written, or all of it.
func (x *steps) fails(s state, slot int) {
	s.left.Failures--
	for _, written := range []bool{false, true} {
		t := s
		what := does(failsUnwritten)
		if written {
			what = does(failsWritten)
			t.disk.write(&t.cut[slot], x)
		}
		switch {
		case x.lacks(FailedIsNotStored):
			x.committed(&t, slot)
		case x.lacks(FailedIsPutBack):
			t.cut[slot] = batch{}
		case x.lacks(AcceptedStays):
			x.takeBack(&t, slot)
		default:
			t.putBack(slot)
		}
		x.fault(t, what)
	}
}

// putBack puts a batch that failed before the open one.
func (s *state) putBack(slot int) {
	b := s.cut[slot]
	s.cut[slot] = batch{}
	s.open.msgs |= b.msgs
	s.open.back |= b.msgs
	for r := range b.acks {
		s.open.acks[r] |= b.acks[r]
	}
	for o := range b.windows {
		if s.open.windows[o] == 0 {
			s.open.windows[o] = b.windows[o]
		}
		if s.open.rows[o] == 0 {
			s.open.rows[o] = b.rows[o]
		}
	}
}

// takeBack refuses, after the failure of a batch, those SENDs of it that have
// not left yet, and puts the others back.
func (x *steps) takeBack(s *state, slot int) {
	for m := range s.cut[slot].msgs.each() {
		id := s.ids[m]
		if x.isCast(m) {
			continue
		}
		r := x.to(m)
		front := queue(0)
		for i := range s.sent[r] {
			front = front.push(s.boxes[r].at(i))
		}
		if front.has(m) || !s.boxes[r].has(m) {
			continue
		}
		s.cut[slot].msgs &^= only(m)
		s.boxes[r] = s.boxes[r].without(only(m))
		s.pending &^= only(m)
		s.refusals |= only(m)
		if s.asked.has(m) {
			s.refused |= only(m)
		}
		o := &s.origins[id.origin()]
		o.win = x.w.without(o.win, only(id.k()))
		o.bar = max(o.bar, id.k())
		for _, b := range []*batch{&s.cut[slot], &s.open} {
			if b.windows[id.origin()] != 0 {
				b.windows[id.origin()] = x.w.without(b.windows[id.origin()], only(id.k()))
			}
		}
	}
	s.putBack(slot)
}

// diskFaults are crashes, and what becomes of a disk.
func (x *steps) diskFaults(s *state) {
	if s.left.Crashes > 0 {
		t := *s
		t.left.Crashes--
		what := does(crashes)
		if t.cut[0].used && x.lacks(WholeBatches) {
			t.disk.writeWindows(&t.cut[0], x)
			what = does(tears)
		}
		x.crash(&t)
		x.fault(t, what)
	}
	if s.left.Losses > 0 {
		t := *s
		t.left.Losses--
		t.replace(disk{})
		x.crash(&t)
		x.fault(t, does(losesDisk))
	}
	if s.left.Backups > 0 && !s.copy {
		t := *s
		t.copied, t.copy = t.disk, true
		x.fault(t, does(backsUp))
	}
	if s.copy {
		t := *s
		t.left.Backups--
		d := t.copied
		if !x.lacks(BackupWithoutOrigins) {
			d.windows, d.shown = [maxOrigins]windowID{}, [maxOrigins]bool{}
		}
		t.replace(d)
		t.copied, t.copy = disk{}, false
		x.crash(&t)
		x.fault(t, does(restores))
	}
}

// replace puts another disk into the server. What that does not hold was
// promised in vain.
func (s *state) replace(d disk) {
	s.disk, s.lost = d, true
	s.gone |= s.ok
}
