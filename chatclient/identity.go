package chatclient

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"runtime"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// An Identity is the Ed25519 key by which other clients know this one in
// private chats (SPEC section 8.6). It may be shared by any number of
// Clients, of one user or of several.
type Identity struct {
	key  ed25519.PrivateKey
	cert tls.Certificate
}

// pemType is the type of the block in an identity's file: PKCS #8.
const pemType = "PRIVATE KEY"

// ErrIdentityMode says that others can read the file of an identity.
var ErrIdentityMode = errors.New("chatclient: others can read this identity; make it the user's alone (chmod 600)")

// OpenIdentity reads the identity in the file at path, or makes a new one and
// writes it there, readable by its user alone. The folder must exist. Programs
// that come first at the same time get the same one. It does not repair a
// damaged file, nor read one that others can read ([ErrIdentityMode]).
func OpenIdentity(path string) (*Identity, error) {
	id, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := writeIdentity(path, key); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("chatclient: cannot keep a new identity: %w", err)
	}
	return readIdentity(path)
}

func readIdentity(path string) (*Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: %w", path, ErrIdentityMode)
	}
	raw, err := io.ReadAll(io.LimitReader(f, 1<<12)) // an identity has less than 200 octets
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("chatclient: %s: not a PEM file with a %s", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("chatclient: %s: not an Ed25519 key (%v)", path, err)
	}
	return NewIdentity(key)
}

// writeIdentity writes the file whole or not at all, and never over another.
func writeIdentity(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeWhole(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), os.Link)
}

// NewIdentity makes an identity of a key that the application keeps, or of a
// new one if key is nil.
func NewIdentity(key ed25519.PrivateKey) (*Identity, error) {
	if key == nil {
		var err error
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("chatclient: an identity is an Ed25519 key")
	}
	// Nothing but the key in a certificate counts (SPEC section 8.4).
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<37, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Identity{key: key, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// Key returns the public key in the form of the protocol: "ed25519:" and 64
// hexadecimal digits.
func (id *Identity) Key() string { return handshake.FormatKey(id.key.Public().(ed25519.PublicKey)) }
