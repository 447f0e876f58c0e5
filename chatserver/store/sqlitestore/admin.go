package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// A Report is what Check found in a store's file.
type Report = sqlcore.Report

// Check reads all of the store in the file at path, and changes nothing. It
// verifies SQLite's structures, the checksum of each row, the number of rows,
// and, unless a server has it open, the write-ahead log. What is wrong stands
// in the report; the error says that Check could not look. A server may have
// the store open meanwhile: it is checked as of one moment.
func Check(ctx context.Context, path string) (*Report, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	report, err := check(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: checking %s: %w", path, err)
	}
	return report, nil
}

func check(ctx context.Context, path string) (*Report, error) {
	var found []Damage
	if err := checkFile(path); errors.As(err, new(*headError)) {
		found = append(found, Damage{Kind: "file", Reason: err.Error()})
	} else if err != nil {
		return nil, err
	}
	if l, err := lock(path); err == nil { // nobody writes to the log
		log, err := os.ReadFile(path + "-wal")
		l.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		switch end := judgeLog(log, path); end.verdict {
		case undecided:
			found = append(found, Damage{Kind: "tail", Reason: end.reason})
		case damaged:
			found = append(found, Damage{Kind: "log", Reason: end.reason})
		}
	}
	db, err := openFile(path, "ro")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	report, err := sqlcore.Check(ctx, db, code)
	if err != nil {
		return nil, err
	}
	report.Damage = append(found, report.Damage...)
	return report, nil
}

// Backup copies the store in the file at path, as of one moment, to a new
// file, which it makes compact, checks, and syncs. It returns the report of
// the copy: rows that are damaged in the one are damaged in the other. It does
// not overwrite a file. A server may have the store open meanwhile, in this
// process or another; while the copy is made, the server's log grows.
//
// Origins and sessions are left out: a server that came back with those of
// then would take clients' numbers for decided that they have used since (SPEC
// section 6.6). Its clients notice, begin anew, and report what was unanswered
// as unknown. The rest, mail above all, is as it was.
//
// The copy is a store by itself: to restore it, put it in the place of the
// server's file when that has ended, after removing what is left of its log
// (NAME-wal and NAME-shm).
func Backup(ctx context.Context, path, file string) (*Report, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		file, err = filepath.Abs(file)
	}
	var report *Report
	if err == nil {
		report, err = backup(ctx, path, file)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: backing up %s to %s: %w", path, file, err)
	}
	return report, nil
}

func backup(ctx context.Context, path, file string) (report *Report, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	partial := file + ".partial"
	for _, name := range []string{file, partial} {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		defer func() {
			if report == nil {
				os.Remove(name)
			}
		}()
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	db, err := openFile(path, "ro")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", partial); err != nil {
		return nil, err
	}
	if err := forgetClients(ctx, partial); err != nil {
		return nil, err
	}
	r, err := check(ctx, partial)
	if err != nil {
		return nil, err
	}
	err = errors.Join(syncFile(partial), removeAll(partial+".lock"), os.Rename(partial, file), syncNames(file))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// forgetClients takes the origins and sessions out of a copy.
func forgetClients(ctx context.Context, path string) (err error) {
	db, err := openFile(path, "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := sqlcore.ForgetClients(ctx, db); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM")
	return err
}

// Backup is [Backup] of the store's file.
func (s *Store) Backup(ctx context.Context, file string) (*Report, error) {
	return Backup(ctx, s.path, file)
}
