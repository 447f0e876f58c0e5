package chatserver

import (
	"context"
	"errors"
	"net"

	"github.com/parleyproto/parley/chatproto"
)

// Hooks are callbacks into the application. Every field may be nil.
//
// An On... hook tells of a fact and cannot refuse it; nil means that nobody
// is told. An Authorize... hook decides: nil means yes to everybody. An
// error that is a *[chatproto.Error] with a 4xx or 5xx code that may answer the
// request goes to the client as it is; any other becomes code 451 with a fixed
// sentence, and its text goes to the log alone.
//
// Hooks of one connection run one after the other, in the order in which
// things happen there; where several connections are concerned, or a
// timer, the comment says which. A hook may block: it holds up that one
// connection, and no lock is held meanwhile. The context ends with the
// server. A panic in a hook is not caught.
type Hooks struct {
	// OnConnect tells of a new connection, before a line is read from it, and
	// before TLS. It is not told of one that Server.Limits sends away at
	// once, and is of one that the server made (Server.DialBack).
	OnConnect func(ctx context.Context, c ConnInfo)
	// OnDisconnect tells that a connection ended, and why. It is the last
	// hook of a connection, and told of each that OnConnect was told of.
	OnDisconnect func(ctx context.Context, c ConnInfo, why string)

	// AuthorizeLogin is asked after the password was found right, or, where
	// the server made the connection, the key.
	AuthorizeLogin func(ctx context.Context, c ConnInfo) error
	// OnLogin tells of a new session, not of one that was resumed.
	OnLogin func(ctx context.Context, c ConnInfo)
	// OnLogout tells that a session ended: logout, timeout, replaced or
	// removed. After a timeout it runs on a timer's goroutine.
	OnLogout func(ctx context.Context, user, why string)

	// AuthorizeMessage is asked before a message is decided, once for each
	// message; a message that is sent again after an answer was lost is not
	// asked about again.
	AuthorizeMessage func(ctx context.Context, m Outgoing) error
	// OnAccepted tells of an accepted message, before its sender is told. A
	// recipient that is quick may have it by then: OnDelivered of the same
	// message may run before, after or beside it.
	OnAccepted func(ctx context.Context, m Accepted)
	// OnDelivered tells that a recipient acknowledged a message (or, if it
	// does not acknowledge, that the message was written to it). It is a
	// hook of the recipient's connection.
	OnDelivered func(ctx context.Context, d Delivered)

	// OnConsentAsked, OnConsentGranted and OnConsentRevoked tell how a
	// consent changes; why is "revoked", "blocked", "expired" or "gone". The
	// last may run on any connection's or a timer's goroutine.
	OnConsentAsked   func(ctx context.Context, asker, owner string)
	OnConsentGranted func(ctx context.Context, asker, owner string)
	OnConsentRevoked func(ctx context.Context, asker, owner, why string)
}

// ConnInfo describes a connection to a hook.
type ConnInfo struct {
	RemoteAddr net.Addr // behind a proxy of Server.ProxyFrom, what its header said
	User       string   // "" before the login
	Origin     uint64   // 0 before the login
}

// Outgoing is a message that a user wants to send.
type Outgoing struct {
	From string
	To   string // "" for a broadcast
	Text string
}

// Accepted is a message that was accepted.
type Accepted struct {
	ID       chatproto.ID
	From     string
	To       string // "" for a broadcast
	Audience int    // how many mailboxes it entered
}

// Delivered is a message that reached one of its recipients.
type Delivered struct {
	ID       chatproto.ID
	From, To string
}

// refusal turns an error of the application into one for the wire: itself if
// it is an *Error whose code may answer verb, else code 451.
func (s *Server) refusal(verb chatproto.Code, err error) *chatproto.Error {
	var e *chatproto.Error
	if errors.As(err, &e) && e.Code.Class() >= 4 && chatproto.V1.Known(e.Code) && chatproto.V1.Answers(verb, e.Code) {
		return e
	}
	s.log.Error("a hook failed", "verb", verb.String(), "err", err)
	return &chatproto.Error{Code: chatproto.ReplyInternal}
}
