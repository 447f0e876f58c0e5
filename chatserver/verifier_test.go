package chatserver_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

// postgres is "pencil" with the salt and the iterations of RFC 7677's example,
// as PostgreSQL would write it.
const postgres = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func TestParseVerifier(t *testing.T) {
	salt := "W22ZaJ0SNY7soEsUEjb6gQ=="
	keys := "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n)) }
	key := b64(32)
	for _, tt := range []struct {
		why, text, err string
	}{
		{"PostgreSQL's", postgres, ""},
		{"4,095 iterations", "SCRAM-SHA-256$4095:" + salt + keys, "4096 to 600000 iterations, not 4095"},
		{"600,000 iterations", "SCRAM-SHA-256$600000:" + salt + keys, ""},
		{"600,001 iterations", "SCRAM-SHA-256$600001:" + salt + keys, "4096 to 600000 iterations, not 600001"},
		{"more than fits a word", "SCRAM-SHA-256$99999999999999999999:" + salt + keys, "are a number"},
		{"no number", "SCRAM-SHA-256$4k:" + salt + keys, "are a number"},
		{"a sign", "SCRAM-SHA-256$+4096:" + salt + keys, "without anything that could be left out"},
		{"a leading zero", "SCRAM-SHA-256$04096:" + salt + keys, "without anything that could be left out"},
		{"no salt", "SCRAM-SHA-256$4096:" + keys, "1 to 64 octets, not 0"},
		{"a salt of one octet", "SCRAM-SHA-256$4096:" + b64(1) + keys, ""},
		{"a salt of 64 octets", "SCRAM-SHA-256$4096:" + b64(64) + keys, ""},
		{"a salt of 65 octets", "SCRAM-SHA-256$4096:" + b64(65) + keys, "1 to 64 octets, not 65"},
		{"a short StoredKey", "SCRAM-SHA-256$4096:" + salt + "$" + b64(31) + ":" + key, "32 octets"},
		{"a long ServerKey", "SCRAM-SHA-256$4096:" + salt + "$" + key + ":" + b64(33), "32 octets"},
		{"no padding", "SCRAM-SHA-256$4096:" + strings.TrimRight(salt, "=") + keys, "base64"},
		{"bits behind the end", "SCRAM-SHA-256$4096:" + strings.Replace(salt, "gQ==", "gR==", 1) + keys, "base64"},
		{"an end of line in base64", "SCRAM-SHA-256$4096:" + salt + "\n" + keys, "without anything that could be left out"},
		{"something behind it", postgres + " ", "base64"},
		{"a field more", postgres + ":x", "base64"},
		{"another hash", strings.Replace(postgres, "256", "512", 1), "has the form"},
		{"in lower case", strings.ToLower(postgres), "has the form"},
		{"no keys", "SCRAM-SHA-256$4096:" + salt, "has the form"},
		{"one key", "SCRAM-SHA-256$4096:" + salt + "$" + key, "has the form"},
		{"nothing", "", "has the form"},
	} {
		v, err := chatserver.ParseVerifier(tt.text)
		switch {
		case tt.err == "" && err != nil:
			t.Errorf("%s: %v", tt.why, err)
		case tt.err == "":
			if got := v.String(); got != tt.text {
				t.Errorf("%s: it is written %q", tt.why, got)
			}
		case err == nil || !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: error %v, want %q", tt.why, err, tt.err)
		case strings.Contains(err.Error(), "WG5d8"):
			t.Errorf("%s: the error shows the key: %v", tt.why, err)
		}
	}
}

// The keys are those that RFC 5802 says, computed by hand.
func TestVerifierKeys(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	want := verifierOf(t, "pencil", string(salt), 4096)
	got, err := chatserver.ParseVerifier(postgres)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if !got.Check("pencil") || got.Check("Pencil") || got.Check("") {
		t.Error("pencil is the password, and nothing else")
	}
}

func TestNewVerifier(t *testing.T) {
	seen := make(map[string]bool)
	for range 3 {
		v, err := chatserver.NewVerifier("pa\u0308ss\u00a0wort")
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Salt) != 16 || v.Iterations != chatserver.DefaultIterations || seen[string(v.Salt)] {
			t.Errorf("a salt of %d octets, %d iterations, drawn before: %v", len(v.Salt), v.Iterations, seen[string(v.Salt)])
		}
		seen[string(v.Salt)] = true
		if diff := cmp.Diff(verifierOf(t, "p\u00e4ss wort", string(v.Salt), v.Iterations), v); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if !v.Check("p\u00e4ss wort") || v.Check("pass wort") {
			t.Error("the password is taken as it was typed, or not at all")
		}
	}
	for _, bad := range []string{"", "a\xff"} {
		if v, err := chatserver.NewVerifier(bad); err == nil {
			t.Errorf("%q has a verifier %v", bad, v)
		}
	}
}
