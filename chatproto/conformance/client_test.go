package conformance_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/conformance"
)

// A bot is the client of this repository as the suite wants to see it: it
// echoes, and heeds the commands.
type bot struct {
	c    *chatclient.Client
	up   chan struct{} // closed when c is set
	jobs sync.WaitGroup
}

// runBot runs a client until ctx or its life ends.
func runBot(ctx context.Context, cfg chatclient.Config) error {
	b := &bot{up: make(chan struct{})}
	cfg.Callbacks.OnMessage = b.take
	c, err := chatclient.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	b.c = c
	close(b.up)
	select {
	case <-ctx.Done():
		c.Close()
	case <-c.Done():
	}
	<-c.Done()
	b.jobs.Wait()
	return c.Err()
}

// take takes a message, and does not wait for what it leads to.
func (b *bot) take(ctx context.Context, m chatclient.Message) error {
	if m.Broadcast {
		return nil
	}
	<-b.up
	words := strings.SplitN(m.Text, " ", 3)
	name := append(words, "")[1]
	switch words[0] {
	case "!online":
		b.do(func() { b.c.Online(ctx) })
	case "!block":
		b.do(func() { b.c.Block(ctx, name) })
	case "!ask":
		b.do(func() { b.c.RequestAddress(ctx, name) })
	case "!consent":
		b.do(func() { b.c.Consent(ctx, name) })
	case "!private":
		b.do(func() { b.c.Private(ctx, name, append(words, "", "")[2]) })
	case "!quit":
		b.do(func() { b.c.Logout(ctx) })
	default:
		b.echo(ctx, m)
	}
	return nil
}

// echo sends a message back and returns when that has its place among the
// requests: so several are under way, in their order.
func (b *bot) echo(ctx context.Context, m chatclient.Message) {
	begun := make(chan struct{})
	b.do(func() {
		waits := &waitingContext{Context: ctx, waits: sync.OnceFunc(func() { close(begun) })}
		b.c.Send(waits, m.From, m.Text)
		waits.waits()
	})
	<-begun
}

// A waitingContext tells when somebody begins to wait for its end.
type waitingContext struct {
	context.Context
	waits func()
}

func (c *waitingContext) Done() <-chan struct{} {
	c.waits()
	return c.Context.Done()
}

func (b *bot) do(f func()) { b.jobs.Go(f) }

// account is whom the client logs in as.
var account = conformance.Account{User: "columbia", Password: "116bway and \\ more"}

// config is the client's, for a server that dial connects to.
func config(dial func(context.Context) (net.Conn, error)) chatclient.Config {
	return chatclient.Config{Dial: dial, User: account.User, Password: account.Password, Cleartext: chatclient.CleartextLocal,
		BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond}
}

// The client passes every case, over TCP, as any client would be tested.
func TestClient(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conformance.Client(t, l, account, func(ctx context.Context, addr string, _ conformance.Account) error {
		cfg := config(func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		})
		cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
		return runBot(ctx, cfg)
	})
}

// A memListener takes connections in memory.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr{} }

// dial connects to the listener; wrap makes of the client's end what it will.
func (l *memListener) dial(wrap func(net.Conn) net.Conn) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		near, far := memPipe()
		select {
		case l.conns <- far:
			return wrap(near), nil
		case <-l.closed:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// clientReport runs the cases against the client in virtual time, with what
// wrap makes of each of its connections.
func clientReport(t *testing.T, opts conformance.Options, change func(*chatclient.Config), wrap func(net.Conn) net.Conn) (report *conformance.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newMemListener()
		cfg := config(l.dial(wrap))
		change(&cfg)
		var err error
		report, err = conformance.CheckClient(untilFound(t.Context(), &opts), conformance.ClientTarget{Listener: l, Account: account, Options: opts,
			Start: func(ctx context.Context, _ string, _ conformance.Account) error { return runBot(ctx, cfg) }})
		if err != nil {
			t.Log(err)
		}
	})
	return report
}

func TestClientSlow(t *testing.T) {
	allPass(t, clientReport(t, conformance.Options{Slow: true, Strict: true}, func(*chatclient.Config) {}, asItIs))
}
