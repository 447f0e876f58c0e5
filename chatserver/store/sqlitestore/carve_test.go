package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// TestRoots: the carver knows where the tables begin, also in a backup.
func TestRoots(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, filepath.Join(dir, "db"), Options{})
	if _, err := s.Backup(t.Context(), filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db", "copy"} {
		db, err := openFile(filepath.Join(dir, name), "ro")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var got [2]uint32
		if err := db.QueryRow("SELECT (SELECT rootpage FROM sqlite_schema WHERE name = 'messages'), (SELECT rootpage FROM sqlite_schema WHERE name = 'records')").
			Scan(&got[0], &got[1]); err != nil || got != sqlcore.Roots {
			t.Errorf("%s: roots %v, %v", name, got, err)
		}
		var schema string
		if err := db.QueryRow("SELECT sql FROM sqlite_schema WHERE name = 'messages'").Scan(&schema); err != nil || schema != sqlcore.Mark {
			t.Errorf("%s: %q, %v", name, schema, err)
		}
	}
}

// TestLivePageInTheFreeList: a damaged list of free pages costs no page that
// a table has.
func TestLivePageInTheFreeList(t *testing.T) {
	const trunk, leaf = 32, 0x0d
	v := makeVictim(t, rand.New(rand.NewPCG(1, 1)), false)
	whole, tried := v.files[""], 0
	for no := uint32(2); int(no)*pageSize <= len(whole); no++ {
		b := bytes.Clone(whole)
		if b[(no-1)*pageSize] != leaf {
			continue
		}
		binary.BigEndian.PutUint32(b[trunk:], no)
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var tally flipTally
		if wrong := v.one(t, path, settings{}, &tally); wrong != "" || tally.lost > 0 {
			t.Errorf("page %d: %s, %d rows lost", no, wrong, tally.lost)
		}
		tried++
	}
	if tried < 10 {
		t.Errorf("only %d pages tried", tried)
	}
}

// TestDamagedApplicationID: a file of ours stays one, however the number that
// says so is damaged.
func TestDamagedApplicationID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	bigStore(t, path, 10)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		b[68+i] ^= 0xff
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	s := openTest(t, path, Options{OnDamage: func(Damage) { told++ }})
	ms, err := s.Messages(t.Context(), []uint64{1, 10})
	if err != nil || ms[0] == nil || ms[1] == nil || told != 1 {
		t.Errorf("%v, %v, told %d", ms, err, told)
	}
}
