package chatserver

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// Dial-back (SPEC section 7.7): a client that has said where it listens may go
// away, and is called when something waits for it. Here is what the server
// keeps of it and how it logs in; dialler.go makes the connections, which are
// then served like any other.

// A reach is where the client of a session is called, and by which key it is
// known there.
type reach struct {
	place netip.AddrPort
	key   ed25519.PublicKey
}

// calls are how the calls of a session's client went. They are guarded by
// session.mu.
type calls struct {
	busy   bool        // one waits for its turn, or is under way
	timer  *time.Timer // one waits for its time
	next   time.Time   // not before
	pause  time.Duration
	failed bool // since the client was here
	logins int  // how often it was
}

// Pauses between two calls of a session, from beginning to beginning.
const (
	callEvery = time.Second
	callPause = time.Minute // at most, after calls that failed
)

// reachable returns where LSTN says that the client can be called, nil if it
// says nothing of it or the two have not agreed on dial-back. l is what else it
// says.
func (c *conn) reachable(f *chatproto.Frame, l listener) (r *reach, refused *chatproto.Error) {
	_, has := f.Get("dial")
	if !has || !c.callable {
		return nil, nil
	}
	port, ok := f.Uint("dial")
	ip := addrOf(c.nc.RemoteAddr())
	text := ""
	switch {
	case !ok || port > 65535 || l.key == "":
		text = "dial=PORT takes a port from 1024 to 65535, and key="
	case !c.acks || c.beat == 0 || c.sess.origin.drawn:
		text = "dial= is for clients with acks=1, beat= and an origin of their own"
	case !handshake.MayDial(netip.AddrPortFrom(ip, uint16(port)), c.local()):
		text = "The server does not connect to your address or this port"
	default:
		key, _ := handshake.ParseKey(l.key)
		return &reach{netip.AddrPortFrom(ip, uint16(port)), key}, nil
	}
	return nil, &chatproto.Error{Code: chatproto.ReplyBadField, Text: text}
}

// setReach notes where the client is called from now on; nil is nowhere.
func (sess *session) setReach(r *reach) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.reach = r
}

// linger has a session whose connection ended wait for the next, for its
// lease if its client can be called. The caller holds sess.mu.
func (s *Server) linger(sess *session) {
	lasts := s.Timeout
	if sess.reach != nil {
		lasts = s.Lease
	}
	sess.until = time.Now().Add(lasts)
	sess.linger = s.after(lasts, func() { s.end(sess, nil, "timeout") })
}

// here notes that the client has a connection. The caller holds sess.mu.
func (k *calls) here() {
	k.logins++
	k.pause, k.failed = 0, false
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// call has the client of a session called, if it is away and something waits
// for it: now, or when it may be.
func (s *Server) call(sess *session) {
	sess.mu.Lock()
	k := &sess.calls
	if k.busy || !sess.wanted() {
		sess.mu.Unlock()
		return
	}
	if wait := time.Until(k.next); wait > 0 {
		if k.timer == nil {
			k.timer = s.after(wait, func() { s.callInTime(sess) })
		}
		sess.mu.Unlock()
		return
	}
	k.busy = true
	to := sess.reach.place
	sess.mu.Unlock()
	s.dialler.enter(s, sess, to)
}

// callInTime is call when the timer was set for it.
func (s *Server) callInTime(sess *session) {
	sess.mu.Lock()
	sess.calls.timer = nil
	sess.mu.Unlock()
	s.call(sess)
}

// callUser is call for the session of a user, if he has one.
func (s *Server) callUser(u *user) {
	if sess := s.roster.session(u.name); sess != nil {
		s.call(sess)
	}
}

// wanted reports whether the client of a session is away, can be called, and
// something waits for it. The caller holds sess.mu.
func (sess *session) wanted() bool {
	return sess.reach != nil && sess.conn == nil && !sess.ended.Load() && (len(sess.events) > 0 || sess.user.box.waits())
}

// waits reports whether there is something in the mailbox.
func (b *mailbox) waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.len() > 0
}

// calling begins a call whose turn has come. It returns nil if there is
// nothing to call for any more.
func (sess *session) calling() (r *reach, logins int) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if !sess.wanted() {
		return nil, 0
	}
	sess.calls.next = time.Now().Add(callEvery)
	return sess.reach, sess.calls.logins
}

