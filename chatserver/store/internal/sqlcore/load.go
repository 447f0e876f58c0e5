package sqlcore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/parleyproto/parley/chatserver/store"
)

// A table is what a scan reads: cells in the order of their ids.
type table struct{ kind, name, id, cell string }

var (
	messageTable = table{"message", "messages", "seq", "head"}
	recordTable  = table{"record", "records", "id", "row"}
)

// chunk is how many rows a scan reads at once: as one blob, since a driver
// makes several values of each row it hands out.
// It is so few that their ids can be added up.
const chunk = 512

// scan calls row for every cell of a table, in ascending order, and quarantines
// those that are damaged. It returns the number of rows. After an error that
// is structural, *after is where a scan of the rebuilt database goes on.
func (s *Store) scan(ctx context.Context, c *sql.Conn, t table, after *uint64, row func(id uint64, d decoder) error) (n uint64, err error) {
	var buf sql.RawBytes
	fast, err := c.PrepareContext(ctx, fmt.Sprintf(
		"SELECT count(*), coalesce(sum(i), 0), CAST(group_concat(c, '') AS BLOB) FROM (SELECT %s i, %s c FROM %s WHERE %s > ? ORDER BY %s LIMIT %d)",
		t.id, t.cell, t.name, t.id, t.id, chunk))
	if err != nil {
		return 0, err
	}
	defer fast.Close()
	for {
		var in, sum int64
		rs, err := fast.QueryContext(ctx, int64(*after))
		if err != nil {
			return n, err
		}
		if !rs.Next() {
			return n, cmpErr(rs.Err(), rs.Close(), errors.New("no row"))
		}
		if err := rs.Scan(&in, &sum, &buf); err != nil {
			rs.Close()
			return n, err
		}
		if in == 0 {
			return n, rs.Close()
		}
		if whole(buf, *after, in, sum, s.cfg.NoCRC) {
			for b := []byte(buf); len(b) > 0; {
				id, d, rest, err := nextCell(b, true)
				if err == nil {
					err = row(id, d)
				}
				if err != nil {
					rs.Close()
					return n, err
				}
				*after, b = id, rest
			}
			if err := cmpErr(rs.Err(), rs.Close()); err != nil {
				return n, err
			}
		} else {
			rs.Close()
			if err := s.scanSlowly(ctx, c, t, after, row); err != nil {
				return n, err
			}
		}
		n += uint64(in)
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether a chunk holds as many cells as rows, undamaged, with
// the ids of the rows, in ascending order.
func whole(b []byte, after uint64, in, sum int64, noCRC bool) bool {
	for ; len(b) > 0; in-- {
		id, _, rest, err := nextCell(b, noCRC)
		if err != nil || id <= after {
			return false
		}
		after, b = id, rest
		sum -= int64(id)
	}
	return in == 0 && sum == 0
}

// scanSlowly is scan row by row, for a chunk that has a damaged one.
func (s *Store) scanSlowly(ctx context.Context, c *sql.Conn, t table, after *uint64, row func(uint64, decoder) error) error {
	rs, err := c.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s > ? ORDER BY %s LIMIT %d", t.id, t.cell, t.name, t.id, t.id, chunk), int64(*after))
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		var id int64
		var cell []byte
		if err := rs.Scan(&id, &cell); err != nil {
			return err
		}
		if id <= int64(*after) {
			return &structureError{fmt.Sprintf("rows of %s are out of order", t.name)}
		}
		d, err := onlyCell(cell, uint64(id), s.cfg.NoCRC)
		if err != nil {
			s.findings.quarantine(Damage{Kind: t.kind, Ref: uint64(id), Reason: err.Error()})
		} else if err := row(uint64(id), d); err != nil {
			return err
		}
		*after = uint64(id)
	}
	return cmpErr(rs.Err(), rs.Close())
}

// readCounts reads the row of state, and where the records are.
func (s *Store) readCounts(ctx context.Context) error {
	var cell []byte
	err := s.h.w.QueryRowContext(ctx, "SELECT row FROM state WHERE id = ?", stateID).Scan(&cell)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	d, err := onlyCell(cell, stateID, s.cfg.NoCRC)
	if err == nil {
		s.counts, err = d.counts()
	}
	if err != nil {
		if err := s.recount(ctx, err); err != nil {
			return err
		}
	}
	s.index = make(map[keySum]place)
	n := names{}
	var after, rows uint64
	rows, err = s.scan(ctx, s.h.w, recordTable, &after, func(id uint64, d decoder) error {
		r, err := d.record(n)
		if err != nil {
			s.findings.quarantine(Damage{Kind: "record", Ref: id, Reason: err.Error()})
			return nil
		}
		s.index[r.recordKey.sum(s.salt)] = place{int64(id), r.session.Origin}
		return nil
	})
	if err != nil {
		return err
	}
	if rows != s.counts.records {
		return &structureError{fmt.Sprintf("there are %d records, and should be %d", rows, s.counts.records)}
	}
	s.lastID = int64(after)
	return nil
}

// recount makes up the row of state when it is damaged. What the last Seq was
// is then not known; it is set above whatever it can have been.
func (s *Store) recount(ctx context.Context, reason error) error {
	s.findings.tell(Damage{Kind: "state", Ref: stateID, Reason: reason.Error()})
	var c counts
	if err := s.h.w.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM records), (SELECT coalesce(max(seq), 0) FROM messages)").
		Scan(&c.messages, &c.records, &c.lastSeq); err != nil {
		return err
	}
	c.lastSeq += seqJump
	s.counts = c
	return nil
}

