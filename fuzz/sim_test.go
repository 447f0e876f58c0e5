package fuzz

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/fuzz/sim"
)

var (
	simSeeds = flag.Int("sim.seeds", simSeedsDefault, "how many seeds TestSimulation runs")
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed that TestSimulation runs, with its log")
	simHours = flag.Float64("sim.hours", 0, "run more seeds until so many virtual hours have passed")
	simFirst = flag.Uint64("sim.first", 1, "the first of the seeds")
	simUsers = flag.Int("sim.users", 0, "how many users there are; 0: the seed says")
	simKinds = flag.Uint("sim.faults", 0, "the set of sim.Faults; 0: the seed says")
	simSpan  = flag.Duration("sim.length", 0, "how long there are faults; 0: the seed says")
	simTrace = flag.Bool("sim.trace", false, "log every line of every client")
)

// simulate runs one simulation in a bubble of its own. Everything that draws
// at random draws from the seed, and one processor runs it all: that is as
// near to one order of things as Go comes.
func simulate(t *testing.T, o sim.Options) (res *sim.Result) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	cryptotest.SetGlobalRandom(t, o.Seed)
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 1<<20)
			t.Fatalf("seed %d: %v\n%s", o.Seed, p, buf[:runtime.Stack(buf, true)])
		}
	}()
	// A goroutine that waits for a mutex stops the time of its bubble, and a
	// loop without a pause does so too: this timer is outside.
	watchdog := time.AfterFunc(noHeadway, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d makes no headway: %+v", o.Seed, o))
	})
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) { res = sim.Run(o) })
	return res
}

// noHeadway is how long a run may take that takes a second as a rule.
const noHeadway = 3 * time.Minute

// report fails t if the run showed a problem, with what is needed to see it
// again.
func report(t *testing.T, res *sim.Result) {
	t.Helper()
	if len(res.Problems) == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d problems after %v\n", res.Seed, len(res.Problems), res.Virtual)
	fmt.Fprintf(&b, "again: go test ./fuzz -run '^TestSimulation$' -sim.seed=%d -sim.users=%d -sim.faults=%d -sim.length=%v -sim.trace -v\n", res.Seed, res.Users, res.Faults, res.Length)
	fmt.Fprintf(&b, "%s\n", res.Plan)
	for i, p := range res.Problems {
		if i == 20 {
			fmt.Fprintf(&b, "…\n")
			break
		}
		fmt.Fprintf(&b, "  %v\n", p)
	}
	for _, line := range res.Log.About(150, res.Problems[0].Key) {
		fmt.Fprintln(&b, line)
	}
	t.Error(b.String())
}

// must are the counts that must not stay 0 over all the seeds: a simulation
// in which a fault never happens shows nothing about it.
var must = []string{
	"cuts seen by both", "cuts seen by the client", "cuts seen by the server", "half-open up", "half-open down", "half-open both ways",
	"partitions", "slow paths", "connections overtaken", "slow readers", "full windows", "partial writes", "dials refused", "connections lost", "sessions resumed",
	"crashes", "crashes that no client was told of", "crashes before a commit", "crashes after a commit", "shutdowns", "loads failed",
	"commits failed", "commits failed though written", "commits stalled", "disks full", "pages read back", "pages not read",
	"callbacks failed", "callbacks slow", "programs that restarted", "blocks and unblocks",
	"messages accepted", "accepted as stored", "accepted as delivered", "messages refused", "messages refused by the operator",
	"messages resent", "duplicates dropped", "refused earlier (455)", "mailboxes full (452)", "outcomes unknown", "unknown and seen",
	"refusals of what was resent", "broadcast copies that were due", "broadcast copies skipped", "logins with mail",
	"times that a client went away", "calls", "calls that reached nobody", "deliveries to clients that were called", "programs that died",
}

// TestSimulation runs many seeds. Whatever breaks the guarantee is reported
// with its seed.
func TestSimulation(t *testing.T) {
	first, n := *simFirst, *simSeeds
	if *simSeed != 0 {
		first, n = *simSeed, 1
	} else if testing.Short() {
		n = min(n, 10)
	}
	var total sim.Stats
	var virtual time.Duration
	failed := 0
	for seed := first; seed < first+uint64(n) || *simSeed == 0 && virtual.Hours() < *simHours; seed++ {
		res := simulate(t, sim.Options{Seed: seed, Users: *simUsers, Faults: sim.Faults(*simKinds), Length: *simSpan, Trace: *simTrace})
		report(t, res)
		total.Merge(res.Stats)
		virtual += res.Virtual
		if *simSeed != 0 && testing.Verbose() {
			fmt.Fprintln(os.Stderr, strings.Join(res.Log.Lines(), "\n"))
		}
		if len(res.Problems) > 0 {
			if failed++; failed == 3 {
				t.Fatal("three seeds failed, the rest is not run")
			}
		}
		n = max(n, int(seed-first)+1)
	}
	t.Logf("%d seeds, %.1f virtual hours:\n%s", n, virtual.Hours(), total.String())
	if n < 50 {
		return
	}
	for _, what := range must {
		if total.Get(what) == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}

// TestSimulationReplays shows that a seed is a run: twice the same seed, twice
// the same events at the same nanoseconds. Timers of one instant may fire in
// any order, so that few runs may differ; a simulation that drew from
// elsewhere, or raced, would differ always.
func TestSimulationReplays(t *testing.T) {
	if underRace {
		t.Skip("the race detector shuffles who runs when")
	}
	const seeds = 12
	same := 0
	for seed := range uint64(seeds) {
		o := sim.Options{Seed: 500 + seed, Length: 20 * time.Minute}
		first, second := simulate(t, o).Log.Hash(), simulate(t, o).Log.Hash()
		if first == second {
			same++
		}
	}
	t.Logf("%d of %d seeds ran alike", same, seeds)
	if same < seeds*2/3 {
		t.Errorf("only %d of %d seeds ran alike twice", same, seeds)
	}
}

// FuzzSimulation looks for seeds, and sets of faults, that break the
// guarantee. What it found is kept with its corpus.
func FuzzSimulation(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint32(sim.Crashes|sim.Cuts), uint16(5))
	f.Add(uint64(2), uint8(2), uint32(sim.Crashes|sim.Refusals|sim.SlowPaths|sim.Commits), uint16(10))
	f.Add(uint64(3), uint8(4), uint32(sim.Restarts|sim.Blocks|sim.HalfOpen|sim.Callbacks), uint16(60))
	f.Add(uint64(4), uint8(5), uint32(sim.Quotas|sim.Reads|sim.SlowReader|sim.Shutdowns|sim.Partitions), uint16(30))
	f.Add(uint64(5), uint8(3), uint32(sim.DialBack|sim.Cuts|sim.Crashes|sim.Partitions|sim.Restarts), uint16(60))
	f.Fuzz(func(t *testing.T, seed uint64, users uint8, faults uint32, minutes uint16) {
		o := sim.Options{Seed: seed, Users: 2 + int(users%5), Faults: sim.Faults(faults) & sim.AllFaults, Length: time.Duration(1+minutes%240) * time.Minute}
		report(t, simulate(t, o))
	})
}
