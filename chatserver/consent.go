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
	asked   map[*user]int               // pairs that a user asks in
	of      map[*user]map[pair]struct{} // pairs that a user is in
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
	cs, p := &c.srv.consents, pair{c.user, owner}
	hooks := func() {}
	cs.mu.Lock() // a block, or a logout, comes before all this or after it
	switch {
	case c.fenced():
		c.die("fenced")
	case owner.blocks(c.user.name) && !c.srv.HideBlocks:
		c.refuse(chatproto.ErrBlocked, name)
	case owner.blocks(c.user.name), c.srv.roster.session(name) == nil:
		c.refuse(chatproto.ErrNotOnline, name)
	case cs.pairs[p] == nil && cs.asked[c.user] >= maxConsents:
		c.refuse(chatproto.ErrSlowDown, name)
	default:
		c.reply(chatproto.ReplyAsked, name)
		hooks = c.srv.stepLocked(chatproto.ConsentAsk, p)
	}
	cs.mu.Unlock()
	c.stepAside()
	hooks()
}

// consent answers CNST. The answer is put out before anything else can happen
// to the consent, so that its owner hears of that in the right order.
func (c *conn) consent(f *chatproto.Frame) {
	name, ok := c.userField(f)
	if !ok {
		return
	}
	asker, err := c.userNamed([]byte(name))
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return
	}
	c.waitAnswered() // then the answer waits for no other
	cs, p := &c.srv.consents, pair{asker, c.user}
	hooks := func() {}
	cs.mu.Lock()
	e := cs.pairs[p]
	state, ttl := chatproto.ConsentNone, chatproto.ConsentGrantTTL
	if e != nil {
		state = e.state
	}
	if state.InForce() {
		ttl = time.Until(e.expires)
	}
	switch rule := state.Step(chatproto.ConsentGrant); {
	case c.fenced():
		c.die("fenced")
	case asker == nil || rule.Reply != chatproto.ReplyOK:
		c.refuse(chatproto.ErrNotAsked, name)
	case rule.State != rule.Next && asker.blocks(c.user.name) && !c.srv.HideBlocks:
		c.refuse(chatproto.ErrBlocked, name)
	case cs.listens[c.user].port == 0:
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "You do not listen for private chats"}, name)
	default:
		fields := []field{{"ttl", millis(ttl)}}
		if key := cs.listens[asker].key; key != "" {
			fields = append([]field{{"key", key}}, fields...)
		}
		c.reply(rule.Reply, name, fields...)
		hooks = c.srv.stepLocked(chatproto.ConsentGrant, p)
	}
	cs.mu.Unlock()
	c.stepAside()
	hooks()
}

// revoke answers RVKE.
func (c *conn) revoke(f *chatproto.Frame) {
	name, ok := c.userField(f)
	if !ok {
		return
	}
	asker, err := c.userNamed([]byte(name))
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return
	}
	if asker != nil {
		cs := &c.srv.consents
		cs.mu.Lock()
		if c.fenced() {
			cs.mu.Unlock()
			c.die("fenced")
			return
		}
		hooks := c.srv.stepLocked(chatproto.ConsentRevoke, pair{asker, c.user})
		cs.mu.Unlock()
		c.stepAside()
		hooks()
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
	for p := range cs.of[u] {
		if p.owner == u {
			ended = append(ended, p)
		} else {
			asked = append(asked, p)
		}
	}
	cs.mu.Unlock()
	for _, p := range append(ended, asked...) { // always in this order, so that hide can do alike
		hooks = append(hooks, s.consentStep(ev, p.asker, p.owner))
	}
	return hooks
}

// consentStep steps the consent of one pair and tells whom the table says. What
// it returns tells the application, when no lock is held.
func (s *Server) consentStep(ev chatproto.ConsentEvent, asker, owner *user) (hooks func()) {
	s.consents.mu.Lock()
	defer s.consents.mu.Unlock()
	return s.stepLocked(ev, pair{asker, owner})
}

// stepLocked is consentStep for a caller that holds consents.mu.
func (s *Server) stepLocked(ev chatproto.ConsentEvent, p pair) (hooks func()) {
	cs := &s.consents
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
	if state.InForce() && !rule.Next.InForce() {
		s.relays.endPair(p)
	}
	if notify != 0 {
		// With mu held, so that the two sides hear of changes in the order
		// in which they were decided.
		s.tellConsent(rule, notify, p, ttl)
	}
	return func() { s.consentHooks(notify, rule, p) }
}

