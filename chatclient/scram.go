package chatclient

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// Limits of what a server may ask of a password (SPEC section 9.2): fewer
// iterations would make it cheap to try passwords against a proof, more would
// keep this machine busy.
const (
	minIterations = 4096
	maxIterations = 600_000
)

// scramKeys are the keys that were derived from a password, for the next
// login: it costs what trying a password shall cost.
type scramKeys struct {
	user, password string
	client         *scram.Client
	factors        map[string]bool // salts and iterations that it has derived keys of
}

// maxFactors is of how many salts and iterations keys are kept.
const maxFactors = 4

// of returns the client that derives and keeps the keys of a password.
func (k *scramKeys) of(user, password string) (*scram.Client, error) {
	if k.client != nil && k.user == user && k.password == password && len(k.factors) <= maxFactors {
		return k.client, nil
	}
	client, err := scram.SHA256.NewClientUnprepped(user, handshake.Password(password), "")
	if err != nil {
		return nil, err
	}
	*k = scramKeys{user, password, client.WithMinIterations(minIterations), make(map[string]bool)}
	return k.client, nil
}

// scramLogin proves the password without telling it (RFC 5802, RFC 7677; SPEC
// section 9.2), and lets the server prove that it knows the account.
type scramLogin struct {
	mech  string
	conv  *scram.ClientConversation // nil once anything was wrong
	keys  *scramKeys
	first string
	nonce string
	final bool // the proof was sent
}

// newScramLogin begins a login on a connection, bound to it if plus.
func newScramLogin(cn *conn, keys *scramKeys, mech, user, password string) (*scramLogin, error) {
	client, err := keys.of(user, password)
	if err != nil {
		return nil, err
	}
	s := &scramLogin{mech: mech, keys: keys}
	var random [18]byte
	rand.Read(random[:])
	s.nonce = base64.StdEncoding.EncodeToString(random[:]) + handshake.Hash(cn.helo, cn.greeting)
	client.WithNonceGenerator(func() string { return s.nonce })
	flag := "n"
	switch {
	case mech == mechScramPlus:
		binding, err := cn.server.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32) // RFC 9266
		if err != nil || len(binding) != 32 {
			return nil, fmt.Errorf("chatclient: the login cannot be bound to the connection: %w", err)
		}
		flag = "p=tls-exporter"
		s.conv = client.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: binding})
	case cn.server.tls != nil:
		flag = "y"
		s.conv = client.NewConversationAdvertisingChannelBinding()
	default:
		s.conv = client.NewConversation()
	}
	if s.first, err = s.conv.Step(""); err != nil {
		return nil, err
	}
	// What is not bound must not pass for what is.
	if !strings.HasPrefix(s.first, flag+",,n=") {
		return nil, fmt.Errorf("chatclient: a SCRAM message does not begin with %s", flag)
	}
	return s, nil
}

func (s *scramLogin) name() string            { return s.mech }
func (s *scramLogin) start(l *chatproto.Line) { l.Field("data", s.first) }

// next checks the server's challenge and answers it with the proof. Nothing
// is derived from the password for a challenge that is wrong.
func (s *scramLogin) next(data []byte) (string, error) {
	if s.conv == nil || s.final {
		return "", s.fail("it asks for a step too many")
	}
	challenge := string(data)
	nonce, rest, _ := strings.Cut(challenge, ",")
	salt, iterations, _ := strings.Cut(rest, ",")
	nonce, okNonce := strings.CutPrefix(nonce, "r=")
	salt, okSalt := strings.CutPrefix(salt, "s=")
	iterations, okIterations := strings.CutPrefix(iterations, "i=")
	n, isNumber := chatproto.ParseUint([]byte(iterations))
	octets, err := base64.StdEncoding.Strict().DecodeString(salt)
	switch {
	case !okNonce || !okSalt || !okIterations || !isNumber || err != nil || len(octets) == 0:
		return "", s.fail("its challenge is no SCRAM message")
	case len(nonce) <= len(s.nonce) || nonce[:len(s.nonce)] != s.nonce:
		return "", s.fail("its challenge belongs to another login")
	case n < minIterations:
		return "", s.fail(fmt.Sprintf("it wants the password hashed %d times only; whoever sees the proof could try passwords fast", n))
	case n > maxIterations:
		return "", s.fail(fmt.Sprintf("it wants the password hashed %d times, which is too much work", n))
	}
	s.keys.factors[rest] = true
	proof, err := s.conv.Step(challenge)
	if err != nil {
		return "", s.fail(err.Error())
	}
	s.final = true
	return proof, nil
}

// done checks that the server knows what the proof was made of.
func (s *scramLogin) done(data []byte) error {
	if s.conv == nil || !s.final {
		return s.fail("it accepts a login that was not completed")
	}
	if rest, err := s.conv.Step(string(data)); err != nil || rest != "" || !s.conv.Valid() {
		return s.fail("its signature is missing or wrong")
	}
	return nil
}

// fail ends the login.
func (s *scramLogin) fail(why string) error {
	s.conv = nil
	return fmt.Errorf("%w: %s", ErrServerProof, why)
}
