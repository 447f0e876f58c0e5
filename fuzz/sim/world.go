// Package sim runs a chat server and several clients, all of them real, in
// one process and in virtual time, over a network that breaks and a store
// whose server crashes. What happens follows from one seed. An oracle compares
// what the applications did with what they saw, and says where the guarantee
// of chatproto's SPEC section 6 does not hold.
//
// It is for the tests of package fuzz and promises nothing to anybody else.
package sim

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// Options say what to simulate. Only Seed is needed: the rest is drawn.
type Options struct {
	Seed   uint64
	Users  int           // 0: drawn
	Faults Faults        // 0: drawn
	Length time.Duration // of the part with faults; 0: drawn
	Trace  bool          // log every line of every client

	// For mutants, which the oracle must find: what stands between the server
	// and its store, and between the client and the application.
	Store   func(store.Store) store.Store
	Message func(func(context.Context, chatclient.Message) error) func(context.Context, chatclient.Message) error
	Called  bool // Message stands there only on connections that the server made
}

// A Result is what a run showed.
type Result struct {
	Options
	Plan     string
	Virtual  time.Duration
	Stats    *Stats
	Log      *Log
	Problems []Problem
}

// passwords are accounts that are logged in to by password: to derive keys for
// SCRAM would cost most of the time of a run.
type passwords struct{ chatserver.Accounts }

// A world is one run.
type world struct {
	o     *Options
	plan  *plan
	dice  dice
	log   *Log
	stats *Stats
	net   *Network
	disk  *disk
	orc   *oracle
	users []*user
	creds chatserver.Credentials

	calm chan struct{} // closed when the faults stop
	over chan struct{} // closed when everything has been seen
	ctx  context.Context
	stop context.CancelFunc

	acting  sync.WaitGroup // users
	calls   sync.WaitGroup // requests of theirs
	running sync.WaitGroup // servers that end, and the rest

	mu      sync.Mutex
	quiet   bool
	srv     *chatserver.Server
	life    *life
	crashes int
	boots   int
}

// Bounds of the quiet time after the faults: sends that are under way have
// returned, and what was accepted is seen.
const (
	quietLimit = 20 * time.Minute
	settleTime = 2 * time.Minute
)

// Run runs one simulation. It must be called in a synctest bubble.
func Run(o Options) *Result {
	w := newWorld(&o)
	w.boot()
	for _, u := range w.users {
		w.acting.Go(u.run)
	}
	w.running.Go(w.drive)
	time.Sleep(w.plan.length)
	w.quieten()
	limit := time.Now().Add(quietLimit)
	for time.Now().Before(limit) && (len(w.orc.outstanding()) > 0 || len(w.orc.missing()) > 0 || !w.everybodyOnline() || w.mailForAway()) {
		time.Sleep(time.Second)
	}
	w.orc.mu.Lock()
	w.orc.stats.Add("virtual seconds until all was seen", int(quietLimit-time.Until(limit))/int(time.Second))
	w.orc.mu.Unlock()
	time.Sleep(settleTime)
	w.hung()
	close(w.over)
	w.stop()
	w.await(&w.acting, "users")
	w.await(&w.calls, "calls")
	w.end()
	w.orc.judge()
	return &Result{Options: o, Plan: fmt.Sprintf("%+v", *w.plan), Virtual: time.Since(w.log.start), Stats: w.stats, Log: w.log, Problems: w.orc.problems}
}

func newWorld(o *Options) *world {
	w := &world{o: o, dice: dice(o.Seed).of(0), stats: new(Stats), log: &Log{start: time.Now()},
		calm: make(chan struct{}), over: make(chan struct{}), creds: make(chatserver.Credentials)}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.plan = draw(w.dice.of(1).stream(), o)
	if o.Faults == 0 && w.dice.of(10).unit() < 0.4 {
		w.plan.faults |= DialBack
	}
	logf := w.log.add
	logf("plan", "seed %d: %+v", o.Seed, *w.plan)
	w.net = &Network{dice: w.dice.of(2), stats: w.stats, logf: logf, plan: &w.plan.net}
	w.disk = &disk{dice: w.dice.of(3), plan: &w.plan.store, stats: w.stats, logf: logf, image: memstore.New()}
	w.disk.crash = func(why string) { w.crash(why) }
	w.orc = newOracle(w.stats, logf)
	for i := range w.plan.users {
		name := fmt.Sprintf("u%d", i)
		w.creds[name] = "secret"
		w.users = append(w.users, &user{w: w, name: name, host: w.net.host(name), roll: w.dice.of(4, uint64(i)).stream(), budget: w.plan.budget})
	}
	return w
}

