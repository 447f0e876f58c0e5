package chatserver

import (
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

// With the policy hide (Server.HideBlocks, SPEC section 9.5) a user who is
// blocked meets the blocker as somebody offline, in everything. What he sends
// is accepted as mail for somebody offline is: decided, counted against a
// quota, stored, answered when that is done. It enters a mailbox of its own,
// the shadow of this pair, which never has a connection and is emptied when
// the block ends.

// shadowName is the mailbox that the store knows a shadow by. No account is
// called so: names have no spaces.
func shadowName(owner, sender string) string { return owner + " " + sender }

// shadow returns the mailbox for what a blocked user sends to owner, as a user
// that nobody can log in as or name.
func (s *Server) shadow(owner, sender string) *user {
	r := &s.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.addShadow(shadowName(owner, sender))
}

// addShadow returns the shadow that is stored under this name, a new one if
// need be. The caller holds roster.mu, or is the only one to know the server.
func (s *Server) addShadow(stored string) *user {
	r := &s.roster
	if u := r.shadows[stored]; u != nil {
		return u
	}
	if r.shadows == nil {
		r.shadows = make(map[string]*user)
	}
	u := &user{name: stored}
	u.box.srv, u.box.user = s, u
	r.shadows[stored] = u
	return u
}

// mailboxOf returns the user who is stored under this name in an audience.
func (s *Server) mailboxOf(stored string) *user {
	if strings.Contains(stored, " ") {
		return s.addShadow(stored)
	}
	return s.add(stored)
}

// dropShadow deletes what a user sent while he was blocked. What has not
// reached the store yet stays, until the block ends another time.
func (s *Server) dropShadow(owner, sender *user) {
	r := &s.roster
	r.mu.RLock()
	u := r.shadows[shadowName(owner.name, sender.name)]
	r.mu.RUnlock()
	if u != nil {
		s.commit.acknowledged(u.box.takeStored(), u, false)
	}
}

// takeStored empties the mailbox of what the store has.
func (b *mailbox) takeStored() (taken []*message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.queue[:0]
	for _, w := range b.queue[b.head:] {
		if w.m != nil && !w.m.inStore() {
			kept = append(kept, w)
			continue
		}
		b.size -= w.size
		b.count(w, -1)
		taken = append(taken, &message{seq: w.seq, from: w.from})
	}
	clear(b.queue[len(kept):])
	b.queue, b.head = kept, 0
	return taken
}

// hide makes owner disappear for a user whom he has just blocked, or appear
// again: presence, and consents in either direction. The caller holds
// owner.login, and calls what is returned without it.
func (s *Server) hide(owner, from *user, on bool) (hooks []func()) {
	if on {
		hooks = append(hooks,
			s.consentStep(chatproto.ConsentGone, from, owner),
			s.consentStep(chatproto.ConsentGone, owner, from))
	} else {
		s.dropShadow(owner, from)
	}
	if s.roster.session(owner.name) != nil && s.announces() {
		if sess := s.roster.session(from.name); sess != nil {
			if c := sess.attached(); c != nil && !c.quiet {
				c.present(owner.name, !on, presenceFrame(owner.name, !on))
				c.flushLocked()
			}
		}
	}
	return hooks
}
