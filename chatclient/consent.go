package chatclient

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// peers knows who consented to whom, as the server told (SPEC section 8), and
// owns the lines and the listener of private chat. Its lock is taken after
// Client.mu.
type peers struct {
	c       *Client
	workers sync.WaitGroup // the listener's goroutine and those of lines

	mu       sync.Mutex
	armed    map[string]time.Time // who may open a line to us, and until when
	grants   map[string]*grant    // whom we may write to
	dialled  map[string]*dialledLine
	accepted map[*acceptedLine]struct{}
	ln       net.Listener
	local    bool // the server is on this machine
	closed   bool
}

// A grant is the address of a user who consented. When it ended because they
// went away it stays as a tombstone: then they are no longer there, which is
// another thing than that they never consented.
type grant struct {
	addr  netip.AddrPort
	until time.Time
	gone  bool
}

// maxPairs bounds the users who may write to us, and those to whom we may.
const maxPairs = 1024

func newPeers(c *Client) *peers {
	return &peers{c: c, armed: make(map[string]time.Time), grants: make(map[string]*grant),
		dialled: make(map[string]*dialledLine), accepted: make(map[*acceptedLine]struct{})}
}

// RequestAddress asks user for consent to a private chat. nil says that they
// were asked; OnAddress brings their consent, if they give it.
func (c *Client) RequestAddress(ctx context.Context, user string) error {
	_, err := c.ofUser(ctx, chatproto.ADDR, user)
	return err
}

// Consent gives this client's address to user, who asked for it, and lets
// them open a private line for as long as the consent lasts. It is one-way:
// to write back needs the consent of user.
func (c *Client) Consent(ctx context.Context, user string) error {
	// The user may dial before the answer is here, so they are armed first.
	before := c.peers.arm(user)
	_, err := c.ofUser(ctx, chatproto.CNST, user)
	if _, refused := err.(*chatproto.Error); refused {
		c.peers.rearm(user, before)
	}
	return err
}

// Revoke takes a consent back, and closes the line of user if there is one.
// To revoke what was not given is no error.
func (c *Client) Revoke(ctx context.Context, user string) error {
	c.peers.disarm(user)
	_, err := c.ofUser(ctx, chatproto.RVKE, user)
	return err
}

// arm lets user open a line, and returns until when they could before.
func (p *peers) arm(user string) (before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.armed[user]
	if !known && len(p.armed) >= maxPairs {
		evict(p.armed, func(until time.Time) time.Time { return until })
	}
	p.armed[user] = time.Now().Add(chatproto.ConsentGrantTTL)
	return before
}

// rearm takes an arm back that the server refused: it changed nothing.
func (p *peers) rearm(user string, until time.Time) {
	if !time.Now().Before(until) {
		p.disarm(user)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, armed := p.armed[user]; armed {
		p.armed[user] = until
	}
}

// disarm takes that back, and closes the line if there is one.
func (p *peers) disarm(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.armed, user)
	for l := range p.accepted {
		if l.from == user {
			l.close()
		}
	}
}

// evict removes the entry that ends first.
func evict[T any](m map[string]T, end func(T) time.Time) {
	first, found := "", false
	for user, v := range m {
		if !found || end(v).Before(end(m[first])) {
			first, found = user, true
		}
	}
	delete(m, first)
}

// grant keeps an address that the server gave out to us.
func (p *peers) grant(user string, addr netip.AddrPort, ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.grants[user]; old != nil && old.addr != addr {
		p.hangUp(user)
	} else if old == nil && len(p.grants) >= maxPairs {
		evict(p.grants, func(g *grant) time.Time { return g.until })
	}
	p.grants[user] = &grant{addr: addr, until: time.Now().Add(ttl)}
}

// ungrant ends it. gone keeps a tombstone.
func (p *peers) ungrant(user string, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.grants[user]; g != nil && gone {
		g.gone = true
	} else {
		delete(p.grants, user)
	}
	p.hangUp(user)
}

// hangUp closes the line to user. mu is held.
func (p *peers) hangUp(user string) {
	if l := p.dialled[user]; l != nil {
		l.hangUp()
		delete(p.dialled, user)
	}
}

// lookUp returns the address to which we may write now.
func (p *peers) lookUp(user string) (netip.AddrPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.grants[user]
	switch {
	case g == nil:
		return netip.AddrPort{}, ErrNoConsent
	case g.gone, !time.Now().Before(g.until):
		return netip.AddrPort{}, ErrPeerGone
	}
	return g.addr, nil
}

// sessionEnded ends all consents of both directions: they belonged to a
// session that the server has ended.
func (p *peers) sessionEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.armed)
	for l := range p.accepted {
		l.close()
	}
	for user, g := range p.grants {
		g.gone = true
		p.hangUp(user)
	}
}

// consentAsked passes on that a user asks for our address.
func (cn *conn) consentAsked(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	if !ok {
		return errFields
	}
	text := string(f.Description)
	call := cn.c.cfg.Callbacks.OnConsentAsked
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, user, text) }})
}

// address takes the address of a user who consented.
func (cn *conn) address(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	ip, err := netip.ParseAddr(f.Value("addr"))
	port, err2 := strconv.ParseUint(f.Value("port"), 10, 16)
	if !ok || err != nil || err2 != nil {
		return errFields
	}
	a := Address{User: user, Host: ip.String(), Port: int(port), TTL: millis(f, "ttl"), Text: string(f.Description)}
	cn.c.peers.grant(user, netip.AddrPortFrom(ip, uint16(port)), a.TTL)
	call := cn.c.cfg.Callbacks.OnAddress
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, a) }})
}

// revoked heeds the end of a consent: the other side's, then we may no
// longer write, or our own, then they may not.
func (cn *conn) revoked(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	owner, ok2 := userOf(f, "owner")
	if !ok || !ok2 {
		return errFields
	}
	r := Revocation{User: user, Owner: owner, Why: f.Value("why"), Text: string(f.Description)}
	if owner == user {
		cn.c.peers.ungrant(user, r.Why != "revoked" && r.Why != "blocked")
	} else {
		cn.c.peers.disarm(user)
	}
	call := cn.c.cfg.Callbacks.OnRevoked
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, r) }})
}
