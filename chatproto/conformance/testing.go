package conformance

import (
	"context"
	"net"
	"strings"
	"testing"
)

// Server runs the cases as subtests against the server that dial connects to,
// with three accounts of it that nobody else uses; without accounts, those of
// a chatd that serves its demo accounts. Cases that are slow are left out; see
// [CheckServer].
func Server(t *testing.T, dial func(context.Context) (net.Conn, error), accounts ...Account) {
	t.Helper()
	if len(accounts) == 0 {
		accounts = DemoAccounts()
	}
	target := ServerTarget{Dial: dial, Accounts: accounts, Options: Options{Strict: true}}
	suite, err := newServerSuite(t.Context(), &target)
	if err != nil {
		t.Fatal(err)
	}
	target.run(t.Context(), ServerCases(), func(c *Case) Result {
		return subtest(t, c, func() Result { return suite.runCase(t.Context(), c) })
	})
}

// Client runs the cases as subtests against a client: start runs it until ctx
// ends or it ends by itself; it is to connect to addr, which is l's, and log in
// as the account. Cases that are slow are left out; see [CheckClient].
func Client(t *testing.T, l net.Listener, a Account, start func(ctx context.Context, addr string, a Account) error) {
	t.Helper()
	target := ClientTarget{Listener: l, Account: a, Start: start, Options: Options{Strict: true}}
	suite, err := newClientSuite(&target)
	if err != nil {
		t.Fatal(err)
	}
	defer suite.close()
	if err := suite.probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	target.run(t.Context(), target.cases(), func(c *Case) Result {
		return subtest(t, c, func() Result { return suite.runCase(t.Context(), c) })
	})
}

// DemoAccounts returns the accounts A, B and C that chatd serves when it has
// no credentials file.
func DemoAccounts() []Account { return []Account{{"A", "passA"}, {"B", "passB"}, {"C", "passC"}} }

// subtest runs one case as a subtest.
func subtest(t *testing.T, c *Case, run func() Result) (r Result) {
	t.Run(c.Name, func(t *testing.T) {
		switch r = run(); r.Outcome {
		case Failed:
			t.Errorf("section %s: %s\n%s\n  %s", c.Section, c.Rule, r.Reason, strings.Join(r.Transcript, "\n  "))
		case Skipped:
			t.Skip(r.Reason)
		}
	})
	return r
}
