package chatproto_test

import (
	"errors"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// A step is one thing that happens to a machine, and what comes of it. It is
// said from the server's side; a client's machine takes the same steps.
type step struct {
	do    func(m *Machine) error
	want  string // what is wrong, "" if nothing is
	phase Phase
	waits int // unanswered requests afterwards
}

func request(verb Code, n uint64) func(*Machine) error {
	return func(m *Machine) error { return m.Request(verb, n) }
}

func reply(code Code, lo, hi uint64) func(*Machine) error {
	return func(m *Machine) error { return m.Reply(code, lo, hi) }
}

func event(code Code) func(*Machine) error {
	return func(m *Machine) error { return m.Event(code) }
}

func badLine(m *Machine) error {
	if m.BadLine() {
		return errors.New("too many")
	}
	return nil
}

func code(s string) Code {
	c, ok := ParseCode(s)
	if !ok {
		panic(s)
	}
	return c
}

// login leads a new machine to Ready.
var login = []step{
	{request(HELO, 0), "", Opened, 1},
	{reply(ReplyGreeting, 0, 0), "", Greeted, 0},
	{request(AUTH, 0), "", Greeted, 1},
	{reply(ReplyWelcome, 0, 0), "", Ready, 0},
}

func TestMachine(t *testing.T) {
	for _, c := range []struct {
		why   string
		steps []step
	}{
		{"several numbered requests wait, and are answered in their order", append(login[:4:4],
			step{request(SEND, 3), "", Ready, 1},
			step{request(BLOK, 4), "", Ready, 2},
			step{request(CAST, 9), "", Ready, 3},
			step{reply(ReplyOK, 4, 4), "chatproto: unexpected 200 in phase Ready, where a reply to SEND was due", Ready, 3},
			step{reply(ReplyAccepted, 3, 3), "", Ready, 2},
			step{reply(ReplyOK, 4, 4), "", Ready, 1},
			step{reply(ReplyTooLong, 9, 9), "", Ready, 0})},
		{"the queue keeps its order when it grows while it is wrapped around", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{request(SEND, 2), "", Ready, 2},
			step{request(SEND, 3), "", Ready, 3},
			step{reply(ReplyAccepted, 1, 2), "", Ready, 1},
			step{request(SEND, 4), "", Ready, 2},
			step{request(SEND, 5), "", Ready, 3},
			step{request(SEND, 6), "", Ready, 4},
			step{request(SEND, 7), "", Ready, 5},
			step{reply(ReplyAccepted, 3, 6), "", Ready, 1},
			step{reply(ReplyAccepted, 7, 7), "", Ready, 0})},
		{"one 201 may answer a run of SENDs, but no more than wait", append(login[:4:4],
			step{request(SEND, 17), "", Ready, 1},
			step{request(SEND, 18), "", Ready, 2},
			step{reply(ReplyAccepted, 17, 19), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2},
			step{reply(ReplyAccepted, 18, 17), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2},
			step{reply(ReplyAccepted, 1, 1<<64-1), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2},
			step{reply(ReplyAccepted, 0, 1<<64-1), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2},
			step{reply(ReplyAccepted, 17, 18), "", Ready, 0})},
		{"a run from 0 on is none: it must not answer what was answered before", append(login[:4:4],
			step{request(SEND, 0), "", Ready, 1},
			step{request(SEND, 1), "", Ready, 2},
			step{reply(ReplyAccepted, 0, 0), "", Ready, 1},
			step{reply(ReplyAccepted, 1, 1), "", Ready, 0},
			step{request(SEND, 2), "", Ready, 1},
			step{request(SEND, 3), "", Ready, 2},
			step{reply(ReplyAccepted, 2, 3), "", Ready, 0},
			step{request(SEND, 0), "", Ready, 1},
			step{reply(ReplyAccepted, 0, 1), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 1})},
		{"nor is one from 0 on, or beyond the last number, when its numbers wait", append(login[:4:4],
			step{request(SEND, 1<<64-1), "", Ready, 1},
			step{request(SEND, 0), "", Ready, 2},
			step{request(SEND, 1), "", Ready, 3},
			step{reply(ReplyAccepted, 1<<64-1, 0), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 3},
			step{reply(ReplyAccepted, 1<<64-1, 1<<64-1), "", Ready, 2},
			step{reply(ReplyAccepted, 0, 1), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2})},
		{"a run skips no number", append(login[:4:4],
			step{request(SEND, 17), "", Ready, 1},
			step{request(SEND, 19), "", Ready, 2},
			step{reply(ReplyAccepted, 17, 18), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 2})},
		{"no other reply, and no other request, has a run", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{request(SEND, 2), "", Ready, 2},
			step{request(CAST, 3), "", Ready, 3},
			step{reply(ReplyTooLong, 1, 2), "chatproto: unexpected 552 in phase Ready, where a reply to SEND was due", Ready, 3},
			step{reply(ReplyAccepted, 1, 3), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 3},
			step{reply(ReplyAccepted, 1, 2), "", Ready, 1})},
		{"a list waits until its end", append(login[:4:4],
			step{request(ONLN, 2), "", Ready, 1},
			step{reply(ReplyEntry, 2, 2), "", Ready, 1},
			step{event(PRES), "", Ready, 1},
			step{reply(ReplyEntry, 2, 2), "", Ready, 1},
			step{reply(ReplyEnd, 2, 2), "", Ready, 0})},
		{"unknown replies count by their class: 1 goes on, the others finish", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{reply(code("199"), 1, 1), "", Ready, 1},
			step{reply(code("299"), 1, 1), "", Ready, 0},
			step{request(LSTN, 2), "", Ready, 1},
			step{reply(code("399"), 2, 2), "", Ready, 0},
			step{request(QUIT, 3), "", Ready, 1},
			step{reply(code("499"), 3, 3), "", Ready, 0},
			step{reply(code("599"), 0, 0), "chatproto: unexpected 599 in phase Ready", Ready, 0})},
		{"unknown events are ignored in every phase", append(append([]step{{event(code("XTRA")), "", Opened, 0}}, login...),
			step{event(code("XTRA")), "", Ready, 0},
			step{event(GBYE), "", Closing, 0},
			step{event(code("XTRA")), "", Closing, 0},
			step{event(MESG), "chatproto: unexpected MESG in phase Closing", Closing, 0})},
		{"an unknown reply is no event", append(login[:4:4],
			step{event(code("299")), "chatproto: unexpected 299 in phase Ready", Ready, 0})},
		{"a known event in the wrong phase is a fault, and so is a request's verb", []step{
			{event(MESG), "chatproto: unexpected MESG in phase Opened", Opened, 0},
			{event(SEND), "chatproto: unexpected SEND in phase Opened", Opened, 0},
			{reply(MESG, 0, 0), "chatproto: unexpected MESG in phase Opened", Opened, 0}}},
		{"421 answers nothing and ends the connection, whatever waits", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{reply(ReplyUnavailable, 0, 0), "", Closing, 1},
			step{reply(ReplyAccepted, 1, 1), "chatproto: unexpected 201 in phase Closing, where a reply to SEND was due", Closing, 1},
			step{request(SEND, 2), "503 The connection is closing", Closing, 1})},
		{"the server's GBYE and the client's HELO cross: nobody is accused", []step{
			{event(GBYE), "", Closing, 0},
			{request(HELO, 0), "503 The connection is closing", Closing, 0}}},
		{"in Opened a request of a later phase is answered 503, which closes", []step{
			{request(SEND, 1), "503 Not allowed now", Opened, 1},
			{reply(ReplyBadPhase, 1, 1), "", Closing, 0}}},
		{"a web page that posts to the port gets one line", []step{
			{badLine, "", Opened, 1},
			{reply(ReplyBadFrame, 0, 0), "", Closing, 0}}},
		{"in Greeted it is 530, which does not close; HELO again is 503", []step{
			login[0], login[1],
			{request(SEND, 1), "530 Please log in first", Greeted, 1},
			{reply(ReplyNotLoggedIn, 1, 1), "", Greeted, 0},
			{request(HELO, 0), "503 Not allowed now", Greeted, 1},
			{reply(ReplyBadPhase, 0, 0), "", Greeted, 0}}},
		{"before Ready one request waits at a time, QUIT excepted", []step{
			login[0], login[1],
			{request(AUTH, 0), "", Greeted, 1},
			{request(AUTH, 0), "503 Not allowed now", Greeted, 2},
			{reply(ReplyChallenge, 0, 0), "", Greeted, 1},
			{reply(ReplyBadPhase, 0, 0), "", Greeted, 0},
			{request(AUTH, 0), "", Greeted, 1},
			{request(QUIT, 0), "", Greeted, 2},
			{reply(ReplyWelcome, 0, 0), "", Ready, 1},
			{reply(ReplyBye, 0, 0), "", Closing, 0}}},
		{"an unknown verb is answered in its turn", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{request(code("XTRA"), 2), "500 Unknown command", Ready, 2},
			step{reply(ReplyAccepted, 1, 1), "", Ready, 1},
			step{reply(ReplyBadFrame, 2, 2), "", Ready, 0})},
		{"LIVE and ACKD are never answered", append(login[:4:4],
			step{request(LIVE, 0), "", Ready, 0},
			step{request(ACKD, 0), "", Ready, 0},
			step{reply(ReplyOK, 0, 0), "chatproto: unexpected 200 in phase Ready", Ready, 0})},
		{"after QUIT nothing may be sent; what waits is still answered", append(login[:4:4],
			step{request(SEND, 1), "", Ready, 1},
			step{request(QUIT, 2), "", Ready, 2},
			step{request(SEND, 3), "503 Nothing may follow QUIT", Ready, 3},
			step{request(LIVE, 0), "503 Nothing may follow QUIT", Ready, 4},
			step{reply(ReplyAccepted, 1, 1), "", Ready, 3},
			step{event(MESG), "", Ready, 3},
			step{reply(ReplyBye, 2, 2), "", Closing, 2})},
		{"a QUIT that failed has not ended anything", append(login[:4:4],
			step{request(QUIT, 1), "", Ready, 1},
			step{reply(ReplyInternal, 1, 1), "", Ready, 0},
			step{request(SEND, 2), "", Ready, 1})},
		{"the reply carries the number of its request, or none if that had none", append(login[:4:4],
			step{request(SEND, 0), "", Ready, 1},
			step{reply(ReplyAccepted, 1, 1), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 1},
			step{reply(ReplyAccepted, 0, 0), "", Ready, 0},
			step{request(SEND, 1), "", Ready, 1},
			step{reply(ReplyAccepted, 0, 0), "chatproto: unexpected 201 in phase Ready, where a reply to SEND was due", Ready, 1})},
		{"the end of input ends it all", append(login[:4:4],
			step{func(m *Machine) error { m.EOF(); return nil }, "", Closed, 0},
			step{event(GBYE), "chatproto: unexpected GBYE in phase Closed", Closed, 0},
			step{badLine, "too many", Closed, 0})},
	} {
		t.Run(c.why, func(t *testing.T) {
			m := V1.Machine()
			for i, s := range c.steps {
				got := ""
				if err := s.do(m); err != nil {
					got = err.Error()
				}
				if got != s.want || m.Phase() != s.phase || m.Unanswered() != s.waits {
					t.Fatalf("step %d: %q, phase %v, %d unanswered; want %q, %v, %d",
						i, got, m.Phase(), m.Unanswered(), s.want, s.phase, s.waits)
				}
			}
		})
	}
}

