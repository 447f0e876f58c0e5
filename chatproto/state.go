package chatproto

// A Phase says how far a connection has come (SPEC section 5). It is a
// function of the server's frames alone: the server enters a phase when it
// sends the frame that leads there, the client when it receives it, so frames
// that cross on the wire accuse nobody. Phases only grow.
type Phase uint8

// The phases of a connection.
const (
	Opened  Phase = iota // connected
	Greeted              // a version is agreed on
	Ready                // logged in
	Closing              // the server has said its last word
	Closed               // end of input
)

var phaseNames = [...]string{"Opened", "Greeted", "Ready", "Closing", "Closed"}

func (p Phase) String() string { return phaseNames[p] }

// A RequestRule is one row of the table of requests: what a server may answer
// to a verb, beside the replies that answer any (see [Version.AnyReply]).
type RequestRule struct {
	Verb       Code
	Replies    []Code
	Unanswered bool // no reply ever
}

// A Transition is a frame of the server that changes the phase.
type Transition struct {
	Code Code
	Next Phase
}

// A PhaseRule is one row of the table of phases.
type PhaseRule struct {
	Phase  Phase
	Client []Code // what the client may send
	Pipe   bool   // several of them may be under way at once
	Server []Code // events that the server may send
	Early  Code   // what answers a request that belongs to a later phase; a late one gets 503
	Next   []Transition
}

var requestsV1 = []RequestRule{
	{Verb: HELO, Replies: []Code{ReplyGreeting, ReplyNoVersion}},
	{Verb: AUTH, Replies: []Code{ReplyWelcome, ReplyPassword, ReplyChallenge, ReplyLockedOut, ReplyNoVersion, ReplyDenied}},
	{Verb: LSTN, Replies: []Code{ReplyOK}},
	{Verb: SEND, Replies: []Code{ReplyAccepted, ReplyMailboxFull, ReplyNoSuchUser, ReplyTooLong, ReplyBlocked}},
	{Verb: CAST, Replies: []Code{ReplyAccepted, ReplyTooLong}},
	{Verb: ONLN, Replies: []Code{ReplyEntry, ReplyEnd}},
	{Verb: BLOK, Replies: []Code{ReplyOK, ReplyNoSuchUser}},
	{Verb: UBLK, Replies: []Code{ReplyOK, ReplyNoSuchUser}},
	{Verb: ADDR, Replies: []Code{ReplyAsked, ReplyNoSuchUser, ReplyNotOnline, ReplyBlocked}},
	{Verb: CNST, Replies: []Code{ReplyOK, ReplyBlocked, ReplyNotAsked}},
	{Verb: RVKE, Replies: []Code{ReplyOK}},
	{Verb: RLAY, Replies: []Code{ReplyOK, ReplyNotOnline, ReplyBlocked}},
	{Verb: RDAT, Unanswered: true},
	{Verb: ACKD, Unanswered: true},
	{Verb: QUIT, Replies: []Code{ReplyBye}},
	{Verb: LIVE, Unanswered: true},
}

// anyReply answers any request that is answered at all.
var anyReply = []Code{
	ReplyInternal, ReplyRefusedEarlier, ReplySlowDown,
	ReplyBadFrame, ReplyBadField, ReplyBadPhase, ReplyNotLoggedIn,
}

// AnyReply returns the replies that may answer any request.
func (v *Version) AnyReply() []Code { return append([]Code(nil), anyReply...) }

