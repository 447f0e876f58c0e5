package sim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A disk is what outlives the server: the image of what was committed, and
// the faults of writing it and reading it back.
type disk struct {
	dice  dice
	plan  *storePlan
	stats *Stats
	logf  func(who, format string, args ...any)
	crash func(why string) // the server crashes now
	image *memstore.Store

	mu    sync.Mutex
	lives int
	quiet bool
	full  time.Time // until when commits fail
}

// A life is the store of one life of the server. When that crashes it is
// fenced: what the old server still does reaches the image no more.
type life struct {
	*disk
	n    int
	roll *roller // of the committer's goroutine
	dead bool    // guarded by disk.mu
}

var (
	errDead   = errors.New("sim: the server of this store has crashed")
	errCommit = errors.New("sim: the commit failed")
	errRead   = errors.New("sim: the read failed")
)

func (d *disk) open() *life {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives++
	return &life{disk: d, n: d.lives, roll: d.dice.of(6, uint64(d.lives)).stream()}
}

func (l *life) fence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// Load implements [store.Store].
func (l *life) Load(ctx context.Context, waiting func(*store.Message) error) (*store.State, error) {
	l.mu.Lock()
	fails := !l.quiet && l.roll.chance(l.plan.unreadable)
	l.mu.Unlock()
	if fails {
		l.stats.Add("loads failed", 1)
		return nil, errRead
	}
	return l.image.Load(ctx, waiting)
}

// How a commit ends.
const (
	commitOK     = iota
	commitNot    // an error, and nothing was written
	commitThough // an error, though all was written
	crashBefore
	crashAfter
)

// Commit implements [store.Store]: it takes time, and happens at some instant
// of that.
func (l *life) Commit(ctx context.Context, b *store.Batch) error {
	l.mu.Lock()
	how := commitOK
	took := l.roll.scale(20*time.Microsecond, 8*time.Millisecond)
	part := time.Duration(l.roll.Float64() * float64(took))
	if !l.quiet {
		p := l.plan
		how = l.roll.pick(1, p.not, p.though, p.crash/2, p.crash/2)
		if l.roll.chance(p.stall) {
			took = l.roll.scale(10*time.Millisecond, 20*time.Second)
			part = l.roll.between(0, took)
			l.stats.Add("commits stalled", 1)
		}
		if how == commitOK && l.full.After(time.Now()) {
			how = commitNot
		}
	}
	l.mu.Unlock()
	time.Sleep(part)
	if how == crashBefore {
		l.stats.Add("crashes before a commit", 1)
		l.crash("before a commit")
	}
	if err := l.write(ctx, b, how); err != nil {
		return err
	}
	if how == crashAfter {
		l.stats.Add("crashes after a commit", 1)
		l.crash("after a commit, before its answer")
	}
	time.Sleep(took - part)
	if l.isDead() {
		return errDead
	}
	if how == commitThough {
		l.stats.Add("commits failed though written", 1)
		return errCommit
	}
	return nil
}

// write writes the batch into the image, unless it must not be.
func (l *life) write(ctx context.Context, b *store.Batch, how int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	if how == commitNot {
		l.stats.Add("commits failed", 1)
		l.logf("store", "commit failed: %d messages", len(b.Messages))
		return errCommit
	}
	l.stats.Add("commits", 1)
	if err := l.image.Commit(ctx, b); err != nil {
		return err
	}
	for _, m := range b.Messages {
		l.logf("store", "life %d stored #%d %s %v for %v", l.n, m.Seq, m.From, m.ID, slices.Sorted(slices.Values(m.Audience)))
	}
	for _, o := range b.Origins {
		l.logf("store", "life %d window of %s %x: high %d, forget %v", l.n, o.User, o.Origin, o.Window.High, o.Forget)
	}
	for _, a := range b.Acks {
		l.logf("store", "life %d acknowledged #%d %s", l.n, a.Seq, a.User)
	}
	return nil
}

// Messages implements [store.Store].
func (l *life) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	l.mu.Lock()
	r := l.dice.of(7, uint64(l.n), uint64(time.Now().UnixNano())).stream()
	fails := !l.quiet && r.chance(l.plan.unreadable)
	l.mu.Unlock()
	if err := pause(ctx, r.scale(20*time.Microsecond, 20*time.Millisecond)); err != nil {
		return nil, err
	}
	if l.isDead() {
		return nil, errDead
	}
	if fails {
		l.stats.Add("pages not read", 1)
		return nil, errRead
	}
	l.stats.Add("pages read back", 1)
	l.stats.Add("messages read back", len(seqs))
	return l.image.Messages(ctx, seqs)
}

// Close implements [store.Store]. The image stays.
func (l *life) Close() error { return nil }

// outage has all commits fail for a time: the disk is full.
func (d *disk) outage(t time.Duration) {
	d.mu.Lock()
	d.full = time.Now().Add(t)
	d.mu.Unlock()
	d.stats.Add("disks full", 1)
	d.logf("store", "no commit succeeds for %v", t)
}

func (d *disk) calm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quiet, d.full = true, time.Time{}
}

// holds reports whether the image has a message of from with this id.
func (d *disk) holds(from string, id chatproto.ID) bool {
	found := false
	d.each(func(m *store.Message) { found = found || m.From == from && m.ID == id })
	return found
}

// each visits what the image holds.
func (d *disk) each(visit func(*store.Message)) *store.State {
	st, err := d.image.Load(context.Background(), func(m *store.Message) error {
		visit(m)
		return nil
	})
	if err != nil {
		panic(err) // memory does not fail
	}
	return st
}
