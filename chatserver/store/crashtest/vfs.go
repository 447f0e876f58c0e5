// Package crashtest runs the SQL of sqlitestore on a disk that loses power, or
// fails, whenever a test wants. It is a module of its own because the SQLite
// that allows a file system written in Go is not the one that chatd ships: the
// same SQLite, translated by others.
package crashtest

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A Disk is a file system in memory whose files are known twice: as programs
// see them, and as they are on the medium. A sync makes the second like the
// first. When the power is cut, every sector that was written since keeps its
// content on the medium or gets one of those written since, at random; so do
// a file's size, and the names of files in the folder.
type Disk struct {
	rnd    *rand.Rand
	sector int

	dir, stableDir map[string]*inode

	ops       int // that change something, so far
	fault     func(op int, kind Op) Fault
	noRewrite bool // Rewrite does nothing, to show what it is good for

	dead  bool    // no power
	keep  float64 // of the sectors not synced, how many get to the medium
	stats Stats
}

// An Op is a kind of operation that can fail.
type Op byte

// The kinds of operations.
const (
	OpWrite    Op = 'w'
	OpSync     Op = 's'
	OpTruncate Op = 't'
	OpDelete   Op = 'd'
)

// A Fault is what an operation meets.
type Fault byte

// The faults. A write that fails may have written a part. A sync that fails
// leaves the medium as a power cut would, and the system takes for written
// what was not: a later sync succeeds and writes none of it (what Linux does).
const (
	NoFault Fault = iota
	NoSpace
	IOError
	PowerCut
)

// Stats counts what a disk went through.
type Stats struct {
	Cuts, Kept, Dropped, Faults int // Kept and Dropped: sectors not synced, at the cuts
}

// NewDisk returns an empty disk with sectors of so many octets.
func NewDisk(rnd *rand.Rand, sector int) *Disk {
	return &Disk{rnd: rnd, sector: sector, keep: 0.5, dir: make(map[string]*inode), stableDir: make(map[string]*inode)}
}

// An inode is a file.
type inode struct {
	data   []byte           // as programs see it
	stable []byte           // as it is on the medium
	dirty  map[int][][]byte // what was written to each sector since the last sync
}

// step counts an operation and returns its fault.
func (d *Disk) step(kind Op) error {
	if d.dead {
		return sqlite3.IOERR
	}
	d.ops++
	if d.fault == nil {
		return nil
	}
	f := d.fault(d.ops, kind)
	if f != NoFault {
		d.stats.Faults++
	}
	switch f {
	case PowerCut:
		d.dead = true
		return sqlite3.IOERR
	case NoSpace:
		return sqlite3.FULL
	case IOError:
		return map[Op]error{
			OpWrite: sqlite3.IOERR_WRITE, OpSync: sqlite3.IOERR_FSYNC, OpTruncate: sqlite3.IOERR_TRUNCATE, OpDelete: sqlite3.IOERR_DELETE,
		}[kind]
	}
	return nil
}

