package chatserver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// An origin is in use while its session is, however long ago it was written
// down: a client that was there for a week, and only listened, comes back after
// a restart to what it had.
func TestLongSessionSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		err := st.Commit(context.Background(), &store.Batch{
			Origins:  []store.Origin{{User: "A", Origin: 0xa1, Used: time.Now().Add(-7 * 24 * time.Hour).UnixMilli()}},
			Sessions: []store.Session{{User: "A", Origin: 0xa1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := &chatserver.Server{Accounts: demo, Store: st}
		if _, got := auth(t, srv, "A", "origin=a1 known=1"); got[:min(len(got), 34)] != "230 user=A new=0 known=1 high=0 ma" {
			t.Errorf("got %q", got)
		}
		srv.Close()
		wantSessions(t, st, store.Session{User: "A", Origin: 0xa1})
	})
}
