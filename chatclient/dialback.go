package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// A DialBack lets a client go away when there is nothing to say: it closes
// its connection, and the server calls it when something comes for it (SPEC
// section 7.7). To the application nothing changes but what OnState tells
// ([Away]) and what is listed here; whoever calls a method that needs the
// server waits for a login first, two to five round trips.
//
//   - It works with a server that offers it (chatd -dialback), over TLS, and
//     where the server can connect to this machine, at the address from which
//     this client came: not through NAT, a proxy or a firewall that is in the
//     way. Else the client stays connected as without it, and
//     OnStaysConnected tells why. That it cannot be reached shows only when
//     the server has tried: the user was offline then for up to half of the
//     lease, and the mail waited.
//   - Without a connection nobody is told of to OnPresence; what is missed is
//     not told later. [Client.Online] asks.
//   - A program that dies without [Client.Logout] or [Client.Close] seems to
//     be online until somebody writes to its user, or for the lease, which
//     the server sets: 10 minutes, usually, in place of 45 seconds. The
//     client comes back at half of it, to say that it lives.
//   - While a consent of this client to a private chat is in force it stays
//     connected, if the server carries private lines (Config.Relay): they
//     need the connection.
//   - The machine has one more open port. A stranger who connects to it is
//     told the name of the server and nothing else, and has 10 seconds; four
//     are heard at once, and 64 a second. Only the server that this client logged in to, with
//     the key that it had then, is answered.
type DialBack struct {
	// Listen is the address on which the server is expected, with a port of
	// 1024 or above; "" is ":0", any port of all interfaces ("127.0.0.1:0" or
	// "[::1]:0" if the server is on this machine).
	Listen string

	// ListenFunc opens the port, with Listen as the address; nil is
	// [net.Listen]. For programs that have a network of their own. It may be
	// called once, on a goroutine of the client, and must not block.
	ListenFunc func(network, address string) (net.Listener, error)

	// Quiet is how long nothing was sent or came before the client goes away;
	// 0 is DefaultQuiet. News of who comes and goes does not count.
	Quiet time.Duration
}

// DefaultQuiet is the default of DialBack.Quiet.
const DefaultQuiet = 2 * time.Second

// Limits of the port. Who connects is a stranger until the handshake of TLS
// has shown that it is the server.
const (
	maxCallers = 4 // in their handshake
	callWithin = 10 * time.Second
)

// Why a client with Config.DialBack stays connected.
var (
	errNoDialBack  = errors.New("chatclient: the server does not offer to dial back")
	errClearNoBack = errors.New("chatclient: there is no dial-back without TLS")
	errUnreachable = errors.New("chatclient: the session was over when the client came back: the server could not reach it, or another login of this user took its place")
)

// Why a call is not taken.
var (
	errNotOurServer = errors.New("chatclient: the server has another key than at the last login")
	errNotBack      = errors.New("chatclient: the caller does not speak " + handshake.BackALPN)
	errNotGoingOn   = errors.New("chatclient: the server that called does not go on with the session")
)

// A backDoor is the port on which the server calls. It is open from the first
// login to a server that dials back until the client ends; callers are sent
// away while there is, or is about to be, a connection.
type backDoor struct {
	c         *Client
	verified  chan *conn // calls of the server
	listening sync.WaitGroup

	mu      sync.Mutex
	ln      net.Listener
	absence *absence  // nil: who calls is sent away
	callers strangers // those in their handshake
}

// An absence is one wait for a call.
type absence struct {
	met     server // whom we wait for
	over    chan struct{}
	workers sync.WaitGroup
}

// listen opens the port, if it is not. server is the connection to the server.
func (b *backDoor) listen(server net.Conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ln != nil {
		return nil
	}
	ln, err := b.c.openPort(b.c.cfg.DialBack.ListenFunc, b.c.cfg.DialBack.Listen, server)
	if err != nil {
		return err
	}
	b.ln = ln
	b.listening.Go(func() { b.c.acceptAll(ln, b.hear) })
	return nil
}

// port returns where the server may call, 0 if nowhere.
func (b *backDoor) port() uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ln == nil {
		return 0
	}
	_, s, _ := net.SplitHostPort(b.ln.Addr().String())
	port, _ := strconv.ParseUint(s, 10, 16)
	return uint16(port)
}

// close closes the port and waits for its goroutine.
func (b *backDoor) close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	if b.ln != nil {
		b.ln.Close()
	}
	b.mu.Unlock()
	b.listening.Wait()
}