// seqJump is more messages than are written between two repairs.
const seqJump = 1 << 32

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, waiting func(*store.Message) error) (*store.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	// What a rebuilding brings back must be there before the first call of
	// waiting, so whether it is needed is found out first, as far as that is
	// cheap.
	err := s.count(ctx)
	if err != nil && s.structural(err) {
		err = s.rebuild(err)
	}
	if err != nil {
		return nil, err
	}
	l := loader{s: s, names: names{}, waiting: waiting}
	if err = l.load(ctx); err != nil && l.err == nil && s.structural(err) {
		if err = s.rebuild(err); err == nil {
			err = l.load(ctx) // from where it ended
		}
	}
	if err != nil {
		return nil, err
	}
	if s.findings.isPending() {
		s.settle(ctx)
	}
	s.findings.sum(false)
	st := &store.State{LastSeq: s.counts.lastSeq}
	var after uint64
	_, err = s.scan(ctx, s.h.w, recordTable, &after, func(_ uint64, d decoder) error {
		r, err := d.record(l.names)
		if err != nil {
			return nil // found and told before
		}
		switch r.kind {
		case originRow:
			st.Origins = append(st.Origins, r.origin)
		case blockRow:
			st.Blocks = append(st.Blocks, store.Block{Owner: r.user, User: r.other})
		case sessionRow:
			st.Sessions = append(st.Sessions, r.session)
		case accountRow:
			st.Accounts = append(st.Accounts, r.account)
		case attemptRow:
			st.Attempts = append(st.Attempts, r.attempt)
		case secretRow:
			st.Secret = r.secret
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return st, nil
}

// A loader tells of the messages that wait.
type loader struct {
	s       *Store
	names   names
	waiting func(*store.Message) error
	m       store.Message
	after   uint64
	err     error // of waiting
}

func (l *loader) load(ctx context.Context) error {
	_, err := l.s.scan(ctx, l.s.h.w, messageTable, &l.after, func(seq uint64, d decoder) error {
		l.m.Seq = seq
		if _, err := d.head(&l.m, l.names); err != nil {
			l.s.findings.quarantine(Damage{Kind: "message", Ref: seq, Reason: err.Error()})
			return nil
		}
		l.err = l.waiting(&l.m)
		return l.err
	})
	return err
}

// count compares the number of messages with what it should be.
func (s *Store) count(ctx context.Context) error {
	var n, last uint64
	if err := s.h.w.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM messages), (SELECT coalesce(max(seq), 0) FROM messages)").Scan(&n, &last); err != nil {
		return err
	}
	if n != s.counts.messages || last > s.counts.lastSeq {
		return &structureError{fmt.Sprintf("there are %d messages up to %d, and should be %d up to %d", n, last, s.counts.messages, s.counts.lastSeq)}
	}
	return nil
}

// Messages implements [store.Store].
func (s *Store) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.cfg.Single {
		s.mu.Lock() // a commit on the same connection must not be seen half
		defer s.mu.Unlock()
	}
	out, err := s.messages(ctx, seqs)
	if err != nil && s.structural(err) {
		if !s.cfg.Single {
			s.mu.Lock()
			defer s.mu.Unlock()
		}
		s.setCorrupt(err)
		if err := s.ready(); err != nil {
			return nil, err
		}
		return s.messages(ctx, seqs)
	}
	return out, err
}

func (s *Store) messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.h == nil {
		return nil, errClosed
	}
	out := make([]*store.Message, len(seqs))
	if len(seqs) == 0 {
		return out, nil
	}
	found := make(map[uint64]*store.Message, len(seqs))
	rs, err := s.h.read.QueryContext(context.WithoutCancel(ctx), list(seqs))
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	n := names{}
	for rs.Next() {
		var seq int64
		var head, text sql.RawBytes
		if err := rs.Scan(&seq, &head, &text); err != nil {
			return nil, err
		}
		m, err := s.message(uint64(seq), head, text, n)
		if err != nil {
			s.findings.quarantine(Damage{Kind: "message", Ref: uint64(seq), Reason: err.Error()})
			continue
		}
		found[m.Seq] = m
	}
	if err := cmpErr(rs.Err(), rs.Close()); err != nil {
		return nil, err
	}
	for i, seq := range seqs {
		out[i] = found[seq]
	}
	return out, nil
}

// list writes numbers as JSON: one value to bind, however many they are.
func list(seqs []uint64) string {
	b := make([]byte, 0, 12*len(seqs)+2)
	b = append(b, '[')
	for i, seq := range seqs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, seq, 10)
	}
	return string(append(b, ']'))
}

// message puts a message together from its row.
func (s *Store) message(seq uint64, head, text []byte, n names) (*store.Message, error) {
	d, err := onlyCell(head, seq, s.cfg.NoCRC)
	if err != nil {
		return nil, err
	}
	m := &store.Message{Seq: seq, Text: bytes.Clone(text)}
	crc, err := d.head(m, n)
	if err != nil {
		return nil, err
	}
	if !s.cfg.NoCRC && (m.Size != len(text) || crc != crc32.Checksum(text, castagnoli)) {
		return nil, errText
	}
	return m, nil
}
