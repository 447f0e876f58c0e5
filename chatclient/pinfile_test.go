package chatclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatclient"
)

// pinOf makes a pin with a key that is none.
func pinOf(digit string) chatclient.Pin {
	return chatclient.Pin{Fingerprint: "sha256:" + strings.Repeat(digit, 64), Mechanism: "SCRAM-SHA-256-PLUS"}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A file is made, added to and changed; what is not about the server stays as
// it is.
func TestPinFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "pins")
	f := chatclient.PinFile(path)
	if p, ok, err := f.Pin(farAddr); ok || err != nil || f.Check() != nil {
		t.Errorf("without a file: %v, %v, %v", p, ok, err)
	}
	set := func(addr string, p chatclient.Pin) {
		t.Helper()
		if err := f.SetPin(addr, p); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := f.Pin(addr); got != p || !ok || err != nil {
			t.Errorf("%v is %v, %v, %v", p, got, ok, err)
		}
	}
	set(farAddr, pinOf("a"))
	set("chat.example.org:8000", chatclient.Pin{Mechanism: "SCRAM-SHA-256"})
	set("[2001:db8::1]:8000", chatclient.Pin{Fingerprint: pinOf("b").Fingerprint})
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, path + ".lock": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	add := "\n# mine\nold.example.com:1 nonsense\nb.example.com:8000\tsha256:" + strings.Repeat("d", 64) + "  PLAIN \r\n\n"
	if err := os.WriteFile(path, []byte(mustRead(t, path)+add), 0o644); err != nil {
		t.Fatal(err)
	}
	set("Chat.Example.com:8000", pinOf("c"))
	set("new.example.com:8000", pinOf("e"))
	want := "# Servers that were met: address, key (or that an authority vouches for it), weakest login. Remove a line to forget a server.\n" +
		"chat.example.com:8000 sha256:" + strings.Repeat("c", 64) + " SCRAM-SHA-256-PLUS\n" +
		"chat.example.org:8000 authority SCRAM-SHA-256\n" +
		"[2001:db8::1]:8000 sha256:" + strings.Repeat("b", 64) + " any\n" +
		add +
		"new.example.com:8000 sha256:" + strings.Repeat("e", 64) + " SCRAM-SHA-256-PLUS\n"
	if diff := cmp.Diff(want, mustRead(t, path)); diff != "" {
		t.Error(diff)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if p, ok, err := f.Pin("b.example.com:8000"); !ok || p.Mechanism != "PLAIN" || err != nil {
		t.Errorf("%v, %v, %v", p, ok, err)
	}
	if left, _ := filepath.Glob(path + ".new*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What cannot be read is told, and keeps only the server that it is about from
// being talked to.
func TestPinFileBadLines(t *testing.T) {
	good := "good.example.com:1 sha256:" + strings.Repeat("a", 64) + " PLAIN\n"
	for _, test := range []struct{ line, addr, want string }{
		{"x.example.com:1", "x.example.com:1", "want an address, a fingerprint and a login, got 1 words"},
		{"X.example.com:1 authority PLAIN more", "x.example.com:1", "got 4 words"},
		{"x.example.com:1 sha256:abc PLAIN", "x.example.com:1", `"sha256:abc" is neither`},
		{"x.example.com:1 sha256:" + strings.Repeat("A", 64) + " PLAIN", "x.example.com:1", "is neither"},
		{"x.example.com:1 sha1:" + strings.Repeat("a", 64) + " PLAIN", "x.example.com:1", "is neither"},
		{"x.example.com:1 authority p*ain", "x.example.com:1", `"p*ain" is not the name of a login`},
		{"x.example.com:1 \x1b[31mred PLAIN", "x.example.com:1", `\x1b[31mred`},
		{"GOOD.example.com:1 authority PLAIN", "good.example.com:1", "a second line about good.example.com:1, which has line 1"},
	} {
		path := filepath.Join(t.TempDir(), "pins")
		content := good + test.line + "\nother.example.com:1 authority PLAIN\n"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f := chatclient.PinFile(path)
		for _, err := range []error{f.Check(), second(f.Pin(test.addr)), f.SetPin(test.addr, pinOf("a"))} {
			if err == nil || !strings.Contains(err.Error(), path+", line 2: ") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: %v", test.line, err)
			}
		}
		if _, ok, err := f.Pin("other.example.com:1"); !ok || err != nil {
			t.Errorf("%q: the other server: %v", test.line, err)
		}
		if err := f.SetPin("other.example.com:1", chatclient.Pin{}); err != nil {
			t.Errorf("%q: the other server: %v", test.line, err)
		}
		if got := mustRead(t, path); !strings.Contains(got, test.line+"\n") || !strings.HasPrefix(got, good) {
			t.Errorf("%q: then the file is %q", test.line, got)
		}
	}
	path := filepath.Join(t.TempDir(), "pins")
	os.WriteFile(path, []byte("a b\n# c\nd e\n"), 0o600)
	var all *multierror.Error
	if err := chatclient.PinFile(path).Check(); !errors.As(err, &all) || len(all.Errors) != 2 {
		t.Errorf("not every line is told of: %v", err)
	}
}

func second(_ chatclient.Pin, _ bool, err error) error { return err }

// A pin that would be another when it is read again is not written.
func TestPinFileOddPins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	f := chatclient.PinFile(path)
	for _, test := range []struct {
		addr string
		p    chatclient.Pin
	}{
		{"", pinOf("a")},
		{"a b", pinOf("a")},
		{"#a:1", pinOf("a")},
		{"a:1\nb:1 authority PLAIN", pinOf("a")},
		{"a:1", chatclient.Pin{Fingerprint: "authority"}},
		{"a:1", chatclient.Pin{Fingerprint: "sha256:a"}},
		{"a:1", chatclient.Pin{Mechanism: "any"}},
		{"a:1", chatclient.Pin{Mechanism: "A B"}},
		{"a:1", chatclient.Pin{Mechanism: "A\nb:1 authority PLAIN"}},
	} {
		if err := f.SetPin(test.addr, test.p); err == nil {
			t.Errorf("%+v becomes %q", test, mustRead(t, path))
		}
	}
}

