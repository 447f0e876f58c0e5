package conformance

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// readVectors reads a file of test vectors.
func readVectors[T any](t *testing.T, name string) []T {
	t.Helper()
	b, err := os.ReadFile("../testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(file.Cases), err)
	}
	return file.Cases
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The suite's own SCRAM, written apart from that of the programs under test,
// makes the messages of the test vectors.
func TestVectorsOfSCRAM(t *testing.T) {
	for _, v := range readVectors[struct {
		Why, User, Prepared, Salt, Binding, HELO, Greeting string
		Iterations                                         int
		First                                              string `json:"client_first"`
		Challenge                                          string `json:"server_first"`
		Final                                              string `json:"client_final"`
		Signature                                          string `json:"server_final"`
	}](t, "scram.json") {
		if v.HELO == "" {
			continue // the nonces are not this protocol's
		}
		flag, _, _ := strings.Cut(v.First, ",,")
		x := &scramExchange{mech: "SCRAM-SHA-256", user: v.User, password: v.Prepared, flag: flag, binding: unhex(t, v.Binding)}
		_, nonce, _ := strings.Cut(v.First, ",r=")
		if x.nonce = nonce[:24] + handshakeHash(v.HELO, v.Greeting); x.nonce != nonce {
			t.Errorf("%s: the nonce is %s, want %s", v.Why, x.nonce, nonce)
		}
		if line := x.begin(); !strings.HasSuffix(line, " data="+escapeValue(v.First)) {
			t.Errorf("%s: %s, want %s", v.Why, line, v.First)
		}
		h, fault := readLine([]byte("334 data=" + v.Challenge + "\r\n"))
		if fault != "" {
			t.Fatal(fault)
		}
		if err := x.challenge(h); err != nil {
			t.Errorf("%s: %v", v.Why, err)
		}
		if line := x.finish(); line != "AUTH data="+v.Final {
			t.Errorf("%s: %s, want %s", v.Why, line, v.Final)
		}
		h, _ = readLine([]byte("230 data=" + v.Signature + "\r\n"))
		if err := x.verify(h); err != nil {
			t.Errorf("%s: %v", v.Why, err)
		}
		h, _ = readLine([]byte("230 data=v=" + strings.Repeat("A", 43) + "=\r\n"))
		if x.verify(h) == nil {
			t.Errorf("%s: any signature is taken", v.Why)
		}
	}
}

func TestVectorsOfHandshakes(t *testing.T) {
	for _, v := range readVectors[struct{ HELO, Greeting, Hash string }](t, "handshake.json") {
		if got := handshakeHash(v.HELO, v.Greeting); got != v.Hash {
			t.Errorf("the hash of %s and %s is %s, want %s", v.HELO, v.Greeting, got, v.Hash)
		}
	}
}
