package chatclient_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatclient"
)

// What is forgotten is every line about the server, and no other.
func TestPinFileForget(t *testing.T) {
	pins := chatclient.PinFile(filepath.Join(t.TempDir(), "parley", "known_servers"))
	if found, err := pins.Forget("a:1"); found || err != nil {
		t.Fatalf("without a file: %v, %v", found, err)
	}
	key := "sha256:" + strings.Repeat("0", 64)
	for _, addr := range []string{"a:1", "a:10"} {
		if err := pins.SetPin(addr, chatclient.Pin{Fingerprint: key}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(pins.String())
	if err != nil {
		t.Fatal(err)
	}
	more := string(before) + "b:1 nonsense\nB:1 " + key + " any\nB:1 " + key + " any\n"
	if err := os.WriteFile(pins.String(), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		if found, err := pins.Forget("b:1"); found != want || err != nil {
			t.Errorf("try %d: %v, %v, want %v", i, found, err, want)
		}
	}
	if after, err := os.ReadFile(pins.String()); string(after) != string(before) || err != nil {
		t.Errorf("the file is %q (%v), want %q", after, err, before)
	}
	if found, err := pins.Forget("A:1"); !found || err != nil {
		t.Errorf("a:1: %v, %v", found, err)
	}
	_, isA, _ := pins.Pin("a:1")
	_, isA10, err := pins.Pin("a:10")
	if isA || !isA10 || err != nil {
		t.Errorf("a:1 is there: %v, a:10: %v, %v", isA, isA10, err)
	}
}
