// Package store is the contract between a chat server and what keeps its
// state: accepted messages with their audiences, the windows of numbers
// decided, blocks, sessions, accounts, where logins came from, and the
// server's secret.
//
// The contract is small on purpose. A store never decides anything: it
// writes batches, whole or not at all, and reads back what it wrote. Package
// storetest checks that a store keeps it; memstore is the one for tests and
// throw-away servers.
package store

import (
	"context"

	"github.com/parleyproto/parley/chatproto"
)

// A Store keeps a server's state. The server calls Load once, before
// anything else, and never calls Commit from two goroutines at once; Messages
// may run beside Commit.
type Store interface {
	// Load returns what is stored. It calls waiting for every message that
	// has an audience left, in ascending order of Seq, with Seq, From, Cast,
	// Size and Audience; the rest may be left out and is fetched by Messages
	// when it is needed. The Message is valid during the call only.
	Load(ctx context.Context, waiting func(*Message) error) (*State, error)

	// Commit writes all of the batch or nothing of it, and returns nil when
	// it is on stable storage: nothing of it is lost in a power failure.
	// After an error the outcome is unknown, and the server commits the same
	// things again in a later batch; the store first makes itself usable
	// again (it reopens its files), or fails again. So writing what is
	// already there is no error, nor is deleting what is not.
	Commit(ctx context.Context, b *Batch) error

	// Messages reads messages by their Seq, in the order asked for, all of
	// them as of one moment between two commits. A message that is not there
	// or is damaged is nil. An error says nothing of any message: the caller
	// asks again.
	Messages(ctx context.Context, seqs []uint64) ([]*Message, error)

	// Close releases what the store holds. Nothing follows it.
	Close() error
}

// A Message is an accepted message: a body and the mailboxes that still wait
// for it.
type Message struct {
	Seq      uint64 // place in the order of arrival, from 1
	From     string
	ID       chatproto.ID
	Time     int64 // milliseconds since 1970
	Cast     bool  // a broadcast
	Text     []byte
	Size     int // octets of Text, also where that is left out; Commit does not read it
	Audience []string
}

// An Ack says that a message was delivered: to User, whose mailbox leaves its
// audience, or, when User is "", to all of them: the message is deleted.
type Ack struct {
	Seq  uint64
	User string
}

// An Origin is what is remembered of one client instance of a user (SPEC
// section 6).
type Origin struct {
	User   string
	Origin uint64
	Window chatproto.Window
	Used   int64 // when it was last used, milliseconds since 1970
	Forget bool  // in a Batch: delete the row
}

// A Block says that Owner does not want to hear from User.
type Block struct {
	Owner, User string
	Off         bool // in a Batch: delete the row
}

// A Session is a user's login. It outlives its connection, and the server.
type Session struct {
	User   string
	Origin uint64
	Ended  bool // in a Batch: delete the row
}

// An Account is a user whose password the store keeps, as what verifies it.
type Account struct {
	User     string
	Verifier string // as [chatserver.Verifier.String] writes it; opaque here
	Removed  bool   // in a Batch: delete the row
}

// An Attempt is what is remembered of the logins to one account from one
// source, so that a restart ends no lockout and forgets no friend. The account
// need not exist.
type Attempt struct {
	User   string
	Source string // an IP prefix; "" stands for all sources together
	Fails  int    // in a row
	Last   int64  // when the last of them was, milliseconds since 1970
	Until  int64  // locked out until then; 0 if it is not
	Proven int64  // when somebody last logged in from there; 0 if nobody has
	Forget bool   // in a Batch: delete the row
}

// A Batch is what one Commit writes. Within it, messages come before the
// acknowledgements that concern them, and rows of one kind apply in their
// order. A message replaces what is stored under its Seq; with no audience it
// leaves nothing there but counts for LastSeq.
type Batch struct {
	Messages []*Message
	Acks     []Ack
	Origins  []Origin
	Blocks   []Block
	Sessions []Session
	Accounts []Account
	Attempts []Attempt
	Secret   []byte // replaces the server's secret; nil leaves it
}

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool {
	return len(b.Messages)+len(b.Acks)+len(b.Origins)+len(b.Blocks)+len(b.Sessions)+
		len(b.Accounts)+len(b.Attempts)+len(b.Secret) == 0
}

// A State is what a store holds beside the messages.
type State struct {
	LastSeq  uint64 // the highest Seq ever written
	Origins  []Origin
	Blocks   []Block
	Sessions []Session
	Accounts []Account
	Attempts []Attempt
	Secret   []byte // at most 64 octets; nil if none was ever written
}
