package chatserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// authState is what a connection keeps from HELO until it is logged in.
type authState struct {
	mechanisms []string // that the 220 named
	hash       string   // of HELO and 220, see handshake.Hash
	attempt
}

// An attempt is how far a login of several steps has come.
type attempt struct {
	step   bool // one was taken, another is awaited
	mech   string
	user   string
	origin uint64
	known  bool        // the client had a 230 for it
	token  string      // what the client was given at its last login
	epoch  uint64      // of the accounts, when they were first asked
	scram  *scramLogin // nil for PLAIN
	proof  string      // what proves the server, as the 230 says it

	// holds reports whether what proved the login is as true of the accounts
	// as they are now. nil: nobody knows.
	holds func(ctx context.Context) (bool, error)
}

// errBadStep refuses a step of AUTH that is not the awaited one, in the words
// for a person.
var errBadStep = &chatproto.Error{Code: chatproto.ReplyBadField, Text: "AUTH takes user=USER, and then pass=PASSWORD alone"}

// authenticate answers AUTH: one step of a login.
func (c *conn) authenticate(f *chatproto.Frame) {
	was := c.auth.attempt
	c.auth.attempt = attempt{}
	refused := (*chatproto.Error)(nil)
	if _, first := f.Get("user"); !first {
		refused = c.nextStep(f, was)
	} else if was.scram == nil || !c.abandoned() {
		refused = c.firstStep(f)
	}
	if refused == nil {
		return
	}
	c.auth.attempt = attempt{}
	c.refuse(refused, "")
	if refused == errTampered {
		c.log().Warn("a login was changed on the way, or its client counts wrong", "account", f.Value("user")+was.user)
		c.goodbye("protocol", refused.Text)
	} else if was.scram != nil {
		c.abandoned()
	}
}

// abandoned counts a login that the client did not bring to its end: the
// server had work with it. It reports whether that was the last that this
// connection may begin.
func (c *conn) abandoned() bool {
	if c.failed++; int(c.failed) < c.srv.Limits.LoginAttempts {
		return false
	}
	c.goodbye("protocol", "Too many failed logins")
	return true
}

// firstStep takes a step of AUTH that names the user.
func (c *conn) firstStep(f *chatproto.Frame) *chatproto.Error {
	bad := func(text string) *chatproto.Error {
		return &chatproto.Error{Code: chatproto.ReplyBadField, Text: text}
	}
	a := attempt{mech: mechPlain, user: f.Value("user"), token: f.Value("token"), epoch: c.srv.logins.epoch.Load()}
	if mech, ok := f.Get("mech"); ok {
		a.mech = string(mech)
	}
	if !slices.Contains(c.auth.mechanisms, a.mech) {
		return bad("mech= takes one that the greeting named")
	}
	if err := chatproto.CheckName(a.user); err != nil {
		return err.(*chatproto.Error)
	}
	if origin, ok := f.Get("origin"); ok {
		if a.origin, ok = chatproto.ParseOrigin(origin); !ok {
			return bad("origin= takes 1 to 16 hexadecimal digits, not all of them 0")
		}
	}
	var ok bool
	if a.known, ok = flag(f, "known", false); !ok {
		return bad("known= takes 0 or 1")
	}
	if _, has := f.Get("token"); has && (a.token == "" || strings.Trim(a.token, tokenOctets) != "") {
		return bad("token= takes what a 230 gave")
	}
	pass, hasPass := f.Get("pass")
	data, hasData := f.Get("data")
	switch {
	case a.mech == handshake.MechExternal:
		return c.external(f, a)
	case a.mech != mechPlain:
		if hasPass || !hasData {
			return bad("SCRAM takes data= and no password")
		}
		return c.beginSCRAM(a, string(data))
	case !hasPass:
		a.step = true
		c.auth.attempt = a
		c.reply(chatproto.ReplyPassword, "")
		return nil
	}
	return c.checkPassword(a, string(pass))
}

// nextStep takes a step of AUTH that goes on with an earlier one.
func (c *conn) nextStep(f *chatproto.Frame, a attempt) *chatproto.Error {
	_, mech := f.Get("mech")
	_, origin := f.Get("origin")
	_, token := f.Get("token")
	pass, hasPass := f.Get("pass")
	data, hasData := f.Get("data")
	switch {
	case !a.step || mech || origin || token:
		return errBadStep
	case a.scram == nil && hasPass:
		return c.checkPassword(a, string(pass))
	case a.scram != nil && hasData && !hasPass:
		return c.checkProof(a, string(data))
	}
	return errBadStep
}

// checkPassword ends a PLAIN login: refused, locked out, or logged in.
func (c *conn) checkPassword(a attempt, pass string) *chatproto.Error {
	a.holds = func(ctx context.Context) (bool, error) {
		from := source(c.nc.RemoteAddr())
		return c.srv.accounts.CheckPassword(c.srv.logins.deriver.deriving(ctx, from), a.user, pass)
	}
	return c.prove(a, func(ctx context.Context) (bool, *chatproto.Error, error) {
		ok, err := a.holds(ctx)
		return ok, nil, err
	})
}

