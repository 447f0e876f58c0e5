package chatclient

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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

// The logins that this client knows, as mech= names them.
const (
	mechPlain     = "PLAIN"
	mechScram     = "SCRAM-SHA-256"
	mechScramPlus = "SCRAM-SHA-256-PLUS"
)

// strength compares logins. One that this client does not know, such as a
// newer program may have put into a pin, is stronger than all that it does.
func strength(mech string) int {
	switch mech {
	case "":
		return 0
	case mechPlain:
		return 1
	case mechScram:
		return 2
	case mechScramPlus:
		return 3
	}
	return 4
}

// errNoMechanism says that the server wants a proof that this client cannot
// give.
var errNoMechanism = errors.New("chatclient: there is no login that both the server and this client know")

// choose picks the strongest login of those that the server offers, whatever
// their order, and refuses it if it is too weak (SPEC section 9.2). A server
// that names none takes PLAIN.
func (c *Client) choose(cn *conn) (string, error) {
	s := &cn.server
	best := ""
	for mech := range strings.SplitSeq(cmp.Or(cn.mechs, mechPlain), ",") {
		usable := mech == mechPlain || mech == mechScram || mech == mechScramPlus && s.tls != nil
		if usable && strength(mech) > strength(best) {
			best = mech
		}
	}
	weakest := c.weakest
	if s.pinned && strength(s.pin.Mechanism) > strength(weakest) {
		weakest = s.pin.Mechanism
	}
	switch {
	case best == "":
		return "", noMechanism(cn)
	case strength(best) < strength(weakest):
		return "", c.weaker(s, weakest, best)
	case best == mechPlain && s.tls == nil && !s.local:
		return "", fmt.Errorf("%w: %w", ErrDowngrade, ErrCleartext)
	case best == mechPlain && s.trust == trustPerson:
		return "", fmt.Errorf("%w: it wants the password itself, and nothing vouches for it but that its key was trusted a moment ago; give that key as Config.Fingerprint if it was compared", ErrDowngrade)
	}
	return best, nil
}

// noMechanism tells a person of a server with which this client cannot log in,
// whatever the password.
func noMechanism(cn *conn) error {
	if cn.server.tls == nil && slices.Contains(strings.Split(cn.mechs, ","), mechScramPlus) {
		return fmt.Errorf("%w: it takes only logins that are bound to TLS, and this connection is in cleartext; set Config.Cleartext to CleartextNever", errNoMechanism)
	}
	return fmt.Errorf("%w: it offers %s", errNoMechanism, Display(cn.mechs))
}

// weaker tells a person of a server that logs in worse than before, and what
// to do if that is right.
func (c *Client) weaker(s *server, before, now string) error {
	undo := "start this program again"
	if kept := c.keptIn(); kept != "" && s.pinned {
		undo = "remove the line of " + Display(s.name) + " from " + Display(kept)
	}
	if s.tls == nil {
		now += " (in cleartext)"
	}
	return fmt.Errorf("%w: %s logged in by %s before, and offers %s at most now; somebody may be in between, and nothing of the password was sent. Only if its operator says that it is right, %s",
		ErrDowngrade, Display(s.name), Display(before), now, undo)
}

// beginLogin begins a login of the chosen kind.
func (c *Client) beginLogin(cn *conn) (mechanism, error) {
	if cn.called {
		return external{}, nil
	}
	mech, err := c.choose(cn)
	if err != nil {
		return nil, err
	}
	if mech == mechPlain {
		return &plain{c.password}, nil
	}
	return newScramLogin(cn, &c.keys, mech, c.user, c.password)
}

// plain sends the password as it is. The connection was checked when it was
// opened.
type plain struct{ password string }

func (p *plain) name() string                { return mechPlain }
func (p *plain) start(l *chatproto.Line)     { l.Field("pass", p.password) }
func (p *plain) next([]byte) (string, error) { return "", errUnexpectedStep }
func (p *plain) done([]byte) error           { return nil }

var errUnexpectedStep = errors.New("chatclient: the server asks for a step that the login does not have")

// authenticate runs one login. If the server refused it the error is a
// *refusal.
func (c *Client) authenticate(cn *conn) (*welcome, error) {
	mech, err := c.beginLogin(cn)
	if err != nil {
		return nil, err
	}
	l := chatproto.Begin(nil, chatproto.AUTH)
	l.Field("mech", mech.name())
	user := c.user
	if cn.called {
		user = c.User() // as the session has it
	}
	l.Field("user", user)
	mech.start(&l)
	l.Origin("origin", c.box.origin)
	if c.box.welcomed {
		l.Uint("known", 1)
	}
	if c.token != "" && !cn.called {
		l.Field("token", c.token)
	}
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
			w, err := cn.welcome(&f, user)
			if err == nil {
				c.token = w.token
				if !cn.called {
					c.met = cn.server
					c.remember(&cn.server, mech.name())
				}
			}
			return w, err
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
			err := refusalOf(&f)
			err.changed = f.Code == chatproto.ReplyBadField
			return nil, err
		}
	}
}

// maxToken bounds what a server may have us keep and send back: it gives 32
// hexadecimal digits.
const maxToken = 64

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
	if token := f.Value("token"); len(token) <= maxToken {
		w.token = token
	}
	mail, _ := f.Uint("mail")
	w.mail = int(min(mail, 1<<31-1))
	if beat := millis(f, "beat"); beat > 0 {
		cn.beat = min(cn.beat, max(beat, minBeat))
	}
	cn.setIdle(deadAfter(cn.beat))
	return w, nil
}
