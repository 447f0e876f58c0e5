package chatserver_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// A user may have blocked so many others and no more; who is blocked already
// is no more. What changes nothing is answered, and writes nothing.
func TestBlocksLimit(t *testing.T) {
	limit := chatproto.V1.Limits.Blocks
	synctest.Test(t, func(t *testing.T) {
		many := chatserver.Credentials{"A": demo["A"]}
		for i := range limit + 1 {
			many[fmt.Sprint("u", i)] = "x"
		}
		st := newTestStore()
		srv := &chatserver.Server{Accounts: many, Store: st}
		defer srv.Close()
		a := login(t, srv, "A")
		n := 0
		ask := func(verb string, user int, want string) {
			t.Helper()
			n++
			a.say("%s n=%d user=u%d", verb, n, user)
			a.want(fmt.Sprintf("%s n=%d ", want, n))
		}
		for i := range limit {
			ask("BLOK", i, "200")
		}
		ask("BLOK", limit, "429")
		synctest.Wait()
		before, _ := st.counts()
		for range 10 {
			ask("BLOK", 7, "200")
			ask("UBLK", limit, "200")
			ask("BLOK", limit, "429")
		}
		synctest.Wait()
		if after, _ := st.counts(); after != before {
			t.Errorf("what changes nothing makes %d commits", after-before)
		}
		ask("UBLK", 7, "200")
		ask("BLOK", limit, "200")
		ask("BLOK", 7, "429")
	})
}
