// Chatd is a chat server for one box.
//
//	chatd [flags] <port>
//	chatd passwd add|set|del|list|import [-credentials FILE] [USER]
//	chatd backup|check|export|import [-data DIR] [FILE]
//
// Accounts come from credentials.txt; chatd passwd looks after it. Without
// that file chatd serves demo accounts, on loopback only, and prints them.
// Clients connect by TLS, and from the same machine also in cleartext. Run
// chatd -h for the flags.
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
	switch err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "chatd:", err)
		os.Exit(1)
	}
}
