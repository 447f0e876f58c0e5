package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// errParted says that this end left the connection because nothing needed it.
var errParted = errors.New("chatclient: away")

// partWithin is how long the server may take to end a connection that this
// client has left.
const partWithin = 5 * time.Second

// whenQuiet returns the timer of part, which never fires on a connection that
// the client does not leave.
func (cn *conn) whenQuiet() *time.Timer {
	cn.c.mu.Lock()
	defer cn.c.mu.Unlock()
	if cn.dialsBack {
		return time.NewTimer(cn.c.cfg.DialBack.Quiet)
	}
	return time.NewTimer(math.MaxInt64)
}

// part leaves the connection, if it was quiet and nothing needs it, by ending
// our side of it; the server's follows. wait is when to look again. The
// writer calls it, so nothing is being written.
func (cn *conn) part() (wait time.Duration, parted bool) {
	c := cn.c
	c.mu.Lock()
	quiet := c.cfg.DialBack.Quiet
	rest := quiet - time.Since(cn.active)
	if rest > 0 || !cn.idle() {
		c.mu.Unlock()
		if rest <= 0 {
			rest = quiet
		}
		return rest, false
	}
	cn.leaving, cn.parted = true, true
	c.away = make(chan struct{})
	c.partedAt, c.relaying = time.Now(), cn.relays
	c.partedOn = c.partedAt.Round(0)
	select {
	case <-c.need: // of the time before
	default:
	}
	c.mu.Unlock()
	cn.die(partWithin)
	cn.nc.(*tls.Conn).CloseWrite() // if that fails, reading does, too
	return 0, true
}

// idle reports whether nothing needs the connection. Client.mu is held.
func (cn *conn) idle() bool {
	c := cn.c
	return c.conn == cn && cn.leased && !cn.leaving && cn.broken == nil &&
		c.left == nil && !c.stopping && !c.ended &&
		len(cn.out) == 0 && len(cn.pending) == 0 && c.box.empty() &&
		cn.acked == cn.count && len(cn.streams) == 0 && !(cn.relays && c.peers.expected())
}

// expected reports whether somebody may write to us, and may need the relay
// for it.
func (p *peers) expected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expects()
}

// empty reports whether no request waits for anything.
func (o *outbox) empty() bool {
	return len(o.kept)+len(o.line)+len(o.waiting)+len(o.asking) == 0
}

// mayPart takes the answer to an LSTN that told where the server may call.
// mu is held.
func (c *Client) mayPart(cn *conn, port uint16, a answer) {
	switch {
	case a.code.Class() == 2 && a.lease > 0:
		c.lease, cn.leased = a.lease, true
	case a.code == chatproto.ReplyBadField:
		// Without that it may be taken. It will not be offered again here.
		cn.dialsBack = false
		c.stays(&chatproto.Error{Code: a.code, Text: a.text})
		c.register(cn, port)
	}
}

// reached notes how a client that was away is back: if its session is over,
// without a restart of the server, and the machine was awake (so that the lease
// was not over), the server has called and reached nobody. mu is held.
func (c *Client) reached(cn *conn, w *welcome) {
	cn.active = time.Now()
	cn.leased = cn.called
	if c.away == nil || !w.fresh || w.reset {
		return
	}
	if _, slept := c.absent(); slept < shortSleep {
		c.unreachable = true
		c.stays(errUnreachable)
	}
}

// absent returns how long the client is away, and how much of that the
// machine slept: the clock of timers may stand still then, that on the wall
// does not. mu is held.
func (c *Client) absent() (gone, slept time.Duration) {
	awake := time.Since(c.partedAt)
	gone = max(awake, time.Now().Round(0).Sub(c.partedOn))
	return gone, gone - awake
}

// How often a client that is away looks at the clock on the wall, and how far
// it may be ahead by itself.
const (
	lookEvery  = time.Minute
	shortSleep = 5 * time.Second
)

// comeBack lets a client that is away come back. mu is held.
func (c *Client) comeBack() {
	if c.away != nil {
		wake(c.need)
	}
}

// returned ends being away. mu is held.
func (c *Client) returned() {
	if c.away != nil {
		close(c.away)
		c.away = nil
	}
}

// stayAway waits without a connection until something needs one, half of the
// lease is over, or the server calls. It returns the connection, or why there
// is none; then, if the client's life is over, it is still away.
func (c *Client) stayAway() (*conn, error) {
	c.mu.Lock()
	needed := !c.box.empty() || c.left != nil || c.stopping
	c.mu.Unlock()
	if !needed {
		c.tell(State{Kind: Away})
	}
	for !needed {
		a := c.back.open(c.met)
		cn := c.awaitCall()
		c.back.shut(a)
		if c.life.Err() != nil {
			if cn != nil {
				cn.cut()
			}
			return nil, c.life.Err()
		}
		needed = cn == nil
		if cn != nil {
			err := c.answer(cn)
			if err == nil {
				return cn, nil
			}
			c.cfg.Logger.Info("a call of the server came to nothing", slog.Any("err", err))
			needed = comesAtOnce(err)
		}
	}
	cn, err := c.comeOnline(c.life, false)
	if err != nil && c.life.Err() == nil {
		c.mu.Lock()
		if c.linger != nil {
			c.linger.Reset(min(c.lease/2, minLinger)) // it may have been long over
		}
		c.mu.Unlock()
	}
	return cn, err
}

// awaitCall waits for a call of the server. It returns nil when there is
// another reason to come back.
func (c *Client) awaitCall() *conn {
	for {
		c.mu.Lock()
		gone, _ := c.absent()
		rest := c.lease/2 - gone
		c.mu.Unlock()
		if rest <= 0 {
			return nil
		}
		look := time.NewTimer(min(rest, lookEvery))
		select {
		case <-look.C:
			continue
		case cn := <-c.back.verified:
			look.Stop()
			return cn
		case <-c.need:
		case <-c.life.Done():
		}
		look.Stop()
		return nil
	}
}

// farewellWithin bounds how long a client that is away takes to end.
const farewellWithin = 5 * time.Second

// farewell ends the session of a client that was closed while it was away,
// which would seem to be online for the rest of its lease.
func (c *Client) farewell() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), farewellWithin)
	defer cancel()
	cn, _, err := c.login(ctx, false)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, cn.cut)
	cn.leave()
	stop()
}
