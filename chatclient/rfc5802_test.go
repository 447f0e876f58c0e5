package chatclient_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// A verifier is what a server knows of a password, and its side of a login by
// SCRAM-SHA-256: written down from RFC 5802 and RFC 7677, without the library
// that the client uses.
type verifier struct {
	salt                 []byte
	iterations           int
	storedKey, serverKey []byte

	// Of one login.
	header, nonce string // the GS2 header; the client's nonce
	user          string
	said          string // client-first-bare, server-first
}

func newVerifier(password string, salt string, iterations int) *verifier {
	salted, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	return &verifier{salt: []byte(salt), iterations: iterations, storedKey: stored[:], serverKey: sign(salted, "Server Key")}
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// first takes the client's first message.
func (v *verifier) first(message string) error {
	parts := strings.SplitN(message, ",", 3)
	if len(parts) != 3 {
		return fmt.Errorf("no GS2 header in %q", message)
	}
	user, nonce, ok := strings.Cut(parts[2], ",r=")
	if !ok || !strings.HasPrefix(user, "n=") || parts[1] != "" || strings.Contains(nonce, ",") {
		return fmt.Errorf("%q is no first message", message)
	}
	v.header, v.nonce, v.said = parts[0]+",,", nonce, parts[2]
	v.user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user[2:])
	return nil
}

// challenge answers it.
func (v *verifier) challenge(nonce string) string {
	s := fmt.Sprintf("r=%s%s,s=%s,i=%d", v.nonce, nonce, b64(v.salt), v.iterations)
	v.nonce += nonce
	v.said += "," + s
	return s
}

// final checks the client's proof, made on a connection with this binding,
// and returns the server's.
func (v *verifier) final(message string, binding []byte) (signature string, ok bool) {
	without, proof, _ := strings.Cut(message, ",p=")
	want := "c=" + b64(append([]byte(v.header), binding...)) + ",r=" + v.nonce
	key, err := base64.StdEncoding.DecodeString(proof)
	if without != want || err != nil || len(key) != sha256.Size {
		return "", false
	}
	all := v.said + "," + without
	subtle.XORBytes(key, key, sign(v.storedKey, all))
	stored := sha256.Sum256(key)
	return "v=" + b64(sign(v.serverKey, all)), hmac.Equal(stored[:], v.storedKey)
}

// The example of RFC 7677, section 3.
func TestVerifier(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v := newVerifier("pencil", string(salt), 4096)
	if err := v.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"); err != nil || v.user != "user" {
		t.Error(v.user, err)
	}
	if got, want := v.challenge("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; got != want {
		t.Error(got)
	}
	got, ok := v.final("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", nil)
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; got != want || !ok {
		t.Error(got, ok)
	}
	if _, ok := v.final("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=", nil); ok {
		t.Error("a wrong proof is taken")
	}
}
