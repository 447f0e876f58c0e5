// Package journal keeps a small state in one file that survives the death of
// the program and a power cut: a log of batches, each with a checksum and
// synced before the next is begun, that is written anew, as one snapshot, when
// it has grown.
//
// The promise: when Append or Rewrite has returned nil the batch is found by
// every later Open. A batch whose Append did not return, or failed, is found
// whole or not at all.
package journal

import (
	"errors"
	"fmt"
)

// A Journal is an open file. One goroutine at a time may use it.
type Journal struct {
	fs   FS
	path string
	f    File
	seq  uint64 // of the last batch
	size int64  // of what is synced
	base int64  // the size after the last rewrite

	broken bool // the file can only be written anew
	clean  bool // no batch that failed can be in the file
}

// ErrBroken says that an earlier write failed, so that only Rewrite helps.
var ErrBroken = errors.New("an earlier write failed")

// grownFrom is the size from which on a log is worth compacting.
const grownFrom = 64 << 10

// Open opens the file, locks it, and returns its batches, the oldest first.
// One that is missing or empty gives none: it must be begun by Rewrite. A
// last batch that is torn was never promised and is cut off.
func Open(fs FS, path string) (*Journal, [][]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{fs: fs, path: path, f: f, clean: true}
	batches, err := j.load()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return j, batches, nil
}

func (j *Journal) load() ([][]byte, error) {
	data, err := j.f.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		j.broken = true
		return nil, nil
	}
	found, err := scan(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.path, err)
	}
	j.seq, j.size, j.base = found.seq, found.size, found.base
	j.broken = found.version < version
	if j.size < int64(len(data)) {
		if err := j.f.Truncate(j.size); err != nil {
			return nil, err
		}
	}
	// What was read may be in the memory of a machine whose program died
	// before its sync returned: it is relied on from now on.
	if err := j.f.Sync(); err != nil {
		return nil, err
	}
	if err := j.fs.SyncDir(j.path); err != nil {
		return nil, err
	}
	_ = j.fs.Remove(j.path + newSuffix) // what a rewrite left that was cut short; the next one overwrites it
	return found.batches, nil
}

// Append adds a batch, which must not be empty, and syncs it.
func (j *Journal) Append(batch []byte) error {
	if j.broken {
		return ErrBroken
	}
	frame := appendFrame(nil, j.seq+1, batch)
	_, err := j.f.WriteAt(frame, j.size)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// A system may report a failed sync once and forget it, so nothing
		// that is appended to this file would be certain any more.
		j.broken = true
		j.clean = j.f.Truncate(j.size) == nil && j.f.Sync() == nil
		return err
	}
	j.seq++
	j.size += int64(len(frame))
	return nil
}

// Grown reports whether the log is so much longer than its last snapshot that
// Rewrite is worth it.
func (j *Journal) Grown() bool { return j.size > grownFrom && j.size > 4*j.base }

// PutOff lets the log grow to twice its size before Grown says so again.
func (j *Journal) PutOff() { j.base = j.size / 2 }

// newSuffix names the file that a rewrite makes beside the old one.
const newSuffix = ".new"

// Rewrite replaces the file by one that holds the snapshot alone. If it fails
// the old file goes on, unless it was, or now is, broken.
func (j *Journal) Rewrite(snapshot []byte) error {
	name := j.path + newSuffix
	f, err := j.fs.Create(name)
	if err != nil {
		return err
	}
	frame := appendFrame(header(), j.seq+1, snapshot)
	if _, err = f.WriteAt(frame, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		_ = j.fs.Remove(name) // to give the space back; what is left is overwritten
		return err
	}
	err = j.fs.Rename(name, j.path)
	if err != nil {
		f.Close()
		j.broken, j.clean = true, false // which of the two the name means now is not certain
		return err
	}
	j.f.Close() // it has no name any more
	j.f = f
	j.seq++
	j.size, j.base = int64(len(frame)), int64(len(frame))
	j.broken, j.clean = true, false
	if err := j.fs.SyncDir(j.path); err != nil {
		return err
	}
	j.broken, j.clean = false, true
	return nil
}

// Broken reports whether only Rewrite helps: a write failed, or the file is
// new, or of an older version.
func (j *Journal) Broken() bool { return j.broken }

// Clean reports that no batch that failed will be found by a later Open.
func (j *Journal) Clean() bool { return j.clean }

// Close closes and unlocks the file.
func (j *Journal) Close() error { return j.f.Close() }
