package sqlitestore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

func openTest(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	if opts.OnDamage == nil {
		opts.OnDamage = func(d Damage) { t.Errorf("damage: %v", d) }
	}
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t,
		func(t testing.TB) store.Store {
			dir, err := os.MkdirTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			return openTest(t, filepath.Join(dir, "chat ?#%.db"), Options{})
		},
		func(t testing.TB, old store.Store) store.Store {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return openTest(t, old.(*Store).Path(), Options{})
		})
}

// What the driver's C library is translated to must be the version that the
// driver was translated with.
func TestLibcVersion(t *testing.T) {
	list := func(args ...string) string {
		out, err := exec.Command("go", append([]string{"list", "-m"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	own, err := os.ReadFile(list("-f", "{{.GoMod}}", "modernc.org/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	want := list("-f", "{{.Path}} {{.Version}}", "modernc.org/libc")
	if !strings.Contains(string(own), "\t"+want+"\n") {
		t.Errorf("go.mod has %s, the go.mod of modernc.org/sqlite another version", want)
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	if err := s.Commit(context.Background(), &store.Batch{Blocks: []store.Block{{Owner: "a", User: "b"}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		fi, err := os.Stat(name)
		if err != nil {
			t.Error(err)
		} else if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := openTest(t, path, Options{})
	if _, err := Open(path, Options{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another chatd") {
		t.Fatalf("a second Open: %v", err)
	}
	s.Close()
	openTest(t, path, Options{})
}
