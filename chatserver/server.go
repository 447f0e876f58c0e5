package chatserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("chatserver: server closed")

// A Server serves the chat protocol. Every field may keep its zero value, which
// stands for the default that its comment names. The fields must not be
// changed once the server serves.
type Server struct {
	// Accounts says who may log in. If it is a [Verifiers], SCRAM is offered.
	// nil: the accounts that the store has, which [Server.SetPassword] and
	// [Server.RemoveAccount] change.
	Accounts Accounts

	// Store keeps messages, windows, blocks, sessions, what is to be known of
	// failed logins, and accounts. nil is a store in memory, gone with the
	// server. The server does not close it.
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

	// NoRelay carries no private lines of clients that cannot reach each
	// other (SPEC section 8.7). By default the server does; it cannot read
	// them.
	NoRelay bool

	// DialBack calls clients back that want it (SPEC section 7.7): they go away
	// and stay online, and the server connects to them, at the address from
	// which they came, when something waits for them. It needs TLSConfig. A
	// session that is away costs memory for as long as Lease, and no
	// connection; everything sent to it costs a TLS handshake. Users can make
	// the server connect to their own addresses at ports from 1024 up: leave
	// it off where the server reaches there what they do not. By default
	// nobody is called.
	DialBack bool
	// Lease is how long the session of such a client waits for its return,
	// in place of Timeout. 0 is 10 min.
	Lease time.Duration
	// Dial makes the connection to such a client. It may be called on many
	// goroutines at once, with no lock held; ctx ends after 10 s, or when the
	// server begins to end. nil connects by TCP.
	Dial func(ctx context.Context, place netip.AddrPort) (net.Conn, error)

	// HideBlocks makes a user seem offline to those whom he has blocked, in
	// every command and receipt: what they send is accepted as mail for
	// somebody offline is, and never delivered. By default they are told that
	// they are blocked (SPEC section 9.5).
	HideBlocks bool

	// TLSConfig has the certificate of the server, such as the GetCertificate
	// of [CertificateFiles] or what [SelfSigned] returns. Clients that begin
	// with TLS are then served on the same port as those that do not. The
	// server uses a copy: TLS 1.3 and the protocol's ALPN are not for the
	// configuration to change, and session tickets are off. Of NextProtos
	// only acme-tls/1 counts: with it, connections of an authority that asks
	// for it (RFC 8737) are shown the certificate and closed. nil: without
	// TLS, and a client that begins with it is disconnected.
	TLSConfig *tls.Config

	// AllowCleartext serves connections from other machines in cleartext:
	// everybody on the path can then read and change messages. A password is
	// not taken there: such a client logs in by SCRAM. By default only
	// loopback and connections without an IP address (a pipe, a Unix socket)
	// are served.
	AllowCleartext bool

	// RequireBinding takes logins over TLS only by SCRAM-SHA-256-PLUS, whose
	// proof holds for this one TLS connection: not from clients that cannot
	// bind, and never a password. It needs Accounts that are a [Verifiers].
	RequireBinding bool

	// ProxyFrom are the addresses of proxies that send a PROXY header
	// (version 1 or 2) ahead of each connection. From these it is required,
	// within Limits.HandshakeTimeout, and the address in it counts as the
	// connection's everywhere; from others it is not taken. A header without
	// an address, as of a proxy's health checks, leaves the proxy's own. A
	// proxy that ends TLS itself makes the connection cleartext, see
	// AllowCleartext.
	ProxyFrom []netip.Prefix

	// MailboxMessages and MailboxBytes bound what waits for one user; one
	// sender may fill a quarter of it. More is refused before it is
	// accepted. 0 is 10,000 messages, and 16 MiB.
	MailboxMessages int
	MailboxBytes    int

	// AnnounceLimit is the number of users online above which logins and
	// logouts are no longer announced, since that costs the square of it. 0
	// is 1,000.
	AnnounceLimit int

	// Limits bound what strangers and clients can make the server spend.
	Limits Limits

	setUp    sync.Once
	setUpErr error
	log      *slog.Logger
	boot     string
	commit   *committer
	roster   roster
	consents consents
	accounts Accounts // Server.Accounts, or those in the store
	logins   logins
	relays   relays
	dialler  dialler

	tls       *tls.Config // made of TLSConfig; nil without
	strangers strangers
	loops     eventLoops
	restAfter time.Duration // set by tests; 0 is the constant
	onRest    func()        // likewise: a connection is idle
	failures  rates         // logins that failed, by source

	seq      atomic.Uint64
	counters counters

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	closing   bool
	ctx       context.Context // ends with the server; given to callbacks
	cancel    context.CancelFunc
	running   sync.WaitGroup // connections and what they started
	stopped   chan struct{}  // closed at the end
	stopErr   error          // set before that
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
	def(&s.Lease, 10*time.Minute)
	num(&s.LockoutTries, 3)
	num(&s.MailboxMessages, 10_000)
	num(&s.MailboxBytes, 16<<20)
	num(&s.AnnounceLimit, 1000)
	s.Limits.defaults()
	s.strangers.arrivals.set(s.Limits.ConnectRate, int(connectBurst*s.Limits.ConnectRate))
	s.failures.set(s.Limits.FailureRate/60, int(s.Limits.FailureRate))
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
		s.defaults()
		if s.tls, s.setUpErr = prepareTLS(s.TLSConfig); s.setUpErr != nil {
			return
		}
		var id [4]byte
		rand.Read(id[:])
		s.boot = hex.EncodeToString(id[:])
		s.mu.Lock()
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.mu.Unlock()
		s.listeners = make(map[net.Listener]bool)
		s.conns = make(map[*conn]bool)
		s.stopped = make(chan struct{})
		s.dialler.start()
		s.commit = newCommitter(s)
		if err := s.load(); err != nil {
			s.setUpErr = fmt.Errorf("chatserver: reading the store: %w", err)
			return
		}
		if s.RequireBinding && s.verifiers() == nil {
			s.setUpErr = errors.New("chatserver: Server.RequireBinding needs Accounts that are Verifiers")
			return
		}
		// What was accepted is still committed when ctx has ended.
		ctx, cancel := context.WithCancel(context.Background())
		context.AfterFunc(s.ctx, func() { time.AfterFunc(graceTime, cancel) })
		go s.commit.run(ctx)
	})
	return s.setUpErr
}

