package chatserver_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// selfSigned is SelfSigned, which must not fail, and the key's fingerprint.
func selfSigned(t *testing.T, dir string) (tls.Certificate, string) {
	t.Helper()
	cert, err := chatserver.SelfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	print, err := chatserver.LeafFingerprint(cert)
	if err != nil {
		t.Fatal(err)
	}
	return cert, print
}

// The certificate that nobody vouches for is made once, for its owner's eyes
// alone, and found again.
func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "tls")
	cert, print := selfSigned(t, dir)
	hexdigits, ok := strings.CutPrefix(print, "sha256:")
	if b, err := hex.DecodeString(hexdigits); !ok || err != nil || len(b) != 32 {
		t.Errorf("the fingerprint is %q", print)
	}
	leaf := cert.Leaf
	if leaf.Subject.CommonName != "parley" || leaf.VerifyHostname("parley") != nil || leaf.IsCA {
		t.Errorf("it is a certificate of %v for %v", leaf.Subject, leaf.DNSNames)
	}
	if now := time.Now(); leaf.NotBefore.After(now) || leaf.NotAfter.Before(now.AddDate(9, 11, 0)) {
		t.Errorf("it is valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	again, print2 := selfSigned(t, dir)
	if print2 != print || !bytes.Equal(again.Certificate[0], cert.Certificate[0]) {
		t.Error("the second call finds another certificate")
	}
	if _, other := selfSigned(t, t.TempDir()); other == print {
		t.Error("two folders have the same key")
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]fs.FileMode{".": 0o700, "key.pem": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the folder has %v", entries)
	}
}

// Without a folder the key is kept nowhere.
func TestSelfSignedInMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	cert, print := selfSigned(t, "")
	if err := cert.Leaf.VerifyHostname("parley"); err != nil {
		t.Error(err)
	}
	if _, again := selfSigned(t, ""); again == print {
		t.Error("the second call finds the key of the first")
	}
	if entries, err := os.ReadDir("."); len(entries) > 0 || err != nil {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// Whatever happens to the certificate, the key stays; a key that cannot be
// read is not replaced.
func TestSelfSignedDamage(t *testing.T) {
	dir := t.TempDir()
	_, print := selfSigned(t, dir)
	other := t.TempDir()
	selfSigned(t, other)
	foreign, err := os.ReadFile(filepath.Join(other, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"none": nil, "empty": {}, "garbage": []byte("garbage"), "another key's": foreign} {
		file := filepath.Join(dir, "cert.pem")
		if content == nil {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, now := selfSigned(t, dir); now != print {
			t.Errorf("%s: the key changed", name)
		}
	}
	for _, content := range []string{"", "garbage", string(foreign)} {
		if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := chatserver.SelfSigned(dir); err == nil || !strings.Contains(err.Error(), "key.pem") {
			t.Errorf("a key file with %q: %v", content, err)
		}
	}
}

// A certificate that is about to end is made anew, of the same key.
func TestSelfSignedEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		cert, print := selfSigned(t, dir)
		time.Sleep(time.Until(cert.Leaf.NotAfter) - 30*24*time.Hour - time.Second)
		if again, _ := selfSigned(t, dir); !bytes.Equal(again.Certificate[0], cert.Certificate[0]) {
			t.Error("a month and a second before its end it is made anew")
		}
		time.Sleep(time.Second)
		again, now := selfSigned(t, dir)
		if now != print || time.Until(again.Leaf.NotAfter) < 9*365*24*time.Hour {
			t.Errorf("a month before its end: key %s (was %s), until %v", now, print, again.Leaf.NotAfter)
		}
	})
}

const selfSignedProcess = "PARLEY_TEST_SELF_SIGNED"

// Several processes that start at the same moment agree on one key.
func TestSelfSignedProcesses(t *testing.T) {
	if dir := os.Getenv(selfSignedProcess); dir != "" {
		_, print := selfSigned(t, dir)
		os.Stdout.WriteString("\nfingerprint " + print + "\n")
		return
	}
	for range 5 {
		dir := filepath.Join(t.TempDir(), "tls")
		var wg sync.WaitGroup
		var mu sync.Mutex
		prints := make(map[string]int)
		note := func(print string) {
			mu.Lock()
			defer mu.Unlock()
			prints[print]++
		}
		for range 4 {
			wg.Go(func() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestSelfSignedProcesses$")
				cmd.Env = append(os.Environ(), selfSignedProcess+"="+dir)
				out, err := cmd.CombinedOutput()
				_, print, ok := strings.Cut(string(out), "\nfingerprint ")
				if err != nil || !ok {
					t.Errorf("%v: %s", err, out)
				}
				print, _, _ = strings.Cut(print, "\n")
				note(print)
			})
			wg.Go(func() {
				cert, err := chatserver.SelfSigned(dir)
				if err != nil {
					t.Error(err)
					return
				}
				print, _ := chatserver.LeafFingerprint(cert)
				note(print)
			})
		}
		wg.Wait()
		if _, print := selfSigned(t, dir); len(prints) != 1 || prints[print] != 8 {
			t.Errorf("they use %v, the folder has %s", prints, print)
		}
	}
}

