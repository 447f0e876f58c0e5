package chatclient

import (
	"errors"
	"strings"
)

// Errors of the far end: it is not, or does not prove to be, the server that
// is meant. Where nothing else is said they are final: a client does not come
// back after them by itself.
var (
	// ErrServerUnknown says that no authority vouches for the server and that
	// it was not met before; the error is a [*ServerKeyError].
	ErrServerUnknown = errors.New("the server is unknown")

	// ErrServerChanged says that the server has another key than it had, or
	// must have; the error is a [*ServerKeyError].
	ErrServerChanged = errors.New("the server has another key")

	// ErrDowngrade says that the server offers no login that is good enough:
	// a weaker one than it offered before, or one that would give the password
	// to whoever is on the way. Nothing of the password was sent.
	ErrDowngrade = errors.New("chatclient: the server offers no login that is good enough")

	// ErrServerProof says that the server's part of the login was missing or
	// wrong: it does not know what one who knows the password's verifier
	// knows. Nothing that it said is believed.
	ErrServerProof = errors.New("chatclient: the server did not prove that it knows this account")

	// ErrNotTLS says that the server answered TLS in cleartext, or not at all.
	// It is not final.
	ErrNotTLS = errors.New("chatclient: the server does not speak TLS; if it is on this machine, or every network in between is trusted, Config.Cleartext lets the client do without")

	// ErrTLSOnly says that the server answered cleartext in TLS. It is not
	// final.
	ErrTLSOnly = errors.New("chatclient: the server speaks TLS only; Config.Cleartext must let the client use it (CleartextNever)")
)

// ByAuthority is the Pinned of a [ServerKeyError] about a server that an
// authority had vouched for.
const ByAuthority = "authority"

// A ServerKeyError says that the server is not known, or not the one that it
// was. Nothing was sent to it. These are the rules, in their order:
//
//   - With Config.Fingerprint only that counts.
//   - A server is known if an authority (Config.TLS.RootCAs, or those of the
//     system) vouches for its certificate, its name and the time. It is
//     remembered as such, and must be so from then on.
//   - One with a pin is known if it has the key of the pin. It is the key that
//     is pinned: that its certificate has expired, or names another, does not
//     matter then.
//   - One without is unknown, unless it is on this machine or
//     Config.TrustServer trusts it.
//
// The pin is written after the login.
type ServerKeyError struct {
	Addr        string // of the server
	Fingerprint string // of the key that it showed
	Pinned      string // the key that it should have had, or ByAuthority; "" if it is unknown
	Given       bool   // Pinned is Config.Fingerprint
	KeptIn      string // where the pins are, for a person; "" if in memory only
	Reason      error  // why no authority vouches for it
}

// Is makes errors.Is match [ErrServerUnknown] or [ErrServerChanged].
func (e *ServerKeyError) Is(target error) bool {
	if e.Pinned == "" {
		return target == ErrServerUnknown
	}
	return target == ErrServerChanged
}

func (e *ServerKeyError) Unwrap() error { return e.Reason }

// Error tells a person, in several lines, what happened and what to do. It
// can be shown as it is: it went through [Display].
func (e *ServerKeyError) Error() string {
	var b strings.Builder
	say := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
	}
	addr := Display(e.Addr)
	say("chatclient: ")
	switch {
	case e.Given:
		say("the server ", addr, " has not the key that was given for it",
			"\n  given  ", e.Pinned, "\n  shown  ", e.Fingerprint,
			"\nNothing was sent to it: somebody may be in between. ", compare, ifEqual, "give that key instead.")
		return b.String()
	case e.Pinned == "":
		say("the server ", addr, " is unknown: it was not met before, and no authority vouches for it", e.because(),
			"\n  shown  ", e.Fingerprint,
			"\nNothing was sent to it: somebody may be in between. ", compare, ifEqual, "trust this key (Config.TrustServer, Config.Fingerprint).")
		return b.String()
	case e.Pinned == ByAuthority:
		say("the server ", addr, " is not as it was: no authority vouches for it any more", e.because(),
			"\n  shown  ", e.Fingerprint)
	default:
		say("the server ", addr, " is not as it was: it has another key",
			"\n  known  ", e.Pinned, "\n  shown  ", e.Fingerprint)
	}
	say("\nNothing was sent to it: somebody may be in between. Ask its operator whether it was changed. ", compare, ifEqual)
	if e.KeptIn == "" {
		say("start this program again, which forgets the server.")
	} else {
		say("forget the server: remove the line of ", addr, " from ", Display(e.KeptIn), ".")
	}
	return b.String()
}

const (
	compare = "Compare the key that is shown with the fingerprint that the server's chatd prints when it starts. "
	ifEqual = "Only if they are equal, "
)

// because says why no authority vouches, in a line.
func (e *ServerKeyError) because() string {
	if e.Reason == nil {
		return ""
	}
	return " (" + strings.ReplaceAll(Display(e.Reason.Error()), "\n", "") + ")"
}
