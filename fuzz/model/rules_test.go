package model

import (
	"strings"
	"testing"
)

// Every rule is needed: without it the search finds what is promised and not
// kept, and tells how.
func TestEveryRuleIsNeeded(t *testing.T) {
	left := make(map[Rule]bool)
	for r := WindowRoom; r <= OverIsOver; r++ {
		left[r] = true
	}
	for _, b := range Breaches {
		delete(left, b.Rule)
		t.Run(b.Section+" "+b.Instead, func(t *testing.T) {
			c := b.Config
			c.Name = c.Messages
			c.Without = append(c.Without, b.Rule)
			r := Search(&c, 2_000_000)
			t.Logf("%v\n%s", r, r.Story())
			if !strings.HasPrefix(r.Violation, b.Finds+":") {
				t.Errorf("found %q, want %s", r.Violation, b.Finds)
			}
			if len(r.Trace) == 0 || (b.Finds == "ENDLESS") != (r.Round > 0 && r.Round < len(r.Trace)) {
				t.Errorf("it is told in %d sentences, that go round from %d on", len(r.Trace), r.Round)
			}
		})
	}
	for r := range left {
		t.Errorf("rule %d is never left out", r)
	}
}

// With the same faults and all rules nothing is found.
func TestAllRulesSuffice(t *testing.T) {
	for _, b := range Breaches {
		c := b.Config
		c.Name, c.Without = c.Messages+", against: "+b.Instead, nil
		r := Search(&c, 0)
		if t.Log(r); r.Violation != "" {
			t.Errorf("%s", r.Story())
		}
	}
}
