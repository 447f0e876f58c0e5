package chatclient

import (
	"container/list"
	"context"
	"log/slog"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// takenWindows remember how the messages of private lines were decided (SPEC
// section 8.4). They belong to the dispatcher's goroutine. What was taken is in
// its receiveWindow too, as durably as for messages of the server.
type takenWindows struct {
	of  map[source]*list.Element
	age list.List // of *takenWindow, the one used last in front
}

type takenWindow struct {
	source
	chatproto.Window
}

// maxTaken bounds the dialling clients whose refused messages are remembered.
const maxTaken = 1024

func (t *takenWindows) window(src source) *takenWindow {
	if e := t.of[src]; e != nil {
		t.age.MoveToFront(e)
		return e.Value.(*takenWindow)
	}
	if t.of == nil {
		t.of = make(map[source]*list.Element)
	}
	if len(t.of) >= maxTaken {
		delete(t.of, t.age.Remove(t.age.Back()).(*takenWindow).source)
	}
	w := &takenWindow{source: src}
	t.of[src] = t.age.PushFront(w)
	return w
}

// lineSource is the name by which the messages of a user's lines are
// remembered: no user is called so, and nothing that the server says of them
// touches those of lines.
func lineSource(user string) string { return "line " + user }

// take gives a private message to the callback and answers when that has
// returned and it is noted. It reports whether the line goes on.
func (p *peers) take(l *acceptedLine, src source, f *chatproto.Frame) bool {
	n, ok := f.Uint("n")
	text, ok2 := chatproto.MessageText(src.from, f.Description)
	if !ok || n == 0 || !ok2 {
		l.refuse(&chatproto.Error{Code: chatproto.ReplyBadField})
		return false
	}
	if err := chatproto.CheckText(string(text)); err != nil {
		l.refuse(err)
		return false
	}
	m := PrivateMessage{ID: chatproto.ID{Origin: src.origin, N: n}, From: src.from, Text: string(text)}
	decided := make(chan chatproto.Code, 1)
	if p.c.events.push(event{call: func(ctx context.Context) { decided <- p.decide(ctx, l, src, m) }}) != nil {
		return false
	}
	var code chatproto.Code
	select {
	case code = <-decided:
	case <-l.over:
		return false
	case <-p.c.life.Done():
		return false
	}
	if code == chatproto.ReplyBlocked {
		l.refuse(&chatproto.Error{Code: code, Text: noConsent})
		return false
	}
	if code == chatproto.ReplyAccepted && p.c.keep.flush() != nil {
		return false // it is not noted: whoever sends it again is answered then
	}
	reply := chatproto.Begin(nil, code)
	reply.Uint("n", n)
	return l.write(&reply, chatproto.V1.Sentence(0, code))
}

// decide decides a message, in the dispatcher's goroutine: whether it was
// decided before, the callback, and the note of it, in this order.
func (p *peers) decide(ctx context.Context, l *acceptedLine, src source, m PrivateMessage) chatproto.Code {
	if !p.mayWrite(l) {
		return chatproto.ReplyBlocked
	}
	w, seen, name := p.taken.window(src), p.c.events.window, lineSource(src.from)
	switch w.Look(m.ID.N) {
	case chatproto.Accepted:
		return chatproto.ReplyAccepted
	case chatproto.Refused:
		return chatproto.ReplyRefusedEarlier
	}
	if !seen.fresh(name, m.ID) { // it was decided in an earlier life, of which only the highest taken is known
		if seen.fresh(name, chatproto.ID{Origin: m.ID.Origin, N: m.ID.N + 1}) {
			w.Decide(m.ID.N, true)
			return chatproto.ReplyAccepted
		}
		return chatproto.ReplyRefusedEarlier
	}
	if err := p.c.cfg.Callbacks.OnPrivate(ctx, m); err != nil {
		p.c.cfg.Logger.Warn("the private message callback failed", slog.String("from", m.From), slog.Any("err", err))
		w.Decide(m.ID.N, false)
		return chatproto.ReplyInternal
	}
	w.Decide(m.ID.N, true)
	seen.take(name, m.ID, time.Now())
	return chatproto.ReplyAccepted
}
