package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatserver"
)

// demo are the accounts of a server without a credentials file: those of the
// demo sessions.
var demo = chatserver.Credentials{
	"columbia": "116bway", "google": "hasglasses", "A": "passA", "B": "passB", "C": "passC",
}

// accounts are the accounts of now; others can take their place at any time.
// It is a [chatserver.Verifiers].
type accounts struct {
	current atomic.Pointer[chatserver.Credentials]
}

// replace puts others in the place of the accounts. The server is then to be
// told (Server.EndRemoved): it may remember what it derived of the old ones.
func (a *accounts) replace(c chatserver.Credentials) { a.current.Store(&c) }

func (a *accounts) Exists(ctx context.Context, user string) (bool, error) {
	return a.current.Load().Exists(ctx, user)
}

func (a *accounts) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	return a.current.Load().CheckPassword(ctx, user, password)
}

func (a *accounts) Verifier(ctx context.Context, user string) (*chatserver.Verifier, error) {
	return a.current.Load().Verifier(ctx, user)
}

// readCredentials reads the credentials file, and finds what is unwise about
// it. The error is fs.ErrNotExist if there is no file.
func readCredentials(file string) (c chatserver.Credentials, unwise []string, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, missing{file}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the credentials file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the credentials file: %w", err)
	}
	if c, err = chatserver.ParseCredentials(f); err != nil {
		return nil, nil, credentialsError("the credentials file "+file+" has", err)
	}
	n := accountsIn(c)
	if n == 0 {
		return nil, nil, fmt.Errorf("the credentials file %s has no account; %s makes one", file, passwdCommand("add", file))
	}
	if plain := plaintexts(c); plain > 0 {
		unwise = append(unwise, fmt.Sprintf("%s has %d of %d passwords in plaintext, for everybody who ever gets to see the file; to keep only what verifies them: %s",
			file, plain, n, passwdCommand("import", file)))
	}
	return c, append(unwise, openToOthers(file, info)...), nil
}

// missing says that there is no credentials file.
type missing struct{ file string }

func (m missing) Error() string {
	return fmt.Sprintf("there is no credentials file %s; %s makes one", m.file, passwdCommand("add", m.file))
}

func (m missing) Is(err error) bool { return err == fs.ErrNotExist }

// accountsIn counts the accounts.
func accountsIn(c chatserver.Credentials) (n int) {
	for name := range c {
		if name != "" { // which is no account's
			n++
		}
	}
	return n
}

// plaintexts counts the accounts whose password is in the file as it is.
func plaintexts(c chatserver.Credentials) (n int) {
	for name, value := range c {
		if name != "" && isPlaintext(value) {
			n++
		}
	}
	return n
}

func isPlaintext(value string) bool {
	_, err := chatserver.ParseVerifier(value)
	return err != nil
}

// passwdCommand is what an operator types.
func passwdCommand(verb, file string) string {
	if file == defaultCredentials {
		return "chatd passwd " + verb
	}
	return "chatd passwd " + verb + " -credentials " + file
}

// openToOthers finds a file whose secrets others than its owner and readers of
// its group get to see, or can change.
func openToOthers(file string, info fs.FileInfo) []string {
	const others = 0o027
	if runtime.GOOS == "windows" || info.Mode().Perm()&others == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s is open to other users of this machine (%v); close it: chmod 600 %[1]s", file, info.Mode())}
}

// credentialsError names every bad line that a file has.
func credentialsError(fileHas string, err error) error {
	var all *multierror.Error
	if !errors.As(err, &all) {
		return fmt.Errorf("%s a fault: %w", fileHas, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d bad line(s):", fileHas, len(all.Errors))
	for _, e := range all.Errors {
		fmt.Fprintf(&b, "\n  %v", e)
	}
	return errors.New(b.String())
}
