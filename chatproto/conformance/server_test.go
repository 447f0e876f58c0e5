package conformance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleyproto/parley/chatproto/conformance"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// accounts are those of the servers in these tests.
var accounts = []conformance.Account{{User: "columbia", Password: "116bway"}, {User: "A", Password: "passA"}, {User: "google", Password: "has glasses \\ and hats"}}

func newServer(t testing.TB) *chatserver.Server {
	var lines strings.Builder
	for _, a := range accounts {
		lines.WriteString(a.User + " " + a.Password + "\n")
	}
	users, err := chatserver.ParseCredentials(strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	return &chatserver.Server{Accounts: users}
}

// The server passes every case, over TCP, as any server would be tested.
func TestServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	conformance.Server(t, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}, accounts...)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, chatserver.ErrServerClosed) {
		t.Error(err)
	}
}

// serverReport runs the cases against srv in virtual time, with what wrap
// makes of each connection.
func serverReport(t *testing.T, opts conformance.Options, change func(*chatserver.Server), wrap func(net.Conn) net.Conn) (report *conformance.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		change(srv)
		var err error
		report, err = conformance.CheckServer(untilFound(t.Context(), &opts), conformance.ServerTarget{
			Dial: func(context.Context) (net.Conn, error) {
				near, far := memPipe()
				go srv.ServeConn(far)
				return wrap(near), nil
			},
			Accounts: accounts, Options: opts,
		})
		if err != nil {
			t.Log(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return report
}

func asItIs(nc net.Conn) net.Conn { return nc }

// allPass fails the test for each case that did not pass.
func allPass(t *testing.T, r *conformance.Report) {
	t.Helper()
	if r == nil {
		t.Error("the suite does not begin")
		return
	}
	for _, c := range r.Results {
		if c.Outcome != conformance.Passed && c.Outcome != conformance.Skipped {
			t.Errorf("%s (section %s): %s\n  %s\n  %s", c.Case.Name, c.Case.Section, c.Case.Rule, c.Reason, strings.Join(c.Transcript, "\n  "))
		}
	}
	t.Log(r)
}

// In virtual time it passes those that are slow as well, under both block
// policies.
func TestServerSlow(t *testing.T) {
	opts := conformance.Options{Slow: true, Strict: true}
	allPass(t, serverReport(t, opts, func(*chatserver.Server) {}, asItIs))
}

// Over TLS it passes them, too, with logins that are bound to the connection.
func TestServerTLS(t *testing.T) {
	cert, err := chatserver.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^(auth|scram|token|stream|send|in-flight|deliver|session|key|relay|end)/`)
	r := serverReport(t, conformance.Options{Strict: true, Match: match},
		func(s *chatserver.Server) { s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}} },
		func(nc net.Conn) net.Conn {
			return tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}})
		})
	allPass(t, r)
	for _, c := range r.Results {
		if c.Outcome == conformance.Skipped && strings.HasPrefix(c.Case.Name, "scram/") {
			t.Errorf("%s is skipped: %s", c.Case.Name, c.Reason)
		}
	}
}

func TestServerHide(t *testing.T) {
	opts := conformance.Options{Strict: true}
	allPass(t, serverReport(t, opts, func(s *chatserver.Server) { s.HideBlocks = true }, asItIs))
}
