package chatclient

import "github.com/parleyproto/parley/chatproto"

// A How says which of the two promises of an accepted message holds.
type How uint8

// The promises.
const (
	Stored    How = iota // on the server's stable storage
	Delivered            // taken by the recipient's client
)

func (h How) String() string {
	if h == Delivered {
		return "delivered"
	}
	return "stored"
}

// A Receipt is the answer to an accepted message.
type Receipt struct {
	ID      chatproto.ID // the message's; the recipient reads the same
	How     How
	Skipped int // of a broadcast: users whose full mailbox it did not fit in
}
