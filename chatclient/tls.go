package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// connect opens a connection to the server, with TLS on it unless the
// configuration says otherwise. Nobody has been verified yet.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	nc, err := c.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	cn := c.newConn()
	cn.server = server{name: c.serverName(nc), local: isLocal(nc)}
	tc, encrypted := nc.(*tls.Conn)
	switch {
	case encrypted:
		nc = tc.NetConn()
	case c.cfg.mayBeClear(nc):
		cn.wire = newWire(nc, nc, &c.trace)
		return cn, nil
	default:
		nc = &firstWords{Conn: nc}
		tc = tls.Client(nc, c.cfg.tls())
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, noTLS(cn.server.name, nc, err)
	}
	state := tc.ConnectionState()
	cn.server.tls = &state
	cn.wire = newWire(tc, nc, &c.trace)
	return cn, nil
}

// mayBeClear reports whether nc is used as it is.
func (cfg *Config) mayBeClear(nc net.Conn) bool {
	switch cfg.Cleartext {
	case CleartextAlways:
		return true
	case CleartextLocal:
		return cfg.Fingerprint == "" && isLocal(nc)
	}
	return false
}

// tls returns the configuration of TLS. The server is verified after the
// handshake (verify), since that may take a person's time.
func (cfg *Config) tls() *tls.Config {
	t := cfg.TLS.Clone()
	if t == nil {
		t = new(tls.Config)
	}
	t.InsecureSkipVerify = true
	t.MinVersion, t.MaxVersion = tls.VersionTLS13, 0
	t.NextProtos = []string{handshake.ALPN}
	t.ClientSessionCache = nil // each connection shows that the server has its key
	if t.ServerName == "" {
		t.ServerName = hostOf(cfg.Addr)
	}
	return t
}

// hostOf returns what a certificate for addr must name, "" if addr has not
// the form of an address.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone("").String()
	}
	return host
}

// serverName returns what pins call the server.
func (c *Client) serverName(nc net.Conn) string {
	switch {
	case c.cfg.Addr != "":
		return strings.ToLower(c.cfg.Addr)
	case c.cfg.TLS != nil && c.cfg.TLS.ServerName != "":
		return strings.ToLower(c.cfg.TLS.ServerName)
	case nc.RemoteAddr() != nil:
		return nc.RemoteAddr().String()
	}
	return ""
}

// isLocal reports whether the connection does not leave this machine. One
// whose address is no IP, such as a pipe or a Unix socket, does not.
func isLocal(nc net.Conn) bool {
	ip, isIP := ipOf(nc.RemoteAddr())
	return !isIP || ip.IsLoopback()
}

// ipOf returns the IP address of a, if it has one.
func ipOf(a net.Addr) (netip.Addr, bool) {
	if a == nil {
		return netip.Addr{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// A firstWords keeps what a server says first, in case that it is not TLS.
type firstWords struct {
	net.Conn
	heard []byte
}

const maxFirstWords = 256

func (f *firstWords) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if room := maxFirstWords - len(f.heard); room > 0 {
		f.heard = append(f.heard, p[:min(n, room)]...)
	}
	return n, err
}

// What a server that speaks TLS says first to somebody who does not.
const (
	tlsAlert     = 0x15
	tlsHandshake = 0x16
)

// noTLS says why there is no TLS with a server.
func noTLS(name string, nc net.Conn, err error) error {
	var record tls.RecordHeaderError
	words, _ := nc.(*firstWords)
	switch {
	case errors.As(err, &record) && words != nil:
		line, _, _ := strings.Cut(string(words.heard), "\n")
		return fmt.Errorf("%w (%s answered %q)", ErrNotTLS, Display(name), Display(strings.TrimSuffix(line, "\r")))
	case wasClosed(err) && words != nil && len(words.heard) == 0:
		return fmt.Errorf("%w (%s closed the connection without a word, for which there may be other reasons)", ErrNotTLS, Display(name))
	}
	return fmt.Errorf("chatclient: no TLS with %s: %w", Display(name), err)
}

func wasClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
