package chatclient

import (
	"errors"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A mechanism proves to the server who this is, in as many steps as it takes
// (SPEC section 9). A value serves one login on one connection.
type mechanism interface {
	// name is the value of mech=.
	name() string
	// start adds the mechanism's own fields to the first AUTH.
	start(l *chatproto.Line)
	// next answers a 334: data is its data=, and what is returned that of the
	// next AUTH.
	next(data []byte) (answer string, err error)
	// done checks the 230, before anything else in it is believed.
	done(data []byte) error
}

// errNoMechanism says that the server wants a proof that this client cannot
// give.
var errNoMechanism = errors.New("chatclient: the server offers no login that this client knows")

// chooseMechanism picks the best mechanism of those that the server offers. A
// server that names none takes PLAIN.
func chooseMechanism(offered, password string) (mechanism, error) {
	if offered == "" {
		return &plain{password}, nil
	}
	for name := range strings.SplitSeq(offered, ",") {
		if name == (&plain{}).name() {
			return &plain{password}, nil
		}
	}
	return nil, errNoMechanism
}

// plain sends the password as it is. The connection was checked when it was
// opened.
type plain struct{ password string }

func (p *plain) name() string                { return "PLAIN" }
func (p *plain) start(l *chatproto.Line)     { l.Field("pass", p.password) }
func (p *plain) next([]byte) (string, error) { return "", errUnexpectedStep }
func (p *plain) done([]byte) error           { return nil }

var errUnexpectedStep = errors.New("chatclient: the server asks for a step that the login does not have")

// authenticate runs one login. If the server refused it the error is a
// *refusal.
func (cn *conn) authenticate(user, password string, origin uint64) (*welcome, error) {
	mech, err := chooseMechanism(cn.mechs, password)
	if err != nil {
		return nil, err
	}
	l := chatproto.Begin(nil, chatproto.AUTH)
	l.Field("mech", mech.name())
	l.Field("user", user)
	mech.start(&l)
	l.Origin("origin", origin)
	var f chatproto.Frame
	for {
		line, err := l.End("")
		if err != nil {
			return nil, err
		}
		if err := cn.ask(chatproto.AUTH, line, &f); err != nil {
			return nil, err
		}
		data, _ := f.Get("data")
		switch f.Code {
		case chatproto.ReplyWelcome:
			if err := mech.done(data); err != nil {
				return nil, err
			}
			return cn.welcome(&f, user)
		case chatproto.ReplyChallenge:
			answer, err := mech.next(data)
			if err != nil {
				return nil, err
			}
			l = chatproto.Begin(nil, chatproto.AUTH)
			l.Field("data", answer)
		case chatproto.ReplyPassword:
			return nil, errUnexpectedStep
		default:
			return nil, refusalOf(&f)
		}
	}
}

// minBeat keeps a server from asking for a storm of heartbeats.
const minBeat = time.Second

// welcome reads a 230 and heeds the heartbeat that it asks for.
func (cn *conn) welcome(f *chatproto.Frame, user string) (*welcome, error) {
	w := &welcome{user: user, text: string(f.Description)}
	if _, has := f.Get("user"); has {
		name, ok := userOf(f, "user")
		if !ok {
			return nil, errFields
		}
		w.user = name
	}
	w.fresh = f.Value("new") != "0"
	w.known = f.Value("known") == "1"
	if _, has := f.Get("high"); has {
		high, ok := f.Uint("high")
		if !ok {
			return nil, errFields
		}
		w.high = high
	}
	mail, _ := f.Uint("mail")
	w.mail = int(min(mail, 1<<31-1))
	if beat := millis(f, "beat"); beat > 0 {
		cn.beat = min(cn.beat, max(beat, minBeat))
	}
	cn.setIdle(deadAfter(cn.beat))
	return w, nil
}
