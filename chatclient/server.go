package chatclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// A server is the far end of one connection, and what is known of it.
type server struct {
	name        string               // as pins have it
	local       bool                 // on this machine
	tls         *tls.ConnectionState // nil in cleartext
	fingerprint string               // of its key, "" in cleartext
	trust       trust
	pin         Pin // what was known of it before
	pinned      bool
	consulted   bool // a person was asked, which may have taken long
}

// A trust says what vouches for a server.
type trust uint8

const (
	trustNothing   trust = iota // cleartext
	trustLocal                  // a key never seen before, on this machine
	trustPerson                 // TrustServer, just now
	trustPin                    // the key is that of the pin
	trustAuthority              // a certificate for the name, valid now
	trustGiven                  // the key is Config.Fingerprint
)

// verify finds out whether this is the server that is meant, before anything
// is sent to it: by Config.Fingerprint alone if there is one, else by an
// authority, by the pin, and, the first time, by the person.
//
// first says that Dial asks: then a person may be asked.
func (c *Client) verify(ctx context.Context, s *server, first bool) (err error) {
	wrong := &ServerKeyError{Addr: s.name, KeptIn: c.keptIn()}
	if s.tls != nil {
		s.fingerprint = handshake.Fingerprint(s.tls.PeerCertificates[0].RawSubjectPublicKeyInfo)
		wrong.Fingerprint = s.fingerprint
	}
	if given := c.cfg.Fingerprint; given != "" {
		s.trust = trustGiven
		if s.fingerprint != given {
			wrong.Pinned, wrong.Given = given, true
			return wrong
		}
		return nil
	}
	if s.pin, s.pinned, err = c.pinOf(s.name); err != nil || s.tls == nil {
		return err
	}
	wrong.Reason = c.cfg.authority(s.tls)
	switch {
	case wrong.Reason == nil:
		s.trust = trustAuthority
	case s.pinned && s.pin.Fingerprint == s.fingerprint:
		s.trust = trustPin // whatever else the certificate says: the key is what is pinned
	case s.pinned:
		wrong.Pinned = cmp.Or(s.pin.Fingerprint, ByAuthority)
		return wrong
	case s.local:
		s.trust = trustLocal
	case c.trusted == s.fingerprint:
		s.trust = trustPerson
	case c.cfg.TrustServer == nil || !first:
		return wrong
	default:
		s.trust, s.consulted = trustPerson, true
		if err := c.cfg.TrustServer(ctx, UnknownServer{Addr: s.name, Fingerprint: s.fingerprint, Reason: wrong.Reason}); err != nil {
			return err
		}
		c.trusted = s.fingerprint
	}
	return nil
}

// authority returns nil if an authority vouches for the certificate, the name
// and the time, else what is wrong.
func (cfg *Config) authority(state *tls.ConnectionState) error {
	t := cfg.tls()
	o := x509.VerifyOptions{Roots: t.RootCAs, DNSName: t.ServerName, Intermediates: x509.NewCertPool()}
	if t.Time != nil {
		o.CurrentTime = t.Time()
	}
	for _, cert := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	if o.DNSName == "" {
		return errors.New("it is not known which name its certificate should have")
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(o)
	if err != nil && bytes.Equal(leaf.RawSubject, leaf.RawIssuer) {
		return &selfMadeError{err}
	}
	return err
}

// A selfMadeError says the one thing that matters of a certificate that nobody
// else made.
type selfMadeError struct{ err error }

func (*selfMadeError) Error() string   { return "its certificate is self-made" }
func (e *selfMadeError) Unwrap() error { return e.err }

// pinOf returns what is known of a server. What this client saw itself is not
// forgotten as long as it lives, whatever happens to the pins.
func (c *Client) pinOf(name string) (Pin, bool, error) {
	if c.cfg.Pins != nil {
		p, ok, err := c.cfg.Pins.Pin(name)
		if err != nil {
			return Pin{}, false, fmt.Errorf("chatclient: what is known of the server %s cannot be read: %w", Display(name), err)
		}
		if ok {
			return p, true, nil
		}
	}
	return c.pin, c.pinned, nil
}

// checkPins tells of what is wrong with the pins besides.
func (c *Client) checkPins() {
	if pins, ok := c.cfg.Pins.(interface{ Check() error }); ok {
		if err := pins.Check(); err != nil {
			c.cfg.Logger.Warn("the pins of servers are not all well", slog.Any("err", err))
		}
	}
}

// keptIn says for a person where the pins are.
func (c *Client) keptIn() string {
	switch pins := c.cfg.Pins.(type) {
	case nil:
		return ""
	case fmt.Stringer:
		return pins.String()
	}
	return "Config.Pins"
}

// remember keeps what a login has shown of the server: its key, and how well
// it can be expected to log in from now on.
func (c *Client) remember(s *server, mechanism string) {
	c.weakest = mechanism
	if s.tls == nil || s.trust == trustGiven {
		return
	}
	p := Pin{Mechanism: mechanism}
	if s.trust != trustAuthority {
		p.Fingerprint = s.fingerprint
	}
	if s.pinned && p == s.pin {
		return
	}
	c.pin, c.pinned = p, true
	if c.cfg.Pins == nil {
		return
	}
	// Another program may have met the server meanwhile.
	now, known, err := c.cfg.Pins.Pin(s.name)
	if err == nil && known && (!s.pinned || now != s.pin) {
		if now != p {
			c.cfg.Logger.Warn("another program knows the server in another way; its pin stays", slog.String("server", s.name))
		}
		return
	}
	if err == nil {
		err = c.cfg.Pins.SetPin(s.name, p)
	}
	if err != nil {
		c.cfg.Logger.Warn("the server's pin cannot be kept", slog.String("server", s.name), slog.Any("err", err))
	}
}
