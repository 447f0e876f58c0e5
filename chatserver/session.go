package chatserver

import (
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// forgetOrigin is how long an origin is remembered after it was last used.
// Receivers remember a day longer.
const forgetOrigin = 6 * 24 * time.Hour

// login gives the connection its session: the one it comes back to, or a new
// one.
func (c *conn) login(u *user, id uint64) {
	s := c.srv
	u.login.Lock()
	defer u.login.Unlock()
	sess := s.roster.session(u.name)
	resumed := sess != nil && sess.origin.id == id && !sess.origin.drawn
	if sess != nil && !resumed {
		if s.RefuseSecondLogin && sess.attached() != nil {
			c.unavailable("You are logged in elsewhere")
			return
		}
		s.endLocked(sess, "replaced")
	}
	o, known, ok := c.register(u, id)
	if !ok {
		c.unavailable("The server is shutting down")
		return
	}
	if !resumed {
		sess = &session{user: u, origin: o}
	}
	c.attach(sess, known, !resumed)
	if !resumed {
		s.announce(u, true)
		if hook := s.Hooks.OnLogin; hook != nil {
			hook(s.ctx, c.info())
		}
	}
}

// unavailable ends a connection that cannot be logged in now.
func (c *conn) unavailable(text string) {
	c.mu.Lock()
	c.event(chatproto.ReplyUnavailable, nil, text)
	c.slots = c.slots[:0]
	c.mu.Unlock()
	c.by.touch(c)
}

// register returns the origin of a login, and whether its window was known. A
// new one is stored before anybody relies on it.
func (c *conn) register(u *user, id uint64) (o *origin, known, ok bool) {
	s := c.srv
	if id == 0 {
		o = &origin{user: u, id: randomOrigin(), drawn: true}
		s.commit.write(func(b *store.Batch) {
			b.Sessions = append(b.Sessions, store.Session{User: u.name, Origin: o.id})
		}, nil)
		return o, false, true
	}
	if o = u.origins[id]; o != nil {
		s.commit.write(func(b *store.Batch) {
			b.Sessions = append(b.Sessions, store.Session{User: u.name, Origin: o.id})
		}, nil)
		return o, true, true
	}
	o = &origin{user: u, id: id, last: time.Now()}
	forget := u.evict(c.version.Limits.Origins - 1)
	u.addOrigin(o)
	ok = s.commit.wait(s.ctx, func(b *store.Batch) {
		b.Origins = append(b.Origins, forget...)
		b.Origins = append(b.Origins, store.Origin{User: u.name, Origin: id, Used: o.last.UnixMilli()})
		b.Sessions = append(b.Sessions, store.Session{User: u.name, Origin: id})
	})
	return o, false, ok
}

// evict forgets origins until at most room are left, the longest idle first,
// and those that are too old; never one that is in use or has something on
// its way to the store. The caller holds u.login.
func (u *user) evict(room int) (forgotten []store.Origin) {
	for {
		var oldest *origin
		for _, o := range u.origins {
			if o.conn.Load() == nil && o.batched.Load() == 0 && (oldest == nil || o.last.Before(oldest.last)) {
				oldest = o
			}
		}
		if oldest == nil || len(u.origins) <= room && time.Since(oldest.last) < forgetOrigin {
			return forgotten
		}
		delete(u.origins, oldest.id)
		forgotten = append(forgotten, store.Origin{User: u.name, Origin: oldest.id, Forget: true})
	}
}

// attach makes the connection that of its session: what an earlier one still
// reads is not applied any more, and deliveries start anew.
func (c *conn) attach(sess *session, known, isNew bool) {
	u, o := sess.user, sess.origin
	o.mu.Lock()
	old := o.conn.Swap(c)
	o.last = time.Now()
	high := o.win.High
	o.mu.Unlock()
	if old != nil {
		old.die("fenced")
	}
	c.mu.Lock()
	c.user, c.sess = u, sess
	c.mu.Unlock()
	if isNew {
		c.srv.roster.enter(sess)
	}
	u.box.attach(c, func(waiting int) { c.welcome(o, isNew, known, high, waiting) })
	sess.mu.Lock()
	sess.conn = c
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
	c.startHeartbeat()
	c.by.touch(c)
}

// An event waits for the connection of a lingering session.
type event struct {
	code   chatproto.Code
	text   string
	fields []field
}

// tell sends an event to a user who is online; if his session lingers, when
// it is back.
func (s *Server) tell(user string, code chatproto.Code, text string, fields ...field) {
	sess := s.roster.session(user)
	if sess == nil {
		return
	}
	sess.mu.Lock()
	c := sess.conn
	if c == nil && len(sess.events) < maxLingering {
		sess.events = append(sess.events, event{code, text, fields})
	}
	sess.mu.Unlock()
	if c != nil && c.notify(code, text, fields...) {
		c.flush()
	}
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
	sess, o := c.sess, c.sess.origin
	o.mu.Lock()
	o.conn.CompareAndSwap(c, nil)
	o.last = time.Now()
	o.mu.Unlock()
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.conn != c {
		return
	}
	sess.conn = nil
	if !sess.ended && !s.isClosing() {
		sess.linger = time.AfterFunc(s.Timeout, func() { s.end(sess, nil, "timeout") })
	}
}

// end ends a session, if c is still what it has for a connection (nil: none).
func (s *Server) end(sess *session, c *conn, why string) {
	sess.user.login.Lock()
	defer sess.user.login.Unlock()
	if sess.attached() == c {
		s.endLocked(sess, why)
	}
}

// endLocked ends a session. The caller holds user.login.
func (s *Server) endLocked(sess *session, why string) {
	u := sess.user
	sess.mu.Lock()
	if sess.ended {
		sess.mu.Unlock()
		return
	}
	sess.ended = true
	c := sess.conn
	if sess.linger != nil {
		sess.linger.Stop()
	}
	sess.mu.Unlock()
	if c != nil {
		u.box.detach(c)
	}
	s.roster.leave(sess)
	s.consentsOf(u, why)
	s.announce(u, false)
	s.commit.write(func(b *store.Batch) {
		b.Sessions = append(b.Sessions, store.Session{User: u.name, Origin: sess.origin.id, Ended: true})
	}, nil)
	if c != nil && why == "replaced" {
		c.goodbye("replaced", "You logged in elsewhere")
	}
	s.log.Info("session ended", "user", u.name, "why", why)
	if hook := s.Hooks.OnLogout; hook != nil {
		hook(s.ctx, u.name, why)
	}
}

// quit answers QUIT: the session ends, the client hears nothing more of it.
func (c *conn) quit() {
	if c.sess != nil {
		c.srv.end(c.sess, c, "logout")
	}
	c.why = "logout"
	c.reply(chatproto.ReplyBye, "")
	c.waitAnswered()
}

// startHeartbeat tells a client that has a heartbeat of its own that the
// server lives, when nothing else does.
func (c *conn) startHeartbeat() {
	if c.beat == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	every := min(c.srv.Heartbeat, max(c.beat, time.Second))
	c.live = time.AfterFunc(every, func() {
		c.mu.Lock()
		if c.dead != "" {
			c.mu.Unlock()
			return
		}
		silent := time.Since(c.lastWrite)
		if silent >= every {
			c.event(chatproto.LIVE, nil, "")
			silent = 0
		}
		c.live.Reset(every - silent)
		c.mu.Unlock()
		c.flush()
	})
}
