package conformance_test

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/conformance"
	"github.com/parleyproto/parley/chatserver"
)

// What a version 2 could add, with one table changed: rooms.
const (
	verbROOM  chatproto.Code = 'R'<<24 | 'O'<<16 | 'O'<<8 | 'M' // a request
	eventROOS chatproto.Code = 'R'<<24 | 'O'<<16 | 'O'<<8 | 'S' // an event
	replyROOM chatproto.Code = '2'<<16 | '0'<<8 | '3'
)

// newVersion is version 1 with a verb, an event and a reply more.
func newVersion() *chatproto.Version {
	v2 := *chatproto.V1
	v2.Number = 2
	v2.Codes = append([]chatproto.CodeInfo{
		{Code: verbROOM, Kind: chatproto.KindRequest}, {Code: eventROOS, Kind: chatproto.KindEvent}, {Code: replyROOM, Kind: chatproto.KindReply},
	}, v2.Codes...)
	v2.Requests = append([]chatproto.RequestRule{{Verb: verbROOM, Replies: []chatproto.Code{replyROOM}}}, v2.Requests...)
	v2.Phases = append([]chatproto.PhaseRule(nil), v2.Phases...)
	ready := &v2.Phases[chatproto.Ready]
	ready.Client = append([]chatproto.Code{verbROOM}, ready.Client...)
	ready.Server = append([]chatproto.Code{eventROOS}, ready.Server...)
	return &v2
}

