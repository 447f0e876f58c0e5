// Chatbench puts load on a chat server, tells what that cost, and checks that
// the server kept its word meanwhile: every message answered once, every
// delivery once and in order. Else it exits with status 1.
//
//	chatbench [flags]             the workloads -w1 to -w5, all without one
//	chatbench accounts N          N accounts, for a credentials file
//	chatbench strangers [flags]   many bad connections beside a good one
//	chatbench scale -pid PID      what a message costs as the server fills
//
// The workloads:
//
//	-w1  ping-pong: one message at a time, there and back
//	-w2  point to point: pairs, each with a window of messages unanswered
//	-w3  fan-out: one sender, broadcasts to many receivers
//	-w4  logins as fast as they go, then idle connections
//	-w5  store and forward: messages to users who are away, read later
//
// It wants a server of its own: it logs in as bench0, bench1 and so on, takes
// their mail, and its broadcasts go to everybody who is online.
//
//	chatbench accounts 20000 > credentials.txt
//	chatd 8000 &
//	chatbench -pid $!
//
// The flags are listed by chatbench -h. Figures of the server's processor
// time and memory want -pid, and Linux.
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
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "chatbench: interrupted")
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "chatbench:", err)
		os.Exit(1)
	}
}
