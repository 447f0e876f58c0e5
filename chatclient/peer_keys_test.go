package chatclient_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatclient"
)

// A peer file keeps a key for each user of each server.
func TestPeerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	f := chatclient.PeerFile(path)
	expect := func(server string, want map[string]string) {
		t.Helper()
		got, err := chatclient.PeerFile(path).Load(server)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", server, err, diff)
		}
	}
	expect("chat.example:8000", map[string]string{})
	for _, k := range [][3]string{{"chat.example:8000", "A", keyOf(t, "C")}, {"chat.example:8000", "B", keyOf(t, "B")},
		{"other.example:8000", "A", keyOf(t, "M")}, {"", "A", keyOf(t, "B")}, {"chat.example:8000", "A", keyOf(t, "A")}} {
		if err := f.Save(k[0], k[1], k[2]); err != nil {
			t.Error(err)
		}
	}
	expect("chat.example:8000", map[string]string{"A": keyOf(t, "A"), "B": keyOf(t, "B")})
	expect("other.example:8000", map[string]string{"A": keyOf(t, "M")})
	expect("", map[string]string{"A": keyOf(t, "B")})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 2 { // the file and its lock
		t.Errorf("leaves %v behind", left)
	}
}

// What is damaged is told, and not taken for a key that was never seen.
func TestPeerFileDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	good := "chat.example:8000 A " + keyOf(t, "A") + "\n"
	for _, bad := range []string{"x", good + "chat.example:8000 A\n", good + "chat.example:8000 B " + keyOf(t, "A")[:70] + "\n", strings.Replace(good, "8a88", "8g88", 1)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		f := chatclient.PeerFile(path)
		if _, err := f.Load("chat.example:8000"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", bad, err)
		}
		if err := f.Save("chat.example:8000", "C", keyOf(t, "C")); err == nil {
			t.Errorf("%q is written over", bad)
		}
		cfg := chatclient.Config{Addr: "chat.example:8000", User: "B", Password: "secret", Peers: f}
		if _, err := chatclient.Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: Dial says %v", bad, err)
		}
	}
	if err := os.WriteFile(path, []byte("\n"+good), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := chatclient.PeerFile(path).Load("chat.example:8000"); err != nil || len(keys) != 1 {
		t.Errorf("%v %v", keys, err)
	}
}
