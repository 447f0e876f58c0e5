package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// Limits of the listener. Who connects is a stranger until PEER names a user
// who was consented to; a stranger is given little time and less memory.
const (
	peerListenOff   = "off"
	minPeerPort     = 1024
	maxLines        = 64 // accepted lines, beside strangers
	maxStrangers    = 16
	introduceWithin = 5 * time.Second
	acceptedIdle    = 90 * time.Second // more than a dialler keeps a line idle
	peerWriteWithin = 10 * time.Second
)

// A peerNetwork is how private lines are opened; nil is the usual way.
type peerNetwork struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// listen opens the listener, if there is to be one and is none. server is the
// connection to the server: if that is on this machine, so are all peers.
func (p *peers) listen(server net.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ip, isIP := ipOf(server.RemoteAddr())
	p.local = !isIP || ip.IsLoopback()
	cfg := &p.c.cfg
	if p.closed || p.ln != nil || cfg.PeerListen == peerListenOff || cfg.Callbacks.OnPrivate == nil {
		return nil
	}
	ln, err := p.c.openPort(nil, cfg.PeerListen, server)
	if err != nil {
		return err
	}
	p.ln = ln
	p.workers.Go(func() { p.c.acceptAll(ln, p.welcome) })
	return nil
}

// stopListening closes the listener; a later login opens another.
func (p *peers) stopListening() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		p.ln.Close()
		p.ln = nil
	}
}

// shut ends all lines and waits for their goroutines.
func (p *peers) shut() {
	p.stopListening()
	p.mu.Lock()
	p.closed = true
	for l := range p.accepted {
		l.close()
	}
	for user := range p.dialled {
		p.hangUp(user)
	}
	for user := range p.given {
		p.settle(user)
	}
	for _, g := range p.grants {
		g.timer.Stop()
	}
	p.mu.Unlock()
	p.workers.Wait()
}

// An acceptedLine is a private line that another client opened to us.
type acceptedLine struct {
	raw  net.Conn
	tls  *tls.Conn     // over raw
	key  string        // of the other end, proved; "" before
	from string        // "" for a stranger; peers.mu guards it
	busy bool          // a message waits for its answer; peers.mu
	gone chan struct{} // closed when nothing more is read; peers.mu
	over chan struct{} // closed with the connection
	once sync.Once     // for that
}

// close ends the line at once: nothing more is read. Only the answer to a
// message that the application has already still goes out, if it comes soon.
// peers.mu is held.
func (l *acceptedLine) close() {
	select {
	case <-l.gone:
		return
	default:
	}
	close(l.gone)
	if l.busy {
		time.AfterFunc(lastWords, l.cut)
	} else {
		l.cut()
	}
}

// cut closes the connection.
func (l *acceptedLine) cut() {
	l.once.Do(func() {
		close(l.over)
		l.raw.Close() // and not tls, whose farewell would wait for whoever does not read
	})
}

// occupy says whether a message waits for its answer, and reports whether the
// line goes on.
func (p *peers) occupy(l *acceptedLine, busy bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.busy = busy
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// welcome takes a new line in, unless there are too many, or nobody may write
// to us.
func (p *peers) welcome(nc net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.accepted)-len(p.unknown.here) >= maxLines || !p.expects() {
		nc.Close()
		return
	}
	if !p.unknown.admit(nc) {
		return
	}
	l := &acceptedLine{raw: nc, gone: make(chan struct{}), over: make(chan struct{})}
	l.tls = tls.Server(nc, p.id.tlsConfig(p.consented))
	p.accepted[l] = struct{}{}
	p.workers.Go(func() {
		p.serve(l)
		p.mu.Lock()
		defer p.mu.Unlock()
		l.close()
		l.cut()
		p.unknown.leave(nc)
		delete(p.accepted, l)
	})
}

// expects reports whether anybody may write to us. mu is held.
func (p *peers) expects() bool {
	now := time.Now()
	for _, g := range p.given {
		if _, ok := g.InForce(now); ok {
			return true
		}
	}
	return false
}

// consented returns an error unless whoever has this key may write to us.
func (p *peers) consented(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, g := range p.given {
		if g.Allows(key, now) {
			return nil
		}
	}
	return errOtherKey
}

