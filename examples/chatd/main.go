// Chatd is a chat server for one box.
//
//	chatd [flags] <port>
//	chatd backup|check|export|import [-data DIR] [FILE]
//
// Accounts come from credentials.txt, one "<username> <password>" a line.
// Without that file chatd serves demo accounts, on loopback only, and prints
// them. Run chatd -h for the flags.
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
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "chatd:", err)
		os.Exit(1)
	}
}
