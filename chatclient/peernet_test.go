package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// The identities of users in tests: B is the client, A and C are others, M
// stands between.
var identities = map[string]byte{"A": 1, "B": 2, "C": 3, "M": 9}

func identityOf(t testing.TB, user string) *chatclient.Identity {
	return testIdentity(t, identities[user])
}

func keyOf(t testing.TB, user string) string { return identityOf(t, user).Key() }

// lineTLS is how a well-behaved client opens or takes a private line, without
// looking at the other end's key.
func lineTLS(t testing.TB, user string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{identityOf(t, user).Certificate()},
		InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{handshake.PeerALPN}, SessionTicketsDisabled: true}
}

// connect opens a connection to a listener.
func (n *peerNet) connect(t testing.TB, port int) net.Conn {
	t.Helper()
	nc, err := n.dial(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// link opens a private line as user.
func (n *peerNet) link(t testing.TB, port int, user string) *link {
	t.Helper()
	return newLink(t, tls.Client(n.connect(t, port), lineTLS(t, user)))
}

// refused opens a private line as user and expects that it ends in the
// handshake, before anything that is said in it is heard.
func (n *peerNet) refused(t testing.TB, port int, user string) {
	t.Helper()
	c := tls.Client(n.connect(t, port), lineTLS(t, user))
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "PEER v=1 from=%s to=B origin=5eed\r\nMESG n=1 :%s: let me in\r\n", user, user)
	if got, err := io.ReadAll(c); len(got) > 0 || isTimeout(err) {
		t.Errorf("%s is answered %q (%v)", user, got, err)
	}
	c.Close()
}

// accept takes a private line as user.
func accept(t testing.TB, ln net.Listener, user string) *link {
	t.Helper()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return newLink(t, tls.Server(nc, lineTLS(t, user)))
}

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
