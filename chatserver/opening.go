package chatserver

import (
	"io"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// startsTLS is the first octet of a connection that speaks TLS: the type of
// a record of the handshake. No line of the protocol starts with it.
const startsTLS = 0x16

// open does what comes before the first line: a proxy's header, the limits of
// new connections, and TLS if the client begins with it, or was called. It
// reports whether there are lines to be read.
func (c *conn) open() bool {
	s := c.srv
	if c.callee == nil && !c.fromProxy() {
		return false
	}
	c.isLocal = c.local()
	c.reader.Short(true)
	if c.callee == nil && !c.letIn() {
		return false
	}
	c.told = true
	if hook := s.Hooks.OnConnect; hook != nil {
		hook(s.ctx, c.info())
	}
	if c.callee != nil {
		return c.startTLS()
	}
	switch first, ok := c.lookAhead(); {
	case !ok:
		return false
	case first == startsTLS:
		return c.startTLS()
	case !s.AllowCleartext && !c.isLocal:
		c.leave(cleartextRefused)
		return false
	}
	return true
}

// letIn reports whether there is room for a stranger, and sends it away if not.
func (c *conn) letIn() bool {
	refused, oldest := c.srv.strangers.enter(c, &c.srv.Limits)
	if oldest != nil {
		oldest.leave(turnedAway("Too many connections that are not logged in. Please try again later", 0))
	}
	if refused != nil {
		c.leave(refused)
	}
	return refused == nil
}

var cleartextRefused = &farewell{code: chatproto.ReplyUnavailable, why: "cleartext",
	text: "This server takes cleartext connections from its own machine only"}

// turnedAway is how a connection ends that is one too many. It may come back
// after retry; 0 is not known when.
func turnedAway(text string, retry time.Duration) *farewell {
	f := &farewell{code: chatproto.ReplyUnavailable, why: "too many connections", text: text}
	if retry > 0 {
		f.fields = []field{{"retry", retryMillis(retry)}}
	}
	return f
}

// handshakeDeadline is when what comes before the first line has taken too
// long, if it begins now.
func (c *conn) handshakeDeadline() time.Time {
	until := time.Now().Add(c.srv.Limits.HandshakeTimeout)
	if login := c.deadline(); login.Before(until) {
		until = login
	}
	return until
}

// lookAhead reads the first octet, which the reader is given again.
func (c *conn) lookAhead() (first byte, ok bool) {
	if !c.mayRead(false) {
		return 0, false
	}
	if _, err := io.ReadFull(c.nc, c.first[:]); err != nil {
		c.readFailed(err)
		return 0, false
	}
	c.ahead = true
	return c.first[0], true
}

// An input is what a connection's reader reads: the octet that was looked at,
// then the connection.
type input conn

// Read implements [io.Reader].
func (in *input) Read(p []byte) (int, error) {
	if in.ahead {
		in.ahead = false
		return copy(p, in.first[:]), nil
	}
	if c := (*conn)(in); c.fd > 0 {
		return c.readOwn(p, c.silentAt())
	}
	return in.nc.Read(p)
}
