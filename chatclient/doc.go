// Package chatclient is a client of the Parley chat protocol (chatproto's
// SPEC.md), driven by callbacks. One [Client] is one login: it connects, logs
// in, sends, receives, and comes back by itself when the connection is lost.
//
//	c, err := chatclient.Dial(ctx, chatclient.Config{
//		Addr: "localhost:8000", User: "columbia", Password: "116bway",
//		Callbacks: chatclient.Callbacks{
//			OnMessage: func(ctx context.Context, m chatclient.Message) error {
//				fmt.Println(m.Description)
//				return nil // taken: the server may forget it
//			},
//		},
//	})
//	receipt, err := c.Send(ctx, "google", "hello!")
//
// # What is guaranteed
//
// A nil error from [Client.Send] says that the message is on the server's
// stable storage or was taken by the recipient's callback. A message that was
// sent when the connection broke is sent again under its old number, which
// the server recognizes, so it is delivered once. OnMessage sees each message
// once, and the messages of one sender in order, with these exceptions:
//
//   - This client remembers what it has seen in memory only. A message that
//     was taken, but whose acknowledgement did not reach the server before the
//     program ended, is shown again to the restarted program. Its
//     [Message.ID] lets the application recognize it.
//   - An error that matches [ErrUnknown] means "maybe delivered".
//   - A broadcast that the server decided anew after a crash may have been
//     seen by somebody outside its final audience.
//
// # Goroutines
//
// A Client's methods may be called by any goroutine, also from callbacks: all
// callbacks run on one goroutine that nothing else waits for, so a callback
// may call Send and wait for the receipt.
package chatclient
