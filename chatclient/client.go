package chatclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A Client is one login to a server, kept up across lost connections. Its
// methods may be called by any goroutine.
//
// Its goroutines: one keeps the connection up and reads it, one writes it
// while there is one, one calls the callbacks, one writes the state file if
// there is one, and the listener for private
// chats has one and one for each line, that for the server's calls one and one
// for each caller. The locks are taken in the order
// keeper.io, Client.mu, peers.mu, backDoor.mu, dispatcher.mu, StateFile.mu, and
// none but keeper.io is held while a callback runs or a socket or file is read
// or written.
type Client struct {
	cfg    Config
	trace  tracer
	events *dispatcher
	peers  *peers
	keep   *keeper
	life   context.Context // ends with the client
	die    context.CancelFunc
	done   chan struct{}

	// Of the goroutine that logs in: the caller of Dial, then keepUp.
	user, password string
	ready          bool             // they need not be asked for
	refused        *chatproto.Error // the last refusal of them
	boot           string           // of the server of the last login
	keys           scramKeys
	token          string // of the last 230
	trusted        string // the fingerprint that TrustServer trusted
	pin            Pin    // of the server, as this client saw it
	pinned         bool
	weakest        string // the mechanism of the last login: it does not get weaker

	met  server    // of the last login that this end made
	back *backDoor // nil without Config.DialBack

	mu          sync.Mutex
	name        string // what the server calls the user
	box         outbox
	conn        *conn // while it is logged in
	linger      *time.Timer
	away        chan struct{} // not nil while there is no connection because none was needed; closed when that ends
	partedAt    time.Time     // when that began
	partedOn    time.Time     // the same, by the clock on the wall alone
	lease       time.Duration // how long the session lasts meanwhile
	relaying    bool          // the server carried private lines before
	unreachable bool          // the server tried to call, and could not
	staying     string        // why the client stays connected, as it was told last
	need        chan struct{} // capacity 1: who is away is to come back
	ended       bool          // no request is taken any more
	stopping    bool          // Logout or Close was called
	err         error
	left        chan struct{} // closed when the first Logout has its answer; nil before it is called
	leftErr     error
}

// Dial connects and logs in. It returns a Client that is online, or the
// reason why not: a [*chatproto.Error] for a refusal (codes 535 and 450 of
// wrong passwords and the lockout that follows them, with the server's
// sentence), a [*GoodbyeError], a [*ServerKeyError], [ErrNotTLS],
// [ErrDowngrade], [ErrServerProof], or what the network says. It does not try
// again by itself, except after TrustServer or Credentials took so long that
// the connection died. Afterwards the Client reconnects by itself until
// [Client.Logout], [Client.Close] or a reason that is final, see
// [Client.Err]. ctx bounds Dial alone; the contexts of the callbacks have its
// values.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, done: make(chan struct{}), need: make(chan struct{}, 1), user: cfg.User, password: cfg.Password}
	c.ready = c.user != "" && c.password != ""
	c.trace.fn = cfg.Trace
	c.life, c.die = context.WithCancel(context.WithoutCancel(ctx))
	c.box.origin = newOrigin()
	c.events = newDispatcher(c)
	var err error
	if c.peers, err = newPeers(c); err != nil {
		c.die()
		return nil, err
	}
	if cfg.DialBack != nil {
		c.back = &backDoor{c: c, verified: make(chan *conn), callers: strangers{most: maxCallers}}
	}
	c.keep = newKeeper(c)
	if err := c.keep.begin(); err != nil {
		c.die()
		return nil, err
	}
	c.checkPins()
	cn, err := c.comeOnline(ctx, true)
	if err != nil {
		c.die()
		c.back.close()
		c.peers.shut()
		c.keep.finish()
		return nil, plainly(err)
	}
	go c.events.run(c.life)
	go c.run(cn)
	return c, nil
}

// newOrigin draws the number that names a client instance for ever.
func newOrigin() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:])
		if origin := binary.BigEndian.Uint64(b[:]); origin != 0 {
			return origin
		}
	}
}

// User returns the name that this client is logged in as.
func (c *Client) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// Close ends the client at once and without a word: the session lingers at
// the server until its timeout. Only a client that is away comes back to say
// goodbye, for 5 seconds at most, since its session would linger for longer.
// Close does not wait for that, nor for a callback that is
// running, so that a callback may call it; Done says when all is over. It may
// be called twice and returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop()
	return nil
}

// stop ends everything but the callbacks that run. mu is held.
func (c *Client) stop() {
	c.stopping = true
	c.die()
	if c.conn != nil {
		c.conn.giveUp(ErrClosed)
	}
	c.end(nil)
}

// end ends all requests, for a reason that is nil if it was asked for. mu is
// held.
func (c *Client) end(err error) {
	if c.ended {
		return
	}
	c.ended, c.err = true, err
	c.box.fail(c.closedErr())
}

// closedErr is the error of requests after the end. mu is held.
func (c *Client) closedErr() error {
	if c.err != nil {
		return &endedError{c.err}
	}
	return ErrClosed
}

// An endedError is ErrClosed with the reason.
type endedError struct{ why error }

func (e *endedError) Error() string   { return ErrClosed.Error() + ": " + e.why.Error() }
func (e *endedError) Unwrap() []error { return []error{ErrClosed, e.why} }

// Done is closed when the client has ended for good: its connections are
// closed, its goroutines gone and the last callback has returned.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the client ended for good: a [*GoodbyeError] when another
// login replaced it, a [*chatproto.Error] when it could not log in again, a
// [*ServerKeyError] when the server was not the same. It is nil before the
// end, and after Logout and Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
