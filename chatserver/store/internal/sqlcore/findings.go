package sqlcore

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// aloud is how many damaged rows are told one by one. The others are counted:
// of a big file that is ruined, every row may be damaged.
const aloud = 20

// findings are what damage a Store has found and told, and the rows that are
// to be moved to quarantine.
type findings struct {
	onDamage func(Damage) // may be nil

	mu      sync.Mutex
	told    map[Damage]bool // beside rows
	rows    int             // damaged ones
	kinds   map[string]*tally
	pending []Damage // rows to be moved to quarantine, in the order found
	queued  map[damagedRow]bool
}

// A damagedRow names one of pending.
type damagedRow struct {
	kind string
	ref  uint64
}

// A tally counts the damaged rows of a kind.
type tally struct{ n, said int }

// tell tells of damage that is no row's, once.
func (f *findings) tell(d Damage) {
	f.mu.Lock()
	told := f.told[d]
	if f.told == nil {
		f.told = make(map[Damage]bool)
	}
	f.told[d] = true
	f.mu.Unlock()
	if !told {
		f.call(d)
	}
}

func (f *findings) call(d Damage) {
	if f.onDamage != nil {
		f.onDamage(d)
	}
}

// row counts a damaged row, and tells of it if it is among the first.
func (f *findings) row(d Damage) {
	f.mu.Lock()
	if f.kinds == nil {
		f.kinds = make(map[string]*tally)
	}
	k := f.kinds[d.Kind]
	if k == nil {
		k = new(tally)
		f.kinds[d.Kind] = k
	}
	k.n++
	f.rows++
	one := f.rows <= aloud
	if one {
		k.said = k.n
	}
	f.mu.Unlock()
	if one {
		f.call(d)
	}
}

// quarantine is row, once, for a row that is to be moved.
func (f *findings) quarantine(d Damage) {
	row := damagedRow{d.Kind, d.Ref}
	f.mu.Lock()
	queued := f.queued[row]
	if !queued {
		if f.queued == nil {
			f.queued = make(map[damagedRow]bool)
		}
		f.queued[row] = true
		f.pending = append(f.pending, d)
	}
	f.mu.Unlock()
	if !queued {
		f.row(d)
	}
}

// sum tells how many rows of each kind are damaged, if they have doubled since
// that was told; last tells also of fewer.
func (f *findings) sum(last bool) {
	var ds []Damage
	f.mu.Lock()
	for _, kind := range slices.Sorted(maps.Keys(f.kinds)) {
		if k := f.kinds[kind]; k.n > k.said && (last || k.n >= 2*k.said) {
			k.said = k.n
			ds = append(ds, Damage{Kind: kind, Reason: fmt.Sprintf("%d are damaged in all", k.n)})
		}
	}
	f.mu.Unlock()
	for _, d := range ds {
		f.call(d)
	}
}

func (f *findings) isPending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) > 0
}

// next returns the n rows that are to be moved next, or those that there are.
func (f *findings) next(n int) []Damage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pending[:min(n, len(f.pending))]
}

// moved forgets rows that next returned.
func (f *findings) moved(ds []Damage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range ds {
		delete(f.queued, damagedRow{d.Kind, d.Ref})
	}
	if f.pending = f.pending[len(ds):]; len(f.pending) == 0 {
		f.pending, f.queued = nil, nil
	}
}

// replaced forgets messages that are written again, and sound.
func (f *findings) replaced(seqs []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return
	}
	for _, seq := range seqs {
		delete(f.queued, damagedRow{messageTable.kind, seq})
	}
	f.pending = slices.DeleteFunc(slices.Clone(f.pending), func(d Damage) bool { return !f.queued[damagedRow{d.Kind, d.Ref}] })
}

// drop forgets all rows that were to be moved.
func (f *findings) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending, f.queued = nil, nil
}
