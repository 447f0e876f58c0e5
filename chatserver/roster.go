package chatserver

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// A roster knows the users and who of them is online. A user is online while
// he has a session, whether a connection is attached to it or not.
type roster struct {
	mu      sync.RWMutex
	users   map[string]*user
	online  map[string]*session
	sorted  []*session       // those online, by name
	shadows map[string]*user // see hide.go; by the name of their mailbox
}

// A user is an account that the server has met. It stays for the server's
// life.
type user struct {
	name    string
	login   gate // one login or logout at a time
	box     mailbox
	blocked atomic.Pointer[map[string]bool] // whom this user blocks; replaced, never changed
	origins []*origin                       // few; guarded by login
	untold  atomic.Pointer[untold]          // nil if there is none; stored with login held
	unsure  atomic.Bool                     // Accounts is to be asked whether it still exists
}

// A gate is a lock that may be held while the store is waited for. It is a
// channel because tests in virtual time see that who waits for a channel
// waits, which they do not of a mutex.
type gate chan struct{}

func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

// A session is a user's login from one origin. It outlives its connection by
// the server's timeout, or its lease (dialback.go).
type session struct {
	user   *user
	origin *origin

	mu     sync.Mutex
	conn   *conn       // nil while it lingers
	linger *time.Timer // ends it, while it lingers
	until  time.Time   // when it does, if no call fails
	ended  atomic.Bool // stored with origin.mu held, too
	events []event     // for the connection to come, while it lingers
	token  *loginToken // for its client's next login; nil if it has none
	spent  bool        // the token was used
	reach  *reach      // where its client is called when it is away; nil if it is not
	calls  calls

	requests *rate.Limiter         // nil until the first, and without Limits.RequestRate
	revoked  map[pair]endedConsent // RVKD that it was sent
}

// maxLingering bounds the events kept for a lingering session.
const maxLingering = 64

// An origin is one client instance of a user.
type origin struct {
	user  *user
	id    uint64
	drawn bool // by the server, for a client that named none: nothing is ever sent again, and no row is kept

	mu             sync.Mutex
	win            chatproto.Window
	mesg, bcst     *chatproto.Delivery // encode what it sends
	bar            uint64              // the highest number decided as a refusal or a broadcast in this life of the server
	used, numbered bool                // some message was decided in this life of the server, and whether with a number of the client's
	last           atomic.Int64        // when a connection last came or went, milliseconds since 1970

	conn   atomic.Pointer[conn] // whom answers go to
	stored atomic.Uint64        // High of the window as the store has it

	inBatch chatproto.Window // as of the last message that was batched; guarded by committer.mu
	inCut   int              // place in the windows of the batch that is being cut, from 1; likewise
	batched atomic.Int32     // messages in a batch that is not stored: the window must stay in memory

	waitMu  sync.Mutex
	mail    []*mailbox    // whose next message waits for stored to grow (release.go)
	waiting []*mailbox    // the same of broadcasts, which also wait for leaving to be 0
	chunks  int           // of mailboxes that are having it delivered; the last stays for a pause
	leaving atomic.Uint64 // the last number of what they deliver; 0 if there are none
	began   time.Time     // when they did
	need    uint64        // none of waiting may deliver before stored reaches it
	next    uint64        // a number that waited, beyond what may be stored
	sent    uint64        // the last broadcast that was delivered after it waited
	arrived uint64        // the last one that most have acknowledged
	resume  chan struct{} // is closed when arrived reaches sent; nil if nobody waits for it

	pending atomic.Pointer[[chatproto.WindowSize]atomic.Pointer[message]] // accepted and not yet answered, by number
}

// user returns an account by name, nil if there is none. It may ask the
// application's Accounts, so no lock may be held.
func (s *Server) user(ctx context.Context, name string) (*user, error) {
	s.roster.mu.RLock()
	u := s.roster.users[name]
	s.roster.mu.RUnlock()
	if u != nil && !u.unsure.Load() || chatproto.CheckName(name) != nil {
		return u, nil
	}
	epoch := s.logins.epoch.Load()
	exists, err := s.accounts.Exists(ctx, name)
	if err != nil || !exists {
		return nil, err
	}
	s.roster.mu.Lock()
	defer s.roster.mu.Unlock()
	u = s.add(name)
	if s.logins.epoch.Load() == epoch {
		u.unsure.Store(false)
	}
	return u, nil
}

// userNamed is user for a name in a frame. What came before the frame leaves
// before Accounts is asked, which may take its time.
func (c *conn) userNamed(name []byte) (*user, error) {
	s := c.srv
	s.roster.mu.RLock()
	u := s.roster.users[string(name)] // without an allocation
	s.roster.mu.RUnlock()
	if u != nil && !u.unsure.Load() {
		return u, nil
	}
	c.stepAside()
	return s.user(s.ctx, string(name))
}

// add returns the user of this name, a new one if need be. The caller holds
// roster.mu.
func (s *Server) add(name string) *user {
	r := &s.roster
	if u := r.users[name]; u != nil {
		return u
	}
	if r.users == nil {
		r.users = make(map[string]*user)
		r.online = make(map[string]*session)
	}
	u := &user{name: name, login: make(gate, 1)}
	u.box.srv, u.box.user = s, u
	r.users[name] = u
	return u
}

