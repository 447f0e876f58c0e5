package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

var kills = flag.Int("kills", 100, "how often TestKill kills the server")

// killUsers talk to each other while their server is killed.
var killUsers = []string{"A", "B", "C", "columbia", "google"}

// TestKill kills the real chatd with SIGKILL, again and again, while real
// clients send, whose connections break as well. No acknowledged message is
// lost, none reaches the application twice, and each sender's order is kept.
//
// A kill leaves the page cache intact: what a missing sync loses, the power
// cuts of chatserver/store/crashtest find.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take their time; run without -short")
	}
	v := newVictim(t)
	v.start()
	l := newLedger()
	ctx, stop := context.WithCancel(t.Context())
	var talk sync.WaitGroup
	for i, name := range killUsers {
		c := &talker{name: name, v: v, ledger: l, rng: rand.New(rand.NewPCG(uint64(i), uint64(*kills)))}
		c.dial(t)
		talk.Go(func() { c.talk(ctx) })
		defer c.client.Close()
	}
	rng := rand.New(rand.NewPCG(42, uint64(*kills)))
	for range *kills {
		l.await(t, l.progress()+rng.IntN(200)) // kill it in the middle of work
		v.kill()
		v.start()
	}
	l.await(t, l.progress()+200)
	stop()
	talk.Wait()
	l.settle(t)
	acked, unknown, cuts := l.check(t)
	t.Logf("%d kills, %d broken connections, %d messages acknowledged, %d of unknown outcome: none lost, none twice, all in order", *kills, cuts, acked, unknown)
	if acked < 10**kills || *kills >= 100 && cuts < *kills/4 {
		t.Errorf("too little happened for %d kills: %d messages, %d broken connections", *kills, acked, cuts)
	}
	v.stop()
	// A kill is nothing out of the ordinary, and leaves nothing behind.
	if kept, err := filepath.Glob(filepath.Join(v.dir, "chatd-data", "*.damaged-*")); err != nil || len(kept) > 0 {
		t.Errorf("a kill is taken for damage: %v, %v", kept, err)
	}
}

// TestKillFindsForgetting shows that the ledger can find a loss: it finds none
// with the store, and that of a chatd which keeps its messages in memory.
func TestKillFindsForgetting(t *testing.T) {
	for _, flags := range [][]string{nil, {"-memory"}} {
		v := newVictim(t)
		v.flags = flags
		v.start()
		l := newLedger()
		a := &talker{name: "A", v: v, ledger: l, rng: rand.New(rand.NewPCG(1, 1))}
		a.dial(t)
		defer a.client.Close()
		for n := range 20 {
			l.sent("A", "B", n)
			_, err := a.client.Send(t.Context(), "B", fmt.Sprint(n))
			l.answered("A", "B", n, err)
		}
		v.kill()
		v.start()
		b := &talker{name: "B", v: v, ledger: l, rng: rand.New(rand.NewPCG(2, 1))}
		b.dial(t)
		defer b.client.Close()
		if flags == nil {
			l.settle(t)
		}
		if found := l.breaches(); len(found) != 20*len(flags) {
			t.Errorf("with the flags %v there are %d breaches: %v", flags, len(found), found)
		}
		v.stop()
	}
}

// A victim is a chatd process that is started and killed.
type victim struct {
	t      *testing.T
	binary string
	dir    string
	flags  []string
	cmd    *exec.Cmd

	mu   sync.Mutex
	addr string
}

func newVictim(t *testing.T) *victim {
	dir := t.TempDir()
	v := &victim{t: t, binary: filepath.Join(dir, "chatd"), dir: dir}
	if out, err := exec.Command("go", "build", "-o", v.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var b strings.Builder
	for _, u := range killUsers {
		fmt.Fprintf(&b, "%s pass\n", u)
	}
	if err := os.WriteFile(filepath.Join(dir, "credentials.txt"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if v.cmd != nil && v.cmd.ProcessState == nil {
			v.cmd.Process.Kill()
			v.cmd.Wait()
		}
	})
	return v
}

// start starts chatd on the data that the last one left, on a free port.
func (v *victim) start() {
	v.t.Helper()
	cmd := exec.Command(v.binary, append(v.flags, "0")...)
	cmd.Stderr = os.Stderr
	v.startCommand(cmd)
}

func (v *victim) startCommand(cmd *exec.Cmd) {
	v.t.Helper()
	v.cmd = cmd
	v.cmd.Dir = v.dir
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		v.t.Fatalf("chatd said %q, %v", line, err)
	}
	v.mu.Lock()
	v.addr = addr
	v.mu.Unlock()
}

func (v *victim) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait()
}

// stop ends chatd as an operator does, and expects it to end well.
func (v *victim) stop() {
	v.cmd.Process.Signal(os.Interrupt)
	if err := v.cmd.Wait(); err != nil {
		v.t.Errorf("chatd ended with %v", err)
	}
}

// A talker is a client whose connections break now and then.
type talker struct {
	name   string
	v      *victim
	ledger *ledger
	client *chatclient.Client

	mu  sync.Mutex
	rng *rand.Rand
}

func (c *talker) random(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

func (c *talker) dial(t *testing.T) {
	client, err := chatclient.Dial(t.Context(), chatclient.Config{
		User: c.name, Password: "pass", Cleartext: chatclient.CleartextLocal, PeerListen: "off", DeclinePresence: true,
		BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond,
		Dial: func(ctx context.Context) (net.Conn, error) {
			c.v.mu.Lock()
			addr := c.v.addr
			c.v.mu.Unlock()
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return &frailConn{Conn: nc, left: 2000 + c.random(60000), broke: c.ledger.broke}, nil
		},
		Callbacks: chatclient.Callbacks{OnMessage: func(_ context.Context, m chatclient.Message) error {
			if c.random(50) == 0 {
				return errors.New("not now") // asked again
			}
			c.ledger.saw(c.name, m)
			return nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.client = client
}

// talk sends until ctx ends, and then waits for what is under way.
func (c *talker) talk(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, 32)
	for n := 0; ctx.Err() == nil; n++ {
		to := killUsers[c.random(len(killUsers))]
		if to == c.name {
			continue
		}
		slots <- struct{}{}
		text := fmt.Sprint(n)
		c.ledger.sent(c.name, to, n)
		under.Go(func() {
			defer func() { <-slots }()
			_, err := c.client.Send(context.Background(), to, text)
			c.ledger.answered(c.name, to, n, err)
		})
	}
}

// A frailConn breaks after so many octets.
type frailConn struct {
	net.Conn
	mu    sync.Mutex
	left  int
	broke func()
}

func (c *frailConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.use(n)
	return n, err
}

func (c *frailConn) Write(p []byte) (int, error) {
	c.use(len(p))
	return c.Conn.Write(p)
}

func (c *frailConn) use(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left > 0 {
		if c.left -= n; c.left <= 0 {
			c.broke()
			c.Conn.Close()
		}
	}
}
