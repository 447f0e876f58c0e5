package chatserver_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// A server with two accounts and a filter of its own.
func Example() {
	srv := &chatserver.Server{
		Accounts: chatserver.Credentials{"alice": "wonderland", "bob": "builder"},
		Hooks: chatserver.Hooks{
			AuthorizeMessage: func(_ context.Context, m chatserver.Outgoing) error {
				if m.Text == "spam" {
					return &chatproto.Error{Code: chatproto.ReplyBlocked, Text: "No spam, please"}
				}
				return nil
			},
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "HELO v=1\nAUTH user=alice pass=wonderland\nSEND to=bob :spam\nSEND to=bob :lunch?\nQUIT\n")
	r := chatproto.NewReader(c)
	var f chatproto.Frame
	for r.Next(&f) == nil {
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %s", f.Code, f.Description)))
	}
	// Output:
	// 220
	// 230 Welcome to simple chat server!
	// Offline Messages:
	// No offline messages
	// 553 No spam, please
	// 201
	// 221
}

func ExampleCredentials() {
	accounts := chatserver.Credentials{"alice": "wonderland"}
	ok, _ := accounts.CheckPassword(context.Background(), "alice", "wonderland")
	fmt.Println(ok)
	// Output: true
}
