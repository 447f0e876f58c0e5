package chatserver

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"sync"
)

// maxDerived bounds the keys that are kept of passwords in the clear, and the
// names that are known to have none: about 20 MB.
const maxDerived = 65536

// A deriver derives keys of passwords for one server: one at a time, so that
// strangers who ask for logins keep no more than one core busy, and one from a
// source at a time, so that no source keeps the others from their turn.
//
// What it derived it keeps by name and source, names that do not exist like
// those that do. So the first login to a name from some source takes a
// derivation and the next do not, and the time tells nobody whether there is
// such an account, nor whether its owner was here.
type deriver struct {
	secret func() []byte // of the server
	derive deriveFunc

	sources turns[netip.Prefix]
	turn    turns[struct{}]

	mu   sync.Mutex
	kept map[derivedKey]*list.Element
	used list.List // of *derived, the last used in front
}

type derivedKey struct {
	user   string
	source netip.Prefix
}

type derived struct {
	key      derivedKey
	password string    // v is made of it
	v        *Verifier // nil: the time was spent for nothing
}

// A derivation is a deriver as one login sees it.
type derivation struct {
	*deriver
	source netip.Prefix
}

type derivationKey struct{}

// deriving gives ctx the server's deriver, for [Credentials] to find it.
func (d *deriver) deriving(ctx context.Context, source netip.Prefix) context.Context {
	return context.WithValue(ctx, derivationKey{}, &derivation{d, source})
}

// derivationOf returns the deriver of a login. Outside of a server it is one
// that serves this call alone.
func derivationOf(ctx context.Context) *derivation {
	if d, ok := ctx.Value(derivationKey{}).(*derivation); ok {
		return d
	}
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	return &derivation{deriver: &deriver{secret: func() []byte { return secret }, derive: deriveVerifier}}
}

// salt is the salt of a name that has no verifier: the same after each start
// of the server, and of no meaning to who does not know its secret.
func (d *deriver) salt(user string) []byte { return d.mac("salt", user)[:saltSize] }

// mac makes of the server's secret what nobody else can, for one purpose.
func (d *deriver) mac(purpose, user string) []byte {
	h := hmac.New(sha256.New, d.secret())
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write([]byte(user))
	return h.Sum(nil)
}

// verifier returns the verifier of a password in the clear.
func (d *derivation) verifier(ctx context.Context, user, password string, iterations int) (*Verifier, error) {
	return d.get(ctx, &derived{key: derivedKey{user, d.source}, password: password}, iterations)
}

// spend takes the time that verifier would take for a name that has no
// password in the clear.
func (d *derivation) spend(ctx context.Context, user string, iterations int) error {
	_, err := d.get(ctx, &derived{key: derivedKey{user, d.source}}, iterations)
	return err
}

func (d *derivation) get(ctx context.Context, want *derived, iterations int) (*Verifier, error) {
	if has := d.lookUp(want); has != nil {
		return has.v, nil
	}
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if has := d.lookUp(want); has != nil { // while this one waited
		return has.v, nil
	}
	v, err := d.derive(want.password, d.salt(want.key.user), iterations)
	if err != nil {
		return nil, err
	}
	if want.password != "" {
		want.v = v
	}
	d.keep(want)
	return want.v, nil
}

// check reports whether password is the one of v.
func (d *derivation) check(ctx context.Context, v *Verifier, password string) (bool, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	return v.check(password, d.derive), nil
}

// enter waits for the turn to derive.
func (d *derivation) enter(ctx context.Context) (leave func(), err error) {
	source := d.sources.enter(ctx, d.source)
	if source == nil {
		return nil, ctx.Err()
	}
	turn := d.turn.enter(ctx, struct{}{})
	if turn == nil {
		source()
		return nil, ctx.Err()
	}
	return func() { turn(); source() }, nil
}

// lookUp returns what is kept for want, nil if that is nothing or was made of
// another password.
func (d *deriver) lookUp(want *derived) *derived {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.kept[want.key]
	if e == nil || e.Value.(*derived).password != want.password {
		return nil
	}
	d.used.MoveToFront(e)
	return e.Value.(*derived)
}

func (d *deriver) keep(has *derived) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.kept[has.key]; old != nil {
		d.used.Remove(old)
	} else if len(d.kept) >= maxDerived {
		oldest := d.used.Back()
		d.used.Remove(oldest)
		delete(d.kept, oldest.Value.(*derived).key)
	}
	if d.kept == nil {
		d.kept = make(map[derivedKey]*list.Element)
	}
	d.kept[has.key] = d.used.PushFront(has)
}

// forget drops everything that is kept, when the accounts may have changed.
func (d *deriver) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = nil
	d.used.Init()
}
