package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto/conformance"
)

// checkClient checks the client that the arguments run, or that somebody runs
// by hand.
func (o *options) checkClient(ctx context.Context, stdout io.Writer) (*conformance.Report, error) {
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	t := conformance.ClientTarget{Listener: l, Account: conformance.Account{User: o.user, Password: o.password}, DialBack: o.dialBack, Options: o.Options}
	if len(o.args) > 0 {
		t.Start = o.start
		fmt.Fprintf(stdout, "checking a client that connects to %s: %s\n", l.Addr(), strings.Join(o.args, " "))
	} else {
		how := "in cleartext, logs in as %[2]s\nwith the password %[3]s, and sends every message back to its sender"
		if o.dialBack {
			how = "by TLS, logs in as %[2]s\nwith the password %[3]s, and goes away when nothing is said"
		}
		fmt.Fprintf(stdout, `listening on %[1]s
Run the client so that it connects to %[1]s `+how+`; and run it
again whenever it ends:

  while :; do YOUR-CLIENT %[1]s %[2]s %[3]s; done

`, l.Addr(), o.user, o.password)
	}
	return conformance.CheckClient(ctx, t)
}

// start runs the client once, until it ends or ctx does.
func (o *options) start(ctx context.Context, addr string, a conformance.Account) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("{addr}", addr, "{host}", host, "{port}", port, "{user}", a.User, "{password}", a.Password)
	args := make([]string, len(o.args))
	for i, arg := range o.args {
		args[i] = fill.Replace(arg)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second // for what it has started
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %s", err, lastLine(string(out)))
	}
	return nil
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}
