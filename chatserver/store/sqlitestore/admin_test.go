package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// grow commits n random batches.
func grow(t *testing.T, s store.Store, model *storetest.Model, n int) {
	t.Helper()
	gen := storetest.NewGenerator(rand.New(rand.NewPCG(1, 2)).IntN)
	for range n {
		b := gen.Batch(model)
		if err := s.Commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		model.Apply(b)
	}
}

// sqlExec changes the file at path behind the store's back.
func sqlExec(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db, err := openFile(path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestCheckOfASoundStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	var model storetest.Model
	grow(t, s, &model, 30)
	for _, when := range []string{"open", "closed"} {
		r, err := Check(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		st := model.State()
		if len(r.Damage) > 0 || r.Messages != len(model.Seqs()) || r.Origins != len(st.Origins) || r.Blocks != len(st.Blocks) ||
			r.Sessions != len(st.Sessions) || r.Accounts != len(st.Accounts) || r.Attempts != len(st.Attempts) ||
			r.Accounts == 0 || r.Attempts == 0 || r.LastSeq != st.LastSeq || r.Commits == 0 || r.Version != sqlcore.Version() || r.Mailboxes == 0 {
			t.Errorf("%s: %+v", when, r)
		}
		s.Close()
	}
}

func TestCheckFindsDamage(t *testing.T) {
	for _, c := range []struct{ name, damage, want string }{
		{"text", "UPDATE messages SET text = 'x' WHERE seq = 2", "message 2: the checksum of the text is wrong"},
		{"head", "UPDATE messages SET head = substr(head, 1, 9) WHERE seq = 2", "message 2: the row is cut short"},
		{"place", "UPDATE messages SET seq = 77 WHERE seq = 2", "message 77: the row is not in its place"},
		{"gone", "DELETE FROM messages WHERE seq = 2", "message: there are 2 and should be 3"},
		{"record", "UPDATE records SET row = zeroblob(50)", "record 1: the checksum is wrong"},
		{"state", "UPDATE state SET row = zeroblob(12)", "state 1: the checksum is wrong"},
		{"another kind", "UPDATE messages SET head = (SELECT row FROM records WHERE id = 1) WHERE seq = 1", "message 1: the row is not in its place"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			s := openTest(t, path, Options{})
			b := &store.Batch{Blocks: []store.Block{{Owner: "a", User: "b"}}}
			for seq := range uint64(3) {
				b.Messages = append(b.Messages, &store.Message{Seq: seq + 1, From: "a", Text: []byte("text"), Audience: []string{"b"}})
			}
			if err := s.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			s.Close()
			sqlExec(t, path, c.damage)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Check(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Damage, func(d Damage) bool { return d.String() == c.want }) {
				t.Errorf("damage %v, want %q", r.Damage, c.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the check changed the file")
			}
		})
	}
}

// TestQuarantine: a damaged row is put aside and told once; the others stay.
func TestQuarantine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	b := &store.Batch{Sessions: []store.Session{{User: "a", Origin: 1}, {User: "b", Origin: 2}}}
	for seq := range uint64(4) {
		b.Messages = append(b.Messages, &store.Message{Seq: seq + 1, From: "a", Text: []byte("text"), Audience: []string{"b"}})
	}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.Close()
	sqlExec(t, path, "UPDATE messages SET head = zeroblob(40) WHERE seq = 1; UPDATE messages SET text = 'TEXT' WHERE seq = 3; UPDATE records SET row = zeroblob(40) WHERE id = 2")
	var damage []string
	opts := Options{Logger: quiet, OnDamage: func(d Damage) { damage = append(damage, d.String()) }}
	s = openTest(t, path, opts)
	var seqs []uint64
	st, err := s.Load(t.Context(), func(m *store.Message) error { seqs = append(seqs, m.Seq); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seqs, []uint64{2, 3, 4}) || st.LastSeq != 4 || len(st.Sessions) != 1 || st.Sessions[0].User != "a" {
		t.Errorf("loaded %v, %+v", seqs, st)
	}
	ms, err := s.Messages(t.Context(), []uint64{1, 2, 3, 4})
	if err != nil || ms[0] != nil || ms[1] == nil || ms[2] != nil || ms[3] == nil {
		t.Errorf("messages %v, %v", ms, err)
	}
	want := []string{"record 2: the checksum is wrong", "message 1: the checksum is wrong", "message 3: the checksum of the text is wrong"}
	if !slices.Equal(damage, want) {
		t.Errorf("told %q, want %q", damage, want)
	}
	s.Close()
	damage = nil
	s = openTest(t, path, opts)
	if ms, err := s.Messages(t.Context(), []uint64{1, 2, 3, 4}); err != nil || ms[1] == nil || ms[2] != nil {
		t.Errorf("messages %v, %v", ms, err)
	}
	if r, err := Check(t.Context(), path); err != nil || len(r.Damage) > 0 || r.Quarantined != 3 || r.Messages != 2 || len(damage) > 0 {
		t.Errorf("afterwards: %+v, %v, told %q", r, err, damage)
	}
}

// TestBackup: copies made while batches are committed are each the store as
// it was at one moment.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, filepath.Join(dir, "db"), Options{})
	const size = 20
	batch := func(i uint64) *store.Batch {
		b := &store.Batch{
			Origins:  []store.Origin{{User: "a", Origin: 1, Used: int64(i)}},
			Sessions: []store.Session{{User: "a", Origin: 1}},
			Attempts: []store.Attempt{{User: "a", Fails: int(i + 1)}},
		}
		for j := range uint64(size) {
			b.Messages = append(b.Messages, &store.Message{Seq: i*size + j + 1, From: "a", Text: make([]byte, 300), Audience: []string{"b"}})
		}
		return b
	}
	if err := s.Commit(t.Context(), batch(0)); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), sync.WaitGroup{}
	done.Go(func() {
		for i := uint64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Commit(context.Background(), batch(i)); err != nil {
				t.Error(err)
			}
		}
	})
	for _, name := range []string{"b1", "b 2?", "b3"} {
		file := filepath.Join(dir, name)
		r, err := s.Backup(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Damage) > 0 || r.Messages%size != 0 || r.Messages == 0 {
			t.Errorf("%+v", r)
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", fi, err)
		}
		if _, err := s.Backup(t.Context(), file); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second backup to the same file: %v", err)
		}
		c := openTest(t, file, Options{})
		n := 0
		st, err := c.Load(t.Context(), func(m *store.Message) error { n++; return nil })
		if err != nil || n != r.Messages || int(st.LastSeq) != n || st.Attempts[0].Fails != n/size || len(st.Origins)+len(st.Sessions) > 0 {
			t.Errorf("the backup holds %d messages, %+v, %v", n, st, err)
		}
		c.Close()
	}
	close(stop)
	done.Wait()
	left, err := filepath.Glob(filepath.Join(dir, "*partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(ctx, filepath.Join(dir, "b4")); err == nil {
		t.Error("a backup that was given up succeeds")
	}
	if _, err := os.Stat(filepath.Join(dir, "b4")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup that was given up leaves a file: %v", err)
	}
	if _, err := Backup(t.Context(), filepath.Join(dir, "none"), filepath.Join(dir, "b5")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup of nothing: %v", err)
	}
}

