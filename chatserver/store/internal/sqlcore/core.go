// Package sqlcore is a [store.Store] in an SQLite database, without the
// driver: package sqlitestore runs it on the driver that chatd ships, and the
// power-cut tests run the same SQL on one whose file system they can crash.
//
// # What is written
//
// Four tables: messages, in the order of arrival; records, the origins,
// blocks, sessions, accounts, attempts and the secret; state, one row that says how many rows there must be;
// and quarantine, where rows go that fail their checksum. See row.go for the
// rows and schema.go for the schema.
//
// # After an error
//
// A commit that fails leaves the outcome unknown. The writing connection is
// closed, and the next Commit opens another before it writes. What that one
// writes is written and synced anew by SQLite, frame by frame; nothing that
// the failed sync was to save counts as saved.
package sqlcore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// A Config says what a Store runs on.
type Config struct {
	// Open opens the database: one connection that writes, and one that
	// reads unless Single is set. Open makes the log durable that it finds:
	// what a process wrote whose sync failed may be in the kernel's cache
	// and on no disk, and would be taken for stored.
	Open func() (*sql.DB, error)

	// Code returns the SQLite result code of a driver's error, 0 if it is
	// another error.
	Code func(error) int

	// Single keeps to one connection with the database locked, for file
	// systems that have no memory to share between connections.
	Single bool

	// Synchronous is FULL if empty. A test shows what less loses.
	Synchronous string

	// Checkpoint is after how many pages of log SQLite moves them to the
	// file; 0 is 1,000.
	Checkpoint int

	// LogSize returns the size of the log in octets; nil if nobody cares.
	LogSize func() int64

	// Rebuild replaces a database whose structure is damaged by one that
	// has all that can be read of it. It is called with the database closed.
	// nil returns the damage as an error.
	Rebuild func() error

	// OnDamage is told of the damage found: in the life of the Store, of the
	// first 20 damaged rows one by one, and of how many they are.
	OnDamage func(Damage)

	// LostLog says that commits are lost with the log, so that the last Seq
	// is not known.
	LostLog bool

	// NoCRC is for the test that shows what checksums find.
	NoCRC bool

	// Migrations replaces the schema, for tests.
	Migrations []string
}

// maxLog is the size of the log above which a commit waits for its readers
// and cuts it. It gets there only beside a reader that stays for long.
const maxLog = 64 << 20

var errClosed = errors.New("the store is closed")

// A Store is a [store.Store] in SQLite.
type Store struct {
	cfg Config

	mu      sync.Mutex // of the writing side
	closed  bool
	h       *handle // nil after an error that left nothing open
	failed  bool    // the last commit failed: open another connection first
	counts  counts
	index   map[keySum]place
	salt    string // of the index
	lastID  int64  // the highest id of a record
	row     []byte // scratch
	args    []any  // scratch
	logSeen int64  // the log's size when it was last cut

	reading sync.Mutex // of handle.r; taken after mu

	findings findings

	corruptMu sync.Mutex
	corrupt   error // the structure is damaged: rebuild first
}

// A place says where a record is. Of a session it holds the origin, too.
type place struct {
	id     int64
	origin uint64
}

// A handle is an open database.
type handle struct {
	db   *sql.DB
	w, r *sql.Conn // the same if Single

	stmts map[string]*sql.Stmt // on w, by their text; made when first used
	read  *sql.Stmt            // on r
}

// Open opens the database that cfg names.
func Open(cfg Config) (*Store, error) {
	if cfg.Synchronous == "" {
		cfg.Synchronous = "FULL"
	}
	if cfg.Checkpoint == 0 {
		cfg.Checkpoint = 1000
	}
	if cfg.Migrations == nil {
		cfg.Migrations = migrations
	}
	s := &Store{cfg: cfg, salt: rand.Text(), findings: findings{onDamage: cfg.OnDamage}}
	err := s.open()
	if err != nil && s.structural(err) {
		err = s.rebuild(err)
	}
	if err != nil {
		s.closeHandle()
		return nil, err
	}
	s.findings.sum(false)
	if cfg.LostLog {
		s.counts.lastSeq += seqJump
	}
	return s, nil
}