// ready brings a machine to phase Ready.
func ready(t *testing.T, v *chatproto.Version) *chatproto.Machine {
	m := v.Machine()
	for _, step := range []struct{ verb, reply chatproto.Code }{{chatproto.HELO, chatproto.ReplyGreeting}, {chatproto.AUTH, chatproto.ReplyWelcome}} {
		if err := m.Request(step.verb, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.Reply(step.reply, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// Version 1 and its successor side by side: what is new is allowed under the
// new version alone, what is old under both, and what meets the other end by
// mistake has the meaning that section 11 gives to what is unknown.
func TestTablesOfTwoVersions(t *testing.T) {
	v1, v2 := chatproto.V1, newVersion()
	if v1.Known(verbROOM) || !v2.Known(verbROOM) || !v2.Known(chatproto.SEND) {
		t.Error("a version is not a value: the new one changed the old one, or lost of it")
	}
	old, fresh := ready(t, v1), ready(t, v2)
	if err := fresh.Request(verbROOM, 1); err != nil {
		t.Error("under version 2:", err)
	}
	if err := fresh.Reply(replyROOM, 1, 1); err != nil {
		t.Error("under version 2:", err)
	}
	if err := fresh.Event(eventROOS); err != nil {
		t.Error("under version 2:", err)
	}
	if err := old.Request(verbROOM, 1); !errors.Is(err, chatproto.ErrBadFrame) {
		t.Errorf("a new verb under version 1: %v, want %v", err, chatproto.ErrBadFrame)
	}
	if err := old.Reply(chatproto.ReplyBadFrame, 1, 1); err != nil {
		t.Error("its refusal:", err)
	}
	if err := old.Event(eventROOS); err != nil {
		t.Error("an unknown event is ignored:", err)
	}
	if err := old.Request(chatproto.SEND, 2); err != nil {
		t.Error(err)
	}
	if err := old.Reply(replyROOM, 2, 2); err != nil {
		t.Error("an unknown reply of class 2 is an answer:", err)
	}
	if old.Phase() != chatproto.Ready || old.Unanswered() != 0 {
		t.Errorf("after what is unknown: %v, %d unanswered", old.Phase(), old.Unanswered())
	}
	for phase := chatproto.Opened; phase < chatproto.Ready; phase++ {
		m := v1.Machine()
		if err := m.Event(eventROOS); err != nil || m.Phase() != chatproto.Opened {
			t.Errorf("an unknown event in %v: %v", phase, err)
		}
	}
}

// Whoever offers what picks the highest version that both have.
func TestVersionsMeet(t *testing.T) {
	v1, v2 := chatproto.V1, newVersion()
	for _, c := range []struct {
		client string
		server []*chatproto.Version
		want   int // 0: none
	}{
		{"1", []*chatproto.Version{v1}, 1}, {"1", []*chatproto.Version{v1, v2}, 1}, {"1,2", []*chatproto.Version{v1}, 1},
		{"1,2", []*chatproto.Version{v2, v1}, 2}, {"2,1", []*chatproto.Version{v1, v2}, 2}, {"2", []*chatproto.Version{v1}, 0},
		{"1", []*chatproto.Version{v2}, 0}, {"3,1,7", []*chatproto.Version{v1, v2}, 1},
	} {
		got, err := chatproto.Negotiate(c.client, c.server...)
		if c.want == 0 && !errors.Is(err, chatproto.ErrNoVersion) || c.want > 0 && (err != nil || got.Number != c.want) {
			t.Errorf("v=%s: %v, %v; want %d", c.client, got, err, c.want)
		}
	}
}

// A peer is one end of a connection that speaks several versions.
type versionedPeer struct {
	t  *testing.T
	nc net.Conn
	rd *chatproto.Reader
	m  *chatproto.Machine
}

func (p *versionedPeer) send(line string) {
	if _, err := p.nc.Write([]byte(line + "\r\n")); err != nil {
		p.t.Error(err)
	}
}

func (p *versionedPeer) next() *chatproto.Frame {
	f := new(chatproto.Frame)
	if err := p.rd.Next(f); err != nil {
		p.t.Fatal(err)
	}
	return f
}

// A client that speaks versions 1 and 2 meets the server of version 1: it is
// told so, and by the old tables all works.
func TestNewClientOldServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		defer srv.Close()
		near, far := memPipe()
		go srv.ServeConn(far)
		defer near.Close()
		p := &versionedPeer{t: t, nc: near, rd: chatproto.NewReader(near)}
		p.send("HELO v=2,1 acks=1 caps=rooms")
		greeting := p.next()
		v, err := chatproto.Negotiate(greeting.Value("v"), chatproto.V1, newVersion())
		if err != nil || v != chatproto.V1 || greeting.Value("caps") != "" {
			t.Fatalf("the greeting agrees on %v, %v, caps=%s", v, err, greeting.Value("caps"))
		}
		p.m = ready(t, v)
		p.send("AUTH user=columbia pass=116bway")
		if f := p.next(); f.Code != chatproto.ReplyWelcome {
			t.Fatal(f.Code)
		}
		if err := p.m.Request(verbROOM, 1); err == nil {
			t.Error("the client may send what is new under the old version")
		}
		p.send("ROOM n=1 name=lobby") // all the same
		if f := p.next(); f.Code != chatproto.ReplyBadFrame || f.Value("n") != "1" {
			t.Errorf("an unknown verb is answered %v n=%s", f.Code, f.Value("n"))
		}
		p.send("SEND n=2 to=google :hi")
		if f := p.next(); f.Code != chatproto.ReplyAccepted {
			t.Error(f.Code)
		}
		other, end := memPipe()
		go srv.ServeConn(end)
		defer other.Close()
		q := &versionedPeer{t: t, nc: other, rd: chatproto.NewReader(other)}
		q.send("HELO v=2")
		if f := q.next(); f.Code != chatproto.ReplyNoVersion {
			t.Errorf("version 2 alone is answered %v", f.Code)
		}
	})
}

// The client of version 1 meets a server that speaks versions 1 and 2, and is
// served by the old tables.
func TestOldClientNewServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memPipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			serveVersions(t, far)
		}()
		got := make(chan string, 1)
		c, err := chatclient.Dial(t.Context(), chatclient.Config{User: "columbia", Password: "116bway", Cleartext: chatclient.CleartextLocal,
			Dial: func(context.Context) (net.Conn, error) { return near, nil },
			Callbacks: chatclient.Callbacks{OnMessage: func(_ context.Context, m chatclient.Message) error {
				got <- m.Text
				return nil
			}}})
		if err != nil {
			t.Fatal(err)
		}
		if text := <-got; text != "welcome" {
			t.Errorf("got %q", text)
		}
		if _, err := c.Send(t.Context(), "google", "hi"); err != nil {
			t.Error(err)
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		<-served
	})
}

// serveVersions is a server that speaks versions 1 and 2, for one connection.
// What of the new version it sends to a client of the old one goes by the
// tables of section 11.
func serveVersions(t *testing.T, nc net.Conn) {
	p := &versionedPeer{t: t, nc: nc, rd: chatproto.NewReader(nc)}
	defer nc.Close()
	helo := p.next()
	v, err := chatproto.Negotiate(helo.Value("v"), newVersion(), chatproto.V1)
	if err != nil || v != chatproto.V1 {
		t.Errorf("HELO v=%s: %v, %v", helo.Value("v"), v, err)
		return
	}
	p.send("ROOS name=lobby")
	p.send("220 v=1 future=1 mech=ROOM-KEY,PLAIN boot=b t=1 caps=rooms,polls")
	p.next()
	p.send("199 progress=1")
	p.send("ROOS name=lobby")
	p.send("230 user=columbia rooms=2 new=1 known=0 high=0 mail=0 :Welcome")
	p.send("ROOS name=lobby :in Ready")
	p.send("ROOS name=lobby id=ab.1 from=x t=1 :x: unseen")
	p.send("MESG from=google room=lobby id=cd.1 t=1 :google: welcome")
	for acked := ""; ; {
		f := p.next()
		n := f.Value("n")
		switch f.Code {
		case chatproto.ACKD:
			acked = f.Value("count")
		case chatproto.LSTN:
			p.send("250 n=" + n)
		case chatproto.SEND:
			p.send("198 n=" + n)
			p.send("ROOS name=lobby")
			p.send("203 n=" + n + " how=stored")
		case chatproto.QUIT:
			if acked != "2" {
				t.Errorf("%s deliveries are acknowledged, want 2: the unknown one counts", acked)
			}
			p.send("221 n=" + n)
			return
		case chatproto.LIVE:
		default:
			t.Errorf("the client sends %v", f.Code)
		}
	}
}

