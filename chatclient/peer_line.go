package chatclient

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// dialledIdle is how long a line stays open without a message.
const dialledIdle = time.Minute

// Private sends text straight to user, who has consented, and waits until
// their callback took it: that is what a Receipt says. It returns
// [ErrNoConsent] if there is no consent, [ErrPeerGone] if there was one and
// user is no longer there, or somebody else is, and [ErrPeerKeyChanged] if
// their key is another than before: nothing was sent then. An error that
// matches [ErrUnknown] says that the message was sent, and that it is not
// known whether it was taken. A [*chatproto.Error] is a refusal by user's
// client.
//
// When the line breaks it is opened again, and what was not answered is sent
// again under its old number, which user's client recognizes: it is shown
// once. Messages to one user are shown in the order of the calls; at most 256
// are unanswered at a time, and a further call waits for room.
//
// With a [StateFile] the message is in the file, synced, before it is sent; if
// that fails it is not sent and the error matches [ErrState]. What is
// unanswered when the program dies is sent again by the next one, if that is
// back while the consent is in force, see the package's comment.
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
	l, k, err := c.peers.enqueue(ctx, user, text)
	if err != nil {
		return Receipt{}, err
	}
	c.keep.signal()
	select {
	case <-k.done:
	case <-ctx.Done():
		l.abandon(k, ctx.Err())
	}
	<-k.done
	if k.err != nil {
		return Receipt{}, k.err
	}
	return Receipt{ID: chatproto.ID{Origin: l.origin, N: k.n}, How: Delivered}, nil
}

// numbers are those of the messages to one user, on all lines.
type numbers struct{ origin, last uint64 }

// A dialledLine carries our messages to one user, on one line after the
// other. It lives while there are messages or an open line; peers.dialled has
// it as long as it takes messages.
type dialledLine struct {
	p      *peers
	user   string
	origin uint64
	ctx    context.Context // ends when it is hung up
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: something is to be written

	// peers.mu guards:
	queue []*privateCall // unanswered, ascending
	room  chan struct{}  // not nil: closed when there is room
}

