package chatproto_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// A windowVector is decisions and questions, in their order, and the window
// that is left, as it is stored.
type windowVector struct {
	Why    string       `json:"why"`
	Steps  []windowStep `json:"steps"`
	High   string       `json:"high"`
	Stored string       `json:"stored"`
}

// A windowStep decides a number, or asks what is known of it. Numbers have 64
// bits, and are strings: not every language has them in its JSON.
type windowStep struct {
	Decide  string `json:"decide,omitempty"`
	Accept  bool   `json:"accept,omitempty"`
	Look    string `json:"look,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

var verdicts = [...]string{Undecided: "undecided", Accepted: "accepted", Refused: "refused"}

// windowCases say "+4" for an accepted number, "-4" for a refused one, and
// "?4" to ask.
var windowCases = []struct{ why, steps string }{
	{"nothing is decided", "?0 ?1 ?2 ?18446744073709551615"},
	{"numbers in their order", "?1 +1 ?1 ?2 +2 -3 ?1 ?2 ?3 ?4"},
	{"numbers that were skipped count as refused", "+5 ?1 ?4 ?5 ?6"},
	{"a refusal stays one", "-1 +2 ?1 ?2"},
	{"the oldest number that is remembered", "+45 +300 ?45 ?44 ?46 ?300"},
	{"a number that is too old to be known", "+44 +45 +300 ?44 ?45"},
	{"the window moves one by one", "+1 +256 ?1 +257 ?1 ?256 ?257"},
	{"a jump of just the window's size forgets all", "+1 +2 +257 ?1 ?2 +258 ?2"},
	{"a jump far ahead forgets all", "+1 +2 +3 +1000000 ?3 ?999999 ?1000000 ?1000001"},
	{"across the end of a word", "+63 +64 -65 +127 +128 ?63 ?64 ?65 ?66 ?127 ?128"},
	{"what is skipped in a jump is cleared", "+10 +11 +266 ?10 ?11 +267 ?11 ?266"},
	{"the highest number there is", "+18446744073709551615 ?18446744073709551615 ?18446744073709551614 ?18446744073709551360 ?1"},
	{"near the end of the numbers", "+18446744073709551614 -18446744073709551615 ?18446744073709551614 ?18446744073709551615"},
	{"0 is never a number", "+1 ?0"},
}

func TestVectorsWindows(t *testing.T) {
	var cases []windowVector
	for _, c := range windowCases {
		var w Window
		v := windowVector{Why: c.why}
		for s := range strings.FieldsSeq(c.steps) {
			n, err := strconv.ParseUint(s[1:], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if s[0] == '?' {
				v.Steps = append(v.Steps, windowStep{Look: s[1:], Verdict: verdicts[w.Look(n)]})
				continue
			}
			w.Decide(n, s[0] == '+')
			v.Steps = append(v.Steps, windowStep{Decide: s[1:], Accept: s[0] == '+'})
		}
		stored, err := w.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		v.High, v.Stored = strconv.FormatUint(w.High, 10), hex.EncodeToString(stored)
		cases = append(cases, v)
	}
	vectors(t, "windows.json", "What a server remembers of an origin's numbers (SPEC section 6.3).", cases)
}

// A phaseVector is the frames of both ends, in the order in which one end
// meets them, and what the tables say of each.
type phaseVector struct {
	Why   string      `json:"why"`
	Steps []phaseStep `json:"steps"`
}

type phaseStep struct {
	Frame  string `json:"frame"`
	Result string `json:"result"`
	Phase  string `json:"phase"`
	Queue  int    `json:"unanswered"`
}

// phaseCases: "C HELO" is a request, "C SEND n=1" one with a number, "C!" a
// line that is no frame, "S 220" a frame of the server, "EOF" the end.
var phaseCases = []struct{ why, steps string }{
	{"a login and a message", "C HELO;S 220;C AUTH;S 331;C AUTH;S 230;C SEND n=1;S MESG;S 201 n=1;C ACKD;C QUIT n=2;S 221 n=2;EOF"},
	{"a password that is refused, and the lockout", "C HELO;S 220;C AUTH;S 535;C AUTH;S 450"},
	{"no common version", "C HELO;S 505"},
	{"whatever is no HELO closes", "C SEND n=1;S 503 n=1"},
	{"a line that is no frame closes in Opened", "C!;S 500"},
	{"and costs itself only later", "C HELO;S 220;C!;S 500;C AUTH;S 230;C!;S 500;C LIVE"},
	{"a request of a later phase", "C HELO;S 220;C SEND n=1;S 530 n=1;C HELO;S 503;C AUTH;S 230"},
	{"one unanswered request at a time before the login, QUIT excepted", "C HELO;C AUTH;S 220;S 503"},
	{"QUIT may follow at once", "C HELO;C QUIT n=1;S 220;S 221 n=1"},
	{"many requests at once in Ready, and replies in their order", "C HELO;S 220;C AUTH;S 230;C SEND n=1;C ONLN n=2;C SEND n=3;S 201 n=1;S 111 n=2;S PRES;S 111 n=2;S 211 n=2;S 550 n=3"},
	{"a reply out of order is a fault", "C HELO;S 220;C AUTH;S 230;C SEND n=1;C SEND n=2;S 201 n=2"},
	{"so is one with a code that does not answer the request", "C HELO;S 220;C AUTH;S 230;C SEND n=1;S 202 n=1"},
	{"and one to nothing", "C HELO;S 220;C AUTH;S 230;S 200"},
	{"and one without the number of its request", "C HELO;S 220;C AUTH;S 230;C SEND n=1;S 201"},
	{"a run of 201", "C HELO;S 220;C AUTH;S 230;C SEND n=4;C SEND n=5;C SEND n=6;C SEND n=7;S 201 n=4-6;S 201 n=7"},
	{"a run may not pass over another request", "C HELO;S 220;C AUTH;S 230;C SEND n=4;C ONLN n=5;C SEND n=6;S 201 n=4-6"},
	{"nor be of another code", "C HELO;S 220;C AUTH;S 230;C SEND n=4;C SEND n=5;S 550 n=4-5"},
	{"nor be longer than what is unanswered", "C HELO;S 220;C AUTH;S 230;C SEND n=4;C SEND n=5;S 201 n=4-6"},
	{"replies that answer any request", "C HELO;S 220;C AUTH;S 230;C ONLN n=1;S 451 n=1;C BLOK n=2;S 429 n=2;C SEND n=3;S 455 n=3;C RVKE n=4;S 501 n=4"},
	{"an unknown verb", "C HELO;S 220;C AUTH;S 230;C ZZZZ n=1;S 500 n=1;C LIVE"},
	{"an unknown event, in every phase", "S ZZZZ;C HELO;S ZZZZ;S 220;S ZZZZ;C AUTH;S 230;S ZZZZ"},
	{"an unknown reply counts as the x00 of its class", "C HELO;S 220;C AUTH;S 230;C SEND n=1;S 199 n=1;S 299 n=1;C SEND n=2;S 499 n=2;C SEND n=3;S 599 n=3"},
	{"an unknown reply does not change the phase", "C HELO;S 299"},
	{"421 answers nothing, in every phase", "C HELO;S 421"},
	{"GBYE and a request cross", "C HELO;S 220;C AUTH;S 230;C SEND n=1;S GBYE;C SEND n=2;EOF"},
	{"nothing may follow QUIT", "C HELO;S 220;C AUTH;S 230;C QUIT n=1;C SEND n=2;S 221 n=1"},
	{"a QUIT that is refused ends nothing", "C HELO;S 220;C AUTH;S 230;C QUIT n=1;S 501 n=1;C SEND n=2;S 201 n=2"},
	{"an event that has no place in the phase", "C HELO;S MESG"},
	{"LIVE from both ends", "C LIVE;S LIVE;C HELO;C LIVE;S LIVE;S 220;S LIVE"},
	{"ACKD is answered where it is not allowed", "C HELO;S 220;C ACKD;S 530"},
	{"the tenth bad line in a row is one too many", "C HELO;S 220;C AUTH;S 230;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;C!;S 500;S GBYE"},
	{"a request that is answered ends the row", "C HELO;S 220;C AUTH;S 230;C!;C!;C!;C!;C!;C!;C!;C!;C!;C ONLN;C!"},
}

func TestVectorsPhases(t *testing.T) {
	var cases []phaseVector
	for _, c := range phaseCases {
		v := phaseVector{Why: c.why}
		m := V1.Machine()
		for s := range strings.SplitSeq(c.steps, ";") {
			result := "allowed"
			if err := stepVector(t, m, s); err != nil {
				result = err.Error()
			}
			v.Steps = append(v.Steps, phaseStep{s, result, m.Phase().String(), m.Unanswered()})
		}
		cases = append(cases, v)
	}
	vectors(t, "phases.json", "Sequences of frames, and what the tables of SPEC sections 4.1 and 5.1 say of each.", cases)
}

// stepVector takes one frame through a machine. The error is what a vector
// says of it.
func stepVector(t *testing.T, m *Machine, step string) error {
	who, rest, _ := strings.Cut(step, " ")
	name, n, _ := strings.Cut(rest, " n=")
	code, _ := ParseCode(name)
	lo, hi, ok := NewFrame(code, "", "n", n).Range("n")
	if n == "" {
		lo, hi, ok = 0, 0, true
	}
	if !ok {
		t.Fatalf("bad step %q", step)
	}
	var err error
	switch {
	case who == "EOF":
		m.EOF()
	case who == "C!":
		if m.BadLine() {
			return errors.New("one too many")
		}
	case who == "C":
		err = m.Request(code, lo)
	case code.IsReply():
		err = m.Reply(code, lo, hi)
	default:
		err = m.Event(code)
	}
	var refused *Error
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("refused by %v", refused.Code)
	case err != nil:
		return errors.New("a fault of the server")
	}
	return nil
}

// A consentVector is a row of the table of consent.
type consentVector struct {
	State string `json:"state"`
	Event string `json:"event"`
	Next  string `json:"next"`
	Reply string `json:"reply,omitempty"`
	Tell  string `json:"tell,omitempty"`
	Why   string `json:"why,omitempty"`
}

func TestVectorsConsent(t *testing.T) {
	var cases []consentVector
	for _, r := range ConsentRules() {
		v := consentVector{State: r.State.String(), Event: r.Event.String(), Next: r.Next.String(), Why: r.Why}
		if r.Reply != 0 {
			v.Reply = r.Reply.String()
		}
		if r.Notify != 0 {
			v.Tell = r.Notify.String()
		}
		cases = append(cases, v)
	}
	vectors(t, "consent.json", "The table of consent (SPEC section 8.2), a row for each state and event.", cases)
}
