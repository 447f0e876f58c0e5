package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A ServerTarget is a server under test.
type ServerTarget struct {
	// Dial opens a connection to the server, over which the suite may send
	// passwords. Required.
	Dial func(ctx context.Context) (net.Conn, error)

	// Accounts are users of the server, three or more, that nobody else uses
	// while the suite runs. Required.
	Accounts []Account

	// Listen listens where the server can connect to for the client of a
	// connection (SPEC section 7.7): the port is that of the listener's
	// address. nil listens by TCP, at the connection's own address.
	Listen func(ctx context.Context, conn net.Conn) (net.Listener, error)

	// How the server is configured, where the defaults of SPEC section 10 do
	// not hold; only cases that are slow look at them. 0 is the default.
	Timeout      time.Duration // of a silent client, and lingering: 45 s
	IdleTimeout  time.Duration // of a person: 10 min
	LoginTimeout time.Duration // from connecting to the login: 30 s

	Options

	inside func(net.Conn) net.Conn // set by tests: what becomes of a connection that the server made, inside of TLS
}

// accountsNeeded is how many users a case has: A, B and C.
const accountsNeeded = 3

func (t *ServerTarget) fill() error {
	if t.Dial == nil {
		return errors.New("conformance: ServerTarget.Dial is needed")
	}
	if len(t.Accounts) < accountsNeeded {
		return fmt.Errorf("conformance: %d accounts are needed, there are %d", accountsNeeded, len(t.Accounts))
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Timeout, 45*time.Second)
	def(&t.IdleTimeout, 10*time.Minute)
	def(&t.LoginTimeout, 30*time.Second)
	t.Options.fill()
	return nil
}

// A serverSuite is a server under test and what was found out about it.
type serverSuite struct {
	target *ServerTarget
	hides  bool // its block policy is hide (section 9.5)
}

// newServerSuite prepares the accounts. An error says why nothing can be
// tested.
func newServerSuite(ctx context.Context, t *ServerTarget) (*serverSuite, error) {
	if err := t.fill(); err != nil {
		return nil, err
	}
	suite := &serverSuite{target: t}
	s := suite.newCase(ctx)
	s.lenient = true
	v := verdictOf(func() {
		s.tidy()
		a, b := s.login("A"), s.login("B")
		a.send("BLOK n=1 user=" + s.vars["B"])
		a.want("200 n=1")
		b.send("SEND n=1 to=" + s.vars["A"] + " :is this told?")
		suite.hides = b.next(&b.replies, "a reply to SEND").frame.Code == chatproto.ReplyAccepted
	})
	if after := verdictOf(func() { s.cutOff(); s.tidy() }); v.outcome == Passed {
		v = after
	}
	if v.outcome != Passed {
		return nil, fmt.Errorf("conformance: the accounts cannot be used: %s\n  %s", v.reason, strings.Join(s.transcript(), "\n  "))
	}
	return suite, nil
}

// CheckServer runs the cases against a server. An error says that they cannot
// be run at all; what the server does wrong is in the Report.
func CheckServer(ctx context.Context, t ServerTarget) (*Report, error) {
	suite, err := newServerSuite(ctx, &t)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	results := t.run(ctx, ServerCases(), func(c *Case) Result { return suite.runCase(ctx, c) })
	return &Report{Kind: "server", Results: results, Time: time.Since(begun)}, ctx.Err()
}

// guessWait is how long to wait when the server takes no more wrong passwords
// for a while: they are counted by source (section 9.2), and other runs of the
// suite come from the same one.
const guessWait = 20 * time.Second

// runCase runs one case, and cleans up behind it.
func (suite *serverSuite) runCase(ctx context.Context, c *Case) Result {
	r := suite.runOnce(ctx, c)
	if r.Outcome == Failed && strings.Contains(r.Reason, `got "450 `) {
		wait := time.NewTimer(guessWait)
		defer wait.Stop()
		select {
		case <-wait.C:
			return suite.runOnce(ctx, c)
		case <-ctx.Done():
		}
	}
	return r
}

func (suite *serverSuite) runOnce(ctx context.Context, c *Case) Result {
	s := suite.newCase(ctx)
	run := func() {
		if c.server != nil {
			c.server(s)
		} else {
			s.play(c.script)
		}
		s.leave()
	}
	return suite.target.judge(c, s.check, run, func() { s.cutOff(); s.tidy() })
}

// A serverCase is one case under way, with its connections.
type serverCase struct {
	*check
	suite  *serverSuite
	target *ServerTarget
	links  []*link
	named  map[string]*link
}

func (suite *serverSuite) newCase(ctx context.Context) *serverCase {
	t := suite.target
	s := &serverCase{check: newCheck(ctx, &t.Options), suite: suite, target: t, named: make(map[string]*link)}
	for i, name := range []string{"A", "B", "C"} {
		s.vars[name] = escapeValue(t.Accounts[i].User)
		s.vars[name+".pass"] = escapeValue(t.Accounts[i].Password)
	}
	return s
}

