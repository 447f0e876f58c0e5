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

// A credentials file may have passwords, or what verifies them.
func ExampleParseCredentials() {
	v, err := chatserver.NewVerifier("builder")
	if err != nil {
		fmt.Println(err)
	}
	accounts, err := chatserver.ParseCredentials(strings.NewReader("alice wonderland\nbob " + v.String() + "\n"))
	if err != nil {
		fmt.Println(err)
	}
	for _, password := range []string{"builder", "wonderland", v.String()} {
		ok, _ := accounts.CheckPassword(context.Background(), "bob", password)
		fmt.Println(ok)
	}
	// Output:
	// true
	// false
	// false
}

// Without Accounts the server keeps accounts in its store.
func ExampleServer_SetPassword() {
	ctx := context.Background()
	srv := new(chatserver.Server)
	defer srv.Close()
	fmt.Println(srv.SetPassword(ctx, "alice", "wonderland"))
	fmt.Println(srv.SetPassword(ctx, "Alice", "looking glass"))
	fmt.Println(srv.RemoveAccount(ctx, "bob"))
	// Output:
	// <nil>
	// chatserver: there is an account "alice", which differs in capitals only
	// 550 bob is not a valid user.
}

func ExampleCheckAccountName() {
	for _, name := range []string{"alice", "\u0430lice", "two words"} { // the second with a Cyrillic a
		fmt.Println(chatserver.CheckAccountName(name))
	}
	// Output:
	// <nil>
	// a user name keeps to one script (or to Latin with Chinese, Japanese or Korean)
	// a user name has 1 to 64 octets, without spaces, control and format characters
}
