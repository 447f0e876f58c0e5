package sqlcore

import (
	"context"
	"time"

	"github.com/parleyproto/parley/chatserver/store"
)

// moveRows is how many damaged rows one transaction moves to quarantine: a
// commit does not wait long for it, and the log does not grow big.
const moveRows = 4000

// moveSome moves some of the damaged rows. The caller holds mu, and the
// database is usable.
func (s *Store) moveSome(ctx context.Context) error {
	rows := s.findings.next(moveRows)
	if err := s.write(ctx, &store.Batch{}, rows); err != nil {
		return err
	}
	s.findings.moved(rows)
	s.findings.sum(false)
	return nil
}

// moveAll moves all damaged rows.
func (s *Store) moveAll(ctx context.Context) error {
	for s.findings.isPending() {
		if err := s.moveSome(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle moves damaged rows to quarantine, after it made sure that the file's
// structure is sound enough to write to; if not, it is rebuilt by the next
// commit. Its failure is no reason not to start.
func (s *Store) settle(ctx context.Context) {
	var verdict string
	err := s.h.w.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = &structureError{verdict}
	}
	if err != nil {
		s.setCorrupt(err)
		if err := s.ready(); err != nil {
			return
		}
	}
	s.moveAll(ctx)
}

// moveDamaged moves rows to quarantine, those that succeed each other and are
// of a kind, damaged by the same, with one statement.
func (s *Store) moveDamaged(ctx context.Context, counts *counts, rows []Damage) error {
	for len(rows) > 0 {
		first, refs := rows[0], []uint64(nil)
		for len(rows) > 0 && rows[0].Kind == first.Kind && rows[0].Reason == first.Reason {
			refs = append(refs, rows[0].Ref)
			rows = rows[1:]
		}
		if err := s.moveAlike(ctx, counts, first, refs); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) moveAlike(ctx context.Context, counts *counts, d Damage, refs []uint64) error {
	from, id, cols, n := "messages", "seq", "head, text", &counts.messages
	if d.Kind == recordTable.kind {
		from, id, cols, n = "records", "id", "row, NULL", &counts.records
	}
	ids := list(refs)
	in := " FROM " + from + " WHERE " + id + " IN (SELECT value FROM json_each(?))"
	if _, err := s.h.exec(ctx, "INSERT INTO quarantine (at, kind, ref, reason, row, text) SELECT ?, ?, "+id+", ?, "+cols+in,
		time.Now().UnixMilli(), d.Kind, d.Reason, ids); err != nil {
		return err
	}
	res, err := s.h.exec(ctx, "DELETE"+in, ids)
	if err != nil {
		return err
	}
	gone, err := res.RowsAffected()
	if err != nil {
		return err
	}
	*n -= uint64(gone)
	return nil
}
