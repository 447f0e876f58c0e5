package conformance_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/conformance"
)

// checkAway runs the suite against a client that goes away.
func checkAway(t *testing.T, opts conformance.Options, start func(ctx context.Context, addr string, a conformance.Account) error) *conformance.Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := conformance.CheckClient(t.Context(), conformance.ClientTarget{Listener: l, Account: account, Start: start, DialBack: true, Options: opts})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func awayConfig(addr string) chatclient.Config {
	return chatclient.Config{Addr: addr, User: account.User, Password: account.Password, BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond,
		DialBack:  &chatclient.DialBack{Listen: "127.0.0.1:0", Quiet: 50 * time.Millisecond},
		Callbacks: chatclient.Callbacks{OnMessage: func(context.Context, chatclient.Message) error { return nil }}}
}

// runAway runs a client that shows what it takes to nobody.
func runAway(ctx context.Context, cfg chatclient.Config) error {
	c, err := chatclient.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		c.Close()
	case <-c.Done():
	}
	<-c.Done()
	return c.Err()
}

// The client passes every case of dial-back, and skips none.
func TestClientDialBack(t *testing.T) {
	t.Parallel()
	r := checkAway(t, conformance.Options{Strict: true}, func(ctx context.Context, addr string, _ conformance.Account) error {
		return runAway(ctx, awayConfig(addr))
	})
	allPass(t, r)
	for _, c := range r.Results {
		if c.Outcome == conformance.Skipped {
			t.Errorf("%s is skipped: %s", c.Case.Name, c.Reason)
		}
	}
	if len(r.Results) < 12 {
		t.Errorf("only %d cases", len(r.Results))
	}
}

// A client that does not offer dial-back skips what is about it; so does one
// that the suite was not told of.
func TestClientWithoutDialBack(t *testing.T) {
	t.Parallel()
	r := checkAway(t, conformance.Options{Strict: true}, func(ctx context.Context, addr string, _ conformance.Account) error {
		cfg := awayConfig(addr)
		cfg.DialBack = nil
		return runAway(ctx, cfg)
	})
	for _, c := range r.Results {
		if c.Outcome != conformance.Skipped || !strings.Contains(c.Reason, "does not offer dialback") {
			t.Errorf("%s %s: %s", c.Outcome, c.Case.Name, c.Reason)
		}
	}
}
