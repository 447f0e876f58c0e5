package handshake

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// PeerALPN is the name of private lines in the handshake of TLS (SPEC section
// 8.4).
const PeerALPN = "parley-peer/1"

const keyPrefix = "ed25519:"

// FormatKey returns the wire form of the key by which clients know each other
// (SPEC section 3.4): "ed25519:" and 64 hexadecimal digits.
func FormatKey(key ed25519.PublicKey) string { return keyPrefix + hex.EncodeToString(key) }

// ErrKey says that a text is not the wire form of a key.
var ErrKey = errors.New("handshake: a key is ed25519: and 64 hexadecimal digits in small letters")

// ParseKey reads what FormatKey wrote, and nothing else.
func ParseKey(s string) (ed25519.PublicKey, error) {
	digits, ok := strings.CutPrefix(s, keyPrefix)
	key, err := hex.DecodeString(digits)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize || FormatKey(key) != s {
		return nil, ErrKey
	}
	return key, nil
}

// A Binding names one connection to a server, the same at both of its ends.
type Binding string

// TLSBinding is that of a connection with TLS: of its channel binding
// tls-exporter (RFC 9266), it tells connections apart also where somebody
// stands between.
func TLSBinding(exported []byte) Binding {
	return Binding("tls-exporter:" + base64.StdEncoding.EncodeToString(exported))
}

// CleartextBinding is that of a connection without TLS: of the boot= of the
// server and the origin= of the login.
func CleartextBinding(boot string, origin uint64) Binding {
	return Binding("cleartext:" + boot + ":" + strconv.FormatUint(origin, 16))
}

// signed is what LSTN sig= signs.
func (b Binding) signed(user string, key ed25519.PublicKey) []byte {
	return []byte("parley LSTN 1\n" + string(b) + "\n" + user + "\n" + FormatKey(key))
}

// Sign returns LSTN sig=: the proof that user has this key, on this
// connection and no other (SPEC section 4.6).
func (b Binding) Sign(user string, key ed25519.PrivateKey) string {
	public := key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, b.signed(user, public)))
}

// Verify reports whether sig is what Sign returned.
func (b Binding) Verify(user string, key ed25519.PublicKey, sig string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(sig)
	return err == nil && len(sig) == base64.StdEncoding.EncodedLen(ed25519.SignatureSize) && len(raw) == ed25519.SignatureSize &&
		ed25519.Verify(key, b.signed(user, key), raw)
}

// safetyGroups groups of five digits are a safety number: 199 bits.
const safetyGroups = 12

// SafetyNumber returns what two people compare to be sure that nobody stands
// between them: twelve groups of five digits, the same whichever key is named
// first (SPEC section 8.6).
func SafetyNumber(a, b ed25519.PublicKey) string {
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	h := sha512.New()
	h.Write([]byte("parley safety number 1\n"))
	h.Write(a)
	h.Write(b)
	sum := h.Sum(nil)
	groups := make([]string, safetyGroups)
	for i := range groups {
		word := append([]byte{0, 0, 0}, sum[5*i:5*i+5]...)
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(word)%100_000)
	}
	return strings.Join(groups, " ")
}
