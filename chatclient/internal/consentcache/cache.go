// Package consentcache has what a client remembers of consents: pure rules,
// without clock, lock or network, so that they can be searched together with
// the server's table over all interleavings (SPEC section 8.3).
package consentcache

import "time"

// A Given is what an owner's client knows of its consent to one asker. The
// zero value is none.
//
// A consent begins with the owner's word, which crosses whatever the server
// has sent meanwhile. So it is kept in two parts: early, by the owner's word
// alone, to the key that the pending request came with, since the asker may
// dial before the server's answer is here; and granted, by the server's
// answer. Every end that is heard of ends both, and an answer counts only if
// the owner's last word is the one that it answers.
type Given struct {
	asked   string // key of the request that is pending; "" if none is, or it had none
	early   string // "" if there is none
	granted string
	until   time.Time
	word    uint64 // the owner's last word: which consent, or 0
	waiting bool   // it was not answered
}

// Asked takes a request with the asker's key: the server says that there is
// no consent.
func (g *Given) Asked(key string) {
	g.asked, g.granted = key, ""
	if g.early != key {
		g.early = ""
	}
}

// Consent is the owner's consent, about to be sent. word is a number that no
// other consent has, and not 0; until is when it ends whatever else happens.
func (g *Given) Consent(word uint64, until time.Time) {
	g.word, g.waiting = word, true
	if g.asked != "" {
		g.early, g.until = g.asked, until
	}
}

// Granted takes the server's answer to a consent that it is in force, for an
// asker with this key.
func (g *Given) Granted(word uint64, key string, until time.Time) {
	if word == g.word {
		g.asked, g.early, g.granted, g.until, g.waiting = "", "", key, until, false
	}
}

// Refused takes the answer that the consent changed nothing. none says that
// there is no consent of before either.
func (g *Given) Refused(word uint64, none bool) {
	if word != g.word {
		return
	}
	g.early, g.waiting = "", false
	if none {
		g.asked, g.granted = "", ""
	}
}

// TakeBack is the owner's word that there is no consent, about to be sent:
// RVKE or BLOK.
func (g *Given) TakeBack() { *g = Given{} }

// Ended takes the server's word that the consent ended, or that the session
// did. A consent that is on its way to the server may be a new one: its answer
// will tell.
func (g *Given) Ended() { g.asked, g.early, g.granted = "", "", "" }

// Expired ends a consent whose time is up.
func (g *Given) Expired() { g.early, g.granted = "", "" }

// Allows reports whether whoever has this key may write, at this time.
func (g *Given) Allows(key string, now time.Time) bool {
	return key != "" && (key == g.early || key == g.granted) && now.Before(g.until)
}

// Pending returns the key that a pending request came with, "" if there is
// none.
func (g *Given) Pending() string { return g.asked }

// InForce reports whether anybody may write at this time, and until when that
// lasts.
func (g *Given) InForce(now time.Time) (until time.Time, ok bool) {
	return g.until, (g.early != "" || g.granted != "") && now.Before(g.until)
}

// Empty reports whether there is nothing to remember.
func (g *Given) Empty() bool {
	return g.asked == "" && g.early == "" && g.granted == "" && !g.waiting
}