// phasesV1 is the one table that says what is allowed when.
var phasesV1 = []PhaseRule{
	{Phase: Opened, Client: []Code{HELO, QUIT, LIVE},
		Server: []Code{LIVE, GBYE, ReplyUnavailable}, Early: ReplyBadPhase,
		Next: []Transition{{ReplyGreeting, Greeted}, {ReplyBadFrame, Closing}, {ReplyBadField, Closing}, {ReplyBadPhase, Closing}, {ReplyNoVersion, Closing},
			{ReplyBye, Closing}, {GBYE, Closing}, {ReplyUnavailable, Closing}}},
	{Phase: Greeted, Client: []Code{AUTH, QUIT, LIVE},
		Server: []Code{LIVE, GBYE, ReplyUnavailable}, Early: ReplyNotLoggedIn,
		Next: []Transition{{ReplyWelcome, Ready}, {ReplyLockedOut, Closing}, {ReplyNoVersion, Closing},
			{ReplyBye, Closing}, {GBYE, Closing}, {ReplyUnavailable, Closing}}},
	{Phase: Ready, Client: []Code{LSTN, SEND, CAST, ONLN, BLOK, UBLK, ADDR, CNST, RVKE, RLAY, RDAT, ACKD, QUIT, LIVE}, Pipe: true,
		Server: []Code{MESG, BCST, PRES, RQST, GETA, RVKD, RLAY, RDAT, LIVE, GBYE, ReplyUnavailable},
		Next:   []Transition{{ReplyBye, Closing}, {GBYE, Closing}, {ReplyUnavailable, Closing}}},
	{Phase: Closing},
	{Phase: Closed},
}

func (v *Version) request(verb Code) *RequestRule {
	for i := range v.Requests {
		if v.Requests[i].Verb == verb {
			return &v.Requests[i]
		}
	}
	return nil
}

func has(codes []Code, c Code) bool {
	for _, x := range codes {
		if x == c {
			return true
		}
	}
	return false
}

// Unanswered reports whether verb is a request that gets no reply.
func (v *Version) Unanswered(verb Code) bool {
	r := v.request(verb)
	return r != nil && r.Unanswered
}

// Answers reports whether code may answer verb. A code that the version does
// not know counts as the x00 of its class, and that answers anything.
func (v *Version) Answers(verb, code Code) bool {
	if rule := v.request(verb); rule != nil && has(rule.Replies, code) {
		return true
	}
	return has(anyReply, code) || code.IsReply() && !v.Known(code)
}

// A Machine follows one connection through the tables of a version. Both ends
// run the same one: the client calls Request for what it is about to send and
// Reply or Event for what it received; the server calls Request for what it
// received, when the turn comes to answer it, and Reply or Event for what it
// is about to send. The zero Machine is not usable; see [Version.Machine].
// A Machine is for one goroutine at a time.
type Machine struct {
	v       *Version
	phase   Phase
	queue   []unanswered // a ring
	head, n int
	bad     int  // lines in a row that were no frame
	quit    bool // QUIT is in the queue
}

type unanswered struct {
	verb Code // 0 for a line that was no frame, whose number could not be read
	tag  uint64
}

// Machine returns a machine in phase Opened.
func (v *Version) Machine() *Machine { return &Machine{v: v} }

// Phase returns the phase.
func (m *Machine) Phase() Phase { return m.phase }

// Unanswered returns how many requests wait for their reply.
func (m *Machine) Unanswered() int { return m.n }

// Head returns the verb and the number of the request that the next reply
// answers; 0 if none is unanswered, or if it was a line that was no frame.
func (m *Machine) Head() (verb Code, tag uint64) {
	if m.n == 0 {
		return 0, 0
	}
	u := m.queue[m.head]
	return u.verb, u.tag
}

// Request takes a request, with its number n (0 if it has none). nil means
// that it is allowed. An *[Error] carries the reply that refuses it: a server
// answers with that reply and does nothing else; a client has made a mistake,
// does not send the request, and gives the connection up, for its queue is no
// longer the server's.
//
// The request is queued for its reply, allowed or not. Only what is allowed
// and never answered is not, and what comes in Closing or later.
func (m *Machine) Request(verb Code, tag uint64) error {
	if m.phase >= Closing {
		return &Error{Code: ReplyBadPhase, Text: "The connection is closing"}
	}
	if m.quit {
		m.push(unanswered{verb, tag})
		return &Error{Code: ReplyBadPhase, Text: "Nothing may follow QUIT"}
	}
	rule := m.v.request(verb)
	row := &m.v.Phases[m.phase]
	var err error
	switch {
	case rule == nil:
		err = &Error{Code: ReplyBadFrame, Text: "Unknown command"}
	case has(row.Client, verb):
		if rule.Unanswered {
			return nil
		}
		if !row.Pipe && m.n > 0 && verb != QUIT {
			err = &Error{Code: ReplyBadPhase}
		}
	case m.later(verb) && row.Early != 0:
		err = &Error{Code: row.Early}
	default:
		err = &Error{Code: ReplyBadPhase}
	}
	if err == nil {
		m.bad, m.quit = 0, verb == QUIT
	}
	m.push(unanswered{verb, tag})
	return err
}

