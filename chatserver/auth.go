package chatserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// authState is how far a login of several steps has come.
type authState struct {
	user   string // named, the password is still to come
	origin uint64
	known  bool // the client had a 230 for it
	step   bool
}

// helo answers HELO: the version, and what the client wants.
func (c *conn) helo(f *chatproto.Frame) {
	v, err := chatproto.Negotiate(f.Value("v"), supported...)
	if err != nil {
		c.refuse(err.(*chatproto.Error), "")
		return
	}
	acks, ok1 := flag(f, "acks", false)
	pres, ok2 := flag(f, "pres", true)
	beat, ok3 := f.Uint("beat")
	if _, has := f.Get("beat"); has && (!ok3 || beat == 0) || !ok1 || !ok2 || !capabilities(f) {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "HELO takes acks= and pres= with 0 or 1, beat= with milliseconds from 1, and caps= with names and commas between them"}, "")
		return
	}
	c.acks, c.quiet = acks, !pres
	c.beat = time.Duration(min(beat, uint64(time.Hour/time.Millisecond))) * time.Millisecond
	c.reply(chatproto.ReplyGreeting, "",
		field{"v", strconv.Itoa(v.Number)}, field{"mech", "PLAIN"}, field{"boot", c.srv.boot},
		field{"t", strconv.FormatInt(time.Now().UnixMilli(), 10)})
}

// flag reads a field that is 0 or 1.
func flag(f *chatproto.Frame, key string, absent bool) (value, ok bool) {
	v, has := f.Get(key)
	if !has {
		return absent, true
	}
	return string(v) == "1", string(v) == "0" || string(v) == "1"
}

// capabilities reports whether caps=, if there is one, is a list of names.
// This version has none to agree on.
func capabilities(f *chatproto.Frame) bool {
	v, has := f.Get("caps")
	if !has {
		return true
	}
	for name := range strings.SplitSeq(string(v), ",") {
		if name == "" || strings.Trim(name, listOctets) != "" {
			return false
		}
	}
	return true
}

// listOctets are what the names in a list consist of (SPEC section 3.4).
const listOctets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

// authenticate answers AUTH: one step of a login.
func (c *conn) authenticate(f *chatproto.Frame) {
	bad := func(text string) {
		c.auth = authState{}
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: text}, "")
	}
	pass, hasPass := f.Get("pass")
	st := authState{user: f.Value("user")}
	if mech, ok := f.Get("mech"); ok && string(mech) != "PLAIN" {
		bad("mech= takes one that the greeting named")
		return
	}
	if _, named := f.Get("user"); !named {
		_, mech := f.Get("mech")
		_, origin := f.Get("origin")
		if st = c.auth; !st.step || !hasPass || mech || origin {
			bad("AUTH takes user=USER, and then pass=PASSWORD alone")
			return
		}
	} else if err := chatproto.CheckName(st.user); err != nil {
		bad(err.(*chatproto.Error).Text)
		return
	} else if origin, ok := f.Get("origin"); ok {
		if st.origin, ok = chatproto.ParseOrigin(origin); !ok {
			bad("origin= takes 1 to 16 hexadecimal digits, not all of them 0")
			return
		}
		if st.known, ok = flag(f, "known", false); !ok {
			bad("known= takes 0 or 1")
			return
		}
	}
	if !hasPass {
		c.auth = st
		c.auth.step = true
		c.reply(chatproto.ReplyPassword, "")
		return
	}
	c.auth = authState{}
	c.checkPassword(st, string(pass))
}

// checkPassword ends a PLAIN login: refused, locked out, or logged in.
func (c *conn) checkPassword(st authState, pass string) {
	s := c.srv
	ctx, cancel := context.WithDeadline(s.ctx, c.deadline())
	defer cancel()
	key := lockoutKey{st.user, source(c.nc.RemoteAddr())}
	leave := s.lockouts.enter(ctx, key)
	if leave == nil {
		c.unavailable("Logging in took too long")
		return
	}
	u := c.proven(ctx, st, pass, key)
	leave()
	if u != nil {
		c.login(ctx, u, st)
	}
}

// proven returns the account whose password was given, or answers why not.
func (c *conn) proven(ctx context.Context, st authState, pass string, key lockoutKey) *user {
	s := c.srv
	if left := max(s.lockouts.locked(key), c.failing()); left > 0 {
		c.lockedOut(left)
		return nil
	}
	ok, err := s.Accounts.CheckPassword(ctx, st.user, pass)
	if err != nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return nil
	}
	if !ok {
		left := s.lockouts.failed(key, s.LockoutTries, s.Lockout)
		c.log().Info("login refused", "account", st.user, "left", left)
		defer c.loginFailed()
		if left == 0 {
			c.lockedOut(s.Lockout)
			return nil
		}
		c.reply(chatproto.ReplyDenied, st.user, field{"left", strconv.Itoa(left)})
		return nil
	}
	if hook := s.Hooks.AuthorizeLogin; hook != nil {
		info := c.info()
		info.User, info.Origin = st.user, st.origin
		if err := hook(ctx, info); err != nil {
			c.refuse(s.refusal(chatproto.AUTH, err), st.user)
			return nil
		}
	}
	s.lockouts.succeeded(key)
	u, err := s.user(ctx, st.user)
	if err != nil || u == nil {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyInternal, Err: err}, "")
		return nil
	}
	return u
}

// lockedOut answers a login that is refused for so long.
func (c *conn) lockedOut(left time.Duration) {
	seconds := (left + time.Second - 1) / time.Second
	text := chatproto.Fill(c.version.Sentence(c.verb, chatproto.ReplyLockedOut), "seconds", strconv.Itoa(int(seconds)))
	c.why = "locked out"
	c.answer(slot{verb: c.verb, tag: c.tag, code: chatproto.ReplyLockedOut, text: text, fields: []field{{"retry", retryMillis(left)}}})
}

// welcome answers the last AUTH: logged in, with so much mail waiting.
func (c *conn) welcome(o *origin, isNew, known bool, high uint64, mail int) {
	fields := []field{
		{"user", c.user.name}, {"new", digit(isNew)}, {"known", digit(known)},
		{"high", strconv.FormatUint(high, 10)}, {"mail", strconv.Itoa(mail)},
	}
	if limit := c.srv.Timeout * 2 / 3; c.beat > limit {
		c.beat = limit
		fields = append(fields, field{"beat", millis(limit)})
	}
	if c.quiet {
		fields = append(fields, field{"pres", "0"})
	}
	if o.drawn {
		fields = append(fields, field{"origin", strconv.FormatUint(o.id, 16)})
	}
	text := ""
	if isNew {
		text = c.version.Sentence(c.verb, chatproto.ReplyWelcome)
		if mail == 0 {
			text += "\n" + chatproto.SentenceNoMail
		}
	}
	c.answer(slot{verb: c.verb, tag: c.tag, code: chatproto.ReplyWelcome, text: text, fields: fields})
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// randomOrigin draws an origin.
func randomOrigin() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return max(binary.BigEndian.Uint64(b[:]), 1)
}
