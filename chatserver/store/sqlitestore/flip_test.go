package sqlitestore

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

var (
	flips    = flag.Int("flips", 300, "how many bits and bytes are flipped in the store's files")
	flipSeed = flag.Uint64("flipseed", 1, "of what is random")
)

// quiet discards the log.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// A victim is a store's files, and what is in them.
type victim struct {
	files map[string][]byte // by suffix: "" and "-wal"
	model storetest.Model
	past  map[string]bool // records as they were at some time
}

// makeVictim makes a store that has pages of every kind: inner ones, overflow,
// free ones. With log, it is as after a crash: the last commits are only there.
func makeVictim(t *testing.T, rnd *rand.Rand, log bool) *victim {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	v := &victim{files: make(map[string][]byte), past: make(map[string]bool)}
	gen := storetest.NewGenerator(rnd.IntN)
	s := openTest(t, path, Options{})
	commit := func(b *store.Batch) {
		t.Helper()
		if err := s.Commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		v.model.Apply(b)
		st := v.model.State()
		note(v.past, st.Origins)
		note(v.past, st.Blocks)
		note(v.past, st.Sessions)
		note(v.past, st.Accounts)
		note(v.past, st.Attempts)
		v.past[string(st.Secret)] = true
	}
	for range 40 {
		b := gen.Batch(&v.model)
		b.Acks = nil
		commit(b)
	}
	var seqs []uint64
	for i, seq := range v.model.Seqs() {
		if i > 60 && i < 110 { // some pages become free
			seqs = append(seqs, seq)
		}
	}
	del := &store.Batch{}
	for _, seq := range seqs {
		del.Acks = append(del.Acks, store.Ack{Seq: seq})
	}
	commit(del)
	if log { // leave something in the log, as a crash does
		s.Close()
		s = openTest(t, path, Options{})
		for range 5 {
			b := gen.Batch(&v.model)
			b.Acks = nil
			commit(b)
		}
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		if b, err := os.ReadFile(path + suffix); err == nil {
			v.files[suffix] = b
		}
	}
	return v
}

func note[T any](past map[string]bool, rows []T) {
	for _, r := range rows {
		past[fmt.Sprint(r)] = true
	}
}

// flip damages one of the files: mostly a bit, sometimes some octets, at any
// place or at one where it hurts. It returns what it did.
func (v *victim) flip(rnd *rand.Rand, path, suffix string) string {
	b := append([]byte(nil), v.files[suffix]...)
	at := rnd.IntN(len(b))
	switch rnd.IntN(5) {
	case 0:
		at = rnd.IntN(headSize)
	case 1: // the head of a page
		at = at/pageSize*pageSize + rnd.IntN(40)
	}
	at = min(at, len(b)-1)
	what := "bit"
	if rnd.IntN(4) == 0 {
		what = "octets"
		for i := at; i < min(at+1+rnd.IntN(4), len(b)); i++ {
			b[i] ^= byte(1 + rnd.IntN(255))
		}
	} else {
		b[at] ^= 1 << rnd.IntN(8)
	}
	for s, content := range v.files {
		if s == suffix {
			content = b
		}
		if err := os.WriteFile(path+s, content, 0o600); err != nil {
			panic(err)
		}
	}
	return fmt.Sprintf("%s at %d of %q (page %d, offset %d)", what, at, suffix, at/pageSize+1, at%pageSize)
}

// A flipTally counts what came of the flips.
type flipTally struct{ detected, harmless, lost, most int }

// one opens the damaged store, uses it, and opens it again. It returns "" if
// all that is stored was there, or the damage was told.
func (v *victim) one(t *testing.T, path string, set settings, tally *flipTally) string {
	var damage []string
	opts := Options{Logger: quiet, OnDamage: func(d Damage) { damage = append(damage, d.String()) }}
	s, err := open(path, opts, set)
	if err != nil {
		return fmt.Sprintf("the damaged store does not open: %v", err)
	}
	defer func() { s.Close() }()
	lost, wrong := v.compare(s, &damage)
	if wrong != "" {
		return wrong
	}
	// It can be written to, and what was damaged is out of the way.
	more := &store.Batch{Blocks: []store.Block{{Owner: "new", User: "a"}}}
	for i := range uint64(60) {
		more.Messages = append(more.Messages, &store.Message{Seq: 1<<50 + i, From: "new", Text: make([]byte, 1000), Audience: []string{"new"}})
	}
	for range 3 {
		if err = s.Commit(context.Background(), more); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Sprintf("the damaged store cannot be written to: %v (damage %v)", err, damage)
	}
	if ms, err := s.Messages(context.Background(), []uint64{1 << 50, 1<<50 + 59}); err != nil || ms[0] == nil || ms[1] == nil {
		return fmt.Sprintf("what was written to the damaged store is not there: %v %v", ms, err)
	}
	s.Close()
	told := len(damage)
	if s, err = open(path, opts, set); err != nil {
		return fmt.Sprintf("the store does not open again: %v", err)
	}
	again, wrong := v.compare(s, &damage)
	switch {
	case wrong != "":
		return wrong
	case max(lost, again) > 0 && len(damage) == 0:
		return fmt.Sprintf("%d rows are lost, and no damage is told", max(lost, again))
	case again > lost && told == len(damage):
		return fmt.Sprintf("%d rows are lost when the store is opened again, and no damage is told", again)
	}
	tally.lost += again
	tally.most = max(tally.most, again)
	if len(damage) > 0 {
		tally.detected++
	} else {
		tally.harmless++
	}
	return ""
}

