// Chatcheck checks whether a server or a client keeps to the protocol's
// SPEC.md, whatever it is written in.
//
//	chatcheck server [flags] HOST:PORT
//	chatcheck client [flags] [COMMAND…]
//
// A server is connected to, with three accounts of it that nobody else uses
// meanwhile; see -credentials. A client is what COMMAND runs, once a case; it
// is to connect to {addr} (or {host} and {port}) in cleartext, log in as {user}
// with {password}, and send every message back to its sender. Without a COMMAND
// chatcheck says what to run by hand.
//
// It prints what a program does wrong, and which rule of which section says
// so, and ends with the line "N cases passed". Its exit status is 0 if no case
// failed, 1 if one did, 2 if nothing could be checked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errFailed):
		os.Exit(1)
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "chatcheck:", err)
		os.Exit(2)
	}
}
