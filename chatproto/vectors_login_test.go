package chatproto_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// A hashVector is what a login by SCRAM binds itself to.
type hashVector struct {
	HELO string `json:"helo"`
	Line string `json:"greeting"`
	Hash string `json:"hash"`
}

func TestVectorsHandshake(t *testing.T) {
	var cases []hashVector
	for _, c := range [][2]string{
		{"HELO v=1 acks=1", "220 v=1 mech=SCRAM-SHA-256,PLAIN boot=9c t=1795348800000"},
		{"HELO v=1 acks=1 beat=30000 caps=relay", "220 v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN boot=9c41d07e t=1795348800000 caps=relay"},
		{"HELO v=1,2", "220 v=1 mech=SCRAM-SHA-256 boot=9c t=1 :Welcome"},
	} {
		cases = append(cases, hashVector{c[0], c[1], handshake.Hash([]byte(c[0]), []byte(c[1]))})
	}
	vectors(t, "handshake.json", "The hash of HELO and 220 that a SCRAM client's nonce ends with (SPEC section 9.2).", cases)
}

// A scramVector is one login, and what each end derives on the way.
type scramVector struct {
	Why        string `json:"why"`
	User       string `json:"user"`
	Password   string `json:"password"`
	Prepared   string `json:"prepared"` // by PRECIS OpaqueString
	Salt       string `json:"salt"`     // in hexadecimal, as are the next six
	Binding    string `json:"binding"`
	Salted     string `json:"salted_password"`
	ClientKey  string `json:"client_key"`
	StoredKey  string `json:"stored_key"`
	ServerKey  string `json:"server_key"`
	Iterations int    `json:"iterations"`
	HELO       string `json:"helo,omitempty"`
	Greeting   string `json:"greeting,omitempty"`
	First      string `json:"client_first"`
	Challenge  string `json:"server_first"`
	Final      string `json:"client_final"`
	Signature  string `json:"server_final"`
}

// A scramInput is what a login is made of.
type scramInput struct {
	why, user, password, salt, binding string
	iterations                         int
	helo, greeting                     string
	flag, clientNonce, serverNonce     string // the client's without the hash
}