// serve answers one line: TLS, and then PEER, within the time for them, then
// messages.
func (p *peers) serve(l *acceptedLine) {
	l.raw.SetDeadline(time.Now().Add(introduceWithin))
	if err := l.tls.Handshake(); err != nil {
		p.c.cfg.Logger.Info("a private line was refused", slog.Any("err", err))
		return
	}
	state := l.tls.ConnectionState()
	key, err := lineKey(&state)
	if err != nil {
		return
	}
	l.key = key
	rd := chatproto.NewReader(l.tls)
	var f chatproto.Frame
	if err := rd.Next(&f); err != nil {
		l.refuse(err)
		return
	}
	src, refusal := p.introduce(l, &f)
	if refusal != nil {
		l.refuse(refusal)
		return
	}
	p.remember(src.from, key)
	greeting := chatproto.Begin(nil, chatproto.ReplyGreeting)
	greeting.Uint("v", uint64(chatproto.V1.Number))
	if !l.write(&greeting, "") {
		return
	}
	for {
		l.raw.SetReadDeadline(time.Now().Add(acceptedIdle))
		if err := rd.Next(&f); err != nil {
			l.refuse(err)
			return
		}
		switch f.Code {
		case chatproto.LIVE:
		case chatproto.MESG:
			goesOn := p.occupy(l, true) && p.take(l, src, &f)
			if !p.occupy(l, false) || !goesOn {
				return
			}
		case chatproto.QUIT:
			bye := chatproto.Begin(nil, chatproto.ReplyBye)
			l.write(&bye, "")
			return
		default:
			l.refuse(&chatproto.Error{Code: chatproto.ReplyBadPhase})
			return
		}
	}
}

// introduce checks PEER: only who was consented to, by the key of this line,
// is answered, and has one line, the latest.
func (p *peers) introduce(l *acceptedLine, f *chatproto.Frame) (source, *chatproto.Error) {
	from, ok := userOf(f, "from")
	to, ok2 := userOf(f, "to")
	value, _ := f.Get("origin")
	origin, ok3 := chatproto.ParseOrigin(value)
	if f.Code != chatproto.PEER || !ok || !ok2 || !ok3 {
		return source{}, &chatproto.Error{Code: chatproto.ReplyBadField, Text: "PEER v=1 from= to= origin= comes first"}
	}
	if _, err := chatproto.Negotiate(f.Value("v"), chatproto.V1); err != nil {
		return source{}, asRefusal(err)
	}
	name := p.c.User()
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.given[from]
	if to != name || g == nil || !g.Allows(l.key, time.Now()) {
		return source{}, &chatproto.Error{Code: chatproto.ReplyBlocked, Text: noConsent}
	}
	for other := range p.accepted {
		if other.from == from {
			other.close()
		}
	}
	l.from = from
	p.unknown.leave(l.raw)
	return source{from, origin}, nil
}

func asRefusal(err error) *chatproto.Error {
	var refusal *chatproto.Error
	if !errors.As(err, &refusal) {
		refusal = &chatproto.Error{Code: chatproto.ReplyInternal}
	}
	return refusal
}

// noConsent is what is told to whoever was not consented to.
const noConsent = "No consent to a private chat"

// mayWrite reports whether the consent lasts and the line is still: both may
// end before a message's turn comes.
func (p *peers) mayWrite(l *acceptedLine) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-l.gone:
		return false
	default:
	}
	g := p.given[l.from]
	return g != nil && g.Allows(l.key, time.Now())
}

func (l *acceptedLine) write(line *chatproto.Line, text string) bool {
	b, err := line.End(text)
	if err != nil {
		return false
	}
	l.raw.SetWriteDeadline(time.Now().Add(peerWriteWithin))
	_, err = l.tls.Write(b)
	return err == nil
}

// refuse tells why the line ends, if that is the other side's fault.
func (l *acceptedLine) refuse(err error) {
	var refusal *chatproto.Error
	if errors.As(err, &refusal) {
		line := chatproto.Begin(nil, refusal.Code)
		l.write(&line, refusal.Describe())
	}
}
