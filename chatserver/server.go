package chatserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("chatserver: server closed")

// A Server serves the chat protocol. Accounts must be set; every other field
// may keep its zero value, which stands for the default that its comment
// names. The fields must not be changed once the server serves.
type Server struct {
	// Accounts says who may log in. Required.
	Accounts Accounts

	// Store keeps messages, windows, blocks and sessions. nil is a store in
	// memory, gone with the server. The server does not close it.
	Store store.Store

	// Hooks are called when something happens, or to decide whether it may.
	Hooks Hooks

	// Logger takes the log, which never holds a password or a text. nil
	// discards it.
	Logger *slog.Logger

	// Timeout is how long a client may be silent before it is logged out,
	// and how long a session whose connection died waits for its return. A
	// client's heartbeat is cut to two thirds of it. 0 is 45 s.
	Timeout time.Duration
	// Heartbeat is how long the server is silent before it says that it
	// lives. 0 is 30 s.
	Heartbeat time.Duration
	// IdleTimeout is the Timeout of a client that promised no heartbeat: a
	// person typing. 0 is 10 min.
	IdleTimeout time.Duration
	// LoginTimeout is how long a connection may take to log in. 0 is 30 s.
	LoginTimeout time.Duration

	// LockoutTries wrong passwords in a row lock an account for one source
	// address (IPv6: /64) for Lockout. 0 is 3, and 60 s.
	LockoutTries int
	Lockout      time.Duration

	// RefuseSecondLogin refuses a login from another origin while the user's
	// session lives. By default it replaces the session.
	RefuseSecondLogin bool

	// AllowCleartext serves connections from other machines in cleartext:
	// everybody on the path can then read messages and passwords. By default
	// only loopback and connections without an IP address (a pipe, a Unix
	// socket) are served.
	AllowCleartext bool

	// MailboxMessages and MailboxBytes bound what waits for one user; one
	// sender may fill a quarter of it. More is refused before it is
	// accepted. 0 is 10,000 messages, and 16 MiB.
	MailboxMessages int
	MailboxBytes    int

	// AnnounceLimit is the number of users online above which logins and
	// logouts are no longer announced, since that costs the square of it. 0
	// is 1,000.
	AnnounceLimit int

	setUp    sync.Once
	setUpErr error
	log      *slog.Logger
	boot     string
	commit   *committer
	roster   roster
	consents consents
	lockouts lockouts
	seq      atomic.Uint64

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	closing   bool
	ctx       context.Context // ends with the server; given to callbacks
	cancel    context.CancelFunc
	running   sync.WaitGroup // connections and what they started
	stopped   chan struct{}  // closed when the first stop is through
}

// defaults fills the fields that were left zero.
func (s *Server) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def(&s.Timeout, 45*time.Second)
	def(&s.Heartbeat, 30*time.Second)
	def(&s.IdleTimeout, 10*time.Minute)
	def(&s.LoginTimeout, 30*time.Second)
	def(&s.Lockout, 60*time.Second)
	num(&s.LockoutTries, 3)
	num(&s.MailboxMessages, 10_000)
	num(&s.MailboxBytes, 16<<20)
	num(&s.AnnounceLimit, 1000)
	if s.Store == nil {
		s.Store = memstore.New()
	}
	if s.log = s.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
}

// start loads what is stored and starts the committer, once.
func (s *Server) start() error {
	s.setUp.Do(func() {
		if s.Accounts == nil {
			s.setUpErr = errors.New("chatserver: Server.Accounts is not set")
			return
		}
		s.defaults()
		var id [4]byte
		rand.Read(id[:])
		s.boot = hex.EncodeToString(id[:])
		s.mu.Lock()
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.mu.Unlock()
		s.listeners = make(map[net.Listener]bool)
		s.conns = make(map[*conn]bool)
		s.stopped = make(chan struct{})
		s.commit = newCommitter(s)
		if err := s.load(); err != nil {
			s.setUpErr = fmt.Errorf("chatserver: reading the store: %w", err)
			return
		}
		go s.commit.run()
	})
	return s.setUpErr
}

// Serve accepts connections on l and serves them, until Shutdown or Close;
// it then returns ErrServerClosed. It closes l. Serve may be called several
// times, with several listeners.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if err := s.start(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for wait := time.Duration(0); ; {
		nc, err := l.Accept()
		if err == nil {
			wait = 0
			s.serveConn(nc, func(serve func()) { s.running.Go(serve) })
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors, most likely: it passes when somebody leaves.
		wait = min(max(5*time.Millisecond, 2*wait), time.Second)
		s.log.Warn("accepting a connection failed", "err", err, "retry", wait)
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return ErrServerClosed
		}
	}
}

// ServeConn serves one connection that the caller accepted, of any kind, and
// returns when it ended. It closes nc.
func (s *Server) ServeConn(nc net.Conn) error {
	if err := s.start(); err != nil {
		nc.Close()
		return err
	}
	done := make(chan struct{})
	if !s.serveConn(nc, func(serve func()) { s.running.Go(func() { serve(); close(done) }) }) {
		return ErrServerClosed
	}
	<-done
	return nil
}

// serveConn registers a connection and runs it by means of run.
func (s *Server) serveConn(nc net.Conn, run func(func())) bool {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		nc.Close()
		return false
	}
	s.conns[c] = true
	run(c.serve)
	return true
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Shutdown ends the server gracefully: it accepts no more connections, reads
// no more requests, commits what was accepted, answers it, tells every client
// goodbye, and waits until that is written or ctx ends. Sessions stay in the
// store: a server that starts again on it finds them. It returns nil, or
// everything that went wrong. Calling it again, or after Close, does no harm.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.stop(ctx, func(c *conn) { c.goodbye("shutdown", "The server is shutting down") })
}

// Close ends the server at once: connections are cut; what was accepted is
// committed. Calling it again, or after Shutdown, does no harm.
func (s *Server) Close() error {
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	return s.stop(cut, func(*conn) {})
}

func (s *Server) stop(ctx context.Context, end func(*conn)) error {
	if err := s.start(); err != nil {
		return nil // never served
	}
	var errs *multierror.Error
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	for l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = multierror.Append(errs, err)
		}
	}
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	if !first {
		<-s.stopped
		return nil
	}
	defer close(s.stopped)
	s.roster.stopTimers()
	s.consents.stop()
	for _, c := range conns {
		end(c)
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		if err := context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) {
			errs = multierror.Append(errs, err)
		}
		s.cancel()
		for _, c := range conns {
			c.die("server closed")
		}
		<-done
	}
	s.commit.stop()
	s.cancel()
	if err := s.commit.failure(); err != nil {
		errs = multierror.Append(errs, fmt.Errorf("chatserver: not everything could be stored: %w", err))
	}
	return errs.ErrorOrNil()
}

// supported are the versions that the server speaks.
var supported = []*chatproto.Version{chatproto.V1}
