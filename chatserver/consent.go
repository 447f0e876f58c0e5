package chatserver

import (
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// maxConsents bounds the pairs with a consent under way, of one asker.
const maxConsents = 64

// consents are the consents of all pairs of users, decided in the order in
// which the server processes what concerns them.
type consents struct {
	mu      sync.Mutex
	pairs   map[pair]*consent
	asked   map[*user]int // pairs that a user asks in
	listens map[*user]listener
	stopped bool
}

// A pair is ordered: the asker wants the owner's address.
type pair struct{ asker, owner *user }

type consent struct {
	state   chatproto.ConsentState
	told    time.Time // when the owner was told of the request
	expires time.Time
	timer   *time.Timer
}

// A listener is where a user takes private chats.
type listener struct {
	addr string
	port uint64
}

// listen answers LSTN. A new port ends the consents that gave the old one
// away.
func (c *conn) listen(f *chatproto.Frame) {
	port, ok := f.Uint("port")
	if !ok || port < 1024 || port > 65535 {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "LSTN takes port=PORT, from 1024 to 65535"}, "")
		return
	}
	ip := addrOf(c.nc.RemoteAddr())
	if !ip.IsValid() {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "This connection has no address that others could be given"}, "")
		return
	}
	l := listener{ip.String(), port}
	cs := &c.srv.consents
	cs.mu.Lock()
	if cs.listens == nil {
		cs.listens = make(map[*user]listener)
	}
	old, had := cs.listens[c.user]
	cs.listens[c.user] = l
	var granted []pair
	for p := range cs.pairs {
		if p.owner == c.user && had && old != l {
			granted = append(granted, p)
		}
	}
	cs.mu.Unlock()
	for _, p := range granted {
		c.srv.consentEvent(chatproto.ConsentMove, p.asker, p.owner, &c.by)
	}
	c.reply(chatproto.ReplyOK, "")
}

// askAddress answers ADDR: what happens next, events tell.
func (c *conn) askAddress(f *chatproto.Frame) {
	name, ok := c.userField(f)
	if !ok {
		return
	}
	if name == c.user.name {
		c.refuse(chatproto.ErrBadField, name)
		return
	}
	owner := c.other(f)
	if owner == nil {
		return
	}
	switch {
	case owner.blocks(c.user.name) && !c.srv.HideBlocks:
		c.refuse(chatproto.ErrBlocked, owner.name)
	case owner.blocks(c.user.name):
		c.refuse(chatproto.ErrNotOnline, owner.name)
	case c.srv.roster.session(owner.name) == nil:
		c.refuse(chatproto.ErrNotOnline, owner.name)
	case !c.srv.consents.mayAsk(pair{c.user, owner}):
		c.refuse(chatproto.ErrSlowDown, owner.name)
	default:
		c.reply(chatproto.ReplyAsked, owner.name)
		c.srv.consentEvent(chatproto.ConsentAsk, c.user, owner, &c.by)
	}
}

// mayAsk reports whether a user may have one more pair under way.
func (cs *consents) mayAsk(p pair) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.pairs[p] != nil || cs.asked[p.asker] < maxConsents
}

// consent answers CNST.
func (c *conn) consent(f *chatproto.Frame) {
	name, ok := c.userField(f)
	if !ok {
		return
	}
	asker, err := c.srv.user(c.srv.ctx, name)
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return
	}
	cs := &c.srv.consents
	state := chatproto.ConsentNone
	cs.mu.Lock()
	if p := cs.pairs[pair{asker, c.user}]; p != nil {
		state = p.state
	}
	_, listens := cs.listens[c.user]
	cs.mu.Unlock()
	switch rule := state.Step(chatproto.ConsentGrant); {
	case asker == nil || rule.Reply != chatproto.ReplyOK:
		c.refuse(chatproto.ErrNotAsked, name)
	case asker.blocks(c.user.name) && !c.srv.HideBlocks:
		c.refuse(chatproto.ErrBlocked, name)
	case !listens:
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "You do not listen for private chats"}, name)
	default:
		c.reply(rule.Reply, name)
		c.srv.consentEvent(chatproto.ConsentGrant, asker, c.user, &c.by)
	}
}

// revoke answers RVKE.
func (c *conn) revoke(f *chatproto.Frame) {
	name, ok := c.userField(f)
	if !ok {
		return
	}
	asker, err := c.srv.user(c.srv.ctx, name)
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return
	}
	if asker != nil {
		c.srv.consentEvent(chatproto.ConsentRevoke, asker, c.user, &c.by)
	}
	c.reply(chatproto.ReplyOK, name)
}

// consentsOf ends all consents of a user whose session ended, and returns what
// tells the application.
func (s *Server) consentsOf(u *user, why string) (hooks []func()) {
	ev := chatproto.ConsentGone
	if why == "replaced" {
		ev = chatproto.ConsentReplace
	}
	cs := &s.consents
	cs.mu.Lock()
	delete(cs.listens, u)
	var ended, asked []pair
	for p := range cs.pairs {
		if p.owner == u {
			ended = append(ended, p)
		} else if p.asker == u {
			asked = append(asked, p)
		}
	}
	cs.mu.Unlock()
	for _, p := range append(ended, asked...) { // always in this order, so that hide can do alike
		hooks = append(hooks, s.consentStep(ev, p.asker, p.owner))
	}
	return hooks
}

