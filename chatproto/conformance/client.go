package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// A ClientTarget is a client under test.
type ClientTarget struct {
	// Listener takes the client's connections. The suite closes it.
	// Required.
	Listener net.Listener

	// Account is whom the client logs in as. Every password is taken, but
	// what is not this one is reported. Required.
	Account Account

	// Start runs the client, which is to connect to addr, until ctx ends or
	// the client ends by itself; it is called once a case. nil: somebody runs
	// the client, and runs it again whenever it ends.
	Start func(ctx context.Context, addr string, a Account) error

	// DialBack says that the client speaks TLS, with a server whose key
	// nothing vouches for, and goes away when it has nothing to say (SPEC
	// section 7.7). Then only the cases of that are run, and need no echo;
	// else they are skipped. The suite connects to the client by TCP, at the
	// address from which it came.
	DialBack bool

	Options
}

func (t *ClientTarget) fill() error {
	if t.Listener == nil || t.Account.User == "" {
		return errors.New("conformance: ClientTarget.Listener and Account are needed")
	}
	t.Options.fill()
	return nil
}

// A clientSuite is a client under test.
type clientSuite struct {
	target   *ClientTarget
	arrivals chan net.Conn
	welcomed map[string]bool // origins that had a 230 in this run
	serial   bool            // it waits for the answer to one message before it takes the next
	key      *serverKey      // nil: it speaks cleartext
}

func newClientSuite(t *ClientTarget) (*clientSuite, error) {
	if err := t.fill(); err != nil {
		return nil, err
	}
	suite := &clientSuite{target: t, arrivals: make(chan net.Conn, 64), welcomed: make(map[string]bool)}
	if t.DialBack {
		suite.key = newServerKey()
	}
	go func() {
		defer close(suite.arrivals)
		for {
			nc, err := t.Listener.Accept()
			if err != nil {
				return
			}
			suite.arrivals <- nc
		}
	}()
	return suite, nil
}

// close ends the listener, and the connections that nobody waited for.
func (suite *clientSuite) close() {
	suite.target.Listener.Close()
	for nc := range suite.arrivals {
		nc.Close()
	}
}

