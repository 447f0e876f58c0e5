//go:build unix

package chatserver_test

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// A loader is one end of a benchmark, on a socket of the machine.
type loader struct {
	b     *testing.B
	nc    net.Conn
	r     *chatproto.Reader
	f     chatproto.Frame
	out   []byte
	count uint64 // deliveries taken
	n     uint64 // requests sent
}

// serveBench starts a server on loopback with users u0 to u(n-1).
func serveBench(b *testing.B, n int) (dial func(user int) *loader) {
	accounts := make(chatserver.Credentials)
	for i := range n {
		accounts[fmt.Sprintf("u%d", i)] = "pw"
	}
	srv := &chatserver.Server{Accounts: accounts}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(l)
	b.Cleanup(func() { srv.Close() })
	return func(user int) *loader {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { nc.Close() })
		c := &loader{b: b, nc: nc, r: chatproto.NewReader(nc)}
		c.say([]byte("HELO v=1 acks=1 pres=0 beat=600000\r\n"))
		c.until(chatproto.ReplyGreeting)
		c.say(fmt.Appendf(nil, "AUTH user=u%d pass=pw origin=%x\r\n", user, user+1))
		c.until(chatproto.ReplyWelcome)
		return c
	}
}

func (c *loader) say(line []byte) {
	if _, err := c.nc.Write(line); err != nil {
		c.b.Error(err)
	}
}

func (c *loader) until(code chatproto.Code) {
	for c.f.Code = 0; c.f.Code != code; {
		if err := c.r.Next(&c.f); err != nil {
			c.b.Fatal(err)
		}
	}
}

// send sends messages, verb being all before their number's field, and the
// text of length size.
func (c *loader) send(messages int, verb, to, text []byte) {
	c.out = c.out[:0]
	for range messages {
		c.n++
		c.out = append(c.out, verb...)
		c.out = strconv.AppendUint(c.out, c.n, 10)
		c.out = append(c.out, to...)
		c.out = append(c.out, text...)
		c.out = append(c.out, "\r\n"...)
	}
	c.say(c.out)
}

// take reads so many deliveries and acknowledges them as they come.
func (c *loader) take(messages int) {
	for to := c.count + uint64(messages); c.count < to; {
		if err := c.r.Next(&c.f); err != nil {
			c.b.Error(err)
			return
		}
		if _, counted := c.f.Get("id"); counted {
			c.count++
		}
		if !c.r.Buffered() {
			c.say(fmt.Appendf(nil, "ACKD count=%d\r\n", c.count))
		}
	}
}

// answered reads until all that was sent is accepted.
func (c *loader) answered() {
	want := strconv.AppendUint(nil, c.n, 10)
	for {
		if err := c.r.Next(&c.f); err != nil {
			c.b.Error(err)
			return
		}
		n, _ := c.f.Get("n")
		if _, hi, run := bytes.Cut(n, []byte("-")); run {
			n = hi
		}
		if bytes.Equal(n, want) {
			return
		}
	}
}

// processorTime is what this process used so far, its clients included: unlike
// the clock, it does not depend on what else the machine does.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportProcessor(b *testing.B, since time.Duration) {
	b.ReportMetric(float64((processorTime()-since).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkLive is a message of 128 octets to somebody online, acknowledged
// by the recipient and so to the sender, 64 at a time.
func BenchmarkLive(b *testing.B) {
	const window = 64
	dial := serveBench(b, 2)
	from, to := dial(0), dial(1)
	text := append([]byte(" :"), bytes.Repeat([]byte("x"), 128)...)
	b.ReportAllocs()
	rounds := make(chan int)
	var taking sync.WaitGroup
	taking.Go(func() {
		for range rounds {
			to.take(window)
		}
	})
	messages, start := 0, processorTime()
	for b.Loop() {
		if messages%window == 0 {
			rounds <- window
			from.send(window, []byte("SEND n="), []byte(" to=u1"), text)
			from.answered()
		}
		messages++
	}
	close(rounds)
	taking.Wait()
	reportProcessor(b, start)
}

// BenchmarkFanOut is one delivery of a broadcast to 200 others, acknowledged
// by each; 16 broadcasts at a time.
func BenchmarkFanOut(b *testing.B) {
	const window, receivers = 16, 200
	dial := serveBench(b, receivers+1)
	from := dial(receivers)
	text := append([]byte(" :"), bytes.Repeat([]byte("x"), 128)...)
	rounds := make([]chan struct{}, receivers)
	var taking sync.WaitGroup
	for i := range rounds {
		rounds[i] = make(chan struct{}, 1)
		to := dial(i)
		taking.Go(func() {
			for range rounds[i] {
				to.take(window)
			}
		})
	}
	b.ReportAllocs()
	deliveries, start := 0, processorTime()
	for b.Loop() {
		if deliveries%(window*receivers) == 0 {
			for _, r := range rounds {
				r <- struct{}{}
			}
			from.send(window, []byte("CAST n="), nil, text)
			from.answered()
		}
		deliveries++
	}
	for _, r := range rounds {
		close(r)
	}
	taking.Wait()
	reportProcessor(b, start)
}
