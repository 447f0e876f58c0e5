package sqlitestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"

	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// A rebuild makes NAME.rebuild out of all that can be read of the damaged
// file NAME, links the latter as NAME.damaged-TIME, and renames the former to
// NAME.rebuilt. From then on finishRebuild completes it, also after a crash.

// rebuild replaces the damaged file at path. Nobody has it open.
func rebuild(path string, tell func(Damage), set settings) error {
	ctx := context.Background()
	next := path + ".rebuild"
	if err := removeAll(next, next+"-wal", next+"-shm"); err != nil {
		return err
	}
	if err := create(next); err != nil {
		return err
	}
	cfg := config(next)
	cfg.OnDamage, cfg.NoCRC, cfg.Migrations = tell, set.noCRC, set.migrations
	dst, err := sqlcore.Open(cfg)
	if err != nil {
		return err
	}
	defer dst.Close()
	c, err := openCarver(path)
	if err != nil {
		return err
	}
	if err := errors.Join(dst.Fill(ctx, c.rows(false), c.rows(true)), c.close(), dst.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(next + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was not written through (%v)", next, err)
	}
	if err := keep(path); err != nil {
		return err
	}
	if err := errors.Join(syncFile(next), os.Rename(next, path+".rebuilt"), syncNames(path)); err != nil {
		return err
	}
	return finishRebuild(path)
}

// finishRebuild puts a rebuilt file into the place of the damaged one.
func finishRebuild(path string) error {
	if _, err := os.Stat(path + ".rebuilt"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// The log of the damaged file must not be read into the new one.
	return errors.Join(removeAll(path+"-wal", path+"-shm"), os.Rename(path+".rebuilt", path), syncNames(path))
}

// syncFile makes a file durable.
func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncNames makes the names of a file's folder durable, where a system does
// not do that by itself.
func syncNames(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeAll(names ...string) (err error) {
	for _, name := range names {
		if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// The head of the first page, see https://www.sqlite.org/fileformat.html.
const (
	headSize = 100
	pageSize = 4096
)

// distance counts the bits that differ.
func distance(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// errNotOurs says that a file is no database of chatd's.
var errNotOurs = errors.New("this is not a chatd database")

// A headError says that the head of the file is damaged.
type headError struct{ field string }

func (e *headError) Error() string { return "the head of the file is damaged: " + e.field }

// headFields are the fields of the head that are always as they are written,
// or, some, zero as long as the file is empty.
var headFields = []struct {
	name string
	at   int
	want string
	zero bool
}{
	{"magic", 0, "SQLite format 3\x00", false},
	{"page size", 16, "\x10\x00", false},
	{"reserved space and fractions", 20, "\x00\x40\x20\x20", false},
	{"schema format", 44, "\x00\x00\x00\x04", true},
	{"default cache size", 48, "\x00\x00\x00\x00", false},
	{"auto_vacuum", 52, "\x00\x00\x00\x00", false},
	{"encoding", 56, "\x00\x00\x00\x01", true},
	{"incremental vacuum", 64, "\x00\x00\x00\x00", false},
	{"reserved", 72, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", false},
}

// checkHead reports damage to the head of the first page, which SQLite would
// not notice or would call something else. It returns errNotOurs for a file that
// differs by more than damage does.
func checkHead(b []byte) error {
	var err error
	wrong := 0
	for _, f := range headFields {
		got := b[f.at : f.at+len(f.want)]
		if n := distance(got, []byte(f.want)); n > 0 && !(f.zero && bytes.Count(got, []byte{0}) == len(got)) {
			wrong += n
			err = &headError{f.name}
		}
	}
	version, app := binary.BigEndian.Uint32(b[60:]), binary.BigEndian.Uint32(b[68:])
	if want := uint32(sqlcore.ApplicationID(int(version))); (version != 0 || app != 0) && (app != want || version > 255) {
		wrong += 4*bits.OnesCount32(app^want) + bits.OnesCount32(version>>8)
		err = &headError{"version"}
	}
	if b[18] != b[19] || b[18] != 1 && b[18] != 2 {
		wrong++
		err = &headError{"journal mode"}
	}
	if wrong > 32 && !bytes.Contains(b, []byte(sqlcore.Mark)) && bytes.Count(b[:headSize], []byte{0}) < headSize {
		return errNotOurs
	}
	return err
}

// checkFile is checkHead of the file at path.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, pageSize)
	switch n, err := f.ReadAt(page, 0); {
	case n == 0 && err == io.EOF:
		return nil // a new file
	case n < headSize && err == io.EOF:
		return errNotOurs
	case err != nil && err != io.EOF:
		return err
	}
	return checkHead(page)
}
