// Package sqlitestore keeps a server's state in one SQLite file. What Commit
// has written is on stable storage: it survives the end of the process, of
// the system, and of the power.
//
// Beside the file lie, while it is open, its write-ahead log (-wal), the index
// of that (-shm), and a lock (.lock) that keeps a second server out. [Check] and
// [Backup] may run beside the server, also in another process. Package jsonl
// writes what a store holds as text; beside a server, take a backup's.
//
// # Damage
//
// Every row has a checksum. One that fails it is moved to quarantine, told to
// Options.OnDamage and the log, and stops neither the others nor the start. If
// the structure of the file itself is damaged, another file is made of all
// that can be read, and the damaged one is kept beside it as
// NAME.damaged-TIME. A log in which acknowledged commits are damaged is kept as
// NAME-wal.damaged-TIME; of both the newest three stay. A server that is killed
// in the middle of a commit leaves a log whose end is not whole: that is no
// damage, and only if it cannot be known for sure is a copy kept, as
// NAME-wal.interrupted. However much is damaged, the log gets some lines, and
// opening takes some 10 seconds a million rows. What is in quarantine takes as
// much room as it did before; Check says how much. A store that is exported
// and imported has none.
package sqlitestore

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// ErrInUse is what Open returns when another process has the store open.
var ErrInUse = errors.New("the data folder is in use by another chatd")

// ErrNewer is what a file of a later version of chatd gives.
var ErrNewer = sqlcore.ErrNewer

// Options say how a store is opened. The zero value is fine.
type Options struct {
	// Logger takes what an administrator should know: damage, as errors, and,
	// as information, that a commit was dropped in which the last server was
	// interrupted. nil is discarded.
	Logger *slog.Logger

	// OnDamage is called for damage, on the goroutine that found it, which
	// waits for it: for the first 20 damaged rows one by one, then with how
	// many they are. It must not call the store. nil does nothing.
	OnDamage func(Damage)
}

// Damage is something that the file should hold and does not, or not whole:
// of Kind message, record (an origin, a block, a session, an account, an
// attempt, the secret), row (one of these two), state, file, log, or tail. Ref
// is the Seq of a message and the number of a record, or 0: of many. A tail is
// the last commit in the log if it is not whole: most likely it was interrupted
// and never acknowledged, but it may have been stored and then damaged.
type Damage = sqlcore.Damage

// A Store is a [store.Store] in a file.
type Store struct {
	*sqlcore.Store
	path string
	lock *sql.DB
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the file at path, or makes it. The folder must
// exist.
func Open(path string, opts Options) (*Store, error) {
	return open(path, opts, settings{})
}

// settings are what tests turn off to show what it is good for.
type settings struct {
	noCRC      bool
	migrations []string
}

func open(path string, opts Options, set settings) (_ *Store, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path}
	if s.lock, err = lock(path); err != nil {
		return nil, fmt.Errorf("sqlitestore: opening %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			s.lock.Close()
			err = fmt.Errorf("sqlitestore: opening %s: %w", path, err)
		}
	}()
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	tell := func(d Damage) {
		if d.Kind == "tail" {
			logger.Info(droppedCommit, "file", path, "reason", d.Reason)
		} else {
			logger.Error("the store is damaged", "file", path, "what", d.Kind, "number", d.Ref, "reason", d.Reason)
		}
		if opts.OnDamage != nil {
			opts.OnDamage(d)
		}
	}
	if err := finishRebuild(path); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	lostLog, err := recoverLog(path, logger, tell)
	if err != nil {
		return nil, err
	}
	if err := checkFile(path); errors.As(err, new(*headError)) {
		tell(Damage{Kind: "file", Reason: err.Error()})
		if err := rebuild(path, tell, set); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	cfg := config(path)
	cfg.OnDamage, cfg.NoCRC, cfg.Migrations = tell, set.noCRC, set.migrations
	cfg.LostLog = lostLog
	cfg.Rebuild = func() error { return rebuild(path, tell, set) }
	s.Store, err = sqlcore.Open(cfg)
	return s, err
}

// config returns what every use of the file at path needs.
func config(path string) sqlcore.Config {
	return sqlcore.Config{
		Open: func() (*sql.DB, error) { return openFile(path, "rw") },
		Code: code,
		LogSize: func() int64 {
			fi, err := os.Stat(path + "-wal")
			if err != nil {
				return 0
			}
			return fi.Size()
		},
	}
}

// openFile opens a database that exists.
func openFile(path, mode string) (*sql.DB, error) {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/...
	}
	u := url.URL{Scheme: "file", Path: p, RawQuery: "mode=" + mode}
	return sql.Open("sqlite", u.String())
}

func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// create makes an empty file that only its owner can read, if there is none;
// SQLite gives the files beside it the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// lock keeps other servers away from the file at path as long as the result
// is open, and this process alive. It is SQLite's own lock, on an empty
// database, and so works wherever SQLite does.
func lock(path string) (*sql.DB, error) {
	path += ".lock"
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := openFile(path, "rw")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA busy_timeout = 0", "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"} {
		if _, err := db.Exec(q); err != nil {
			db.Close()
			const busy = 5
			if code(err)&0xff == busy {
				return nil, ErrInUse
			}
			return nil, err
		}
	}
	return db, nil
}

// Path returns the file.
func (s *Store) Path() string { return s.path }

// Close implements [store.Store].
func (s *Store) Close() error {
	return errors.Join(s.Store.Close(), s.lock.Close())
}
