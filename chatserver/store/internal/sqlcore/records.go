package sqlcore

import (
	"context"
	"maps"
	"slices"

	"github.com/parleyproto/parley/chatserver/store"
)

// setRecords writes what a batch has beside messages, each kind in its order.
func (s *Store) setRecords(ctx context.Context, counts *counts, b *store.Batch) error {
	if len(b.Origins)+len(b.Blocks)+len(b.Sessions)+len(b.Accounts)+len(b.Attempts)+len(b.Secret) == 0 {
		return nil
	}
	rows := newRows(s)
	rows.origins(b.Origins)
	rows.blocks(b.Blocks)
	rows.sessions(b.Sessions)
	rows.accounts(b.Accounts)
	rows.attempts(b.Attempts)
	if len(b.Secret) > 0 {
		id := rows.put(recordKey{kind: secretRow})
		rows.set(id, appendSecret(nil, uint64(id), b.Secret))
	}
	return rows.write(ctx, counts)
}

// rows gathers what a batch does to the table of records, so that each row is
// written once. It keeps the store's index up to date, which is read anew
// should the commit fail.
type rows struct {
	s    *Store
	rows map[int64][]byte // to be written; nil: to be deleted
	was  map[int64]bool   // whether the row was there before
}

func newRows(s *Store) *rows {
	return &rows{s: s, rows: make(map[int64][]byte), was: make(map[int64]bool)}
}

// put returns the id of the row of key, a new one if there is none.
func (r *rows) put(key recordKey) int64 {
	sum := key.sum(r.s.salt)
	at, ok := r.s.index[sum]
	if !ok {
		r.s.lastID++
		at.id = r.s.lastID
		r.s.index[sum] = at
	}
	r.note(at.id, ok)
	return at.id
}

func (r *rows) set(id int64, row []byte) { r.rows[id] = row }

// remove deletes the row of key.
func (r *rows) remove(key recordKey) {
	sum := key.sum(r.s.salt)
	if at, ok := r.s.index[sum]; ok {
		delete(r.s.index, sum)
		r.note(at.id, true)
		r.rows[at.id] = nil
	}
}

func (r *rows) note(id int64, was bool) {
	if _, ok := r.was[id]; !ok {
		r.was[id] = was
	}
}

func (r *rows) origins(os []store.Origin) {
	for i := range os {
		o := &os[i]
		key := recordKey{kind: originRow, user: o.User, origin: o.Origin}
		if o.Forget {
			r.remove(key)
			continue
		}
		id := r.put(key)
		r.set(id, appendOrigin(nil, uint64(id), o))
	}
}

func (r *rows) blocks(ks []store.Block) {
	for i := range ks {
		k := &ks[i]
		key := recordKey{kind: blockRow, user: k.Owner, other: k.User}
		if k.Off {
			r.remove(key)
			continue
		}
		id := r.put(key)
		r.set(id, appendBlock(nil, uint64(id), k))
	}
}

func (r *rows) sessions(ks []store.Session) {
	for i := range ks {
		k := &ks[i]
		key := recordKey{kind: sessionRow, user: k.User}
		if k.Ended {
			if r.s.index[key.sum(r.s.salt)].origin == k.Origin {
				r.remove(key)
			}
			continue
		}
		id := r.put(key)
		r.s.index[key.sum(r.s.salt)] = place{id, k.Origin}
		r.set(id, appendSession(nil, uint64(id), k))
	}
}

func (r *rows) accounts(as []store.Account) {
	for i := range as {
		a := &as[i]
		key := recordKey{kind: accountRow, user: a.User}
		if a.Removed {
			r.remove(key)
			continue
		}
		id := r.put(key)
		r.set(id, appendAccount(nil, uint64(id), a))
	}
}

func (r *rows) attempts(as []store.Attempt) {
	for i := range as {
		a := &as[i]
		key := recordKey{kind: attemptRow, user: a.User, other: a.Source}
		if a.Forget {
			r.remove(key)
			continue
		}
		id := r.put(key)
		r.set(id, appendAttempt(nil, uint64(id), a))
	}
}

// write writes the rows in their order in the file.
func (r *rows) write(ctx context.Context, counts *counts) error {
	var set []int64
	for _, id := range slices.Sorted(maps.Keys(r.rows)) {
		row, was := r.rows[id], r.was[id]
		switch {
		case row != nil:
			set = append(set, id)
			if !was {
				counts.records++
			}
		case was:
			counts.records--
			if _, err := r.s.h.exec(ctx, "DELETE FROM records WHERE id = ?", id); err != nil {
				return err
			}
		}
	}
	for len(set) > 0 {
		n := most(len(set))
		r.s.args = r.s.args[:0]
		for _, id := range set[:n] {
			r.s.args = append(r.s.args, id, r.rows[id])
		}
		if _, err := r.s.h.exec(ctx, rowsOf("REPLACE INTO records VALUES ", "(?, ?)", n), r.s.args...); err != nil {
			return err
		}
		set = set[n:]
	}
	return nil
}
