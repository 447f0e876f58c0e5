package chatclient_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// pair returns two clients of a server on this machine, of which the first
// has a state file if state says so, and takes messages by take.
func pair(b *testing.B, state bool, take func()) (c, peer *chatclient.Client) {
	srv := &chatserver.Server{Accounts: chatserver.Credentials{"A": "x", "B": "x"}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := async(func() error { return srv.Serve(ln) })
	cfg := chatclient.Config{Addr: ln.Addr().String(), Cleartext: chatclient.CleartextLocal, User: "A", Password: "x",
		Callbacks: chatclient.Callbacks{OnMessage: func(context.Context, chatclient.Message) error { take(); return nil }}}
	var file *chatclient.StateFile
	if state {
		if file, err = chatclient.OpenStateFile(filepath.Join(b.TempDir(), "state")); err != nil {
			b.Fatal(err)
		}
		cfg.StateFile = file
	}
	if c, err = chatclient.Dial(context.Background(), cfg); err != nil {
		b.Fatal(err)
	}
	cfg.User, cfg.Callbacks, cfg.StateFile = "B", chatclient.Callbacks{}, nil
	if peer, err = chatclient.Dial(context.Background(), cfg); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		end(c)
		end(peer)
		if file != nil {
			file.Close()
		}
		srv.Close()
		<-served
	})
	return c, peer
}

// many sends n messages, before each of which it waits for room, and of which
// up to width wait for their answer.
func many(b *testing.B, c *chatclient.Client, to string, n, width int, room func()) {
	work := make(chan struct{})
	var all sync.WaitGroup
	for range width {
		all.Go(func() {
			for range work {
				if _, err := c.Send(context.Background(), to, "a text as people write it"); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range n {
		room()
		work <- struct{}{}
	}
	close(work)
	all.Wait()
}

func BenchmarkSend(b *testing.B) {
	for _, state := range []string{"memory", "file"} {
		for _, width := range []int{1, 64, 250} {
			b.Run(state+"/"+itoa(width), func(b *testing.B) {
				c, _ := pair(b, state == "file", func() {})
				b.ResetTimer()
				many(b, c, "B", b.N, width, func() {})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, state := range []string{"memory", "file"} {
		b.Run(state, func(b *testing.B) {
			room := make(chan struct{}, 1000) // fewer than a mailbox takes
			_, peer := pair(b, state == "file", func() { <-room })
			b.ResetTimer()
			many(b, peer, "A", b.N, 250, func() { room <- struct{}{} })
			for range cap(room) { // all are taken
				room <- struct{}{}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
