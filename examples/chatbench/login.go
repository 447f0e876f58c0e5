package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// tlsConfig is that of all connections. Whose certificate it is does not
// matter to a load tool, unless a fingerprint says whose it has to be.
func (b *bench) tlsConfig() *tls.Config {
	if b.o.fingerprint == "" {
		b.say("the server's certificate is not checked; -fingerprint does that")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{handshake.ALPN},
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			got := handshake.Fingerprint(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if b.o.fingerprint != "" && got != strings.ToLower(b.o.fingerprint) {
				return fmt.Errorf("the server's key is %s, not that of -fingerprint", got)
			}
			return nil
		},
	}
}

// connect opens a connection, without TLS.
func (b *bench) connect(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: b.o.patience}
	nc, err := d.DialContext(ctx, "tcp", b.o.addr)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nobody listens on %s; start the server, or name another by -addr", b.o.addr)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil, fmt.Errorf("out of file descriptors: raise the limit (ulimit -n), or take fewer connections: %w", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("out of local ports: take fewer connections, or wait a minute: %w", err)
	}
	return nil, fmt.Errorf("cannot reach %s: %w", b.o.addr, err)
}

// login connects a user and logs in, from the given origin or, if that is 0,
// from a new one.
func (b *bench) login(ctx context.Context, user string, origin uint64, buffer int) (*client, error) {
	nc, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	if origin == 0 {
		origin = max(rand.Uint64(), 1)
	}
	nc.SetDeadline(time.Now().Add(b.o.patience))
	unhook := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	if b.tls != nil {
		secure := tls.Client(nc, b.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("no TLS with %s: %w", b.o.addr, err)
		}
		nc = secure
	}
	c := &client{user: user, origin: origin, nc: nc, br: bufio.NewReaderSize(nc, max(buffer, chatproto.V1.Limits.Frame))}
	err = b.greet(c)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	return c, nil
}

// greet says HELO and proves who the user is.
func (b *bench) greet(c *client) error {
	l := chatproto.Begin(nil, chatproto.HELO)
	l.Field("v", "1")
	l.Field("acks", "1")
	l.Uint("beat", uint64(b.o.beat.Milliseconds()))
	l.Field("pres", "0")
	helo, err := l.End("")
	if err != nil {
		return err
	}
	c.out = append(c.out, helo...)
	if err := c.flush(); err != nil {
		return err
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	greeting := slices.Clone(line)
	if err := chatproto.Parse(&c.in, line); err != nil {
		return fmt.Errorf("what listens on %s is no chat server: %w", b.o.addr, err)
	}
	if c.in.Code != chatproto.ReplyGreeting {
		return fmt.Errorf("the server does not greet: %s %s", c.in.Code, c.in.Description)
	}
	offered := strings.Split(c.in.Value("mech"), ",")
	if !slices.Contains(offered, b.o.mech) {
		return fmt.Errorf("the server offers %s here, not %s: choose by -mech", strings.Join(offered, ", "), b.o.mech)
	}
	if b.o.mech == plain {
		err = b.plain(c)
	} else {
		err = b.scram(c, offered, bytes.TrimSuffix(helo, []byte("\r\n")), greeting)
	}
	if err != nil {
		return err
	}
	return b.welcomed(c)
}

// plain logs in by the password itself.
func (b *bench) plain(c *client) error {
	return b.auth(c, chatproto.ReplyWelcome, func(l *chatproto.Line) {
		l.Field("mech", plain)
		l.Field("user", c.user)
		l.Field("pass", b.o.password)
		l.Origin("origin", c.origin)
	})
}

// auth does one step of a login and reads the answer, which must be the one
// that is wanted.
func (b *bench) auth(c *client, want chatproto.Code, fill func(*chatproto.Line)) error {
	l := chatproto.Begin(c.out, chatproto.AUTH)
	fill(&l)
	var err error
	if c.out, err = l.End(""); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	for {
		if err := c.frame(); err != nil {
			return err
		}
		switch code := c.in.Code; {
		case code == want:
			return nil
		case code == chatproto.ReplyDenied:
			return fmt.Errorf("the server does not take the password of %s: has it the accounts that chatbench accounts writes, enough of them, and with this -password? (%s)", c.user, c.in.Description)
		case code.IsReply(), code == chatproto.GBYE:
			return fmt.Errorf("the server does not log %s in: %s %s", c.user, code, c.in.Description)
		}
	}
}

// welcomed reads what the 230 said.
func (b *bench) welcomed(c *client) error {
	high, ok := c.in.Uint("high")
	if !ok {
		return broken("the 230 of %s has no high=", c.user)
	}
	c.sent.Store(high)
	c.answered.Store(high)
	c.high = high
	c.inbox = newInbox(b.o.size)
	if beat, ok := c.in.Uint("beat"); ok && beat > 0 {
		b.lowerBeat(time.Duration(beat) * time.Millisecond)
	}
	return nil
}

// lowerBeat keeps the shortest heartbeat that the server asked for.
func (b *bench) lowerBeat(d time.Duration) {
	for old := b.beat.Load(); int64(d) < old; old = b.beat.Load() {
		b.beat.CompareAndSwap(old, int64(d))
	}
}
