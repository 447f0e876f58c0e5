package crashtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

var (
	cuts  = flag.Int("cuts", 20_000, "how many times the power is cut")
	seed  = flag.Uint64("seed", 1, "of what is random")
	world = flag.Int("world", -1, "run this world only, to see a failure again")
)

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(800) // every SQLite that is opened has a memory of its own
	os.Exit(m.Run())
}

// cutsAWorld is how often a disk loses power before another, empty one is
// taken.
const cutsAWorld = 25

// A tally counts what a run went through, and keeps the first failure.
type tally struct {
	cuts, commits, whole, nothing, atOpen atomic.Int64
	kept, dropped                         atomic.Int64
	mu                                    sync.Mutex
	failure                               string
}

func (a *tally) fail(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure == "" {
		a.failure = fmt.Sprintf(format, args...)
	}
}

func (a *tally) failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure != ""
}

func (a *tally) String() string {
	return fmt.Sprintf("%d power cuts, %d commits acknowledged; of the batches cut in their course %d were there afterwards and %d not; %d cuts while opening; %d unsynced sectors kept, %d dropped",
		a.cuts.Load(), a.commits.Load(), a.whole.Load(), a.nothing.Load(), a.atOpen.Load(), a.kept.Load(), a.dropped.Load())
}

// A variant is the store under test, or one with a fault built in.
type variant struct {
	synchronous string
	wrap        func(store.Store) store.Store
}

// cutPower runs worlds until there were n cuts, or a failure.
func cutPower(n int, v variant) *tally {
	a := new(tally)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !a.failed() && a.cuts.Load() < int64(n) {
				w := int(next.Add(1) - 1)
				if *world >= 0 {
					if w > 0 {
						return
					}
					w = *world
				}
				if err := runWorld(w, v, a); err != "" {
					a.fail("-seed %d -world %d: %s", *seed, w, err)
				}
			}
		})
	}
	wg.Wait()
	return a
}

// runWorld takes one disk through its power cuts. After each, the store must
// hold every batch that was acknowledged, and of the one that was cut in its
// course all or nothing.
func runWorld(w int, v variant, a *tally) string {
	rnd := rand.New(rand.NewPCG(*seed, uint64(w)))
	d := NewDisk(rnd, []int{512, 4096}[rnd.IntN(2)])
	defer d.Unmount()
	cfg := config(d)
	cfg.Synchronous = v.synchronous
	cfg.Checkpoint = 1 + rnd.IntN(60)
	cfg.OnDamage = func(dm sqlcore.Damage) { a.fail("-seed %d -world %d: damage: %v", *seed, w, dm) }
	gen := storetest.NewGenerator(rnd.IntN)
	var model storetest.Model
	var core *sqlcore.Store // open still since the last cut, or nil
	for range cutsAWorld {
		end := d.ops + 1 + rnd.IntN(1+rnd.IntN(250))
		d.fault = func(op int, _ Op) Fault {
			if op >= end {
				return PowerCut
			}
			return NoFault
		}
		after := untilCut(d, cfg, core, v, gen, &model, a)
		d.fault = nil
		d.Restore()
		var err error
		if core, err = sqlcore.Open(cfg); err != nil {
			return fmt.Sprintf("cut %d: opening: %v", d.stats.Cuts, err)
		}
		if err := core.Integrity(context.Background()); err != nil {
			return fmt.Sprintf("cut %d: %v", d.stats.Cuts, err)
		}
		diff := model.Diff(core)
		if after != nil {
			if diff == "" {
				a.nothing.Add(1)
			} else if after.Diff(core) == "" {
				diff, model = "", *after
				a.whole.Add(1)
			}
		}
		switch rnd.IntN(4) {
		case 0:
			core.Close() // as a server ends
			core = nil
		case 1:
			d.dead = true // as a process is killed: nothing more is written
			core.Close()
			d.dead, core = false, nil
		}
		a.cuts.Add(1)
		if diff != "" {
			return fmt.Sprintf("cut %d: %s", d.stats.Cuts, diff)
		}
	}
	if core != nil {
		core.Close()
	}
	a.kept.Add(int64(d.stats.Kept))
	a.dropped.Add(int64(d.stats.Dropped))
	return ""
}

// untilCut commits batches until the power is cut, to core or, if that is
// nil, to a store that it opens. It takes those that were acknowledged into
// model, and returns a model that has the last one too, whose outcome is
// unknown.
func untilCut(d *Disk, cfg sqlcore.Config, core *sqlcore.Store, v variant, gen *storetest.Generator, model *storetest.Model, a *tally) (after *storetest.Model) {
	if core == nil {
		var err error
		if core, err = sqlcore.Open(cfg); err != nil {
			a.atOpen.Add(1)
			return nil
		}
	}
	var s store.Store = core
	if v.wrap != nil {
		s = v.wrap(s)
	}
	defer core.Close()
	for {
		batch := gen.Batch(model)
		if err := s.Commit(context.Background(), batch); err != nil || d.dead {
			after = model.Clone()
			after.Apply(batch)
			if err == nil { // the power went when it was stored already
				*model = *after
			}
			return after
		}
		a.commits.Add(1)
		model.Apply(batch)
	}
}

func cutsToDo(t *testing.T) int {
	if testing.Short() {
		return min(*cuts, 2000)
	}
	return *cuts
}

// TestPowerCuts: no batch that was acknowledged is lost, none is there by
// half, the file is sound.
func TestPowerCuts(t *testing.T) {
	n := cutsToDo(t)
	a := cutPower(n, variant{})
	t.Log(a)
	fmt.Println("power cuts:", a)
	if a.failed() {
		t.Fatal(a.failure)
	}
	if *world >= 0 {
		return
	}
	// It was not in vain: the cuts hit commits in their course, with either
	// outcome, and there was something to lose.
	least := int64(n) / 10
	if a.cuts.Load() < int64(n) || a.commits.Load() < int64(n) || a.whole.Load() < least/10 || a.nothing.Load() < least ||
		a.kept.Load() < least || a.dropped.Load() < least {
		t.Errorf("the run shows too little: %v", a)
	}
}

// TestPowerCutsFindNormal: with synchronous=NORMAL a commit is not synced, and
// the same run must find what is lost.
func TestPowerCutsFindNormal(t *testing.T) {
	a := cutPower(5000, variant{synchronous: "NORMAL"})
	t.Log(a)
	if !a.failed() {
		t.Fatal("the run did not notice that commits are not synced")
	}
	t.Log("found:", a.failure[:min(len(a.failure), 200)])
}

// early acknowledges a batch and commits it with the next.
type early struct {
	store.Store
	held *store.Batch
}

func (e *early) Commit(ctx context.Context, b *store.Batch) error {
	held := e.held
	e.held = b
	if held == nil {
		return nil
	}
	return e.Store.Commit(ctx, held)
}

// TestPowerCutsFindEarlyAnswers: a store that answers before it has committed
// must be found out.
func TestPowerCutsFindEarlyAnswers(t *testing.T) {
	a := cutPower(5000, variant{wrap: func(s store.Store) store.Store { return &early{Store: s} }})
	t.Log(a)
	if !a.failed() {
		t.Fatal("the run did not notice that batches are acknowledged before they are committed")
	}
	t.Log("found:", a.failure[:min(len(a.failure), 200)])
}
