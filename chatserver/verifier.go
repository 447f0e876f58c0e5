package chatserver

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// DefaultIterations is how often a password is hashed into the keys that
// verify it, where nothing else says so. It is what a core of 2026 does in 3
// to 4 ms: for the owner, whose client does it once, nothing; for who stole
// the verifiers and tries passwords by the million, 15,000 times the work. It
// is no more than that because a server that is given passwords (PLAIN, or
// lines of a credentials file without a verifier) does it, too, and whoever
// may connect can ask it to.
const DefaultIterations = 15_000

// The iterations that a client takes (SPEC section 9.2), and the sizes of a
// salt.
const (
	minIterations = 4096
	maxIterations = 600_000
	saltSize      = 16
	maxSaltSize   = 64
)

// A Verifier is what a server keeps of a password: enough to recognize it, not
// enough to log in with (RFC 5802, with SHA-256). It is not changed once it is
// made.
type Verifier struct {
	Salt       []byte // 1 to 64 octets
	Iterations int    // 4,096 to 600,000
	StoredKey  []byte // 32 octets
	ServerKey  []byte // 32 octets
}

// NewVerifier makes the verifier of a password, with a salt of its own and
// [DefaultIterations]. The password is prepared by [handshake.Password]. An
// empty one, or one that is not UTF-8, is an error.
func NewVerifier(password string) (*Verifier, error) {
	return newVerifier(password, DefaultIterations)
}

func newVerifier(password string, iterations int) (*Verifier, error) {
	if password == "" {
		return nil, errors.New("chatserver: a password must not be empty")
	}
	if !utf8.ValidString(password) {
		return nil, errors.New("chatserver: a password must be UTF-8")
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return deriveVerifier(password, salt, iterations)
}

// deriveVerifier is what costs the time.
func deriveVerifier(password string, salt []byte, iterations int) (*Verifier, error) {
	c, err := scram.SHA256.NewClientUnprepped("", handshake.Password(password), "")
	if err != nil {
		return nil, err
	}
	keys, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return nil, err
	}
	return &Verifier{Salt: salt, Iterations: iterations, StoredKey: keys.StoredKey, ServerKey: keys.ServerKey}, nil
}

// Check reports whether password is the one that v was made of. It takes the
// time of one derivation, whatever the password.
func (v *Verifier) Check(password string) bool {
	return v.check(password, deriveVerifier)
}

func (v *Verifier) check(password string, derive deriveFunc) bool {
	got, err := derive(password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey, v.StoredKey) == 1
}

// equal reports whether both are of the same password and salt.
func (v *Verifier) equal(w *Verifier) bool {
	return v.Iterations == w.Iterations && bytes.Equal(v.Salt, w.Salt) && subtle.ConstantTimeCompare(v.StoredKey, w.StoredKey) == 1 &&
		subtle.ConstantTimeCompare(v.ServerKey, w.ServerKey) == 1
}

// A deriveFunc is deriveVerifier, or what counts its calls.
type deriveFunc func(password string, salt []byte, iterations int) (*Verifier, error)

// verifierPrefix is how the text form of a verifier begins.
const verifierPrefix = "SCRAM-SHA-256$"

// String returns v as text, in the form that PostgreSQL has made known:
//
//	SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>
//
// with base64. It is no password, but it is a secret: it lets anybody try
// passwords on a machine of their own.
func (v *Verifier) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return verifierPrefix + strconv.Itoa(v.Iterations) + ":" + b64(v.Salt) + "$" + b64(v.StoredKey) + ":" + b64(v.ServerKey)
}

// ParseVerifier reads what [Verifier.String] writes, and nothing else. The
// error names what is wrong and never the keys.
func ParseVerifier(s string) (*Verifier, error) {
	rest, ok := strings.CutPrefix(s, verifierPrefix)
	head, keys, ok2 := strings.Cut(rest, "$")
	iterations, salt, ok3 := strings.Cut(head, ":")
	stored, server, ok4 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 || !ok4 {
		return nil, errors.New("a verifier has the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")
	}
	n, err := strconv.Atoi(iterations)
	if err != nil {
		return nil, errors.New("the iterations of a verifier are a number")
	}
	v := &Verifier{Iterations: n}
	for _, part := range []struct {
		to   *[]byte
		text string
	}{{&v.Salt, salt}, {&v.StoredKey, stored}, {&v.ServerKey, server}} {
		if *part.to, err = base64.StdEncoding.Strict().DecodeString(part.text); err != nil {
			return nil, errors.New("salt and keys of a verifier are base64")
		}
	}
	if err := v.valid(); err != nil {
		return nil, err
	}
	if v.String() != s { // an end of line within base64, a sign before a number
		return nil, errors.New("a verifier is written without anything that could be left out")
	}
	return v, nil
}

// valid reports what is wrong with a verifier that somebody else made.
func (v *Verifier) valid() error {
	switch {
	case v.Iterations < minIterations || v.Iterations > maxIterations:
		return fmt.Errorf("a verifier has %d to %d iterations, not %d", minIterations, maxIterations, v.Iterations)
	case len(v.Salt) == 0 || len(v.Salt) > maxSaltSize:
		return fmt.Errorf("the salt of a verifier has 1 to %d octets, not %d", maxSaltSize, len(v.Salt))
	case len(v.StoredKey) != sha256.Size || len(v.ServerKey) != sha256.Size:
		return fmt.Errorf("the keys of a verifier have %d octets", sha256.Size)
	}
	return nil
}
