package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parleyproto/parley/chatclient/internal/crashfs"
	"github.com/parleyproto/parley/chatclient/internal/journal"
)

const name = "dir/state"

// A script writes words to a journal: its state is all of them, and a rewrite
// leaves one batch with all of them.
type script struct {
	words   string // promised
	attempt string // what may be there as well
}

func (s *script) run(fs journal.FS) error {
	j, batches, err := journal.Open(fs, name)
	if err != nil {
		return err
	}
	defer j.Close()
	s.words = string(bytes.Join(batches, nil))
	s.attempt = s.words
	if len(batches) == 0 {
		s.attempt = "begin "
		if err := j.Rewrite([]byte("begin ")); err != nil {
			return err
		}
		s.words = "begin "
	}
	for i := range 6 {
		word := strings.Repeat(string(rune('a'+i)), 1+i*30) + " "
		s.attempt = s.words + word
		if i == 3 {
			err = j.Rewrite([]byte(s.attempt))
		} else {
			err = j.Append([]byte(word))
		}
		if err != nil {
			return err
		}
		s.words = s.attempt
	}
	return nil
}

func read(t *testing.T, fs journal.FS) string {
	t.Helper()
	j, batches, err := journal.Open(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	return string(bytes.Join(batches, nil))
}

// What was promised is there after a cut at any step, and after one while the
// file is opened again; nothing else is there but the batch that was being
// written, whole.
func TestCuts(t *testing.T) {
	for _, begun := range []bool{false, true} {
		for seed := range uint64(40) {
			dice := rand.New(rand.NewPCG(seed, 1))
			for cut := 1; ; cut++ {
				fs := &crashfs.FS{}
				old := ""
				if begun {
					var before script
					if err := before.run(fs); err != nil {
						t.Fatal(err)
					}
					old = before.words
				}
				begin := fs.Steps
				fs.Step = func(string) error {
					if fs.Steps-begin == cut {
						fs.Cut()
						return crashfs.ErrCut
					}
					return nil
				}
				s := script{words: old, attempt: old}
				if s.run(fs) == nil {
					if cut < 20 {
						t.Fatalf("only %d steps", cut)
					}
					break
				}
				next := fs.Killed()
				if dice.IntN(2) == 0 {
					next = fs.PowerCut(dice)
				}
				for range dice.IntN(2) { // opened by a program that dies at once
					before := read(t, next)
					next = next.PowerCut(dice)
					if after := read(t, next); after != before {
						t.Fatalf("seed %d, cut %d: %q was read, then %q", seed, cut, before, after)
					}
				}
				if got := read(t, next); got != s.words && got != s.attempt {
					t.Fatalf("seed %d, cut %d: %q, want %q or %q", seed, cut, got, s.words, s.attempt)
				}
			}
		}
	}
}

// A batch that failed is not found later, when the journal says so, and never
// in part; a rewrite heals.
func TestFaults(t *testing.T) {
	for fault := 1; fault < 30; fault++ {
		fs := &crashfs.FS{}
		fs.Step = func(string) error {
			if fs.Steps == fault {
				return syscall.ENOSPC
			}
			return nil
		}
		var s script
		if err := s.run(fs); err == nil && fault < 20 {
			t.Errorf("fault %d was not told", fault)
		}
		fs.Step = nil
		if got := read(t, fs); got != s.words && got != s.attempt {
			t.Fatalf("fault %d: %q, want %q or %q", fault, got, s.words, s.attempt)
		}
	}

	fs := &crashfs.FS{}
	j, _, err := journal.Open(fs, name)
	if err := errors.Join(err, j.Rewrite([]byte("begin ")), j.Append([]byte("one "))); err != nil {
		t.Fatal(err)
	}
	full := true
	fs.Step = func(what string) error {
		if full && (what == "write" || strings.HasPrefix(what, "open")) {
			return syscall.ENOSPC
		}
		return nil
	}
	if err := j.Append([]byte("two ")); !errors.Is(err, syscall.ENOSPC) || !j.Clean() || !j.Broken() {
		t.Errorf("%v, clean %v, broken %v", err, j.Clean(), j.Broken())
	}
	if err := j.Append([]byte("three ")); !errors.Is(err, journal.ErrBroken) {
		t.Error(err)
	}
	if err := j.Rewrite([]byte("begin one three ")); !errors.Is(err, syscall.ENOSPC) || !j.Clean() {
		t.Errorf("%v, clean %v", err, j.Clean())
	}
	if got := string(fs.Data(name)); strings.Contains(got, "two") || strings.Contains(got, "three") {
		t.Errorf("the file is %q", got)
	}
	full = false
	if err := errors.Join(j.Rewrite([]byte("begin one three ")), j.Append([]byte("four "))); err != nil {
		t.Error(err)
	}
	if got := read(t, fs.PowerCut(rand.New(rand.NewPCG(1, 1)))); got != "begin one three four " {
		t.Errorf("got %q", got)
	}
}

// A flipped bit is found, or is indistinguishable from a last write that was
// cut short; a shorter file likewise.
func TestDamage(t *testing.T) {
	fs := &crashfs.FS{}
	var s script
	if err := s.run(fs); err != nil {
		t.Fatal(err)
	}
	data := fs.Data(name)
	last := bytes.LastIndex(data, []byte(strings.Repeat("f", 151))) - 16
	cut := s.words[:strings.Index(s.words, "f")]
	for bit := range 8 * len(data) {
		bad := bytes.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		fs := &crashfs.FS{}
		fs.Put(name, bad)
		_, batches, err := journal.Open(fs, name)
		switch {
		case bit/8 >= last:
			if got := string(bytes.Join(batches, nil)); err != nil || got != cut {
				t.Fatalf("bit %d: %q, %v", bit, got, err)
			}
		case bit/8 < 8:
			if !errors.Is(err, journal.ErrForeign) {
				t.Fatalf("bit %d: %v", bit, err)
			}
		case !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), name):
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for size := range data {
		fs := &crashfs.FS{}
		fs.Put(name, data[:size])
		_, batches, err := journal.Open(fs, name)
		if got := string(bytes.Join(batches, nil)); err == nil && !strings.HasPrefix(s.words, got) {
			t.Fatalf("%d octets: %q", size, got)
		}
	}
}

func headerOf(version uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte("parleys\x00"), version)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// A file of the version before is read, and written anew before anything is
// added to it: what is new in it must not be found by a program that would
// take it for something else.
func TestOlder(t *testing.T) {
	fs := &crashfs.FS{}
	var s script
	if err := s.run(fs); err != nil {
		t.Fatal(err)
	}
	old := append(headerOf(1), fs.Data(name)[16:]...)
	fs = &crashfs.FS{}
	fs.Put(name, old)
	j, batches, err := journal.Open(fs, name)
	if got := string(bytes.Join(batches, nil)); err != nil || got != s.words {
		t.Fatalf("%q, want %q (%v)", got, s.words, err)
	}
	if err := j.Append([]byte("more")); !errors.Is(err, journal.ErrBroken) || !j.Broken() || !j.Clean() {
		t.Errorf("something was added: %v", err)
	}
	if err := errors.Join(j.Rewrite([]byte(s.words+"new ")), j.Append([]byte("more")), j.Close()); err != nil {
		t.Fatal(err)
	}
	if data := fs.Data(name); !bytes.HasPrefix(data, headerOf(2)) || read(t, fs) != s.words+"new more" {
		t.Errorf("the file is %q", data)
	}
	fs = &crashfs.FS{}
	fs.Put(name, headerOf(0))
	if _, _, err := journal.Open(fs, name); !errors.Is(err, journal.ErrVersion) {
		t.Error(err)
	}
}

// A file of a later version, or of something else, is left alone.
func TestForeign(t *testing.T) {
	later := headerOf(3)
	for content, want := range map[string]error{
		string(later): journal.ErrVersion, "Dear diary,\n": journal.ErrForeign, "parleys": journal.ErrForeign,
	} {
		fs := &crashfs.FS{}
		fs.Put(name, []byte(content))
		_, _, err := journal.Open(fs, name)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), name) || string(fs.Data(name)) != content {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// On a disk: nobody else reads the file, nor opens it while it is open, also
// after it was written anew.
func TestDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	j, batches, err := journal.Open(journal.Disk, path)
	if err != nil || len(batches) != 0 {
		t.Fatal(batches, err)
	}
	inUse := func() {
		t.Helper()
		if _, _, err := journal.Open(journal.Disk, path); !errors.Is(err, journal.ErrInUse) || !strings.Contains(err.Error(), path) {
			t.Errorf("opened twice: %v", err)
		}
	}
	inUse()
	if err := errors.Join(j.Rewrite([]byte("a")), j.Append([]byte("b"))); err != nil {
		t.Fatal(err)
	}
	inUse()
	if err := errors.Join(j.Rewrite([]byte("ab")), j.Append([]byte("c"))); err != nil {
		t.Fatal(err)
	}
	inUse()
	if is, err := os.Stat(path); err != nil || is.Mode().Perm() != 0o600 {
		t.Error(is.Mode(), err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	j, batches, err = journal.Open(journal.Disk, path)
	if err != nil || string(bytes.Join(batches, nil)) != "abc" {
		t.Fatal(batches, err)
	}
	j.Close()
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Error(files)
	}
	for _, bad := range []string{filepath.Dir(path), "/dev/null", filepath.Join(path, "x")} {
		if _, _, err := journal.Open(journal.Disk, bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The log is written anew when it has grown to four times its snapshot, and
// some size.
func TestGrown(t *testing.T) {
	fs := &crashfs.FS{}
	j, _, _ := journal.Open(fs, name)
	if err := j.Rewrite(make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	appended := 0
	for ; !j.Grown(); appended++ {
		if err := j.Append(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if appended < 55 || appended > 65 {
		t.Errorf("grown after %d kB", appended)
	}
	if j.PutOff(); j.Grown() {
		t.Error("was not put off")
	}
}
