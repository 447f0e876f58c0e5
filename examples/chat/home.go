package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/parleyproto/parley/chatclient"
)

// A home is the folder for what chat remembers of others, and its own key.
type home struct{ dir string }

// homeOf returns the folder that a flag names, or the user's. It is made when
// there is something to keep.
func homeOf(config string) (home, error) {
	if config != "" {
		return home{config}, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return home{}, err
	}
	return home{filepath.Join(dir, "parley")}, nil
}

// The files in a home.
func (h home) servers() chatclient.PinFile { return chatclient.PinFile(h.file("known_servers")) }
func (h home) peers() chatclient.PeerFile  { return chatclient.PeerFile(h.file("known_users")) }
func (h home) identity() string            { return h.file("identity") }
func (h home) file(name string) string     { return filepath.Join(h.dir, name) }

// openHome fills in what of cfg is kept in the home. Where there can be none
// of the user's, as for a program without a home folder or on a file system
// that cannot be written, it says why in missing, and what is learned lasts
// until the end of the program. A home that a flag names must be.
func openHome(config string, cfg *chatclient.Config) (missing, err error) {
	h, err := homeOf(config)
	if err != nil {
		return err, nil
	}
	cfg.Pins, cfg.Peers = h.servers(), h.peers()
	err = os.MkdirAll(h.dir, 0o700)
	_, first := os.Stat(h.identity())
	if err == nil {
		cfg.Identity, err = chatclient.OpenIdentity(h.identity())
	}
	switch {
	case err == nil:
		return nil, nil
	case config == "" && first != nil:
		return err, nil
	}
	return nil, fmt.Errorf("the key for private chats cannot be had: %s", strings.TrimPrefix(err.Error(), "chatclient: "))
}

// forget forgets a server.
func forget(o *options) (string, error) {
	h, err := homeOf(o.home)
	if err != nil {
		return "", err
	}
	found, err := h.servers().Forget(o.addr)
	switch {
	case err != nil:
		return "", err
	case !found:
		return fmt.Sprintf("There is nothing about %s in %s.", chatclient.Display(o.addr), h.servers()), nil
	}
	return fmt.Sprintf("%s is forgotten. The next start gets to know it anew.", chatclient.Display(o.addr)), nil
}