// beginSCRAM takes the first step of a login by SCRAM.
func (c *conn) beginSCRAM(a attempt, data string) *chatproto.Error {
	s := c.srv
	first, ok := parseScramFirst(data)
	if !ok {
		return badScram
	}
	plus := slices.Contains(c.auth.mechanisms, mechPlus)
	if refused := first.check(a.mech, a.user, plus, c.auth.hash); refused != nil {
		return refused
	}
	from := source(c.nc.RemoteAddr())
	if left := c.held(newAttemptKey(a.user, from), a.token); left > 0 {
		c.lockedOut(left)
		return nil
	}
	ctx, cancel := context.WithDeadline(s.ctx, c.deadline())
	defer cancel()
	v, known, err := s.verifier(ctx, a.user, from)
	if err != nil {
		return c.inside(ctx, err)
	}
	var binding []byte
	if a.mech == mechPlus {
		binding = c.binding()
	}
	var answer string
	if a.scram, answer, err = startSCRAM(&first, v, known, binding); err != nil {
		return c.inside(ctx, err)
	}
	a.step = true
	a.holds = func(ctx context.Context) (bool, error) {
		now, known, err := s.verifier(ctx, a.user, from)
		return err == nil && known && now.equal(v), err
	}
	c.auth.attempt = a
	c.reply(chatproto.ReplyChallenge, "", field{"data", answer})
	return nil
}

// checkProof ends a login by SCRAM: refused, locked out, or logged in.
func (c *conn) checkProof(a attempt, data string) *chatproto.Error {
	return c.prove(a, func(context.Context) (ok bool, refused *chatproto.Error, err error) {
		c.auth.proof, ok, refused = a.scram.finish(data)
		return ok, refused, nil
	})
}

// inside is what answers a login that failed inside the server, nil if ctx
// ended and the connection does.
func (c *conn) inside(ctx context.Context, err error) *chatproto.Error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		c.unavailable("Logging in took too long")
		return nil
	}
	return &chatproto.Error{Code: chatproto.ReplyInternal, Err: err}
}

// prove ends a login by what check finds: refused, locked out, or logged in.
// Proofs for an account from one source are checked one after the other, and
// so are those from all sources that it does not know: what one finds counts
// for the next.
func (c *conn) prove(a attempt, check func(context.Context) (bool, *chatproto.Error, error)) *chatproto.Error {
	s := c.srv
	ctx, cancel := context.WithDeadline(s.ctx, c.deadline())
	defer cancel()
	key := newAttemptKey(a.user, source(c.nc.RemoteAddr()))
	c.auth.epoch = a.epoch
	u, refused := c.judge(ctx, a, key, check)
	s.saveAttempts()
	if u == nil {
		if c.auth != nil {
			c.auth.proof = ""
		}
		return refused
	}
	c.login(ctx, u, a)
	return nil
}

// judge returns the account whose password was proved, or answers why not, or
// returns what refuses the step.
func (c *conn) judge(ctx context.Context, a attempt, key attemptKey, check func(context.Context) (bool, *chatproto.Error, error)) (*user, *chatproto.Error) {
	s := c.srv
	leave := s.takeTurn(ctx, key)
	if leave == nil {
		c.unavailable("Logging in took too long")
		return nil, nil
	}
	defer leave()
	if left := c.held(key, a.token); left > 0 {
		c.lockedOut(left)
		return nil, nil
	}
	ok, refused, err := check(ctx)
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, c.inside(ctx, err)
	}
	s.hasToken(a.user, a.token, true)
	if !ok {
		c.denied(a, key)
		return nil, nil
	}
	if !c.admits(ctx, a) {
		return nil, nil
	}
	u, err := s.user(ctx, a.user)
	switch {
	case err != nil:
		return nil, c.inside(ctx, err)
	case u == nil: // the account has gone meanwhile
		c.denied(a, key)
	default:
		s.logins.attempts.succeed(key)
	}
	return u, nil
}

// denied answers a wrong password or proof.
func (c *conn) denied(a attempt, key attemptKey) {
	s := c.srv
	left := s.logins.attempts.fail(key, s.LockoutTries, s.Lockout)
	c.log().Info("login refused", "account", a.user, "mech", a.mech, "left", left)
	if left == 0 {
		c.lockedOut(s.Lockout)
	} else {
		c.reply(chatproto.ReplyDenied, a.user, field{"left", strconv.Itoa(left)})
	}
	c.loginFailed()
}

// admits reports whether the application wants a login that was proved now, and
// answers if not.
func (c *conn) admits(ctx context.Context, a attempt) bool {
	hook := c.srv.Hooks.AuthorizeLogin
	if hook == nil {
		return true
	}
	info := c.info()
	info.User, info.Origin = a.user, a.origin
	err := hook(ctx, info)
	if err != nil {
		c.refuse(c.srv.refusal(chatproto.AUTH, err), a.user)
	}
	return err == nil
}

// held returns how long this login is refused before anything of it is looked
// at, 0 if it is not.
func (c *conn) held(key attemptKey, token string) time.Duration {
	if c.srv.hasToken(key.user, token, false) {
		return 0
	}
	return max(c.srv.logins.attempts.wait(key, c.srv.Lockout), c.failing())
}

// lockedOut answers a login that is refused for so long.
func (c *conn) lockedOut(left time.Duration) {
	seconds := (left + time.Second - 1) / time.Second
	text := chatproto.Fill(c.version.Sentence(c.verb, chatproto.ReplyLockedOut), "seconds", strconv.Itoa(int(seconds)))
	c.why = "locked out"
	c.answer(slot{verb: c.verb, tag: c.tag, code: chatproto.ReplyLockedOut, text: text, fields: []field{{"retry", retryMillis(left)}}})
}

// welcome answers the last AUTH: logged in, with so much mail waiting.
func (c *conn) welcome(o *origin, isNew, known bool, high uint64, mail int, token string) {
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
	if token != "" {
		fields = append(fields, field{"token", token})
	}
	if c.auth.proof != "" {
		fields = append(fields, field{"data", c.auth.proof})
	}
	c.auth = nil // an idle connection keeps nothing of its login
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
