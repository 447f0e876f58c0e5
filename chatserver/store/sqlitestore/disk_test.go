package sqlitestore

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// round commits size messages after seq, and deletes the size before.
func round(t *testing.T, s *Store, seq uint64, size int) {
	t.Helper()
	b := &store.Batch{}
	for i := range uint64(size) {
		b.Messages = append(b.Messages, &store.Message{Seq: seq + i + 1, From: "a", Text: make([]byte, 1000), Audience: []string{"b"}})
		if seq > 0 {
			b.Acks = append(b.Acks, store.Ack{Seq: seq - uint64(size) + i + 1})
		}
	}
	if err := s.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// TestFilesStaySmall: messages that come and go take no more room however
// many they are, also while others read all the time.
func TestFilesStaySmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	stop, reading := make(chan struct{}), sync.WaitGroup{}
	for range 2 {
		reading.Go(func() {
			for seq := uint64(1); ; seq++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Messages(context.Background(), []uint64{seq % 20_000}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const size, rounds = 200, 300 // 60 MB come and go
	for i := range uint64(rounds) {
		round(t, s, i*size, size)
	}
	close(stop)
	reading.Wait()
	for name, limit := range map[string]int64{path: 2 << 20, path + "-wal": 24 << 20} {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d octets", filepath.Base(name), fi.Size())
		if fi.Size() > limit {
			t.Errorf("%s has %d octets after %d came and went", name, fi.Size(), size*rounds*1000)
		}
	}
}

// TestLogBesideAReader: while one reads a moment for long, as a backup does,
// the log grows; afterwards it is cut.
func TestLogBesideAReader(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	round(t, s, 0, 500)
	db, err := openFile(path, "ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM messages").Scan(&n); err != nil {
		t.Fatal(err)
	}
	log := func() int64 {
		fi, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	i := uint64(1)
	for ; log() < 70<<20; i++ {
		round(t, s, i*500, 500)
	}
	tx.Rollback()
	for end := i + 200; i < end && log() > 24<<20; i++ {
		round(t, s, i*500, 500)
	}
	if log() > 24<<20 {
		t.Errorf("the log has %d octets, long after its reader left", log())
	}
}

// TestFullDisk: a disk that fills refuses commits, whole; messages can still
// be read; and when there is room again the store works by itself.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "3m")
	s := openTest(t, filepath.Join(dir, "db"), Options{})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var model storetest.Model
	var refused *store.Batch
	for seq := uint64(0); refused == nil; seq += 10 {
		b := &store.Batch{Origins: []store.Origin{{User: "a", Origin: 1, Used: int64(seq)}}}
		for i := range uint64(10) {
			b.Messages = append(b.Messages, &store.Message{Seq: seq + i + 1, From: "a", Text: make([]byte, 2000), Audience: []string{"b"}})
		}
		if err := s.Commit(t.Context(), b); err != nil {
			t.Logf("after %d messages: %v", seq, err)
			refused = b
		} else {
			model.Apply(b)
		}
	}
	if len(model.Seqs()) < 50 {
		t.Fatalf("the disk was full after %d messages", len(model.Seqs()))
	}
	for range 3 {
		if err := s.Commit(t.Context(), refused); err == nil {
			t.Fatal("a full disk takes a batch")
		}
		got, err := s.Messages(t.Context(), append(model.Seqs(), refused.Messages[0].Seq))
		if err != nil {
			t.Fatalf("reading beside a full disk: %v", err)
		}
		for i, m := range got {
			if (m != nil) != (i < len(got)-1) {
				t.Fatalf("beside a full disk, message %d is %v", i, m)
			}
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), refused); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	model.Apply(refused)
	if d := model.Diff(s); d != "" {
		t.Error(d)
	}
	s.Close()
	if d := model.Diff(openTest(t, s.Path(), Options{})); d != "" {
		t.Error(d)
	}
}

// smallDisk returns a folder on a disk of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	unmount, err := mountSmall(dir, size)
	if err != nil {
		if os.Getenv("PARLEY_CI") != "" {
			t.Fatalf("CI has to be able to mount a small disk: %v", err)
		}
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
	return dir
}