func (w *world) isQuiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quiet
}

// drive begins the faults that do not wait for anything to happen.
func (w *world) drive() {
	r := w.dice.of(8).stream()
	has := func(f Faults, weight float64) float64 {
		if w.plan.faults&f == 0 {
			return 0
		}
		return weight
	}
	for {
		t := time.NewTimer(r.between(1, 2*w.plan.every))
		select {
		case <-w.calm:
			t.Stop()
			return
		case <-t.C:
		}
		switch r.pick(0.01, has(Cuts|HalfOpen, 4), has(Partitions, 3), has(Crashes, 1), has(Shutdowns, 1), has(Commits, 1)) {
		case 1:
			w.net.breakOne(r)
		case 2:
			h := (*Host)(nil)
			if r.chance(0.7) {
				h = w.users[r.IntN(len(w.users))].host
			}
			way := r.pick(3, 1, 1)
			w.net.split(h, way != 1, way != 2, r.scale(5*time.Millisecond, 10*time.Minute))
		case 3:
			w.crash("of itself")
		case 4:
			w.shutdown(r)
		case 5:
			w.disk.outage(r.scale(10*time.Millisecond, 5*time.Minute))
		}
	}
}

// quieten ends the faults.
func (w *world) quieten() {
	w.mu.Lock()
	w.quiet = true
	w.mu.Unlock()
	w.net.calm()
	w.disk.calm()
	w.logf("world", "the faults stop")
	close(w.calm)
}

func (w *world) everybodyOnline() bool {
	for _, u := range w.users {
		if !u.isOnline() {
			return false
		}
	}
	return true
}

// mailForAway reports whether something waits for who may be away: he comes
// back at half of his lease at the latest.
func (w *world) mailForAway() (waits bool) {
	if w.plan.faults&DialBack != 0 {
		w.disk.each(func(*store.Message) { waits = true })
	}
	return waits
}

// hung notes calls that have not returned long after the faults stopped.
func (w *world) hung() {
	if keys := w.orc.outstanding(); len(keys) > 0 {
		w.orc.mu.Lock()
		w.orc.problem("hang", keys[0], "%d sends have not returned: %v", len(keys), keys)
		w.orc.mu.Unlock()
	}
	if !w.everybodyOnline() {
		w.orc.mu.Lock()
		w.orc.problem("hang", "", "somebody did not get online again")
		w.orc.mu.Unlock()
	}
}

// await waits for goroutines that should end soon; if they do not it notes
// where they are.
func (w *world) await(g *sync.WaitGroup, what string) {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(quietLimit):
		buf := make([]byte, 1<<20)
		w.orc.mu.Lock()
		w.orc.problem("stuck", "", "%s have not ended:\n%s", what, buf[:runtime.Stack(buf, true)])
		w.orc.mu.Unlock()
		<-done
	}
}

// end stops the server, and checks that nothing is left in the store of what
// everybody has seen.
func (w *world) end() {
	w.mu.Lock()
	lf, srv := w.life, w.srv
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), quietLimit)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		w.orc.mu.Lock()
		w.orc.problem("stuck", "", "the last shutdown: %v", err)
		w.orc.mu.Unlock()
	}
	w.leave(lf)
	w.await(&w.running, "servers")
	w.orc.mu.Lock()
	defer w.orc.mu.Unlock()
	st := w.disk.each(func(m *store.Message) {
		w.orc.problem("leftover", "", "message #%d of %s, %v, still waits for %v", m.Seq, m.From, m.ID, m.Audience)
	})
	origins := make(map[string]int)
	for _, o := range st.Origins {
		if origins[o.User]++; origins[o.User] > chatproto.V1.Limits.Origins {
			w.orc.problem("leftover", "", "the store has %d origins of %s", origins[o.User], o.User)
		}
	}
	for _, s := range st.Sessions {
		if slices.ContainsFunc(w.users, func(u *user) bool { return u.name == s.User && u.loggedOut }) {
			w.orc.problem("leftover", "", "the store has a session of %s, who logged out", s.User)
		}
	}
}
