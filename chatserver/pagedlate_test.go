package chatserver

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A slowReads is a store that gives back messages when it is let.
type slowReads struct {
	store.Store
	let chan struct{}
}

func (s *slowReads) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	<-s.let
	return s.Store.Messages(ctx, seqs)
}

// TestReadBackForNobody: what the store gives back when its reader has left is
// not kept in memory.
func TestReadBackForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &slowReads{memstore.New(), make(chan struct{})}
		srv := &Server{Accounts: revAccounts, Store: st}
		defer srv.Close()
		a, _ := revConn(srv)
		go io.Copy(io.Discard, a)
		revLogin(a, "A")
		for n := 1; n <= 100; n++ {
			fmt.Fprintf(a, "SEND n=%d to=B :%s\r\n", n, strings.Repeat("x", 1000))
			synctest.Wait()
		}
		u, _ := srv.startedUser("B")
		u.box.mu.Lock()
		u.box.pageOut()
		u.box.mu.Unlock()
		b, _ := revConn(srv)
		go io.Copy(io.Discard, b)
		revLogin(b, "B")
		synctest.Wait()
		b.Close()
		synctest.Wait()
		close(st.let)
		synctest.Wait()
		u.box.mu.Lock()
		defer u.box.mu.Unlock()
		kept := 0
		for _, w := range u.box.queue {
			if w.m != nil {
				kept++
			}
		}
		if n := u.box.len(); n != 100 || kept > 0 {
			t.Errorf("%d messages wait, and %d are in memory", n, kept)
		}
	})
}
