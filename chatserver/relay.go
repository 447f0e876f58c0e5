package chatserver

import (
	"encoding/base64"
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// capRelay is the capability of relayed lines (SPEC section 8.7).
const capRelay = "relay"

// Limits of relayed lines.
const (
	relayStreams = 4        // of one user, in either role
	relayWindow  = 32 << 10 // octets on the way in one direction
	relayData    = 4 << 10  // octets in one frame
	relayIdle    = 2 * time.Minute
)

// relays are the private lines that the server carries. Their content is TLS
// between the two clients.
type relays struct {
	mu      sync.Mutex
	last    uint64
	streams map[uint64]*stream
	of      map[*user]int // streams that a user is an end of
}

// A stream is one of them, between two connections.
type stream struct {
	id    uint64
	pair  pair
	ends  [2]relayEnd // the asker's, the owner's
	used  time.Time
	timer *time.Timer
}

type relayEnd struct {
	c           *conn
	sent, acked uint64 // octets from this end; of them, acknowledged by the other
}

// relay answers RLAY.
func (c *conn) relay(f *chatproto.Frame) {
	name, ok := c.userField(f)
	switch {
	case !ok:
		return
	case !c.relays:
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadPhase}, "")
		return
	}
	owner, err := c.userNamed([]byte(name))
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return
	}
	c.waitAnswered() // the answer comes before what the stream brings
	id, refused := c.openStream(owner)
	if refused != nil {
		c.refuse(refused, name)
		return
	}
	c.log().Debug("a private line is relayed", "to", owner.name, "stream", id)
}

// openStream opens a stream to owner and answers the request.
func (c *conn) openStream(owner *user) (uint64, *chatproto.Error) {
	s, p := c.srv, pair{c.user, owner}
	s.consents.mu.Lock() // the consent is in force until the stream is there for its end
	defer s.consents.mu.Unlock()
	if c.fenced() {
		c.die("fenced")
		return 0, chatproto.ErrNotOnline
	}
	if e := s.consents.pairs[p]; e == nil || !e.state.InForce() {
		return 0, chatproto.ErrBlocked
	}
	sess := s.roster.session(owner.name)
	if sess == nil {
		return 0, chatproto.ErrNotOnline
	}
	to := sess.attached()
	if to == nil || !to.relays {
		return 0, chatproto.ErrNotOnline
	}
	rl := &s.relays
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.of[c.user] >= relayStreams || rl.of[owner] >= relayStreams {
		return 0, chatproto.ErrSlowDown
	}
	if rl.streams == nil {
		rl.streams, rl.of = make(map[uint64]*stream), make(map[*user]int)
	}
	rl.last++
	st := &stream{id: rl.last, pair: p, ends: [2]relayEnd{{c: c}, {c: to}}, used: time.Now()}
	id := strconv.FormatUint(st.id, 10)
	if !to.notify(chatproto.RLAY, "", field{"user", c.user.name}, field{"s", id}) {
		return 0, chatproto.ErrNotOnline
	}
	c.by.touch(to)
	rl.streams[st.id] = st
	rl.of[c.user]++
	rl.of[owner]++
	st.timer = s.after(relayIdle, func() { rl.idle(st) })
	c.reply(chatproto.ReplyOK, "", field{"s", id})
	return st.id, nil
}

// relayed takes RDAT and passes it on.
func (c *conn) relayed(f *chatproto.Frame) {
	id, ok := f.Uint("s")
	if !ok || !c.relays {
		return
	}
	rl := &c.srv.relays
	rl.mu.Lock()
	defer rl.mu.Unlock()
	st := rl.streams[id]
	if st == nil {
		return
	}
	from, to := &st.ends[0], &st.ends[1]
	if to.c == c {
		from, to = to, from
	}
	if from.c != c {
		return
	}
	fields, ok := pass(f, from, to)
	if !ok {
		c.log().Info("a relayed line broke the rules", "stream", id)
		rl.end(st, nil)
		return
	}
	st.used = time.Now()
	if !to.c.relayEvent(fields) {
		rl.end(st, to.c)
		return
	}
	c.by.touch(to.c)
	if f.Value("end") == "1" {
		rl.forget(st)
	}
}

// pass checks RDAT against the rules and returns its fields.
func pass(f *chatproto.Frame, from, to *relayEnd) (fields []field, ok bool) {
	fields = []field{{"s", f.Value("s")}}
	if data, has := f.Get("data"); has {
		var buf [relayData + 2]byte
		if len(data) > base64.StdEncoding.EncodedLen(relayData) {
			return nil, false
		}
		n, err := base64.StdEncoding.Strict().Decode(buf[:], data)
		from.sent += uint64(n)
		if err != nil || n == 0 || n > relayData || from.sent-from.acked > relayWindow {
			return nil, false
		}
		fields = append(fields, field{"data", string(data)})
	}
	if _, has := f.Get("ack"); has {
		ack, ok := f.Uint("ack")
		if !ok || ack < to.acked || ack > to.sent {
			return nil, false
		}
		to.acked = ack
		fields = append(fields, field{"ack", f.Value("ack")})
	}
	if end, has := f.Get("end"); has {
		if string(end) != "0" && string(end) != "1" {
			return nil, false
		}
		fields = append(fields, field{"end", string(end)})
	}
	return fields, true
}

// relayEvent sends RDAT, unless the client does not read what it is sent.
func (c *conn) relayEvent(fields []field) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.muted || c.dead != "" || len(c.out) >= eventsFactor/2*c.srv.Limits.OutboundBytes {
		return false
	}
	return c.event(chatproto.RDAT, fields, "")
}

// end ends a stream and tells both ends but gone. mu is held.
func (rl *relays) end(st *stream, gone *conn) {
	rl.forget(st)
	for i := range st.ends {
		if c := st.ends[i].c; c != gone && c.notify(chatproto.RDAT, "", field{"s", strconv.FormatUint(st.id, 10)}, field{"end", "1"}) {
			c.flushLocked()
		}
	}
}

// forget removes a stream. mu is held.
func (rl *relays) forget(st *stream) {
	if rl.streams[st.id] != st {
		return
	}
	delete(rl.streams, st.id)
	st.timer.Stop()
	for _, u := range []*user{st.pair.asker, st.pair.owner} {
		if rl.of[u]--; rl.of[u] == 0 {
			delete(rl.of, u)
		}
	}
}

// idle ends a stream on which nothing came for too long.
func (rl *relays) idle(st *stream) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.streams[st.id] != st {
		return
	}
	if left := relayIdle - time.Since(st.used); left > 0 {
		st.timer.Reset(left)
		return
	}
	rl.end(st, nil)
}

// endPair ends the streams of a consent that ended.
func (rl *relays) endPair(p pair) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.of[p.asker] == 0 {
		return // as most
	}
	for _, st := range rl.streams {
		if st.pair == p {
			rl.end(st, nil)
		}
	}
}

// endConn ends the streams of a connection that ended.
func (rl *relays) endConn(c *conn) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.of[c.user] == 0 {
		return // as most
	}
	for _, st := range rl.streams {
		if st.ends[0].c == c || st.ends[1].c == c {
			rl.end(st, c)
		}
	}
}