// Restore is what is found when the power is back.
func (d *Disk) Restore() {
	d.dead = false
	d.stats.Cuts++
	// Sometimes nearly all gets to the medium, or nearly nothing: else a
	// commit of many sectors would hardly ever be found whole.
	d.keep = []float64{0, 0.05, 0.5, 0.5, 0.95, 1}[d.rnd.IntN(6)]
	dir := maps.Clone(d.stableDir)
	for _, name := range slices.Sorted(maps.Keys(d.dir)) {
		if d.rnd.IntN(2) == 0 {
			dir[name] = d.dir[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.stableDir)) {
		if d.dir[name] == nil && d.rnd.IntN(2) == 0 {
			delete(dir, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dir)) {
		n := dir[name]
		n.stable = d.medium(n)
		n.data, n.dirty = slices.Clone(n.stable), make(map[int][][]byte)
	}
	d.dir, d.stableDir = dir, maps.Clone(dir)
}

// medium draws what may be on the medium of a file that was not synced.
func (d *Disk) medium(n *inode) []byte {
	size := len(n.stable)
	if len(n.data) != size {
		switch lo, hi := min(size, len(n.data)), max(size, len(n.data)); {
		case d.rnd.Float64() < d.keep:
			size = len(n.data)
		case d.rnd.IntN(2) == 0:
			size = lo + d.rnd.IntN(hi-lo+1)
		}
	}
	out := make([]byte, size)
	copy(out, n.stable)
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		at := s * d.sector
		if at >= size {
			continue
		}
		if d.rnd.Float64() < d.keep {
			i := len(n.dirty[s]) - 1
			if d.keep < 0.9 {
				i = d.rnd.IntN(i + 1)
			}
			copy(out[at:], n.dirty[s][i])
			d.stats.Kept++
			continue
		}
		d.stats.Dropped++
		if at >= len(n.stable) && d.rnd.IntN(2) == 0 { // never written: whatever was there
			for j := at; j < min(at+d.sector, size); j++ {
				out[j] = byte(d.rnd.Uint32())
			}
		}
	}
	return out
}

// Rewrite writes a file's content again and syncs it: what a failed sync left
// in the cache alone gets to the medium.
func (d *Disk) Rewrite(name string) error {
	n := d.dir[name]
	if n == nil || len(n.data) == 0 || d.noRewrite {
		return nil
	}
	if d.fault == nil && !d.dead {
		d.ops += 2
		n.stable, n.dirty = append(n.stable[:0], n.data...), make(map[int][][]byte)
		d.stableDir = maps.Clone(d.dir)
		return nil
	}
	f := &file{d: d, n: n, name: name}
	if _, err := f.WriteAt(slices.Clone(n.data), 0); err != nil {
		return err
	}
	return f.Sync(0)
}

// resize changes the size; what lies between is zero.
func (d *Disk) resize(n *inode, size int) {
	old := len(n.data)
	if size <= old {
		n.data = n.data[:size]
		return
	}
	n.data = append(n.data, make([]byte, size-old)...)
	for s := old / d.sector; s*d.sector < size; s++ {
		d.remember(n, s)
	}
}

// remember notes the content of a sector as one that may reach the medium.
func (d *Disk) remember(n *inode, s int) {
	n.dirty[s] = append(n.dirty[s], slices.Clone(n.data[s*d.sector:min((s+1)*d.sector, len(n.data))]))
}

func (d *Disk) write(n *inode, b []byte, at int) {
	if at+len(b) > len(n.data) {
		d.resize(n, at+len(b))
	}
	copy(n.data[at:], b)
	for s := at / d.sector; s*d.sector < at+len(b); s++ {
		d.remember(n, s)
	}
}

// A file is an open file.
type file struct {
	d    *Disk
	n    *inode
	name string
}

func (f *file) Close() error { return nil }

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if f.d.dead {
		return 0, sqlite3.IOERR_READ
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	alive := !f.d.dead
	err := f.d.step(OpWrite)
	if err != nil && alive { // it failed in its course
		b = b[:f.d.rnd.IntN(len(b)+1)]
	}
	if alive && len(b) > 0 {
		f.d.write(f.n, b, int(off))
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.d.step(OpTruncate); err != nil {
		return err
	}
	f.d.resize(f.n, int(size))
	return nil
}

func (f *file) Sync(vfs.SyncFlag) error {
	alive := !f.d.dead
	if err := f.d.step(OpSync); err != nil {
		if alive && !f.d.dead {
			f.n.stable = f.d.medium(f.n)
			f.n.dirty = make(map[int][][]byte)
		}
		return err
	}
	n := f.n
	n.stable = append(n.stable[:min(len(n.stable), len(n.data))], make([]byte, max(0, len(n.data)-len(n.stable)))...)
	for s := range n.dirty {
		if at := s * f.d.sector; at < len(n.data) {
			copy(n.stable[at:min(at+f.d.sector, len(n.data))], n.data[at:])
		}
	}
	n.dirty = make(map[int][][]byte)
	if f.d.dir[f.name] == n && f.d.stableDir[f.name] != n { // SQLite syncs the folder of a new file
		f.d.stableDir = maps.Clone(f.d.dir)
	}
	return nil
}

func (f *file) Size() (int64, error)                            { return int64(len(f.n.data)), nil }
func (f *file) Lock(vfs.LockLevel) error                        { return nil }
func (f *file) Unlock(vfs.LockLevel) error                      { return nil }
func (f *file) CheckReservedLock() (bool, error)                { return false, nil }
func (f *file) SectorSize() int                                 { return f.d.sector }
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic { return vfs.IOCAP_POWERSAFE_OVERWRITE }

// disks are mounted by name: the first part of a path.
var disks sync.Map

type fileSystem struct{}

func init() { vfs.Register("crash", fileSystem{}) }

// Mount makes the disk's files known to SQLite as those of vfs=crash under a
// path that it returns.
func (d *Disk) Mount() string {
	mount := fmt.Sprintf("/%p", d)
	disks.Store(mount, d)
	return mount
}

// Unmount forgets the disk.
func (d *Disk) Unmount() { disks.Delete(fmt.Sprintf("/%p", d)) }

func find(path string) (*Disk, string) {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if d, ok := disks.Load(path[:i]); ok {
				return d.(*Disk), path[i+1:]
			}
		}
	}
	return nil, ""
}

func (fileSystem) Open(path string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d, name := find(path)
	if d == nil || d.dead {
		return nil, flags, sqlite3.CANTOPEN
	}
	n := d.dir[name]
	if n == nil {
		if flags&vfs.OPEN_CREATE == 0 {
			return nil, flags, sqlite3.CANTOPEN
		}
		n = &inode{dirty: make(map[int][][]byte)}
		d.dir[name] = n
	}
	return &file{d: d, n: n, name: name}, flags, nil
}

func (fileSystem) Delete(path string, syncDir bool) error {
	d, name := find(path)
	if d == nil || d.dir[name] == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	if err := d.step(OpDelete); err != nil {
		return err
	}
	delete(d.dir, name)
	if syncDir {
		d.stableDir = maps.Clone(d.dir)
	}
	return nil
}

func (fileSystem) Access(path string, _ vfs.AccessFlag) (bool, error) {
	d, name := find(path)
	return d != nil && d.dir[name] != nil, nil
}

func (fileSystem) FullPathname(path string) (string, error) { return path, nil }
