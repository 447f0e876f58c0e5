package chatserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/parleyproto/parley/chatserver/store"
)

// logins is what the server keeps for logins beside the accounts themselves.
type logins struct {
	attempts attempts
	checks   turns[attemptKey] // of proofs: what one finds is counted before the next is checked
	deriver  deriver

	drawSecret sync.Once
	secret     []byte // from the store; nil until it is drawn

	// epoch counts the changes of accounts. A login takes it at its beginning
	// and looks at it, with entering held, when its session begins: if it is
	// another, the login is held against the accounts once more.
	epoch    atomic.Uint64
	entering sync.RWMutex
}

// changed notes that accounts have changed. Who was about to enter by what was
// true before is in when it returns, and nobody else will be.
func (l *logins) changed() {
	l.entering.Lock()
	defer l.entering.Unlock()
	l.epoch.Add(1)
}

// maxChanges is how often the accounts may change during one login.
const maxChanges = 4

// enter lets a login begin its session, and reports whether what proved it is
// true of the accounts still, which may have changed since. Then the caller
// holds entering for reading.
func (c *conn) enter(ctx context.Context, a attempt) bool {
	l := &c.srv.logins
	for range maxChanges {
		l.entering.RLock()
		epoch := l.epoch.Load()
		if c.auth.epoch == epoch {
			return true
		}
		l.entering.RUnlock()
		if a.holds == nil {
			return false
		}
		if ok, err := a.holds(ctx); err != nil || !ok {
			return false
		}
		c.auth.epoch = epoch
	}
	return false
}

// secretSize is the size of the server's secret.
const secretSize = 32

// loginSecret returns the server's secret. It is drawn once, when it is first
// needed, and kept in the store: what is made of it (salts of names that do
// not exist, among others) must not change with a restart, or it would tell
// which names do.
func (s *Server) loginSecret() []byte {
	s.logins.drawSecret.Do(func() {
		if s.logins.secret != nil {
			return
		}
		secret := make([]byte, secretSize)
		rand.Read(secret)
		s.logins.secret = secret
		s.commit.write(func(b *store.Batch) { b.Secret = secret }, nil)
	})
	return s.logins.secret
}

// loadLogins takes what the store has of logins and accounts.
func (s *Server) loadLogins(st *store.State) {
	l := &s.logins
	l.secret = st.Secret
	l.deriver.secret, l.deriver.derive = s.loginSecret, deriveVerifier
	l.attempts.load(st.Attempts, s.Lockout)
	s.accounts = s.Accounts
	if s.Accounts == nil {
		s.accounts = newStoreAccounts(st.Accounts, s.log)
	}
}

// verifiers returns the accounts as SCRAM needs them, nil if they cannot give
// verifiers.
func (s *Server) verifiers() Verifiers {
	v, _ := s.accounts.(Verifiers)
	return v
}

// verifier returns what verifies a password, made up for a name without an
// account (known is false then): as for an account, the same each time, and
// with keys that nobody has.
func (s *Server) verifier(ctx context.Context, user string, source netip.Prefix) (v *Verifier, known bool, err error) {
	d := &s.logins.deriver
	v, err = s.verifiers().Verifier(d.deriving(ctx, source), user)
	if err != nil {
		return nil, false, err
	}
	// For an account, too, so that the time does not tell.
	made := &Verifier{Iterations: DefaultIterations, Salt: d.salt(user), StoredKey: d.mac("stored", user), ServerKey: d.mac("server", user)}
	if v != nil && len(v.StoredKey) > 0 {
		return v, true, v.valid()
	}
	if v != nil && v.Iterations > 0 {
		made.Iterations = v.Iterations
	}
	return made, false, made.valid()
}

// A loginToken lets a client that was here before past what holds up strangers
// (SPEC section 9.2). The server keeps its hash, with the session.
type loginToken [sha256.Size]byte

// newToken draws the token of a session, as the client gets it.
func (sess *session) newToken() string {
	b := make([]byte, 16)
	rand.Read(b)
	text := hex.EncodeToString(b)
	sum := loginToken(sha256.Sum256([]byte(text)))
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.token, sess.spent = &sum, false
	return text
}

// hasToken reports whether token is that of the user's session. With spend it
// is so once.
func (s *Server) hasToken(user, token string, spend bool) bool {
	sess := s.roster.session(user)
	if token == "" || sess == nil {
		return false
	}
	sum := sha256.Sum256([]byte(token))
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.ended.Load() || sess.token == nil || sess.spent || subtle.ConstantTimeCompare(sum[:], sess.token[:]) != 1 {
		return false
	}
	if spend {
		sess.spent = true
	}
	return true
}

// takeTurn waits for those who prove a password for the same account from the
// same source, and, where the source is unknown to the account, from any that
// is. It returns what ends the turn, or nil if ctx ended before.
func (s *Server) takeTurn(ctx context.Context, key attemptKey) (leave func()) {
	l := &s.logins
	own := l.checks.enter(ctx, key)
	if own == nil || l.attempts.knows(key) {
		return own
	}
	all := l.checks.enter(ctx, key.all())
	if all == nil {
		own()
		return nil
	}
	return func() { all(); own() }
}
