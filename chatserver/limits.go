package chatserver

import (
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/parleyproto/parley/chatproto"
)

// Limits bound what strangers and clients can make the server spend (SPEC
// section 10). A field that is 0 stands for the default that its comment
// names; -1 is no limit where the comment says so.
//
// A source is an IPv4 address or an IPv6 /64. Connections from the server's
// own machine, by loopback or by something without IP addresses, are exempt
// where the comment says so. Behind a proxy everybody has the proxy's
// address, unless Server.ProxyFrom names it.
type Limits struct {
	// Strangers is how many connections there may be that are not logged in,
	// in all. One more makes the oldest go, which is told 421. The own
	// machine is exempt. 0 is 4,096.
	Strangers int
	// StrangersPerSource is how many of them one source may have. One more
	// is told 421 and closed. The own machine is exempt. 0 is 32, -1 no
	// limit.
	StrangersPerSource int
	// ConnectRate is how many connections a second one source may open; ten
	// times as many may come at once. One more is told 421 with retry= and
	// closed. The own machine is exempt. 0 is 10, -1 no limit.
	ConnectRate float64

	// HandshakeTimeout is how long a TLS handshake may take from its first
	// octet. Then the connection is closed; there is nothing to say it in.
	// 0 is 10 s, and it is never more than what is left of
	// Server.LoginTimeout.
	HandshakeTimeout time.Duration

	// LoginAttempts is how many logins may fail on one connection. The last
	// is answered, and the connection ended with GBYE. 0 is 10.
	LoginAttempts int
	// FailureRate is how many logins a minute may fail from one source,
	// whatever the accounts; as many may fail at once. Then every login from
	// there is answered 450 with retry=. The own machine is not exempt. 0 is
	// 30, -1 no limit.
	FailureRate float64

	// RequestRate is how many requests a second a session may send once it
	// has used up a burst of RequestBurst. One more is answered 429 with
	// retry=. Acknowledgements, heartbeats and QUIT are free, and the own
	// machine is exempt. A RequestRate of 0 is no limit: a client is slowed
	// down only by waiting for its answers. A RequestBurst of 0 is 256, what
	// a client that comes back may have to send again, or RequestRate if
	// that is more.
	RequestRate  float64
	RequestBurst int

	// OutboundBytes is how many octets wait at most to be written to one
	// connection before messages stay in their mailbox, and a client that
	// does not read its answers is not read from any more. One that lets
	// four times as many of other events pile up is cut off. 0 is 64 KiB.
	OutboundBytes int
}

// defaults fills the fields that were left zero.
func (l *Limits) defaults() {
	setDefault(&l.Strangers, 4096)
	setDefault(&l.StrangersPerSource, 32)
	setDefault(&l.ConnectRate, 10)
	setDefault(&l.HandshakeTimeout, 10*time.Second)
	setDefault(&l.LoginAttempts, 10)
	setDefault(&l.FailureRate, 30)
	setDefault(&l.RequestBurst, max(256, int(l.RequestRate)))
	setDefault(&l.OutboundBytes, 64<<10)
}

// setDefault sets what was left zero.
func setDefault[T int | float64 | time.Duration](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

// connectBurst is how many seconds' worth of ConnectRate may come at once.
const connectBurst = 10

// failing returns how long every login from the connection's source is
// refused, because too many failed; 0 if it is not.
func (c *conn) failing() time.Duration {
	return c.srv.failures.empty(source(c.nc.RemoteAddr()), time.Now())
}

// loginFailed counts a login that failed for a wrong password or proof, once
// it is answered; the last that the connection may try ends it.
func (c *conn) loginFailed() {
	c.srv.failures.take(source(c.nc.RemoteAddr()), time.Now())
	if c.failed++; int(c.failed) >= c.srv.Limits.LoginAttempts {
		c.goodbye("protocol", "Too many failed logins")
	}
}

// inRate reports whether the session may send another request now. If not it
// answers.
func (c *conn) inRate() bool {
	if c.sess == nil || c.srv.Limits.RequestRate <= 0 || c.isLocal {
		return true
	}
	wait := takeToken(c.sess.requestRate(&c.srv.Limits), time.Now())
	if wait == 0 {
		return true
	}
	c.refuseFast(wait)
	return false
}

// requestRate returns what the requests of the session are counted by,
// whatever connection they come by.
func (sess *session) requestRate(l *Limits) *rate.Limiter {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.requests == nil {
		sess.requests = rate.NewLimiter(rate.Limit(l.RequestRate), l.RequestBurst)
	}
	return sess.requests
}

// refuseFast answers a request that came too early. A message's number is
// decided by it, as by any refusal.
func (c *conn) refuseFast(wait time.Duration) {
	switch c.verb {
	case chatproto.SEND, chatproto.CAST:
		if !c.decideAgainst() {
			return
		}
	}
	c.answer(slot{verb: c.verb, tag: c.tag, code: chatproto.ReplySlowDown,
		text: c.version.Sentence(c.verb, chatproto.ReplySlowDown), fields: []field{{"retry", retryMillis(wait)}}})
}

// retryMillis is d for a retry= field, rounded up: who waits so long has
// waited long enough.
func retryMillis(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10)
}
