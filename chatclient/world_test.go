package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatclient/internal/crashfs"
	"github.com/parleyproto/parley/chatproto"
)

// A world is a server and what was seen of a program that dies and comes
// back. The server answers each SEND with 201 and a message, and delivers all
// messages again to every connection, also those that were acknowledged, as
// one might that lost its last deletions.
type world struct {
	t   *testing.T
	lag time.Duration // before each answer

	mu       sync.Mutex
	die      func() // ends what the program waits for
	dead     bool   // the program has died: nothing that it does from now on counts
	requests map[string]string
	high     map[string]uint64
	known    map[string]bool
	texts    []string        // accepted, in order
	mail     int             // messages for the program: their numbers are 1 to mail
	acked    map[uint64]bool // by the program
	shown    map[uint64]int  // to the application
	begun    map[string]bool // texts whose Send was called
	ok       map[string]bool // texts whose Send returned nil
	outcomes map[string]error
	faults   []string
	resent   int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, requests: map[string]string{}, high: map[string]uint64{}, known: map[string]bool{}, acked: map[uint64]bool{},
		shown: map[uint64]int{}, begun: map[string]bool{}, ok: map[string]bool{}, outcomes: map[string]error{}}
}

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *world) dial(context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	go w.serve(server)
	return client, nil
}

func (w *world) serve(nc net.Conn) {
	defer nc.Close()
	rd := chatproto.NewReader(nc)
	var f chatproto.Frame
	c := &served{w: w}
	for rd.Next(&f) == nil {
		w.mu.Lock()
		answer := ""
		if !w.dead {
			answer = c.answer(&f)
		}
		w.mu.Unlock()
		time.Sleep(w.lag)
		w.mu.Lock()
		if w.dead {
			answer = ""
		}
		w.mu.Unlock()
		if _, err := io.WriteString(nc, strings.ReplaceAll(answer, "\n", "\r\n")); err != nil {
			return
		}
		if f.Code == chatproto.QUIT {
			return
		}
	}
}

// A served is one connection.
type served struct {
	w      *world
	origin string
	count  int
	last   uint64
}

func (c *served) answer(f *chatproto.Frame) string {
	w := c.w
	switch f.Code {
	case chatproto.HELO:
		return "220 v=1 mech=PLAIN boot=9c t=0\n"
	case chatproto.AUTH:
		c.origin = f.Value("origin")
		known := 0
		if w.known[c.origin] {
			known = 1
		}
		w.known[c.origin] = true
		return fmt.Sprintf("230 user=B new=1 known=%d high=%d mail=%d\n", known, w.high[c.origin], w.mail) + c.deliver()
	case chatproto.ACKD:
		n, _ := f.Uint("count")
		for i := range n {
			w.acked[i+1] = true
		}
		return ""
	case chatproto.LIVE:
		return "LIVE\n"
	case chatproto.QUIT:
		return "221 n=" + f.Value("n") + "\n"
	}
	return c.numbered(f)
}

func (c *served) numbered(f *chatproto.Frame) string {
	w := c.w
	n, _ := f.Uint("n")
	request := fmt.Sprint(f.Code, " ", string(f.Description))
	id := c.origin + "." + f.Value("n")
	old, again := w.requests[id]
	if again && old != request {
		w.fault("%s was %q and is %q", id, old, request)
	}
	if n <= c.last {
		w.fault("%d was sent after %d", n, c.last)
	}
	c.last = n
	w.requests[id] = request
	if f.Code != chatproto.SEND {
		return "211 n=" + f.Value("n") + "\n"
	}
	if again {
		w.resent++
	}
	if n > w.high[c.origin] {
		w.high[c.origin] = n
		w.texts = append(w.texts, string(f.Description))
		w.mail++
	}
	return "201 n=" + f.Value("n") + " how=stored\n" + c.deliver()
}

func (c *served) deliver() string {
	var b strings.Builder
	for ; c.count < c.w.mail; c.count++ {
		fmt.Fprintf(&b, "MESG from=A id=77.%d t=0 :A: %d\n", c.count+1, c.count+1)
	}
	return b.String()
}

// kill ends the life of the program.
func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	w.die()
}

// live is one life of the program: it sends, asks, receives and logs out.
func (w *world) live(fs *crashfs.FS, sends int, mutate func(*chatclient.StateFile)) {
	ctx, die := context.WithCancel(context.Background())
	w.mu.Lock()
	w.dead, w.die = false, die
	w.mu.Unlock()
	file, err := chatclient.OpenStateFileOn(fs, "state")
	if err != nil {
		w.must(err)
		return
	}
	mutate(file)
	c, err := chatclient.Dial(ctx, chatclient.Config{Dial: w.dial, Cleartext: chatclient.CleartextLocal, User: "B", Password: "secret", StateFile: file,
		Callbacks: chatclient.Callbacks{OnMessage: w.onMessage, OnOutcome: w.onOutcome}})
	if err != nil {
		w.must(err)
		return
	}
	for range sends {
		var pair sync.WaitGroup
		pair.Go(func() { w.send(ctx, c) })
		pair.Go(func() { w.send(ctx, c) })
		pair.Wait()
		if _, err := c.Online(ctx); err != nil {
			w.must(err)
		}
	}
	synctest.Wait() // until all is shown
	w.must(c.Logout(ctx))
	c.Close()
	<-c.Done()
	w.must(file.Close())
}

// must expects no error of a program that lives.
func (w *world) must(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !w.dead {
		w.fault("%v", err)
	}
}

func (w *world) send(ctx context.Context, c *chatclient.Client) {
	w.mu.Lock()
	text := fmt.Sprint("text ", len(w.begun))
	if w.dead {
		w.mu.Unlock()
		return
	}
	w.begun[text] = true
	w.mu.Unlock()
	_, err := c.Send(ctx, "A", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil: // in time: the server says nothing to the dead
		w.ok[text] = true
	case !w.dead:
		w.fault("%s: %v", text, err)
	}
}

func (w *world) onMessage(_ context.Context, m chatclient.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errors.New("dead")
	}
	if w.shown[m.ID.N]++; w.shown[m.ID.N] > 1 && w.acked[m.ID.N] {
		w.fault("message %d was acknowledged and is shown again", m.ID.N)
	}
	return nil
}

func (w *world) onOutcome(_ context.Context, o chatclient.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead {
		w.outcomes[o.Text] = o.Err
	}
}
