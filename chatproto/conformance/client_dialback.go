package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// A serverKey is what the suite shows in TLS when it plays a server.
type serverKey struct{ cert tls.Certificate }

func newServerKey() *serverKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"parley"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &serverKey{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func (key *serverKey) config(alpn ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{key.cert}, NextProtos: alpn, SessionTicketsDisabled: true}
}

// secured does the handshake on a connection that the client made.
func (k *clientCase) secured(nc net.Conn) net.Conn {
	t := tls.Server(nc, k.suite.key.config(handshake.ALPN))
	if err := k.shake(t); err != nil {
		k.failf("the handshake of TLS: %v", err)
	}
	return t
}

func (k *clientCase) shake(t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(k.ctx, k.opts.Patience)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// A caller is the server that a client which goes away is registered at.
type caller struct {
	*clientCase
	place, key, token string
	lease             int
}

// awayCase is a case about a client that goes away; f has it logged in, and
// registered with a lease of so many milliseconds.
func awayCase(name, section, rule string, should bool, lease int, f func(b *caller)) Case {
	return Case{Name: "dialback/" + name, Section: section, Rule: rule, Should: should, away: true, client: func(k *clientCase) {
		b := &caller{clientCase: k, lease: lease}
		b.begins()
		b.welcomes("caps=dialback")
		b.registers()
		f(b)
	}}
}

// begins takes HELO of a client that offers to go away.
func (b *caller) begins() {
	if b.suite.key == nil {
		b.skipf("the client is not one that goes away (ClientTarget.DialBack)")
	}
	b.accept()
	b.hello()
	if !slices.Contains(strings.Split(b.v.helo.frame.Value("caps"), ","), "dialback") {
		b.skipf("the client does not offer dialback")
	}
}

// welcomes logs the client in on a connection that it made. caps is the
// server's, in the 220.
func (b *caller) welcomes(caps string, fields ...string) {
	b.v.mu.Lock()
	b.v.lease = b.lease
	b.v.mu.Unlock()
	greeting := "220" + settings("v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256 boot="+b.boot()+" t="+now(), strings.Fields(caps))
	b.v.send(greeting)
	h := b.want("AUTH mech=SCRAM-SHA-256-PLUS|SCRAM-SHA-256 data=* !pass")
	b.noteOrigin(h)
	x := b.firstStep(h, greeting)
	b.challenge(x)
	b.token = randomHex(16)
	b.welcome(append(fields, "token="+b.token, "data=v="+b.proved(x))...)
}

// registers waits for the LSTN that tells where the client is called.
func (b *caller) registers() {
	if !b.v.await(b.opts.Patience, func() bool { return b.v.listens != nil && b.v.listens.has("dial") }) {
		b.failf("the client has agreed on dialback and sends no LSTN with dial=")
	}
	host, _, err := net.SplitHostPort(b.v.nc.RemoteAddr().String())
	if err != nil {
		b.skipf("the client has no address that could be dialled")
	}
	b.place, b.key = net.JoinHostPort(host, b.v.listens.frame.Value("dial")), b.v.listens.frame.Value("key")
}

// goes waits until the client has gone away.
func (b *caller) goes() {
	b.v.ended(2 * b.opts.Patience)
	b.v.mu.Lock()
	quit, acked, counted, owed := b.v.quit, b.v.acked, b.v.counted, len(b.v.owed)
	b.v.mu.Unlock()
	switch {
	case quit:
		b.failf("the client says QUIT, which ends its session")
	case acked < counted:
		b.failf("the client goes away and has acknowledged %d of %d deliveries", acked, counted)
	case owed > 0:
		b.failf("the client goes away with %d requests unanswered", owed)
	}
	b.v.nc.Close()
	b.quiet() // so that the client has seen the end
}

// connects makes a TCP connection to the client.
func (b *caller) connects() net.Conn {
	d := net.Dialer{Timeout: b.opts.Patience}
	nc, err := d.DialContext(b.ctx, "tcp", b.place)
	if err != nil {
		b.failf("the client cannot be called at %s: %v", b.place, err)
	}
	b.log("dial", ":", b.place)
	return nc
}

// backTLS is the TLS of the server on connections that it made.
func backTLS(key *serverKey, alpn ...string) *tls.Config {
	cfg := key.config(alpn...)
	cfg.ClientAuth = tls.RequireAnyClientCert
	return cfg
}

// calls has the client take a call, up to HELO.
func (b *caller) calls() tls.ConnectionState {
	var t *tls.Conn
	for try := range 3 { // a call may cross with what the client does just then
		t = tls.Server(b.connects(), backTLS(b.suite.key, handshake.BackALPN))
		err := b.shake(t)
		if err == nil {
			break
		}
		t.Close()
		if try == 2 {
			b.failf("the client does not take a call of its server: %v", err)
		}
		b.sleep(time.Second)
	}
	b.visits(t)
	b.v.mu.Lock()
	b.v.lease = b.lease
	b.v.mu.Unlock()
	b.want("HELO v=*")
	return t.ConnectionState()
}

// greets answers HELO on a connection that the server made, and takes AUTH.
func (b *caller) greets() {
	b.v.mu.Lock()
	b.v.origin = b.vars["origin"]
	b.v.mu.Unlock()
	b.v.send("220 v=1 mech=EXTERNAL boot=" + b.boot() + " t=" + now() + " caps=dialback")
	b.want(expand("AUTH mech=EXTERNAL user={user} origin={origin} known=1 !pass !data", b.vars))
}

// goesOn has the client log in on a connection that the server made, take a
// message, and go away again.
func (b *caller) goesOn(text string) {
	b.greets()
	b.token = randomHex(16)
	b.welcome("new=0", "known=1", "mail=1", "token="+b.token)
	b.message(text)
	b.v.acknowledged(1)
}

// refusesCall fails the case if the client logs in to a server like that. It
// returns whether the client showed who it is.
func (b *caller) refusesCall(cfg *tls.Config, what string) (shown bool) {
	t := tls.Server(b.connects(), cfg)
	defer t.Close()
	err := b.shake(t)
	if err == nil { // it may still close at once: but it has shown its certificate
		t.SetReadDeadline(time.Now().Add(b.opts.Patience))
		if n := readSome(t, make([]byte, 1)); n > 0 {
			b.failf("the client speaks to %s", what)
		}
		return true
	}
	b.log("dial", ":", err.Error())
	return false
}

// saysNoPassword fails the case if AUTH has one, or a proof of one.
func (b *caller) saysNoPassword() {
	b.quiet()
	if b.v.await(0, func() bool { return len(b.v.requests) > 0 }) {
		h := b.v.next("nothing")
		b.failf("the client logs in all the same: %s", quoted(h.line))
	}
}

var clientDialBackCases = []Case{
	awayCase("registers", "4.6", "a client under dialback registers a port and its key, with the proof of it for this connection", false, 600_000, func(b *caller) {
		b.v.await(0, func() bool { return true }) // the visit has looked at all of it
	}),
	{Name: "dialback/not-agreed", Section: "7.7", Rule: "to a server that does not name the capability, a client does not send dial=", away: true, client: func(k *clientCase) {
		b := &caller{clientCase: k}
		b.begins()
		b.welcomes("")
		if b.v.await(b.opts.Patience/5, func() bool { return b.v.listens != nil && b.v.listens.has("dial") }) {
			b.failf("the client sends dial=, and the server has not agreed on dialback: %s", quoted(b.v.listens.line))
		}
	}},
	awayCase("goes-away", "7.7", "a client goes away by ending its output, without QUIT, when it has acknowledged what it took; and then is silent", false, 600_000, func(b *caller) {
		b.message("one")
		b.goes()
		b.away(3 * b.opts.Quiet)
	}),
	awayCase("called", "7.7", "a client that is called says the ClientHello, HELO, and AUTH mech=EXTERNAL with its origin; it takes what came, and goes away again", false, 600_000, func(b *caller) {
		b.goes()
		b.calls()
		b.goesOn("one")
		b.goes()
		b.calls()
		b.goesOn("two")
		b.goes()
	}),
	awayCase("alpn", "7.7", "the client offers parley-back/1 and nothing else, and ends the handshake when it was not agreed on", false, 600_000, func(b *caller) {
		b.goes()
		if b.refusesCall(backTLS(b.suite.key), "a server that did not agree on "+handshake.BackALPN) {
			b.failf("the client goes through with a handshake without %s", handshake.BackALPN)
		}
		cfg := backTLS(b.suite.key, handshake.BackALPN)
		spoke, offered := false, []string(nil)
		cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			spoke, offered = true, h.SupportedProtos
			return nil, nil
		}
		for try := 0; !spoke; try++ { // a call may cross with what the client does just then
			t := tls.Server(b.connects(), cfg)
			err := b.shake(t)
			t.Close()
			if !spoke && try == 2 {
				b.failf("the client does not take a call of its server: %v", err)
			}
		}
		if !slices.Equal(offered, []string{handshake.BackALPN}) {
			b.failf("the client offers the protocols %q", offered)
		}
	}),
	awayCase("own-key", "7.7", "the client shows a certificate with the key of its LSTN", false, 600_000, func(b *caller) {
		b.goes()
		if key := peerKey(b.calls()); key != b.key {
			b.failf("the client shows the key %q; registered is %q", key, b.key)
		}
		b.goesOn("one")
	}),
	awayCase("another-server", "7.7", "the client closes on a server with another key than the one it knows, before it shows its own; and takes the right one's call afterwards", false, 600_000, func(b *caller) {
		b.goes()
		if b.refusesCall(backTLS(newServerKey(), handshake.BackALPN), "a server with another key") {
			b.failf("the client shows its certificate to a server with another key")
		}
		b.answersOrComes()
	}),
	awayCase("no-password", "7.7", "the client sends no password and no proof of one on a connection that the server made, whatever the 220 lists", false, 600_000, func(b *caller) {
		b.goes()
		b.calls()
		b.v.send("220 v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN boot=" + b.boot() + " t=" + now() + " caps=dialback")
		b.saysNoPassword()
	}),
	awayCase("external-elsewhere", "4.3", "the client does not log in by EXTERNAL on a connection that it made", false, 2000, func(b *caller) {
		b.goes()
		b.accept()
		b.hello()
		b.v.send("220 v=1 mech=EXTERNAL boot=" + b.boot() + " t=" + now() + " caps=dialback")
		b.saysNoPassword()
	}),
	awayCase("refused", "7.7", "after a 535 on a connection that the server made the client connects by itself at once: its own logins are not refused by it", false, 600_000, func(b *caller) {
		b.goes()
		b.calls()
		b.greets()
		b.v.send("535 :This session cannot go on")
		b.v.drop()
		b.accept()
		b.hello()
		b.welcomes("caps=dialback", "known=1")
	}),
	awayCase("not-final", "7.7", "nothing that is said on a connection that the server made keeps the client from taking the next", false, 600_000, func(b *caller) {
		b.goes()
		for _, last := range []string{"421 :Service not available", "GBYE why=removed", "GBYE why=replaced"} {
			b.calls()
			b.greets()
			b.v.send(last)
			b.v.drop()
			b.quiet()
		}
		b.answersOrComes()
	}),
	awayCase("not-fenced", "7.7", "a client that is making a connection closes one that the server made", false, 2000, func(b *caller) {
		b.goes()
		b.accept()
		b.hello()
		nc, err := net.DialTimeout("tcp", b.place, b.opts.Patience)
		if err != nil {
			return // it does not even listen now
		}
		defer nc.Close()
		if t := tls.Server(nc, backTLS(b.suite.key, handshake.BackALPN)); b.shake(t) == nil {
			t.SetReadDeadline(time.Now().Add(b.opts.Patience))
			if readSome(t, make([]byte, 1)) > 0 {
				b.failf("the client speaks on both connections")
			}
		}
		b.welcomes("caps=dialback", "new=0", "known=1")
	}),
	awayCase("lease", "7.7", "a client that is away comes back by itself at half of its lease", true, 2000, func(b *caller) {
		b.goes()
		gone := time.Now()
		b.accept()
		if d := time.Since(gone); d > 2*time.Second {
			b.failf("the client comes back after %v, of a lease of 2 s", d)
		}
		b.hello()
		b.welcomes("caps=dialback", "new=0", "known=1")
	}),
	awayCase("replaced", "7.7", "a client that was away is told that it was replaced on its own connection, by its token, and does not come back", false, 2000, func(b *caller) {
		b.goes()
		token := b.token
		b.accept()
		b.hello()
		b.v.send("220 v=1 mech=SCRAM-SHA-256-PLUS,SCRAM-SHA-256 boot=" + b.boot() + " t=" + now() + " caps=dialback")
		if h := b.want("AUTH mech=SCRAM-SHA-256-PLUS|SCRAM-SHA-256"); h.frame.Value("token") != token {
			b.skipf("the client does not say the token of its last login")
		}
		b.v.send("GBYE why=replaced :You logged in elsewhere")
		b.v.drop()
		b.away(time.Second)
	}),
}

// answersOrComes expects the client to take a call, or to have come by itself:
// both are allowed after a call that came to nothing.
func (b *caller) answersOrComes() {
	select {
	case nc := <-b.suite.arrivals:
		b.visited(nc)
		b.hello()
		b.welcomes("caps=dialback", "new=0", "known=1")
	case <-time.After(b.opts.Quiet):
		b.calls()
		b.goesOn("one")
	}
}
