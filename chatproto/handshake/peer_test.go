package handshake_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// key returns the key whose seed is one octet 32 times over.
func key(octet byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{octet}, ed25519.SeedSize))
}

func public(octet byte) ed25519.PublicKey { return key(octet).Public().(ed25519.PublicKey) }

// The vectors of SPEC section 8.6: whoever implements it compares with these.
func ExampleSafetyNumber() {
	a, b := public(1), public(2)
	fmt.Println(handshake.FormatKey(a))
	fmt.Println(handshake.FormatKey(b))
	fmt.Println(handshake.SafetyNumber(a, b))
	fmt.Println(handshake.SafetyNumber(b, a) == handshake.SafetyNumber(a, b))
	// Output:
	// ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
	// ed25519:8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
	// 91683 91455 21779 02558 19346 70886 21085 20093 12890 01251 18002 42786
	// true
}

func ExampleBinding_Sign() {
	b := handshake.CleartextBinding("9c41d07e", 0x1f2e9a)
	sig := b.Sign("columbia", key(1))
	fmt.Println(sig)
	fmt.Println(b.Verify("columbia", public(1), sig))
	// Output:
	// 1tx7FTH8TL3GJfQB+L5KvXn0lIe1N3iaN1LvGQEP1IiK/AQFPGh10FAERv+b1LItse6LV7FJS0ZSEf8BZoMiDA==
	// true
}

func TestSafetyNumberTellsKeysApart(t *testing.T) {
	seen := map[string]bool{}
	for i := range byte(20) {
		for j := range i {
			n := handshake.SafetyNumber(public(i), public(j))
			if seen[n] || len(n) != 12*5+11 || strings.Trim(n, "0123456789 ") != "" {
				t.Errorf("%d %d: %q", i, j, n)
			}
			seen[n] = true
		}
	}
}

// A proof is of one user, one key, one connection.
func TestVerify(t *testing.T) {
	b := handshake.TLSBinding([]byte("what TLS exported, 32 octets ...."))
	sig := b.Sign("A", key(1))
	for _, test := range []struct {
		why  string
		b    handshake.Binding
		user string
		key  byte
		sig  string
		want bool
	}{
		{"as it was signed", b, "A", 1, sig, true},
		{"another connection", handshake.TLSBinding([]byte("x")), "A", 1, sig, false},
		{"without TLS", handshake.CleartextBinding("9c", 1), "A", 1, sig, false},
		{"another user", b, "B", 1, sig, false},
		{"another key", b, "A", 2, sig, false},
		{"somebody else's signature", b, "A", 1, b.Sign("A", key(2)), false},
		{"empty", b, "A", 1, "", false},
		{"cut short", b, "A", 1, sig[:84], false},
		{"no base64", b, "A", 1, "=" + sig[1:], false},
		{"with a line end", b, "A", 1, sig + "\n", false},
	} {
		if got := test.b.Verify(test.user, public(test.key), test.sig); got != test.want {
			t.Errorf("%s: %v", test.why, got)
		}
	}
}

func TestParseKey(t *testing.T) {
	good := handshake.FormatKey(public(1))
	if k, err := handshake.ParseKey(good); err != nil || !k.Equal(public(1)) {
		t.Error(err)
	}
	for _, bad := range []string{"", good[8:], good[:71], good + "0", strings.ToUpper(good), "ed25519:" + strings.ToUpper(good[8:]), "sha256:" + good[8:], "ed25519:" + strings.Repeat("g", 64)} {
		if _, err := handshake.ParseKey(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
