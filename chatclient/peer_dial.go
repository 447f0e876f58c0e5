package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// How long opening a private line may take, and after which time the next
// place is tried beside one that does not answer.
const (
	peerDialWithin = 10 * time.Second
	peerDialNext   = 250 * time.Millisecond
)

// A privateLine is a line whose other end has the key that it should.
type privateLine struct {
	raw net.Conn
	tls *tls.Conn
	rd  *chatproto.Reader
}

// open opens a line to user, at the first place that answers as it should.
func (l *dialledLine) open(g *grant) (*privateLine, error) {
	ctx, cancel := context.WithTimeout(l.ctx, peerDialWithin)
	defer cancel()
	type result struct {
		line *privateLine
		err  error
	}
	results := make(chan result)
	running := 0
	var errs []error
	var next <-chan time.Time
	places := g.places
	start := func() {
		place := places[0]
		places = places[1:]
		running++
		l.p.workers.Go(func() {
			line, err := l.reach(ctx, g.key, place)
			results <- result{line, err}
		})
		next = nil
		if len(places) > 0 {
			next = time.After(peerDialNext)
		}
	}
	start()
	var open *privateLine
	for running > 0 {
		select {
		case <-next:
			start()
			continue
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				errs = append(errs, r.err)
			case open == nil:
				open = r.line
				cancel()
			default:
				r.line.raw.Close()
			}
		}
		if running == 0 && open == nil && len(places) > 0 && ctx.Err() == nil {
			start()
		}
	}
	if open != nil { // the acceptor has one line of a user, so only this one is introduced
		if err := l.introduce(open); err != nil {
			open.raw.Close()
			errs = []error{err}
			open = nil
		}
	}
	if open != nil {
		return open, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrPeerGone, errors.Join(errs...))
}

// reach opens a line to one place.
func (l *dialledLine) reach(ctx context.Context, key string, place netip.AddrPort) (*privateLine, error) {
	nc, err := l.p.dial(ctx, place)
	if err != nil {
		return nil, err
	}
	return l.secure(ctx, key, nc)
}

// secure makes a line of a connection: the other end must have this key.
func (l *dialledLine) secure(ctx context.Context, key string, nc net.Conn) (*privateLine, error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	line := &privateLine{raw: nc}
	line.tls = tls.Client(nc, l.p.id.tlsConfig(func(theirs string) error {
		if theirs != key {
			return errOtherKey
		}
		return nil
	}))
	nc.SetDeadline(time.Now().Add(peerDialWithin))
	err := line.tls.HandshakeContext(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	line.rd = chatproto.NewReader(line.tls)
	return line, nil
}

// introduce says PEER and waits for the greeting.
func (l *dialledLine) introduce(line *privateLine) error {
	defer context.AfterFunc(l.ctx, func() { line.raw.Close() })()
	line.raw.SetDeadline(time.Now().Add(peerDialWithin))
	hello := chatproto.Begin(nil, chatproto.PEER)
	hello.Uint("v", uint64(chatproto.V1.Number))
	hello.Field("from", l.p.c.User())
	hello.Field("to", l.user)
	hello.Origin("origin", l.origin)
	b, err := hello.End("")
	if err != nil {
		return err
	}
	if _, err := line.tls.Write(b); err != nil {
		return err
	}
	var f chatproto.Frame
	if err := line.rd.Next(&f); err != nil {
		return err
	}
	if f.Code != chatproto.ReplyGreeting {
		return &chatproto.Error{Code: f.Code, Text: string(f.Description)}
	}
	line.raw.SetDeadline(time.Time{})
	return nil
}
