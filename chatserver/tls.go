package chatserver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// bindingLabel and bindingSize make the channel binding "tls-exporter" of
// RFC 9266.
const (
	bindingLabel = "EXPORTER-Channel-Binding"
	bindingSize  = 32
)

// binding returns what ties a login to the connection's TLS (RFC 9266): the
// same at both ends of one connection and nowhere else. It is nil without
// TLS.
func (c *conn) binding() []byte {
	if c.tls == nil {
		return nil
	}
	state := c.tls.ConnectionState()
	b, err := state.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		c.log().Error("TLS gave no channel binding", "err", err)
		return nil
	}
	return b
}

// local reports whether the client is on this machine: it came by the
// loopback address, or by something that has no IP address (a pipe, a Unix
// socket).
func (c *conn) local() bool {
	ip := addrOf(c.nc.RemoteAddr())
	return !ip.IsValid() || ip.IsLoopback()
}

// addrText is a, for a log. A connection of the application's own may have no
// address at all.
func addrText(a net.Addr) string {
	if a == nil {
		return "none"
	}
	return a.String()
}

// prepareTLS returns the application's configuration with what SPEC section
// 9.1 does not leave to it.
func prepareTLS(given *tls.Config) (*tls.Config, error) {
	if given == nil {
		return nil, nil
	}
	if len(given.Certificates) == 0 && given.GetCertificate == nil && given.GetConfigForClient == nil {
		return nil, errors.New("chatserver: Server.TLSConfig has no certificate")
	}
	cfg := strictTLS(given)
	if choose := given.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen = strictTLS(chosen)
			}
			return chosen, err
		}
	}
	return cfg, nil
}

// acmeALPN is what an authority asks for that looks whether the server has the
// name it wants a certificate for (RFC 8737). All that it wants to see is the
// certificate.
const acmeALPN = "acme-tls/1"

// strictTLS returns a copy of cfg: TLS 1.3 alone, this protocol alone (and
// acmeALPN, if cfg has it), and no session tickets, which would keep what a
// connection's secrets hang on beyond its end.
func strictTLS(cfg *tls.Config) *tls.Config {
	acme := slices.Contains(cfg.NextProtos, acmeALPN)
	cfg = cfg.Clone()
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS13, 0
	cfg.NextProtos = []string{handshake.ALPN}
	if acme {
		cfg.NextProtos = append(cfg.NextProtos, acmeALPN)
	}
	cfg.SessionTicketsDisabled = true
	return cfg
}

// handshakeOctets is what a client may send in a handshake that wants still
// more then: a ClientHello or two with room to spare. crypto/tls would keep several times as much.
const handshakeOctets = 16 << 10

var errLongHandshake = errors.New("a handshake of more than 16 KiB")

// startTLS speaks TLS with a client whose first octet was read, or whom the
// server called, and reports whether it could. From here on nothing is said outside of TLS, so nothing
// at all if it fails.
func (c *conn) startTLS() bool {
	below := &belowTLS{Conn: c.nc, left: handshakeOctets - 1, ahead: c.ahead}
	c.ahead = false
	cfg := c.srv.tls
	if c.callee != nil {
		cfg = c.callee.tlsFor(cfg)
	}
	t := tls.Server(below, cfg)
	if !c.beginHandshake() {
		return false
	}
	if c.srv.tls == nil {
		c.giveUpTLS("the client speaks TLS, and Server.TLSConfig is not set")
		return false
	}
	if err := t.Handshake(); err != nil {
		c.giveUpTLS("TLS handshake: " + err.Error())
		return false
	}
	if t.ConnectionState().NegotiatedProtocol == acmeALPN {
		t.CloseWrite()
		c.giveUpTLS("an authority has seen its certificate")
		return false
	}
	below.left = -1
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc, c.tls, c.mum = t, t, false
	c.socket = socket{}
	c.keepWritable()
	return true
}

// beginHandshake has nothing said any more that is not TLS, and sets the
// handshake's deadline. It reports false if the connection is to end.
func (c *conn) beginHandshake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mum = true
	if c.bye != nil {
		c.abort(c.bye.why)
	}
	c.nc.SetDeadline(c.handshakeDeadline())
	return c.dead == ""
}

// giveUpTLS ends a connection that has no TLS to say it in: the client sees
// the end, behind what crypto/tls has told it.
func (c *conn) giveUpTLS(why string) {
	c.why = why
	closeWrite(c.nc)
}

// keepWritable lets TLS answer a client that wants new keys, which it does
// while the server reads: behind a deadline that has passed, it would break.
// The caller holds mu, and nobody writes.
func (c *conn) keepWritable() {
	if c.tls != nil {
		c.nc.SetWriteDeadline(time.Now().Add(c.srv.IdleTimeout + c.srv.Timeout + c.srv.LoginTimeout))
	}
}

// transport is the connection without TLS.
func (c *conn) transport() net.Conn {
	if c.tls == nil {
		return c.nc
	}
	return c.tls.NetConn().(*belowTLS).Conn
}

// errTruncated says that the connection below TLS ended, and TLS did not. It
// may be somebody on the way who ended it.
var errTruncated = errors.New("the TLS connection was cut off")

// A belowTLS is what TLS reads and writes.
type belowTLS struct {
	net.Conn
	ahead bool // the octet that starts TLS was read before, and is given again
	left  int  // octets that may still be read; below 0: as many as there are
}

// Read implements [io.Reader].
func (b *belowTLS) Read(p []byte) (int, error) {
	if b.ahead && len(p) > 0 {
		b.ahead = false
		p[0] = startsTLS
		return 1, nil
	}
	if b.left == 0 {
		return 0, errLongHandshake
	}
	if b.left > 0 {
		p = p[:min(len(p), b.left)]
	}
	n, err := b.Conn.Read(p)
	if b.left > 0 {
		b.left -= n
	}
	if err == io.EOF {
		// crypto/tls would take it for the end between two records.
		if err = errTruncated; n > 0 {
			err = nil // until the next read
		}
	}
	return n, err
}

// closeWrite shuts the sending side, where the connection can: that of TLS,
// and that of the connection below.
func (c *conn) closeWrite() {
	if c.tls != nil {
		c.tls.CloseWrite()
	}
	if c.fd > 0 {
		c.shutWrite()
		return
	}
	closeWrite(c.transport())
}

// closeWrite shuts the sending side, where the connection can.
func closeWrite(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}
