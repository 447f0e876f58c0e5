package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/parleyproto/parley/chatproto"
)

// The deaf are clients that log in and never read, while others send to them.
// They come back in the end, and must then get everything that was accepted.
type deaf struct {
	b       *bench
	p       params
	fleet   *fleet // of the deaf
	writers *fleet // of those who send to them
	deaf    []*client
	senders []*client
	stop    atomic.Bool
	opened  bool

	mu      sync.Mutex
	boxes   []*inbox // what each is to get in the end
	refused int
}

// first is the first account of those who never read.
func (d *deaf) first() int { return 2 + d.b.o.senders }

// open logs them in and sends to each as many messages as were asked for,
// then goes on sending slowly.
func (d *deaf) open(ctx context.Context) error {
	d.fleet, d.writers = d.b.newFleet(ctx), d.b.newFleet(ctx)
	var err error
	d.deaf, err = d.fleet.login(d.first(), d.p.Conns, 0, func(_ int, c *client, _ time.Duration) { narrow(c.nc) })
	if err != nil {
		return err
	}
	if d.senders, err = d.writers.login(2, d.b.o.senders, bufferSize, nil); err != nil {
		return err
	}
	d.boxes = make([]*inbox, d.p.Conns)
	for j := range d.boxes {
		d.boxes[j] = newInbox(d.p.Size)
		for _, c := range d.senders {
			d.boxes[j].expect(c).refused = make(map[uint64]bool)
		}
	}
	if err := d.fill(); err != nil {
		return err
	}
	d.opened = true
	pace := rate.NewLimiter(rate.Limit(d.b.o.rate), 1)
	for i, c := range d.senders {
		s := &sender{c: c, window: 1, size: d.p.Size, to: d.turns(i), begin: c.messages(), stop: &d.stop,
			pace: func() error { return pace.Wait(d.writers.ctx) }}
		d.writers.send(s.run)
	}
	return nil
}

// fill sends to all of them, as fast as it goes.
func (d *deaf) fill() error {
	most := (uint64(d.p.Conns*d.b.o.messages) + uint64(len(d.senders)) - 1) / uint64(len(d.senders))
	group, ctx := errgroup.WithContext(d.writers.ctx)
	for i, c := range d.senders {
		c.refused = func(n uint64, code chatproto.Code) error { return d.refuse(i, c, n, code) }
		s := &sender{c: c, window: 64, size: d.p.Size, to: d.turns(i), most: most}
		group.Go(s.run)
	}
	count := total(d.senders, (*client).messages)
	all := most * uint64(len(d.senders))
	if err := d.b.wait(ctx, "sending to those who do not read", count, func(n uint64) bool { return n == all }); err != nil {
		d.writers.close()
		group.Wait()
		return err
	}
	return group.Wait()
}

func (d *deaf) turns(i int) func(k uint64) (string, uint64) {
	return roundRobin(d.first(), d.p.Conns, i)
}

// refuse remembers a message that a full mailbox refused: it must not arrive.
func (d *deaf) refuse(i int, c *client, n uint64, code chatproto.Code) error {
	if code != chatproto.ReplyMailboxFull {
		return fmt.Errorf("message %d of %s was refused: %s", n, c.user, code)
	}
	k := n - c.high - 1
	j := (k + offset(i, d.p.Conns)) % uint64(d.p.Conns)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[j].streams[c.origin].refused[k/uint64(d.p.Conns)] = true
	d.refused++
	return nil
}

// narrow keeps the kernel from reading much for who does not read.
func narrow(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetReadBuffer(4 << 10)
	}
}

func (d *deaf) count() (now, most int) { return len(d.deaf), len(d.deaf) }

// close breaks their connections and has them come back and read.
func (d *deaf) close(ctx context.Context, figs *figures) error {
	d.stop.Store(true)
	failed := context.Cause(ctx)
	if d.opened && failed == nil {
		failed = d.writers.answered(d.senders)
	}
	if err := d.writers.end(failed); failed == nil {
		failed = err
	}
	d.fleet.cut()
	if !d.opened || failed != nil {
		return failed
	}
	origins := make([]uint64, len(d.deaf))
	for j, c := range d.deaf {
		origins[j] = c.origin
		for i, s := range d.senders {
			d.boxes[j].streams[s.origin].want = share(s.messages(), len(d.deaf), j, i)
		}
	}
	start := time.Now()
	if err := d.b.collect(ctx, d.first(), d.boxes, origins); err != nil {
		return err
	}
	got := uint64(0)
	for _, box := range d.boxes {
		got += box.got
	}
	figs.add("accepted", "messages accepted for them, all read later", float64(got))
	figs.add("refused", "messages refused, their mailboxes being full", float64(d.refused))
	figs.add("read_per_s", "messages read later, a second", float64(got)/time.Since(start).Seconds())
	return nil
}
