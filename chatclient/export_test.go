package chatclient

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/parleyproto/parley/chatclient/internal/journal"
	"github.com/parleyproto/parley/chatproto"
)

// PeerNetwork replaces the network of private lines.
func (cfg *Config) PeerNetwork(listen func(network, address string) (net.Listener, error), dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	cfg.peerNet = peerNetwork{listen, dial}
}

// Certificate is what the identity shows in TLS.
func (id *Identity) Certificate() tls.Certificate { return id.cert }

// Keys returns what keeps the keys derived from the password, and of how many
// salts it does.
func (c *Client) Keys() (keeper any, salts int) { return c.keys.client, len(c.keys.factors) }

// OpenStateFileOn is OpenStateFile on another file system.
func OpenStateFileOn(fs journal.FS, path string) (*StateFile, error) { return openStateFile(fs, path) }

// Mutate leaves rules out.
func (s *StateFile) Mutate(sendUnsynced, ackUnsynced, privateUnsynced bool) {
	s.mutant = mutant{sendUnsynced, ackUnsynced, privateUnsynced}
}

// Left is how many messages the file keeps.
func (s *StateFile) Left() int { return len(s.img.letters) }

// Fresh reports whether a message was not taken.
func (s *StateFile) Fresh(from string, id chatproto.ID) bool { return s.fresh(from, id) }

// Slept lets the machine have slept while the client is away.
func (c *Client) Slept(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partedOn = c.partedOn.Add(-d)
}

// A Conversation is a login by SCRAM without a connection.
type Conversation struct {
	s     *scramLogin
	First string
}

// NewConversation begins a login.
func NewConversation(user, password string) (*Conversation, error) {
	s, err := newScramLogin(&conn{}, new(scramKeys), mechScram, user, password)
	if err != nil {
		return nil, err
	}
	return &Conversation{s, s.first}, nil
}

// Next takes a challenge, Done the server's last word.
func (c *Conversation) Next(challenge string) (string, error) { return c.s.next([]byte(challenge)) }
func (c *Conversation) Done(signature string) error           { return c.s.done([]byte(signature)) }
