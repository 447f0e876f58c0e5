// Echobot logs in and sends each message that it gets back to its sender. It
// shows the whole of a client in a few lines. With a server on this machine,
//
//	CHAT_PASSWORD=hasglasses go run ./examples/echobot 127.0.0.1:8000 google
//
// runs it as the user google of the demo credentials, until ^C.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: CHAT_PASSWORD=... echobot <server:port> <user>")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2], os.Getenv("CHAT_PASSWORD")); err != nil {
		fmt.Fprintln(os.Stderr, "echobot:", err)
		os.Exit(1)
	}
}
