package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/parleyproto/parley/chatclient"
)

// A peerNet is a network in memory for private lines. Its listeners have the
// ports 28403 and up.
type peerNet struct {
	mu    sync.Mutex
	ports int
	at    map[string]*memListener
}

func newPeerNet() *peerNet { return &peerNet{at: make(map[string]*memListener)} }

func (n *peerNet) use(cfg *chatclient.Config) { cfg.PeerNetwork(n.listen, n.dial) }

func (n *peerNet) listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 28403 + n.ports}
	n.ports++
	l := &memListener{n: n, addr: a, conns: make(chan net.Conn), done: make(chan struct{})}
	n.at[a.String()] = l
	return l, nil
}

func (n *peerNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.at[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memListener struct {
	n     *peerNet
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	err := errors.New("closed twice")
	l.once.Do(func() {
		close(l.done)
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		delete(l.n.at, l.addr.String())
		err = nil
	})
	return err
}

func (l *memListener) Addr() net.Addr { return l.addr }
