// Package crashfs is a file system in memory for tests of durability. It can
// be cut off at any step, as by kill -9 or by a power cut, which keeps or
// drops each write that was not synced, and it can be made to fail.
package crashfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/parleyproto/parley/chatclient/internal/journal"
)

// ErrCut is the error of everything after the cut.
var ErrCut = errors.New("crashfs: the machine is dead")

// An FS is a file system. Its zero value is empty.
type FS struct {
	// Step, if not nil, is asked before each step that changes something: its
	// error is the step's, which then has not happened, or to a part. It may
	// call Cut.
	Step func(what string) error

	mu      sync.Mutex
	dead    bool
	names   map[string]*file // as a program sees them
	durable map[string]*file // as a power cut leaves them at worst
	pending []rename         // what happened to names since
	Steps   int
}

type rename struct {
	from, to string // from "": a new file; to "": removed
	f        *file
}

type file struct {
	data   []byte // as a program sees it
	synced []byte
	writes []write // since then
	locked bool
}

// A write put p at off; p nil cut the file there.
type write struct {
	off int64
	p   []byte
}

type handle struct {
	fs     *FS
	f      *file
	closed bool
}

// Cut ends the world for those who use the file system now.
func (fs *FS) Cut() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.dead = true
}

// Killed returns what the next program finds after kill -9: all that was
// written, synced or not, and not yet safe from a power cut.
func (fs *FS) Killed() *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.dead = true
	next := &FS{pending: slices.Clone(fs.pending), names: map[string]*file{}, durable: map[string]*file{}}
	copies := map[*file]*file{}
	copyOf := func(f *file) *file {
		if f != nil && copies[f] == nil {
			copies[f] = &file{data: slices.Clone(f.data), synced: slices.Clone(f.synced), writes: slices.Clone(f.writes)}
		}
		return copies[f]
	}
	for name, f := range fs.names {
		next.names[name] = copyOf(f)
	}
	for name, f := range fs.durable {
		next.durable[name] = copyOf(f)
	}
	for i := range next.pending {
		next.pending[i].f = copyOf(next.pending[i].f)
	}
	return next
}

// PowerCut returns what the next program finds after a power cut: names as
// they were after some of the last changes, and of each file what was synced
// and any part of each write since.
func (fs *FS) PowerCut(dice *rand.Rand) *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.dead = true
	names := map[string]*file{}
	for name, f := range fs.durable {
		names[name] = f
	}
	for _, r := range fs.pending[:dice.IntN(len(fs.pending)+1)] {
		apply(names, r)
	}
	next := &FS{names: map[string]*file{}, durable: map[string]*file{}}
	for name, f := range names {
		data := slices.Clone(f.synced)
		for _, w := range f.writes {
			data = w.some(data, dice)
		}
		f := &file{data: data, synced: slices.Clone(data)}
		next.names[name], next.durable[name] = f, f
	}
	return next
}

func apply(names map[string]*file, r rename) {
	if r.from != "" {
		delete(names, r.from)
	}
	if r.to != "" {
		names[r.to] = r.f
	}
}

func (w write) apply(data []byte) []byte {
	if w.p == nil {
		return slices.Clone(data[:min(w.off, int64(len(data)))])
	}
	if short := w.off + int64(len(w.p)) - int64(len(data)); short > 0 {
		data = append(data, make([]byte, short)...)
	}
	copy(data[w.off:], w.p)
	return data
}

// sector is what reaches the disk whole or not at all.
const sector = 32

// some applies any part of a write: each sector of it or not.
func (w write) some(data []byte, dice *rand.Rand) []byte {
	if w.p == nil {
		if dice.IntN(2) == 0 {
			return data
		}
		return w.apply(data)
	}
	switch dice.IntN(4) {
	case 0:
		return data
	case 1:
		return w.apply(data)
	}
	for at := 0; at < len(w.p); at += sector {
		if dice.IntN(2) == 0 {
			data = write{w.off + int64(at), w.p[at:min(at+sector, len(w.p))]}.apply(data)
		}
	}
	return data
}

