package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/parleyproto/parley/chatproto/conformance"
)

// chat -dialback passes the suite's cases of dial-back. It stays for two
// seconds when nothing is said, so that not all of them are run here.
func TestDialBackConformance(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("116bway\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := conformance.CheckClient(t.Context(), conformance.ClientTarget{
		Listener: l, Account: conformance.Account{User: "columbia", Password: "116bway"}, DialBack: true,
		Options: conformance.Options{Strict: true, Match: regexp.MustCompile(`^dialback/(registers|called|own-key|another-server|no-password|refused)$`)},
		Start: func(ctx context.Context, addr string, a conformance.Account) error {
			host, port, _ := net.SplitHostPort(addr)
			stdin, typed := io.Pipe()
			defer typed.Close()
			return run(ctx, []string{"-config", dir, "-user", a.User, "-password-file", password, "-listen", "off", "-dialback=127.0.0.1:0", host, port},
				stdin, io.Discard, io.Discard)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Results {
		if c.Outcome != conformance.Passed {
			t.Errorf("%s %s: %s\n%q", c.Outcome, c.Case.Name, c.Reason, c.Transcript)
		}
	}
	if len(r.Results) != 6 {
		t.Errorf("%d cases were run", len(r.Results))
	}
}
