package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// maxIterations bounds what a server may have a login cost.
const maxIterations = 600_000

// scram logs in by a proof of the password (SPEC section 9.2).
func (b *bench) scram(c *client, offered []string, helo, greeting []byte) error {
	conv, err := b.conversation(c, offered, helo, greeting)
	if err != nil {
		return err
	}
	first, err := conv.Step("")
	if err != nil {
		return err
	}
	err = b.auth(c, chatproto.ReplyChallenge, func(l *chatproto.Line) {
		l.Field("mech", b.o.mech)
		l.Field("user", c.user)
		l.Origin("origin", c.origin)
		l.Field("data", first)
	})
	if err != nil {
		return err
	}
	challenge := c.in.Value("data")
	if n := iterations(challenge); n > maxIterations {
		return fmt.Errorf("the server wants %d iterations, which is more than %d", n, maxIterations)
	}
	final, err := conv.Step(challenge)
	if err != nil {
		return fmt.Errorf("SCRAM: %w", err)
	}
	err = b.auth(c, chatproto.ReplyWelcome, func(l *chatproto.Line) { l.Field("data", final) })
	if err != nil {
		return err
	}
	if _, err := conv.Step(c.in.Value("data")); err != nil || !conv.Valid() {
		return errors.Join(broken("the server did not prove to %s that it knows the password", c.user), err)
	}
	return nil
}

// conversation begins one. The nonce carries the hash of what was said before.
func (b *bench) conversation(c *client, offered []string, helo, greeting []byte) (*scram.ClientConversation, error) {
	b.mu.Lock()
	keys := b.keys[c.user]
	b.mu.Unlock()
	if keys == nil {
		var err error
		if keys, err = scram.SHA256.NewClientUnprepped(c.user, handshake.Password(b.o.password), ""); err != nil {
			return nil, err
		}
		b.mu.Lock()
		b.keys[c.user] = keys
		b.mu.Unlock()
	}
	random := make([]byte, 18)
	rand.Read(random)
	nonce := base64.StdEncoding.EncodeToString(random) + handshake.Hash(helo, greeting)
	keys.WithNonceGenerator(func() string { return nonce })
	secure, ok := c.nc.(*tls.Conn)
	switch {
	case b.o.mech == scramPlus && ok:
		state := secure.ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			return nil, err
		}
		return keys.NewConversationWithChannelBinding(binding), nil
	case ok && !slices.Contains(offered, scramPlus):
		return keys.NewConversationAdvertisingChannelBinding(), nil
	}
	return keys.NewConversation(), nil
}

var iterationsField = regexp.MustCompile(`,i=([0-9]{1,9})`)

// iterations finds i= in the server's first message; 0 if there is none.
func iterations(challenge string) int {
	m := iterationsField.FindStringSubmatch(challenge)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
