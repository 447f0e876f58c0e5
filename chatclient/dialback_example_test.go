package chatclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// Two users without a connection: what one of them sends makes one, and the
// server calls the other.
func ExampleDialBack() {
	folder, err := os.MkdirTemp("", "dialback")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	cert, err := chatserver.SelfSigned(folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &chatserver.Server{Accounts: chatserver.Credentials{"alice": "wonderland", "bob": "builder"},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, DialBack: true}
	go srv.Serve(l)
	defer srv.Close()

	ctx := context.Background()
	away, shown := make(chan bool, 10), make(chan bool)
	dial := func(user, password string) *chatclient.Client {
		c, err := chatclient.Dial(ctx, chatclient.Config{Addr: l.Addr().String(), User: user, Password: password,
			DialBack: &chatclient.DialBack{Quiet: 10 * time.Millisecond}, // a program for people leaves it at 2 s
			Callbacks: chatclient.Callbacks{
				OnMessage: func(_ context.Context, m chatclient.Message) error {
					fmt.Println(m.Description)
					close(shown)
					return nil
				},
				OnState: func(_ context.Context, s chatclient.State) {
					if s.Kind == chatclient.Away {
						away <- true
					}
				},
			}})
		if err != nil {
			panic(err)
		}
		<-away
		return c
	}
	alice, bob := dial("alice", "wonderland"), dial("bob", "builder")

	_, err = alice.Send(ctx, "bob", "are you there?")
	<-shown
	fmt.Println(err)
	names, err := bob.Online(ctx)
	fmt.Println(names, err)
	fmt.Println(alice.Logout(ctx), bob.Logout(ctx))
	// Output:
	// alice: are you there?
	// <nil>
	// [alice] <nil>
	// <nil> <nil>
}
