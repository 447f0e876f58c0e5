package handshake_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// The login by SCRAM that SPEC.md section 12.1 shows is right to the last
// octet: computed here by hand from RFC 5802, of what its text says.
func TestSpecSCRAM(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	const (
		password   = "116bway"
		user       = "columbia"
		clientSays = "a client's nonce 1"
		serverSays = "a server's nonce 1"
		salt       = "columbia's salt!"
	)
	text, body, found := strings.Cut(string(spec), "By SCRAM, as programs do.")
	if !found || strings.Count(text, "\n## 12 ") != 1 {
		t.Fatal("section 12 has no login by SCRAM")
	}
	about, body, _ := strings.Cut(body, "```session\n")
	for _, said := range []string{password, clientSays, serverSays, salt} {
		if !strings.Contains(strings.ReplaceAll(about, "\n", " "), "`"+said+"`") {
			t.Errorf("the text does not name %q", said)
		}
	}
	body, _, _ = strings.Cut(body, "```")
	var lines []string
	for _, m := range regexp.MustCompile(`(?m)^[CS]: (.*)$`).FindAllStringSubmatch(body, -1) {
		lines = append(lines, m[1])
	}
	if len(lines) != 6 {
		t.Fatalf("the session has %d lines", len(lines))
	}
	b64 := base64.StdEncoding.EncodeToString
	nonce := b64([]byte(clientSays)) + handshake.Hash([]byte(lines[0]), []byte(lines[1]))
	bare := "n=" + user + ",r=" + nonce
	serverFirst := "r=" + nonce + b64([]byte(serverSays)) + ",s=" + b64([]byte(salt)) + ",i=15000"
	final := "c=" + b64([]byte("n,,")) + ",r=" + nonce + b64([]byte(serverSays))
	auth := bare + "," + serverFirst + "," + final
	salted, err := pbkdf2.Key(sha256.New, password, []byte(salt), 15000, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	clientKey := sign(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof := sign(stored[:], auth)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	for i, want := range map[int]string{
		2: "data=n,," + bare,
		3: "data=" + serverFirst,
		4: "data=" + final + ",p=" + b64(proof),
		5: "data=v=" + b64(sign(sign(salted, "Server Key"), auth)),
	} {
		if _, got, _ := strings.Cut(lines[i], " data="); !strings.HasPrefix("data="+got+" ", want+" ") {
			t.Errorf("SPEC.md says\n%s\nand it is\n%s", lines[i], want)
		}
	}
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
