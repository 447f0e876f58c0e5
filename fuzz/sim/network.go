package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Network carries connections from hosts to the one server, and breaks
// them. What happens to an octet follows from the seed, its connection and the
// time at which it was written.
type Network struct {
	dice  dice
	stats *Stats
	logf  func(who, format string, args ...any)
	plan  *netPlan

	mu     sync.Mutex
	quiet  bool // no fault is begun any more
	accept func(net.Conn) bool
	doors  map[uint16]*door // of clients, by port
	hosts  []*Host
	links  []*link
	nextID uint64
	all    partition
}

// A Host is where a user's programs run.
type Host struct {
	name   string
	dice   dice
	number int
	dials  uint64
	failed int // dials in a row that came to nothing
	ports  int // that programs have opened
	called uint64
	cut    partition
}

// A partition is when nothing gets through, each way.
type partition struct{ up, down time.Time }

// A fate is how a connection breaks when so many octets went one way.
type fate struct {
	kind breakage
	at   uint64 // 0: never
	up   bool
}

// A breakage is how a connection breaks.
type breakage int

const (
	cutBoth   breakage = iota // both ends see it
	cutClient                 // the client sees it; what it sent still arrives
	cutServer                 // the server sees it
	deafUp                    // nothing of the client arrives any more; nobody is told
	deafDown                  // nothing of the server
	deafBoth
	breakages
)

var breakageNames = [...]string{"cuts seen by both", "cuts seen by the client", "cuts seen by the server", "half-open up", "half-open down", "half-open both ways"}

func (b breakage) String() string { return breakageNames[b] }

var errReset = &net.OpError{Op: "read", Net: "sim", Err: syscall.ECONNRESET}

func (l *link) String() string { return fmt.Sprintf("connection %d of %s", l.id, l.host.name) }

// apply breaks the link. mu is held.
func (l *link) apply(kind breakage) {
	l.net.stats.Add(kind.String(), 1)
	cut := func(c *Conn) {
		if c.reset == nil {
			c.reset = errReset
		}
	}
	switch kind {
	case cutBoth:
		cut(l.client)
		cut(l.server)
		l.up.segs, l.down.segs = nil, nil
		l.up.held, l.down.held = 0, 0
	case cutClient:
		cut(l.client)
		l.down.lost = true
	case cutServer:
		cut(l.server)
		l.up.lost = true
	case deafUp:
		l.up.lost = true
	case deafDown:
		l.down.lost = true
	case deafBoth:
		l.up.lost, l.down.lost = true, true
	}
	l.up.wake()
	l.down.wake()
}

// arrival says when n octets arrive that are written now.
func (n *Network) arrival(c *Conn, f *flow, size int, now time.Time) time.Time {
	dir := uint64(0)
	if c.isServer {
		dir = 1
	}
	u := c.l.dice.of(1, dir, uint64(now.UnixNano())).unit()
	at := now
	n.mu.Lock()
	for _, p := range []*partition{&c.l.host.cut, &n.all} {
		until := p.up
		if c.isServer {
			until = p.down
		}
		if until.After(at) {
			at = until
		}
	}
	n.mu.Unlock()
	at = at.Add(f.latency + time.Duration(u*float64(f.jitter)))
	if at.Before(f.last) {
		at = f.last
	}
	if f.rate > 0 {
		at = at.Add(time.Duration(size) * time.Second / time.Duration(f.rate))
	}
	return at
}

// host adds a host.
func (n *Network) host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{name: name, number: len(n.hosts), dice: n.dice.of(5, uint64(len(n.hosts)))}
	n.hosts = append(n.hosts, h)
	return h
}

var errRefused = errors.New("sim: connection refused")

// maxRedial bounds what a dial waits before it begins: the back-off that the
// client itself is told not to have, since it draws it from elsewhere.
const maxRedial = 20 * time.Second

// Dial connects a host to the server.
func (n *Network) Dial(ctx context.Context, h *Host) (net.Conn, error) {
	n.mu.Lock()
	n.nextID++
	id := n.nextID
	r := h.dice.of(2, h.dials).stream()
	h.dials++
	wait := r.between(1, min(250*time.Millisecond<<min(h.failed, 10), maxRedial))
	if h.failed == 0 {
		wait = r.between(1, 5*time.Millisecond)
	}
	h.failed++
	n.mu.Unlock()
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	l := n.newLink(h, id, h.dice.of(3, h.dials), r)
	n.mu.Lock()
	for _, p := range []partition{h.cut, n.all} {
		wait = max(wait, time.Until(p.up), time.Until(p.down))
	}
	refused := !n.quiet && r.chance(n.plan.refuse)
	n.mu.Unlock()
	if err := pause(ctx, wait+l.up.latency); err != nil {
		return nil, err
	}
	n.mu.Lock()
	accept := n.accept
	for _, old := range n.links {
		if old.host == h && old.late() {
			n.stats.Add("connections overtaken", 1)
		}
	}
	n.links = append(n.links, l)
	n.mu.Unlock()
	if refused || accept == nil || !accept(l.server) {
		n.stats.Add("dials refused", 1)
		n.forget(l)
		return nil, errRefused
	}
	if err := pause(ctx, l.down.latency); err != nil {
		l.client.Close()
		return nil, err
	}
	n.mu.Lock()
	h.failed = 0
	n.mu.Unlock()
	return l.client, nil
}

