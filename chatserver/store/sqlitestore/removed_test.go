package sqlitestore

import (
	"iter"
	"path/filepath"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// TestRemovedAccountStaysOut: of rows that may have been deleted, a file that
// is made anew takes blocks, but no accounts.
func TestRemovedAccountStaysOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	if err := s.Commit(t.Context(), &store.Batch{
		Blocks:   []store.Block{{Owner: "a", User: "b"}},
		Accounts: []store.Account{{User: "a", Verifier: "v"}, {User: "removed", Verifier: "v"}},
	}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	rows := func(ids ...uint64) iter.Seq2[sqlcore.Row, error] {
		return func(yield func(sqlcore.Row, error) bool) {
			db, err := openFile(path, "ro")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, id := range ids {
				row := sqlcore.Row{ID: id}
				if err := db.QueryRow("SELECT row FROM records WHERE id = ?", id).Scan(&row.Cell); err != nil {
					t.Fatal(err)
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
	other := filepath.Join(t.TempDir(), "db")
	s = openTest(t, other, Options{OnDamage: func(d Damage) { t.Log(d) }})
	if err := s.Fill(t.Context(), rows(2), rows(3, 1)); err != nil {
		t.Fatal(err)
	}
	st, err := s.Load(t.Context(), func(*store.Message) error { return nil })
	if err != nil || len(st.Accounts) != 1 || st.Accounts[0].User != "a" || len(st.Blocks) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}
