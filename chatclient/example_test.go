package chatclient_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// dialScript makes the Dial of an example: the other end of the connection
// reads a line and writes an answer in turn.
func dialScript(answers ...string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			lines := bufio.NewScanner(server)
			for _, answer := range answers {
				if !lines.Scan() {
					return
				}
				fmt.Fprint(server, strings.ReplaceAll(answer, "\n", "\r\n"))
			}
			for lines.Scan() {
			}
		}()
		return client, nil
	}
}

func Example() {
	ctx := context.Background()
	shown := make(chan struct{})
	c, err := chatclient.Dial(ctx, chatclient.Config{
		// Addr: "chat.example.com:8000" in a program; here the server is a
		// script, without TLS.
		Cleartext: chatclient.CleartextLocal,
		Dial: dialScript(
			"220 v=1 mech=PLAIN boot=9c t=0\n",
			"230 user=columbia new=1 known=0 high=0 mail=1 :Welcome to simple chat server!\\nOffline Messages:\n"+
				"MESG from=google id=1f2e.7 t=0 :google: are you there?\n",
			"", // ACKD
			"201 n=1 how=delivered\n",
			"550 n=2 :not_a_user is not a valid user.\n",
			"221 n=3\n",
		),
		User:     "columbia",
		Password: "116bway",
		Callbacks: chatclient.Callbacks{
			OnState: func(_ context.Context, s chatclient.State) {
				if s.Text != "" {
					fmt.Println(s.Text)
				}
			},
			OnMessage: func(_ context.Context, m chatclient.Message) error {
				fmt.Println(m.Description)
				close(shown)
				return nil // taken: the server may forget it
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-shown

	receipt, err := c.Send(ctx, "google", "yes")
	fmt.Println(receipt.How, err)

	_, err = c.Send(ctx, "not_a_user", "hello?")
	var refusal *chatproto.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Text, errors.Is(err, chatproto.ErrNoSuchUser))
	}

	fmt.Println(c.Logout(ctx))
	<-c.Done()
	// Output:
	// Welcome to simple chat server!
	// Offline Messages:
	// google: are you there?
	// delivered <nil>
	// not_a_user is not a valid user. true
	// <nil>
}

// A program asks for the password, and shows why a login was refused.
func ExampleConfig_credentials() {
	typed := []string{"hasglassses", "hasglasses"}
	c, err := chatclient.Dial(context.Background(), chatclient.Config{
		Cleartext: chatclient.CleartextLocal,
		Dial: dialScript(
			"220 v=1 mech=PLAIN boot=9c t=0\n",
			"535 left=2 :Invalid Password. Please try again\n",
			"230 user=google new=1 known=0 high=0 mail=0 :Welcome to simple chat server!\n",
		),
		Credentials: func(_ context.Context, refused *chatproto.Error) (user, password string, err error) {
			if refused != nil {
				fmt.Println(refused.Text)
			}
			password, typed = typed[0], typed[1:]
			return "google", password, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("logged in as", c.User())
	c.Close()
	<-c.Done()
	// Output:
	// Invalid Password. Please try again
	// logged in as google
}

// A program that remembers over crashes: what it sends and what it was shown
// is in a file. Its own data holds the ids of messages, so that a message is
// entered once even if the program died right after the callback.
func ExampleStateFile() {
	file, err := chatclient.OpenStateFile(filepath.Join(os.TempDir(), fmt.Sprint("parley-example-", os.Getpid())))
	if err != nil {
		fmt.Println(err) // in use by another program, damaged, ...
		return
	}
	defer os.Remove(filepath.Join(os.TempDir(), fmt.Sprint("parley-example-", os.Getpid())))
	defer file.Close()

	type key struct {
		from string
		id   chatproto.ID
	}
	entered := map[key]string{} // a table of the application's own database
	shown := make(chan struct{})
	c, err := chatclient.Dial(context.Background(), chatclient.Config{
		Cleartext: chatclient.CleartextLocal,
		Dial: dialScript(
			"220 v=1 mech=PLAIN boot=9c t=0\n",
			"230 user=columbia new=1 known=0 high=0 mail=1 :Welcome to simple chat server!\n"+
				"MESG from=google id=1f2e.7 t=0 :google: are you there?\n",
			"", // ACKD
		),
		User: "columbia", Password: "116bway",
		StateFile: file,
		Callbacks: chatclient.Callbacks{
			OnMessage: func(_ context.Context, m chatclient.Message) error {
				k := key{m.From, m.ID}
				if _, again := entered[k]; !again {
					entered[k] = m.Text // one transaction
				}
				close(shown)
				return nil
			},
			OnOutcome: func(_ context.Context, o chatclient.Outcome) {
				fmt.Println("left by an earlier run:", o.To, o.Text, o.Err)
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-shown
	fmt.Println(len(entered), "entered")
	c.Close()
	<-c.Done() // before file.Close
	// Output: 1 entered
}
