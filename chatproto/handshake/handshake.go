// Package handshake has what a client and a server both compute when they
// prove to each other who they are (SPEC section 9). It stands beside
// chatproto because it needs cryptography, and chatproto nothing.
package handshake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// ALPN is the protocol's name in the handshake of TLS (SPEC section 9.1).
const ALPN = "parley/1"

// Fingerprint returns what a person compares a key by: "sha256:" and 64
// hexadecimal digits, of the key's SubjectPublicKeyInfo in DER
// (x509.Certificate.RawSubjectPublicKeyInfo).
func Fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Hash is what a SCRAM client appends to the random part of its
// nonce, so that its proof covers what was said before it: the base64 of the
// SHA-256 of the HELO and the 220 line as they were on the wire, joined by LF,
// without their own ends (SPEC section 9.2).
func Hash(helo, greeting []byte) string {
	h := sha256.New()
	h.Write(helo)
	h.Write([]byte{'\n'})
	h.Write(greeting)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
