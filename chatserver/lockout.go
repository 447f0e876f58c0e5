package chatserver

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxLockouts bounds the table of failed logins: a stranger can put an entry
// in with every attempt.
const maxLockouts = 65536

// lockouts counts failed logins by account and source address, of accounts
// that exist and of names that do not.
type lockouts struct {
	mu       sync.Mutex
	entries  map[lockoutKey]*lockout
	checking map[lockoutKey]chan struct{} // the last attempt with a key; closed when it is through
}

type lockoutKey struct {
	user   string
	source netip.Prefix
}

type lockout struct {
	fails int
	until time.Time // locked until; zero if not locked
	last  time.Time
}

// source is the address that a lockout holds for: an IPv4 address, an IPv6
// /64, or nothing for what has no IP address.
func source(a net.Addr) netip.Prefix {
	ip := addrOf(a)
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

// enter waits until the attempts with this key that came before are through,
// so that what one finds is counted before the next is checked. It returns
// what ends this attempt, or nil if ctx ended before.
func (l *lockouts) enter(ctx context.Context, key lockoutKey) func() {
	mine := make(chan struct{})
	l.mu.Lock()
	before := l.checking[key]
	if l.checking == nil {
		l.checking = make(map[lockoutKey]chan struct{})
	}
	l.checking[key] = mine
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(mine)
		if l.checking[key] == mine {
			delete(l.checking, key)
		}
	}
	if before == nil {
		return leave
	}
	select {
	case <-before:
		return leave
	case <-ctx.Done():
		go func() { // keep the turns of those who wait behind
			<-before
			leave()
		}()
		return nil
	}
}

// locked returns how long a login is still refused, 0 if it is not.
func (l *lockouts) locked(key lockoutKey) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil || e.until.IsZero() {
		return 0
	}
	left := time.Until(e.until)
	if left <= 0 {
		delete(l.entries, key)
		return 0
	}
	return left
}

// failed counts a wrong password and returns how many more are allowed; at 0
// the account is locked for this source from now on.
func (l *lockouts) failed(key lockoutKey, tries int, lock time.Duration) (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	e := l.entries[key]
	if e == nil {
		if l.entries == nil {
			l.entries = make(map[lockoutKey]*lockout)
		}
		l.makeRoom(now, lock)
		e = new(lockout)
		l.entries[key] = e
	}
	if now.Sub(e.last) > max(lock, time.Hour) {
		e.fails = 0 // long ago is not in a row
	}
	e.fails++
	e.last = now
	if e.fails >= tries {
		e.fails, e.until = 0, now.Add(lock)
		return 0
	}
	return tries - e.fails
}

// makeRoom drops what is over when the table is full, and if nothing is over,
// the entry that was longest untouched among a few.
func (l *lockouts) makeRoom(now time.Time, lock time.Duration) {
	if len(l.entries) < maxLockouts {
		return
	}
	var oldest lockoutKey
	var at time.Time
	looked := 0
	for k, e := range l.entries {
		if now.Sub(e.last) > lock && now.After(e.until) {
			delete(l.entries, k)
		} else if at.IsZero() || e.last.Before(at) {
			oldest, at = k, e.last
		}
		if looked++; looked == 64 {
			break
		}
	}
	if len(l.entries) >= maxLockouts {
		delete(l.entries, oldest)
	}
}

// succeeded forgets what failed before a right password.
func (l *lockouts) succeeded(key lockoutKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, key)
}
