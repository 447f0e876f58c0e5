package chatclient

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient/internal/journal"
	"github.com/parleyproto/parley/chatproto"
)

// A StateFile is what a client must not forget, in one file: its origin and the
// number of its last request, the messages that are sent and not answered,
// private ones too, and what it has seen of whom. With it (Config.StateFile) a client keeps its
// promises when the program or the machine dies; see the package's comment.
//
// One Client at a time uses a StateFile, for one user; another may use it when
// that Client is Done. The file has mode 0600 and holds texts of messages.
type StateFile struct {
	path string

	io sync.Mutex // one write at a time; taken before mu
	j  *journal.Journal

	mu     sync.Mutex
	img    image
	buf    []byte // records of img that are not in the file yet
	pos    uint64 // how many records there have been
	fixed  uint64 // pos at the last record that raised the counter
	inUse  bool
	closed bool

	mutant mutant
}

// A mutant leaves a rule out, so that tests can show that they notice.
type mutant struct{ sendUnsynced, ackUnsynced, privateUnsynced bool }

// Errors of a StateFile.
var (
	// ErrStateInUse says that another program, or another StateFile or Client of
	// this one, uses the file.
	ErrStateInUse = errors.New("the state is in use by another program")

	// ErrStateDamaged says that the file is not as it was written, and not by
	// a write that was cut short, which is harmless.
	ErrStateDamaged = errors.New("the state file is damaged")

	// ErrStateUser says that the state is another user's.
	ErrStateUser = errors.New("the state is another user's")

	// ErrState says that the state could not be written, with the reason: the
	// disk is full, say. A Send that returns it has sent nothing, unless the
	// error matches ErrUnknown as well.
	ErrState = errors.New("the state file cannot be written")
)

// OpenStateFile opens a state file, or makes one. The file is locked until
// [StateFile.Close] or the end of the program. An error that matches
// [ErrStateInUse], [ErrStateDamaged] or errors.ErrUnsupported (systems on
// which a file cannot be locked) says so; every error names the file.
func OpenStateFile(path string) (*StateFile, error) { return openStateFile(journal.Disk, path) }

func openStateFile(fs journal.FS, path string) (*StateFile, error) {
	j, batches, err := journal.Open(fs, path)
	if err != nil {
		return nil, openError(err)
	}
	s := &StateFile{path: path, j: j}
	if len(batches) == 0 {
		s.img.origin = newOrigin()
		if err := j.Rewrite(s.img.snapshot(time.Now())); err != nil {
			j.Close()
			return nil, fmt.Errorf("chatclient: cannot make a state file: %w", err)
		}
		return s, nil
	}
	for _, batch := range batches {
		for len(batch) > 0 {
			var r record
			if batch, err = r.read(batch); err == nil {
				err = s.img.apply(&r)
			}
			if err != nil {
				j.Close()
				return nil, openError(fmt.Errorf("%s: %w: %w", path, journal.ErrDamaged, err))
			}
		}
	}
	return s, nil
}

// openError tells what can be done.
func openError(err error) error {
	switch {
	case errors.Is(err, journal.ErrInUse):
		return fmt.Errorf("chatclient: %w: %w", ErrStateInUse, err)
	case errors.Is(err, journal.ErrDamaged):
		return fmt.Errorf("chatclient: %w: %w; put a copy of it back, or move it away to begin as a new client "+
			"(then messages without an answer are not sent again, and messages that were seen may be shown again)", ErrStateDamaged, err)
	case errors.Is(err, journal.ErrForeign):
		return fmt.Errorf("chatclient: %w: give the name of a new file, or of one that OpenStateFile made", err)
	}
	return fmt.Errorf("chatclient: cannot open the state: %w", err)
}

// Close closes the file, so that another program may open it. It fails while
// a Client uses the StateFile: wait for that Client's Done first.
func (s *StateFile) Close() error {
	s.mu.Lock()
	if s.inUse {
		s.mu.Unlock()
		return fmt.Errorf("chatclient: %s: %w", s.path, ErrStateInUse)
	}
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	// With this behind it, damage to the last write is told from a write that
	// was cut short.
	s.append(&record{kind: recEnd})
	_, err := s.sync()
	if err := errors.Join(err, s.j.Close()); err != nil {
		return stateError(err)
	}
	return nil
}

// attach takes the file for a client, with all that is in it durable.
func (s *StateFile) attach() error {
	s.mu.Lock()
	closed, inUse := s.closed, s.inUse
	s.inUse = true
	s.mu.Unlock()
	switch {
	case closed:
		return fmt.Errorf("chatclient: %s: the state is closed", s.path)
	case inUse:
		return fmt.Errorf("chatclient: %s: %w", s.path, ErrStateInUse)
	}
	if _, err := s.sync(); err != nil {
		s.detach()
		return stateError(err)
	}
	return nil
}

func stateError(err error) error { return fmt.Errorf("chatclient: %w: %w", ErrState, err) }

func (s *StateFile) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse = false
}

// append notes a change, to be written by the next sync, and returns its
// position.
func (s *StateFile) append(r *record) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.note(r)
}

// note is append. mu is held.
func (s *StateFile) note(r *record) uint64 {
	before := s.img.counter
	if err := s.img.apply(r); err != nil {
		panic(err) // a kind that this package does not have
	}
	s.buf = r.append(s.buf)
	s.pos++
	if s.img.counter != before {
		s.fixed = s.pos
	}
	return s.pos
}

// reserveAhead is how many numbers are written down at once for requests that
// are no messages: so many are left out at most after a restart.
const reserveAhead = 64

// number notes that a request other than a message has number n, and returns
// the position that must be synced before it is sent.
func (s *StateFile) number(n uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.img.counter {
		s.note(&record{kind: recCounter, num: [4]uint64{n + reserveAhead - 1}})
	}
	return s.fixed
}

// fresh and take are those of the receive window.
func (s *StateFile) fresh(from string, id chatproto.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.img.window.fresh(from, id)
}

func (s *StateFile) take(from string, id chatproto.ID, now time.Time) {
	m := mark{source{from, id.Origin}, id.N, now}
	r := m.record()
	s.append(&r)
}

// at returns the position of the last change.
func (s *StateFile) at() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos
}

// sync makes all changes durable that were noted before it was called, and
// returns the position of the last. If it fails none of them counts, and a
// later sync writes the whole state anew.
func (s *StateFile) sync() (pos uint64, err error) {
	s.io.Lock()
	defer s.io.Unlock()
	s.mu.Lock()
	pos = s.pos
	if s.j.Broken() {
		return pos, s.rewrite()
	}
	batch := s.buf
	s.buf = nil
	s.mu.Unlock()
	if len(batch) == 0 {
		return pos, nil
	}
	if err := s.j.Append(batch); err != nil {
		return pos, err
	}
	if !s.j.Grown() {
		return pos, nil
	}
	s.mu.Lock()
	rewritten := s.pos
	if err := s.rewrite(); err == nil {
		return rewritten, nil
	}
	s.j.PutOff() // the old file goes on, or else the next sync says why it cannot
	return pos, nil
}

// rewrite writes the whole state. io and mu are held; mu is released.
func (s *StateFile) rewrite() error {
	snapshot := s.img.snapshot(time.Now())
	batch := s.buf
	s.buf = nil
	s.mu.Unlock()
	err := s.j.Rewrite(snapshot)
	if err != nil && !s.j.Broken() {
		s.mu.Lock()
		s.buf = append(batch, s.buf...)
		s.mu.Unlock()
	}
	return err
}