func (in *scramInput) vector() scramVector {
	prepared := handshake.Password(in.password)
	salted, err := pbkdf2.Key(sha256.New, prepared, []byte(in.salt), in.iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	clientKey, serverKey := hmacOf(salted, "Client Key"), hmacOf(salted, "Server Key")
	stored := sha256.Sum256(clientKey)
	nonce := in.clientNonce
	if in.helo != "" {
		nonce += handshake.Hash([]byte(in.helo), []byte(in.greeting))
	}
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(in.user) + ",r=" + nonce
	header := in.flag + ",,"
	first := fmt.Sprintf("r=%s,s=%s,i=%d", nonce+in.serverNonce, base64.StdEncoding.EncodeToString([]byte(in.salt)), in.iterations)
	unproved := "c=" + base64.StdEncoding.EncodeToString([]byte(header+in.binding)) + ",r=" + nonce + in.serverNonce
	exchange := bare + "," + first + "," + unproved
	proof := hmacOf(stored[:], exchange)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	return scramVector{
		Why: in.why, User: in.user, Password: in.password, Prepared: prepared, Salt: hex.EncodeToString([]byte(in.salt)), Iterations: in.iterations,
		Binding: hex.EncodeToString([]byte(in.binding)), HELO: in.helo, Greeting: in.greeting,
		Salted: hex.EncodeToString(salted), ClientKey: hex.EncodeToString(clientKey), StoredKey: hex.EncodeToString(stored[:]), ServerKey: hex.EncodeToString(serverKey),
		First: header + bare, Challenge: first, Final: unproved + ",p=" + base64.StdEncoding.EncodeToString(proof),
		Signature: "v=" + base64.StdEncoding.EncodeToString(hmacOf(serverKey, exchange)),
	}
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// rfc7677 is the example of RFC 7677, section 3, whose nonces are not as this
// protocol wants them.
var rfc7677 = scramInput{
	why: "the example of RFC 7677 (its nonces are shorter than this protocol's)", user: "user", password: "pencil",
	salt: "[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81", iterations: 4096, flag: "n",
	clientNonce: "rOprNGfwEbeRWgbNEkqO", serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
}

func TestVectorsSCRAM(t *testing.T) {
	const (
		helo     = "HELO v=1 acks=1 beat=30000"
		greeting = "220 v=1 mech=SCRAM-SHA-256,PLAIN boot=9c41d07e t=1795348800000"
		tls      = "220 v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN boot=9c41d07e t=1795348800000"
		noPlus   = "220 v=1 mech=SCRAM-SHA-256 boot=9c41d07e t=1795348800000"
		c, s     = "AAECAwQFBgcICQoLDA0ODxAR", "EhMUFRYXGBkaGxwdHh8gISIj"
		salt     = "0123456789abcdef"
	)
	binding := strings.Repeat("\xa5", 16) + strings.Repeat("\x5a", 16)
	inputs := []scramInput{rfc7677,
		{why: "without TLS", user: "columbia", password: "116bway", salt: salt, iterations: 4096, helo: helo, greeting: greeting, flag: "n", clientNonce: c, serverNonce: s},
		{why: "with the binding of TLS", user: "columbia", password: "116bway", salt: salt, binding: binding, iterations: 15000, helo: helo, greeting: tls, flag: "p=tls-exporter", clientNonce: c, serverNonce: s},
		{why: "a client that could bind and was not offered to", user: "columbia", password: "116bway", salt: salt, iterations: 4096, helo: helo, greeting: noPlus, flag: "y", clientNonce: c, serverNonce: s},
		{why: "a name with a comma and an equals sign", user: "a,b=c", password: "secret", salt: salt, iterations: 4096, helo: helo, greeting: greeting, flag: "n", clientNonce: c, serverNonce: s},
		{why: "a password that is prepared: a letter and its accent become one, every kind of space a plain one", user: "columbia", password: "cafe\u0301\u3000noir", salt: salt, iterations: 4096, helo: helo, greeting: greeting, flag: "n", clientNonce: c, serverNonce: s},
		{why: "the most iterations that a client takes", user: "columbia", password: "116bway", salt: salt, iterations: 600_000, helo: helo, greeting: greeting, flag: "n", clientNonce: c, serverNonce: s},
	}
	var cases []scramVector
	for _, in := range inputs {
		cases = append(cases, in.vector())
	}
	if cases[0].Final != "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=" ||
		cases[0].Signature != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("the example of RFC 7677 is %q, %q", cases[0].Final, cases[0].Signature)
	}
	vectors(t, "scram.json", "Logins by SCRAM-SHA-256 with fixed nonces (SPEC section 9.2; RFC 5802 and 7677).", cases)
}

// A keyVector is what a client's identity leads to.
type keyVector struct {
	Why       string `json:"why"`
	Seed      string `json:"seed"` // of Ed25519 (RFC 8032), in hexadecimal
	Key       string `json:"key"`
	User      string `json:"user"`
	Binding   string `json:"binding"`
	Signed    string `json:"signed"`
	Signature string `json:"sig"`
	Other     string `json:"other"` // another key
	Safety    string `json:"safety_number"`
}

func TestVectorsKeys(t *testing.T) {
	var cases []keyVector
	seeds := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	for i, c := range []struct {
		why, user string
		binding   handshake.Binding
	}{
		{"with TLS", "columbia", handshake.TLSBinding(bytes.Repeat([]byte{0xa5}, 32))},
		{"without TLS", "google", handshake.CleartextBinding("9c41d07e", 0x1f2e)},
	} {
		key := ed25519.NewKeyFromSeed(seeds[i])
		public := key.Public().(ed25519.PublicKey)
		other := ed25519.NewKeyFromSeed(seeds[1-i]).Public().(ed25519.PublicKey)
		v := keyVector{Why: c.why, Seed: hex.EncodeToString(seeds[i]), Key: handshake.FormatKey(public), User: c.user, Binding: string(c.binding),
			Signed:    "parley LSTN 1\n" + string(c.binding) + "\n" + c.user + "\n" + handshake.FormatKey(public),
			Signature: c.binding.Sign(c.user, key), Other: handshake.FormatKey(other), Safety: handshake.SafetyNumber(public, other)}
		if sig, _ := base64.StdEncoding.DecodeString(v.Signature); !ed25519.Verify(public, []byte(v.Signed), sig) {
			t.Errorf("%s: the signature is not of what is said to be signed", c.why)
		}
		cases = append(cases, v)
	}
	vectors(t, "keys.json", "Keys of clients: the proof in LSTN (SPEC section 4.6) and safety numbers (section 8.6).", cases)
}
