package chatclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// How long opening a private line may take, and how long one stays open
// without a message.
const (
	peerDialWithin = 10 * time.Second
	dialledIdle    = time.Minute
)

// Private sends text straight to user, who has consented, and waits until
// their callback took it. It returns [ErrNoConsent] if there is no consent
// and [ErrPeerGone] if there was one and user is no longer there: nothing was
// sent then. An error that matches [ErrUnknown] says that the line broke, or
// ctx ended, before the answer. A [*chatproto.Error] is a refusal by user's
// client. One message is under way to a user at a time; others wait.
func (c *Client) Private(ctx context.Context, user, text string) (Receipt, error) {
	if err := chatproto.CheckName(user); err != nil {
		return Receipt{}, err
	}
	if err := chatproto.CheckText(text); err != nil {
		return Receipt{}, err
	}
	if c.life.Err() != nil {
		return Receipt{}, ErrClosed
	}
	l, err := c.peers.lineTo(ctx, user)
	if err != nil {
		return Receipt{}, err
	}
	defer l.release()
	return l.message(ctx, c.User(), text)
}

// A dialledLine is a private line that we opened. Who holds its turn uses it;
// peers.dialled has it as long as it may be used again.
type dialledLine struct {
	p    *peers
	user string
	turn chan struct{} // capacity 1: full while somebody uses the line

	// Of the one whose turn it is.
	nc      net.Conn // nil until it is open
	n       uint64
	replies chan peerReply // of the reader; closed with the line
	idle    *time.Timer

	hung chan struct{} // closed by hangUp
}

// A peerReply answers the message n of a line.
type peerReply struct {
	n       uint64
	refusal *chatproto.Error // nil if it was taken
}

// lineTo returns an open line to user and the turn to use it.
func (p *peers) lineTo(ctx context.Context, user string) (*dialledLine, error) {
	for {
		addr, err := p.lookUp(user)
		if err != nil {
			return nil, err
		}
		l, err := p.reserve(user)
		if err != nil {
			return nil, err
		}
		select {
		case l.turn <- struct{}{}:
		case <-l.hung:
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if l.usable() {
			if l.nc != nil {
				return l, nil
			}
			if err = l.open(ctx, addr); err == nil {
				return l, nil
			}
		}
		p.drop(l)
		l.release()
		if err != nil {
			return nil, err
		}
	}
}

// reserve returns the line to user, or a new one that is not open yet.
func (p *peers) reserve(user string) (*dialledLine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	l := p.dialled[user]
	if l == nil {
		l = &dialledLine{p: p, user: user, turn: make(chan struct{}, 1), hung: make(chan struct{})}
		p.dialled[user] = l
	}
	return l, nil
}

// drop forgets a line and closes it.
func (p *peers) drop(l *dialledLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dialled[l.user] == l {
		delete(p.dialled, l.user)
	}
	l.hangUp()
}

// hangUp closes the line. peers.mu is held.
func (l *dialledLine) hangUp() {
	select {
	case <-l.hung:
	default:
		close(l.hung)
	}
}

// release gives the turn to the next.
func (l *dialledLine) release() {
	select {
	case <-l.hung:
	default:
		if l.idle != nil {
			l.idle.Reset(dialledIdle)
		}
	}
	<-l.turn
}

// usable reports whether the line is open still, or may yet be opened, and
// keeps it so.
func (l *dialledLine) usable() bool {
	select {
	case <-l.hung:
		return false
	case <-l.replies: // nothing was asked: it is closed, or broken
		return false
	default:
		return l.nc == nil || l.idle.Stop()
	}
}

// open dials and introduces us. Whatever goes wrong, the user is not there.
func (l *dialledLine) open(ctx context.Context, addr netip.AddrPort) error {
	if err := l.p.allowed(addr); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, peerDialWithin)
	defer cancel()
	defer context.AfterFunc(l.p.c.life, cancel)()
	err := l.connect(limited, addr)
	switch {
	case err == nil:
		return nil
	case l.p.c.life.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrPeerGone, err)
}

