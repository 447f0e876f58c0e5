package chatclient

import (
	"errors"
	"time"
)

// A refusal by the server is a [*chatproto.Error] whose Code is the reply and
// whose Text is the server's sentence. These are the errors of the client.
var (
	// ErrUnknown says that it is not known whether a message was accepted, or
	// was seen: "maybe delivered". It comes wrapped with the reason, which may
	// be a refusal: that of a message that was sent twice does not prove that
	// it was not seen the first time (SPEC section 6). To send the message
	// again is to risk that it is seen twice.
	ErrUnknown = errors.New("chatclient: maybe delivered")

	// ErrKept says that the client ended before a message was answered, that
	// its [StateFile] keeps it, and that the next client with that file sends
	// it and tells OnOutcome. It comes with ErrUnknown and the reason.
	ErrKept = errors.New("it is kept in the state file and sent by the next client")

	// ErrClosed is returned by the methods of a Client that has ended.
	ErrClosed = errors.New("chatclient: the client is closed")

	// ErrConnection says that the connection broke, again and again, before a
	// request other than a message was answered.
	ErrConnection = errors.New("chatclient: the connection was lost")

	// ErrCleartext refuses to send a password unencrypted to another machine.
	// It comes with ErrDowngrade.
	ErrCleartext = errors.New("it wants the password itself, unencrypted, from another machine")

	// ErrNoConsent says that the user has given no consent to a private chat,
	// or took it back. Nothing was sent.
	ErrNoConsent = errors.New("chatclient: the user has not consented to a private chat")

	// ErrPeerGone says that the user who had consented to a private chat is no
	// longer at their address, or that somebody else answers there. Nothing
	// was sent, unless the error matches ErrUnknown too.
	ErrPeerGone = errors.New("chatclient: the user is no longer at this address")
)

// A GoodbyeError says that the server ended the connection, by GBYE or 421.
type GoodbyeError struct {
	Why   string        // "shutdown", "timeout", "replaced", "removed", "protocol", or what a later server says; may be ""
	Text  string        // the server's sentence
	Retry time.Duration // how long the server asks to stay away; 0 if it does not say
}

func (e *GoodbyeError) Error() string {
	s := "chatclient: the server ended the connection"
	if e.Why != "" {
		s += " (" + e.Why + ")"
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// final reports whether to come back would be wrong: another login took the
// session over, or the account is gone.
func (e *GoodbyeError) final() bool { return e.Why == "replaced" || e.Why == "removed" }
