package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A user runs one program after the other.
type user struct {
	w      *world
	name   string
	host   *Host
	roll   *roller // of run's goroutine
	budget int     // messages that it may still send
	count  int     // that it sent

	mu        sync.Mutex
	online    bool
	loggedOut bool // with the last word of the server; final
}

// An instance is one program: a client, and an application that remembers
// nothing of the program before.
type instance struct {
	user   *user
	n      int
	client *chatclient.Client
	began  int               // on the oracle's clock
	roll   *roller           // of what the program does
	app    *roller           // of the callbacks
	back   *roller           // of what is about dial-back
	calls  bool              // it goes away
	fate   float64           // how it ends
	high   map[source]uint64 // guarded by oracle.mu

	mu     sync.Mutex
	door   *door           // where the server calls; nil: nowhere
	called bool            // the connection is one that the server made
	dead   bool            // the machine has failed: nothing of it gets through any more
	sent   map[string]bool // requests seen on the wire
	known  map[string]bool // deliveries taken, by sender and id
	fails  int             // how often the callback still fails
	owed   string          // what the application did not take and must be offered next
}

func (in *instance) String() string { return fmt.Sprintf("%s/%d", in.user.name, in.n) }

func (u *user) isOnline() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.online
}

func (u *user) setOnline(on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.online = on
}

// run lives one program after the other, until the world is over.
func (u *user) run() {
	u.wait(u.roll.scale(time.Millisecond, time.Minute))
	for n := 1; ; n++ {
		in := u.start(n)
		if in == nil {
			return
		}
		in.act()
		over := closed(u.w.over)
		u.setOnline(false)
		if !over && in.calls && in.fate < 0.3 {
			in.die()
		}
		if over || u.roll.chance(0.5) {
			ctx, cancel := context.WithTimeout(context.Background(), u.roll.scale(time.Second, time.Minute))
			err := in.client.Logout(ctx)
			cancel()
			u.loggedOut = over && err == nil
			u.w.logf("user", "%v logged out: %v", in, err)
		} else {
			in.client.Close()
			u.w.logf("user", "%v is closed", in)
		}
		<-in.client.Done()
		if over {
			return
		}
		u.w.stats.Add("programs that restarted", 1)
		u.wait(u.away())
	}
}

func closed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// away draws how long a user is away between two programs.
func (u *user) away() time.Duration {
	if u.roll.chance(0.5) {
		return u.roll.scale(time.Microsecond, 10*time.Second)
	}
	return u.roll.scale(time.Second, u.w.plan.away+2*time.Second)
}

// wait lets time pass, less if the faults stop. It reports whether they have.
func (u *user) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-u.w.calm:
		return true
	case <-t.C:
		return false
	}
}

// start logs in with a new program, trying until it works; nil if the world
// is over before that.
func (u *user) start(n int) *instance {
	d := u.w.dice.of(9, uint64(u.host.dice), uint64(n))
	back := d.of(3).stream()
	in := &instance{user: u, n: n, roll: d.of(1).stream(), app: d.of(2).stream(), back: back,
		calls: u.w.plan.faults&DialBack != 0 && back.chance(0.7), fate: back.Float64(),
		high: make(map[source]uint64), sent: make(map[string]bool), known: make(map[string]bool)}
	cfg := in.config()
	for {
		u.w.orc.mu.Lock()
		in.began = u.w.orc.tick()
		u.w.orc.mu.Unlock()
		client, err := chatclient.Dial(u.w.ctx, cfg)
		if err == nil {
			in.client = client
			u.w.logf("user", "%v is online", in)
			u.setOnline(true)
			return in
		}
		u.w.logf("user", "%v cannot log in: %v", in, err)
		var refused *chatproto.Error
		if errors.As(err, &refused) && refused.Code.Class() != 4 {
			u.w.orc.mu.Lock()
			u.w.orc.problem("stuck", "", "%v cannot log in: %v", in, err)
			u.w.orc.mu.Unlock()
		}
		if closed(u.w.over) {
			return nil
		}
		pause(u.w.ctx, u.roll.between(time.Millisecond, time.Second))
	}
}

