package chatserver

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-multierror"
)

// EndRemoved ends the sessions of users whose account is gone (`GBYE
// why=removed`): call it when Server.Accounts has changed by itself, such as
// after a file was read anew. Nobody who began to log in before is let in by
// what is not true any more; who has the same account and password is. A password that changed ends no session. The error has
// every account that Server.Accounts could not be asked about; their sessions
// go on.
func (s *Server) EndRemoved(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	s.logins.changed()
	s.logins.deriver.forget()
	var met []string // who has something that ends with the account
	s.roster.mu.RLock()
	for name, u := range s.roster.users {
		u.unsure.Store(true)
		if s.roster.online[name] != nil || u.untold.Load() != nil {
			met = append(met, name)
		}
	}
	s.roster.mu.RUnlock()
	var errs *multierror.Error
	for _, name := range met {
		exists, err := s.accounts.Exists(ctx, name)
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("chatserver: is there still an account %q: %w", name, err))
		} else if !exists {
			s.dismiss(name, true)
		}
	}
	return errs.ErrorOrNil()
}

// dismiss ends the session of a user, if he has one, and has Accounts asked
// about him again. gone says that there is no such account any more.
func (s *Server) dismiss(name string, gone bool) {
	s.roster.mu.RLock()
	u := s.roster.users[name]
	if u != nil {
		u.unsure.Store(true)
	}
	s.roster.mu.RUnlock()
	if u == nil {
		return
	}
	u.login.Lock()
	var hooks []func()
	if sess := s.roster.session(name); sess != nil {
		hooks = s.endLocked(sess, "removed")
	}
	if gone {
		u.untold.Store(nil)
	}
	u.login.Unlock()
	for _, hook := range hooks {
		hook()
	}
}