func (l *dialledLine) connect(ctx context.Context, addr netip.AddrPort) error {
	nc, err := l.p.c.cfg.peerNet.dial(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	rd := chatproto.NewReader(nc)
	err = l.introduce(nc, rd)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		nc.SetDeadline(time.Time{})
		err = l.begin(nc, rd)
	}
	if err != nil {
		nc.Close()
	}
	return err
}

// begin starts the goroutines of an open line, unless it was hung up.
func (l *dialledLine) begin(nc net.Conn, rd *chatproto.Reader) error {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.closed || l.p.dialled[l.user] != l {
		return errRevoked
	}
	l.nc, l.replies = nc, make(chan peerReply)
	l.idle = time.AfterFunc(dialledIdle, func() { l.p.drop(l) })
	l.idle.Stop()
	l.p.workers.Go(func() { l.read(rd) })
	l.p.workers.Go(func() {
		<-l.hung
		l.idle.Stop()
		quit := chatproto.Begin(nil, chatproto.QUIT)
		if line, err := quit.End(""); err == nil {
			l.nc.SetWriteDeadline(time.Now().Add(lastWords))
			l.nc.Write(line)
		}
		l.nc.Close()
	})
	return nil
}

// errRevoked says that the consent ended while the line was opened.
var errRevoked = errors.New("chatclient: the consent has ended")

// introduce says PEER and waits for the greeting.
func (l *dialledLine) introduce(nc net.Conn, rd *chatproto.Reader) error {
	hello := chatproto.Begin(nil, chatproto.PEER)
	hello.Uint("v", uint64(chatproto.V1.Number))
	hello.Field("from", l.p.c.User())
	hello.Field("to", l.user)
	line, err := hello.End("")
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Now().Add(peerDialWithin))
	if _, err := nc.Write(line); err != nil {
		return err
	}
	var f chatproto.Frame
	if err := rd.Next(&f); err != nil {
		return err
	}
	if f.Code != chatproto.ReplyGreeting {
		return &chatproto.Error{Code: f.Code, Text: string(f.Description)}
	}
	return nil
}

// read hands the replies to the one who waits, and notices the end of a line
// that nobody uses.
func (l *dialledLine) read(rd *chatproto.Reader) {
	defer close(l.replies)
	defer l.p.drop(l)
	var f chatproto.Frame
	for {
		if err := rd.Next(&f); err != nil || !f.Code.IsReply() || f.Code == chatproto.ReplyBye {
			return
		}
		var r peerReply
		r.n, _ = f.Uint("n")
		if f.Code.Class() != 2 {
			r.refusal = &chatproto.Error{Code: f.Code, Text: string(f.Description)}
		}
		select {
		case l.replies <- r:
		case <-l.hung:
			return
		}
	}
}

// message sends one message and waits for the answer.
func (l *dialledLine) message(ctx context.Context, from, text string) (Receipt, error) {
	l.n++
	m := chatproto.Begin(nil, chatproto.MESG)
	m.Uint("n", l.n)
	line, err := m.EndMessage(from, []byte(text))
	if err != nil {
		return Receipt{}, err
	}
	l.nc.SetWriteDeadline(time.Now().Add(peerWriteWithin))
	if _, err := l.nc.Write(line); err != nil {
		l.p.drop(l)
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	select {
	case r := <-l.replies:
		if r.n != l.n {
			l.p.drop(l)
			return Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, io.ErrUnexpectedEOF)
		}
		if r.refusal != nil {
			return Receipt{}, r.refusal
		}
		return Receipt{ID: chatproto.ID{N: l.n}, How: Delivered}, nil
	case <-ctx.Done():
		l.p.drop(l)
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// allowed checks an address before it is dialled: the server must not make
// us connect to our own machine or link unless it is there itself, nor to a
// system service.
func (p *peers) allowed(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap()
	p.mu.Lock()
	local := p.local
	p.mu.Unlock()
	near := ip.IsLoopback() || ip.IsLinkLocalUnicast()
	if !ip.IsLoopback() && !p.c.cfg.AllowCleartext {
		return fmt.Errorf("%w: %w", ErrPeerGone, ErrCleartext)
	}
	if near && !local || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() < minPeerPort {
		return fmt.Errorf("%w: will not connect to %v, which is not an address of another user", ErrPeerGone, addr)
	}
	return nil
}