// CheckClient runs the cases against a client. An error says that they cannot
// be run at all; what the client does wrong is in the Report.
func CheckClient(ctx context.Context, t ClientTarget) (*Report, error) {
	suite, err := newClientSuite(&t)
	if err != nil {
		return nil, err
	}
	defer suite.close()
	if err := suite.probe(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	results := t.run(ctx, t.cases(), func(c *Case) Result { return suite.runCase(ctx, c) })
	return &Report{Kind: "client", Results: results, Time: time.Since(begun)}, ctx.Err()
}

// cases are those that are asked of this client.
func (t *ClientTarget) cases() []Case {
	all := ClientCases()
	if t.DialBack {
		all = slices.DeleteFunc(all, func(c Case) bool { return !c.away })
	}
	return all
}

// A clientCase is one case under way. It has one connection at a time.
type clientCase struct {
	*check
	v      *visit // the connection of the client, the latest
	suite  *clientSuite
	ended  chan struct{} // closed when the client that was started has returned
	past   []*visit
	lines  []*line
	doors  []net.Listener
	memory *clientMemory
}

// probe finds out how the client echoes. An error says that none connects.
func (suite *clientSuite) probe(ctx context.Context) error {
	connected := false
	c := Case{Name: "echo", client: func(k *clientCase) {
		k.accept()
		connected = true
		k.hello()
		if suite.target.DialBack {
			return
		}
		k.greet()
		k.authenticate()
		k.welcome()
		k.message("one")
		k.message("two")
		k.echo("one")
		suite.serial = !k.v.await(k.opts.Patience/5, func() bool { return len(k.v.requests) > 0 })
	}}
	r := suite.runAs(ctx, &c, true)
	if !connected {
		return fmt.Errorf("conformance: %s\n  %s", r.Reason, strings.Join(r.Transcript, "\n  "))
	}
	return nil // what else it does wrong, the cases find
}

// runCase runs one case, with a client of its own if the suite can start one.
func (suite *clientSuite) runCase(ctx context.Context, c *Case) Result {
	return suite.runAs(ctx, c, false)
}

func (suite *clientSuite) runAs(ctx context.Context, c *Case, lenient bool) Result {
	t := suite.target
	k := &clientCase{check: newCheck(ctx, &t.Options), suite: suite, memory: newClientMemory()}
	k.lenient = lenient
	k.vars["user"] = escapeValue(t.Account.User)
	suite.turnAway()
	running, stop := context.WithCancel(ctx)
	defer stop()
	run := func() {
		k.start(running)
		if c.client != nil {
			c.client(k)
		} else {
			k.play(c.script)
		}
		if !lenient {
			k.settle()
		}
	}
	return t.judge(c, k.check, run, func() {
		k.farewell()
		stop()
		k.cutOff()
		k.awaitEnd()
	})
}

// turnAway ends connections that came when no case was there to take them.
func (suite *clientSuite) turnAway() {
	for {
		select {
		case nc := <-suite.arrivals:
			nc.Close()
		default:
			return
		}
	}
}

// start starts the client.
func (k *clientCase) start(ctx context.Context) {
	k.ended = make(chan struct{})
	t := k.suite.target
	if t.Start == nil {
		return
	}
	go func() {
		defer close(k.ended)
		if err := t.Start(ctx, t.Listener.Addr().String(), t.Account); err != nil {
			k.log("the client", ":", "ended: "+err.Error())
		}
	}()
}

// awaitEnd waits for the client that was started to end.
func (k *clientCase) awaitEnd() {
	if k.suite.target.Start == nil {
		return
	}
	wait := time.NewTimer(2 * k.opts.Patience)
	defer wait.Stop()
	for {
		select {
		case <-k.ended:
			k.sleep(5 * time.Millisecond) // what it began last is accepted by now
			k.suite.turnAway()
			return
		case nc := <-k.suite.arrivals:
			nc.Close() // a last try
		case <-wait.C:
			k.skipf("the client does not end when it is told to")
		}
	}
}

// patience is how long to wait for a client to connect: one that is run by
// hand takes its time.
func (k *clientCase) patience() time.Duration {
	if k.suite.target.Start == nil {
		return 60 * time.Second
	}
	return 2 * k.opts.Patience
}

// accept waits for the client to connect.
func (k *clientCase) accept() {
	wait := time.NewTimer(k.patience())
	defer wait.Stop()
	select {
	case nc, open := <-k.suite.arrivals:
		if !open {
			k.skipf("the listener is closed")
		}
		k.visited(nc)
	case <-wait.C:
		k.failf("the client does not connect within %v", k.patience())
	case <-k.ctx.Done():
		k.skipf("the run was ended")
	}
}

func (k *clientCase) visited(nc net.Conn) {
	if k.v != nil {
		k.v.nc.Close()
	}
	if k.suite.key != nil {
		nc = k.secured(nc)
	}
	k.visits(nc)
}

func (k *clientCase) visits(nc net.Conn) {
	k.v = newVisit(k, nc)
	k.past = append(k.past, k.v)
}

// away expects the client not to connect within d.
func (k *clientCase) away(d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case nc, open := <-k.suite.arrivals:
		if !open {
			return
		}
		if k.suite.target.Start != nil {
			nc.Close()
			k.failf("the client connects again within %v", d)
		}
		// Somebody started another one, or it is the same: its origin tells.
		old := k.v.origin
		k.visited(nc)
		k.hello()
		k.greet()
		k.authenticate()
		if k.v.origin == old && old != "" {
			k.failf("the client connects again within %v", d)
		}
	case <-wait.C:
	case <-k.ctx.Done():
		k.skipf("the run was ended")
	}
}

// farewell sends a client away for good.
func (k *clientCase) farewell() {
	if k.v != nil && !k.v.broken() {
		k.v.send("GBYE why=removed :The case is over")
	}
}

// cutOff ends the connections.
func (k *clientCase) cutOff() {
	for _, d := range k.doors {
		d.Close()
	}
	for _, l := range k.lines {
		l.close()
	}
	for _, v := range k.past {
		v.close()
	}
}