func (in *instance) config() chatclient.Config {
	u := in.user
	take := in.onMessage
	if change := u.w.o.Message; change != nil {
		take = change(take)
		if u.w.o.Called {
			changed := take
			take = func(ctx context.Context, m chatclient.Message) error {
				if in.isCalled() {
					return changed(ctx, m)
				}
				return in.onMessage(ctx, m)
			}
		}
	}
	cfg := chatclient.Config{
		Dial: in.dial,
		User: u.name, Password: u.w.creds[u.name], Cleartext: chatclient.CleartextLocal,
		// The back-off is the network's, for what the client draws is not
		// from the seed.
		BackoffMin: 1, BackoffMax: 1,
		PeerListen:      "off",
		DeclinePresence: in.roll.chance(0.3),
		Callbacks:       chatclient.Callbacks{OnMessage: take, OnState: in.onState},
		Trace:           in.trace,
	}
	if in.roll.chance(0.2) {
		cfg.Heartbeat = in.roll.scale(2*time.Second, 2*time.Minute)
	}
	if in.calls {
		cfg.DialBack = &chatclient.DialBack{ListenFunc: in.listen, Quiet: in.back.scale(20*time.Millisecond, 20*time.Second)}
		cfg.Cleartext, cfg.Fingerprint = chatclient.CleartextNever, serverFingerprint()
	}
	return cfg
}

func (in *instance) onState(_ context.Context, s chatclient.State) {
	in.user.w.logf("user", "%v %v resumed %v mail %d err %v", in, s.Kind, s.Resumed, s.Mail, s.Err)
	switch s.Kind {
	case chatclient.Online:
		in.user.setOnline(true)
		if s.Resumed {
			in.user.w.stats.Add("sessions resumed", 1)
		}
		if s.Mail > 0 {
			in.user.w.stats.Add("logins with mail", 1)
		}
	case chatclient.Away:
		in.user.w.stats.Add("times that a client went away", 1)
	case chatclient.Waiting:
		in.user.setOnline(false)
		in.user.w.stats.Add("connections lost", 1)
	}
}

var errNotNow = errors.New("sim: not now")

// onMessage is the application: it refuses, is slow, and takes.
func (in *instance) onMessage(ctx context.Context, m chatclient.Message) error {
	w := in.user.w
	key, _, _ := strings.Cut(m.Text, " ")
	if in.owed != "" && in.owed != key {
		w.orc.mu.Lock()
		w.orc.problem("order", key, "%v was offered %s after %s, which it has not taken", in, key, in.owed)
		w.orc.mu.Unlock()
	}
	in.owed = key
	if !w.isQuiet() {
		if in.fails == 0 && in.app.chance(w.plan.fails) {
			in.fails = 1 + in.app.IntN(4)
		}
		if in.app.chance(w.plan.slow) {
			w.stats.Add("callbacks slow", 1)
			if err := pause(ctx, in.app.scale(time.Millisecond, time.Minute)); err != nil {
				return err
			}
		}
	}
	if in.fails > 0 {
		in.fails--
		w.stats.Add("callbacks failed", 1)
		return errNotNow
	}
	in.owed = ""
	w.logf("user", "%v takes %s from %s as %v", in, key+" ", m.From, m.ID)
	w.orc.taken(in, m)
	in.mu.Lock()
	in.known[m.From+" "+m.ID.String()] = true
	in.mu.Unlock()
	return nil
}

// trace counts what can be seen on the wire alone.
func (in *instance) trace(sent bool, line []byte) {
	w := in.user.w
	arrow := "<"
	if sent {
		arrow = ">"
	}
	if w.o.Trace {
		w.logf("user", "%v %s %.120s", in, arrow, line)
	}
	if sent && bytes.HasPrefix(line, []byte("AUTH ")) {
		in.mu.Lock()
		in.called = bytes.HasPrefix(line, []byte("AUTH mech=EXTERNAL"))
		in.mu.Unlock()
	}
	var f chatproto.Frame
	if len(line) > 4 && (line[0] == 'S' || line[0] == 'C' || line[0] == 'M' || line[0] == 'B' || line[0] == '4') && chatproto.Parse(&f, append([]byte(nil), line...)) == nil {
		in.mu.Lock()
		defer in.mu.Unlock()
		switch {
		case f.Code == chatproto.SEND || f.Code == chatproto.CAST:
			key := f.Value("n") + " " + string(f.Description)
			if in.sent[key] {
				w.stats.Add("messages resent", 1)
				text, _, _ := strings.Cut(string(f.Description), " ")
				w.orc.again(text)
			}
			in.sent[key] = true
		case f.Code == chatproto.MESG || f.Code == chatproto.BCST:
			if in.known[f.Value("from")+" "+f.Value("id")] {
				w.stats.Add("duplicates dropped", 1)
			} else if in.called {
				w.stats.Add("deliveries to clients that were called", 1)
			}
		case f.Code == chatproto.ReplyRefusedEarlier:
			w.stats.Add("refused earlier (455)", 1)
		case f.Code == chatproto.ReplyMailboxFull:
			w.stats.Add("mailboxes full (452)", 1)
		}
	}
}