// A file of the greatest length is used, and none becomes longer.
func TestPinFileLimit(t *testing.T) {
	const limit = 1 << 20
	path := filepath.Join(t.TempDir(), "pins")
	f := chatclient.PinFile(path)
	line := "a.example.com:1 authority PLAIN\n"
	fill := func(size int) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#"+strings.Repeat("x", size-2)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pin := chatclient.Pin{Mechanism: "PLAIN"}
	for _, test := range []struct {
		size int
		fits bool
	}{{limit - len(line) - 1, true}, {limit - len(line), true}, {limit - len(line) + 1, false}} {
		fill(test.size)
		err := f.SetPin("a.example.com:1", pin)
		if info, _ := os.Stat(path); (err == nil) != test.fits || info.Size() > limit {
			t.Errorf("%d octets and a line: %v", test.size, err)
		}
	}
	for _, size := range []int{limit - 1, limit, limit + 1} {
		fill(size)
		if _, _, err := f.Pin(farAddr); (err == nil) != (size <= limit) {
			t.Errorf("%d octets: %v", size, err)
		}
	}
}

// Many clients of several programs share a file, and none loses the pin of
// another.
func TestPinFileShared(t *testing.T) {
	if path := os.Getenv("CHATCLIENT_PINS"); path != "" {
		pinMany(t, path, os.Getenv("CHATCLIENT_PINS_NAME"))
		return
	}
	path := filepath.Join(t.TempDir(), "pins")
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestPinFileShared$")
			cmd.Env = append(os.Environ(), "CHATCLIENT_PINS="+path, "CHATCLIENT_PINS_NAME="+fmt.Sprint("program", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Go(func() { pinMany(t, path, "here") })
	all.Wait()
	if n := strings.Count(mustRead(t, path), " sha256:"); n != 4*20 {
		t.Errorf("of 80 pins there are %d", n)
	}
}

func pinMany(t *testing.T, path, name string) {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 5 {
				addr := fmt.Sprintf("%s-%d-%d:1", name, i, j)
				if err := chatclient.PinFile(path).SetPin(addr, pinOf("a")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// A link to a file stays one.
func TestPinFileLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	os.WriteFile(real, []byte("# mine\n"), 0o600)
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	if err := chatclient.PinFile(link).SetPin(farAddr, pinOf("a")); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 || !strings.Contains(mustRead(t, real), farAddr) {
		t.Error("the link is gone")
	}
}

// A client keeps a server in a file: the next one knows it, and so does one
// that meets it changed. Bad lines go to the log.
func TestPinFileOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pins")
		os.WriteFile(path, []byte("other.example.com nonsense\n"), 0o600)
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Pins, cfg.TrustServer = chatclient.PinFile(path), trustAll
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if err := tryDial(t, cfg); err != nil {
			t.Fatal(err)
		}
		want := "other.example.com nonsense\n" + farAddr + " " + fingerprint(s.tls.Certificates[0]) + " SCRAM-SHA-256-PLUS\n"
		if got := mustRead(t, path); got != want {
			t.Errorf("the file is %q", got)
		}
		if !strings.Contains(log.String(), "line 1: ") {
			t.Errorf("the log is %s", log.String())
		}
		cfg.TrustServer = nil
		if err := tryDial(t, cfg); err != nil {
			t.Error(err)
		}
		s.restart(newFar(t, selfMade(t, newKey(t), year1999, year2001)).tls)
		var wrong *chatclient.ServerKeyError
		if err := tryDial(t, cfg); !errors.As(err, &wrong) || wrong.KeptIn != path || mustRead(t, path) != want {
			t.Error(err)
		}
		os.WriteFile(path, []byte(farAddr+" sha256:\n"), 0o600)
		if err := tryDial(t, cfg); err == nil || !strings.Contains(err.Error(), "line 1: ") {
			t.Error(err)
		}
	})
}
