package fuzz

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// fuzzLogins are accounts whose passwords cost nothing to check, and A's
// verifier, which is given ready: an input is to cost no derivation.
type fuzzLogins struct{ chatserver.Credentials }

const fuzzIterations = 4096

var fuzzSalt = []byte("sixteen octets!!")

// fuzzKeys are A's, derived once.
var fuzzKeys = sync.OnceValue(func() (k struct{ client, stored, server []byte }) {
	salted, err := pbkdf2.Key(sha256.New, fuzzAccounts["A"], fuzzSalt, fuzzIterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	k.client = sign(salted, "Client Key")
	stored := sha256.Sum256(k.client)
	k.stored = stored[:]
	k.server = sign(salted, "Server Key")
	return k
})

func (l fuzzLogins) Verifier(_ context.Context, user string) (*chatserver.Verifier, error) {
	if user != "A" {
		return nil, nil
	}
	k := fuzzKeys()
	return &chatserver.Verifier{Salt: fuzzSalt, Iterations: fuzzIterations, StoredKey: k.stored, ServerKey: k.server}, nil
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// A login by SCRAM is too much to find by chance. So an input has {first} and
// {final} where A's messages are to stand, and the fuzzer makes of the rest
// what it likes: what the server then takes for a proof is held against the
// one that was right.
type scramSteps struct {
	helo, greeting string
	first, server  string // messages; that of the server as it came
	signature      string // what answers the last AUTH, if that was the right {final} and nothing else
	in             int    // logins by SCRAM
}

// expand returns a line with its messages, and remembers what it says.
func (s *scramSteps) expand(line []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	if bytes.Contains(line, []byte("{first}")) {
		hash := sha256.Sum256([]byte(s.helo + "\n" + s.greeting))
		s.first = "n,,n=A,r=" + b64([]byte("eighteen octets...")) + b64(hash[:])
		line = bytes.ReplaceAll(line, []byte("{first}"), []byte(s.first))
	}
	final, signature := "", ""
	if bytes.Contains(line, []byte("{final}")) {
		k := fuzzKeys()
		nonce, _, _ := strings.Cut(s.server, ",")
		without := "c=" + b64([]byte("n,,")) + "," + nonce
		auth := strings.TrimPrefix(s.first, "n,,") + "," + s.server + "," + without
		proof := sign(k.stored, auth)
		for i := range proof {
			proof[i] ^= k.client[i]
		}
		final, signature = without+",p="+b64(proof), "v="+b64(sign(k.server, auth))
		line = bytes.ReplaceAll(line, []byte("{final}"), []byte(final))
	}
	var f chatproto.Frame
	switch err := chatproto.Parse(&f, bytes.TrimRight(bytes.Clone(line), "\r\n")); {
	case err != nil:
	case f.Code == chatproto.HELO && s.greeting == "":
		s.helo = canonicalLine(&f)
	case f.Code == chatproto.AUTH:
		if s.signature = ""; f.Value("data") == final {
			s.signature = signature
		}
	}
	return line
}

// said takes what the server answers. By SCRAM nobody logs in but by the right
// proof, and the server proves itself.
func (s *scramSteps) said(t *testing.T, f *chatproto.Frame) {
	switch f.Code {
	case chatproto.ReplyGreeting:
		s.greeting = canonicalLine(f)
	case chatproto.ReplyChallenge:
		s.server = f.Value("data")
		parts := strings.Split(s.server, ",")
		if len(parts) != 3 || !strings.HasPrefix(parts[0], "r=") || len(parts[0]) != len("r=")+24+44+24 ||
			!strings.HasPrefix(parts[1], "s=") || len(parts[1]) != len("s=")+24 || !strings.HasPrefix(parts[2], "i=") {
			t.Errorf("the server says %q", s.server)
		} else if n, err := strconv.Atoi(parts[2][2:]); err != nil || n < 4096 || n > 600_000 {
			t.Errorf("%s iterations: %v", parts[2], err)
		}
	case chatproto.ReplyWelcome:
		proof, ok := f.Get("data")
		if ok && (string(proof) != s.signature || s.signature == "" || f.Value("user") != "A") {
			t.Errorf("%s is in by SCRAM: the server says %q, want %q", f.Value("user"), proof, s.signature)
		}
		if ok {
			s.in++
		}
	}
}

// The steps of a login are A's own: with them he is in, also behind a HELO that
// is not canonical.
func TestScramSteps(t *testing.T) {
	for input, want := range map[string]int{
		"HELO v=1\nAUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data={final}\n":            1,
		"HELO v=1 x=\\s :\nAUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data={final}\n":    1,
		"HELO v=1\nAUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data={final} :really\n":    1,
		"HELO v=1\nAUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data={final},x=1\n":        0,
		"HELO v=1\nAUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data=x\nAUTH data={final}": 0,
		"HELO v=1\nAUTH user=A pass=a\n": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := throwAtServer(t, input).scram.in; got != want {
				t.Errorf("%q: %d logins by SCRAM", input, got)
			}
		})
	}
}

func canonicalLine(f *chatproto.Frame) string {
	line, err := chatproto.AppendFrame(nil, f)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(line), "\r\n")
}
