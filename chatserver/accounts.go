package chatserver

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/text/cases"

	"github.com/parleyproto/parley/chatproto"
)

// Accounts says who may log in. The server calls it from many goroutines at
// once. An error is the store's behind it, not a refusal: the client is told
// to try later.
type Accounts interface {
	// Exists reports whether there is an account of this name.
	Exists(ctx context.Context, user string) (bool, error)
	// CheckPassword reports whether this is the account's password. For a
	// name without an account it takes as long as for one with, and reports
	// false.
	CheckPassword(ctx context.Context, user, password string) (bool, error)
}

// Credentials are accounts by name, with their passwords. It is an [Accounts]
// that never changes.
type Credentials map[string]string

// Exists implements [Accounts].
func (c Credentials) Exists(_ context.Context, user string) (bool, error) {
	_, ok := c[user]
	return ok, nil
}

// CheckPassword implements [Accounts]. It compares hashes, so that the time
// tells neither how much of a password was right nor how long it is, nor
// whether there is such an account.
func (c Credentials) CheckPassword(_ context.Context, user, password string) (bool, error) {
	want, ok := c[user]
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok, nil
}

// maxCredentialsLine bounds a line of a credentials file.
const maxCredentialsLine = 4096

// ParseCredentials reads accounts, one "<username> <password>" a line; empty
// lines and lines that start with # are skipped. The password is all that
// follows the first space. The error is a *multierror.Error that names every
// bad line by its number: a name of the wrong form, a missing password, a
// name that stands twice, or two that differ only in capitals.
func ParseCredentials(r io.Reader) (Credentials, error) {
	accounts := make(Credentials)
	seen := make(map[string]int) // by folded name: the line it stands in
	fold := cases.Fold()
	var errs *multierror.Error
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxCredentialsLine)
	n := 0
	for sc.Scan() {
		n++
		line := strings.TrimSuffix(sc.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, _ := strings.Cut(line, " ")
		bad := func(format string, args ...any) {
			errs = multierror.Append(errs, fmt.Errorf("line %d: "+format, append([]any{n}, args...)...))
		}
		key := fold.String(name)
		if err := chatproto.CheckName(name); err != nil {
			bad("bad user name: 1 to 64 octets without spaces, control or format characters")
		} else if password == "" {
			bad("no password after the user name %q", name)
		} else if first, dup := seen[key]; dup {
			bad("user %q stands in line %d already (capitals make no difference)", name, first)
		} else {
			seen[key] = n
			accounts[name] = password
		}
	}
	if err := sc.Err(); err != nil {
		errs = multierror.Append(errs, fmt.Errorf("line %d: %w", n+1, err))
	}
	return accounts, errs.ErrorOrNil()
}
