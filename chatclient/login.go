package chatclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// stepTimeout is how long dialling, and each answer during the login, may
// take.
const stepTimeout = 30 * time.Second

// A welcome is what a 230 says.
type welcome struct {
	user  string
	fresh bool   // a new session: the old one, if any, is gone
	known bool   // the server held the window of this origin
	high  uint64 // the highest number that it decided
	mail  int
	text  string
	reset bool   // the server was restarted since the last login
	same  bool   // it was not, since the last login of the state file
	token string // for the next login; "" if there is none
}

// login dials until it is logged in, which is once unless a person was asked,
// by TrustServer or Credentials, and took so long that the connection died
// meanwhile. first says that Dial asks: a person may be asked then.
func (c *Client) login(ctx context.Context, first bool) (*conn, *welcome, error) {
	for {
		cn, err := c.open(ctx, first)
		if err != nil {
			return nil, nil, err
		}
		stop := context.AfterFunc(ctx, cn.cut)
		w, askedInVain, err := c.handshake(ctx, cn, first)
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err == nil {
			return cn, w, nil
		}
		cn.close()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if !askedInVain {
			return nil, nil, err
		}
	}
}

// open dials and verifies the server.
func (c *Client) open(ctx context.Context, first bool) (*conn, error) {
	cn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.verify(ctx, &cn.server, first); err != nil {
		cn.close()
		return nil, err
	}
	if err := c.peers.listen(cn.raw); err != nil {
		if first {
			cn.close()
			return nil, err
		}
		c.cfg.Logger.Warn("cannot listen for private chats", slog.Any("err", err))
	}
	return cn, nil
}

// handshake says HELO and logs in. askedInVain reports that a person was
// asked and the connection was dead when they answered.
func (c *Client) handshake(ctx context.Context, cn *conn, first bool) (w *welcome, askedInVain bool, err error) {
	asked := cn.server.consulted
	if err := cn.hello(c.cfg.DeclinePresence); err != nil {
		return nil, asked && !final(err), err
	}
	for {
		if !c.ready {
			if err := c.ask(ctx); err != nil {
				return nil, false, err
			}
			asked = true
		}
		if err := c.keep.belongs(c.user); err != nil {
			return nil, false, err
		}
		w, err := c.authenticate(cn)
		if err == nil {
			w.reset = c.boot != cn.boot
			c.boot = cn.boot
			return w, false, nil
		}
		var r *refusal
		if !errors.As(err, &r) {
			return nil, asked && !final(err), err
		}
		if !r.again || !first || c.cfg.Credentials == nil {
			return nil, false, err
		}
		c.ready, c.refused = false, r.reply
	}
}

// maxBadNames is how often Credentials may return what is no name.
const maxBadNames = 3

// ask asks Credentials. A name that no account can have is refused here, as
// the server would refuse a wrong one.
func (c *Client) ask(ctx context.Context) error {
	for tries := 1; ; tries++ {
		user, password, err := c.cfg.Credentials(ctx, c.refused)
		if err != nil {
			return err
		}
		if err = chatproto.CheckName(user); err == nil {
			c.user, c.password, c.ready = user, password, true
			return nil
		}
		if tries == maxBadNames {
			return err
		}
		c.refused = &chatproto.Error{Code: chatproto.ReplyDenied, Text: asRefusal(err).Text}
	}
}

// hello agrees on the version.
func (cn *conn) hello(declinePresence bool) error {
	l := chatproto.Begin(nil, chatproto.HELO)
	l.Uint("v", uint64(chatproto.V1.Number))
	l.Uint("acks", 1)
	l.Uint("beat", uint64(cn.beat.Milliseconds()))
	if declinePresence {
		l.Uint("pres", 0)
	}
	if caps := cn.offers(); len(caps) > 0 {
		l.Field("caps", strings.Join(caps, ","))
	}
	line, err := l.End("")
	if err != nil {
		return err
	}
	var f chatproto.Frame
	cn.helo = line[:len(line)-len("\r\n")]
	cn.heed(true)
	err = cn.ask(chatproto.HELO, line, &f)
	cn.heed(false)
	if err != nil {
		return cn.clearError(err)
	}
	if f.Code != chatproto.ReplyGreeting {
		return refusalOf(&f)
	}
	if v := f.Value("v"); v != strconv.Itoa(chatproto.V1.Number) {
		return &chatproto.Error{Code: chatproto.ReplyNoVersion}
	}
	cn.greeting, cn.heard = cn.line, nil
	cn.boot, cn.mechs = f.Value("boot"), f.Value("mech")
	for _, agreed := range cn.offers() {
		if slices.Contains(strings.Split(f.Value("caps"), ","), agreed) {
			cn.relays = cn.relays || agreed == capRelay
			cn.dialsBack = cn.dialsBack || agreed == handshake.CapDialBack
		}
	}
	return nil
}

// offers returns the capabilities of this end.
func (cn *conn) offers() (caps []string) {
	if cn.c.cfg.Relay {
		caps = append(caps, capRelay)
	}
	if cn.c.cfg.DialBack != nil && cn.server.tls != nil {
		caps = append(caps, handshake.CapDialBack)
	}
	return caps
}

// clearError adds to why a server did not answer HELO that it may want TLS.
func (cn *conn) clearError(err error) error {
	if cn.server.tls != nil {
		return err
	}
	var bye *GoodbyeError
	switch {
	case len(cn.heard) > 0 && (cn.heard[0] == tlsAlert || cn.heard[0] == tlsHandshake):
		return ErrTLSOnly
	case !cn.server.local && errors.As(err, &bye):
		return fmt.Errorf("%w; the connection was in cleartext, which a server may refuse: set Config.Cleartext to CleartextNever for TLS", err)
	}
	return err
}

// ask sends one request of the login and reads the reply to it into f. Later
// requests go by the writer.
func (cn *conn) ask(verb chatproto.Code, line []byte, f *chatproto.Frame) (err error) {
	if err := cn.m.Request(verb, 0); err != nil {
		return err
	}
	cn.deadline(stepTimeout)
	// Reading does not wait for writing: the end of a TLS handshake that a
	// server writes may be in the way of what it should read.
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := cn.write(line, stepTimeout); err != nil {
			// What the server said before it closed explains more.
			cn.deadline(lastWords)
		}
	}()
	defer func() {
		if err != nil {
			cn.cut()
		}
		<-written
	}()
	for {
		if err := cn.rd.Next(f); err != nil {
			return err
		}
		cn.nextLine()
		if f.Code.IsReply() {
			if err := cn.m.Reply(f.Code, 0, 0); err != nil {
				return err
			}
			if f.Code == chatproto.ReplyUnavailable {
				return readGoodbye(f)
			}
			if f.Code.Class() != 1 {
				return nil
			}
			continue
		}
		if err := cn.m.Event(f.Code); err != nil {
			return err
		}
		if f.Code == chatproto.GBYE {
			return readGoodbye(f)
		}
	}
}

// A refusal is a reply that refuses a login, with what it says besides.
type refusal struct {
	reply   *chatproto.Error
	retry   time.Duration // when to try again; 0 if it does not say
	again   bool          // another password may help
	changed bool          // the login is not what this end sent: somebody changed it on the way
}

func (r *refusal) Error() string { return r.reply.Error() }
func (r *refusal) Unwrap() error { return r.reply }

func refusalOf(f *chatproto.Frame) *refusal {
	_, left := f.Get("left")
	return &refusal{
		reply: &chatproto.Error{Code: f.Code, Text: string(f.Description)},
		retry: millis(f, "retry"),
		again: f.Code == chatproto.ReplyDenied && left,
	}
}
