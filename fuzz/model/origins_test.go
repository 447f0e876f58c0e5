package model

import (
	"strings"
	"testing"
)

// lostDisk is a search in which the server loses its disk and the 230 that
// says so may be lost.
func lostDisk(r Restraint) Config {
	return Config{Name: r.String(), Messages: "BB", Logins: true, Restraint: r, Needless: true,
		Faults: Faults{Losses: 1, Crashes: 1, Drops: 1, Refusals: 1}}
}

// The server could wait for a sign that the client had its 230 before it says
// known=1. What is needed for that to be sound: a request or an ACKD, for LIVE
// may have been on its way before the 230; and stored, or else taken for not
// shown after a restart. Even then a client gives up, without need, what it
// sent on its first connection, or before a crash. That the client tells what
// it knows needs neither.
func TestRestraints(t *testing.T) {
	strict := func(r Restraint, f Faults) Config {
		return Config{Name: r.String() + ", and nothing given up", Messages: "B", Logins: true, Flight: true, Restraint: r, Faults: f}
	}
	for _, tt := range []struct {
		c     Config
		finds string
	}{
		{lostDisk(ShownInMemory), "LOST"},
		{lostDisk(ShownByLive), "LOST"},
		{lostDisk(ShownForgotten), ""},
		{lostDisk(ShownOnDisk), ""},
		{lostDisk(Told), ""},
		{strict(ShownForgotten, Faults{Crashes: 1}), "NEEDLESS"},
		{strict(ShownOnDisk, Faults{Drops: 1}), "NEEDLESS"},
		{strict(Told, Faults{Drops: 2, Crashes: 2, Refusals: 1}), ""},
	} {
		t.Run(tt.c.Name, func(t *testing.T) {
			if atMost() == Short && tt.finds == "" {
				t.Skip("not found in a short time")
			}
			r := Search(&tt.c, 0)
			t.Logf("%v\n%s", r, r.Story())
			if kind, _, _ := strings.Cut(r.Violation, ":"); kind != tt.finds {
				t.Errorf("found %q, want %s", r.Violation, tt.finds)
			}
		})
	}
}

// Where the guarantee ends (SPEC section 6.7) the search says so too.
func TestWhereItEnds(t *testing.T) {
	for _, tt := range []struct {
		c     Config
		finds string
	}{
		{Config{Name: "b", Messages: "B", Exceptions: true, Faults: Faults{Crashes: 1, Refusals: 1}}, "MAYBE DELIVERED"},
		{Config{Name: "c", Messages: "*", Exceptions: true, Faults: Faults{Crashes: 1, Ends: 1}}, "OUTSIDE ITS AUDIENCE"},
		{Config{Name: "d", Messages: "BB", Logins: true, Faults: Faults{Crashes: 1, Setbacks: 1}}, "LOST"},
	} {
		t.Run(tt.c.Name, func(t *testing.T) {
			r := Search(&tt.c, 0)
			t.Logf("%v\n%s", r, r.Story())
			if !strings.HasPrefix(r.Violation, tt.finds) {
				t.Errorf("found %q, want %s", r.Violation, tt.finds)
			}
		})
	}
}