// A future is what a later version may add to lines, at one place of them.
type future struct {
	name     string
	up, down func(string) []string
}

// described cuts a line into what is before its description, and that.
func described(line string) (head, text string) {
	if i := strings.Index(line, " :"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, ""
}

// fieldsAt puts unknown fields behind the code, or behind the other fields.
func fieldsAt(first bool) func(string) []string {
	return func(line string) []string {
		head, text := described(line)
		if len(line) > 8000 {
			return []string{line} // there is no room
		}
		if code, rest, ok := strings.Cut(head, " "); first && ok {
			head = code + ` future= x-1=a\sb\\ ` + rest
		} else {
			head += ` future= x-1=a\sb\\`
		}
		return []string{head + text}
	}
}

var futures = []future{
	{"fields of requests, first", fieldsAt(true), nil},
	{"fields of requests, last", fieldsAt(false), nil},
	{"fields of replies and events, first", nil, fieldsAt(true)},
	{"fields of replies and events, last", nil, fieldsAt(false)},
	{"versions of HELO", replace(`^(HELO.*) v=1( |$)`, "$1 v=9,1,8$2"), nil},
	{"capabilities of HELO", replace(`^(HELO.*?)( caps=\S+)?$`, "$1 caps=future-1,relay,FUTURE-2"), nil},
	{"capabilities of 220", nil, replace(`^(220.*?)( caps=\S+)?$`, "$1 caps=future-1,relay,FUTURE-2")},
	{"mechanisms of 220", nil, replace(`^(220.* mech=)`, "${1}FUTURE-1,")},
}

// interims are what only a client meets: unknown events, and replies that
// finish nothing.
var interims = []future{
	{"an unknown event before each frame", nil, func(line string) []string {
		return []string{"ROOS name=lobby :somebody is typing", line}
	}},
	{"an unknown reply of class 1 before each reply", nil, func(line string) []string {
		if line[0] < '2' || line[0] > '5' || strings.HasPrefix(line, "421") {
			return []string{line}
		}
		n := regexp.MustCompile(` n=[0-9]+`).FindString(line)
		return []string{"199" + n + " progress=1", line}
	}},
}

// The server does what it does, whatever a later client or server adds to the
// lines; cases are left out that count octets, fields or answers.
func TestServerMeetsTheFuture(t *testing.T) {
	match := regexp.MustCompile(`^(check|reply|phase|send|text|cast|number|decide|window|ackd|deliver|origin|session|presence|mail|block|online|listen|consent|revoke|key)/`)
	for _, f := range futures {
		if f.name == "mechanisms of 220" || f.name == "capabilities of 220" || f.name == "versions of HELO" {
			continue // the suite is not a client that would be told
		}
		t.Run(f.name, func(t *testing.T) {
			c := new(crowd)
			allPass(t, serverReport(t, conformance.Options{Strict: true, Match: match}, func(*chatserver.Server) {}, func(nc net.Conn) net.Conn {
				return c.pass(nc, func(p *party) { p.up, p.down = f.up, f.down })
			}))
		})
	}
}

// The client passes, whatever a later client or server adds to the lines; so
// does it for a server of two versions. Cases by SCRAM bind HELO and 220 as
// they were said, and are left out.
func TestClientMeetsTheFuture(t *testing.T) {
	match := regexp.MustCompile(`^([a-rt-z]|se)[a-z]*/`)
	for _, f := range append(futures, interims...) {
		t.Run(f.name, func(t *testing.T) {
			c := new(crowd)
			patient := func(cfg *chatclient.Config) { cfg.BackoffMax = 20 * time.Millisecond }
			allPass(t, clientReport(t, conformance.Options{Strict: true, Match: match}, patient, func(nc net.Conn) net.Conn {
				return c.pass(nc, func(p *party) { p.up, p.down = f.up, f.down })
			}))
		})
	}
}