// enqueue gives a message its number and its place.
func (p *peers) enqueue(ctx context.Context, user, text string) (*dialledLine, *privateCall, error) {
	for {
		p.mu.Lock()
		g, err := p.lookUp(user)
		if err != nil || p.closed {
			p.mu.Unlock()
			if err == nil {
				err = ErrClosed
			}
			return nil, nil, err
		}
		l := p.dialled[user]
		if l == nil {
			l = p.newLine(user)
		}
		if last := p.numbers[user].last; len(l.queue) == 0 || last+1-l.queue[0].n < uint64(chatproto.V1.Limits.Window) {
			k := &privateCall{n: last + 1, text: text, done: make(chan struct{})}
			p.numbers[user] = numbers{l.origin, k.n}
			l.queue = append(l.queue, k)
			p.note(l, g, k)
			l.signal()
			p.mu.Unlock()
			return l, k, nil
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-l.ctx.Done():
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// newLine begins the line to a user. mu is held.
func (p *peers) newLine(user string) *dialledLine {
	if _, known := p.numbers[user]; !known {
		if len(p.numbers) >= maxPairs {
			for other := range p.numbers { // who has no line has nothing unanswered, and can have another origin
				if p.dialled[other] == nil {
					delete(p.numbers, other)
					break
				}
			}
		}
		p.numbers[user] = numbers{origin: newOrigin()}
	}
	l := &dialledLine{p: p, user: user, origin: p.numbers[user].origin, wake: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(p.c.life)
	p.dialled[user] = l
	p.workers.Go(l.run)
	return l
}

func (l *dialledLine) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hangUp ends the line to user at once: we may not write any more. mu is held.
func (p *peers) hangUp(user string) {
	if l := p.dialled[user]; l != nil {
		delete(p.dialled, user)
		l.cancel()
	}
}

// abandon ends a message for whom nobody waits any more.
func (l *dialledLine) abandon(k *privateCall, err error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	k.left = true
	if k.writes > 0 {
		k.end(k.judge(err))
	} else if l.remove(k) {
		l.conclude(k, err)
	}
}

// remove takes a message out of the queue, and reports whether it was there.
// mu is held.
func (l *dialledLine) remove(k *privateCall) bool {
	i := slices.Index(l.queue, k)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	return true
}

// run opens a line, and another when it breaks, while there is something to
// send and the consent lasts.
func (l *dialledLine) run() {
	defer l.cancel()
	for {
		g, err := l.grant()
		var line *privateLine
		if err == nil {
			line, err = l.open(g)
		}
		if err != nil {
			l.finish(err)
			return
		}
		l.p.remember(l.user, g.key)
		err = l.serve(line)
		line.raw.Close()
		if !l.goesOn(err) {
			return
		}
	}
}

func (l *dialledLine) grant() (*grant, error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.lookUp(l.user)
}

// finish ends what is left.
func (l *dialledLine) finish(err error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.drop(err)
}

// drop ends the line and what is left on it. mu is held.
func (l *dialledLine) drop(err error) {
	if l.p.dialled[l.user] == l {
		delete(l.p.dialled, l.user)
	}
	if l.ctx.Err() != nil { // hung up: what took the consent away says more
		if l.p.c.life.Err() != nil {
			err = ErrClosed
		} else if _, why := l.p.lookUp(l.user); why != nil {
			err = why
		}
	}
	for _, k := range l.queue {
		if k.leftover && l.p.c.life.Err() != nil {
			continue // the file keeps it for the next client
		}
		l.conclude(k, err)
	}
	l.queue = nil
	l.cancel()
}

// maxLineWrites is on how many lines a message is tried: one that breaks
// every line must not do so for ever.
const maxLineWrites = 3

// goesOn decides what happens after a line has ended: with something left to
// send there is another.
func (l *dialledLine) goesOn(err error) bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	for _, k := range slices.Clone(l.queue) {
		if l.ctx.Err() == nil && (k.left || k.writes >= maxLineWrites) {
			l.remove(k)
			l.conclude(k, err)
		}
	}
	if l.ctx.Err() != nil || len(l.queue) == 0 {
		l.drop(err)
		return false
	}
	l.p.c.cfg.Logger.Info("a private line broke", slog.String("user", l.user), slog.Any("err", err))
	return true
}

// serve writes what is to be sent and reads the answers, until the line ends.
func (l *dialledLine) serve(line *privateLine) error {
	var err error
	over := make(chan struct{})
	l.p.workers.Go(func() {
		defer close(over)
		err = l.read(line)
	})
	idle := time.NewTimer(dialledIdle)
	defer idle.Stop()
	l.signal()
	for {
		select {
		case <-l.wake:
			if werr := l.write(line); werr != nil {
				line.raw.SetReadDeadline(time.Now().Add(lastWords)) // what was answered counts
				<-over
				return werr
			}
			idle.Reset(dialledIdle)
		case <-idle.C:
			if l.retire() {
				l.quit(line)
				<-over
				return nil
			}
			idle.Reset(dialledIdle)
		case <-over:
			return err
		case <-l.ctx.Done():
			l.part(line)
			<-over
			return l.ctx.Err()
		}
	}
}

// part ends a line that was hung up. Where something is unanswered that was
// written, the other end may have it, and then says so and closes: that is
// waited for.
func (l *dialledLine) part(line *privateLine) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.p.c.life.Err() == nil && slices.ContainsFunc(l.queue, func(k *privateCall) bool { return k.on == line }) {
		line.raw.SetReadDeadline(time.Now().Add(lastWords))
	} else {
		line.raw.Close()
	}
}

// retire takes no more messages, unless there are some.
func (l *dialledLine) retire() bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if len(l.queue) > 0 {
		return false
	}
	if l.p.dialled[l.user] == l {
		delete(l.p.dialled, l.user)
	}
	return true
}

// quit says goodbye, and waits a moment for the answer.
func (l *dialledLine) quit(line *privateLine) {
	quit := chatproto.Begin(nil, chatproto.QUIT)
	b, err := quit.End("")
	if err == nil {
		line.raw.SetDeadline(time.Now().Add(lastWords))
		_, err = line.tls.Write(b)
	}
	if err != nil {
		line.raw.Close()
	}
}

// write writes what was not written on this line, in the order of the
// numbers.
func (l *dialledLine) write(line *privateLine) error {
	from := l.p.c.User()
	l.p.mu.Lock()
	var out []byte
	for _, k := range l.queue {
		if k.on == line {
			continue
		}
		if k.pos > l.p.durable && !l.p.c.cfg.StateFile.mutant.privateUnsynced {
			break // it wakes this goroutine when it is synced
		}
		m := chatproto.Begin(out, chatproto.MESG)
		m.Uint("n", k.n)
		var err error
		if out, err = m.EndMessage(from, []byte(k.text)); err != nil {
			l.p.mu.Unlock()
			return err
		}
		k.on = line
		k.writes++
	}
	l.p.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	line.raw.SetWriteDeadline(time.Now().Add(peerWriteWithin))
	_, err := line.tls.Write(out)
	return err
}

// read reads answers until the line ends.
func (l *dialledLine) read(line *privateLine) error {
	var f chatproto.Frame
	for {
		if err := line.rd.Next(&f); err != nil {
			return err
		}
		if f.Code == chatproto.ReplyBye {
			return nil
		}
		if err := l.answer(line, &f); err != nil {
			return err
		}
	}
}

// answer gives an answer to the first message that waits for one.
func (l *dialledLine) answer(line *privateLine, f *chatproto.Frame) error {
	lo, hi, ok := f.Range("n")
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if !f.Code.IsReply() || !ok || lo == 0 {
		return &chatproto.Error{Code: f.Code, Text: string(f.Description)}
	}
	for i := uint64(0); i <= hi-lo; i++ {
		if i >= uint64(len(l.queue)) || l.queue[i].n != lo+i || l.queue[i].on != line {
			return &chatproto.ProtocolError{Got: f.Code}
		}
	}
	for n := lo; ; n++ {
		k := l.queue[0]
		l.remove(k)
		if f.Code.Class() == 2 {
			l.conclude(k, nil)
		} else {
			l.refused(k, refusedByPeer(f))
		}
		if n == hi {
			return nil
		}
	}
}

// refusedByPeer is the error of a refusal: that of a consent which has ended,
// as the other end says before the server does, is the same as the server's.
func refusedByPeer(f *chatproto.Frame) error {
	err := &chatproto.Error{Code: f.Code, Text: string(f.Description)}
	if f.Code == chatproto.ReplyBlocked {
		return fmt.Errorf("%w: %w", ErrNoConsent, err)
	}
	return err
}
