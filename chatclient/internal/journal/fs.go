package journal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// An FS is what a Journal needs of a file system.
type FS interface {
	// Open opens a file, making it if need be, and locks it: ErrInUse if
	// somebody else has it open.
	Open(path string) (File, error)
	// Create makes an empty file, in the place of an old one, and locks it.
	Create(path string) (File, error)
	// Rename gives a file the name of another, which it replaces.
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes what happened to the names in path's folder durable.
	SyncDir(path string) error
}

// A File is an open, locked file. Close unlocks it.
type File interface {
	io.WriterAt
	io.Closer
	ReadAll() ([]byte, error)
	Truncate(size int64) error
	Sync() error
}

// ErrInUse says that somebody else has the file open.
var ErrInUse = errors.New("in use by another program")

// Disk is the file system of the machine.
var Disk FS = disk{}

type disk struct{}

type diskFile struct{ *os.File }

func (f diskFile) ReadAll() ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f.File, 0, math.MaxInt64))
}

// mode lets nobody else read messages.
const mode = 0o600

func (disk) Open(path string) (File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		current, err := lockNamed(f, path)
		if err != nil {
			f.Close()
			return nil, err
		}
		if current {
			return diskFile{f}, nil
		}
		f.Close()
	}
}

// lockNamed locks f and reports whether path still means it: whoever had the
// lock may have replaced the file meanwhile.
func lockNamed(f *os.File, path string) (bool, error) {
	is, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !is.Mode().IsRegular() {
		return false, fmt.Errorf("%s: not a regular file", path)
	}
	if err := lock(f); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(is, named), err
}

func (disk) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }
func (disk) Remove(path string) error     { return os.Remove(path) }

func (disk) SyncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
