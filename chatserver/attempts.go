package chatserver

import (
	"sync"
	"time"

	"github.com/parleyproto/parley/chatserver/store"
)

// attempts is what the server remembers of logins to accounts that exist and
// to names that do not: failures, and where logins came from. It is in memory,
// and written behind: no login waits for the store, so a store that fails lets
// nobody in and locks nobody out.
type attempts struct {
	mu     sync.Mutex
	failed map[attemptKey]*failures
	proven map[string][]proof      // by user: where logins came from; few
	dirty  map[attemptKey]struct{} // what the store does not have as it is here
	saving bool                    // rows are on their way to the store
}

// A proof is a source from which somebody logged in to an account, and when he
// last did, to a day.
type proof struct {
	source string
	at     time.Time
}

// proof returns what is known of a source, nil if nothing is. The caller holds
// mu.
func (a *attempts) proof(key attemptKey) *proof {
	ps := a.proven[key.user]
	for i := range ps {
		if ps[i].source == key.source {
			return &ps[i]
		}
	}
	return nil
}

// touch notes that a key has changed. While the store fails it notes no more
// than so many: what then stays in the store is older than it should be, and
// soon too old to matter. The caller holds mu.
func (a *attempts) touch(key attemptKey) {
	if len(a.dirty) >= 2*maxFailures {
		return
	}
	if a.dirty == nil {
		a.dirty = make(map[attemptKey]struct{})
	}
	a.dirty[key] = struct{}{}
}

// row is a key as the store writes it down. The caller holds mu.
func (a *attempts) row(key attemptKey) store.Attempt {
	row := store.Attempt{User: key.user, Source: key.source}
	if f := a.failed[key]; f != nil {
		row.Fails, row.Last = f.n, f.last.UnixMilli()
		if !f.until.IsZero() {
			row.Until = f.until.UnixMilli()
		}
	}
	if p := a.proof(key); p != nil {
		row.Proven = p.at.UnixMilli()
	}
	row.Forget = row.Last == 0 && row.Proven == 0
	return row
}

// take returns the rows of what has changed, unless others are on their way:
// however fast strangers fail, there are never more rows than keys.
func (a *attempts) take() []store.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.saving || len(a.dirty) == 0 {
		return nil
	}
	rows := make([]store.Attempt, 0, len(a.dirty))
	for key := range a.dirty {
		rows = append(rows, a.row(key))
	}
	a.dirty = nil
	a.saving = true
	return rows
}

func (a *attempts) saved() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saving = false
}

// saveAttempts has what changed written with the next batch.
func (s *Server) saveAttempts() {
	a := &s.logins.attempts
	rows := a.take()
	if rows == nil {
		return
	}
	s.commit.later(func(b *store.Batch) { b.Attempts = append(b.Attempts, rows...) }, func() {
		a.saved()
		s.saveAttempts()
	})
}

// load takes what the store has. What is too old to matter is forgotten there,
// too.
func (a *attempts) load(rows []store.Attempt, lock time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, r := range rows {
		key := attemptKey{r.User, r.Source}
		f := &failures{n: r.Fails, last: time.UnixMilli(r.Last)}
		if r.Until > 0 {
			f.until = time.UnixMilli(r.Until)
		}
		alive := f.until.After(now) || f.n > 0 && now.Sub(f.last) <= max(lock, failuresFor)
		if alive {
			a.makeRoom(now)
			if a.failed == nil {
				a.failed = make(map[attemptKey]*failures)
			}
			a.failed[key] = f
		}
		proven := r.Proven > 0 && now.Sub(time.UnixMilli(r.Proven)) <= provenFor
		if proven {
			a.prove(key, time.UnixMilli(r.Proven))
		}
		if !alive && r.Last > 0 || !proven && r.Proven > 0 {
			a.touch(key)
		}
	}
}
