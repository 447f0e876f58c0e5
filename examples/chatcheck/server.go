package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/parleyproto/parley/chatproto/conformance"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// checkServer checks the server whose address is the argument.
func (o *options) checkServer(ctx context.Context, stdout io.Writer) (*conformance.Report, error) {
	accounts := conformance.DemoAccounts()
	if o.credentials != "" {
		var err error
		if accounts, err = readAccounts(o.credentials); err != nil {
			return nil, err
		}
	}
	addr := o.args[0]
	fmt.Fprintf(stdout, "checking the server at %s as the users %s, %s and %s\n", addr, accounts[0].User, accounts[1].User, accounts[2].User)
	return conformance.CheckServer(ctx, conformance.ServerTarget{
		Dial: o.dialer(addr, stdout), Accounts: accounts, Options: o.Options,
		Timeout: o.timeout, IdleTimeout: o.idleTimeout, LoginTimeout: o.loginTimeout,
	})
}

// dialer returns how the server is connected to. These are accounts of a test,
// so with -tls and without -fingerprint any key will do; it is printed once.
func (o *options) dialer(addr string, stdout io.Writer) func(context.Context) (net.Conn, error) {
	if !o.tls && o.fingerprint == "" {
		return func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	var once sync.Once
	d := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{handshake.ALPN},
		InsecureSkipVerify: true, // VerifyConnection decides
		VerifyConnection: func(s tls.ConnectionState) error {
			key := handshake.Fingerprint(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if o.fingerprint != "" && key != o.fingerprint {
				return fmt.Errorf("the server's key is %s", key)
			}
			once.Do(func() { fmt.Fprintf(stdout, "its key is %s\n", key) })
			return nil
		},
	}}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

// readAccounts reads a credentials file, as chatd's: one "<username>
// <password>" a line. Lines with a verifier are passed over.
func readAccounts(name string) ([]conformance.Account, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the accounts: %w", err)
	}
	defer f.Close()
	var accounts []conformance.Account
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, fmt.Errorf("cannot read the accounts: %w", err)
			}
			break
		}
		line := strings.TrimSuffix(lines.Text(), "\r")
		user, password, ok := strings.Cut(line, " ")
		if ok && line[0] != '#' && !strings.HasPrefix(password, "SCRAM-SHA-256$") {
			accounts = append(accounts, conformance.Account{User: user, Password: password})
		}
	}
	if len(accounts) < 3 {
		return nil, fmt.Errorf("%s has %d accounts with passwords; three are needed, that nobody else uses meanwhile", name, len(accounts))
	}
	return accounts, nil
}
