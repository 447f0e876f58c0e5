package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatproto"
)

// Config says where to connect, as whom, and what to do with what arrives.
// Addr or Dial is needed, and User and Password or Credentials; the zero
// value of everything else is useful. A Config is copied by [Dial].
type Config struct {
	// Addr is the host:port of the server. The server must prove to be the
	// owner of this name, also if Dial leads to it.
	Addr string

	// Dial opens a connection to the server. It is called again for every
	// reconnect. nil connects to Addr by TCP. TLS is spoken on what it
	// returns, see Cleartext, unless that is a *tls.Conn already.
	Dial func(ctx context.Context) (net.Conn, error)

	// Cleartext says where TLS may be left out; nowhere, if it is not set.
	Cleartext Cleartext

	// TLS is the base of the configuration of TLS: RootCAs, Certificates,
	// ServerName, Time and such. nil is fine. The version (1.3), the protocol
	// of ALPN and InsecureSkipVerify are set by the client, and sessions are
	// not resumed: on every connection the server is verified as ServerKeyError
	// describes.
	TLS *tls.Config

	// Fingerprint, if not empty, is the one key that the server may have, as
	// chatd prints it when it starts: "sha256:" and 64 hexadecimal digits. No
	// authority and no pin counts then, and TLS is spoken everywhere.
	Fingerprint string

	// Pins remembers the servers, best a [PinFile]. nil remembers for the life
	// of the client.
	Pins Pins

	// TrustServer is asked whether to go on with a server that no authority
	// vouches for, and that has no pin. nil error trusts it: the person, or
	// the program, compared the fingerprint with what the server's operator
	// told them, or takes the risk. An error of its own ends Dial with that
	// error. nil trusts none: Dial returns a [*ServerKeyError].
	//
	// It runs on the goroutine that called Dial, before anything is sent
	// but TLS, at most once, and never during a later reconnect. It may block: if the
	// connection died meanwhile the client dials again. It is not asked for a
	// server on this machine, whose key is pinned when it is first seen.
	TrustServer func(ctx context.Context, s UnknownServer) error

	// User and Password log in. If either is empty Credentials is asked.
	User, Password string

	// Credentials is asked for a user and a password when User or Password is
	// empty, with refused nil, and again when the server refused them and
	// others may help, with its refusal (code 535 and its sentence). An error
	// of its own ends Dial with that error.
	//
	// It runs on the goroutine that called Dial, after the server's greeting
	// and before Dial returns, never during a later reconnect. It may block:
	// if the connection died meanwhile the client dials again before it goes
	// on. nil makes a refusal final.
	Credentials func(ctx context.Context, refused *chatproto.Error) (user, password string, err error)

	// StateFile, if not nil, makes the client's memory durable: what it sends,
	// privately too, and what it has seen survives the program and the machine.
	// (Private messages are sent again by the same Identity only.) The caller
	// opens it before Dial and closes it after the client is Done; Dial
	// refuses one that belongs to another user ([ErrStateUser]) or is in use.
	StateFile *StateFile

	// Callbacks take what arrives.
	Callbacks Callbacks

	// Heartbeat is how long this client is silent at most; 0 is 30 s. The
	// server may cut it. A connection on which nothing came for 1.5 times the
	// heartbeat counts as dead.
	Heartbeat time.Duration

	// DeclinePresence asks the server not to tell who comes and goes, which a
	// bot does not need and which costs the most on a big server.
	DeclinePresence bool

	// BackoffMin and BackoffMax bound the wait before a reconnect: a random
	// time (full jitter) below BackoffMin, doubled with each failure up to
	// BackoffMax. 0 is 250 ms and 30 s.
	BackoffMin, BackoffMax time.Duration

	// PeerListen is the address on which this client listens for private
	// chats, with a port of 1024 or above; "" is ":0", any port of all
	// interfaces ("127.0.0.1:0" or "[::1]:0" if the server is on this
	// machine). "off" does not listen; neither does a client without
	// OnPrivate. The server then refuses Consent.
	PeerListen string

	// PeerAddrs are other places at which this client may be reached for
	// private chats, beside the address that the server sees; a user who was
	// consented to is told of them, eight at most. Each is an "address:port",
	// an address alone (with the port on which this client listens), or
	// [PeerInterfaces].
	PeerAddrs []string

	// DialBack, if not nil, lets the client go without a connection while
	// there is nothing to say: the server calls it. See [DialBack] for what
	// that needs and what it costs.
	DialBack *DialBack

	// Relay lets the server carry private lines, if it does and the other
	// client lets it too, where no direct line is possible. The server cannot
	// read them.
	Relay bool

	// Identity is the key by which other clients know this one in private
	// chats; see [OpenIdentity]. nil: one is made for the life of the Client,
	// and those who knew the one before see that it has changed.
	Identity *Identity

	// Peers keeps the keys of those with whom there was a private line, so
	// that another key is noticed; see [PeerFile]. nil keeps them for the life
	// of the Client.
	Peers PeerKeys

	// Logger gets what an operator may want to know: lost connections, errors
	// that callbacks returned. nil discards it. No password and no text of a
	// message is logged.
	Logger *slog.Logger

	// Trace, if not nil, gets every line that is sent to the server or
	// received from it, without its end, for a view of the raw traffic.
	// Passwords, proofs of them and tokens are masked. It is called by the
	// goroutines that read and write, one call at a time, must not block and
	// must not keep line.
	Trace func(sent bool, line []byte)

	peerNet peerNetwork // how private lines are opened
}

