package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// The server's key is the same in all runs, and its signatures follow from
// what is signed: else no run would be like another one.
var serverCertificate = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		panic(err) // the template is right
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{serverCertificate()}}
}

func serverFingerprint() string {
	cert, err := x509.ParseCertificate(serverCertificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	return handshake.Fingerprint(cert.RawSubjectPublicKeyInfo)
}

// A door is a port on which a program expects the server's calls.
type door struct {
	net  *Network
	host *Host
	port uint16
	listener
}

// open opens a port of a host.
func (n *Network) open(h *Host) *door {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.ports++
	d := &door{net: n, host: h, port: uint16(20000 + 5000*h.number + h.ports%5000),
		listener: listener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	if n.doors == nil {
		n.doors = make(map[uint16]*door)
	}
	n.doors[d.port] = d
	return d
}

func (d *door) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(d.port)} }

// Close implements [net.Listener].
func (d *door) Close() error {
	d.net.mu.Lock()
	if d.net.doors[d.port] == d {
		delete(d.net.doors, d.port)
	}
	d.net.mu.Unlock()
	return d.listener.Close()
}

// dialler is how a life of the server calls clients.
func (n *Network) dialler(lf *life) func(context.Context, netip.AddrPort) (net.Conn, error) {
	return func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
		n.mu.Lock()
		d := n.doors[place.Port()]
		if d == nil {
			n.mu.Unlock()
			n.stats.Add("calls that reached nobody", 1)
			return nil, errRefused
		}
		h := d.host
		h.called++
		n.nextID++
		id, dice := n.nextID, h.dice.of(6, h.called)
		n.mu.Unlock()
		r := dice.of(1).stream()
		l := n.newLink(h, id, dice.of(2), r)
		n.mu.Lock()
		wait := time.Duration(0)
		for _, p := range []partition{h.cut, n.all} {
			wait = max(wait, time.Until(p.up), time.Until(p.down))
		}
		refused := !n.quiet && r.chance(n.plan.refuse)
		n.mu.Unlock()
		if err := pause(ctx, wait+l.down.latency); err != nil {
			n.stats.Add("calls that reached nobody", 1)
			return nil, err
		}
		if refused || lf.isDead() || !d.offer(l.client) {
			n.stats.Add("calls that reached nobody", 1)
			return nil, errRefused
		}
		n.mu.Lock()
		n.links = append(n.links, l)
		n.mu.Unlock()
		n.stats.Add("calls", 1)
		if err := pause(ctx, l.up.latency); err != nil || lf.isDead() {
			l.server.Close()
			return nil, errRefused
		}
		return l.server, nil
	}
}

// silence cuts a host off for good: what is there is gone, and nobody is told.
func (n *Network) silence(h *Host) {
	n.mu.Lock()
	var links []*link
	for _, l := range n.links {
		if l.host == h {
			links = append(links, l)
		}
	}
	n.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		l.apply(deafBoth)
		l.mu.Unlock()
	}
}

// listen is the program's DialBack.ListenFunc.
func (in *instance) listen(string, string) (net.Listener, error) {
	d := in.user.w.net.open(in.user.host)
	in.mu.Lock()
	in.door = d
	in.mu.Unlock()
	return d, nil
}

func (in *instance) dial(ctx context.Context) (net.Conn, error) {
	in.mu.Lock()
	dead := in.dead
	in.mu.Unlock()
	if dead {
		return nil, errRefused
	}
	return in.user.w.net.Dial(ctx, in.user.host)
}

// die ends a program as a machine does that fails: the server is not told, and
// may go on calling.
func (in *instance) die() {
	in.mu.Lock()
	in.dead = true
	d := in.door
	in.mu.Unlock()
	if d != nil {
		d.Close()
	}
	in.user.w.net.silence(in.user.host)
	in.user.w.stats.Add("programs that died", 1)
	in.user.w.logf("user", "%v dies", in)
}

// isCalled reports whether the program's connection is one that the server
// made.
func (in *instance) isCalled() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.called
}