// A certificate in files is read again when it changed; as long as the new
// pair does not load the old one is used.
func TestCertificateFiles(t *testing.T) {
	dir, one, two := t.TempDir(), t.TempDir(), t.TempDir()
	_, first := selfSigned(t, one)
	_, second := selfSigned(t, two)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	stamp := time.Now()
	put := func(from, file string) { // as a renewal does, by rename
		t.Helper()
		b, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, "tmp")
		stamp = stamp.Add(time.Second) // file systems have coarse clocks
		if err := os.WriteFile(tmp, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(tmp, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := chatserver.CertificateFiles(certFile, keyFile, nil); err == nil || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("without files: %v", err)
	}
	put(one, "cert.pem")
	put(one, "key.pem")
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		files, err := chatserver.CertificateFiles(certFile, keyFile, textLog(&log))
		if err != nil {
			t.Fatal(err)
		}
		uses := func(when, want string) {
			t.Helper()
			cert, err := files.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := chatserver.LeafFingerprint(*cert); got != want {
				t.Errorf("%s it uses the other certificate", when)
			}
		}
		uses("at first", first)
		put(two, "cert.pem")
		put(two, "key.pem")
		time.Sleep(time.Second - 1)
		uses("within a second", first)
		time.Sleep(time.Nanosecond)
		uses("after a second", second)

		put(one, "cert.pem") // the key is still to come
		for range 5 {
			time.Sleep(time.Second)
			uses("with half of a new pair", second)
		}
		if err := files.Reload(); err == nil {
			t.Error("Reload loads half of a pair")
		}
		uses("after a Reload that failed", second)
		put(one, "key.pem")
		if err := files.Reload(); err != nil {
			t.Error(err)
		}
		uses("after a Reload", first)
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(time.Second)
			uses("without the key", first)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 2 {
			t.Errorf("two pairs did not load, and the log has %d errors:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "level=INFO"); n != 1 {
			t.Errorf("one pair loaded unasked, and the log tells of %d:\n%s", n, log.String())
		}
	})
}

// A server takes a renewed certificate for the connections to come.
func TestCertificateRenewed(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	_, first := selfSigned(t, one)
	_, second := selfSigned(t, two)
	files, err := chatserver.CertificateFiles(filepath.Join(one, "cert.pem"), filepath.Join(one, "key.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := &chatserver.Server{Accounts: demo, TLSConfig: &tls.Config{GetCertificate: files.GetCertificate}}
	defer srv.Close()
	meets := func(want string) *tls.Conn {
		t.Helper()
		nc := tlsClient(t, srv, "192.0.2.7:1", clientTLS())
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		leaf := nc.ConnectionState().PeerCertificates[0]
		if got, _ := chatserver.LeafFingerprint(tls.Certificate{Certificate: [][]byte{leaf.Raw}}); got != want {
			t.Errorf("the server has the key %s, want %s", got, want)
		}
		return nc
	}
	old := meets(first)
	for _, file := range []string{"cert.pem", "key.pem"} {
		if err := os.Rename(filepath.Join(two, file), filepath.Join(one, file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Reload(); err != nil {
		t.Fatal(err)
	}
	meets(second)
	loginOver(t, old, "A")
}