// open opens the database anew and reads what a commit must know.
func (s *Store) open() error {
	ctx := context.Background()
	old := s.h
	if s.cfg.Single {
		s.closeHandle()
		old = nil
	} else if old != nil {
		old.closeWriter() // the reader stays until there is another
	}
	h, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.reading.Lock()
	s.h = h
	s.reading.Unlock()
	if old != nil {
		old.close()
	}
	return s.readCounts(ctx)
}

func (s *Store) connect(ctx context.Context) (h *handle, err error) {
	h = &handle{stmts: make(map[string]*sql.Stmt)}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.db, err = s.cfg.Open(); err != nil {
		return h, err
	}
	h.db.SetMaxOpenConns(2)
	h.db.SetMaxIdleConns(-1) // a connection given back is closed
	if h.w, err = h.db.Conn(ctx); err != nil {
		return h, err
	}
	if err := s.configure(ctx, h.w); err != nil {
		return h, err
	}
	if err := migrate(ctx, h.w, s.cfg.Migrations); err != nil {
		return h, err
	}
	if h.r = h.w; !s.cfg.Single {
		if h.r, err = h.db.Conn(ctx); err != nil {
			return h, err
		}
		if err := execAll(ctx, h.r, common+"; PRAGMA query_only = ON"); err != nil {
			return h, err
		}
	}
	h.read, err = h.r.PrepareContext(ctx, "SELECT seq, head, text FROM messages WHERE seq IN (SELECT value FROM json_each(?))")
	return h, err
}

// common are the settings of every connection. cell_size_check finds pages
// that are damaged before their cells are followed.
const common = "PRAGMA busy_timeout = 10000; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY"

// configure makes c the connection that writes. There is no auto_vacuum: the
// space of deleted messages is used again by later ones, and the pages that
// auto_vacuum keeps to move others would have to be written when a message is
// accepted. A backup is compact.
func (s *Store) configure(ctx context.Context, c *sql.Conn) error {
	if s.cfg.Single {
		if _, err := c.ExecContext(ctx, "PRAGMA locking_mode = EXCLUSIVE"); err != nil {
			return err
		}
	}
	if err := execAll(ctx, c, common); err != nil {
		return err
	}
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not allow a write-ahead log (journal mode %q)", mode)
	}
	return execAll(ctx, c, fmt.Sprintf("PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d; PRAGMA cache_size = -16000",
		s.cfg.Synchronous, s.cfg.Checkpoint, 16<<20))
}

func execAll(ctx context.Context, c *sql.Conn, script string) error {
	_, err := c.ExecContext(ctx, script)
	return err
}

// prepared returns a statement of the writing connection, made when it is
// first asked for.
func (h *handle) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := h.stmts[query]; st != nil {
		return st, nil
	}
	st, err := h.w.PrepareContext(ctx, query)
	if err == nil {
		h.stmts[query] = st
	}
	return st, err
}

// exec runs a statement on the writing connection.
func (h *handle) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := h.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// closeWriter closes the connection that writes. Its statements go first: with
// one of them open SQLite would keep the connection, and not write the log
// through when the last one ends.
func (h *handle) closeWriter() {
	for _, st := range h.stmts {
		st.Close()
	}
	clear(h.stmts)
	if h.w != nil {
		h.w.Close()
	}
}

func (h *handle) close() error {
	if h == nil || h.db == nil {
		return nil
	}
	if h.read != nil {
		h.read.Close()
	}
	if h.r != nil && h.r != h.w {
		h.r.Close()
	}
	h.closeWriter()
	return h.db.Close()
}

func (s *Store) closeHandle() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	err := s.h.close()
	s.h = nil
	return err
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var err error
	if !s.failed {
		err = s.moveAll(context.Background())
	}
	s.findings.sum(true)
	s.closed = true
	return errors.Join(err, s.closeHandle())
}

// ready makes the database usable for a commit, or says why it is not. The
// caller holds mu.
func (s *Store) ready() error {
	if s.closed {
		return errClosed
	}
	if reason := s.takeCorrupt(); reason != nil {
		if err := s.rebuild(reason); err != nil {
			s.setCorrupt(reason)
			return err
		}
	}
	if s.failed || s.h == nil {
		s.failed = true
		if err := s.open(); err != nil {
			if s.structural(err) {
				s.setCorrupt(err)
			}
			return fmt.Errorf("opening the database again: %w", err)
		}
		s.failed = false
	}
	return nil
}
