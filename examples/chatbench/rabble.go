package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// A rabble is bad connections of strangers. Those that the server closes are
// opened again, so many a second.
type rabble struct {
	b         *bench
	p         params
	behave    func(ctx context.Context, i int, nc net.Conn)
	dialing   chan struct{} // so many at once
	again     *rate.Limiter
	stop      context.CancelFunc
	running   sync.WaitGroup
	now, most atomic.Int64
	tried     atomic.Int64
	failed    atomic.Pointer[error] // the last one
}

func newRabble(b *bench, p params) *rabble {
	r := &rabble{b: b, p: p, dialing: make(chan struct{}, b.o.dialers), again: rate.NewLimiter(rate.Limit(b.o.reopen), 1), stop: func() {}}
	hello := clientHello()
	r.behave = map[string]func(context.Context, int, net.Conn){
		"silent":  func(context.Context, int, net.Conn) {},
		"slow":    typeSlowly,
		"garbage": talkGarbage,
		"handshake": func(_ context.Context, i int, nc net.Conn) { // half of them before, half after the server's answer
			nc.Write(hello[:len(hello)/(1+i%2)])
		},
	}[p.Kind]
	return r
}

// open opens each once.
func (r *rabble) open(ctx context.Context) error {
	ctx, r.stop = context.WithCancel(ctx)
	for i := range r.p.Conns {
		r.running.Go(func() { r.keep(ctx, i) })
	}
	tried := func() uint64 { return uint64(r.tried.Load()) }
	if err := r.b.wait(ctx, "opening connections", tried, func(n uint64) bool { return n == uint64(r.p.Conns) }); err != nil {
		return err
	}
	if most := r.most.Load(); most == 0 {
		return fmt.Errorf("not one bad connection could be opened: %w", *r.failed.Load())
	}
	return nil
}

// keep keeps one connection open.
func (r *rabble) keep(ctx context.Context, i int) {
	for first := true; ctx.Err() == nil; first = false {
		r.dialing <- struct{}{}
		nc, err := r.b.connect(ctx)
		<-r.dialing
		if err == nil {
			r.count1()
		} else {
			r.failed.Store(&err)
		}
		if first {
			r.tried.Add(1)
		}
		if err == nil {
			r.stay(ctx, i, nc)
		}
		if r.again.Wait(ctx) != nil {
			return
		}
	}
}

func (r *rabble) count1() {
	now := r.now.Add(1)
	for most := r.most.Load(); now > most; most = r.most.Load() {
		r.most.CompareAndSwap(most, now)
	}
}

// stay keeps a connection until the server closes it.
func (r *rabble) stay(ctx context.Context, i int, nc net.Conn) {
	unhook := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	r.behave(ctx, i, nc)
	io.Copy(io.Discard, nc)
	unhook()
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetLinger(0) // a reset: so many ports are not to wait
	}
	nc.Close()
	r.now.Add(-1)
}

func (r *rabble) count() (now, most int) { return int(r.now.Load()), int(r.most.Load()) }

func (r *rabble) close(context.Context, *figures) error {
	r.stop()
	r.running.Wait()
	return nil
}

// typeSlowly writes an octet a second of a line that does not end.
func typeSlowly(ctx context.Context, i int, nc net.Conn) {
	const line = "HELO v=1 caps="
	for n := 0; ; n++ {
		octet := byte('a' + n%26)
		if n < len(line) {
			octet = line[n]
		}
		if _, err := nc.Write([]byte{octet}); err != nil {
			return
		}
		if n == 0 && pause(ctx, time.Duration(i%1000)*time.Millisecond) != nil { // not all at once
			return
		}
		if pause(ctx, time.Second) != nil {
			return
		}
	}
}

// talkGarbage writes random octets, ends of lines among them, until the
// server has had enough.
func talkGarbage(ctx context.Context, i int, nc net.Conn) {
	random := rand.New(rand.NewPCG(uint64(i), 0))
	junk := make([]byte, 256)
	for {
		for j := range junk {
			junk[j] = byte(random.Uint32())
		}
		if _, err := nc.Write(junk); err != nil {
			return
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

// clientHello returns what a client says first in TLS.
func clientHello() []byte {
	var said recorder
	tls.Client(&said, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{handshake.ALPN}, ServerName: "parley"}).Handshake() // fails, for nobody answers
	return said.octets
}

// A recorder is a connection to nobody, which keeps what is written.
type recorder struct {
	net.Conn
	octets []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.octets = append(r.octets, p...)
	return len(p), nil
}

func (*recorder) Read([]byte) (int, error) { return 0, errors.New("nobody is there") }

func (*recorder) Close() error                     { return nil }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }
