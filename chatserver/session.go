package chatserver

import (
	"context"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// forgetOrigin is how long an origin is remembered after it was last used.
// Receivers remember a day longer.
const forgetOrigin = 6 * 24 * time.Hour

// login gives the connection its session: the one it comes back to, or a new
// one.
func (c *conn) login(ctx context.Context, u *user, a attempt) {
	s := c.srv
	isNew, hooks := c.loginLocked(ctx, u, a)
	if c.callee != nil && c.sess != nil {
		close(c.callee.over)
	}
	c.stepAside()
	for _, hook := range hooks {
		hook()
	}
	if hook := s.Hooks.OnLogin; isNew && hook != nil {
		c.stepAside()
		hook(s.ctx, c.info())
	}
}

// loginLocked is what of a login happens with the lock of the user's logins
// held. It reports whether a session began, and returns what tells the
// application of one that was replaced.
func (c *conn) loginLocked(ctx context.Context, u *user, a attempt) (isNew bool, hooks []func()) {
	s := c.srv
	u.login.Lock()
	defer u.login.Unlock()
	if !c.mayAttach() || c.tellEnd(ctx, u, a) {
		return false, nil
	}
	sess := s.roster.session(u.name)
	resumed := sess != nil && sess.origin.id == a.origin && !sess.origin.drawn
	if sess != nil && !resumed {
		if s.RefuseSecondLogin && sess.attached() != nil {
			c.unavailable("You are logged in elsewhere")
			return false, nil
		}
		hooks = s.endLocked(sess, "replaced")
	}
	o, known, ok := c.register(ctx, u, a)
	if !ok {
		c.unavailable("The server cannot log anybody in now")
	} else if ok = c.enter(ctx, a); !ok {
		c.unavailable(accountsChanged)
	}
	if !ok {
		if !resumed {
			s.writeEnd(u, o)
		}
		return false, hooks
	}
	defer s.logins.entering.RUnlock()
	if !resumed {
		sess = &session{user: u, origin: o}
	}
	written := c.attach(sess, known, !resumed)
	hooks = append(hooks, func() { s.tellDelivered(written, u) })
	if !resumed {
		s.announce(u, true) // with the lock: the end of the session is announced later
	}
	return !resumed, hooks
}

// accountsChanged refuses a login of which it is not certain any more that it
// was proved.
const accountsChanged = "The accounts have changed. Please log in again"

// unavailable ends a connection that cannot be logged in now.
func (c *conn) unavailable(text string) {
	c.mu.Lock()
	c.event(chatproto.ReplyUnavailable, nil, text)
	c.slots = c.slots[:0]
	c.mu.Unlock()
	c.by.touch(c)
}

// register returns the origin of a login, and whether its window was known. A
// new one is stored before anybody relies on it; one that this server knew and
// forgot is not registered again (SPEC section 6.6).
func (c *conn) register(ctx context.Context, u *user, a attempt) (o *origin, known, ok bool) {
	s, id := c.srv, a.origin
	o = u.origin(id)
	if o != nil && o.idle() && o.unused() > forgetOrigin {
		o = nil
	}
	drawn := id == 0 || o == nil && a.known
	if drawn {
		id = randomOrigin()
	}
	session := store.Session{User: u.name, Origin: id}
	switch {
	case drawn:
		o = &origin{user: u, id: id, drawn: true}
		s.commit.write(func(b *store.Batch) { b.Sessions = append(b.Sessions, session) }, nil)
		return o, false, true
	case o != nil:
		o.mu.Lock() // what is decided from now on is written behind it
		defer o.mu.Unlock()
		row, current := o.row()
		s.commit.write(func(b *store.Batch) {
			b.Sessions = append(b.Sessions, session)
			if current {
				b.Origins = append(b.Origins, row)
			}
		}, nil)
		return o, true, true
	}
	o = &origin{user: u, id: id}
	o.touch()
	u.dropOrigin(id)
	forget := u.evict(c.version.Limits.Origins - 1)
	u.addOrigin(o)
	row, _ := o.row()
	ok = s.commit.wait(ctx, func(b *store.Batch) {
		b.Origins = append(append(b.Origins, forget...), row)
		b.Sessions = append(b.Sessions, session)
	})
	if !ok {
		u.dropOrigin(id) // the next login waits, too
	}
	return o, false, ok
}

// row returns the origin's row as it stands, and whether it may be written by
// itself: nothing of the origin is on its way to the store, so that what the
// window says is accepted is stored or delivered. The caller holds o.mu, until
// the row is in a batch, or is the only one to know o.
func (o *origin) row() (row store.Origin, current bool) {
	row = store.Origin{User: o.user.name, Origin: o.id, Window: o.win, Used: time.Now().UnixMilli()}
	return row, o.batched.Load() == 0
}

// touch notes that a connection of the origin came or went.
func (o *origin) touch() { o.last.Store(time.Now().UnixMilli()) }

// unused is how long ago that was.
func (o *origin) unused() time.Duration { return time.Since(time.UnixMilli(o.last.Load())) }

// idle reports whether the origin has no connection, and nothing on its way
// to the store: it may be forgotten.
func (o *origin) idle() bool { return o.conn.Load() == nil && o.batched.Load() == 0 }

// evict forgets origins until at most room are left, the longest idle first,
// and those that are too old; never one that is in use or has something on
// its way to the store. The caller holds u.login.
func (u *user) evict(room int) (forgotten []store.Origin) {
	for {
		var oldest *origin
		for _, o := range u.origins {
			if o.idle() && (oldest == nil || o.last.Load() < oldest.last.Load()) {
				oldest = o
			}
		}
		if oldest == nil || len(u.origins) <= room && oldest.unused() < forgetOrigin {
			return forgotten
		}
		u.dropOrigin(oldest.id)
		forgotten = append(forgotten, store.Origin{User: u.name, Origin: oldest.id, Forget: true})
	}
}

// attach makes the connection that of its session: what an earlier one still
// reads is not applied any more, and deliveries start anew. It returns what is
// delivered with that, see mailbox.attach.
func (c *conn) attach(sess *session, known, isNew bool) (written []*message) {
	u, o := sess.user, sess.origin
	o.mu.Lock()
	old := o.conn.Swap(c)
	o.touch()
	high := o.win.High
	o.mu.Unlock()
	if old != nil {
		old.die("fenced")
	}
	c.mu.Lock()
	c.user, c.sess = u, sess
	c.mu.Unlock()
	c.ownEarly() // nobody else writes to it before
	c.known()
	if isNew {
		c.srv.roster.enter(sess)
	}
	c.quiet = c.quiet || !c.srv.announces()
	token := ""
	if !o.drawn {
		token = sess.newToken()
	}
	written = u.box.attach(c, func(waiting int) { c.welcome(o, isNew, known, high, waiting, token) })
	c.srv.delivered(written, u, true, c.by)
	c.srv.consents.mu.Lock() // what waited comes before what happens now
	c.repeatEnded()
	sess.mu.Lock()
	sess.conn = c
	sess.calls.here()
	if sess.linger != nil {
		sess.linger.Stop()
		sess.linger = nil
	}
	events := sess.events
	sess.events = nil
	sess.mu.Unlock()
	for _, e := range events {
		c.notify(e.code, e.text, e.fields...)
	}
	c.srv.consents.mu.Unlock()
	c.startHeartbeat()
	c.by.touch(c)
	return written
}

// An event waits for the connection of a lingering session.
type event struct {
	code   chatproto.Code
	text   string
	fields []field
}

// tell sends an event to a user who is online; if his session lingers, or is
// about to, when it is back.
func (s *Server) tell(user string, code chatproto.Code, text string, fields ...field) {
	sess := s.roster.session(user)
	if sess == nil {
		return
	}
	if c := sess.attached(); c != nil && c.notify(code, text, fields...) {
		c.flushLocked()
		return
	}
	sess.mu.Lock()
	if len(sess.events) < maxLingering {
		sess.events = append(sess.events, event{code, text, fields})
	}
	sess.mu.Unlock()
	s.call(sess)
}

// attached returns the connection of the session, nil while it lingers.
func (sess *session) attached() *conn {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	return sess.conn
}

// detach lets the session of a connection that ended linger, unless the
// session ended as well, or has another connection.
func (s *Server) detach(c *conn) {
	s.relays.endConn(c)
	sess, o := c.sess, c.sess.origin
	o.mu.Lock()
	o.conn.CompareAndSwap(c, nil)
	o.touch()
	o.mu.Unlock()
	sess.mu.Lock()
	if sess.conn == c {
		sess.conn = nil
		if !sess.ended.Load() && !s.isClosing() {
			s.linger(sess)
		}
	}
	sess.mu.Unlock()
	s.call(sess)
}

// end ends a session, if c is still what it has for a connection (nil: none).
func (s *Server) end(sess *session, c *conn, why string) {
	sess.user.login.Lock()
	var hooks []func()
	if sess.attached() == c {
		hooks = s.endLocked(sess, why)
	}
	sess.user.login.Unlock()
	for _, hook := range hooks {
		hook()
	}
}

// endLocked ends a session, if it has not ended before, and returns what tells
// the application. The caller holds user.login, and calls that without it.
func (s *Server) endLocked(sess *session, why string) (hooks []func()) {
	u := sess.user
	sess.origin.mu.Lock() // what is being decided is decided before, or not at all
	sess.mu.Lock()
	ended := sess.ended.Load()
	sess.ended.Store(true)
	c := sess.conn
	if !ended {
		sess.leaveUntold(why)
	}
	if sess.linger != nil {
		sess.linger.Stop()
	}
	if sess.calls.timer != nil {
		sess.calls.timer.Stop()
	}
	sess.mu.Unlock()
	sess.origin.mu.Unlock()
	if ended {
		return nil
	}
	if c != nil {
		c.mute()
	}
	s.roster.leave(sess)
	hooks = s.consentsOf(u, why)
	s.announce(u, false)
	s.writeEnd(u, sess.origin)
	if text := farewells[why]; c != nil && text != "" {
		c.goodbye(why, text)
	}
	hooks = append(hooks, func() { s.log.Info("session ended", "user", u.name, "why", why) })
	if hook := s.Hooks.OnLogout; hook != nil {
		hooks = append(hooks, func() { hook(s.ctx, u.name, why) })
	}
	return hooks
}

// writeEnd takes back what register wrote of a session: it is over, or never
// began.
func (s *Server) writeEnd(u *user, o *origin) {
	s.commit.write(func(b *store.Batch) {
		b.Sessions = append(b.Sessions, store.Session{User: u.name, Origin: o.id, Ended: true})
	}, nil)
}

// farewells are said where it is not the client that ended its session.
var farewells = map[string]string{
	"replaced": "You logged in elsewhere",
	"removed":  "The operator has ended your session",
}

// over reports whether the session ended.
func (sess *session) over() bool { return sess.ended.Load() }

// quit answers QUIT: the session ends, the client hears nothing more of it.
func (c *conn) quit() {
	if c.sess != nil {
		c.stepAside()
		c.srv.end(c.sess, c, "logout")
	}
	c.why = "logout"
	c.reply(chatproto.ReplyBye, "")
	c.waitAnswered()
}
