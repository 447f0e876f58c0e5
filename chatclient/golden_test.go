package chatclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatclient"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What a person reads of a server that is not, or may not be, the one that is
// meant: who, which key, what to compare it with, what to do.
func TestWhatThePersonSees(t *testing.T) {
	var b strings.Builder
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca := newAuthority(t)
		keys := map[string]*ecdsa.PrivateKey{"OLD": newKey(t), "NEW": newKey(t)}
		certs := map[string]tls.Certificate{
			"OLD": selfMade(t, keys["OLD"], year1999, year2001),
			"NEW": selfMade(t, keys["NEW"], year1999, year2001),
		}
		see := func(name string, cert tls.Certificate, prepare func(*far, *chatclient.Config)) {
			t.Helper()
			s := newFar(t, cert)
			cfg := farConfig(s.dial)
			cfg.TLS = &tls.Config{RootCAs: ca.pool()}
			prepare(s, &cfg)
			if cfg.Dial == nil {
				cfg.Dial = s.dial
			}
			err := tryDial(t, cfg)
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			text := strings.ReplaceAll(err.Error(), dir, "/home/me/.config/chat")
			for key, cert := range certs {
				text = strings.ReplaceAll(text, fingerprint(cert), "sha256:<the "+key+" key, 64 digits>")
			}
			if chatclient.Display(text) != text && !strings.Contains(text, "\nNothing was sent") {
				t.Errorf("%s: a terminal may obey %q", name, text)
			}
			fmt.Fprintf(&b, "== %s\n%s\n\n", name, text)
		}
		pinned := func(p chatclient.Pin) func(*far, *chatclient.Config) {
			return func(_ *far, cfg *chatclient.Config) {
				f := chatclient.PinFile(filepath.Join(dir, "pins"))
				if err := f.SetPin(farAddr, p); err != nil {
					t.Fatal(err)
				}
				cfg.Pins = f
			}
		}
		nothing := func(*far, *chatclient.Config) {}
		const plus = "SCRAM-SHA-256-PLUS"
		old := chatclient.Pin{Fingerprint: fingerprint(certs["OLD"]), Mechanism: plus}
		see("self-made and unknown", certs["NEW"], nothing)
		see("expired and unknown", ca.sign(keys["NEW"], "chat.example.com", year1999, year1999.AddDate(0, 6, 0)), nothing)
		see("valid for another name", ca.sign(keys["NEW"], "chat.example.org", year1999, year2001), nothing)
		see("a name that a terminal would obey", ca.sign(keys["NEW"], "\x1b]0;bell\a\nchat.example.com", year1999, year2001), nothing)
		see("another key than the pin's", certs["NEW"], pinned(old))
		see("vouched for before, and not any more", certs["NEW"], pinned(chatclient.Pin{Mechanism: plus}))
		see("another key than this client saw before", certs["NEW"], func(_ *far, cfg *chatclient.Config) { cfg.Pins = pinMap{farAddr: old} })
		see("another key than the one that was given", certs["NEW"], func(_ *far, cfg *chatclient.Config) { cfg.Fingerprint = old.Fingerprint })
		see("weaker logins than the pin's", certs["OLD"], func(s *far, cfg *chatclient.Config) { pinned(old)(s, cfg); s.mech = "SCRAM-SHA-256,PLAIN" })
		see("cleartext, from a server that had TLS", certs["OLD"], func(s *far, cfg *chatclient.Config) {
			pinned(old)(s, cfg)
			s.clear, cfg.Cleartext = true, chatclient.CleartextAlways
		})
		see("a password wanted by a key that was trusted a moment ago", certs["NEW"], func(s *far, cfg *chatclient.Config) { s.mech, cfg.TrustServer = "PLAIN", trustAll })
		see("a password wanted in cleartext", certs["NEW"], func(s *far, cfg *chatclient.Config) {
			s.mech, s.clear, cfg.Cleartext = "PLAIN", true, chatclient.CleartextAlways
		})
		see("no login that is known", certs["OLD"], func(s *far, cfg *chatclient.Config) {
			s.mech, cfg.Fingerprint = "OPAQUE-3", old.Fingerprint
		})
		forger := func(rewrite func(bool, string) string) func(*far, *chatclient.Config) {
			return func(s *far, cfg *chatclient.Config) {
				s.clear, cfg.Cleartext = true, chatclient.CleartextAlways
				cfg.Dial = (&middle{far: s, rewrite: rewrite}).dial
			}
		}
		see("few iterations", certs["OLD"], forger(edit(ofServer, ",i=.*", ",i=1")))
		see("many iterations", certs["OLD"], forger(edit(ofServer, ",i=.*", ",i=1000000000")))
		see("a wrong signature", certs["OLD"], forger(forged[1].rewrite))
		see("a login that was not completed", certs["OLD"], forger(edit(ofServer, "^334 .*", "230 user=B new=1 known=0 high=0 mail=0")))
		see("a handshake changed on the way", certs["OLD"], forger(edit(ofServer, "boot=[^ ]*", "boot=a0")))
		see("no TLS", certs["OLD"], func(s *far, cfg *chatclient.Config) { s.tls = nil })
		see("no TLS, in words", certs["OLD"], func(s *far, cfg *chatclient.Config) { cfg.Dial = answering("421 :\x1bcTry later\r\n") })
		see("TLS only, in words", certs["OLD"], func(s *far, cfg *chatclient.Config) { cfg.Cleartext = chatclient.CleartextAlways })
		see("TLS only", certs["OLD"], func(s *far, cfg *chatclient.Config) {
			cfg.Dial, cfg.Cleartext = answering("\x15\x03\x03\x00\x02\x02\x0a"), chatclient.CleartextAlways
		})
		see("a pin that cannot be read", certs["OLD"], func(s *far, cfg *chatclient.Config) {
			path := filepath.Join(dir, "bad")
			os.WriteFile(path, []byte("# mine\n"+farAddr+" sha256:12\x1b34 PLAIN\n"), 0o600)
			cfg.Pins = chatclient.PinFile(path)
		})
		see("two pins", certs["OLD"], func(s *far, cfg *chatclient.Config) {
			path := filepath.Join(dir, "two")
			os.WriteFile(path, []byte(farAddr+" authority PLAIN\n"+farAddr+" authority "+plus+"\n"), 0o600)
			cfg.Pins = chatclient.PinFile(path)
		})
	})
	path := filepath.Join("testdata", "person", "servers.txt")
	if *update {
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// answering is a server that says this, whatever it is told.
func answering(text string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, end := net.Pipe()
		go func() {
			end.Read(make([]byte, 4096))
			io.WriteString(end, text)
			end.Close()
		}()
		return remote{client, farIP}, nil
	}
}
