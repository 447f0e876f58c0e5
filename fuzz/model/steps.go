package model

// steps makes what may follow a state.
type steps struct {
	*Config
	w       *windows
	may     map[mayKey]bool
	answers map[answerKey]bool
	edges   []edge
}

// An edge is one step to a next state.
type edge struct {
	to   state
	what label
	kind kind
}

// A kind says whether a step happens by itself.
type kind uint8

const (
	ordinary kind = iota // it happens, if nothing else does before
	chosen               // it may happen, and may be put off for ever
	faulty               // it may go wrong
)

func newSteps(c *Config) *steps {
	return &steps{Config: c, w: newWindows(), may: make(map[mayKey]bool), answers: make(map[answerKey]bool)}
}

// from returns everything that may follow s. The slice is valid until the
// next call.
func (x *steps) from(s *state) []edge {
	x.edges = x.edges[:0]
	if s.spent {
		return nil
	}
	x.senderSteps(s)
	x.serverSteps(s)
	x.diskSteps(s)
	for r := range s.readers {
		x.readerSteps(s, r)
	}
	return x.edges
}

func (x *steps) add(t state, what label)    { x.edge(t, what, ordinary) }
func (x *steps) choice(t state, what label) { x.edge(t, what, chosen) }
func (x *steps) fault(t state, what label)  { x.edge(t, what, faulty) }

func (x *steps) edge(t state, what label, k kind) {
	x.judge(&t)
	t.forget()
	x.edges = append(x.edges, edge{t, what, k})
}

// forget clears what can have no effect any more, so that states that differ
// in nothing else are one.
func (s *state) forget() {
	boxed := s.boxes[0].set() | s.boxes[1].set()
	s.written &= boxed
	s.loaded &= boxed
	s.pending &= s.out
	s.refusals &= s.out
	for m := uint8(1); m <= maxMessages; m++ {
		if s.after[m] != 0 && (!boxed.has(m) || s.origins[s.ids[m].origin()].stored >= s.after[m]) {
			s.after[m] = 0
		}
	}
	for o := range s.origins {
		if org := &s.origins[o]; org.bar <= org.stored {
			org.bar = 0
		}
	}
}

// A wrong is a violation of what is promised.
type wrong uint8

const (
	right wrong = iota
	lost
	twice
	order
	neverRefused
	refusedAndSeen
	needless
	stuck
	unseen
	perhapsSeen
	outsider
	passedBy
)

// judge finds what is wrong with a state. What is wrong with a step was noted
// by it.
func (x *steps) judge(s *state) {
	if s.wrong != right {
		return
	}
	for m := range (s.ok &^ s.gone).each() {
		for r := range s.readers {
			if s.due[r].has(m) && !s.readers[r].durable.seen.has(m) && !s.disk.boxes[r].has(m) {
				s.wrong, s.who, s.m = lost, uint8(r), m
				return
			}
			if x.Exceptions && x.isCast(m) && s.readers[r].seen.has(m) && !s.due[r].has(m) {
				s.wrong, s.who, s.m = outsider, uint8(r), m
				return
			}
		}
	}
	for r := range s.readers {
		seen := s.readers[r].seen | s.readers[r].durable.seen
		if bad := s.first & seen; bad != 0 {
			s.wrong, s.who, s.m = refusedAndSeen, uint8(r), bad.first()
		}
		if bad := s.no & seen; bad != 0 && x.Exceptions {
			s.wrong, s.who, s.m = perhapsSeen, uint8(r), bad.first()
		}
	}
}

// judgeEnd finds what is wrong with a state in which nothing happens any more
// unless something goes wrong.
func (x *steps) judgeEnd(s *state) (w wrong, who, m uint8) {
	if s.spent {
		return right, 0, 0
	}
	if s.out != 0 {
		return stuck, 0, s.out.first()
	}
	if int(s.next) <= len(x.Messages) && s.last < maxNumbers {
		return stuck, 0, s.next
	}
	for r := range s.readers {
		if !s.expected(r) {
			continue // and need not come
		}
		for m := range (s.ok & s.due[r] &^ s.gone).each() {
			if !s.readers[r].durable.seen.has(m) {
				return unseen, uint8(r), m
			}
		}
		if s.boxes[r] != 0 {
			return stuck, uint8(r), s.boxes[r].at(0)
		}
	}
	return right, 0, 0
}