// hear lets a caller prove to be the server.
func (b *backDoor) hear(nc net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.absence
	if a == nil {
		nc.Close()
		return
	}
	if !b.callers.admit(nc) {
		return
	}
	a.workers.Go(func() {
		cn, err := b.c.pickUp(nc, &a.met)
		b.mu.Lock()
		b.callers.leave(nc)
		b.mu.Unlock()
		if err != nil {
			nc.Close()
			b.c.cfg.Logger.Info("a call was not taken", slog.Any("err", err))
			if errors.Is(err, errNotOurServer) {
				wake(b.c.need)
			}
			return
		}
		select {
		case b.verified <- cn:
		case <-a.over:
			cn.cut()
		}
	})
}

// open begins to hear callers.
func (b *backDoor) open(met server) *absence {
	a := &absence{met: met, over: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.absence = a
	return a
}

// shut sends all callers away, those as well who are about to prove who they
// are: from here on what is known of the server is the login's.
func (b *backDoor) shut(a *absence) {
	b.mu.Lock()
	b.absence = nil
	close(a.over)
	b.callers.sendAway()
	b.mu.Unlock()
	a.workers.Wait()
}

// pickUp is the handshake of TLS with a caller, in which this end is the
// client as ever. The server is verified as always and before our own
// certificate is shown; since it proves here nothing but that it has its key,
// that has to be the one with which it proved, at the last login, to know the
// account.
func (c *Client) pickUp(nc net.Conn, met *server) (*conn, error) {
	ctx, cancel := context.WithTimeout(c.life, callWithin)
	defer cancel()
	cn := c.newConn()
	cn.called = true
	cn.server = server{name: met.name, local: met.local}
	t := c.cfg.tls()
	t.NextProtos = []string{handshake.BackALPN}
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.peers.id.cert, nil }
	usual := t.VerifyConnection
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != handshake.BackALPN {
			return errNotBack
		}
		if usual != nil {
			if err := usual(s); err != nil {
				return err
			}
		}
		cn.server.tls = &s
		return c.verify(ctx, &cn.server, false)
	}
	tc := tls.Client(nc, t)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if cn.server.fingerprint != met.fingerprint {
		return nil, errNotOurServer
	}
	state := tc.ConnectionState()
	cn.server.tls = &state
	cn.wire = newWire(tc, nc, &c.trace)
	return cn, nil
}

// answer logs in on a connection that the server made, and makes it the
// client's. Whatever comes of it, the client's own logins are not refused.
func (c *Client) answer(cn *conn) error {
	ctx, cancel := context.WithTimeout(c.life, callWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, cn.cut)
	w, err := c.identify(cn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = c.moveIn(cn, w)
	}
	if err != nil {
		cn.cut()
	}
	return err
}

func (c *Client) identify(cn *conn) (*welcome, error) {
	if err := cn.hello(c.cfg.DeclinePresence); err != nil {
		return nil, err
	}
	if cn.mechs != handshake.MechExternal {
		return nil, errNoMechanism
	}
	w, err := c.authenticate(cn)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn.boot != c.boot || w.fresh || !c.agrees(w) {
		return nil, errNotGoingOn
	}
	return w, nil
}

// comesAtOnce reports whether a call that came to nothing is a reason to log
// in at once: the server knows the session otherwise than we do.
func comesAtOnce(err error) bool {
	var r *refusal
	return errors.Is(err, errNotGoingOn) || errors.As(err, &r) && r.reply.Code == chatproto.ReplyDenied
}

// external names the account; the certificate of this end is the proof.
type external struct{}

func (external) name() string                { return handshake.MechExternal }
func (external) start(*chatproto.Line)       {}
func (external) next([]byte) (string, error) { return "", errUnexpectedStep }
func (external) done([]byte) error           { return nil }

// dialsBack reports whether the server may be told where to call. mu is held.
func (c *Client) dialsBack(cn *conn) (port uint16, yes bool) {
	if c.cfg.DialBack == nil || !cn.dialsBack || c.unreachable {
		return 0, false
	}
	port = c.back.port()
	return port, port != 0
}

// prepareDialBack opens the port if the server offers to call, and tells why not.
func (c *Client) prepareDialBack(cn *conn) {
	if c.cfg.DialBack == nil {
		return
	}
	var why error
	switch {
	case cn.server.tls == nil:
		why = errClearNoBack
	case !cn.dialsBack:
		why = errNoDialBack
	default:
		if err := c.back.listen(cn.raw); err != nil {
			why = fmt.Errorf("chatclient: cannot listen for the server: %w", err)
		}
	}
	if why != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stays(why)
	}
}

// stays tells, once, why the client stays connected. mu is held.
func (c *Client) stays(why error) {
	if c.staying == why.Error() {
		return
	}
	c.staying = why.Error()
	c.cfg.Logger.Warn("the client stays connected", slog.Any("err", why))
	if call := c.cfg.Callbacks.OnStaysConnected; call != nil {
		c.events.push(event{call: func(ctx context.Context) { call(ctx, why) }})
	}
}
