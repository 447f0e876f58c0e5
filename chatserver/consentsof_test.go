package chatserver

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// The end of a session, and LSTN, look at the consents of one user, however
// many others there are.
func BenchmarkConsentsOf(b *testing.B) {
	srv := &Server{Accounts: revAccounts}
	defer srv.Close()
	u, err := srv.startedUser("A")
	if err != nil {
		b.Fatal(err)
	}
	crowdConsents(srv, 100_000)
	for b.Loop() {
		srv.consentsOf(u, "logout")
	}
}

func crowdConsents(srv *Server, n int) {
	cs := &srv.consents
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for i := range n {
		cs.enter(srv, pair{&user{name: fmt.Sprint("a", i)}, &user{name: fmt.Sprint("b", i)}}, chatproto.ConsentRequested, time.Now())
	}
}

// What is kept by user is what is kept by pair, and nothing when that is gone.
func TestConsentsByUser(t *testing.T) {
	srv := &Server{Accounts: revAccounts}
	defer srv.Close()
	if err := srv.start(); err != nil {
		t.Fatal(err)
	}
	cs, rng := &srv.consents, rand.New(rand.NewPCG(1, 2))
	var users [6]*user
	for i := range users {
		users[i] = &user{name: fmt.Sprint("u", i)}
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for range 2000 {
		p := pair{users[rng.IntN(3)], users[3+rng.IntN(3)]}
		if rng.IntN(2) == 0 {
			p.asker, p.owner = p.owner, p.asker
		}
		if rng.IntN(2) == 0 {
			cs.enter(srv, p, chatproto.ConsentGranted, time.Now())
		} else {
			cs.drop(p)
		}
		n := 0
		for u, ps := range cs.of {
			for q := range ps {
				if n++; cs.pairs[q] == nil || q.asker != u && q.owner != u {
					t.Fatalf("%s has a consent that is none of his", u.name)
				}
			}
			if len(ps) == 0 {
				t.Fatalf("%s has none and is kept", u.name)
			}
		}
		if n != 2*len(cs.pairs) {
			t.Fatalf("%d consents are kept %d times by user, not twice", len(cs.pairs), n)
		}
	}
	for p := range cs.pairs {
		cs.drop(p)
	}
	if len(cs.of) > 0 {
		t.Error("who has no consent any more is kept")
	}
}