// session returns the session of a user who is online, else nil.
func (r *roster) session(name string) *session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.online[name]
}

func (r *roster) enter(sess *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.place(sess.user.name)
	if !ok {
		r.sorted = slices.Insert(r.sorted, i, nil)
	}
	r.sorted[i] = sess
	r.online[sess.user.name] = sess
}

func (r *roster) leave(sess *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.online[sess.user.name] == sess {
		i, _ := r.place(sess.user.name)
		r.sorted = slices.Delete(r.sorted, i, i+1)
		delete(r.online, sess.user.name)
	}
}

// sort sorts anew who is online, after online was changed by itself. The caller
// is the only one to know the server.
func (r *roster) sort() {
	r.sorted = slices.AppendSeq(r.sorted[:0], maps.Values(r.online))
	slices.SortFunc(r.sorted, func(a, b *session) int { return strings.Compare(a.user.name, b.user.name) })
}

// place is where the session of a user of this name stands among those online,
// or would stand, and whether there is one. The caller holds mu.
func (r *roster) place(name string) (i int, ok bool) {
	return slices.BinarySearchFunc(r.sorted, name, func(sess *session, name string) int {
		return strings.Compare(sess.user.name, name)
	})
}

// each calls f for every session. f may take the locks below Server.mu, and
// no callback of the application.
func (r *roster) each(f func(*session)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, sess := range r.sorted {
		f(sess)
	}
}

func (r *roster) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.online)
}

// list returns, sorted, at most limit names behind after for which visible
// holds, and whether there are more. It looks at no others, however many are
// online: everybody may ask at any time.
func (r *roster) list(after string, limit int, visible func(*user) bool) (names []string, more bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := r.place(after)
	if ok {
		i++
	}
	for _, sess := range r.sorted[i:] {
		switch {
		case !visible(sess.user):
		case len(names) == limit:
			return names, true
		default:
			names = append(names, sess.user.name)
		}
	}
	return names, false
}

func (r *roster) stopTimers() {
	r.each(func(sess *session) {
		sess.mu.Lock()
		defer sess.mu.Unlock()
		if sess.linger != nil {
			sess.linger.Stop()
		}
		if sess.calls.timer != nil {
			sess.calls.timer.Stop()
		}
	})
}

// blocks reports whether u has blocked the user of this name.
func (u *user) blocks(name string) bool {
	b := u.blocked.Load()
	return b != nil && (*b)[name]
}

// blocking is how many users u has blocked.
func (u *user) blocking() int {
	if b := u.blocked.Load(); b != nil {
		return len(*b)
	}
	return 0
}

// block changes whom u blocks. The caller holds u.login.
func (u *user) block(name string, on bool) {
	next := make(map[string]bool)
	if old := u.blocked.Load(); old != nil {
		for k := range *old {
			next[k] = true
		}
	}
	if on {
		next[name] = true
	} else {
		delete(next, name)
	}
	u.blocked.Store(&next)
}

// frameOverhead is about what a delivery has beside its sender and text.
const frameOverhead = 60

// load reads the store into an empty server.
func (s *Server) load() error {
	st, err := s.Store.Load(context.Background(), func(m *store.Message) error {
		from := s.add(m.From)
		for _, name := range m.Audience {
			s.mailboxOf(name).box.add(waiting{from: from, seq: m.Seq, size: m.Size + 2*len(m.From) + frameOverhead})
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.seq.Store(st.LastSeq)
	for _, o := range st.Origins {
		u := s.add(o.User)
		org := &origin{user: u, id: o.Origin, win: o.Window}
		org.last.Store(o.Used)
		org.stored.Store(o.Window.High)
		u.addOrigin(org)
	}
	for _, b := range st.Blocks {
		s.add(b.Owner).block(b.User, true)
	}
	for _, k := range st.Sessions {
		u := s.add(k.User)
		org := u.origin(k.Origin)
		if org == nil {
			org = &origin{user: u, id: k.Origin, drawn: true}
		}
		org.touch() // in use, however long ago its row was written
		sess := &session{user: u, origin: org}
		s.roster.online[u.name] = sess
		s.linger(sess)
	}
	s.roster.sort()
	for _, u := range s.roster.users {
		u.unsure.Store(true) // accounts may have gone while the server was down
	}
	s.loadLogins(st)
	return nil
}

// origin returns the user's origin of this number, nil if there is none. The
// caller of these three holds u.login, or is the only one to know the server.
func (u *user) origin(id uint64) *origin {
	for _, o := range u.origins {
		if o.id == id {
			return o
		}
	}
	return nil
}

func (u *user) addOrigin(o *origin) {
	u.dropOrigin(o.id)
	u.origins = append(u.origins, o)
}

func (u *user) dropOrigin(id uint64) {
	u.origins = slices.DeleteFunc(u.origins, func(o *origin) bool { return o.id == id })
}
