// Embed is a chat server and two of its users in one program: the smallest
// use of both packages.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

func main() {
	if err := embed(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func embed(ctx context.Context) error {
	srv := &chatserver.Server{Accounts: chatserver.Credentials{"alice": "wonderland", "bob": "builder"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go srv.Serve(l)
	defer srv.Close()

	got := make(chan string, 1)
	bob, err := chatclient.Dial(ctx, chatclient.Config{Addr: l.Addr().String(), Cleartext: chatclient.CleartextLocal, User: "bob", Password: "builder",
		Callbacks: chatclient.Callbacks{OnMessage: func(_ context.Context, m chatclient.Message) error {
			got <- m.Description
			return nil // taken: the server may forget it
		}}})
	if err != nil {
		return err
	}
	defer bob.Close()
	alice, err := chatclient.Dial(ctx, chatclient.Config{Addr: l.Addr().String(), Cleartext: chatclient.CleartextLocal, User: "alice", Password: "wonderland"})
	if err != nil {
		return err
	}
	defer alice.Close()
	receipt, err := alice.Send(ctx, "bob", "lunch?")
	if err != nil {
		return err
	}
	fmt.Println(<-got)
	fmt.Println("it was", receipt.How)
	return nil
}
