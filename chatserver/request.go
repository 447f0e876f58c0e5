package chatserver

import (
	"github.com/parleyproto/parley/chatproto"
)

// request takes one frame of the client through the phase table to the
// function of its verb.
func (c *conn) request(f *chatproto.Frame) {
	c.verb, c.tag = f.Code, 0
	silent := c.version.Unanswered(c.verb)
	n, hasN := f.Get("n")
	tag, okN := chatproto.ParseUint(n)
	if hasN && okN {
		c.tag = tag
	}
	c.mu.Lock()
	if c.machine.Phase() >= chatproto.Closing {
		c.mu.Unlock()
		return
	}
	refused := c.machine.Request(c.verb, c.tag)
	c.mu.Unlock()
	switch {
	case refused != nil:
		c.refuse(refused.(*chatproto.Error), "")
	case silent && c.sess == nil:
		return
	case hasN && c.tag == 0 && !silent:
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "n= takes a number from 1"}, "")
	case c.sess != nil && c.fenced():
		c.die("fenced")
		return
	case silent || c.verb == chatproto.QUIT || c.inRate():
		c.apply(f)
	}
	if c.tag == 0 && (refused != nil || !silent) {
		c.waitAnswered()
	}
}

// fenced reports whether another connection has taken over, or the session
// ended: nothing is applied any more (SPEC section 6.5). Who asks holds what
// the other has to take before its 230, and asks when what can take long is
// behind it: user.login, origin.mu or consents.mu.
func (c *conn) fenced() bool { return c.sess.origin.conn.Load() != c || c.sess.over() }

// apply calls the function of the verb.
func (c *conn) apply(f *chatproto.Frame) {
	switch c.verb {
	case chatproto.SEND:
		c.send(f)
	case chatproto.ACKD:
		c.ackd(f)
	case chatproto.CAST:
		c.cast(f)
	case chatproto.LIVE:
	case chatproto.HELO:
		c.helo(f)
	case chatproto.AUTH:
		c.authenticate(f)
	case chatproto.QUIT:
		c.quit()
	case chatproto.ONLN:
		c.online(f)
	case chatproto.BLOK:
		c.block(f, true)
	case chatproto.UBLK:
		c.block(f, false)
	case chatproto.LSTN:
		c.listen(f)
	case chatproto.ADDR:
		c.askAddress(f)
	case chatproto.CNST:
		c.consent(f)
	case chatproto.RVKE:
		c.revoke(f)
	case chatproto.RLAY:
		c.relay(f)
	case chatproto.RDAT:
		c.relayed(f)
	}
}

// userField returns the user= of a request, or refuses it.
func (c *conn) userField(f *chatproto.Frame) (name string, ok bool) {
	v, ok := f.Get("user")
	if !ok {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: c.verb.String() + " takes user=USER"}, "")
	}
	return string(v), ok
}

// other returns the account that user= names, or refuses the request: there
// is none, or it is the client's own.
func (c *conn) other(f *chatproto.Frame) *user {
	name, ok := c.userField(f)
	if !ok {
		return nil
	}
	u, err := c.userNamed([]byte(name))
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return nil
	}
	if u == nil || u == c.user {
		c.refuse(chatproto.ErrNoSuchUser, name)
		return nil
	}
	return u
}
