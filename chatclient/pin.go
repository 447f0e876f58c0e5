package chatclient

import (
	"encoding/hex"
	"strings"
)

// A Pin is what is remembered of a server: whom to expect the next time.
type Pin struct {
	// Fingerprint is that of the server's key (not of its certificate, which
	// may be renewed, or expire). It is empty if an authority vouched for the
	// server: then one must vouch for it the next time, for whatever key.
	Fingerprint string

	// Mechanism is the weakest login to be used with this server from now on,
	// the one that it offered when it was last met: "SCRAM-SHA-256-PLUS",
	// "SCRAM-SHA-256" or "PLAIN". Empty: any.
	Mechanism string
}

// Pins remember servers by their address (Config.Addr, in lower case). Its
// methods are called by the goroutine that logs in, during Dial and during
// reconnects, and, Pin, by those that take calls of the server, and should return
// soon. Several clients may share one. If it
// has a method Check() error, Dial logs what that returns.
type Pins interface {
	// Pin returns what is known of a server, and whether anything is. An
	// error keeps the client from logging in: it cannot tell the server from
	// another.
	Pin(addr string) (Pin, bool, error)
	// SetPin replaces it. An error is logged, and the login goes on.
	SetPin(addr string, p Pin) error
}

// An UnknownServer is one that no authority vouches for and that was not met
// before.
type UnknownServer struct {
	Addr        string
	Fingerprint string // "sha256:" and 64 hexadecimal digits, to compare with what its operator tells
	Reason      error  // why no authority vouches for it: the certificate is self-made, expired, another's
}

// isFingerprint reports whether s has the form of handshake.Fingerprint.
func isFingerprint(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(digits)
	return ok && err == nil && len(b) == 32 && digits == strings.ToLower(digits)
}
