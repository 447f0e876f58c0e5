// Relayed is a chat client that lets the server carry private chats. Its
// arguments are the server and a user; it does what it is told, a line each,
// and prints what comes.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/parleyproto/parley/chatclient"
)

func main() {
	cfg := chatclient.Config{Addr: os.Args[1], User: os.Args[2], Password: "p" + strings.ToLower(os.Args[2]), Cleartext: chatclient.CleartextAlways, Relay: true}
	cfg.Callbacks = chatclient.Callbacks{
		OnMessage: func(_ context.Context, m chatclient.Message) error {
			_, err := fmt.Println(m.Description)
			return err
		},
		OnConsentAsked: func(_ context.Context, user, _ string) { fmt.Println(user + " asks") },
		OnAddress:      func(_ context.Context, a chatclient.Address) { fmt.Println(a.Text) },
		OnRevoked:      func(_ context.Context, r chatclient.Revocation) { fmt.Println(r.Owner + ": " + r.Why) },
		OnPrivate: func(_ context.Context, m chatclient.PrivateMessage) error {
			_, err := fmt.Println("private from " + m.From + ": " + m.Text)
			return err
		},
	}
	c, err := chatclient.Dial(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("logged in")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(do(c, in.Text()))
	}
	c.Logout(context.Background())
}

// do does what a line says, and returns how it went.
func do(c *chatclient.Client, line string) string {
	ctx := context.Background()
	words := strings.SplitN(line, " ", 3)
	var err error
	switch words[0] {
	case "getaddress":
		err = c.RequestAddress(ctx, words[1])
	case "consent":
		err = c.Consent(ctx, words[1])
	case "revoke":
		err = c.Revoke(ctx, words[1])
	case "message":
		_, err = c.Send(ctx, words[1], words[2])
	case "private":
		_, err = c.Private(ctx, words[1], words[2])
	default:
		err = errors.New("what?")
	}
	switch {
	case errors.Is(err, chatclient.ErrNoConsent):
		return "no consent"
	case errors.Is(err, chatclient.ErrPeerGone):
		return "gone"
	case err != nil:
		return err.Error()
	}
	return "done"
}