// later reports whether a later phase allows verb.
func (m *Machine) later(verb Code) bool {
	for i := int(m.phase) + 1; i < len(m.v.Phases); i++ {
		if has(m.v.Phases[i].Client, verb) {
			return true
		}
	}
	return false
}

// BadLine takes a line that was no frame, which wants a reply as a request
// does. It reports whether that was one too many in a row: the server then
// answers it and closes.
func (m *Machine) BadLine() (tooMany bool) {
	if m.phase >= Closing {
		return true
	}
	m.push(unanswered{})
	m.bad++
	return m.bad >= m.v.Limits.BadLines
}

// Reply takes a reply to the request at the head of the queue, with its
// number twice (0 if it has none), or a 201 to a run of SENDs from the head
// on, numbered lo to hi. An error says that the reply is not one: nothing is
// unanswered, the numbers are not the ones whose turn it is, or the code does
// not answer the verb.
func (m *Machine) Reply(code Code, lo, hi uint64) error {
	if m.phase >= Closing || !code.IsReply() {
		return m.broken(code)
	}
	if code == ReplyUnavailable {
		return m.Event(code)
	}
	if lo > hi || hi-lo >= uint64(m.n) {
		return m.broken(code)
	}
	count, run := int(hi-lo)+1, hi > lo
	if run && (lo == 0 || code != ReplyAccepted) {
		return m.broken(code)
	}
	at := m.head
	for tag := lo; ; tag++ {
		u := m.queue[at]
		if u.tag != tag || run && u.verb != SEND || tag == lo && !m.v.Answers(u.verb, code) {
			return m.broken(code)
		}
		if at++; at == len(m.queue) {
			at = 0
		}
		if tag == hi {
			break
		}
	}
	if code.Class() != 1 {
		// QUIT may be refused, like any request.
		m.quit = m.quit && m.queue[m.head].verb != QUIT
		m.head, m.n = at, m.n-count
	}
	m.step(code)
	return nil
}

// Event takes a frame of the server that answers nothing. An event that the
// version does not know is ignored, in every phase. An error says that this
// event has no place in this phase.
func (m *Machine) Event(code Code) error {
	if has(m.v.Phases[m.phase].Server, code) {
		m.step(code)
		return nil
	}
	if code.IsVerb() && !m.v.Known(code) {
		return nil
	}
	return m.broken(code)
}

// EOF takes the end of input.
func (m *Machine) EOF() { m.phase = Closed }

func (m *Machine) step(code Code) {
	for _, t := range m.v.Phases[m.phase].Next {
		if t.Code == code {
			m.phase = t.Next
			return
		}
	}
}

func (m *Machine) push(u unanswered) {
	if m.n == len(m.queue) {
		grown := make([]unanswered, max(4, 2*m.n))
		k := copy(grown, m.queue[m.head:])
		copy(grown[k:], m.queue[:m.head])
		m.queue, m.head = grown, 0
	}
	at := m.head + m.n
	if at >= len(m.queue) {
		at -= len(m.queue)
	}
	m.queue[at] = u
	m.n++
}

// A ProtocolError says that the other end sent a frame that the tables do not
// allow.
type ProtocolError struct {
	Phase Phase
	Got   Code
	Head  Code // the verb of the request whose turn it was, 0 if none
}

func (e *ProtocolError) Error() string {
	s := "chatproto: unexpected " + e.Got.String() + " in phase " + e.Phase.String()
	if e.Head != 0 {
		s += ", where a reply to " + e.Head.String() + " was due"
	}
	return s
}

func (m *Machine) broken(code Code) error {
	verb, _ := m.Head()
	return &ProtocolError{Phase: m.phase, Got: code, Head: verb}
}
