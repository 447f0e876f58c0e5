package chatclient

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A conn is one connection to the server. Its state after the login is
// guarded by Client.mu; nothing is written under that lock: what is to be
// sent is put into out and a goroutine of the connection writes it, so that a
// server that reads slowly never keeps its own answers from being read.
type conn struct {
	*wire
	c      *Client
	server server
	boot   string // 220 boot=
	mechs  string // 220 mech=
	beat   time.Duration

	helo, greeting []byte // HELO and 220 as they were on the wire

	m       *chatproto.Machine
	out     []byte  // encoded, not yet given to the writer
	pending []*call // written and unanswered, in order, as the machine's queue
	asked   int     // of them, those that are no message
	resends []*call // messages that come before anything else, not yet written again
	burst   int     // how many messages may be unanswered while there are resends
	leaving bool    // QUIT was said, or the server's last word heard: nothing is sent any more
	broken  error   // why this end gave the connection up
	bye     *GoodbyeError

	count, acked uint64 // deliveries received; of them, acknowledged
	sizes        []int  // octets of those between
	unacked      int    // their sum

	relays  bool // the server carries private lines
	streams map[uint64]*relayStream

	called    bool      // the server made it
	dialsBack bool      // the server offers to make others
	leased    bool      // it knows where
	active    time.Time // when something was sent or came last
	parted    bool      // left by this end, for now

	wake chan struct{} // capacity 1: out is not empty
	stop chan struct{} // closed when the reader has ended
}

func (c *Client) newConn() *conn {
	return &conn{c: c, beat: c.cfg.Heartbeat, m: chatproto.V1.Machine(), wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// send writes a request that has its number. One that cannot be written
// counts as pending too, so that it has its turn on the next connection.
func (cn *conn) send(k *call) {
	cn.pending = append(cn.pending, k)
	cn.active = time.Now()
	k.writes++
	out, err := k.append(cn.out)
	if err == nil {
		err = cn.m.Request(k.verb, k.n)
	}
	if err != nil {
		cn.giveUp(fmt.Errorf("chatclient: cannot send a %s: %w", k.verb, err))
		return
	}
	cn.out = out
	if k.decided() {
		cn.c.box.sent = max(cn.c.box.sent, k.n)
	} else {
		cn.asked++
	}
	cn.signal()
}

// ack acknowledges all deliveries up to count, on this connection or, if it
// is no longer the one, not at all.
func (c *Client) ack(cn *conn, count uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acknowledge(cn, count)
}

// acknowledge is ack. mu is held.
func (c *Client) acknowledge(cn *conn, count uint64) {
	if c.conn != cn || cn.leaving || count <= cn.acked || cn.m.Request(chatproto.ACKD, 0) != nil {
		return
	}
	l := chatproto.Begin(cn.out, chatproto.ACKD)
	l.Uint("count", count)
	cn.out, _ = l.End("")
	for _, size := range cn.sizes[:count-cn.acked] {
		cn.unacked -= size
	}
	cn.sizes = cn.sizes[count-cn.acked:]
	cn.acked = count
	cn.active = time.Now()
	cn.signal()
}

// live says that this client lives, after it was silent for a heartbeat.
func (cn *conn) live() {
	cn.c.mu.Lock()
	defer cn.c.mu.Unlock()
	if cn.leaving || len(cn.out) > 0 || cn.m.Request(chatproto.LIVE, 0) != nil {
		return
	}
	l := chatproto.Begin(cn.out, chatproto.LIVE)
	cn.out, _ = l.End("")
}

func (cn *conn) signal() {
	select {
	case cn.wake <- struct{}{}:
	default:
	}
}

// giveUp ends the connection from this end, for the first reason given. The
// reader finds it closed.
func (cn *conn) giveUp(reason error) {
	if cn.broken == nil {
		cn.broken = reason
	}
	if cn.m.Phase() < chatproto.Closing { // else the reader closes it
		cn.cut()
	}
}

// writer writes what the others put into out, and a LIVE when they put
// nothing, until it may go away.
func (cn *conn) writer() {
	beat := time.NewTimer(cn.beat)
	defer beat.Stop()
	quiet := cn.whenQuiet()
	defer quiet.Stop()
	var spare []byte
	for {
		select {
		case <-cn.stop:
			return
		case <-cn.wake:
			runtime.Gosched() // whoever else is about to send shares the write
		case <-beat.C:
			cn.live()
		case <-quiet.C:
			wait, parted := cn.part()
			if parted {
				<-cn.stop
				return
			}
			quiet.Reset(wait)
			continue
		}
		cn.c.mu.Lock()
		lines := cn.out
		cn.out = spare[:0]
		cn.c.mu.Unlock()
		if len(lines) > 0 {
			if err := cn.write(lines, deadAfter(cn.beat)); err != nil {
				cn.die(lastWords)
				<-cn.stop
				return
			}
		}
		if spare = lines[:0]; cap(spare) > maxSpare {
			spare = nil
		}
		beat.Reset(cn.beat)
	}
}

// maxSpare is the largest buffer that an idle connection keeps.
const maxSpare = 64 << 10

// deadAfter is how long nothing may come before a connection counts as dead.
func deadAfter(beat time.Duration) time.Duration { return beat + beat/2 }

// errFarewell says that the server answered QUIT.
var errFarewell = errors.New("chatclient: the server said goodbye")

// errSilent says that the server fell silent.
var errSilent = errors.New("chatclient: nothing was heard from the server for too long")

// serve reads the connection until it ends, and says why it did. A goodbye of
// the server is the best reason, then this end's own.
func (cn *conn) serve() error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		cn.writer()
	}()
	err := cn.read()
	if err != nil {
		cn.cut()
	} else {
		cn.nc.SetWriteDeadline(time.Now().Add(lastWords))
	}
	close(cn.stop)
	<-written
	cn.close()
	cn.c.mu.Lock()
	defer cn.c.mu.Unlock()
	cn.m.EOF()
	switch {
	case cn.bye != nil:
		return cn.bye
	case cn.broken != nil:
		return cn.broken
	case cn.parted:
		return errParted
	case err == nil:
		return errFarewell
	case isTimeout(err):
		return errSilent
	}
	return err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
