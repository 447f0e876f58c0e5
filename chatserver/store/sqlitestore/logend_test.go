package sqlitestore

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// A killed is a store whose server is killed in a commit: the log begins anew
// over what was there before, holds one commit that was acknowledged, and then
// the one that is interrupted.
type killed struct {
	file                []byte // the database
	before, after       []byte // the log before and after the commit
	index, indexAfter   []byte // of the log
	acked, interrupted  storetest.Model
	firstFrame, nFrames int // of the interrupted commit
}

func makeKilled(t *testing.T) *killed {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	k := new(killed)
	s := openTest(t, path, Options{})
	grow(t, s, &k.acked, 20)
	db, err := openFile(path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	var busy, all, done int
	if err := db.QueryRow("PRAGMA wal_checkpoint(RESTART)").Scan(&busy, &all, &done); err != nil || busy != 0 || done != all {
		t.Fatal(busy, all, done, err)
	}
	db.Close()
	read := func(suffix string) []byte {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	gen := storetest.NewGenerator(rand.New(rand.NewPCG(7, 7)).IntN)
	commit := func(m *storetest.Model) {
		b := gen.Batch(m)
		b.Messages = append(b.Messages, ruinMessage(1_000_000+uint64(len(m.Seqs()))))
		if err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		m.Apply(b)
	}
	commit(&k.acked)
	k.file, k.before, k.index = read(""), read("-wal"), read("-shm")
	k.interrupted = *k.acked.Clone()
	commit(&k.interrupted)
	k.after, k.indexAfter = read("-wal"), read("-shm")
	k.firstFrame, k.nFrames = frames(k.before), frames(k.after)-frames(k.before)
	if k.nFrames < 3 || !bytes.Equal(k.file, read("")) {
		t.Fatalf("the commit has %d frames", k.nFrames)
	}
	return k
}

// frames counts those that can be read.
func frames(log []byte) int {
	end, _ := scanLog(log)
	return end.frame
}

// open opens the store with such a log and index, and returns what is logged.
func (k *killed) open(t *testing.T, path string, log, index []byte) (s *Store, logged string) {
	t.Helper()
	for name, b := range map[string][]byte{"": k.file, "-wal": log, "-shm": index} {
		os.Remove(path + name)
		if b != nil {
			if err := os.WriteFile(path+name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var text bytes.Buffer
	s = openTest(t, path, Options{
		Logger:   slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnDamage: func(Damage) {},
	})
	return s, text.String()
}

// jumped is a store with commits lost, as it may be: the next Seq is beyond all
// that they had.
func jumped(m *storetest.Model) *storetest.Model {
	m = m.Clone()
	m.Apply(&store.Batch{Messages: []*store.Message{{Seq: m.State().LastSeq + 1<<32}}})
	return m
}

// TestInterruptedCommit: kill -9 at each write of a commit is nothing to warn
// of, and loses nothing that was acknowledged.
func TestInterruptedCommit(t *testing.T) {
	k := makeKilled(t)
	path := filepath.Join(t.TempDir(), "db")
	const frame = frameHead + pageSize
	start := logHead + k.firstFrame*frame
	dropped := 0
	for i := range k.nFrames {
		for _, written := range []int{0, 10, frameHead, frameHead + 1000, frame} { // of the frame
			for _, index := range [][]byte{k.index, nil} {
				at := start + i*frame + written
				log := append(bytes.Clone(k.after[:at]), k.before[min(at, len(k.before)):]...)
				s, logged := k.open(t, path, log, index)
				want := &k.acked
				if at == start+k.nFrames*frame {
					want = &k.interrupted
				}
				if d := want.Diff(s); d != "" && jumped(want).Diff(s) != "" {
					t.Fatalf("killed after %d octets of frame %d of %d: %s", written, i, k.nFrames, d)
				}
				if strings.Contains(logged, "WARN") || strings.Contains(logged, "ERROR") {
					t.Errorf("killed after %d octets of frame %d of %d: %s", written, i, k.nFrames, logged)
				}
				dropped += strings.Count(logged, droppedCommit)
				s.Close()
			}
		}
	}
	kept, err := filepath.Glob(path + "*ed*")
	if err != nil || len(kept) != 1 || kept[0] != path+"-wal.interrupted" {
		t.Errorf("kept %v, %v", kept, err)
	}
	if dropped < 2*k.nFrames {
		t.Errorf("%d interrupted commits were found", dropped)
	}
}

// TestInterruptedWithoutCopy: a commit whose last frame was not begun was
// never acknowledged, for sure.
func TestInterruptedWithoutCopy(t *testing.T) {
	k := makeKilled(t)
	path := filepath.Join(t.TempDir(), "db")
	at := logHead + k.firstFrame*(frameHead+pageSize) + frameHead + 1000
	s, logged := k.open(t, path, append(bytes.Clone(k.after[:at]), k.before[at:]...), k.index)
	if d := k.acked.Diff(s); d != "" {
		t.Error(d)
	}
	if want := "level=DEBUG msg=\"" + droppedCommit; !strings.Contains(logged, want) {
		t.Errorf("logged %q", logged)
	}
	if kept, _ := filepath.Glob(path + "*ed*"); len(kept) > 0 {
		t.Errorf("kept %v", kept)
	}
	st, err := s.Load(t.Context(), func(*store.Message) error { return nil })
	if err != nil || st.LastSeq != k.acked.State().LastSeq {
		t.Errorf("the last Seq is %d, %v", st.LastSeq, err)
	}
}

// TestDamagedLastCommit: an octet of a commit that was acknowledged is damage,
// if the log's index is there to say so, and is never passed over in silence.
func TestDamagedLastCommit(t *testing.T) {
	k := makeKilled(t)
	path := filepath.Join(t.TempDir(), "db")
	const frame = frameHead + pageSize
	for i := range k.nFrames {
		for _, at := range []int{9, 17, frameHead + 100} { // salt, checksum, page
			log := bytes.Clone(k.after)
			log[logHead+(k.firstFrame+i)*frame+at] ^= 1
			s, logged := k.open(t, path, log, k.indexAfter)
			if d := k.acked.Diff(s); d == "" || !strings.Contains(logged, "level=ERROR") {
				t.Errorf("frame %d of %d, octet %d, with the index: logged %q; %s", i, k.nFrames, at, logged, d)
			}
			s.Close()
			s, logged = k.open(t, path, log, nil)
			if !strings.Contains(logged, "level=ERROR") && !strings.Contains(logged, "level=INFO msg=\""+droppedCommit) {
				t.Errorf("frame %d of %d, octet %d: logged %q", i, k.nFrames, at, logged)
			}
			s.Close()
		}
	}
	if kept, _ := filepath.Glob(path + "-wal.damaged-*"); len(kept) != copies {
		t.Errorf("kept %v", kept)
	}
}

// TestCutLog: a log that lost its end is damaged, which only its index tells.
func TestCutLog(t *testing.T) {
	k := makeKilled(t)
	path := filepath.Join(t.TempDir(), "db")
	log := k.after[:logHead+(k.firstFrame+1)*(frameHead+pageSize)]
	_, logged := k.open(t, path, log, k.indexAfter)
	want := fmt.Sprintf("of the log only %d frames can be read, and %d were committed", k.firstFrame+1, k.firstFrame+k.nFrames)
	if !strings.Contains(logged, want) {
		t.Errorf("logged %q, want %q", logged, want)
	}
	r, err := Check(t.Context(), path)
	if err != nil || len(r.Damage) > 0 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

// TestCopiesAreFew: of files that were damaged again and again, the newest
// three are kept; with a file goes its log.
func TestCopiesAreFew(t *testing.T) {
	v := makeVictim(t, rand.New(rand.NewPCG(1, 1)), true)
	path := filepath.Join(t.TempDir(), "db")
	other, old := path+".damaged", path+".damaged-20200101T000000.000"
	for _, name := range []string{other, old, old + "-wal"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	last := []string{old, old + "-wal"}
	for n := 1; n <= 5; n++ {
		b := bytes.Clone(v.files[""])
		clear(b[pageSize : 2*pageSize])
		for name, content := range map[string][]byte{path: b, path + "-wal": v.files["-wal"]} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := openTest(t, path, Options{OnDamage: func(Damage) {}})
		if _, err := s.Load(t.Context(), func(*store.Message) error { return nil }); err != nil {
			t.Fatal(err)
		}
		s.Close()
		kept, err := filepath.Glob(path + ".damaged-*")
		if err != nil {
			t.Fatal(err)
		}
		want := append(last, kept[len(kept)-1])
		if n >= copies {
			want = want[len(want)-copies:]
		}
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Fatalf("kept after %d times (-want +got):\n%s", n, diff)
		}
		last = kept
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
