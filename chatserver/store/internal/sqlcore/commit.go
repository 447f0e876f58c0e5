package sqlcore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/parleyproto/parley/chatserver/store"
)

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, b *store.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if !b.Empty() {
		if err := s.write(ctx, b, nil); err != nil {
			return err
		}
		s.cutLog(ctx)
	}
	if s.findings.isPending() {
		s.moveSome(ctx) // if it fails, the batch is stored nevertheless
	}
	return nil
}

// write writes a batch in one transaction, and moves damaged rows, and marks the
// store as failed if it did not succeed. Once it is begun it is not given up when ctx ends: that
// would only leave its outcome unknown.
func (s *Store) write(ctx context.Context, b *store.Batch, damaged []Damage) (err error) {
	ctx = context.WithoutCancel(ctx)
	w := s.h.w
	counts := s.counts
	defer func() {
		if err != nil {
			s.failed = true
			w.ExecContext(ctx, "ROLLBACK")
			if s.structural(err) {
				s.setCorrupt(err)
			}
		}
	}()
	if _, err := s.h.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := s.moveDamaged(ctx, &counts, damaged); err != nil {
		return err
	}
	if err := s.addMessages(ctx, &counts, b.Messages); err != nil {
		return err
	}
	if err := s.acknowledge(ctx, &counts, b.Acks); err != nil {
		return err
	}
	if err := s.setRecords(ctx, &counts, b); err != nil {
		return err
	}
	counts.commits++
	s.row = appendCounts(s.row[:0], &counts)
	if _, err := s.h.exec(ctx, "REPLACE INTO state VALUES (?, ?)", stateID, s.row); err != nil {
		return err
	}
	if _, err := s.h.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	s.counts = counts
	return nil
}

