package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

var update = flag.Bool("update", false, "write what the tests see into testdata")

// golden compares a text with the one that was approved.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(sourceDir, "testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

// sourceDir is where the tests are started.
var sourceDir, _ = os.Getwd()

// The help is a text that somebody has read, and has every flag once.
func TestHelp(t *testing.T) {
	var b bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, nil, io.Discard, &b); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
	golden(t, "help", b.String())
	var shown, have []string
	for _, g := range flagGroups {
		shown = append(shown, g.flags...)
	}
	new(options).flags(io.Discard).VisitAll(func(f *flag.Flag) { have = append(have, f.Name) })
	slices.Sort(shown)
	if diff := cmp.Diff(have, shown); diff != "" {
		t.Errorf("the flags (-there +shown)\n%s", diff)
	}
}

// A flag's default is that of the server.
func TestDefaults(t *testing.T) {
	o, err := parseArgs([]string{"8000"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	srv := new(chatserver.Server)
	if err := srv.Close(); err != nil { // which fills in the defaults
		t.Fatal(err)
	}
	o.limits = fill(o.limits, srv.Limits)
	if diff := cmp.Diff(srv.Limits, o.limits); diff != "" {
		t.Errorf("the limits (-server +chatd)\n%s", diff)
	}
	if o.lockout != srv.Lockout || o.heartbeat != srv.Heartbeat || o.timeout != srv.Timeout || o.mailboxMessages != srv.MailboxMessages || o.mailboxBytes != srv.MailboxBytes {
		t.Errorf("chatd has other defaults than the server: %+v", o)
	}
}

// fill takes what there is no flag for from the server.
func fill(l, server chatserver.Limits) chatserver.Limits {
	l.HandshakeTimeout, l.LoginAttempts, l.FailureRate = server.HandshakeTimeout, server.LoginAttempts, server.FailureRate
	l.RequestBurst, l.OutboundBytes = server.RequestBurst, server.OutboundBytes
	return l
}

// Flags of several values.
func TestLists(t *testing.T) {
	o, err := parseArgs([]string{"-acme", "Chat.example.org, irc.example.org", "-proxy-from", "192.0.2.1,10.1.2.3/8,2001:db8::1", "8000"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := (list{"chat.example.org", "irc.example.org"}); !slices.Equal(o.acme, want) {
		t.Errorf("-acme is %v, want %v", o.acme, want)
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}
	if !slices.Equal(o.proxyFrom, want) {
		t.Errorf("-proxy-from is %v, want %v", o.proxyFrom, want)
	}
}
