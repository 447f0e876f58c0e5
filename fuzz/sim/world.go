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
	"errors"
	"fmt"
	"net"
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
	for time.Now().Before(limit) && (len(w.orc.outstanding()) > 0 || len(w.orc.missing()) > 0 || !w.everybodyOnline()) {
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

// A listener hands connections to a server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8000} }

func (l *listener) offer(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.closed:
		return false
	}
}

// boot starts a server on what is stored.
func (w *world) boot() {
	lf := w.disk.open()
	var st store.Store = lf
	if w.o.Store != nil {
		st = w.o.Store(lf)
	}
	srv := &chatserver.Server{Accounts: w.creds, Store: st, Timeout: w.plan.timeout, MailboxMessages: w.plan.mailbox, Hooks: w.hooks(lf)}
	ln := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	w.mu.Lock()
	w.srv, w.life = srv, lf
	w.boots++
	w.mu.Unlock()
	w.orc.newLife(lf.n)
	w.logf("server", "life %d begins", lf.n)
	w.running.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, chatserver.ErrServerClosed) {
			w.logf("server", "life %d cannot begin: %v", lf.n, err)
			if w.leave(lf) {
				time.AfterFunc(time.Second, w.boot)
			}
		}
	})
	w.net.listen(ln.offer)
}

func (w *world) logf(who, format string, args ...any) { w.log.add(who, format, args...) }

// leave ends a life of the server, once: it is fenced, and nobody reaches it.
func (w *world) leave(lf *life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.life != lf {
		return false
	}
	w.life, w.srv = nil, nil
	lf.fence()
	w.net.listen(nil)
	return true
}

// crash ends the server at this instant, and starts another one some time
// later.
func (w *world) crash(why string) {
	w.mu.Lock()
	lf, srv, quiet := w.life, w.srv, w.quiet
	w.mu.Unlock()
	if lf == nil || quiet || !w.leave(lf) {
		return
	}
	w.mu.Lock()
	w.crashes++
	r := w.dice.of(5, uint64(w.crashes)).stream()
	w.mu.Unlock()
	told, arrives := r.chance(0.6), r.chance(0.5)
	down := r.scale(time.Millisecond, 3*time.Minute)
	w.stats.Add("crashes", 1)
	if !told {
		w.stats.Add("crashes that no client was told of", 1)
	}
	w.logf("server", "life %d crashes, %s; clients told %v, down for %v", lf.n, why, told, down)
	w.net.serverGone(told, arrives)
	w.running.Go(func() { srv.Close() })
	time.AfterFunc(down, w.boot)
}

// shutdown restarts the server gracefully.
func (w *world) shutdown(r *roller) {
	w.mu.Lock()
	lf, srv := w.life, w.srv
	w.mu.Unlock()
	if lf == nil {
		return
	}
	limit, down := r.scale(time.Millisecond, 10*time.Second), r.scale(time.Millisecond, time.Minute)
	w.stats.Add("shutdowns", 1)
	w.logf("server", "life %d shuts down within %v", lf.n, limit)
	w.net.listen(nil)
	w.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := srv.Shutdown(ctx)
		w.logf("server", "life %d has shut down: %v", lf.n, err)
		if w.leave(lf) {
			time.AfterFunc(down, w.boot)
		}
	})
}

// hooks tell the oracle what a life of the server says, refuse messages, and
// let it crash soon after something happened.
func (w *world) hooks(lf *life) chatserver.Hooks {
	soon := func(key, n uint64, why string) {
		r := w.dice.of(6, key, n, uint64(time.Now().UnixNano())).stream()
		if r.chance(w.plan.soon) {
			time.AfterFunc(r.scale(time.Microsecond, 20*time.Millisecond), func() {
				if !lf.isDead() {
					w.crash(why)
				}
			})
		}
	}
	return chatserver.Hooks{
		OnLogin: func(_ context.Context, c chatserver.ConnInfo) {
			w.logf("server", "%s logs in, origin %x", c.User, c.Origin)
			w.orc.login(lf.n, c.User)
		},
		OnLogout: func(_ context.Context, user, why string) {
			if !lf.isDead() {
				w.logf("server", "%s is logged out: %s", user, why)
				w.orc.logout(user)
			}
		},
		OnAccepted: func(_ context.Context, m chatserver.Accepted) {
			soon(m.ID.Origin, m.ID.N, "after it accepted "+m.ID.String())
		},
		OnDelivered: func(_ context.Context, d chatserver.Delivered) {
			if !lf.isDead() {
				w.orc.acknowledged(lf.n, d.To, d.From, d.ID)
			}
			soon(d.ID.Origin, d.ID.N, "after "+d.To+" acknowledged "+d.ID.String())
		},
		AuthorizeMessage: func(ctx context.Context, m chatserver.Outgoing) error {
			r := w.dice.of(7, uint64(len(m.From)), uint64(len(m.Text)), uint64(time.Now().UnixNano())).stream()
			if !w.isQuiet() && r.chance(w.plan.refuse) {
				w.stats.Add("messages refused by the operator", 1)
				if r.chance(0.1) {
					pause(ctx, r.scale(time.Millisecond, time.Second))
				}
				return &chatproto.Error{Code: chatproto.ReplySlowDown, Text: "Not now"}
			}
			return nil
		},
	}
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
