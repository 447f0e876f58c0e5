package sqlitestore

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// version1 are the batches that testdata/version1.db was written with, by the
// code that knew version 1.
func version1() []*store.Batch {
	var w chatproto.Window
	w.Decide(7, true)
	w.Decide(9, false)
	return []*store.Batch{{
		Messages: []*store.Message{
			{Seq: 1, From: "a", ID: chatproto.ID{Origin: 0xa1, N: 7}, Time: 1_700_000_000_000, Text: []byte("one"), Audience: []string{"b"}},
			{Seq: 2, From: "渡辺", ID: chatproto.ID{Origin: 1<<64 - 1, N: 1}, Time: 1, Cast: true, Text: make([]byte, 6000), Audience: []string{"a", "b"}},
			{Seq: 5, From: "b", Text: []byte("acknowledged"), Audience: []string{"a"}},
		},
		Origins:  []store.Origin{{User: "a", Origin: 0xa1, Window: w, Used: 5}, {User: "b", Origin: 2}},
		Blocks:   []store.Block{{Owner: "a", User: "c"}},
		Sessions: []store.Session{{User: "a", Origin: 0xa1}, {User: "b", Origin: 2}},
	}, {
		Acks:     []store.Ack{{Seq: 2, User: "b"}, {Seq: 5}},
		Origins:  []store.Origin{{User: "b", Origin: 2, Forget: true}},
		Sessions: []store.Session{{User: "b", Origin: 2, Ended: true}},
	}}
}

// TestVersion1: a file of the first version is read, and takes what later ones
// brought.
func TestVersion1(t *testing.T) {
	golden, err := os.ReadFile("testdata/version1.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, golden, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), path); err != nil || len(r.Damage) > 0 || r.Version != 1 || r.Messages != 2 {
		t.Errorf("before: %+v %v", r, err)
	}
	var model storetest.Model
	for _, b := range version1() {
		model.Apply(b)
	}
	s := openTest(t, path, Options{})
	if d := model.Diff(s); d != "" {
		t.Fatal(d)
	}
	more := &store.Batch{
		Accounts: []store.Account{{User: "a", Verifier: "v"}},
		Attempts: []store.Attempt{{User: "a", Source: "192.0.2.1/32", Fails: 1}},
		Secret:   []byte("secret"),
	}
	if err := s.Commit(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	model.Apply(more)
	s.Close()
	if d := model.Diff(openTest(t, path, Options{})); d != "" {
		t.Error(d)
	}
	if r, err := Check(t.Context(), path); err != nil || len(r.Damage) > 0 || r.Version != sqlcore.Version() || r.Accounts != 1 || r.Attempts != 1 {
		t.Errorf("afterwards: %+v %v", r, err)
	}
}

// TestMigrations: a step is done whole or not at all, and what is newer than
// the code is refused.
func TestMigrations(t *testing.T) {
	v1 := []string{"CREATE TABLE messages (seq INTEGER PRIMARY KEY, head BLOB, text BLOB); CREATE TABLE records (id INTEGER PRIMARY KEY, row BLOB); CREATE TABLE state (id INTEGER PRIMARY KEY, row BLOB); CREATE TABLE quarantine (id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, ref INTEGER, reason TEXT, row BLOB, text BLOB)"}
	open1 := func(path string, steps []string) (*Store, error) {
		return open(path, Options{Logger: quiet}, settings{migrations: steps})
	}
	version := func(path string) (n int) {
		db, err := openFile(path, "rw")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow("PRAGMA user_version").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	path := filepath.Join(t.TempDir(), "db")
	s, err := open1(path, v1)
	if err != nil {
		t.Fatal(err)
	}
	var model storetest.Model
	grow(t, s, &model, 10)
	s.Close()

	// A step that fails leaves everything as it was, the steps before it too.
	_, err = open1(path, append(v1, "CREATE TABLE extra (a)", "DELETE FROM messages; INSERT INTO nowhere VALUES (1)"))
	if err == nil || !strings.Contains(err.Error(), "migrating the database from version 1 to 3") {
		t.Fatalf("a migration that fails: %v", err)
	}
	if got := version(path); got != 1 {
		t.Fatalf("version %d after a migration that failed", got)
	}
	if r, err := Check(t.Context(), path); err != nil || len(r.Damage) > 0 || r.Messages != len(model.Seqs()) {
		t.Fatalf("after a migration that failed: %+v %v", r, err)
	}
	if damaged, _ := filepath.Glob(path + ".*d*"); len(damaged) > 0 {
		t.Fatalf("a migration that failed is taken for damage: %v", damaged)
	}

	v3 := append(v1, "CREATE TABLE extra (a)", "INSERT INTO extra VALUES (7)")
	s, err = open1(path, v3)
	if err != nil {
		t.Fatal(err)
	}
	if d := model.Diff(s); d != "" {
		t.Error(d)
	}
	grow(t, s, &model, 0)
	s.Close()
	if got := version(path); got != 3 {
		t.Errorf("version %d, want 3", got)
	}
	var a int
	db, _ := sql.Open("sqlite", path)
	if err := db.QueryRow("SELECT a FROM extra").Scan(&a); err != nil || a != 7 {
		t.Errorf("the migration did not do its work: %d %v", a, err)
	}
	db.Close()

	// What is newer than this code is refused, and not touched.
	before, _ := os.ReadFile(path)
	if _, err := open1(path, v1); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 3, this one reads up to 1") {
		t.Errorf("a newer file: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a newer file was changed")
	}
}