// addMessages appends messages, many with one statement. Those whose place
// may be taken, because an earlier commit with an unknown outcome did write
// them, replace what is there.
func (s *Store) addMessages(ctx context.Context, counts *counts, ms []*store.Message) error {
	if len(ms) == 0 {
		return nil
	}
	ms, taken, err := arrange(ms, counts)
	if err != nil {
		return err
	}
	if err := s.deleteMessages(ctx, counts, taken); err != nil {
		return err
	}
	s.findings.replaced(taken)
	counts.messages += uint64(len(ms))
	for len(ms) > 0 {
		n := most(len(ms))
		s.args, s.row = s.args[:0], s.row[:0]
		for _, m := range ms[:n] {
			start := len(s.row)
			s.row = appendHead(s.row, m)
			s.args = append(s.args, int64(m.Seq), s.row[start:], m.Text)
		}
		if _, err := s.h.exec(ctx, rowsOf("INSERT INTO messages VALUES ", "(?, ?, ?)", n), s.args...); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

// sizes are the numbers of rows that one statement writes: what a row costs
// is mostly what its statement does.
var sizes = [...]int{64, 8, 1}

// most returns how many of n rows the next statement takes.
func most(n int) int {
	for _, size := range sizes {
		if size <= n {
			return size
		}
	}
	return 0
}

// rowsOf returns the text of a statement for n rows.
func rowsOf(query, row string, n int) string {
	if n == 1 {
		return query + row
	}
	return query + row + strings.Repeat(", "+row, n-1)
}

// arrange returns the messages to be written, in ascending order of Seq, and
// which Seqs may be taken already; it counts LastSeq up.
func arrange(ms []*store.Message, counts *counts) (write []*store.Message, taken []uint64, err error) {
	bySeq := func(a, b *store.Message) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(ms, bySeq) {
		ms = slices.Clone(ms)
		slices.SortStableFunc(ms, bySeq)
	}
	last := counts.lastSeq
	write = ms
	for i, m := range ms {
		if m.Seq == 0 || m.Seq > math.MaxInt64 {
			return nil, nil, fmt.Errorf("a message has no place in the order of arrival: Seq %d", m.Seq)
		}
		if m.Seq <= last {
			taken = append(taken, m.Seq)
		}
		drop := len(m.Audience) == 0 || i+1 < len(ms) && ms[i+1].Seq == m.Seq
		switch {
		case drop && len(write) == len(ms): // the first one to drop
			write = slices.Clone(ms[:i])
		case !drop && len(write) < len(ms):
			write = append(write, m)
		}
	}
	counts.lastSeq = max(last, ms[len(ms)-1].Seq)
	return write, taken, nil
}

// acknowledge deletes messages that all have acknowledged, and takes users
// out of the audience of others.
func (s *Store) acknowledge(ctx context.Context, counts *counts, acks []store.Ack) error {
	if len(acks) == 0 {
		return nil
	}
	gone := make([]uint64, 0, len(acks))
	var some map[uint64][]string
	for _, a := range acks {
		if a.User == "" {
			gone = append(gone, a.Seq)
			continue
		}
		if some == nil {
			some = make(map[uint64][]string)
		}
		some[a.Seq] = append(some[a.Seq], a.User)
	}
	m := new(store.Message)
	for seq, users := range some {
		last, err := s.leave(ctx, m, seq, users)
		if err != nil {
			return err
		}
		if last {
			gone = append(gone, seq)
		}
	}
	return s.deleteMessages(ctx, counts, gone)
}

// leave takes users out of the audience of a message. It reports true if
// nobody is left.
func (s *Store) leave(ctx context.Context, m *store.Message, seq uint64, users []string) (last bool, err error) {
	var head []byte
	st, err := s.h.prepared(ctx, "SELECT head FROM messages WHERE seq = ?")
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(ctx, int64(seq)).Scan(&head)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d, err := onlyCell(head, seq, s.cfg.NoCRC)
	var crc uint32
	if err == nil {
		crc, err = d.head(m, nil)
	}
	if err != nil {
		s.findings.quarantine(Damage{Kind: "message", Ref: seq, Reason: err.Error()})
		return false, nil
	}
	out := make(map[string]bool, len(users))
	for _, u := range users {
		out[u] = true
	}
	before := len(m.Audience)
	m.Seq, m.Audience = seq, slices.DeleteFunc(m.Audience, func(name string) bool { return out[name] })
	switch len(m.Audience) {
	case 0:
		return true, nil
	case before:
		return false, nil
	}
	s.row = appendHeadOf(s.row[:0], m, uint64(m.Size), crc)
	_, err = s.h.exec(ctx, "UPDATE messages SET head = ? WHERE seq = ?", s.row, int64(seq))
	return false, err
}

// deleteMessages deletes rows: runs of successive numbers by their ends, the
// others by a list.
func (s *Store) deleteMessages(ctx context.Context, counts *counts, seqs []uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	deleted := func(res sql.Result, err error) error {
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if uint64(n) > counts.messages {
			return &structureError{"there are more messages than were written"}
		}
		counts.messages -= uint64(n)
		return err
	}
	const run = 8
	list := append(s.row[:0], '[')
	for i := 0; i < len(seqs); {
		j := i + 1
		for j < len(seqs) && seqs[j] == seqs[j-1]+1 {
			j++
		}
		if j-i >= run {
			if err := deleted(s.h.exec(ctx, "DELETE FROM messages WHERE seq BETWEEN ? AND ?", int64(seqs[i]), int64(seqs[j-1]))); err != nil {
				return err
			}
			i = j
			continue
		}
		for ; i < j; i++ {
			if len(list) > 1 {
				list = append(list, ',')
			}
			list = strconv.AppendUint(list, seqs[i], 10)
		}
	}
	s.row = append(list, ']')
	if len(list) == 1 {
		return nil
	}
	return deleted(s.h.exec(ctx, "DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(?))", string(s.row)))
}

// cutLog waits for readers and cuts the log if it grew beyond all measure,
// as it does beside a reader that stays: SQLite begins at its start again only
// when nobody reads it. It tries again when the log has doubled.
func (s *Store) cutLog(ctx context.Context) {
	if s.cfg.LogSize == nil || s.counts.commits%64 != 0 {
		return
	}
	size := s.cfg.LogSize()
	if size < max(maxLog, 2*s.logSeen) {
		return
	}
	w := s.h.w
	w.ExecContext(ctx, "PRAGMA busy_timeout = 200")
	w.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	w.ExecContext(ctx, "PRAGMA busy_timeout = 10000")
	if s.logSeen = s.cfg.LogSize(); s.logSeen < maxLog {
		s.logSeen = 0
	}
}
