package chatclient

import (
	"context"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// Callbacks take what arrives. Every field may be nil.
//
// One goroutine of the Client calls all of them, one at a time, in the order
// in which things arrived. None runs before Dial has logged in, but one may
// run before Dial has returned, so a callback that uses the Client must wait
// for that (say, for a channel that is closed after Dial). The last one is
// OnState with [Closed], unless the program ends first. A callback may block:
// later ones wait for it, nothing else does, and the server keeps what it may
// not send yet. It may call the Client's methods and wait for them. The
// context that it is given ends when the Client does; a callback should
// return soon then.
//
// A panic in a callback is not recovered: it ends the program, as in any
// goroutine. To recover it would acknowledge a message that was not handled,
// or show a broken program the same message for ever.
type Callbacks struct {
	// OnMessage takes a message or a broadcast. Returning nil acknowledges
	// it: the server may forget it then. After an error it is called again
	// with the same message, after a growing wait, and all later callbacks
	// wait for it. Each message is seen once, see the package's comment. nil
	// acknowledges every message unseen.
	OnMessage func(ctx context.Context, m Message) error

	// OnOutcome tells what became of a message, also a private one, that an
	// earlier client with the same [StateFile] had left without an answer. It
	// may be told again if the program dies within the callback or soon after
	// it. nil: such messages are sent all the same.
	OnOutcome func(ctx context.Context, o Outcome)

	// OnPresence tells that a user came or went. When very many wait to be
	// told, only the latest of each user is. A client that is [Away] is not
	// told, then or later. nil ignores it.
	OnPresence func(ctx context.Context, p Presence)

	// OnConsentAsked tells that user asks for this client's address, and the
	// server's sentence for it. [Client.Consent] gives it. nil ignores it:
	// nothing is given out.
	OnConsentAsked func(ctx context.Context, user, text string)

	// OnAddress tells that a user consented: [Client.Private] reaches them
	// from now on. nil ignores the news; Private works all the same.
	OnAddress func(ctx context.Context, a Address)

	// OnRevoked tells that a consent ended, one's own or one given to us. nil
	// ignores the news; the Client heeds it all the same.
	OnRevoked func(ctx context.Context, r Revocation)

	// OnPeerKeyChanged tells that the server names another key for a user
	// than the one that was seen before: they have a new identity, or
	// somebody stands between. It ought to be shown loudly. Consent and
	// Private refuse this user with [ErrPeerKeyChanged] until
	// [Client.AcceptPeerKey]. nil ignores the news; they refuse all the same.
	OnPeerKeyChanged func(ctx context.Context, k PeerKeyChange)

	// OnPrivate takes a private message, which came straight from a user that
	// this client consented to. Returning nil tells the sender that it was
	// taken; after an error the sender is told that it was not, and it is not
	// called again. Each message is seen once, as by OnMessage. nil: the
	// client does not listen for private chats.
	OnPrivate func(ctx context.Context, m PrivateMessage) error

	// OnStaysConnected tells why the client stays connected although
	// Config.DialBack is set, once for each reason: the server does not offer
	// it, or cannot reach this client, say. nil ignores it; it is logged, too.
	OnStaysConnected func(ctx context.Context, why error)

	// OnState tells how the connection fares. nil ignores it.
	OnState func(ctx context.Context, s State)
}

// A Message is a message or a broadcast that came through the server.
type Message struct {
	ID          chatproto.ID // unique among the messages of From, for ever
	From        string
	Text        string
	Broadcast   bool
	Time        time.Time // when the server accepted it
	Description string    // as a plain screen shows it: "A: hello!"
}

// An Outcome is what became of a message of an earlier life of the program.
type Outcome struct {
	ID        chatproto.ID // the message's
	To        string       // "" for a broadcast
	Text      string
	Broadcast bool
	Private   bool  // sent by [Client.Private]
	How       How   // if it was accepted
	Skipped   int   // as in a Receipt
	Err       error // nil: accepted; a *chatproto.Error: refused; ErrUnknown, wrapped: maybe delivered
}

// A Presence tells that a user logged in or out.
type Presence struct {
	User   string
	Online bool
	Text   string // the server's sentence: "A logged in"
}

// An Address is where a user who consented listens for private chat.
type Address struct {
	User string
	Host string // an IP address
	Port int
	TTL  time.Duration // how long the consent lasts
	Text string        // the server's sentence: "28403 160.39.204.24 B"
}

// A Revocation tells that a consent ended.
type Revocation struct {
	User  string // the other side
	Owner string // whose consent ended: User, or oneself
	Why   string // "gone", "revoked", "blocked" or "expired"
	Text  string // the server's sentence, if any
}

// A PrivateMessage came straight from its sender.
type PrivateMessage struct {
	ID   chatproto.ID // unique among the private messages of From, for ever
	From string
	Text string
}

// A PeerKeyChange tells that a user has another key than before.
type PeerKeyChange struct {
	User                 string
	Old, New             string // "ed25519:…"
	OldNumber, NewNumber string // the safety numbers
}

// A StateKind says how a Client's connection fares.
type StateKind uint8

// The kinds of states. Dial returns when the first Online is reached.
const (
	Connecting StateKind = iota // dialling and logging in again
	Online                      // logged in
	Waiting                     // the connection was lost, or could not be had: Err; the next try is in Retry
	Closed                      // for good: Err, nil after Logout and Close
	Away                        // with Config.DialBack: logged in, and without a connection as long as none is needed; Online comes next, or Waiting
)

var stateNames = [...]string{"Connecting", "Online", "Waiting", "Closed", "Away"}

func (k StateKind) String() string { return stateNames[k] }

// A State tells how a Client's connection fares.
type State struct {
	Kind    StateKind
	Resumed bool          // Online: the session went on, nobody saw us leave
	Mail    int           // Online: messages that wait; they come next
	Text    string        // Online: the server's greeting, "" when resumed; Waiting and Closed: its farewell, if any
	Err     error         // Waiting and Closed: why
	Retry   time.Duration // Waiting: when the next try is
}