// account returns the account of the case with this name, nil if none has it.
func (s *serverCase) account(user string) *Account {
	for i := range s.target.Accounts[:accountsNeeded] {
		if a := &s.target.Accounts[i]; a.User == user {
			return a
		}
	}
	return nil
}

// open opens a connection and says HELO, with these fields changed: see
// settings.
func (s *serverCase) open(name string, args ...string) *link {
	l := s.dial(name)
	s.named[name] = l
	l.send("HELO" + settings("v=1 acks=1 beat=30000 pres=0", args))
	l.hello = l.want("220")
	return l
}

// login opens a connection and logs in as the account whose letter name starts
// with, from a new origin unless args say otherwise.
func (s *serverCase) login(name string, args ...string) *link {
	var helo, auth []string
	for _, a := range args {
		if key, _, _ := strings.Cut(a, "="); key == "origin" || key == "token" {
			auth = append(auth, a)
		} else {
			helo = append(helo, a)
		}
	}
	line := "AUTH" + settings(expand(fmt.Sprintf("user={%c} pass={%c.pass} origin=%s", name[0], name[0], randomOrigin()), s.vars), auth)
	l := s.open(name, helo...)
	l.send(line)
	h := l.next(&l.replies, "230")
	if h.frame.Code == chatproto.ReplyLockedOut { // others guessed from here, of whom the suite knows nothing
		s.sleepFor(h, "retry")
		l = s.open(name, helo...)
		l.send(line)
		h = l.next(&l.replies, "230")
	}
	if h.frame.Code != chatproto.ReplyWelcome {
		s.failf("%s: got %s; wanted 230", name, quoted(h.line))
	}
	s.vars[name+".origin"] = originOf(line, h)
	l.account = s.account(h.frame.Value("user"))
	if l.account == nil || escapeValue(l.account.User) != s.vars[name[:1]] {
		s.failf("%s: logged in as another user (section 4.3): %s", name, quoted(h.line))
	}
	l.welcome = h
	return l
}

// skipIfHidden ends a case about what the blocked are told, if they are told
// nothing.
func (s *serverCase) skipIfHidden() {
	if s.suite.hides {
		s.skipf("the server hides blocks (section 9.5)")
	}
}

// settings returns fields, " key=value" each, with those of args changed or
// added; "key=-" takes one away.
func settings(fields string, args []string) string {
	all := strings.Fields(fields)
next:
	for _, a := range args {
		for i, f := range all {
			if cutField(f).key == cutField(a).key {
				all[i] = a
				continue next
			}
		}
		all = append(all, a)
	}
	var b strings.Builder
	for _, f := range all {
		if cutField(f).value != "-" {
			b.WriteString(" " + f)
		}
	}
	return b.String()
}

// originOf returns the origin of a login: the one that the AUTH named, or that
// the 230 says was drawn.
func originOf(auth string, welcome *heard) string {
	_, origin, named := strings.Cut(auth, " origin=")
	if !named {
		origin, _ = welcome.value("origin")
	}
	return origin
}

// sync waits until the server has dealt with all that the link sent.
func (l *link) sync() {
	l.send("RVKE user=" + l.s.vars["nobody"])
	l.want("200")
}

// quit ends the session.
func (l *link) quit() {
	l.send("QUIT")
	l.want("221")
	l.ended(l.k.opts.Patience)
	l.close()
}

// ready reports whether requests can be sent.
func (l *link) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.machine.Phase() == chatproto.Ready && !l.over && !l.leaving
}

// leave ends the connections as a client should, and sees to it that nothing
// came that the case did not look at.
func (s *serverCase) leave() {
	for _, l := range s.links {
		if l.ready() {
			l.sync()
		}
	}
	for _, l := range s.links {
		l.await(0, func() bool { return true }) // fails for what was broken
		l.nothing()
	}
	for _, l := range s.links {
		if l.ready() {
			l.quit()
		}
	}
}

// cutOff ends what is left of the connections.
func (s *serverCase) cutOff() {
	for _, l := range s.links {
		l.close()
	}
	s.links = nil
}

// tidy takes back what a case may have left: mail, blocks, a session.
func (s *serverCase) tidy() {
	s.lenient = true
	defer s.cutOff()
	for i, name := range []string{"A", "B", "C"} {
		l := s.login(name)
		mail, _ := l.welcome.frame.Uint("mail")
		for done := 0; done < int(mail); done++ {
			l.next(&l.deliveries, "the mail of "+s.target.Accounts[i].User)
			if (done+1)%64 == 0 {
				l.send("ACKD count=" + strconv.Itoa(done+1))
			}
		}
		if mail > 0 {
			l.send("ACKD count=" + strconv.FormatUint(mail, 10))
		}
		for _, other := range []string{"A", "B", "C"} {
			if other != name {
				l.send("UBLK user=" + s.vars[other])
				l.want("200")
			}
		}
		l.send("QUIT")
		l.await(s.opts.Patience, func() bool { return l.over })
		l.close()
	}
}
