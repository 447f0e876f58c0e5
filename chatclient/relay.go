package chatclient

import (
	"context"
	"encoding/base64"
	"errors"
	"net"

	"github.com/parleyproto/parley/chatproto"
)

// capRelay is the capability of relayed lines (SPEC section 8.7).
const capRelay = "relay"

// Limits of relayed lines.
const (
	relayStreams = 16       // of a connection: more than a server allows
	relayWindow  = 32 << 10 // octets on the way in one direction
	relayAck     = 16 << 10 // octets after which they are acknowledged
	relayData    = 4 << 10  // octets in one frame
)

// errNoRelay says that the server does not carry private lines.
var errNoRelay = errors.New("chatclient: the server does not carry private lines")

// A relayStream is a private line that the server carries. The line uses one
// end of a pipe, app; two goroutines carry what passes the other end, far.
// Client.mu guards the rest.
type relayStream struct {
	cn       *conn
	id       uint64
	app, far net.Conn

	in             [][]byte // not yet handed on
	waiting        int      // octets of in
	handed, acked  uint64   // octets handed on; of them, acknowledged
	sent, accepted uint64   // octets sent; of them, acknowledged by the other end
	ended, closed  bool     // the other end sends no more; it is over
	down, up       chan struct{}
}

// relays reports whether the server carries private lines, or did so before
// this client went away.
func (c *Client) relays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away != nil {
		return c.relaying
	}
	return c.conn != nil && c.conn.relays
}

// relayTo opens a stream to a user who consented.
func (c *Client) relayTo(ctx context.Context, user string) (net.Conn, error) {
	k := newCall(chatproto.RLAY, "user", user, "")
	var st *relayStream
	k.heed = func(a answer) {
		if a.code.Class() == 2 && c.conn != nil {
			if st = c.conn.addStream(a.stream); st != nil && k.ended() {
				st.end(true) // nobody waits for it
			}
		}
	}
	if err := c.begin(ctx, k); err != nil {
		return nil, err
	}
	if err := c.wait(ctx, k); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st == nil {
		return nil, errNoRelay
	}
	return st.app, nil
}

// addStream begins a stream, nil if there cannot be one. Client.mu is held.
func (cn *conn) addStream(id uint64) *relayStream {
	if id == 0 || cn.c.conn != cn || !cn.relays || cn.leaving || cn.c.ended || cn.c.stopping || len(cn.streams) >= relayStreams || cn.streams[id] != nil {
		return nil
	}
	st := &relayStream{cn: cn, id: id, down: make(chan struct{}, 1), up: make(chan struct{}, 1)}
	st.app, st.far = net.Pipe()
	if cn.streams == nil {
		cn.streams = make(map[uint64]*relayStream)
	}
	cn.streams[id] = st
	cn.c.peers.workers.Go(st.carryUp)
	cn.c.peers.workers.Go(st.carryDown)
	return st
}

// relayOpened takes a stream that a user has opened to us: it is a line like
// any other.
func (cn *conn) relayOpened(f *chatproto.Frame) error {
	id, ok := f.Uint("s")
	if _, named := userOf(f, "user"); !ok || !named {
		return errFields
	}
	cn.c.mu.Lock()
	st := cn.addStream(id)
	cn.c.mu.Unlock()
	if st != nil {
		cn.c.peers.welcome(st.app)
	}
	return nil
}

// relayed takes RDAT.
func (cn *conn) relayed(f *chatproto.Frame) error {
	id, ok := f.Uint("s")
	if !ok {
		return errFields
	}
	var data []byte
	if text, has := f.Get("data"); has {
		var err error
		if data, err = base64.StdEncoding.AppendDecode(nil, text); err != nil || len(data) == 0 || len(data) > relayData {
			return errFields
		}
	}
	cn.c.mu.Lock()
	defer cn.c.mu.Unlock()
	st := cn.streams[id]
	if st == nil {
		return nil
	}
	if ack, has := f.Uint("ack"); has {
		if ack < st.accepted || ack > st.sent {
			st.end(true)
			return nil
		}
		st.accepted = ack
		wake(st.up)
	}
	if len(data) > 0 {
		st.in = append(st.in, data)
		if st.waiting += len(data); st.handed+uint64(st.waiting)-st.acked > relayWindow {
			st.end(true)
			return nil
		}
	}
	st.ended = st.ended || f.Value("end") == "1"
	wake(st.down)
	return nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send writes RDAT. Client.mu is held.
func (st *relayStream) send(fields func(l *chatproto.Line)) {
	cn := st.cn
	if cn.c.conn != cn || cn.leaving || cn.m.Request(chatproto.RDAT, 0) != nil {
		return
	}
	l := chatproto.Begin(cn.out, chatproto.RDAT)
	l.Uint("s", st.id)
	fields(&l)
	cn.out, _ = l.End("")
	cn.signal()
}

// end ends the stream, and says so if the other end does not know. Client.mu
// is held.
func (st *relayStream) end(tell bool) {
	if st.closed {
		return
	}
	st.closed = true
	delete(st.cn.streams, st.id)
	if tell && !st.ended {
		st.send(func(l *chatproto.Line) { l.Uint("end", 1) })
	}
	st.far.Close()
	wake(st.up)
	wake(st.down)
}

// endStreams ends all streams of a connection that ended. Client.mu is held.
func (cn *conn) endStreams() {
	for _, st := range cn.streams {
		st.end(false)
	}
}

// carryUp sends what the line writes, as far as the other end has room.
func (st *relayStream) carryUp() {
	mu := &st.cn.c.mu
	buf := make([]byte, relayData)
	for {
		mu.Lock()
		room := relayWindow - int(st.sent-st.accepted)
		closed := st.closed
		mu.Unlock()
		if closed {
			return
		}
		if room == 0 {
			<-st.up
			continue
		}
		n, err := st.far.Read(buf[:min(room, relayData)])
		mu.Lock()
		if n > 0 && !st.closed {
			st.sent += uint64(n)
			st.send(func(l *chatproto.Line) { l.Field("data", base64.StdEncoding.EncodeToString(buf[:n])) })
		}
		if err != nil {
			st.end(true)
		}
		mu.Unlock()
	}
}

// carryDown hands what came to the line, and acknowledges it.
func (st *relayStream) carryDown() {
	mu := &st.cn.c.mu
	for {
		mu.Lock()
		var data []byte
		if len(st.in) > 0 {
			data, st.in = st.in[0], st.in[1:]
		} else if st.ended {
			st.end(false)
		}
		closed := st.closed
		mu.Unlock()
		switch {
		case closed:
			return
		case data == nil:
			<-st.down
			continue
		}
		_, err := st.far.Write(data)
		mu.Lock()
		st.waiting -= len(data)
		st.handed += uint64(len(data))
		if st.handed-st.acked >= relayAck && !st.closed {
			st.acked = st.handed
			st.send(func(l *chatproto.Line) { l.Uint("ack", st.acked) })
		}
		if err != nil {
			st.end(true)
		}
		mu.Unlock()
	}
}
