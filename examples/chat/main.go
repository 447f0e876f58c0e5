// Chat is a chat client for the terminal.
//
//	chat [flags] <server ip> <port>
//
// It asks for a name and a password and then takes the commands message,
// broadcast, online, block, unblock, getaddress, consent, revoke, private and
// logout; /help explains them. On a terminal there are line editing, a history
// and completion by Tab; through pipes it reads one command a line and logs out
// at the end of input.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() { // a second ^C does not wait for the server's goodbye
		<-ctx.Done()
		stop()
	}()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(status(err))
}

// status tells on standard error what has gone wrong, and returns the exit
// status: 2 for wrong arguments, 1 for everything else.
func status(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "chat:", err)
		fmt.Fprintln(os.Stderr, "usage: chat [flags] <server ip> <port>; chat -h lists the flags")
		return 2
	case !errors.Is(err, errShown):
		fmt.Fprintln(os.Stderr, "chat:", err)
	}
	return 1
}
