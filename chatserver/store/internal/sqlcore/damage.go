package sqlcore

import (
	"errors"
	"fmt"
)

// Damage is something that the file should hold and does not, or not whole.
type Damage struct {
	Kind   string // message, record, row, state, file or log
	Ref    uint64 // Seq of the message, id of the record; 0: of no one, or of many
	Reason string
}

func (d Damage) String() string {
	if d.Ref == 0 {
		return d.Kind + ": " + d.Reason
	}
	return fmt.Sprintf("%s %d: %s", d.Kind, d.Ref, d.Reason)
}

// The SQLite result codes that tell damage. An unspecific error is one: our
// statements are right, so the tables that they name are not there.
const (
	codeError   = 1
	codeCorrupt = 11
	codeNotADB  = 26
)

// structural reports whether err says that the file is damaged beyond a row.
func (s *Store) structural(err error) bool {
	var d *structureError
	if errors.As(err, &d) {
		return true
	}
	if errors.As(err, new(*migrationError)) {
		return false
	}
	switch s.cfg.Code(err) & 0xff {
	case codeError, codeCorrupt, codeNotADB:
		return true
	}
	return false
}

// A structureError is damage to the structure that SQLite does not notice.
type structureError struct{ reason string }

func (e *structureError) Error() string { return e.reason }

// rebuild replaces the damaged file and opens the new one. The caller holds
// mu, or is alone.
func (s *Store) rebuild(reason error) error {
	s.findings.tell(Damage{Kind: "file", Reason: reason.Error()})
	if s.cfg.Rebuild == nil {
		return reason
	}
	s.closeHandle()
	s.findings.drop() // the rebuilding does it
	if err := s.cfg.Rebuild(); err != nil {
		s.failed = true
		return fmt.Errorf("the database is damaged (%w), and making another from it failed: %w", reason, err)
	}
	s.failed = false
	return s.open()
}

func (s *Store) setCorrupt(err error) {
	s.corruptMu.Lock()
	s.corrupt = err
	s.corruptMu.Unlock()
}

func (s *Store) takeCorrupt() error {
	s.corruptMu.Lock()
	defer s.corruptMu.Unlock()
	err := s.corrupt
	s.corrupt = nil
	return err
}