// TestMachineHead shows whose turn it is.
func TestMachineHead(t *testing.T) {
	m := V1.Machine()
	check := func(verb Code, n uint64) {
		t.Helper()
		if v, tag := m.Head(); v != verb || tag != n {
			t.Errorf("head is %v %d, want %v %d", v, tag, verb, n)
		}
	}
	check(0, 0)
	for _, s := range login {
		s.do(m)
	}
	m.Request(SEND, 7)
	m.BadLine()
	check(SEND, 7)
	m.Reply(ReplyAccepted, 7, 7)
	check(0, 0)
	m.Reply(ReplyBadFrame, 0, 0)
	check(0, 0)
}

// TestMachineBadLines counts to ten: a good request between starts anew, what
// is never answered and what is refused does not.
func TestMachineBadLines(t *testing.T) {
	m := V1.Machine()
	for _, s := range login {
		s.do(m)
	}
	answer := func() {
		for m.Unanswered() > 0 {
			_, n := m.Head()
			if err := m.Reply(ReplyBadFrame, n, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 2 {
		for i := 1; i <= 10; i++ {
			m.Request(LIVE, 0)
			m.Request(code("XTRA"), 0)
			if tooMany := m.BadLine(); tooMany != (i == 10) {
				t.Fatalf("round %d, line %d: too many is %v", round, i, tooMany)
			}
			answer()
		}
		m.Request(RVKE, 0)
		answer()
	}
}

func TestVersionAnswers(t *testing.T) {
	for _, c := range []struct {
		verb, code string
		want       bool
	}{
		{"SEND", "201", true}, {"SEND", "200", false}, {"SEND", "451", true}, {"SEND", "599", true}, {"SEND", "199", true},
		{"ONLN", "111", true}, {"LIVE", "200", false}, {"XTRA", "500", true}, {"XTRA", "200", false}, {"SEND", "XTRA", false}, {"SEND", "MESG", false},
	} {
		if got := V1.Answers(code(c.verb), code(c.code)); got != c.want {
			t.Errorf("%s answers %s: %v, want %v", c.code, c.verb, got, c.want)
		}
	}
	if !V1.Unanswered(LIVE) || !V1.Unanswered(ACKD) || V1.Unanswered(SEND) || V1.Unanswered(code("XTRA")) {
		t.Error("LIVE and ACKD alone are never answered")
	}
}
