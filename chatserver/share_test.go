package chatserver

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// TestShareOfMailReadBack: of what waits of each sender is known how much it
// is on the wire, also when the store, which knows that only about, has given
// it back.
func TestShareOfMailReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		srv := &Server{Accounts: revAccounts, Store: st, MailboxMessages: 40}
		enter := func(user string) io.Writer {
			nc, _ := revConn(srv)
			go io.Copy(io.Discard, nc)
			revLogin(nc, user)
			synctest.Wait()
			return nc
		}
		a, c := enter("A"), enter("C")
		for n := 1; n <= 10; n++ {
			fmt.Fprintf(a, "SEND n=%d to=B :%s\r\n", n, strings.Repeat(`\n`, 1000))
			fmt.Fprintf(c, "SEND n=%d to=B :x\r\n", n)
		}
		synctest.Wait()
		srv.Close()
		srv = &Server{Accounts: revAccounts, Store: st, MailboxMessages: 40}
		defer srv.Close()
		c = enter("C")
		fmt.Fprint(c, "SEND n=11 to=B :one more than a quarter of all\r\n")
		b := enter("B")
		u, _ := srv.startedUser("B")
		shares := func() {
			t.Helper()
			u.box.mu.Lock()
			defer u.box.mu.Unlock()
			want := make(map[*user]share)
			for _, w := range u.box.queue[u.box.head:] {
				want[w.from] = share{want[w.from].n + 1, want[w.from].size + w.size}
			}
			for from, has := range u.box.bySender {
				if has != want[from] {
					t.Errorf("of %s there are %v in %d octets, and should be %v", from.name, has.n, has.size, want[from])
				}
			}
			if u.box.bySender == nil {
				t.Error("nothing is counted")
			}
		}
		shares()
		fmt.Fprint(b, "ACKD count=12\r\n")
		synctest.Wait()
		shares()
	})
}
