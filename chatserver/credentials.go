package chatserver

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// Credentials are accounts by name, with their passwords. It is a [Verifiers]
// that never changes.
//
// [ParseCredentials] makes one of a file that may also hold verifiers. It then
// has an entry of the name "", which is no account's: what names without an
// account are checked against.
//
// The keys of a password in the clear are derived when they are first needed;
// a server does that within its own bounds and with its own secret.
type Credentials map[string]string

// standIn is the name of the entry that stands for all that are not there. Its
// value has the iterations of the verifiers, and mixed behind it if there are
// passwords as well.
const (
	standIn = ""
	mixed   = "+"
)

// kinds reports what c holds, and the iterations that are the same for all.
func (c Credentials) kinds() (iterations int, verifiers, passwords bool) {
	value, ok := c[standIn]
	if !ok {
		return DefaultIterations, false, true
	}
	number, passwords := strings.CutSuffix(value, mixed)
	iterations, err := strconv.Atoi(number)
	if err != nil {
		return DefaultIterations, false, true
	}
	return iterations, true, passwords
}

// NewVerifier makes the verifier of a password for an entry of c: it has the
// iterations that all verifiers of c must have, or [DefaultIterations] if there
// is none yet. Its errors are those of the function [NewVerifier].
func (c Credentials) NewVerifier(password string) (*Verifier, error) {
	iterations, _, _ := c.kinds()
	return newVerifier(password, iterations)
}

// Exists implements [Accounts].
func (c Credentials) Exists(_ context.Context, user string) (bool, error) {
	_, ok := c[user]
	return ok && user != standIn, nil
}

// CheckPassword implements [Accounts]. The time tells neither how much of a
// password was right nor how long it is, nor whether there is such an account:
// passwords are compared by their hashes, and where one account has a verifier
// each check derives keys once.
func (c Credentials) CheckPassword(ctx context.Context, user, password string) (bool, error) {
	value, ok := c[user]
	ok = ok && user != standIn
	iterations, verifiers, _ := c.kinds()
	if !verifiers {
		return samePassword(value, password) && ok, nil
	}
	d := derivationOf(ctx)
	v := &Verifier{Salt: d.salt(user), Iterations: iterations, StoredKey: make([]byte, sha256.Size)}
	hashed := ok && strings.HasPrefix(value, verifierPrefix)
	if hashed {
		var err error
		if v, err = ParseVerifier(value); err != nil {
			return false, err
		}
	}
	right, err := d.check(ctx, v, password)
	if err != nil {
		return false, err
	}
	if !hashed {
		right = samePassword(value, password)
	}
	return right && ok, nil
}

// samePassword compares two passwords in constant time.
func samePassword(want, got string) bool {
	a, b := sha256.Sum256([]byte(handshake.Password(want))), sha256.Sum256([]byte(handshake.Password(got)))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Verifier implements [Verifiers].
func (c Credentials) Verifier(ctx context.Context, user string) (*Verifier, error) {
	value, ok := c[user]
	ok = ok && user != standIn
	iterations, verifiers, passwords := c.kinds()
	d := derivationOf(ctx)
	if ok && !(verifiers && strings.HasPrefix(value, verifierPrefix)) {
		return d.verifier(ctx, user, value, iterations)
	}
	if passwords { // what has none takes the same time
		if err := d.spend(ctx, user, iterations); err != nil {
			return nil, err
		}
	}
	if !ok {
		return &Verifier{Iterations: iterations}, nil
	}
	return ParseVerifier(value)
}

// maxCredentialsLine bounds a line of a credentials file.
const maxCredentialsLine = 4096

// ParseCredentials reads accounts, one "<username> <password>" or "<username>
// <verifier>" a line, the verifier as [Verifier.String] writes it; empty lines
// and lines that start with # are skipped. What follows the first space is all
// password or verifier. All verifiers have salts of 16 octets and the same
// number of iterations. The error is a *multierror.Error that names every bad
// line by its number: a name that [CheckAccountName] refuses, a missing
// password, a verifier of the wrong form or unlike the others, a name that
// stands twice, or two that differ only in capitals.
func ParseCredentials(r io.Reader) (Credentials, error) {
	p := &credentialsParser{accounts: make(Credentials), seen: make(map[string]int)}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxCredentialsLine)
	for sc.Scan() {
		p.n++
		line := strings.TrimSuffix(sc.Text(), "\r")
		if p.n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line != "" && line[0] != '#' {
			p.line(line)
		}
	}
	if err := sc.Err(); err != nil {
		p.n++
		p.bad("%w", err)
	}
	if p.iterations > 0 {
		p.accounts[standIn] = strconv.Itoa(p.iterations)
		if p.passwords {
			p.accounts[standIn] += mixed
		}
	}
	return p.accounts, p.errs.ErrorOrNil()
}

type credentialsParser struct {
	accounts   Credentials
	seen       map[string]int // by folded name: the line it stands in
	n          int            // of the line
	iterations int            // of the verifiers; 0 if there was none
	first      int            // the line of the first of them
	passwords  bool
	errs       *multierror.Error
}

func (p *credentialsParser) bad(format string, args ...any) {
	p.errs = multierror.Append(p.errs, fmt.Errorf("line %d: "+format, append([]any{p.n}, args...)...))
}

func (p *credentialsParser) line(line string) {
	name, value, _ := strings.Cut(line, " ")
	key := foldName(name)
	if err := CheckAccountName(name); err != nil {
		p.bad("bad user name: %w", err)
	} else if value == "" {
		p.bad("no password after the user name %q", name)
	} else if first, dup := p.seen[key]; dup {
		p.bad("user %q stands in line %d already (capitals make no difference)", name, first)
	} else if err := p.value(value); err != nil {
		p.bad("%w", err)
	} else {
		p.seen[key] = p.n
		p.accounts[name] = value
	}
}

// value takes the password or verifier of a line.
func (p *credentialsParser) value(value string) error {
	if !strings.HasPrefix(value, verifierPrefix) {
		p.passwords = true
		return nil
	}
	v, err := ParseVerifier(value)
	switch {
	case err != nil:
		return err
	case len(v.Salt) != saltSize:
		return fmt.Errorf("the salt of the verifier has %d octets; one of other than %d tells that the name exists", len(v.Salt), saltSize)
	case p.iterations == 0:
		p.iterations, p.first = v.Iterations, p.n
	case v.Iterations != p.iterations:
		return fmt.Errorf("the verifier has %d iterations; that in line %d has %d, and all must have the same, or they tell which names exist",
			v.Iterations, p.first, p.iterations)
	}
	return nil
}
