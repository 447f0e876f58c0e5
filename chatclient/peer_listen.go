package chatclient

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// Limits of the listener. Who connects is a stranger until PEER names a user
// who was consented to; a stranger is given little time and less memory.
const (
	peerListenOff   = "off"
	minPeerPort     = 1024
	maxLines        = 64 // accepted lines, strangers among them
	maxStrangers    = 16
	introduceWithin = 5 * time.Second
	acceptedIdle    = 90 * time.Second // more than a dialler keeps a line idle
	peerWriteWithin = 10 * time.Second
)

// A peerNetwork is how private lines are opened.
type peerNetwork struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

func (n *peerNetwork) fill() {
	if n.listen == nil {
		n.listen = net.Listen
	}
	if n.dial == nil {
		n.dial = (&net.Dialer{}).DialContext
	}
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
	if !p.local && !cfg.AllowCleartext {
		return nil // a line would show its text on the network (SPEC section 9.6)
	}
	addr := cfg.PeerListen
	if addr == "" {
		addr = ":0"
		if isIP && ip.IsLoopback() {
			addr = net.JoinHostPort(ip.String(), "0")
		}
	}
	ln, err := cfg.peerNet.listen("tcp", addr)
	if err != nil {
		return err
	}
	p.ln = ln
	p.workers.Go(func() { p.accept(ln) })
	return nil
}

// port returns where we listen, 0 if nowhere.
func (p *peers) port() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln == nil {
		return 0
	}
	_, s, _ := net.SplitHostPort(p.ln.Addr().String())
	port, _ := strconv.Atoi(s)
	return port
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
	p.mu.Unlock()
	p.workers.Wait()
}

func (p *peers) accept(ln net.Listener) {
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			p.welcome(nc)
		case errors.Is(err, net.ErrClosed) || p.c.life.Err() != nil:
			return
		default: // out of descriptors, most likely: it may pass
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			p.c.cfg.Logger.Warn("cannot accept a private line", slog.Any("err", err))
			if !sleep(p.c.life, wait) {
				return
			}
		}
	}
}

// An acceptedLine is a private line that another client opened to us.
type acceptedLine struct {
	nc   net.Conn
	from string        // "" for a stranger; peers.mu guards it
	gone chan struct{} // closed with the line; peers.mu
}

// close ends the line. peers.mu is held.
func (l *acceptedLine) close() {
	select {
	case <-l.gone:
	default:
		close(l.gone)
		l.nc.Close()
	}
}

// welcome takes a new line in, unless there are too many.
func (p *peers) welcome(nc net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	strangers := 0
	for l := range p.accepted {
		if l.from == "" {
			strangers++
		}
	}
	if p.closed || len(p.accepted) >= maxLines || strangers >= maxStrangers {
		nc.Close()
		return
	}
	l := &acceptedLine{nc: nc, gone: make(chan struct{})}
	p.accepted[l] = struct{}{}
	p.workers.Go(func() {
		p.serve(l)
		p.mu.Lock()
		defer p.mu.Unlock()
		l.close()
		delete(p.accepted, l)
	})
}

// serve answers one line: PEER within the time for it, then messages.
func (p *peers) serve(l *acceptedLine) {
	rd := chatproto.NewReader(l.nc)
	var f chatproto.Frame
	l.nc.SetDeadline(time.Now().Add(introduceWithin))
	if err := rd.Next(&f); err != nil {
		l.refuse(err)
		return
	}
	from, refusal := p.introduce(l, &f)
	if refusal != nil {
		l.refuse(refusal)
		return
	}
	greeting := chatproto.Begin(nil, chatproto.ReplyGreeting)
	greeting.Uint("v", uint64(chatproto.V1.Number))
	if !l.write(&greeting, "") {
		return
	}
	for {
		l.nc.SetReadDeadline(time.Now().Add(acceptedIdle))
		if err := rd.Next(&f); err != nil {
			l.refuse(err)
			return
		}
		switch f.Code {
		case chatproto.LIVE:
		case chatproto.MESG:
			if !p.take(l, from, &f) {
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

// introduce checks PEER: only who was consented to is answered, and has one
// line, the latest.
func (p *peers) introduce(l *acceptedLine, f *chatproto.Frame) (string, *chatproto.Error) {
	from, ok := userOf(f, "from")
	to, ok2 := userOf(f, "to")
	if f.Code != chatproto.PEER || !ok || !ok2 {
		return "", &chatproto.Error{Code: chatproto.ReplyBadField, Text: "PEER v=1 from= to= comes first"}
	}
	if _, err := chatproto.Negotiate(f.Value("v"), chatproto.V1); err != nil {
		return "", asRefusal(err)
	}
	name := p.c.User()
	p.mu.Lock()
	defer p.mu.Unlock()
	if to != name || !time.Now().Before(p.armed[from]) {
		return "", &chatproto.Error{Code: chatproto.ReplyBlocked, Text: noConsent}
	}
	for other := range p.accepted {
		if other.from == from {
			other.close()
		}
	}
	l.from = from
	return from, nil
}

func asRefusal(err error) *chatproto.Error {
	var refusal *chatproto.Error
	if !errors.As(err, &refusal) {
		refusal = &chatproto.Error{Code: chatproto.ReplyInternal}
	}
	return refusal
}

// take gives a private message to the callback and answers when that has
// returned. It reports whether the line goes on.
func (p *peers) take(l *acceptedLine, from string, f *chatproto.Frame) bool {
	n, ok := f.Uint("n")
	text, ok2 := chatproto.MessageText(from, f.Description)
	if !ok || n == 0 || !ok2 {
		l.refuse(&chatproto.Error{Code: chatproto.ReplyBadField})
		return false
	}
	if err := chatproto.CheckText(string(text)); err != nil {
		l.refuse(err)
		return false
	}
	if !p.mayWrite(l) {
		l.refuse(&chatproto.Error{Code: chatproto.ReplyBlocked, Text: noConsent})
		return false
	}
	m := PrivateMessage{From: from, Text: string(text)}
	taken := make(chan error, 1)
	call := p.c.cfg.Callbacks.OnPrivate
	err := p.c.events.push(event{call: func(ctx context.Context) {
		if !p.mayWrite(l) {
			taken <- errRevoked
			return
		}
		taken <- call(ctx, m)
	}})
	if err == nil {
		select {
		case err = <-taken:
		case <-l.gone:
			return false
		case <-p.c.life.Done():
			return false
		}
	}
	if err == errRevoked {
		l.refuse(&chatproto.Error{Code: chatproto.ReplyBlocked, Text: noConsent})
		return false
	}
	code := chatproto.ReplyAccepted
	if err != nil {
		code = chatproto.ReplyInternal
		p.c.cfg.Logger.Warn("the private message callback failed", slog.String("from", from), slog.Any("err", err))
	}
	reply := chatproto.Begin(nil, code)
	reply.Uint("n", n)
	return l.write(&reply, chatproto.V1.Sentence(0, code))
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
		return time.Now().Before(p.armed[l.from])
	}
}

func (l *acceptedLine) write(line *chatproto.Line, text string) bool {
	b, err := line.End(text)
	if err != nil {
		return false
	}
	l.nc.SetWriteDeadline(time.Now().Add(peerWriteWithin))
	_, err = l.nc.Write(b)
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
