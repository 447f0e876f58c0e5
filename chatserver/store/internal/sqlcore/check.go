package sqlcore

import (
	"context"
	"database/sql"
	"fmt"
)

// Integrity runs SQLite's own check of the whole file.
func (s *Store) Integrity(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	var verdict string
	if err := s.h.w.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity_check: %s", verdict)
	}
	return nil
}

// A Report is what a check of a database found.
type Report struct {
	Version   int    // of the schema
	Commits   uint64 // so far
	LastSeq   uint64
	Messages  int   // that wait
	Octets    int64 // of their texts
	Mailboxes int   // that they wait in
	Origins   int
	Blocks    int
	Sessions  int
	Accounts  int
	Attempts  int // accounts with a source that somebody tried to log in from

	// Quarantined is how many damaged rows were put aside earlier, and
	// QuarantineOctets how much room they take.
	Quarantined      int
	QuarantineOctets int64
	// Damage is what is wrong now: the first 20 damaged rows one by one, and
	// then how many they are.
	Damage []Damage
}

// Check reads all of a database as of one moment, and changes nothing. It
// returns an error only if it could not look; damage stands in the report.
func Check(ctx context.Context, db *sql.DB, code func(error) int) (*Report, error) {
	r := new(Report)
	s := &Store{cfg: Config{Code: code}}
	s.findings.onDamage = func(d Damage) { r.Damage = append(r.Damage, d) }
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	k := &checker{s: s, c: c, r: r, names: names{}}
	for _, step := range []func(context.Context) error{k.begin, k.integrity, k.records, k.messages, k.compare} {
		err := step(ctx)
		if err != nil && s.structural(err) {
			s.findings.tell(Damage{Kind: "file", Reason: err.Error()})
			err = nil
		}
		if err != nil {
			return nil, err
		}
	}
	s.findings.sum(true)
	return r, nil
}

// A checker is one check.
type checker struct {
	s          *Store
	c          *sql.Conn
	r          *Report
	names      names
	have       counts
	incomplete bool // a table could not be read to its end
}

func (k *checker) begin(ctx context.Context) error {
	if err := execAll(ctx, k.c, common+"; BEGIN"); err != nil {
		return err
	}
	return k.c.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version), count(*), coalesce(sum(coalesce(length(row), 0) + coalesce(length(text), 0)), 0) FROM quarantine").
		Scan(&k.r.Version, &k.r.Quarantined, &k.r.QuarantineOctets)
}

func (k *checker) integrity(ctx context.Context) error {
	rs, err := k.c.QueryContext(ctx, "PRAGMA integrity_check(20)")
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		var verdict string
		if err := rs.Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			k.s.findings.tell(Damage{Kind: "file", Reason: verdict})
		}
	}
	return cmpErr(rs.Err(), rs.Close())
}

func (k *checker) records(ctx context.Context) error {
	seen := make(map[recordKey]bool)
	var after uint64
	n, err := k.s.scan(ctx, k.c, recordTable, &after, func(id uint64, d decoder) error {
		r, err := d.record(k.names)
		switch {
		case err != nil:
			k.s.findings.quarantine(Damage{Kind: "record", Ref: id, Reason: err.Error()})
		case seen[r.recordKey]:
			k.s.findings.quarantine(Damage{Kind: "record", Ref: id, Reason: "it is there twice"})
		case r.kind == originRow:
			k.r.Origins++
		case r.kind == blockRow:
			k.r.Blocks++
		case r.kind == sessionRow:
			k.r.Sessions++
		case r.kind == accountRow:
			k.r.Accounts++
		case r.kind == attemptRow:
			k.r.Attempts++
		}
		seen[r.recordKey] = true
		return nil
	})
	k.have.records, k.incomplete = n, err != nil
	return err
}

func (k *checker) messages(ctx context.Context) error {
	rs, err := k.c.QueryContext(ctx, "SELECT seq, head, text FROM messages ORDER BY seq")
	if err != nil {
		return err
	}
	defer rs.Close()
	boxes := make(map[string]bool)
	var head, text sql.RawBytes
	for rs.Next() {
		var seq int64
		if err := rs.Scan(&seq, &head, &text); err != nil {
			return err
		}
		k.have.messages++
		if seq <= int64(k.have.lastSeq) {
			return &structureError{"messages are out of order"}
		}
		k.have.lastSeq = uint64(seq)
		k.message(uint64(seq), head, text, boxes)
	}
	k.r.Mailboxes = len(boxes)
	err = cmpErr(rs.Err(), rs.Close())
	k.incomplete = k.incomplete || err != nil
	return err
}

func (k *checker) message(seq uint64, head, text []byte, boxes map[string]bool) {
	m, err := k.s.message(seq, head, text, k.names)
	if err != nil {
		k.s.findings.quarantine(Damage{Kind: "message", Ref: seq, Reason: err.Error()})
		return
	}
	if len(m.Audience) == 0 {
		k.s.findings.quarantine(Damage{Kind: "message", Ref: seq, Reason: "it is for nobody"})
	}
	k.r.Messages++
	k.r.Octets += int64(m.Size)
	for _, name := range m.Audience {
		boxes[name] = true
	}
}

// compare compares what there is with what there should be.
func (k *checker) compare(ctx context.Context) error {
	var cell []byte
	err := k.c.QueryRowContext(ctx, "SELECT row FROM state WHERE id = ?", stateID).Scan(&cell)
	if err != nil {
		return &structureError{"the row of state: " + err.Error()}
	}
	var should counts
	d, err := onlyCell(cell, stateID, false)
	if err == nil {
		should, err = d.counts()
	}
	if err != nil {
		k.s.findings.tell(Damage{Kind: "state", Ref: stateID, Reason: err.Error()})
		return nil
	}
	k.r.Commits, k.r.LastSeq = should.commits, should.lastSeq
	if k.incomplete {
		return nil
	}
	if k.have.messages != should.messages {
		k.s.findings.tell(Damage{Kind: "message", Reason: fmt.Sprintf("there are %d and should be %d", k.have.messages, should.messages)})
	}
	if k.have.records != should.records {
		k.s.findings.tell(Damage{Kind: "record", Reason: fmt.Sprintf("there are %d and should be %d", k.have.records, should.records)})
	}
	if k.have.lastSeq > should.lastSeq {
		k.s.findings.tell(Damage{Kind: "message", Ref: k.have.lastSeq, Reason: "it is beyond the last"})
	}
	return nil
}
