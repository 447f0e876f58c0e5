package chatclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/parleyproto/parley/chatproto"
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
	reset bool // the server was restarted since the last login
}

// login dials until it is logged in, which is once unless Credentials took so
// long that the connection died meanwhile. first says that Dial asks:
// Credentials may be called then.
func (c *Client) login(ctx context.Context, first bool) (*conn, *welcome, error) {
	for {
		cn, err := c.open(ctx, first)
		if err != nil {
			return nil, nil, err
		}
		stop := context.AfterFunc(ctx, func() { cn.nc.Close() })
		w, askedInVain, err := c.handshake(ctx, cn, first)
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err == nil {
			return cn, w, nil
		}
		cn.nc.Close()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if !askedInVain {
			return nil, nil, err
		}
	}
}

// open dials, and refuses a connection that would show the password.
func (c *Client) open(ctx context.Context, first bool) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	nc, err := c.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if !c.cfg.AllowCleartext && !isPrivate(nc) {
		nc.Close()
		return nil, fmt.Errorf("%w (%v)", ErrCleartext, nc.RemoteAddr())
	}
	if err := c.peers.listen(nc); err != nil {
		if first {
			nc.Close()
			return nil, err
		}
		c.cfg.Logger.Warn("cannot listen for private chats", slog.Any("err", err))
	}
	return &conn{wire: newWire(nc, &c.trace), c: c, beat: c.cfg.Heartbeat, m: chatproto.V1.Machine(),
		wake: make(chan struct{}, 1), stop: make(chan struct{})}, nil
}

// isPrivate reports whether nobody else can read the connection: it is
// encrypted or does not leave this machine. One whose address is no IP, such
// as a pipe or a Unix socket, is local.
func isPrivate(nc net.Conn) bool {
	if _, encrypted := nc.(*tls.Conn); encrypted {
		return true
	}
	ip, isIP := ipOf(nc.RemoteAddr())
	return !isIP || ip.IsLoopback()
}

// ipOf returns the IP address of a, if it has one.
func ipOf(a net.Addr) (netip.Addr, bool) {
	if a == nil {
		return netip.Addr{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// handshake says HELO and logs in. askedInVain reports that Credentials was
// asked and the connection was dead when it answered.
func (c *Client) handshake(ctx context.Context, cn *conn, first bool) (w *welcome, askedInVain bool, err error) {
	if err := cn.hello(c.cfg.DeclinePresence); err != nil {
		return nil, false, err
	}
	for asked := false; ; {
		if !c.ready {
			if err := c.ask(ctx); err != nil {
				return nil, false, err
			}
			asked = true
		}
		if err := c.keep.belongs(c.user); err != nil {
			return nil, false, err
		}
		w, err := cn.authenticate(c.user, c.password, c.box.origin)
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
	line, err := l.End("")
	if err != nil {
		return err
	}
	var f chatproto.Frame
	if err := cn.ask(chatproto.HELO, line, &f); err != nil {
		return err
	}
	if f.Code != chatproto.ReplyGreeting {
		return refusalOf(&f)
	}
	if v := f.Value("v"); v != strconv.Itoa(chatproto.V1.Number) {
		return &chatproto.Error{Code: chatproto.ReplyNoVersion}
	}
	cn.boot, cn.mechs = f.Value("boot"), f.Value("mech")
	return nil
}

// ask sends one request of the login and reads the reply to it into f. Later
// requests go by the writer.
func (cn *conn) ask(verb chatproto.Code, line []byte, f *chatproto.Frame) error {
	if err := cn.m.Request(verb, 0); err != nil {
		return err
	}
	cn.deadline(stepTimeout)
	if err := cn.write(line, stepTimeout); err != nil {
		// What the server said before it closed explains more.
		cn.deadline(lastWords)
	}
	for {
		if err := cn.rd.Next(f); err != nil {
			return err
		}
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
	reply *chatproto.Error
	retry time.Duration // when to try again; 0 if it does not say
	again bool          // another password may help
}

func (r *refusal) Error() string { return r.reply.Error() }
func (r *refusal) Unwrap() error { return r.reply }

func refusalOf(f *chatproto.Frame) error {
	_, left := f.Get("left")
	return &refusal{
		reply: &chatproto.Error{Code: f.Code, Text: string(f.Description)},
		retry: millis(f, "retry"),
		again: f.Code == chatproto.ReplyDenied && left,
	}
}
