package chatserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// storeAccounts are the accounts of a server without Server.Accounts: those in
// its store. Each has a verifier; no password is kept.
type storeAccounts struct {
	changing gate // one change at a time

	mu         sync.RWMutex
	verifiers  map[string]*Verifier
	folded     map[string]string // names by what they are but for capitals
	iterations int               // of all of them
}

// newStoreAccounts reads the accounts of a store. One that cannot be read
// exists, and nobody can log in to it.
func newStoreAccounts(rows []store.Account, log *slog.Logger) *storeAccounts {
	a := &storeAccounts{changing: make(gate, 1), verifiers: make(map[string]*Verifier), folded: make(map[string]string), iterations: DefaultIterations}
	numbers := make(map[int]int)
	for _, row := range rows {
		v, err := ParseVerifier(row.Verifier)
		if err != nil {
			log.Error("an account in the store cannot be read: nobody can log in to it until it gets a new password", "account", row.User, "err", err)
		} else {
			numbers[v.Iterations]++
		}
		a.verifiers[row.User] = v
		a.folded[foldName(row.User)] = row.User
	}
	most := 0
	for iterations, n := range numbers { // should be one number
		if n > most || n == most && iterations > a.iterations {
			a.iterations, most = iterations, n
		}
	}
	return a
}

// Exists implements [Accounts].
func (a *storeAccounts) Exists(_ context.Context, user string) (bool, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, ok := a.verifiers[user]
	return ok, nil
}

// CheckPassword implements [Accounts].
func (a *storeAccounts) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	v, err := a.Verifier(ctx, user)
	if err != nil {
		return false, err
	}
	d := derivationOf(ctx)
	known, standIn := len(v.StoredKey) > 0, &Verifier{Salt: d.salt(user), Iterations: v.Iterations, StoredKey: make([]byte, sha256.Size)}
	if !known {
		v = standIn
	}
	right, err := d.check(ctx, v, password)
	return right && known, err
}

// Verifier implements [Verifiers].
func (a *storeAccounts) Verifier(_ context.Context, user string) (*Verifier, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if v := a.verifiers[user]; v != nil {
		return v, nil
	}
	return &Verifier{Iterations: a.iterations}, nil
}

func (a *storeAccounts) set(user string, v *Verifier) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verifiers[user] = v
	a.folded[foldName(user)] = user
}

func (a *storeAccounts) remove(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.verifiers, user)
	delete(a.folded, foldName(user))
}

// errOtherAccounts is what changing an account says where the server does not
// keep them.
var errOtherAccounts = errors.New("chatserver: Server.Accounts says who may log in, not the store")

// SetPassword makes an account in the server's store, or gives one a new
// password, for a server whose Accounts is nil. It returns when that is on
// stable storage. What was known of logins to the account is forgotten, its
// lockouts too, and a session that it has ends (`GBYE why=removed`). An error
// says that the name is none for an account ([CheckAccountName]) or differs
// from that of another in capitals only, that the password is empty, or that
// the server ended or ctx did: then it is not known whether the password will
// hold.
func (s *Server) SetPassword(ctx context.Context, user, password string) error {
	return s.changeAccount(ctx, user, func(a *storeAccounts) (*Verifier, error) {
		a.mu.RLock()
		_, exists := a.verifiers[user]
		other, taken := a.folded[foldName(user)]
		iterations := a.iterations
		a.mu.RUnlock()
		if !exists && taken {
			return nil, fmt.Errorf("chatserver: there is an account %q, which differs in capitals only", other)
		}
		if err := CheckAccountName(user); err != nil && !exists {
			return nil, fmt.Errorf("chatserver: %q cannot be an account: %w", user, err)
		}
		return newVerifier(password, iterations)
	})
}

// RemoveAccount removes an account from the server's store, for a server whose
// Accounts is nil. It returns when that is on stable storage. A session of the
// account ends (`GBYE why=removed`). What waits in its mailbox, and whom it
// has blocked, stays for an account of the same name. An error says that there
// is no such account (it is [chatproto.ErrNoSuchUser]), or that the server
// ended or ctx did: then it is not known whether the account is gone.
func (s *Server) RemoveAccount(ctx context.Context, user string) error {
	return s.changeAccount(ctx, user, func(a *storeAccounts) (*Verifier, error) {
		if exists, _ := a.Exists(ctx, user); !exists {
			text := chatproto.Fill(chatproto.V1.Sentence(0, chatproto.ReplyNoSuchUser), "user", user)
			return nil, &chatproto.Error{Code: chatproto.ReplyNoSuchUser, Text: text}
		}
		return nil, nil
	})
}

// changeAccount gives an account the verifier that decide returns, nil to
// remove it, and ends what rests on the one before.
func (s *Server) changeAccount(ctx context.Context, user string, decide func(*storeAccounts) (*Verifier, error)) error {
	if err := s.start(); err != nil {
		return err
	}
	a, ok := s.accounts.(*storeAccounts)
	if !ok {
		return errOtherAccounts
	}
	select {
	case a.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	v, err := decide(a)
	if err != nil {
		a.changing.Unlock()
		return err
	}
	row := store.Account{User: user, Removed: v == nil}
	if v != nil {
		row.Verifier = v.String()
	}
	stored, ended := make(chan struct{}), make(chan struct{})
	s.commit.write(func(b *store.Batch) { b.Accounts = append(b.Accounts, row) }, func() {
		if v == nil {
			a.remove(user)
		} else {
			a.set(user, v)
		}
		close(stored)
	})
	go func() { // to the end of it, also when nobody waits for that any more
		defer a.changing.Unlock()
		select {
		case <-stored:
		case <-s.stopped:
			return
		}
		s.logins.changed()
		s.logins.attempts.forget(user)
		s.saveAttempts()
		s.dismiss(user, v == nil)
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return ErrServerClosed
	}
}