// enter puts a pair into a state, for as long as that lasts. The caller holds
// mu.
func (cs *consents) enter(s *Server, p pair, state chatproto.ConsentState, now time.Time) *consent {
	e := cs.pairs[p]
	if e == nil {
		if cs.pairs == nil {
			cs.pairs, cs.asked, cs.of = make(map[pair]*consent), make(map[*user]int), make(map[*user]map[pair]struct{})
		}
		e = new(consent)
		cs.pairs[p] = e
		cs.asked[p.asker]++
		for _, u := range []*user{p.asker, p.owner} {
			if cs.of[u] == nil {
				cs.of[u] = make(map[pair]struct{})
			}
			cs.of[u][p] = struct{}{}
		}
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
			s.consentStep(chatproto.ConsentExpire, p.asker, p.owner)()
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
		for _, u := range []*user{p.asker, p.owner} {
			if delete(cs.of[u], p); len(cs.of[u]) == 0 {
				delete(cs.of, u)
			}
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

// tellConsent sends the event of a rule to whom it concerns. The caller holds
// mu.
func (s *Server) tellConsent(rule chatproto.ConsentRule, notify chatproto.Code, p pair, ttl time.Duration) {
	asker, owner := p.asker.name, p.owner.name
	withKey := func(fields []field, u *user) []field {
		if key := s.consents.listens[u].key; key != "" {
			fields = append(fields, field{"key", key})
		}
		return fields
	}
	switch notify {
	case chatproto.RQST:
		s.tell(owner, notify, chatproto.Fill(chatproto.V1.Sentence(0, notify), "user", asker), withKey([]field{{"user", asker}}, p.asker)...)
	case chatproto.GETA:
		l := s.consents.listens[p.owner]
		port := strconv.FormatUint(l.port, 10)
		fields := withKey([]field{{"user", owner}, {"addr", l.addr}, {"port", port}, {"ttl", millis(ttl)}}, p.owner)
		if l.cand != "" {
			fields = append(fields, field{"cand", l.cand})
		}
		s.tell(asker, notify, port+" "+l.addr+" "+owner, fields...)
	case chatproto.RVKD:
		for _, u := range []*user{p.asker, p.owner} {
			if sess := s.roster.session(u.name); sess != nil {
				sess.noteEnded(p, rule.Why)
			}
			s.tell(u.name, notify, "", p.ended(u, rule.Why)...)
		}
	}
}

// ended are the fields of RVKD to u.
func (p pair) ended(u *user, why string) []field {
	other := p.asker
	if u == other {
		other = p.owner
	}
	return []field{{"user", other.name}, {"owner", p.owner.name}, {"why", why}}
}

// An endedConsent is what RVKD said to a session.
type endedConsent struct {
	why string
	at  time.Time
}

// maxEnded bounds the ended consents that a session remembers.
const maxEnded = 1024

// noteEnded remembers RVKD for a session that comes back.
func (sess *session) noteEnded(p pair, why string) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	now := time.Now()
	if sess.revoked == nil {
		sess.revoked = make(map[pair]endedConsent)
	}
	if len(sess.revoked) >= maxEnded {
		oldest, at := pair{}, now
		for q, e := range sess.revoked {
			if !e.at.After(at) {
				oldest, at = q, e.at
			}
		}
		delete(sess.revoked, oldest)
	}
	sess.revoked[p] = endedConsent{why, now}
}

// repeatEnded sends RVKD again to a session that has come back, since the
// first may have been lost with the connection: nobody would close the line
// then (SPEC section 8.2). The caller holds consents.mu.
func (c *conn) repeatEnded() {
	c.sess.mu.Lock()
	revoked := c.sess.revoked
	c.sess.revoked = nil
	c.sess.mu.Unlock()
	for p, e := range revoked {
		now := c.srv.consents.pairs[p]
		if time.Since(e.at) >= chatproto.ConsentGrantTTL || now != nil && now.state.InForce() {
			continue
		}
		c.notify(chatproto.RVKD, "", p.ended(c.user, e.why)...)
		c.sess.noteEnded(p, e.why)
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
