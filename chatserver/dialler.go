package chatserver

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What the server dials for at once (SPEC section 7.7).
const (
	dialsAtOnce = 64
	dialsTo     = 8 // of them to one source
	dialTimeout = 10 * time.Second
)

// A dialler has clients called, so many at a time, in the order in which they
// were asked for.
type dialler struct {
	ctx    context.Context // ends when the server begins to
	cancel context.CancelFunc

	mu     sync.Mutex
	active int
	to     map[netip.Prefix]int // active, by source
	queue  []turn
}

// A turn is awaited, or taken, by a call to a source.
type turn struct {
	sess *session
	to   netip.Prefix
}

func (d *dialler) start() {
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.to = make(map[netip.Prefix]int)
}

// enter has the client of sess called at a place, when there is room.
func (d *dialler) enter(s *Server, sess *session, place netip.AddrPort) {
	t := turn{sess, sourceOf(place.Addr())}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room(t) { // whoever waits has none
		d.take(s, t)
	} else {
		d.queue = append(d.queue, t)
	}
}

// room reports whether one more may be called there. The caller holds mu.
func (d *dialler) room(t turn) bool { return d.active < dialsAtOnce && d.to[t.to] < dialsTo }

// take begins a call. The caller holds mu.
func (d *dialler) take(s *Server, t turn) {
	d.active++
	d.to[t.to]++
	s.begin(func() { s.dialFor(t) })
}

// leave ends a call. What it leaves makes room for one.
func (d *dialler) leave(s *Server, t turn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	if d.to[t.to]--; d.to[t.to] == 0 {
		delete(d.to, t.to)
	}
	if i := slices.IndexFunc(d.queue, d.room); i >= 0 {
		next := d.queue[i]
		d.queue = slices.Delete(d.queue, i, i+1)
		d.take(s, next)
	}
}

// dialFor calls the client of a session, from the dial to the login or the end
// of the connection.
func (s *Server) dialFor(t turn) {
	r, logins := t.sess.calling()
	var err error
	if r != nil {
		err = s.dialBack(t.sess, r)
	}
	if err != nil {
		s.log.Debug("a client that is away was not reached", "user", t.sess.user.name, "place", r.place, "err", err)
	}
	s.dialler.leave(s, t)
	s.called(t.sess, err != nil, logins)
}

var errNoLogin = errors.New("it did not log in")

// dialBack makes a connection and serves it. It returns when the client is
// logged in there, or why it is not; the connection goes on.
func (s *Server) dialBack(sess *session, r *reach) error {
	until := time.Now().Add(dialTimeout)
	ctx, cancel := context.WithDeadline(s.dialler.ctx, until)
	defer cancel()
	dial := s.Dial
	if dial == nil {
		dial = dialTCP
	}
	nc, err := dial(ctx, r.place)
	if err != nil {
		return err
	}
	c := newConn(s, &proxied{nc, net.TCPAddrFromAddrPort(r.place)})
	c.callee = &callee{sess: sess, reach: r, until: until, over: make(chan struct{})}
	if !s.serve(c) {
		return ErrServerClosed
	}
	<-c.callee.over
	if c.sess == nil {
		return errNoLogin
	}
	return nil
}

// dialTCP is Server.Dial by default.
func dialTCP(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", place.String())
}

// jitter returns d, up to a quarter longer or shorter.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2)
}
