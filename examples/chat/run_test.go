//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

func TestArguments(t *testing.T) {
	for _, args := range []string{"", "127.0.0.1", "127.0.0.1 8000 x", "127.0.0.1 http", "127.0.0.1 0",
		"127.0.0.1 65536", "-nonsense 127.0.0.1 8000", "-heartbeat -1s 127.0.0.1 8000", "-user a\u200eb 127.0.0.1 8000",
		"-fingerprint sha256:12 127.0.0.1 8000", "-fingerprint " + strings.Repeat("0", 64) + " 127.0.0.1 8000",
		"-cleartext -fingerprint sha256:" + strings.Repeat("0", 64) + " 127.0.0.1 8000",
		"-listen 9000 127.0.0.1 8000", "-listen :80 127.0.0.1 8000", "-dialback=:80 127.0.0.1 8000", "-dialback=off 127.0.0.1 8000", "-dialback=9000 127.0.0.1 8000", "-listen :x 127.0.0.1 8000"} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(args), strings.NewReader(""), &out, io.Discard)
		var wrong usageError
		if !errors.As(err, &wrong) || out.Len() > 0 {
			t.Errorf("chat %s: %v, with %q on the screen, want a usage error and nothing", args, err, out.String())
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"usage: chat", "-user", "-password-file", "-cleartext", "-fingerprint", "-forget", "-config", "-state", "-listen", "-dialback", "-debug", "-time", "-heartbeat"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("chat -h does not speak of %s", want)
		}
	}
}

// A server that is not there is found out before anything is asked.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	var out bytes.Buffer
	err = run(t.Context(), []string{"-config", t.TempDir(), host, port}, strings.NewReader("columbia\n116bway\n"), &out, io.Discard)
	want := fmt.Sprintf("cannot reach the server at 127.0.0.1:%s: connection refused", port)
	if err == nil || err.Error() != want || out.Len() > 0 {
		t.Errorf("got %v, with %q on the screen, want %q and nothing", err, out.String(), want)
	}
}

func TestReason(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&chatproto.Error{Code: chatproto.ReplyBlocked, Text: "You are blocked by A"}, "You are blocked by A"},
		{fmt.Errorf("x: %w", &chatproto.Error{Code: chatproto.ReplyTooLong}), "The message is too long"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "connection refused"},
		{io.ErrUnexpectedEOF, "it was closed"},
		{&chatclient.GoodbyeError{Why: "replaced", Text: "x"}, "replaced by another login of this user"},
		{&chatclient.GoodbyeError{Why: "shutdown", Text: "The server shuts down"}, "The server shuts down"},
		{&chatclient.GoodbyeError{}, "the server ended it"},
		{chatclient.ErrConnection, "the connection was lost"},
		{fmt.Errorf("%w: %w", chatclient.ErrUnknown, errors.New("chatclient: what it is")), "what it is"},
		{multierror.Append(nil, errors.New("chatclient: one"), errors.New("chatclient: two")), "one; two"},
	} {
		if got := reason(tt.err); got != tt.want {
			t.Errorf("reason(%v) is %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A port that is taken is named.
func TestListenTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := startServer(t)
	err = run(t.Context(), []string{"-config", t.TempDir(), "-user", "A", "-password-command", "echo pa", "-listen", l.Addr().String(), "127.0.0.1", server.port},
		strings.NewReader(""), io.Discard, io.Discard)
	want := fmt.Sprintf("cannot listen for private chats on %s: address already in use", l.Addr())
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