// TestForeignFile: what is no database of ours is refused, not repaired.
func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	db, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t (a); PRAGMA user_version = 3; PRAGMA application_id = 1234567890"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("my dear diary\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, text} {
		before, _ := os.ReadFile(path)
		if _, err := Open(path, Options{Logger: quiet}); err == nil || !strings.Contains(err.Error(), "not a chatd database") {
			t.Errorf("%s: %v", path, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
}

// TestCheckOfALog: a log that a crash left is read, judged, and left there.
func TestCheckOfALog(t *testing.T) {
	v := makeVictim(t, rand.New(rand.NewPCG(1, 1)), true)
	path := filepath.Join(t.TempDir(), "db")
	check := func(log []byte) *Report {
		for name, content := range map[string][]byte{path: v.files[""], path + "-wal": log} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Check(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{path: v.files[""], path + "-wal": log} {
			if after, _ := os.ReadFile(name); !bytes.Equal(content, after) {
				t.Errorf("the check changed %s", name)
			}
		}
		return r
	}
	log := v.files["-wal"]
	if r := check(log); len(r.Damage) > 0 || r.Messages != len(v.model.Seqs()) {
		t.Errorf("a sound log: %+v", r)
	}
	log = bytes.Clone(log)
	log[logHead+2*frameHead+pageSize+9] ^= 1
	if r := check(log); len(r.Damage) == 0 || r.Damage[0].Kind != "log" {
		t.Errorf("a damaged log: %+v", r)
	}
}

// TestRebuildIsFinished: a crash between the making of the new file and its
// taking the place of the damaged one loses nothing, and mixes nothing.
func TestRebuildIsFinished(t *testing.T) {
	old := makeVictim(t, rand.New(rand.NewPCG(1, 1)), true)
	rebuilt := makeVictim(t, rand.New(rand.NewPCG(2, 2)), false)
	path := filepath.Join(t.TempDir(), "db")
	for name, content := range map[string][]byte{path: old.files[""], path + "-wal": old.files["-wal"], path + ".rebuilt": rebuilt.files[""]} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if d := rebuilt.model.Diff(openTest(t, path, Options{})); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(path + ".rebuilt"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestRebuildKeepsTheDamagedFile: what a file was rebuilt from can be looked
// at later, and a whole damaged page costs what stood on it.
func TestRebuildKeepsTheDamagedFile(t *testing.T) {
	v := makeVictim(t, rand.New(rand.NewPCG(1, 1)), false)
	path := filepath.Join(t.TempDir(), "db")
	for _, page := range []int{1, 2, 3, 4, 6} { // the head, the roots, a leaf
		b := bytes.Clone(v.files[""])
		clear(b[(page-1)*pageSize : page*pageSize])
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage []string
		s := openTest(t, path, Options{Logger: quiet, OnDamage: func(d Damage) { damage = append(damage, d.String()) }})
		lost, wrong := v.compare(s, &damage)
		s.Close()
		kept, err := filepath.Glob(path + ".damaged-*")
		if wrong != "" || err != nil || len(kept) == 0 || len(damage) == 0 || lost > 60 {
			t.Errorf("page %d: %d lost, %s, kept %v, damage %v", page, lost, wrong, kept, damage)
		}
		if got, err := os.ReadFile(kept[0]); err != nil || len(got) != len(b) {
			t.Errorf("page %d: the damaged file was not kept: %v", page, err)
		}
		t.Logf("page %d: %d lost, damage %v", page, lost, damage)
		for _, name := range kept {
			os.Remove(name)
		}
	}
}