// compare returns how much is lost, and what is not as it was. With the end of
// the log, commits are lost: then a record may be as it was before.
func (v *victim) compare(s *Store, damage *[]string) (lost int, wrong string) {
	heads := make(map[uint64]store.Message)
	st, err := s.Load(context.Background(), func(m *store.Message) error {
		k := *m
		k.Audience = slices.Clone(m.Audience)
		heads[m.Seq] = k
		return nil
	})
	if err != nil {
		return 0, fmt.Sprintf("Load: %v", err)
	}
	got, err := s.Messages(context.Background(), v.model.Seqs())
	if err != nil {
		return 0, fmt.Sprintf("Messages: %v", err)
	}
	for i, m := range got {
		h, ok := heads[v.model.Seqs()[i]]
		if m == nil || !ok {
			lost++
		} else if !v.model.Has(m) || h.From != m.From || h.Size != m.Size || h.Cast != m.Cast || !slices.Equal(h.Audience, m.Audience) {
			return 0, fmt.Sprintf("message %d is not what was stored", v.model.Seqs()[i])
		}
	}
	want := v.model.State()
	if st.LastSeq < want.LastSeq {
		return 0, fmt.Sprintf("LastSeq went back from %d to %d", want.LastSeq, st.LastSeq)
	}
	var foreign []string
	lost += missing(want.Origins, st.Origins, &foreign) + missing(want.Blocks, st.Blocks, &foreign) + missing(want.Sessions, st.Sessions, &foreign) +
		missing(want.Accounts, st.Accounts, &foreign) + missing(want.Attempts, st.Attempts, &foreign)
	if string(st.Secret) != string(want.Secret) {
		if lost++; len(st.Secret) > 0 && !v.past[string(st.Secret)] {
			return 0, "the secret is not what was stored"
		}
	}
	for _, f := range foreign {
		if f != fmt.Sprint(store.Block{Owner: "new", User: "a"}) && (len(*damage) == 0 || !v.past[f]) {
			return 0, f + " is not what was stored"
		}
	}
	return lost, ""
}

// missing counts what of want is not in got, and notes what of got is not in
// want.
func missing[T comparable](want, got []T, foreign *[]string) (n int) {
	for _, w := range want {
		if !slices.Contains(got, w) {
			n++
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			*foreign = append(*foreign, fmt.Sprint(g))
		}
	}
	return n
}

func runFlips(t *testing.T, n int, set settings) (tally flipTally, wrong []string) {
	rnd := rand.New(rand.NewPCG(*flipSeed, 0))
	dir := t.TempDir()
	victims := []*victim{makeVictim(t, rnd, false), makeVictim(t, rnd, true)}
	for i := range n {
		v := victims[i%2]
		suffix := ""
		if i%2 == 1 && rnd.IntN(2) == 0 {
			suffix = "-wal"
		}
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(sub, "db")
		what := v.flip(rnd, path, suffix)
		if w := v.one(t, path, set, &tally); w != "" {
			wrong = append(wrong, fmt.Sprintf("-flipseed %d, flip %d: %s: %s", *flipSeed, i, what, w))
		}
		os.RemoveAll(sub)
	}
	return tally, wrong
}

// TestFlips: a flipped bit, wherever it is, is detected or harmless, and costs
// no more than the messages around it.
func TestFlips(t *testing.T) {
	tally, wrong := runFlips(t, *flips, settings{})
	fmt.Printf("flips: %d: %d detected, %d harmless; %d rows lost, %d by one flip at most\n",
		*flips, tally.detected, tally.harmless, tally.lost, tally.most)
	for _, w := range wrong {
		t.Error(w)
	}
	if tally.detected < *flips/5 || tally.harmless == 0 {
		t.Errorf("the run shows too little: %+v", tally)
	}
}

// TestFlipsNeedChecksums: without checksums the same run must find messages
// that are not what was stored.
func TestFlipsNeedChecksums(t *testing.T) {
	_, wrong := runFlips(t, 60, settings{noCRC: true})
	for _, w := range wrong {
		if strings.Contains(w, "is not what was stored") {
			t.Logf("found: %s", w)
			return
		}
	}
	t.Fatalf("no flip was noticed without checksums (%d other complaints)", len(wrong))
}
