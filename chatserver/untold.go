package chatserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// An untold is the end of a session whose client was away and could not be
// told, with what that is known by when it comes back (SPEC section 7.7).
type untold struct {
	token loginToken // the session's last, spent or not
	why   string
	until time.Time // the session's lease
}

// leaveUntold notes how a session ended, if its client is to be told and could
// not be. The caller holds user.login and sess.mu.
func (sess *session) leaveUntold(why string) {
	if farewells[why] == "" || sess.reach == nil || sess.conn != nil || sess.token == nil {
		return
	}
	sess.user.untold.Store(&untold{token: *sess.token, why: why, until: sess.until})
}

// untoldTo returns the end of which the client with this token was not told,
// nil if there is none. The caller holds login.
func (u *user) untoldTo(token string) *untold {
	end := u.untold.Load()
	if end == nil || token == "" {
		return nil
	}
	if !time.Now().Before(end.until) {
		u.untold.Store(nil)
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], end.token[:]) != 1 {
		return nil
	}
	return end
}

// tellEnd answers a login that was proved, if it is that of a client who is
// told only now that its session is over, and reports whether it did: a
// program that was replaced does not replace by coming back. The caller holds
// user.login.
func (c *conn) tellEnd(ctx context.Context, u *user, a attempt) bool {
	if c.callee != nil {
		return false
	}
	end := u.untoldTo(a.token)
	if end == nil {
		return false
	}
	if !c.enter(ctx, a) {
		c.unavailable(accountsChanged)
		return true
	}
	u.untold.Store(nil)
	c.srv.logins.entering.RUnlock()
	c.goodbye(end.why, farewells[end.why])
	return true
}
