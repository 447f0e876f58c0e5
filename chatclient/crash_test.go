package chatclient_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatclient/internal/crashfs"
)

// crash lets a program with a state file die at its step cut, by a power cut
// or by kill -9, and live again. It reports what went wrong, and whether the
// program had an end of its own before that step.
func crash(t *testing.T, seed uint64, cut int, mutate func(*chatclient.StateFile)) (w *world, whole bool) {
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(seed, uint64(cut)))
		w = newWorld(t)
		w.lag = time.Duration(seed%2) * 5 * time.Millisecond
		fs := &crashfs.FS{}
		fs.Step = func(string) error {
			time.Sleep(time.Millisecond) // so that the network is faster than the disk
			if fs.Steps != cut {
				return nil
			}
			w.kill()
			fs.Cut()
			return crashfs.ErrCut
		}
		w.live(fs, 6, mutate)
		whole = fs.Steps < cut
		next := fs.Killed()
		if dice.IntN(3) > 0 {
			next = fs.PowerCut(dice)
		}
		fs.Step = nil

		file, err := chatclient.OpenStateFileOn(next, "state")
		if err != nil {
			t.Fatal(err)
		}
		left := file.Left()
		w.must(file.Close())
		w.live(next, 2, mutate)
		w.check(left)
	})
	return w, whole
}

// check looks at what must hold when all is over.
func (w *world) check(left int) {
	seen := map[string]bool{}
	for _, text := range w.texts {
		if seen[text] {
			w.fault("%s was accepted twice", text)
		}
		seen[text] = true
		if _, told := w.outcomes[text]; !told && !w.ok[text] {
			w.fault("%s was accepted and nobody was told", text)
		}
	}
	for text := range w.ok {
		if !seen[text] {
			w.fault("%s was acknowledged and is lost", text)
		}
	}
	for text, err := range w.outcomes {
		if err != nil || !seen[text] {
			w.fault("the outcome of %s is %v", text, err)
		}
	}
	if len(w.outcomes) != left {
		w.fault("%d were left, %d outcomes were told", left, len(w.outcomes))
	}
	for n := 1; n <= w.mail; n++ {
		if shown := w.shown[uint64(n)]; shown < 1 || shown > 2 {
			w.fault("message %d was shown %d times", n, shown)
		}
	}
}

const crashSeeds = 12

// Wherever the program dies, nothing is lost, doubled or reordered, and no
// number is used for two requests.
func TestCrashAtEveryStep(t *testing.T) {
	crashes, resent, outcomes, twice := 0, 0, 0, 0
	for seed := range uint64(crashSeeds) {
		for cut := 1; ; cut++ {
			w, whole := crash(t, seed, cut, func(*chatclient.StateFile) {})
			if len(w.faults) > 0 {
				t.Fatalf("seed %d, cut %d:\n%s", seed, cut, strings.Join(w.faults, "\n"))
			}
			if whole {
				if cut < 30 {
					t.Fatalf("only %d steps", cut)
				}
				break
			}
			crashes++
			resent += w.resent
			outcomes += len(w.outcomes)
			for _, n := range w.shown {
				twice += n - 1
			}
		}
	}
	t.Logf("%d crashes: %d messages sent again, %d outcomes told, %d messages shown twice", crashes, resent, outcomes, twice)
	if resent == 0 || outcomes == 0 {
		t.Error("nothing was sent again")
	}
}

// A client that sends before the file is synced, or acknowledges before, is
// caught. (The former would use a number twice as well, if it did not see in
// the 230 that its memory is older than the server's.)
func TestCrashMutants(t *testing.T) {
	for i, want := range []string{"accepted and nobody was told", "acknowledged and is shown again"} {
		caught := ""
	search:
		for seed := range uint64(crashSeeds) {
			for cut := 1; ; cut++ {
				w, whole := crash(t, seed, cut, func(f *chatclient.StateFile) { f.Mutate(i == 0, i == 1, false) })
				if faults := strings.Join(w.faults, "\n"); strings.Contains(faults, want) {
					caught = fmt.Sprintf("seed %d, cut %d: %s", seed, cut, faults)
					break search
				}
				if whole {
					break
				}
			}
		}
		if caught == "" {
			t.Errorf("mutant %d lives", i)
		}
		t.Log(caught)
	}
}
