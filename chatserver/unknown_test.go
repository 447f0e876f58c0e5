package chatserver_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// saltOf returns the salt that a server names for an account.
func saltOf(t *testing.T, srv *chatserver.Server, user string) string {
	t.Helper()
	c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", user, "x")
	c.greet()
	answer := c.begin()
	c.nc.Close()
	_, salt, ok := strings.Cut(answer, ",s=")
	if !ok {
		t.Fatalf("%q", answer)
	}
	return salt // with the iterations
}

// What a stranger sees of a name that does not exist is what he sees of one
// whose password he does not know, but for nonces and salts: by SCRAM and by
// PLAIN, with each kind of accounts, up to the lockout and beyond.
func TestUnknownNamesLookKnown(t *testing.T) {
	random := regexp.MustCompile(`r=[A-Za-z0-9+/=]{92},s=[A-Za-z0-9+/]{22}==,`)
	verifier := verifierOf(t, "passB", "sixteen octets!!", 6000)
	for why, accounts := range map[string]chatserver.Accounts{
		"passwords":    demo,
		"verifiers":    credentials(t, line("A", verifier), line("B", verifier)),
		"both":         credentials(t, "A passA", line("B", verifier)),
		"of the store": nil,
	} {
		for _, mech := range []string{"SCRAM-SHA-256", "PLAIN"} {
			t.Run(why+" "+mech, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := &chatserver.Server{Accounts: accounts}
					defer srv.Close()
					if accounts == nil {
						for _, user := range []string{"A", "B"} {
							if err := srv.SetPassword(t.Context(), user, "pass"+user); err != nil {
								t.Fatal(err)
							}
						}
					}
					transcript := func(user string) (seen []string) {
						for i := range 4 {
							c := newScramClient(t, dial(t, srv, fmt.Sprintf("127.0.0.1:%d", 5000+i)), mech, user, "wrong")
							c.greet()
							if mech == "PLAIN" {
								c.say("AUTH user=%s pass=wrong", user)
								seen = append(seen, c.next())
							} else if first := c.begin(); strings.HasPrefix(first, "334 ") {
								seen = append(seen, random.ReplaceAllString(first, "…"))
								c.prove(first)
								seen = append(seen, c.finish())
							} else {
								seen = append(seen, first)
							}
							c.nc.Close()
						}
						return seen
					}
					want := transcript("A")
					if last := want[len(want)-1]; !strings.HasPrefix(last, "450 retry=60000 ") {
						t.Errorf("at last it is %q", last)
					}
					for _, user := range []string{"B", "nobody"} {
						if diff := cmp.Diff(want, transcript(user)); diff != "" {
							t.Errorf("%s (-A +%s)\n%s", user, user, diff)
						}
					}
				})
			})
		}
	}
}

// The salt of a name is the same each time, also after a restart on the same
// store, whether there is such an account or not; and another for another name
// and another server.
func TestSaltsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		accounts := credentials(t, "A passA", line("B", verifierOf(t, "passB", "sixteen octets!!", 6000)))
		names := []string{"A", "B", "nobody", "nemo"}
		salts := make(map[string]string)
		seen := make(map[string]string)
		for range 3 {
			srv := &chatserver.Server{Accounts: accounts, Store: st}
			for _, user := range names {
				got := saltOf(t, srv, user)
				if salts[user] != "" && salts[user] != got {
					t.Errorf("%s has the salt %s, and had %s", user, got, salts[user])
				}
				if other := seen[got]; other != "" && other != user {
					t.Errorf("%s and %s have one salt", user, other)
				}
				salts[user], seen[got] = got, user
				if !strings.HasSuffix(got, ",i=6000") {
					t.Errorf("%s has the iterations of %s", user, got)
				}
			}
			if err := srv.Close(); err != nil {
				t.Fatal(err)
			}
		}
		other := &chatserver.Server{Accounts: accounts}
		defer other.Close()
		for _, user := range []string{"A", "nobody"} {
			if got := saltOf(t, other, user); got == salts[user] {
				t.Errorf("%s has the same salt on a server with another secret", user)
			}
		}
	})
}

// A name that does not exist has keys, but nobody can prove to have them: not
// by any password that could be guessed from outside.
func TestMadeUpKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		for i, password := range []string{"", "nobody"} {
			c := newScramClient(t, dial(t, srv, "127.0.0.1:5000"), "SCRAM-SHA-256", "nobody", password)
			if got, want := c.run(), fmt.Sprintf("535 left=%d", 2-i); !strings.HasPrefix(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}
