package sqlcore

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// A Row is a row that was found in a damaged file: of which table, its cell
// tells.
type Row struct {
	ID         uint64
	Cell, Text []byte
}

// Fill stores rows that were found in a damaged file, in any order, in an
// empty store. Of rows with one id the first counts. Those that are damaged go
// to quarantine, and so does a line that says how many are missing. If any
// are, those of doubtful are taken that are whole, except accounts: they may be
// what is missing, or have been deleted.
func (s *Store) Fill(ctx context.Context, rows, doubtful iter.Seq2[Row, error]) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.h.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.h.w.ExecContext(ctx, "ROLLBACK")
			s.failed = true
		}
	}()
	f := filler{s: s}
	if err := f.rows(ctx, rows); err != nil {
		return err
	}
	if f.should == nil || f.should.messages > f.have.messages || f.should.records > f.have.records {
		f.doubtful = true
		if err := f.rows(ctx, doubtful); err != nil {
			return err
		}
	}
	if err := f.compare(ctx); err != nil {
		return err
	}
	if _, err := s.h.exec(ctx, "REPLACE INTO state VALUES (?, ?)", stateID, appendCounts(nil, &f.have)); err != nil {
		return err
	}
	if _, err := s.h.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	s.findings.sum(true)
	return s.readCounts(ctx)
}

// A filler fills one store.
type filler struct {
	s      *Store
	have   counts
	should *counts // what the damaged file said; nil if it cannot be read

	doubtful bool // the rows may have been deleted; damaged ones are no damage
}

func (f *filler) rows(ctx context.Context, rows iter.Seq2[Row, error]) error {
	for row, err := range rows {
		if err == nil {
			err = f.row(ctx, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) row(ctx context.Context, row Row) error {
	d, err := onlyCell(row.Cell, row.ID, f.s.cfg.NoCRC)
	if err != nil {
		return f.quarantine(ctx, Damage{Kind: "row", Ref: row.ID, Reason: err.Error()}, row)
	}
	kind := byte(0)
	if len(d.b) > 0 {
		kind = d.b[0]
	}
	switch kind {
	case messageRow:
		return f.message(ctx, row)
	case countsRow:
		if c, err := d.counts(); err == nil && f.should == nil {
			f.should = &c
		}
		return nil
	}
	if kind == accountRow && f.doubtful {
		return nil // it may have been removed, and whom it let in must stay out
	}
	if _, err := d.record(nil); err != nil {
		return f.quarantine(ctx, Damage{Kind: "record", Ref: row.ID, Reason: err.Error()}, row)
	}
	return f.insert(ctx, &f.have.records, "INSERT INTO records VALUES (?, ?) ON CONFLICT DO NOTHING", int64(row.ID), row.Cell)
}

func (f *filler) message(ctx context.Context, row Row) error {
	f.have.lastSeq = max(f.have.lastSeq, row.ID)
	if _, err := f.s.message(row.ID, row.Cell, row.Text, nil); err != nil {
		return f.quarantine(ctx, Damage{Kind: "message", Ref: row.ID, Reason: err.Error()}, row)
	}
	return f.insert(ctx, &f.have.messages, "INSERT INTO messages VALUES (?, ?, ?) ON CONFLICT DO NOTHING", int64(row.ID), row.Cell, row.Text)
}

func (f *filler) insert(ctx context.Context, n *uint64, query string, args ...any) error {
	res, err := f.s.h.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	new, err := res.RowsAffected()
	*n += uint64(new)
	return err
}

func (f *filler) quarantine(ctx context.Context, d Damage, row Row) error {
	if f.doubtful && row.Cell != nil {
		return nil
	}
	if row.Cell != nil {
		f.s.findings.row(d)
	} else {
		f.s.findings.tell(d)
	}
	_, err := f.s.h.exec(ctx, "INSERT INTO quarantine (at, kind, ref, reason, row, text) VALUES (?, ?, ?, ?, ?, ?)",
		time.Now().UnixMilli(), d.Kind, int64(d.Ref), d.Reason, row.Cell, row.Text)
	return err
}

// compare tells what is missing.
func (f *filler) compare(ctx context.Context) error {
	if f.should == nil {
		f.s.findings.tell(Damage{Kind: "state", Ref: stateID, Reason: "it cannot be read: whether rows are missing is not known"})
		f.have.lastSeq += seqJump
		return nil
	}
	f.have.commits = f.should.commits
	f.have.lastSeq = max(f.have.lastSeq, f.should.lastSeq)
	for _, t := range []struct {
		kind      string
		should, n uint64
	}{{"message", f.should.messages, f.have.messages}, {"record", f.should.records, f.have.records}} {
		if t.should > t.n {
			d := Damage{Kind: t.kind, Reason: fmt.Sprintf("%d of %d cannot be read", t.should-t.n, t.should)}
			if err := f.quarantine(ctx, d, Row{}); err != nil {
				return err
			}
		}
	}
	return nil
}