// Serve accepts connections on l and serves them, until Shutdown or Close;
// it then returns ErrServerClosed. It closes l. Serve may be called several
// times, with several listeners. The connections are its own: it may close one
// that l keeps hold of before the client is gone.
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
			s.serveConn(nc, nil)
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if !passes(err) {
			return fmt.Errorf("chatserver: accepting a connection: %w", err)
		}
		wait = min(max(5*time.Millisecond, 2*wait), time.Second)
		s.log.Warn("accepting a connection failed", "err", err, "retry", wait)
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return ErrServerClosed
		}
	}
}

// passes reports whether an error of Accept passes: there are no descriptors
// or buffers until somebody leaves, or a connection was gone before it was
// accepted.
func passes(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ServeConn serves one connection that the caller accepted, of any kind, and
// returns when it ended. It closes nc.
func (s *Server) ServeConn(nc net.Conn) error {
	if err := s.start(); err != nil {
		nc.Close()
		return err
	}
	done := make(chan struct{})
	if !s.serveConn(nc, done) {
		return ErrServerClosed
	}
	<-done
	return nil
}

// serveConn serves a connection. At its end it closes done, unless that is nil.
func (s *Server) serveConn(nc net.Conn, done chan struct{}) bool {
	c := newConn(s, nc)
	c.done = done
	return s.serve(c)
}

// serve registers a connection and serves it, unless the server ends.
func (s *Server) serve(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		c.nc.Close()
		return false
	}
	s.conns[c] = true
	s.running.Add(1)
	go c.serve()
	return true
}

// supported are the versions that the server speaks.
var supported = []*chatproto.Version{chatproto.V1}
