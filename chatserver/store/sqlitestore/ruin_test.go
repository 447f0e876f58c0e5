package sqlitestore

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver/store"
)

var ruined = flag.Int("ruined", 200_000, "how many messages the ruined files have")

// TestDamageIsCounted: the first 20 damaged rows are told one by one, the
// others by their number.
func TestDamageIsCounted(t *testing.T) {
	for _, n := range []int{19, 20, 21} {
		path := filepath.Join(t.TempDir(), "db")
		bigStore(t, path, 30)
		sqlExec(t, path, "UPDATE messages SET head = zeroblob(60) WHERE seq <= ?", n)
		var want []string
		for seq := range min(n, 20) {
			want = append(want, fmt.Sprintf("message %d: the checksum is wrong", seq+1))
		}
		if n > 20 {
			want = append(want, "message: 21 are damaged in all")
		}
		r, err := Check(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var checked, told []string
		for _, d := range r.Damage {
			checked = append(checked, d.String())
		}
		s := openTest(t, path, Options{OnDamage: func(d Damage) { told = append(told, d.String()) }})
		for range 2 { // once
			if _, err := s.Load(t.Context(), func(*store.Message) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		for _, got := range [][]string{checked, told} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d damaged (-want +got):\n%s", n, diff)
			}
		}
	}
}

// ruinOrigins is how many records they have.
const ruinOrigins = 4_000

// bigStore makes a store with n messages and closes it.
func bigStore(t testing.TB, path string, n int) {
	t.Helper()
	s := openTest(t, path, Options{})
	for seq := 0; seq < n; seq += 10_000 {
		b := &store.Batch{}
		for i := range min(10_000, n-seq) {
			b.Messages = append(b.Messages, ruinMessage(uint64(seq+i+1)))
			if at := seq + i; at < ruinOrigins {
				b.Origins = append(b.Origins, store.Origin{User: fmt.Sprint("user", at), Origin: uint64(at), Used: 1})
			}
		}
		if err := s.Commit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func ruinMessage(seq uint64) *store.Message {
	return &store.Message{Seq: seq, From: fmt.Sprint("user", seq%1000), Text: fmt.Appendf(nil, "%0128d", seq), Size: 128, Audience: []string{fmt.Sprint("user", seq%7)}}
}

// ruin changes each page from the second on.
func ruin(t *testing.T, path string, page func(no int, b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for no := 2; no*pageSize <= len(b); no++ {
		page(no, b[(no-1)*pageSize:no*pageSize])
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRuinedFile: a big file of which nearly everything is damaged opens in
// seconds, fills no log, and gives all that is sound.
func TestRuinedFile(t *testing.T) {
	n := *ruined
	if testing.Short() || raced {
		n = min(n, 20_000)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	files := make(map[int][]byte) // by the number of messages
	for _, n := range []int{n, n / 5} {
		path := filepath.Join(t.TempDir(), "db")
		bigStore(t, path, n)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[n] = b
	}
	for _, c := range []struct {
		name        string
		n           int // messages
		least, most int // of 1,000 remain
		ruin        func(path string)
	}{
		{"heads of rows", n, 1, 1, func(path string) {
			sqlExec(t, path, "UPDATE messages SET head = zeroblob(60) WHERE seq % 1000 != 0; UPDATE records SET row = zeroblob(60) WHERE id % 1000 != 0")
		}},
		{"texts", n, 1, 1, func(path string) {
			sqlExec(t, path, "UPDATE messages SET text = 'x' WHERE seq % 1000 != 0")
		}},
		{"every other page is something else", n / 5, 300, 700, func(path string) {
			ruin(t, path, func(no int, b []byte) {
				for i := range b {
					if no%2 == 0 {
						b[i] = byte(rnd.Uint32())
					}
				}
			})
		}},
		{"everything is something else", n / 5, 0, 1, func(path string) {
			ruin(t, path, func(no int, b []byte) {
				for i := range b {
					b[i] = byte(rnd.Uint32())
				}
			})
		}},
		{"an octet of each page", n / 5, 900, 1000, func(path string) {
			ruin(t, path, func(no int, b []byte) { b[rnd.IntN(len(b))] ^= 0x55 })
		}},
		{"an octet of each row", n / 5, 0, 100, func(path string) {
			ruin(t, path, func(no int, b []byte) {
				for i := 100; i < len(b); i += 100 {
					b[i] ^= 0x55
				}
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, files[c.n], 0o600); err != nil {
				t.Fatal(err)
			}
			c.ruin(path)
			openRuined(t, path, c.n, c.n*c.least/1000, c.n*c.most/1000)
		})
	}
}

func openRuined(t *testing.T, path string, n, least, most int) {
	var log bytes.Buffer
	told := 0
	opts := Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), OnDamage: func(Damage) { told++ }}
	start := time.Now()
	s := openTest(t, path, opts)
	var seqs []uint64
	st, err := s.Load(t.Context(), func(m *store.Message) error { seqs = append(seqs, m.Seq); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d messages, %d of %d origins after %v", len(seqs), n, len(st.Origins), ruinOrigins, time.Since(start))
	found := 0
	for i := 0; i < len(seqs); i += 1000 {
		ms, err := s.Messages(t.Context(), seqs[i:min(i+1000, len(seqs))])
		if err != nil {
			t.Fatal(err)
		}
		for j, m := range ms {
			if m != nil {
				found++
				if want := ruinMessage(seqs[i+j]); !bytes.Equal(m.Text, want.Text) || m.From != want.From {
					t.Fatalf("%+v", m)
				}
			}
		}
	}
	if found < least || found > most {
		t.Errorf("%d of %d messages are left, and should be %d to %d", found, n, least, most)
	}
	s.Close()
	lines := bytes.Count(log.Bytes(), []byte("\n"))
	if t.Logf("%d lines, told %d after %v", lines, told, time.Since(start)); lines > 60 || told != lines || lines == 0 {
		t.Errorf("%d lines in the log, %d times told: %.2000s", lines, told, &log)
	}
	log.Reset()
	report, err := Check(t.Context(), path)
	if err != nil || report.Messages < least || report.Messages > most || report.Mailboxes > 7 || len(report.Damage) > 0 {
		t.Errorf("afterwards: %+v %v", report, err)
	}
	t.Logf("checked after %v: %d rows in quarantine, of %d octets", time.Since(start), report.Quarantined, report.QuarantineOctets)
}
