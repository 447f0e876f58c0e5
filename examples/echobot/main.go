// Echobot logs in and sends each message that it gets back to its sender. It
// shows the whole of a client in a few lines. With a server on this machine,
//
//	CHAT_PASSWORD=hasglasses go run ./examples/echobot 127.0.0.1:8000 google
//
// runs it as the user google of the demo credentials, until ^C. A server
// elsewhere, unless an authority vouches for it, is known by its fingerprint,
// which chatd prints when it starts:
//
//	echobot -fingerprint sha256:... chat.example.org:8000 google
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/parleyproto/parley/chatclient"
)

func main() {
	cfg := chatclient.Config{Password: os.Getenv("CHAT_PASSWORD")}
	flag.StringVar(&cfg.Fingerprint, "fingerprint", "", "accept the server only if its key has this `fingerprint`")
	pins := flag.String("pins", knownServers(), "remember the servers in this `file`, the same as chat does")
	cleartext := flag.Bool("cleartext", false, "do without TLS if the server is on this machine")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: CHAT_PASSWORD=... echobot [flags] <server:port> <user>")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	cfg.Addr, cfg.User = flag.Arg(0), flag.Arg(1)
	if *pins != "" {
		cfg.Pins = chatclient.PinFile(*pins)
	}
	if *cleartext {
		cfg.Cleartext = chatclient.CleartextLocal
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, cfg)
	if errors.Is(err, chatclient.ErrServerUnknown) {
		err = fmt.Errorf("%w\n-fingerprint gives the key", err)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "echobot:", err)
		os.Exit(1)
	}
}

// knownServers is where chat remembers servers; "" if there is no such place.
func knownServers() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "parley", "known_servers")
}
