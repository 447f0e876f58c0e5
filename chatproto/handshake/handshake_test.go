package handshake_test

import (
	"fmt"

	"github.com/parleyproto/parley/chatproto/handshake"
)

func ExampleHash() {
	helo, greeting := "HELO v=1 acks=1", "220 v=1 mech=SCRAM-SHA-256,PLAIN boot=9c t=1795348800000"
	fmt.Println(handshake.Hash([]byte(helo), []byte(greeting)))
	// Output: /FfmZHOIimqXugfbkslWzpNF9GCPeshtj2L96vcu0lg=
}

func ExampleFingerprint() {
	fmt.Println(handshake.Fingerprint([]byte("a SubjectPublicKeyInfo")))
	// Output: sha256:c0ddc8976c04a4923bf2d412b797f74b2bb76deb13a755df3a96ed55682c49b6
}
