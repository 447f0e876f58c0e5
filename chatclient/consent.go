package chatclient

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient/internal/consentcache"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// peers knows who consented to whom, as the server told (SPEC section 8), and
// owns the lines and the listener of private chat. Its lock is taken after
// Client.mu.
type peers struct {
	c       *Client
	id      *Identity
	workers sync.WaitGroup // the listener's goroutine and those of lines
	saving  sync.Mutex     // one key is saved at a time
	taken   takenWindows   // of the dispatcher's goroutine

	mu       sync.Mutex
	given    map[string]*given  // to whom we consented, or who asks
	words    uint64             // counts our consents
	grants   map[string]*grant  // who consented to us
	named    map[string]string  // keys, as the server named them last
	known    map[string]string  // keys of those with whom there was a line
	suspects map[string]string  // keys that differ from that, and are not accepted
	numbers  map[string]numbers // of the messages to each user
	dialled  map[string]*dialledLine
	accepted map[*acceptedLine]struct{}
	unknown  strangers // of those
	ln       net.Listener
	local    bool // the server is on this machine
	asks     bool // our key is registered also if we do not listen
	begun    bool // there was a 230
	closed   bool

	// Of private messages in the state file, if there is one:
	tookUp     bool         // those of an earlier program are under way; of Client.mu
	durable    uint64       // position up to which the file is synced
	ends       []privateEnd // ascending
	forgetting *time.Timer  // not nil: it will have the file written
}

// A given is our consent to a user, or their request.
type given struct {
	consentcache.Given
	timer *time.Timer // nil unless it is in force
	took  bool        // we took it back, and the server has not said so yet
}

// maxPairs bounds the users who may write to us, and those to whom we may.
const maxPairs = 1024

func newPeers(c *Client) (*peers, error) {
	p := &peers{c: c, id: c.cfg.Identity,
		given: make(map[string]*given), grants: make(map[string]*grant),
		named: make(map[string]string), known: make(map[string]string), suspects: make(map[string]string), numbers: make(map[string]numbers),
		dialled: make(map[string]*dialledLine), accepted: make(map[*acceptedLine]struct{}), unknown: strangers{most: maxStrangers}}
	var err error
	if p.id == nil {
		if p.id, err = NewIdentity(nil); err != nil {
			return nil, err
		}
	}
	if c.cfg.Peers != nil {
		known, err := c.cfg.Peers.Load(c.cfg.Addr)
		if err != nil {
			return nil, err
		}
		for user, key := range known {
			p.known[user] = key
		}
	}
	return p, nil
}

// RequestAddress asks user for consent to a private chat. nil says that they
// were asked; OnAddress brings their consent, if they give it.
func (c *Client) RequestAddress(ctx context.Context, user string) error {
	if err := chatproto.CheckName(user); err != nil {
		return err
	}
	c.mu.Lock()
	c.peers.mu.Lock()
	first := !c.peers.asks && c.peers.ln == nil
	c.peers.asks = true
	c.peers.mu.Unlock()
	if first && c.conn != nil && !c.ended && !c.stopping {
		c.register(c.conn, 0)
	}
	c.mu.Unlock()
	_, err := c.ofUser(ctx, chatproto.ADDR, user)
	return err
}

// Consent gives this client's address to user, who asked for it, and lets
// them open a private line for as long as the consent lasts. It is one-way:
// to write back needs the consent of user. It is [ErrPeerKeyChanged] if user
// has another key than before; nothing is given then.
func (c *Client) Consent(ctx context.Context, user string) error {
	if err := chatproto.CheckName(user); err != nil {
		return err
	}
	// The user may dial before the answer is here, so the word counts at
	// once (SPEC section 8.3).
	word, err := c.peers.consent(user)
	if err != nil {
		return err
	}
	k := newCall(chatproto.CNST, "user", user, "")
	k.heed = func(a answer) { c.peers.answered(user, word, a) }
	if err := c.begin(ctx, k); err != nil {
		return err
	}
	if err := c.wait(ctx, k); err != nil {
		return err
	}
	c.peers.mu.Lock()
	err = c.peers.suspect(user)
	c.peers.mu.Unlock()
	if err != nil { // the key came with the answer
		c.Revoke(ctx, user)
	}
	return err
}

// Revoke takes a consent back, and closes the line of user if there is one.
// To revoke what was not given is no error.
func (c *Client) Revoke(ctx context.Context, user string) error {
	c.peers.takeBack(user)
	_, err := c.ofUser(ctx, chatproto.RVKE, user)
	return err
}

// of returns what is known of our consent to user. mu is held.
func (p *peers) of(user string) *given {
	g := p.given[user]
	if g == nil {
		if len(p.given) >= maxPairs {
			p.evictGiven()
		}
		g = new(given)
		p.given[user] = g
	}
	return g
}

// evictGiven ends the consent that ends first, or forgets a request.
func (p *peers) evictGiven() {
	var first string
	var end time.Time
	for user, g := range p.given {
		if until, _ := g.InForce(time.Now()); first == "" || until.Before(end) {
			first, end = user, until
		}
	}
	p.given[first].TakeBack()
	p.given[first].took = false
	p.settle(first)
}

