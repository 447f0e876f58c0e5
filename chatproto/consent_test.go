package chatproto_test

import (
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// TestConsentTable: every state has a row for every event, at the place where
// Step looks for it.
func TestConsentTable(t *testing.T) {
	rules := ConsentRules()
	i := 0
	for s := ConsentNone; s <= ConsentGranted; s++ {
		for e := ConsentAsk; e <= ConsentRekey; e++ {
			if rules[i].State != s || rules[i].Event != e || s.Step(e) != rules[i] {
				t.Errorf("row %d is of %v in %v, want %v in %v", i, rules[i].Event, rules[i].State, e, s)
			}
			i++
		}
	}
	if i != len(rules) {
		t.Errorf("%d rows, want %d", len(rules), i)
	}
	rules[0].Next = ConsentGranted
	if ConsentNone.Step(ConsentAsk).Next != ConsentRequested {
		t.Error("ConsentRules gives the table itself away")
	}
}

// TestConsentRules says what the rows have in common.
func TestConsentRules(t *testing.T) {
	replies := map[ConsentEvent]Code{ConsentAsk: ADDR, ConsentGrant: CNST, ConsentRevoke: RVKE}
	for _, r := range ConsentRules() {
		verb, asked := replies[r.Event]
		switch {
		case asked != (r.Reply != 0):
			t.Errorf("%v in %v: reply %v", r.Event, r.State, r.Reply)
		case asked && !V1.Answers(verb, r.Reply):
			t.Errorf("%v in %v: %v does not answer %v", r.Event, r.State, r.Reply, verb)
		case (r.Notify == RVKD) != (r.State == ConsentGranted && r.Next == ConsentNone):
			t.Errorf("%v in %v: a grant ends with RVKD, nothing else does", r.Event, r.State)
		case (r.Notify == RVKD) != (r.Why != ""):
			t.Errorf("%v in %v: why=%q", r.Event, r.State, r.Why)
		case (r.Notify == GETA) != (r.Next == ConsentGranted):
			t.Errorf("%v in %v: an address is told when a grant is there, and only then", r.Event, r.State)
		case r.Next > r.State+1:
			t.Errorf("%v in %v: nobody is granted what was not requested", r.Event, r.State)
		}
	}
}
