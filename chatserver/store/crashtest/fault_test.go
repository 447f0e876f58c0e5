package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// script is the run that is repeated: the same batches, a checkpoint now and
// then, an end and a new beginning half way.
const scriptBatches = 14

// A faultRun repeats the script with a fault at one operation.
type faultRun struct {
	kind  Fault
	ops   string // which kinds of operations meet it
	at    int    // the operation; those after it meet the fault, too, for
	lasts int    // so many operations
	crash bool   // cut the power after the first error, instead of going on
	kill  bool   // kill the process after each error, and start another
	core  func(*sqlcore.Config)
	disk  func(*Disk)
}

// result is what a run of the script came to.
type result struct {
	ops, faults, errors, crashes int
	kept                         int // batches with an error that were stored after all
}

// run runs the script: each batch is committed until it succeeds, as a server
// does. At the end, and after a power cut that follows, the store must hold
// what the model does.
func (f faultRun) run() (r result, err error) {
	rnd := rand.New(rand.NewPCG(*seed, 0))
	d := NewDisk(rand.New(rand.NewPCG(*seed, uint64(f.at))), 512)
	defer d.Unmount()
	var damage error
	cfg := config(d)
	cfg.Checkpoint = 20
	cfg.OnDamage = func(dm sqlcore.Damage) { damage = fmt.Errorf("damage: %v", dm) }
	if f.core != nil {
		f.core(&cfg)
	}
	if f.disk != nil {
		f.disk(d)
	}
	d.fault = func(op int, kind Op) Fault {
		if f.at == 0 || op < f.at || op >= f.at+f.lasts {
			return NoFault
		}
		for _, k := range []byte(f.ops) {
			if Op(k) == kind {
				return f.kind
			}
		}
		return NoFault
	}
	gen := storetest.NewGenerator(rnd.IntN)
	var model storetest.Model
	s, err := f.open(cfg, &r)
	if err != nil {
		return r, err
	}
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	for i := range scriptBatches {
		batch := gen.Batch(&model)
		before := model.Clone()
		model.Apply(batch)
		err := f.commit(s, batch, &r)
		for n := 0; err != nil && f.kill && n < tries; n++ {
			d.dead = true // nothing more is written
			s.Close()
			d.dead = false
			if s, err = f.open(cfg, &r); err == nil {
				err = f.commit(s, batch, &r)
			}
		}
		if err != nil {
			if !f.crash {
				return r, fmt.Errorf("batch %d: the fault is over, and Commit still fails: %w", i, err)
			}
			return r, f.afterCrash(d, cfg, s, before, &model, &r)
		}
		if i == scriptBatches/2 {
			s.Close()
			if s, err = f.open(cfg, &r); err != nil {
				return r, err
			}
		}
	}
	if diff := model.Diff(s); diff != "" {
		return r, fmt.Errorf("at the end: %s", diff)
	}
	r.ops, r.faults = d.ops, d.stats.Faults
	if err := f.afterCrash(d, cfg, s, &model, &model, &r); err != nil {
		return r, fmt.Errorf("at the end, after a power cut: %w", err)
	}
	return r, damage
}

// tries is more than what a fault can make fail.
const tries = 100

func (f faultRun) open(cfg sqlcore.Config, r *result) (s *sqlcore.Store, err error) {
	for range tries {
		if s, err = sqlcore.Open(cfg); err == nil {
			return s, nil
		}
		r.errors++
	}
	return nil, fmt.Errorf("the fault is over, and Open still fails: %w", err)
}

func (f faultRun) commit(s store.Store, b *store.Batch, r *result) (err error) {
	for range tries {
		if err = s.Commit(context.Background(), b); err == nil {
			return nil
		}
		r.errors++
		if f.crash || f.kill {
			return err
		}
	}
	return err
}

// afterCrash cuts the power and opens the store again: it must hold what
// before does, or what after does.
func (f faultRun) afterCrash(d *Disk, cfg sqlcore.Config, s *sqlcore.Store, before, after *storetest.Model, r *result) error {
	r.ops, r.faults = d.ops, d.stats.Faults
	r.crashes++
	d.fault, d.dead = nil, true
	s.Close()
	d.Restore()
	s, err := sqlcore.Open(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Integrity(context.Background()); err != nil {
		return err
	}
	if diff := before.Diff(s); diff != "" {
		if after.Diff(s) != "" {
			return fmt.Errorf("after a power cut: %s", diff)
		}
		r.kept++
	}
	return nil
}

// TestFaultsAtEveryOperation repeats the script with a full disk, or an I/O
// error, at each write and sync of it.
func TestFaultsAtEveryOperation(t *testing.T) {
	plain, err := faultRun{}.run()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		run  faultRun
	}{
		{"no space, once", faultRun{kind: NoSpace, ops: "w", lasts: 1}},
		{"no space for a while", faultRun{kind: NoSpace, ops: "w", lasts: 60}},
		{"a write fails", faultRun{kind: IOError, ops: "wtd", lasts: 1}},
		{"a sync fails", faultRun{kind: IOError, ops: "s", lasts: 1}},
		{"nothing works for a while", faultRun{kind: IOError, ops: "wstd", lasts: 25}},
		{"a sync fails, kill -9", faultRun{kind: IOError, ops: "s", lasts: 1, kill: true}},
		{"no space, then a power cut", faultRun{kind: NoSpace, ops: "w", lasts: 1, crash: true}},
		{"an I/O error, then a power cut", faultRun{kind: IOError, ops: "wstd", lasts: 1, crash: true}},
	} {
		var sum result
		for at := 1; at <= plain.ops; at++ {
			run := c.run
			run.at = at
			r, err := run.run()
			if err != nil {
				t.Errorf("%s at operation %d: %v", c.name, at, err)
				break
			}
			sum.add(r)
		}
		fmt.Printf("faults: %-32s %d operations, %d met the fault, %d errors told, %d power cuts after it, %d batches of unknown outcome were stored\n",
			c.name+":", plain.ops, sum.faults, sum.errors, sum.crashes, sum.kept)
		if sum.faults < plain.ops/10 || sum.errors == 0 {
			t.Errorf("%s: the faults show too little: %+v", c.name, sum)
		}
	}
}

func (r *result) add(o result) {
	r.faults += o.faults
	r.errors += o.errors
	r.crashes += o.crashes
	r.kept += o.kept
}

// TestFaultsFindTrustInTheLog: after a failed sync, what the log seems to hold
// may be on no disk. A store that finds such a log when it is opened and goes
// on, as if it were, must be found out.
func TestFaultsFindTrustInTheLog(t *testing.T) {
	plain, err := faultRun{}.run()
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= plain.ops; at++ {
		_, err := faultRun{kind: IOError, ops: "s", lasts: 1, kill: true, at: at, disk: func(d *Disk) { d.noRewrite = true }}.run()
		if err != nil {
			t.Logf("found at operation %d of %d: %.200v", at, plain.ops, err)
			return
		}
	}
	t.Fatal("no run noticed that a log which was not synced is trusted")
}
