package chatclient

import (
	"context"
	"errors"
	"net"
)

// A Client is one login to a server, kept up across lost connections. Its
// methods may be called by any goroutine.
type Client struct{}

type peerNetwork struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

var errNotYet = errors.New("chatclient: not built yet")

// Dial connects and logs in. It returns a Client that is online, or the
// reason why not: a [*chatproto.Error] for a refusal (codes 535 and 450 of
// wrong passwords and the lockout that follows them, with the server's
// sentence), a [*GoodbyeError], [ErrCleartext], or what the network says. It
// does not try again by itself, except after Credentials took so long that
// the connection died. Afterwards the Client reconnects by itself until
// [Client.Logout], [Client.Close] or a reason that is final, see
// [Client.Err]. ctx bounds Dial alone.
func Dial(ctx context.Context, cfg Config) (*Client, error) { return nil, errNotYet }

// User returns the name that this client is logged in as.
func (c *Client) User() string { return "" }

// Send sends text to the user named to and waits for the server's answer. A
// message without text is a message.
//
// A refusal is a [*chatproto.Error]: no such user, blocked, mailbox full, too
// long. While the connection is down the message waits and goes out with the
// next one; at most 256 numbers are unanswered at a time, and a further Send
// waits for room. If ctx ends before there was room nothing was sent and the
// error is ctx's; if it ends later the message is still under way, and the
// error matches both [ErrUnknown] and ctx's.
func (c *Client) Send(ctx context.Context, to, text string) (Receipt, error) {
	return Receipt{}, errNotYet
}

// Broadcast sends text to everybody online who has not blocked this user,
// like [Client.Send].
func (c *Client) Broadcast(ctx context.Context, text string) (Receipt, error) {
	return Receipt{}, errNotYet
}

// Online returns the names of the users who are online, sorted, oneself and
// those who blocked this user left out.
func (c *Client) Online(ctx context.Context) ([]string, error) { return nil, errNotYet }

// Block blocks user, who is told so and neither reaches nor sees this user
// any more, and returns the server's sentence. To block twice is no error.
func (c *Client) Block(ctx context.Context, user string) (string, error) { return "", errNotYet }

// Unblock takes a block back and returns the server's sentence.
func (c *Client) Unblock(ctx context.Context, user string) (string, error) { return "", errNotYet }

// RequestAddress asks user for consent to a private chat. nil says that they
// were asked; OnAddress brings their consent, if they give it.
func (c *Client) RequestAddress(ctx context.Context, user string) error { return errNotYet }

// Consent gives this client's address to user, who asked for it, and lets
// them open a private line for as long as the consent lasts. It is one-way:
// to write back needs the consent of user.
func (c *Client) Consent(ctx context.Context, user string) error { return errNotYet }

// Revoke takes a consent back, and closes the line of user if there is one.
// To revoke what was not given is no error.
func (c *Client) Revoke(ctx context.Context, user string) error { return errNotYet }

// Private sends text straight to user, who has consented, and waits until
// their callback took it. It returns [ErrNoConsent] if there is no consent
// and [ErrPeerGone] if there was one and user is no longer there: nothing was
// sent then. An error that matches [ErrUnknown] says that the line broke, or
// ctx ended, before the answer.
func (c *Client) Private(ctx context.Context, user, text string) (Receipt, error) {
	return Receipt{}, errNotYet
}

// Logout ends the session: it waits up to a second for a callback that is
// running, acknowledges what was taken, says QUIT and waits for the server's
// goodbye, or for the end of ctx, and closes. Messages that are not taken yet
// stay with the server. nil says that the server said goodbye; any error that
// it did not, and the session then lingers there until its timeout. It may be
// called twice, and from a callback.
func (c *Client) Logout(ctx context.Context) error { return errNotYet }

// Close ends the client at once and without a word: the session lingers at
// the server until its timeout. It does not wait for a callback that is
// running, so that a callback may call it; Done says when all is over. It may
// be called twice and returns nil.
func (c *Client) Close() error { return errNotYet }

// Done is closed when the client has ended for good: its connections are
// closed, its goroutines gone and the last callback has returned.
func (c *Client) Done() <-chan struct{} { return nil }

// Err says why the client ended for good: a [*GoodbyeError] when another
// login replaced it, a [*chatproto.Error] when it could not log in again. It
// is nil before the end, and after Logout and Close.
func (c *Client) Err() error { return errNotYet }
