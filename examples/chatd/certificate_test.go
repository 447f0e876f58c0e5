//go:build unix

package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// shows returns the fingerprint of the key that a client of any kind sees.
func (p *process) shows() string {
	p.t.Helper()
	c, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true}) // without ALPN, as openssl s_client
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	return handshake.Fingerprint(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
}

// The first start makes the server's certificate, for its owner's eyes alone,
// and later ones use it; what is announced is what clients see.
func TestFirstCertificate(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir)
	if got := p.shows(); got != p.print {
		t.Errorf("clients see %s, announced is %s", got, p.print)
	}
	if info, err := os.Stat(filepath.Join(dir, "chatd-data", "tls", "key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	p.mustLogin("google", "hasglasses").Close()
	p.stop()
	again := launch(t, dir)
	if again.print != p.print || again.shows() != p.print {
		t.Errorf("the second start announces %s and shows %s, not %s", again.print, again.shows(), p.print)
	}
	if got := again.stop(); got != "" {
		t.Errorf("it says %s", got)
	}
	other := launch(t, t.TempDir())
	if other.print == p.print {
		t.Error("another folder has the same key")
	}
	other.stop()
}

// In memory there is nothing to find again, and that is said; with a data
// folder the key is kept there even so.
func TestCertificateInMemory(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, "-memory")
	p.out.await(t, `\AThe certificate is kept in memory only: the next chatd will have another, and clients will refuse it\.\n`)
	if p.shows() != p.print {
		t.Error("clients see another key than is announced")
	}
	p.stop()
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("something was kept: %v", entries)
	}
	if again := launch(t, dir, "-memory"); again.print == p.print {
		t.Error("the second start has the same key")
	}
	kept := launch(t, dir, "-memory", "-data", "d")
	if again := launch(t, dir, "-memory", "-data", "d"); again.print != kept.print {
		t.Error("with -data the key is not kept")
	}
}

// All of IPv4 is not IPv6 as well.
func TestListenIPv4(t *testing.T) {
	dir, _ := folder(t, "alice wonderland\n")
	p := &process{t: t, cmd: chatdCommand(dir, "-listen", "0.0.0.0", "0"), listens: `0\.0\.0\.0`}
	p.start()
	p.addr = strings.Replace(p.addr, "0.0.0.0", "127.0.0.1", 1)
	p.mustLogin("alice", "wonderland")
	p.stop()
}

// What is unwise about the files is said at the start, with what to do.
func TestWarnings(t *testing.T) {
	dir, file := folder(t, "alice wonderland\n")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir)
	p.stop()
	tlsDir := filepath.Join(dir, "chatd-data", "tls")
	if err := os.Chmod(filepath.Join(tlsDir, "key.pem"), 0o640); err != nil { // its group's as well, on purpose
		t.Fatal(err)
	}
	said := p.err.all()
	mine := filepath.Join(dir, "mine.txt")
	put(t, mine, "alice wonderland\nbob builder\n")
	if err := os.Chmod(mine, 0o660); err != nil {
		t.Fatal(err)
	}
	p = launch(t, dir, "-credentials", "mine.txt", "-cert", "chatd-data/tls/cert.pem", "-key", "chatd-data/tls/key.pem")
	p.stop()
	said += p.err.all()
	if err := os.Chmod(filepath.Join(tlsDir, "key.pem"), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(mine, 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := chatdCommand(dir, "passwd", "import", "-credentials", "mine.txt").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p = launch(t, dir, "-credentials", "mine.txt", "-cert", "chatd-data/tls/cert.pem", "-key", "chatd-data/tls/key.pem")
	p.stop()
	golden(t, "warnings", said+p.err.all())
}
