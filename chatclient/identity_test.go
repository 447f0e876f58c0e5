package chatclient_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatclient"
)

// An identity is made once, by whoever comes first, and kept for its user
// alone.
func TestOpenIdentity(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "identity.pem")
	keys := make([]string, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			id, err := chatclient.OpenIdentity(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = id.Key()
		})
	}
	all.Wait()
	for _, k := range keys {
		if k != keys[0] || !strings.HasPrefix(k, "ed25519:") || len(k) != 72 {
			t.Errorf("got %q and %q", k, keys[0])
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("leaves %v behind", left)
	}
	os.Chmod(path, 0o640)
	if _, err := chatclient.OpenIdentity(path); !errors.Is(err, chatclient.ErrIdentityMode) {
		t.Error(err)
	}
}

// A file that is damaged is neither taken nor written over.
func TestIdentityDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.pem")
	if _, err := chatclient.OpenIdentity(filepath.Join(path, "no", "folder")); err == nil {
		t.Error("no folder")
	}
	if _, err := chatclient.OpenIdentity(path); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	for _, bad := range []string{"", "x", string(good[:len(good)/2]), strings.ReplaceAll(string(good), "PRIVATE", "PUBLIC"), strings.Replace(string(good), "MC4C", "MC4D", 1)} {
		os.WriteFile(path, []byte(bad), 0o600)
		if _, err := chatclient.OpenIdentity(path); err == nil {
			t.Errorf("takes %q", bad)
		}
		if now, _ := os.ReadFile(path); string(now) != bad {
			t.Errorf("%q became %q", bad, now)
		}
	}
}

func testIdentity(t testing.TB, octet byte) *chatclient.Identity {
	t.Helper()
	id, err := chatclient.NewIdentity(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{octet}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// An application may keep the key itself.
func TestNewIdentity(t *testing.T) {
	if got := testIdentity(t, 1).Key(); got != "ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c" {
		t.Errorf("got %s", got)
	}
	if _, err := chatclient.NewIdentity(make([]byte, 31)); err == nil {
		t.Error("takes what is no key")
	}
	a, err := chatclient.NewIdentity(nil)
	b, err2 := chatclient.NewIdentity(nil)
	if err != nil || err2 != nil || a.Key() == b.Key() {
		t.Error("two new ones are the same")
	}
}