// late reports whether something that the client sent is still to arrive at
// the server. It may be wrong for an instant, and only counts.
func (l *link) late() bool { return l.pending.Load() > time.Now().UnixNano() }

// newLink makes a connection and draws its nature.
func (n *Network) newLink(h *Host, id uint64, d dice, r *roller) *link {
	l := &link{net: n, host: h, id: id, dice: d}
	n.mu.Lock()
	quiet := n.quiet
	n.mu.Unlock()
	for i, f := range []*flow{&l.up, &l.down} {
		f.changed = make(chan struct{})
		f.roll = l.dice.of(4, uint64(i)).stream()
		f.window = 64 << 10
		f.latency = r.scale(100*time.Microsecond, 150*time.Millisecond)
		f.jitter = r.scale(time.Microsecond, 50*time.Millisecond)
		if n.plan.near {
			f.latency, f.jitter = r.scale(5*time.Microsecond, 2*time.Millisecond), r.scale(1, time.Millisecond)
		}
		if quiet {
			continue
		}
		if r.chance(n.plan.far) {
			f.latency = r.scale(time.Second, 12*time.Second)
			n.stats.Add("slow paths", 1)
		}
		if r.chance(n.plan.slow) {
			f.window = int(r.scale(64, 8<<10))
			f.rate = int(r.scale(200, 20_000))
			n.stats.Add("slow readers", 1)
		}
	}
	l.client = &Conn{l: l, in: &l.down, out: &l.up}
	l.server = &Conn{l: l, in: &l.up, out: &l.down, isServer: true}
	if !quiet && r.chance(n.plan.doom) {
		l.fate = fate{kind: n.plan.breakage(r), at: uint64(r.scale(1, 20_000)), up: r.chance(0.5)}
	}
	return l
}

// forget drops a link of which nothing is left.
func (n *Network) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.links, l); i >= 0 {
		n.links = slices.Delete(n.links, i, i+1)
	}
}

// random returns one of the links, nil if there is none.
func (n *Network) random(r *roller) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.links) == 0 {
		return nil
	}
	return n.links[r.IntN(len(n.links))]
}

// breakOne breaks a random link.
func (n *Network) breakOne(r *roller) {
	l, kind := n.random(r), n.plan.breakage(r)
	if l == nil {
		return
	}
	n.logf("net", "%v breaks: %v", l, kind)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply(kind)
}

// split lets nothing through for a time, between the server and h, or
// everybody if h is nil.
func (n *Network) split(h *Host, up, down bool, d time.Duration) {
	n.mu.Lock()
	p, name := &n.all, "everybody"
	if h != nil {
		p, name = &h.cut, h.name
	}
	until := time.Now().Add(d)
	if up {
		p.up = until
	}
	if down {
		p.down = until
	}
	n.mu.Unlock()
	n.stats.Add("partitions", 1)
	n.logf("net", "partition of %s for %v, up %v, down %v", name, d, up, down)
}

// serverGone breaks all connections at once, as the server's end of them is
// gone: its kernel tells the clients, or, without power, nobody does.
func (n *Network) serverGone(told, arrives bool) {
	n.mu.Lock()
	links := slices.Clone(n.links)
	n.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		if l.server.reset == nil {
			l.server.reset = errReset
		}
		l.up.lost = true
		if !arrives {
			l.down.segs, l.down.held = nil, 0
		}
		if told && !l.down.lost && l.client.reset == nil && !l.server.finished {
			l.down.fin = n.arrival(l.server, &l.down, 0, time.Now())
		}
		l.down.lost = true
		l.up.wake()
		l.down.wake()
		l.mu.Unlock()
	}
}

// calm ends the faults: partitions heal, no connection is doomed any more.
// What is broken already stays so.
func (n *Network) calm() {
	n.mu.Lock()
	n.quiet = true
	n.all = partition{}
	links := slices.Clone(n.links)
	for _, h := range n.hosts {
		h.cut = partition{}
	}
	n.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		l.fate.at = 0
		l.mu.Unlock()
	}
}

// pause waits, or returns why ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen says who takes connections; nil refuses them.
func (n *Network) listen(accept func(net.Conn) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accept = accept
}
