package chatclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// errFlood says that the server sent more than it may, or than anybody can
// take.
var errFlood = errors.New("chatclient: the server sends more than it may")

// errFields says that a frame of the server lacks a field, or has a bad one.
var errFields = errors.New("chatclient: a field is missing or wrong")

// read reads frames until the connection ends, and steps the machine for each
// before it is heeded.
func (cn *conn) read() error {
	var f chatproto.Frame
	for {
		if err := cn.rd.Next(&f); err != nil {
			return err
		}
		if err := cn.frame(&f); err != nil {
			cn.c.mu.Lock()
			cn.giveUp(fmt.Errorf("chatclient: %s from the server: %w", f.Code, err))
			cn.c.mu.Unlock()
			return err
		}
		if cn.m.Phase() >= chatproto.Closing {
			return nil
		}
	}
}

func (cn *conn) frame(f *chatproto.Frame) error {
	if f.Code.IsReply() {
		cn.c.mu.Lock()
		defer cn.c.mu.Unlock()
		return cn.reply(f)
	}
	cn.c.mu.Lock()
	err := cn.m.Event(f.Code)
	if err == nil && f.Code == chatproto.GBYE {
		cn.goodbye(f)
	}
	leaving := cn.leaving && !cn.parted
	if f.Code != chatproto.LIVE && f.Code != chatproto.PRES {
		cn.active = time.Now()
	}
	cn.c.mu.Unlock()
	if err != nil || leaving {
		return err
	}
	return cn.event(f)
}

// reply gives a reply, or a run of them, to those who wait. Client.mu is held.
func (cn *conn) reply(f *chatproto.Frame) error {
	cn.active = time.Now()
	lo, hi, ok := f.Range("n")
	if !ok {
		return errFields
	}
	if err := cn.m.Reply(f.Code, lo, hi); err != nil {
		return err
	}
	if f.Code == chatproto.ReplyUnavailable {
		cn.goodbye(f)
		return nil
	}
	if f.Code.Class() == 1 {
		return cn.entry(f)
	}
	a := readAnswer(f)
	answered := 0
	for range hi - lo + 1 {
		k, rest := shift(cn.pending)
		cn.pending = rest
		if !k.decided() {
			cn.asked--
			k.finish(a)
			continue
		}
		answered++
		cn.c.box.forget(k)
		cn.c.keep.answered(k, a)
	}
	cn.c.box.resend(cn, answered)
	cn.c.box.admit(cn)
	if len(cn.c.box.line) > 0 {
		cn.c.keep.signal()
	}
	return nil
}

// entry takes one entry of a list. An unknown reply of class 1 is ignored.
func (cn *conn) entry(f *chatproto.Frame) error {
	if f.Code != chatproto.ReplyEntry {
		return nil
	}
	k := cn.pending[0]
	name, ok := userOf(f, "user")
	if !ok {
		return errFields
	}
	if len(k.entries) == chatproto.V1.Limits.Page {
		return errFlood
	}
	k.entries = append(k.entries, name)
	return nil
}

func readAnswer(f *chatproto.Frame) answer {
	a := answer{code: f.Code, text: string(f.Description), more: f.Value("more"), key: f.Value("key"), ttl: millis(f, "ttl"), lease: millis(f, "lease")}
	a.stream, _ = f.Uint("s")
	if f.Value("how") == Delivered.String() {
		a.how = Delivered
	}
	if n, ok := f.Uint("skipped"); ok {
		a.skipped = int(min(n, 1<<31-1))
	}
	return a
}

// event heeds what nobody asked for.
func (cn *conn) event(f *chatproto.Frame) error {
	if _, counted := f.Get("id"); counted || f.Code == chatproto.MESG || f.Code == chatproto.BCST {
		return cn.deliver(f)
	}
	switch f.Code {
	case chatproto.PRES:
		return cn.presence(f)
	case chatproto.RQST:
		return cn.consentAsked(f)
	case chatproto.GETA:
		return cn.address(f)
	case chatproto.RVKD:
		return cn.revoked(f)
	case chatproto.RLAY:
		return cn.relayOpened(f)
	case chatproto.RDAT:
		return cn.relayed(f)
	}
	return nil
}

// deliver queues a delivery: an event with an id, which is counted (SPEC
// section 6). One of a later version, which this client does not know, is
// acknowledged in its turn and otherwise ignored.
func (cn *conn) deliver(f *chatproto.Frame) error {
	d := &delivery{cn: cn}
	if f.Code == chatproto.MESG || f.Code == chatproto.BCST {
		if err := d.read(f); err != nil {
			return err
		}
	} else {
		d.ignored = true
	}
	cn.c.mu.Lock()
	cn.count++
	d.count = cn.count
	cn.sizes = append(cn.sizes, len(d.m.Text))
	cn.unacked += len(d.m.Text)
	limits := &chatproto.V1.Limits
	// The one that passes the limit of octets is still allowed to arrive.
	over := len(cn.sizes) > limits.InFlight || cn.unacked > limits.InFlightBytes+limits.Frame
	cn.c.mu.Unlock()
	if over {
		return errFlood
	}
	return cn.c.events.push(event{delivery: d})
}

func (d *delivery) read(f *chatproto.Frame) error {
	id, _ := f.Get("id")
	var ok, named bool
	d.m.ID, ok = chatproto.ParseID(id)
	d.m.From, named = userOf(f, "from")
	if !ok || !named {
		return errFields
	}
	d.m.Description = string(f.Description)
	text, ok := chatproto.MessageText(d.m.From, f.Description)
	if ok {
		d.m.Text = d.m.Description[len(d.m.Description)-len(text):]
	} else {
		d.m.Text = d.m.Description
	}
	d.m.Broadcast = f.Code == chatproto.BCST
	d.m.Time = timeOf(f)
	return nil
}

func (cn *conn) presence(f *chatproto.Frame) error {
	user, ok := userOf(f, "user")
	on := f.Value("on")
	if !ok || on != "0" && on != "1" {
		return errFields
	}
	p := Presence{User: user, Online: on == "1", Text: string(f.Description)}
	call := cn.c.cfg.Callbacks.OnPresence
	if call == nil {
		return nil
	}
	return cn.c.events.push(event{key: "PRES " + user, call: func(ctx context.Context) { call(ctx, p) }})
}

// goodbye notes why the server ends the connection. Client.mu is held.
func (cn *conn) goodbye(f *chatproto.Frame) { cn.bye, cn.leaving = readGoodbye(f), true }

func readGoodbye(f *chatproto.Frame) *GoodbyeError {
	return &GoodbyeError{Why: f.Value("why"), Text: string(f.Description), Retry: millis(f, "retry")}
}

// userOf reads a user's name. One that has not the form of a name is none:
// names are shown to people as they are.
func userOf(f *chatproto.Frame, key string) (string, bool) {
	v, _ := f.Get(key)
	return string(v), chatproto.CheckName(v) == nil
}

// maxTime bounds the times that a server may ask for.
const maxTime = 24 * time.Hour

// millis reads a length of time, 0 if there is none.
func millis(f *chatproto.Frame, key string) time.Duration {
	n, ok := f.Uint(key)
	if !ok {
		return 0
	}
	return time.Duration(min(n, uint64(maxTime/time.Millisecond))) * time.Millisecond
}

func timeOf(f *chatproto.Frame) time.Time {
	n, ok := f.Uint("t")
	if !ok || n > 1<<62 {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}
