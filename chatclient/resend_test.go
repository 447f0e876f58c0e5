package chatclient_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// sendMore sends so many messages, "1" first, none of which is answered.
func sendMore(c *chatclient.Client, count int) (results []<-chan sent) {
	for n := range count {
		results = append(results, send(c, "A", itoa(n+1)))
		synctest.Wait()
	}
	return results
}

// sends is the transcript of messages lo to hi.
func sends(lo, hi int) string {
	var b strings.Builder
	for n := lo; n <= hi; n++ {
		fmt.Fprintf(&b, "C: SEND n=%d to=A :%[1]d\n", n)
	}
	return b.String()
}

// A few messages are sent again before the first answer, and twice as many
// with each round trip; what is new, a heartbeat apart, comes behind them.
func TestResendSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		results := sendMore(c, 20)
		l.play(sends(1, 20) + "S: <close>")
		l = s.link()
		l.play(resumed + sends(1, 4))
		online := async(func() error { _, err := c.Online(t.Context()); return err })
		synctest.Wait()
		results = append(results, send(c, "A", "22"))
		l.silent(10 * time.Second)
		l.play("S: 201 n=1 how=stored\n" + sends(5, 6))
		l.silent(10 * time.Second)
		l.play("S: 201 n=2-4 how=stored\n" + sends(7, 12))
		l.silent(5 * time.Second)
		l.play("S: 201 n=5-12 how=stored\n" + sends(13, 20))
		l.play("C: ONLN n=21\nC: SEND n=22 to=A :22\nS: 201 n=13-20 how=stored\nS: 211 n=21\nS: 201 n=22 how=stored")
		for _, r := range results {
			if err := (<-r).err; err != nil {
				t.Error(err)
			}
		}
		if err := <-online; err != nil {
			t.Error(err)
		}
	})
}

// Logout says QUIT behind all that is sent again.
func TestResendBeforeQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		sendMore(c, 9)
		l.play(sends(1, 9) + "S: <close>")
		l = s.link()
		l.play(resumed + sends(1, 4))
		out := async(func() error { return c.Logout(t.Context()) })
		l.play(sends(5, 9) + "C: QUIT n=10\nS: 201 n=1-9 how=stored\nS: 221 n=10")
		if err := <-out; err != nil {
			t.Error(err)
		}
	})
}

// A shortLived is a server whose connections die with the frame after so many,
// and whose answers take a while.
type shortLived struct {
	frames  int
	mu      sync.Mutex
	high    uint64
	dials   int
	decided []uint64
}

func (s *shortLived) dial(context.Context) (net.Conn, error) {
	client, end := net.Pipe()
	s.mu.Lock()
	s.dials++
	fresh := s.dials == 1
	s.mu.Unlock()
	requests := make(chan uint64, 1000)
	go func() {
		for n := range requests {
			time.Sleep(time.Millisecond)
			s.answer(end, n)
		}
	}()
	go func() {
		defer end.Close()
		defer close(requests)
		rd := chatproto.NewReader(end)
		var f chatproto.Frame
		for frames := 0; rd.Next(&f) == nil; {
			switch f.Code {
			case chatproto.HELO:
				fmt.Fprint(end, "220 v=1 mech=PLAIN boot=9c t=0\r\n")
			case chatproto.AUTH:
				s.mu.Lock()
				welcome := fmt.Sprintf("230 user=B new=0 known=1 high=%d mail=0\r\n", s.high)
				s.mu.Unlock()
				io.WriteString(end, welcome)
			case chatproto.SEND:
				n, _ := f.Uint("n")
				if !fresh {
					requests <- n
				}
				if frames++; frames > s.frames {
					return
				}
			}
		}
	}()
	return client, nil
}

func (s *shortLived) answer(end net.Conn, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.high {
		s.high = n
		s.decided = append(s.decided, n)
	}
	fmt.Fprintf(end, "201 n=%d how=stored\r\n", n)
}

// Connections that die young make progress all the same.
func TestResendOverShortConnections(t *testing.T) {
	const messages, frames = 60, 10
	synctest.Test(t, func(t *testing.T) {
		s := &shortLived{frames: frames}
		c, err := chatclient.Dial(t.Context(), chatclient.Config{Dial: s.dial, Cleartext: chatclient.CleartextLocal, User: "B", Password: "secret", BackoffMax: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer end(c)
		for _, r := range sendMore(c, messages) {
			select {
			case got := <-r:
				if got.err != nil {
					t.Error(got.err)
				}
			case <-time.After(time.Hour):
				t.Fatalf("no progress after %d connections", s.dials)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.IsSorted(s.decided) || len(s.decided) != messages || s.dials > 2+messages/4 {
			t.Errorf("%d connections, decided %v", s.dials, s.decided)
		}
	})
}