// called ends a call: the next one may come. If it failed, and the client was
// not here meanwhile, that takes longer each time, and the session does not
// wait for as long as it would.
func (s *Server) called(sess *session, failed bool, logins int) {
	sess.mu.Lock()
	k := &sess.calls
	k.busy = false
	if failed && k.logins == logins && sess.linger != nil && !sess.ended.Load() {
		now := time.Now()
		k.pause = min(max(2*k.pause, callEvery), callPause)
		if next := now.Add(jitter(k.pause)); next.After(k.next) {
			k.next = next
		}
		if until := now.Add(s.Timeout); !k.failed && until.Before(sess.until) {
			sess.linger.Reset(s.Timeout)
		}
		k.failed = true
	}
	sess.mu.Unlock()
	s.call(sess)
}

// A callee is whom a connection was made for.
type callee struct {
	sess  *session
	reach *reach
	until time.Time     // when it must be logged in
	over  chan struct{} // closed when it is, or ended without
}

// errOtherKey says that it is not the client who was called.
var errOtherKey = errors.New("the key is not the one that LSTN named, or ALPN is not " + handshake.BackALPN)

// tlsFor is the server's TLS for a connection that it made (SPEC section 7.7):
// with the client's own protocol there, and nobody but the client.
func (w *callee) tlsFor(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{handshake.BackALPN}
	cfg.ClientAuth, cfg.ClientCAs, cfg.VerifyPeerCertificate = tls.RequireAnyClientCert, nil, nil
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
		if !ok || !key.Equal(w.reach.key) || state.NegotiatedProtocol != handshake.BackALPN {
			return errOtherKey
		}
		return nil
	}
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen.GetConfigForClient = nil
				chosen = w.tlsFor(chosen)
			}
			return chosen, err
		}
	}
	return cfg
}

// stands reports whether the session that was called for is still there, and
// its client still wants to be called by this key.
func (w *callee) stands() bool {
	sess := w.sess
	sess.mu.Lock()
	defer sess.mu.Unlock()
	return !sess.ended.Load() && sess.reach != nil && sess.reach.key.Equal(w.reach.key)
}

// errCallOver refuses a login on a connection that the server made, when there
// is no session for it any more.
var errCallOver = &chatproto.Error{Code: chatproto.ReplyDenied, Text: "This session is over"}

// external takes the login on a connection that the server made. Who it is
// was proved in TLS: what is left to see is that the session is there.
func (c *conn) external(f *chatproto.Frame, a attempt) *chatproto.Error {
	_, hasPass := f.Get("pass")
	_, hasData := f.Get("data")
	if hasPass || hasData || a.origin == 0 {
		return &chatproto.Error{Code: chatproto.ReplyBadField, Text: "EXTERNAL takes user= and origin=, and no password"}
	}
	s, w := c.srv, c.callee
	if a.user != w.sess.user.name || a.origin != w.sess.origin.id || !w.stands() {
		return errCallOver
	}
	ctx, cancel := context.WithDeadline(s.ctx, c.deadline())
	defer cancel()
	a.holds = func(ctx context.Context) (bool, error) { return s.accounts.Exists(ctx, a.user) }
	exists, err := a.holds(ctx)
	if err != nil {
		return c.inside(ctx, err)
	}
	if !exists {
		return errCallOver
	}
	if !c.admits(ctx, a) {
		return nil
	}
	u, err := s.user(ctx, a.user)
	switch {
	case err != nil:
		return c.inside(ctx, err)
	case u == nil:
		return errCallOver
	}
	c.auth.epoch = a.epoch
	c.login(ctx, u, a)
	return nil
}

// mayAttach reports whether a login may go on, and answers if not: on a
// connection that the server made, with the session that it was made for, and
// never in the place of another connection. The caller holds user.login.
func (c *conn) mayAttach() bool {
	switch {
	case c.callee == nil:
		return true
	case !c.callee.stands(): // so it is its user's session
		c.refuse(errCallOver, "")
	case c.callee.sess.attached() != nil:
		c.unavailable("You have come by yourself")
	default:
		return true
	}
	return false
}
