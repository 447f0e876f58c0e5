package chatclient

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// errNotPeer says that the other end does not speak as SPEC section 8.4 wants.
var errNotPeer = errors.New("chatclient: the other end is no client of private chats")

// errOtherKey says that the other end is not who it should be.
var errOtherKey = errors.New("chatclient: the other end has another key")

// errNoKey says that a user consented whose client has no key.
var errNoKey = &noKeyError{}

type noKeyError struct{}

func (*noKeyError) Error() string {
	return ErrPeerGone.Error() + ": their client has no identity to check it by"
}
func (*noKeyError) Is(target error) bool { return target == ErrPeerGone }

// tlsConfig is that of both ends of a private line (SPEC section 8.4). check
// says whether whoever has a key is welcome; it is asked in the handshake,
// before any octet of content is taken.
func (id *Identity) tlsConfig(check func(key string) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{id.cert},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection does it: no name and no authority counts, only the key
		NextProtos:             []string{handshake.PeerALPN},
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			key, err := lineKey(&s)
			if err != nil {
				return err
			}
			return check(key)
		},
	}
}

// lineKey returns the key of the other end of a private line.
func lineKey(s *tls.ConnectionState) (string, error) {
	if s.Version != tls.VersionTLS13 || s.DidResume || s.NegotiatedProtocol != handshake.PeerALPN || len(s.PeerCertificates) == 0 {
		return "", errNotPeer
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return "", errNotPeer
	}
	return handshake.FormatKey(key), nil
}
