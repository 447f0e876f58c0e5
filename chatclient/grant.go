package chatclient

import (
	"net/netip"
	"time"
)

// A grant is the address of a user who consented. When it ended because they
// went away it stays as a tombstone: then they are no longer there, which is
// another thing than that they never consented.
type grant struct {
	key    string // "" if they have registered none
	places []netip.AddrPort
	until  time.Time
	gone   bool
	timer  *time.Timer
}

// grant keeps an address that the server gave out to us.
func (p *peers) grant(user, key string, places []netip.AddrPort, ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name(user, key)
	p.vet(user, key)
	old := p.grants[user]
	if old != nil && (old.key != key || old.gone) {
		p.hangUp(user)
	}
	if old == nil && len(p.grants) >= maxPairs {
		p.evictGrant()
	}
	if old != nil {
		old.timer.Stop()
	}
	g := &grant{key: key, places: places, until: time.Now().Add(ttl)}
	g.timer = time.AfterFunc(ttl, func() { p.grantExpired(user, g) })
	p.grants[user] = g
	if l := p.dialled[user]; l != nil && len(l.queue) > 0 && p.c.cfg.StateFile != nil {
		p.c.cfg.StateFile.reach(l, g)
		p.c.keep.signal()
	}
}

func (p *peers) evictGrant() {
	var first string
	for user, g := range p.grants {
		if first == "" || g.until.Before(p.grants[first].until) {
			first = user
		}
	}
	p.dropGrant(first)
}

// dropGrant forgets a grant. mu is held.
func (p *peers) dropGrant(user string) {
	p.grants[user].timer.Stop()
	delete(p.grants, user)
	p.hangUp(user)
}

func (p *peers) grantExpired(user string, g *grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grants[user] == g {
		g.gone = true
		p.hangUp(user)
	}
}

// ungrant ends a grant, and reports whether there was one. tombstone keeps a
// mark of it.
func (p *peers) ungrant(user string, tombstone bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.grants[user]
	if g == nil {
		return false
	}
	there := !g.gone
	if tombstone {
		g.gone = true
		g.timer.Stop()
		p.hangUp(user)
	} else {
		p.dropGrant(user)
	}
	return there
}

// lookUp returns the grant by which we may write to user now. mu is held.
func (p *peers) lookUp(user string) (*grant, error) {
	g := p.grants[user]
	switch {
	case g == nil:
		return nil, ErrNoConsent
	case g.gone, !time.Now().Before(g.until):
		return nil, ErrPeerGone
	}
	if err := p.suspect(user); err != nil {
		return nil, err
	}
	if g.key == "" {
		return nil, errNoKey
	}
	return g, nil
}