// settle does what the state of our consent to user wants: it closes the
// lines that are not allowed, and sets the clock. mu is held.
func (p *peers) settle(user string) {
	g := p.given[user]
	if g == nil {
		return
	}
	now := time.Now()
	for l := range p.accepted {
		if l.from == user && !g.Allows(l.key, now) {
			l.close()
		}
	}
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if until, ok := g.InForce(now); ok && !p.closed {
		g.timer = time.AfterFunc(until.Sub(now), func() { p.expire(user, g) })
	}
	if g.Empty() && !g.took {
		delete(p.given, user)
	}
}

// expire ends a consent of ours whose time is up.
func (p *peers) expire(user string, g *given) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := g.InForce(time.Now()); !ok && p.given[user] == g {
		g.Expired()
		p.settle(user)
	}
}

func (p *peers) consent(user string) (word uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.suspect(user); err != nil {
		return 0, err
	}
	p.words++
	p.of(user).Consent(p.words, time.Now().Add(chatproto.ConsentGrantTTL))
	p.settle(user)
	return p.words, nil
}

// answered takes the answer to a consent.
func (p *peers) answered(user string, word uint64, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.given[user]
	if g == nil {
		return
	}
	ttl := a.ttl
	if ttl == 0 {
		ttl = chatproto.ConsentGrantTTL
	}
	switch {
	case a.code.Class() != 2:
		g.Refused(word, a.code == chatproto.ReplyNotAsked)
	case p.vet(user, a.key):
		p.name(user, a.key)
		g.Granted(word, a.key, time.Now().Add(ttl))
	default:
		g.Refused(word, true)
	}
	p.settle(user)
}

// takeBack ends our consent to user, by our own word.
func (p *peers) takeBack(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.given[user]; g != nil {
		if _, ok := g.InForce(time.Now()); ok {
			g.took = true
		}
		g.TakeBack()
		p.settle(user)
	}
}

// name notes the key by which the server names a user. mu is held.
func (p *peers) name(user, key string) {
	if key == "" {
		delete(p.named, user)
		return
	}
	if p.named[user] == "" && len(p.named) >= maxPairs {
		for any := range p.named {
			delete(p.named, any) // it comes again when it matters
			break
		}
	}
	p.named[user] = key
}

// asked takes a request of user.
func (p *peers) asked(user, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name(user, key)
	if !p.vet(user, key) {
		key = ""
	}
	p.of(user).Asked(key)
	p.settle(user)
}

// ended takes the server's word that our consent to user has ended, and
// reports whether there was one.
func (p *peers) ended(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.given[user]
	if g == nil {
		return false
	}
	_, there := g.InForce(time.Now())
	there = there || g.took
	g.Ended()
	g.took = false
	p.settle(user)
	return there
}

// sessionEnded ends all consents of both directions: they belonged to a
// session that the server has ended.
func (p *peers) sessionEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, g := range p.given {
		g.Ended()
		g.took = false
		p.settle(user)
	}
	for user, g := range p.grants {
		g.gone = true
		g.timer.Stop()
		p.hangUp(user)
	}
}

// consentAsked passes on that a user asks for our address.
func (cn *conn) consentAsked(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	key, ok2 := keyOf(f)
	if !ok || !ok2 {
		return errFields
	}
	cn.c.peers.asked(user, key)
	text := string(f.Description)
	call := cn.c.cfg.Callbacks.OnConsentAsked
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, user, text) }})
}

// keyOf reads a user's key, "" if there is none.
func keyOf(f *chatproto.Frame) (string, bool) {
	v, has := f.Get("key")
	if !has {
		return "", true
	}
	_, err := handshake.ParseKey(string(v))
	return string(v), err == nil
}

// address takes the address of a user who consented.
func (cn *conn) address(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	key, ok2 := keyOf(f)
	ip, err := netip.ParseAddr(f.Value("addr"))
	port, err2 := strconv.ParseUint(f.Value("port"), 10, 16)
	if !ok || !ok2 || err != nil || err2 != nil {
		return errFields
	}
	places := []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}
	if _, has := f.Get("cand"); has {
		more, err := handshake.ParsePlaces(f.Value("cand"))
		if err != nil {
			return errFields
		}
		places = append(places, more...)
	}
	a := Address{User: user, Host: ip.String(), Port: int(port), TTL: millis(f, "ttl"), Text: string(f.Description)}
	cn.c.peers.grant(user, key, places, a.TTL)
	call := cn.c.cfg.Callbacks.OnAddress
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, a) }})
}

// revoked heeds the end of a consent: the other side's, then we may no
// longer write, or our own, then they may not. One that was heard of before
// is not told again.
func (cn *conn) revoked(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	owner, ok2 := userOf(f, "owner")
	if !ok || !ok2 {
		return errFields
	}
	r := Revocation{User: user, Owner: owner, Why: f.Value("why"), Text: string(f.Description)}
	news := false
	if owner == user {
		news = cn.c.peers.ungrant(user, r.Why != "revoked" && r.Why != "blocked")
	} else {
		news = cn.c.peers.ended(user)
	}
	call := cn.c.cfg.Callbacks.OnRevoked
	if call == nil || !news {
		return nil
	}
	return cn.c.events.push(event{call: func(ctx context.Context) { call(ctx, r) }})
}
