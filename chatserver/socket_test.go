package chatserver_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

// TestSocket: a connection of the system, which is read and written in a way
// of its own, takes the same requests and gives the same answers however what
// is sent is cut into pieces, and also when nobody reads for a while.
func TestSocket(t *testing.T) {
	var script bytes.Buffer
	script.WriteString("HELO v=1 acks=1 pres=0 beat=60000\r\nAUTH user=A pass=passA origin=a\r\n")
	for i := range 400 {
		switch i % 4 {
		case 0:
			script.WriteString("SEND to=nobody :" + strings.Repeat("y", i*17) + "\r\n")
		case 1:
			script.WriteString("ONLN\r\n")
		case 2:
			script.WriteString("not a frame\r\n")
		case 3:
			script.WriteString("SEND to=A :" + strings.Repeat("z", 9000) + "\r\n") // too long
		}
	}
	script.WriteString("QUIT\r\n")
	play := func(cut func(left int) int) string {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go srv.Serve(l)
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		var got []byte
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for b := script.Bytes(); len(b) > 0; {
				n := min(cut(len(b)), len(b))
				if _, err := nc.Write(b[:n]); err != nil {
					t.Error(err)
					return
				}
				b = b[n:]
			}
		}()
		got, err = io.ReadAll(nc)
		if err != nil {
			t.Error(err)
		}
		<-sent
		return clock.ReplaceAllString(string(got), "")
	}
	want := play(func(left int) int { return left })
	if n := strings.Count(want, "\n"); !strings.Contains(want, "\r\n221") || n < 400 {
		t.Fatalf("%d lines, and the end %q", n, want[max(0, len(want)-80):])
	}
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 3))
		most := []int{40, 300, 2000, 20000, 70000}[seed]
		if d := cmp.Diff(want, play(func(int) int { return 1 + rng.IntN(most) })); d != "" {
			t.Errorf("pieces of at most %d octets (-whole +pieces)\n%s", most, d)
		}
	}
}
