//go:build unix

package sqlitestore

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// bodies are texts of 128 letters in no order, enough of them that no page
// repeats one.
var bodies = func() (bs [4096][]byte) {
	x := uint64(0x9E3779B97F4A7C15)
	for i := range bs {
		b := make([]byte, 128)
		for j := range b {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			b[j] = 'a' + byte(x%26)
		}
		bs[i] = b
	}
	return bs
}()

var users = func() (us [1000]string) {
	for i := range us {
		us[i] = fmt.Sprintf("user%04d", i)
	}
	return us
}()

// fill makes batch the next size messages after seq, each from one of
// senders, to anybody, and the windows of their senders.
func fill(batch *store.Batch, seq uint64, size, senders int) {
	if len(batch.Messages) != size {
		batch.Messages = make([]*store.Message, size)
		for i := range batch.Messages {
			batch.Messages[i] = &store.Message{Audience: make([]string, 1)}
		}
	}
	batch.Origins = batch.Origins[:0]
	for i, m := range batch.Messages {
		seq++
		m.Seq, m.From, m.Time = seq, users[seq%uint64(senders)], 1_700_000_000_000+int64(seq)
		m.ID = chatproto.ID{Origin: seq % uint64(senders) * 0x9E3779B97F4A7C15, N: seq}
		m.Text, m.Audience[0] = bodies[seq%4096], users[(seq*7919)%1000]
		if i < senders {
			o := store.Origin{User: m.From, Origin: m.ID.Origin, Used: m.Time}
			o.Window.Decide(seq, true)
			batch.Origins = append(batch.Origins, o)
		}
	}
}

// processorTime is what this process used so far: unlike the clock, it does not
// depend on what else the machine does.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var batchSizes = []int{1, 16, 256, 1024}

// BenchmarkCommit accepts messages of 128 octets, every batch synced, from so
// many senders, whose windows are part of the batch.
func BenchmarkCommit(b *testing.B) {
	for _, senders := range []int{50, 1000} {
		for _, size := range batchSizes {
			b.Run(fmt.Sprintf("senders=%d/batch=%d", senders, size), func(b *testing.B) {
				s := openTest(b, filepath.Join(b.TempDir(), "db"), Options{})
				var batch store.Batch
				var seq uint64
				cpu := processorTime()
				for b.Loop() {
					fill(&batch, seq, size, senders)
					if err := s.Commit(context.Background(), &batch); err != nil {
						b.Fatal(err)
					}
					seq += uint64(size)
				}
				b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "msgs/s")
				b.ReportMetric(float64((processorTime()-cpu).Nanoseconds())/float64(seq), "cpu-ns/msg")
			})
		}
	}
}

// BenchmarkDelete acknowledges a batch of those messages: in the order of
// arrival (runs of numbers), or every third, up and down the file, as a user
// does who empties a mailbox.
func BenchmarkDelete(b *testing.B) {
	for _, order := range []string{"runs", "mailbox"} {
		for _, size := range batchSizes {
			b.Run(fmt.Sprintf("%s/batch=%d", order, size), func(b *testing.B) {
				s := openTest(b, filepath.Join(b.TempDir(), "db"), Options{})
				var next, stored uint64
				var acks store.Batch
				var deleting time.Duration
				var cpu time.Duration
				var n int
				refill := func() {
					next = stored
					for range 64 {
						var batch store.Batch
						fill(&batch, stored, 2048, 50)
						if err := s.Commit(context.Background(), &batch); err != nil {
							b.Fatal(err)
						}
						stored += 2048
					}
				}
				step := uint64(1)
				if order == "mailbox" {
					step = 3
				}
				for b.Loop() {
					if next+uint64(size)*step > stored {
						b.StopTimer()
						refill()
						b.StartTimer()
					}
					acks.Acks = acks.Acks[:0]
					for range size {
						next += step
						acks.Acks = append(acks.Acks, store.Ack{Seq: next})
					}
					start, used := time.Now(), processorTime()
					if err := s.Commit(context.Background(), &acks); err != nil {
						b.Fatal(err)
					}
					deleting += time.Since(start)
					cpu += processorTime() - used
					n += size
				}
				b.ReportMetric(float64(n)/deleting.Seconds(), "msgs/s")
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(n), "cpu-ns/msg")
			})
		}
	}
}

// million opens a store with a million messages.
func million(b *testing.B, path string, n int) {
	s := openTest(b, path, Options{})
	for seq := 0; seq < n; seq += 10_000 {
		var batch store.Batch
		fill(&batch, uint64(seq), 10_000, 50)
		if err := s.Commit(context.Background(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLoadMillion opens a store with a million messages and loads it.
func BenchmarkLoadMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "db")
	const n = 1_000_000
	million(b, path, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	loads := 0
	cpu := processorTime()
	for b.Loop() {
		s := openTest(b, path, Options{})
		got := 0
		if _, err := s.Load(context.Background(), func(m *store.Message) error { got++; return nil }); err != nil {
			b.Fatal(err)
		}
		if got != n {
			b.Fatalf("%d messages", got)
		}
		s.Close()
		loads++
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(b.Elapsed().Seconds()/float64(loads), "s/load")
	b.ReportMetric((processorTime()-cpu).Seconds()/float64(loads), "cpu-s/load")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(loads*n), "allocs/msg")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(loads*n), "B/msg")
}

// BenchmarkMessages reads 256 messages, 16 apart as those of one mailbox lie.
func BenchmarkMessages(b *testing.B) {
	path := filepath.Join(b.TempDir(), "db")
	const n = 100_000
	million(b, path, n)
	s := openTest(b, path, Options{})
	seqs := make([]uint64, 256)
	first := uint64(1)
	for b.Loop() {
		for i := range seqs {
			seqs[i] = first + uint64(i)*16
		}
		first = (first + 1237) % (n - 16*256)
		ms, err := s.Messages(context.Background(), seqs)
		if err != nil {
			b.Fatal(err)
		}
		for i, m := range ms {
			if m == nil || m.Seq != seqs[i] {
				b.Fatalf("message %d: %+v", seqs[i], m)
			}
		}
	}
}

// BenchmarkUsers opens a store with 100,000 users, each with a session, an
// origin, an account and a source of logins, and says what that keeps in memory.
func BenchmarkUsers(b *testing.B) {
	const n, size = 100_000, 1000
	path := filepath.Join(b.TempDir(), "users.db")
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < n; i += size {
		var batch store.Batch
		for j := i; j < i+size; j++ {
			name := fmt.Sprintf("user%08d", j)
			batch.Sessions = append(batch.Sessions, store.Session{User: name, Origin: uint64(j) + 1})
			batch.Origins = append(batch.Origins, store.Origin{User: name, Origin: uint64(j) + 1})
			batch.Accounts = append(batch.Accounts, store.Account{User: name, Verifier: "SCRAM-SHA-256$15000:AAAAAAAAAAAAAAAAAAAAAA==$"})
			batch.Attempts = append(batch.Attempts, store.Attempt{User: name, Source: "192.0.2.7/32", Proven: 1})
		}
		if err := s.Commit(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		s, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((heap()-before)/n, "octets/user")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