// A Cleartext says when the connection to a server may do without TLS. Then
// everybody on the way can read every message and change it, and can try
// passwords offline against what they saw of the login; the password itself
// is not sent (but to a server on this machine that knows no other login). A
// client never falls back to cleartext by itself.
type Cleartext uint8

const (
	CleartextNever  Cleartext = iota // TLS with every server
	CleartextLocal                   // cleartext with a server on this machine (a loopback address, or none at all), TLS with others
	CleartextAlways                  // no TLS: where every network in between is trusted, or a tunnel encrypts
)

// Defaults of a Config.
const (
	DefaultHeartbeat  = 30 * time.Second
	DefaultBackoffMin = 250 * time.Millisecond
	DefaultBackoffMax = 30 * time.Second
)

// fill checks the configuration, every fault of it at once, and puts the
// defaults in.
func (cfg *Config) fill() error {
	var faults *multierror.Error
	fault := func(text string) { faults = multierror.Append(faults, errors.New("chatclient: "+text)) }
	if cfg.Addr == "" && cfg.Dial == nil {
		fault("Config.Addr or Config.Dial is needed")
	}
	if (cfg.User == "" || cfg.Password == "") && cfg.Credentials == nil {
		fault("Config.User and Config.Password, or Config.Credentials, are needed")
	}
	if cfg.User != "" {
		if err := chatproto.CheckName(cfg.User); err != nil {
			faults = multierror.Append(faults, err)
		}
	}
	cfg.Fingerprint = strings.ToLower(cfg.Fingerprint)
	switch {
	case cfg.Fingerprint == "":
	case !isFingerprint(cfg.Fingerprint):
		fault("Config.Fingerprint must be sha256: and 64 hexadecimal digits")
	case cfg.Cleartext == CleartextAlways:
		fault("Config.Fingerprint needs TLS, and Config.Cleartext forbids it")
	}
	if cfg.Cleartext > CleartextAlways {
		fault("Config.Cleartext is none of its values")
	}
	if cfg.Heartbeat < 0 || cfg.BackoffMin < 0 || cfg.BackoffMax < 0 {
		fault("a time in Config is negative")
	}
	if cfg.PeerListen != "" && cfg.PeerListen != peerListenOff && !listenable(cfg.PeerListen) {
		fault("Config.PeerListen must be host:port with port 0 or 1024 to 65535, or off")
	}
	for _, place := range cfg.PeerAddrs {
		if _, err := readPlace(place, minPeerPort); err != nil {
			faults = multierror.Append(faults, err)
		}
	}
	if cfg.DialBack != nil {
		back := *cfg.DialBack
		if back.Listen != "" && !listenable(back.Listen) {
			fault("Config.DialBack.Listen must be host:port with port 0 or 1024 to 65535")
		}
		if back.Quiet < 0 {
			fault("a time in Config is negative")
		}
		setDefault(&back.Quiet, DefaultQuiet)
		cfg.DialBack = &back
	}
	setDefault(&cfg.Heartbeat, DefaultHeartbeat)
	setDefault(&cfg.BackoffMin, DefaultBackoffMin)
	setDefault(&cfg.BackoffMax, DefaultBackoffMax)
	cfg.BackoffMax = max(cfg.BackoffMax, cfg.BackoffMin)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		addr := cfg.Addr
		cfg.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return faults.ErrorOrNil()
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func listenable(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && (n == 0 || n >= minPeerPort)
}