// consentEvent steps the consent of one pair and tells whom the table says,
// and the application, for which by, if it is not nil, is flushed.
func (s *Server) consentEvent(ev chatproto.ConsentEvent, asker, owner *user, by *sweep) {
	hooks := s.consentStep(ev, asker, owner)
	if by != nil {
		by.flush()
	}
	hooks()
}

// consentStep is consentEvent but for the application, which is told by what
// it returns, when no lock is held.
func (s *Server) consentStep(ev chatproto.ConsentEvent, asker, owner *user) (hooks func()) {
	cs, p := &s.consents, pair{asker, owner}
	cs.mu.Lock()
	e := cs.pairs[p]
	state := chatproto.ConsentNone
	if e != nil {
		state = e.state
	}
	rule := state.Step(ev)
	notify := rule.Notify
	now := time.Now()
	switch {
	case cs.stopped:
		notify = 0
	case rule.Next == chatproto.ConsentNone:
		cs.drop(p)
	case e == nil || rule.Next != state:
		e = cs.enter(s, p, rule.Next, now)
	}
	if notify == chatproto.RQST {
		if now.Sub(e.told) < chatproto.ConsentAskEvery {
			notify = 0
		} else {
			e.told = now
		}
	}
	var ttl time.Duration
	if e != nil {
		ttl = e.expires.Sub(now)
	}
	l := cs.listens[owner]
	if notify != 0 {
		// With mu held, so that the two sides hear of changes in the order
		// in which they were decided.
		s.tellConsent(rule, notify, p, l, ttl)
	}
	cs.mu.Unlock()
	return func() { s.consentHooks(notify, rule, p) }
}

// enter puts a pair into a state, for as long as that lasts. The caller holds
// mu.
func (cs *consents) enter(s *Server, p pair, state chatproto.ConsentState, now time.Time) *consent {
	e := cs.pairs[p]
	if e == nil {
		if cs.pairs == nil {
			cs.pairs, cs.asked = make(map[pair]*consent), make(map[*user]int)
		}
		e = new(consent)
		cs.pairs[p] = e
		cs.asked[p.asker]++
	} else {
		e.timer.Stop()
	}
	lasts := chatproto.ConsentRequestTTL
	if state == chatproto.ConsentGranted {
		lasts = chatproto.ConsentGrantTTL
	}
	e.state, e.expires = state, now.Add(lasts)
	var timer *time.Timer
	timer = s.after(lasts, func() {
		cs.mu.Lock()
		current := cs.pairs[p] == e && e.timer == timer
		cs.mu.Unlock()
		if current {
			s.consentEvent(chatproto.ConsentExpire, p.asker, p.owner, nil)
		}
	})
	e.timer = timer
	return e
}

// drop forgets a pair. The caller holds mu.
func (cs *consents) drop(p pair) {
	if e := cs.pairs[p]; e != nil {
		e.timer.Stop()
		delete(cs.pairs, p)
		if cs.asked[p.asker]--; cs.asked[p.asker] == 0 {
			delete(cs.asked, p.asker)
		}
	}
}

func (cs *consents) stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.stopped = true
	for _, e := range cs.pairs {
		e.timer.Stop()
	}
}

// tellConsent sends the event of a rule to whom it concerns.
func (s *Server) tellConsent(rule chatproto.ConsentRule, notify chatproto.Code, p pair, l listener, ttl time.Duration) {
	asker, owner := p.asker.name, p.owner.name
	switch notify {
	case chatproto.RQST:
		s.tell(owner, notify, chatproto.Fill(chatproto.V1.Sentence(0, notify), "user", asker), field{"user", asker})
	case chatproto.GETA:
		port := strconv.FormatUint(l.port, 10)
		s.tell(asker, notify, port+" "+l.addr+" "+owner,
			field{"user", owner}, field{"addr", l.addr}, field{"port", port}, field{"ttl", millis(ttl)})
	case chatproto.RVKD:
		s.tell(asker, notify, "", field{"user", owner}, field{"owner", owner}, field{"why", rule.Why})
		s.tell(owner, notify, "", field{"user", asker}, field{"owner", owner}, field{"why", rule.Why})
	}
}

// consentHooks tells the application what changed.
func (s *Server) consentHooks(notify chatproto.Code, rule chatproto.ConsentRule, p pair) {
	h := &s.Hooks
	switch {
	case notify == chatproto.RQST && h.OnConsentAsked != nil:
		h.OnConsentAsked(s.ctx, p.asker.name, p.owner.name)
	case rule.State != rule.Next && rule.Next == chatproto.ConsentGranted && h.OnConsentGranted != nil:
		h.OnConsentGranted(s.ctx, p.asker.name, p.owner.name)
	case notify == chatproto.RVKD && h.OnConsentRevoked != nil:
		h.OnConsentRevoked(s.ctx, p.asker.name, p.owner.name, rule.Why)
	}
}
