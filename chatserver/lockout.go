package chatserver

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// maxFailures bounds the table of failed logins: a stranger can put entries in
// with every attempt.
const maxFailures = 65536

// The limits of guessing from many sources at once (SPEC section 9.2): from
// the backoffFrom-th failure of sources that never logged in to the account,
// such sources wait after each failure of any of them, at first for a second,
// for a minute at most.
const (
	backoffFrom = 20
	backoffMin  = time.Second
	backoffMax  = time.Minute
	failuresFor = time.Hour // a failure longer ago does not count any more
)

// Where somebody logged in is remembered for so long, at so many sources an
// account, and written down anew after so long.
const (
	provenFor   = 90 * 24 * time.Hour
	provenMost  = 16
	provenFresh = 24 * time.Hour
)

// source is the address that a lockout holds for: an IPv4 address, an IPv6
// /64, or nothing for what has no IP address.
func source(a net.Addr) netip.Prefix { return sourceOf(addrOf(a)) }

// sourceOf is source of an address.
func sourceOf(ip netip.Addr) netip.Prefix {
	if !ip.IsValid() {
		return netip.Prefix{}
	}
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// addrOf returns the IP address of a, unmapped; not valid if it has none.
func addrOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	s := a.String()
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	ip, _ := netip.ParseAddr(s)
	return ip.Unmap().WithZone("")
}

// An attemptKey is an account and a source of logins to it, as the store
// writes it down.
type attemptKey struct{ user, source string }

// everywhere stands for all sources together that never logged in; noAddress
// is the source of what has no IP address.
const (
	everywhere = ""
	noAddress  = "local"
)

func newAttemptKey(user string, source netip.Prefix) attemptKey {
	if !source.IsValid() {
		return attemptKey{user, noAddress}
	}
	return attemptKey{user, source.String()}
}

// all is the key for all sources of the account together.
func (k attemptKey) all() attemptKey { return attemptKey{k.user, everywhere} }

// failures are the failed logins with one key.
type failures struct {
	n     int       // in a row
	last  time.Time // when the last was
	until time.Time // locked until; zero if not locked
}

// wait returns how long a login is still refused, 0 if it is not: its source is
// locked out, or is unknown to an account that is being guessed at.
func (a *attempts) wait(key attemptKey, lock time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if f := a.failed[key]; f != nil && !f.until.IsZero() {
		if left := min(f.until.Sub(now), lock); left > 0 {
			return left
		}
		a.drop(key)
	}
	if f := a.failed[key.all()]; f != nil && !a.isProven(key, now) {
		if left := min(f.last.Add(backoff(f.n)).Sub(now), backoffMax); left > 0 {
			return left
		}
	}
	return 0
}

// backoff is how long an unknown source waits after the n-th failure.
func backoff(n int) time.Duration {
	if n < backoffFrom {
		return 0
	}
	return min(backoffMin<<min(n-backoffFrom, 10), backoffMax)
}

// fail counts a wrong password and returns how many more are allowed; at 0
// the account is locked for this source from now on.
func (a *attempts) fail(key attemptKey, tries int, lock time.Duration) (left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !a.isProven(key, now) {
		a.count(key.all(), now, failuresFor)
	}
	f := a.count(key, now, max(lock, failuresFor))
	if f.n >= tries {
		f.n, f.until = 0, now.Add(lock)
		return 0
	}
	return tries - f.n
}

// count counts one more failure. Those longer ago than memory are not in a row
// with it. The caller holds mu.
func (a *attempts) count(key attemptKey, now time.Time, memory time.Duration) *failures {
	f := a.failed[key]
	if f == nil {
		a.makeRoom(now)
		f = new(failures)
		if a.failed == nil {
			a.failed = make(map[attemptKey]*failures)
		}
		a.failed[key] = f
	}
	if now.Sub(f.last) > memory {
		f.n = 0
	}
	f.n = min(f.n+1, 1<<20)
	f.last = now
	a.touch(key)
	return f
}

// makeRoom drops what is over when the table is full, and if nothing is over,
// the entry that was longest untouched among a few.
func (a *attempts) makeRoom(now time.Time) {
	if len(a.failed) < maxFailures {
		return
	}
	var oldest attemptKey
	var at time.Time
	looked := 0
	for k, f := range a.failed {
		if now.Sub(f.last) > failuresFor && now.After(f.until) {
			a.drop(k)
		} else if at.IsZero() || f.last.Before(at) {
			oldest, at = k, f.last
		}
		if looked++; looked == 64 {
			break
		}
	}
	if len(a.failed) >= maxFailures {
		a.drop(oldest)
	}
}

// drop forgets the failures with a key. The caller holds mu.
func (a *attempts) drop(key attemptKey) {
	if _, ok := a.failed[key]; ok {
		delete(a.failed, key)
		a.touch(key)
	}
}

// succeed forgets what failed before a right password, and remembers where it
// came from.
func (a *attempts) succeed(key attemptKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(key)
	now := time.Now()
	if p := a.proof(key); p == nil || now.Sub(p.at) > provenFresh {
		a.prove(key, now)
		a.touch(key)
	}
}

// isProven reports whether somebody has logged in to the account from there.
// The caller holds mu.
func (a *attempts) isProven(key attemptKey, now time.Time) bool {
	p := a.proof(key)
	return p != nil && now.Sub(p.at) <= provenFor
}

// knows is isProven for a caller that does not hold mu.
func (a *attempts) knows(key attemptKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isProven(key, time.Now())
}

// prove notes a source of a successful login, and forgets the oldest if they
// are too many. The caller holds mu.
func (a *attempts) prove(key attemptKey, at time.Time) {
	if p := a.proof(key); p != nil {
		p.at = at
		return
	}
	if a.proven == nil {
		a.proven = make(map[string][]proof)
	}
	sources := append(a.proven[key.user], proof{key.source, at})
	if len(sources) > provenMost {
		oldest := 0
		for i := range sources {
			if sources[i].at.Before(sources[oldest].at) {
				oldest = i
			}
		}
		a.touch(attemptKey{key.user, sources[oldest].source})
		sources = slices.Delete(sources, oldest, oldest+1)
	}
	a.proven[key.user] = sources
}

// forget forgets all about the logins to an account.
func (a *attempts) forget(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.failed {
		if key.user == user {
			a.drop(key)
		}
	}
	for _, p := range a.proven[user] {
		a.touch(attemptKey{user, p.source})
	}
	delete(a.proven, user)
}
