package model

// callSteps is what dial-back adds to a recipient's steps (SPEC section 7.7): it
// goes away, and the server calls it when something waits for it. That call
// may cross with a login of its own, and its AUTH come late: after that login,
// or after the end of the session.
func (x *steps) callSteps(s *state, r int) {
	b := &s.readers[r]
	switch {
	case b.up && s.callable[r] && b.taken == 0:
		t := *s
		t.readers[r].hangUp()
		t.readers[r].away = true
		t.sent[r], t.told[r] = 0, 0
		x.choice(t, does(goesAway).by(r))
	case !b.up && b.live && s.callable[r] && !s.called[r] && s.boxes[r] != 0:
		t := *s
		t.called[r] = true
		x.add(t, does(calls).by(r))
	}
	if !s.called[r] {
		return
	}
	t := *s
	t.called[r] = false
	if s.left.DropsBC > 0 {
		t := t
		t.left.DropsBC--
		x.fault(t, does(failsToReach).by(r))
	}
	switch {
	case !b.live && !x.lacks(OverIsOver):
		x.add(t, does(turnsAway).by(r))
	case !b.up:
		t.readers[r].up, t.readers[r].away = true, false
		x.add(t, does(answersCall).by(r))
	case !x.lacks(DialledNeverFences):
		x.add(t, does(needsNone).by(r))
	default: // the recipient has closed the connection that the server made, when it logged in by itself
		t.readers[r].hangUp()
		t.sent[r], t.told[r] = 0, 0
		x.add(t, does(fencesNewer).by(r))
	}
}

// expected reports whether the server must bring a recipient what waits for
// it: it is there, or can be called.
func (s *state) expected(r int) bool {
	b := &s.readers[r]
	return b.up || b.live && s.callable[r]
}
