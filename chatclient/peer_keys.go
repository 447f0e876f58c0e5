package chatclient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// PeerKeys keeps the keys of the users with whom there was a private line, so
// that another key is noticed. [PeerFile] is one.
type PeerKeys interface {
	// Load returns the keys of a server's users, by user. It is called once,
	// by Dial. server is Config.Addr.
	Load(server string) (map[string]string, error)
	// Save keeps the key of one user, instead of an earlier one. It may be
	// called by any goroutine, one call at a time for each Client.
	Save(server, user, key string) error
}

// A PeerFile keeps [PeerKeys] in a text file of this name, a line each:
// server, user and key, with spaces between them. To forget a user, remove
// their line; a line that cannot be read is an error, so that no key is
// forgotten by accident. The file and its folder are made when there is
// something to keep, with modes 0600 and 0700. It is replaced as a whole,
// under the same kind of lock as a [PinFile]: any number of programs may share
// it.
type PeerFile string

// Load returns the keys of a server's users.
func (f PeerFile) Load(server string) (map[string]string, error) {
	all, err := f.read()
	if err != nil {
		return nil, err
	}
	keys := make(map[string]string)
	for at, key := range all {
		if at[0] == fileName(server) {
			keys[at[1]] = key
		}
	}
	return keys, nil
}

// read returns all keys, by server and user.
func (f PeerFile) read() (map[[2]string]string, error) {
	raw, err := os.ReadFile(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[[2]string]string)
	number := 0
	for line := range strings.Lines(string(raw)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("chatclient: %s:%d: not a server, a user and a key", string(f), number)
		}
		if _, err := handshake.ParseKey(words[2]); err != nil {
			return nil, fmt.Errorf("chatclient: %s:%d: %w", string(f), number, err)
		}
		all[[2]string{words[0], words[1]}] = words[2]
	}
	return all, nil
}

// Save keeps the key of a user.
func (f PeerFile) Save(server, user, key string) error {
	pinFiles.Lock()
	defer pinFiles.Unlock()
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return err
	}
	unlock, err := PinFile(f).lock()
	if err != nil {
		return err
	}
	defer unlock()
	all, err := f.read()
	if err != nil {
		return err
	}
	all[[2]string{fileName(server), user}] = key
	lines := make([]string, 0, len(all))
	for at, key := range all {
		lines = append(lines, at[0]+" "+at[1]+" "+key+"\n")
	}
	slices.Sort(lines)
	return writeWhole(string(f), []byte(strings.Join(lines, "")), os.Rename)
}

// writeWhole writes a file that is its user's alone, whole or not at all; put
// gives it its name.
func writeWhole(path string, content []byte, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".parley-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return put(f.Name(), path)
}

// fileName is how a server is called in the file.
func fileName(server string) string {
	if server == "" {
		return "-"
	}
	return strings.ToLower(strings.Join(strings.Fields(server), "_"))
}

// ErrPeerKeyChanged says that the server names another key for a user than the
// one that was seen before: they have a new identity, or somebody stands
// between. Nothing was sent or given out. It comes as a [*PeerKeyError].
var ErrPeerKeyChanged = errors.New("chatclient: the key of this user has changed")

// A PeerKeyError is ErrPeerKeyChanged with the keys.
type PeerKeyError struct {
	User     string
	Old, New string
}

func (e *PeerKeyError) Error() string {
	return ErrPeerKeyChanged.Error() + ": " + e.User + " had " + e.Old + " and has " + e.New +
		"; compare safety numbers by another way, then accept the new key or do not"
}

func (e *PeerKeyError) Is(target error) bool { return target == ErrPeerKeyChanged }

// ErrPeerUnknown says that no key of a user is known.
var ErrPeerUnknown = errors.New("chatclient: no key of this user is known yet; it comes with a request for a private chat or the consent to one")

// vet reports whether a user may have this key, and tells the application
// loudly if not. mu is held.
func (p *peers) vet(user, key string) bool {
	old := p.known[user]
	if key == "" || old == "" || old == key {
		if p.suspects[user] != "" && key != "" {
			delete(p.suspects, user)
		}
		return true
	}
	if p.suspects[user] == key {
		return false // told
	}
	if _, again := p.suspects[user]; !again && len(p.suspects) >= maxPairs {
		for any := range p.suspects { // they are found again when they matter
			delete(p.suspects, any)
			break
		}
	}
	p.suspects[user] = key
	p.c.cfg.Logger.Warn("the key of a user has changed", slog.String("user", user), slog.String("old", old), slog.String("new", key))
	if call := p.c.cfg.Callbacks.OnPeerKeyChanged; call != nil {
		change := PeerKeyChange{User: user, Old: old, New: key, OldNumber: p.number(old), NewNumber: p.number(key)}
		p.c.events.push(event{key: "key " + user, call: func(ctx context.Context) { call(ctx, change) }})
	}
	return false
}

// suspect returns the error of a user whose key has changed. mu is held.
func (p *peers) suspect(user string) error {
	if key := p.suspects[user]; key != "" {
		return &PeerKeyError{User: user, Old: p.known[user], New: key}
	}
	return nil
}

// remember keeps the key of a user who has proved it on a line.
func (p *peers) remember(user, key string) {
	p.mu.Lock()
	known := p.known[user] != ""
	if !known {
		p.known[user] = key
	}
	p.mu.Unlock()
	if !known {
		if err := p.save(user, key); err != nil {
			p.c.cfg.Logger.Error("cannot keep the key of a user", slog.String("user", user), slog.Any("err", err))
		}
	}
}

func (p *peers) save(user, key string) error {
	if p.c.cfg.Peers == nil {
		return nil
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	return p.c.cfg.Peers.Save(p.c.cfg.Addr, user, key)
}

// AcceptPeerKey accepts the new key of a user, of which OnPeerKeyChanged told,
// and keeps it. Whoever calls it has made sure, by comparing the safety
// number, that it is theirs. Afterwards they ask, or are asked, again.
func (c *Client) AcceptPeerKey(user string) error {
	p := c.peers
	p.mu.Lock()
	key := p.suspects[user]
	if key == "" {
		p.mu.Unlock()
		return fmt.Errorf("chatclient: the key of %s has not changed", user)
	}
	p.known[user] = key
	delete(p.suspects, user)
	p.mu.Unlock()
	return p.save(user, key)
}

// SafetyNumber returns what this user and another compare, in person or by
// telephone, to be sure that nobody stands between their clients: twelve
// groups of five digits, the same at both ends. It is of the key by which the
// server names user now, if that is known, else of the one seen before. It is
// [ErrPeerUnknown] if there is none.
func (c *Client) SafetyNumber(user string) (string, error) {
	if err := chatproto.CheckName(user); err != nil {
		return "", err
	}
	p := c.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range []string{p.suspects[user], p.named[user], p.known[user]} {
		if key != "" {
			return p.number(key), nil
		}
	}
	return "", ErrPeerUnknown
}

func (p *peers) number(key string) string {
	theirs, err := handshake.ParseKey(key)
	ours, err2 := handshake.ParseKey(p.id.Key())
	if err != nil || err2 != nil {
		return ""
	}
	return handshake.SafetyNumber(ours, theirs)
}
