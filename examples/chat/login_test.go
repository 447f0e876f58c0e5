package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// The screen of the mission: two prompts, then nothing but the server's
// sentences.
func TestLoginScreen(t *testing.T) {
	in := newLineReader(strings.NewReader("google\nhasglassses\r\nhasgaases\n"))
	defer in.close()
	var out bytes.Buffer
	l := &login{out: &out, in: in}
	refused := &chatproto.Error{Code: chatproto.ReplyDenied, Text: "Invalid Password. Please try again"}

	user, password, err := l.credentials(t.Context(), nil)
	if user != "google" || password != "hasglassses" || err != nil {
		t.Fatalf("first: %q, %q, %v", user, password, err)
	}
	user, password, err = l.credentials(t.Context(), refused)
	if user != "google" || password != "hasgaases" || err != nil {
		t.Fatalf("second: %q, %q, %v", user, password, err)
	}
	if _, _, err = l.credentials(t.Context(), refused); !errors.Is(err, errNoLogin) {
		t.Fatalf("at the end of input: %v, want %v", err, errNoLogin)
	}
	want := "Username:\nPassword:\nInvalid Password. Please try again\nInvalid Password. Please try again\n"
	if out.String() != want {
		t.Errorf("the screen is %q, want %q", out.String(), want)
	}
}

// A name that cannot be one is asked for again, and a password that a flag gave
// is tried once.
func TestLoginCases(t *testing.T) {
	in := newLineReader(strings.NewReader("two words\ncolumbia\n116bway\n"))
	defer in.close()
	var out bytes.Buffer
	l := &login{out: &out, in: in}
	if user, password, err := l.credentials(t.Context(), nil); user != "columbia" || password != "116bway" || err != nil {
		t.Errorf("got %q, %q, %v", user, password, err)
	}
	if want := "Username:\nA user name has no spaces"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("the screen is %q, want it to start with %q", out.String(), want)
	}

	l = &login{out: io.Discard, user: "columbia", password: "wrong"}
	refused := &chatproto.Error{Code: chatproto.ReplyDenied}
	if _, _, err := l.credentials(t.Context(), refused); !errors.Is(err, chatproto.ErrDenied) {
		t.Errorf("a refused password of a flag: %v, want the refusal", err)
	}
}

func TestPasswordFrom(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("116bway\r\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file, command string
		want          string
		fails         bool
	}{
		{"", "", "", false},
		{file, "", "116bway", false},
		{"", "echo 116bway", "116bway", false},
		{"", "exit 3", "", true},
		{empty, "", "", true},
		{filepath.Join(dir, "none"), "", "", true},
		{file, "echo x", "", true},
	} {
		got, err := passwordFrom(t.Context(), tt.file, tt.command, io.Discard)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("passwordFrom(%q, %q) is %q, %v", tt.file, tt.command, got, err)
		}
	}
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	in := newLineReader(strings.NewReader("a\r\n\n" + long + "\n" + long[:maxLine-1] + "\nlast"))
	defer in.close()
	for i, want := range []lineResult{{"a", nil}, {"", nil}, {"", errLineTooLong}, {long[:maxLine-1], nil}, {"last", nil}, {"", io.EOF}} {
		line, err := in.next(t.Context())
		if line != want.line || !errors.Is(err, want.err) {
			t.Errorf("line %d is %.20q, %v, want %.20q, %v", i, line, err, want.line, want.err)
		}
	}

	r, w := io.Pipe()
	defer w.Close()
	waiting := newLineReader(r)
	defer waiting.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waiting.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader whose context is done returns %v", err)
	}
}