// step is asked before every change. mu is not held.
func (fs *FS) step(what string) error {
	fs.mu.Lock()
	dead := fs.dead
	fs.Steps++
	ask := fs.Step
	fs.mu.Unlock()
	if dead {
		return errDead
	}
	if ask != nil {
		if err := ask(what); err != nil {
			return err
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.dead {
		return errDead
	}
	return nil
}

// errDead is ErrCut of a step that was begun after the cut.
var errDead = fmt.Errorf("%w", ErrCut)

func (fs *FS) open(path string, empty bool) (journal.File, error) {
	if err := fs.step("open " + path); err != nil {
		return nil, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names == nil {
		fs.names, fs.durable = map[string]*file{}, map[string]*file{}
	}
	f := fs.names[path]
	switch {
	case f == nil:
		f = &file{}
		fs.names[path] = f
		fs.pending = append(fs.pending, rename{to: path, f: f})
	case f.locked:
		return nil, fmt.Errorf("%s: %w", path, journal.ErrInUse)
	case empty:
		f.change(write{})
	}
	f.locked = true
	return &handle{fs: fs, f: f}, nil
}

// Open implements journal.FS, like the following methods.
func (fs *FS) Open(path string) (journal.File, error) { return fs.open(path, false) }

// Create makes an empty file.
func (fs *FS) Create(path string) (journal.File, error) { return fs.open(path, true) }

// Rename gives a file another name.
func (fs *FS) Rename(from, to string) error {
	if err := fs.step("rename"); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	r := rename{from, to, fs.names[from]}
	apply(fs.names, r)
	fs.pending = append(fs.pending, r)
	return nil
}

// Remove removes a name.
func (fs *FS) Remove(path string) error {
	if err := fs.step("remove"); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names[path] == nil {
		return errors.New("no such file")
	}
	r := rename{from: path}
	apply(fs.names, r)
	fs.pending = append(fs.pending, r)
	return nil
}

// SyncDir makes the names durable.
func (fs *FS) SyncDir(string) error {
	if err := fs.step("syncdir"); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, r := range fs.pending {
		apply(fs.durable, r)
	}
	fs.pending = nil
	return nil
}

// Data returns the content of a file, nil if there is none.
func (fs *FS) Data(path string) []byte {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.names[path]; f != nil {
		return slices.Clone(f.data)
	}
	return nil
}

// Put makes a file, durable at once.
func (fs *FS) Put(path string, data []byte) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.names == nil {
		fs.names, fs.durable = map[string]*file{}, map[string]*file{}
	}
	f := &file{data: slices.Clone(data), synced: slices.Clone(data)}
	fs.names[path], fs.durable[path] = f, f
}

func (f *file) change(w write) {
	f.data = w.apply(f.data)
	f.writes = append(f.writes, w)
}

func (h *handle) change(what string, w write) error {
	err := h.fs.step(what)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err == nil {
		h.f.change(w)
		return nil
	}
	if err != errDead && len(w.p) > 1 { // half of it may have come to pass, as on a full disk
		w.p = w.p[:len(w.p)/2]
		h.f.change(w)
	}
	return err
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.change("write", write{off, slices.Clone(p)}); err != nil {
		return len(p) / 2, err
	}
	return len(p), nil
}

func (h *handle) Truncate(size int64) error { return h.change("truncate", write{off: size}) }

func (h *handle) Sync() error {
	if err := h.fs.step("sync"); err != nil {
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.f.synced, h.f.writes = slices.Clone(h.f.data), nil
	return nil
}

func (h *handle) ReadAll() ([]byte, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.dead {
		return nil, ErrCut
	}
	return slices.Clone(h.f.data), nil
}

func (h *handle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if !h.closed {
		h.closed, h.f.locked = true, false
	}
	return nil
}
