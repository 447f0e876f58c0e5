package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// How long opening a private line may take, and after which time the next
// place, and in the end the server, is tried beside one that does not answer.
const (
	peerDialWithin = 10 * time.Second
	peerDialNext   = 250 * time.Millisecond
	peerDialRelay  = 2 * time.Second
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
	ways := l.ways(g)
	start := func() {
		way := ways[0]
		ways = ways[1:]
		running++
		l.p.workers.Go(func() {
			line, err := way.reach(ctx)
			results <- result{line, err}
		})
		next = nil
		if len(ways) > 0 {
			next = time.After(ways[0].after)
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
		if running == 0 && open == nil && len(ways) > 0 && ctx.Err() == nil {
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

// A way is one to open a line, and how long after the one before it is tried
// beside that.
type way struct {
	after time.Duration
	reach func(ctx context.Context) (*privateLine, error)
}

// ways returns the ways to a user, the best first: their places, and in the
// end through the server.
func (l *dialledLine) ways(g *grant) (ways []way) {
	secured := func(connect func(ctx context.Context) (net.Conn, error)) func(ctx context.Context) (*privateLine, error) {
		return func(ctx context.Context) (*privateLine, error) {
			nc, err := connect(ctx)
			if err != nil {
				return nil, err
			}
			return l.secure(ctx, g.key, nc)
		}
	}
	for _, place := range g.places {
		ways = append(ways, way{peerDialNext, secured(func(ctx context.Context) (net.Conn, error) { return l.p.dial(ctx, place) })})
	}
	if l.p.c.relays() {
		ways = append(ways, way{peerDialRelay, secured(func(ctx context.Context) (net.Conn, error) { return l.p.c.relayTo(ctx, l.user) })})
	}
	return ways
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
