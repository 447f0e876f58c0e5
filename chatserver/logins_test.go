package chatserver

import (
	"context"
	"net/netip"
	"testing"
)

// The first step of SCRAM, and a password, take as many MACs for a name that
// has an account as for one that has none: the time tells nothing.
func TestUnknownNamesTakeTheSameWork(t *testing.T) {
	v, err := NewVerifier("passA")
	if err != nil {
		t.Fatal(err)
	}
	for why, accounts := range map[string]Accounts{
		"passwords":    Credentials{"A": "passA"},
		"verifiers":    Credentials{"A": v.String(), standIn: "15000"},
		"of the store": nil,
	} {
		t.Run(why, func(t *testing.T) {
			srv := &Server{Accounts: accounts}
			defer srv.Close()
			if accounts == nil {
				if err := srv.SetPassword(t.Context(), "A", "passA"); err != nil {
					t.Fatal(err)
				}
			} else if err := srv.start(); err != nil {
				t.Fatal(err)
			}
			macs := 0
			secret := srv.logins.deriver.secret
			srv.logins.deriver.secret = func() []byte { macs++; return secret() }
			work := func(user string) [2]int {
				var from netip.Prefix
				macs = 0
				if _, known, err := srv.verifier(t.Context(), user, from); err != nil || known != (user == "A") {
					t.Fatal(known, err)
				}
				scram := macs
				ctx := srv.logins.deriver.deriving(context.Background(), from)
				if ok, err := srv.accounts.CheckPassword(ctx, user, "passA"); err != nil || ok != (user == "A") {
					t.Fatal(ok, err)
				}
				return [2]int{scram, macs - scram}
			}
			if known, unknown := work("A"), work("B"); known != unknown {
				t.Errorf("by SCRAM and by PLAIN an account takes %v MACs, a name without one %v", known, unknown)
			}
		})
	}
}
