package conformance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// A callee is a client that the server may call back (SPEC section 7.7): B,
// with its key, and where it listens.
type callee struct {
	*link
	id    identity
	ln    net.Listener
	port  uint16
	calls chan net.Conn
}

// dialBackCase is a case that is skipped where nobody is called back: f has B
// logged in, listening, and not registered.
func dialBackCase(name, rule string, slow bool, f func(s *serverCase, b *callee)) Case {
	return Case{Name: "dialback/" + name, Section: "7.7", Rule: rule, Slow: slow, server: func(s *serverCase) {
		b := &callee{link: s.login("B", "caps=dialback"), id: newIdentity(), calls: make(chan net.Conn, 16)}
		if caps, _ := b.hello.value("caps"); !strings.Contains(","+caps+",", ",dialback,") {
			s.skipf("the server calls nobody back on such a connection")
		}
		b.listen()
		defer b.ln.Close()
		f(s, b)
	}}
}

// listen opens the port of the client.
func (b *callee) listen() {
	listen := b.s.target.Listen
	if listen == nil {
		listen = listenBeside
	}
	ctx, cancel := context.WithTimeout(b.s.ctx, b.s.opts.Patience)
	defer cancel()
	var err error
	if b.ln, err = listen(ctx, b.nc); err != nil {
		b.s.skipf("the suite cannot be called: %v", err)
	}
	place, _ := netip.ParseAddrPort(b.ln.Addr().String())
	b.port = place.Port()
	go func() {
		for {
			nc, err := b.ln.Accept()
			if err != nil {
				return
			}
			select {
			case b.calls <- nc:
			default:
				nc.Close()
			}
		}
	}()
}

// listenBeside listens at the address of a client's connection, by TCP.
func listenBeside(ctx context.Context, conn net.Conn) (net.Listener, error) {
	place, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return nil, fmt.Errorf("its connection has no address: %w", err)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", netip.AddrPortFrom(place.Addr(), 0).String())
}

// registers has the server know where B is called, and returns the lease.
func (b *callee) registers() time.Duration {
	b.send(b.id.register(b.link, fmt.Sprintf("n=90 dial=%d ", b.port)))
	lease, _ := b.want("200 n=90 lease=*").frame.Uint("lease")
	return time.Duration(lease) * time.Millisecond
}

// leaves ends what B says, and waits for the end.
func (b *callee) leaves() {
	half, ok := b.nc.(interface{ CloseWrite() error })
	if !ok {
		b.s.skipf("the connection cannot be closed in one direction")
	}
	half.CloseWrite()
	b.ended(b.s.opts.Patience)
	b.close()
}

// called waits for the server's next connection.
func (b *callee) called() net.Conn {
	timer := time.NewTimer(b.s.opts.Patience)
	defer timer.Stop()
	select {
	case nc := <-b.calls:
		return nc
	case <-timer.C:
	}
	if place, err := netip.ParseAddrPort(b.nc.RemoteAddr().String()); err == nil && !place.Addr().IsLoopback() {
		b.s.skipf("the server does not connect to the suite, which may be out of its reach")
	}
	b.s.failf("B is not called within %v", b.s.opts.Patience)
	return nil
}

// uncalled fails the case if the server connects.
func (b *callee) uncalled(why string) {
	b.s.quiet()
	select {
	case <-b.calls:
		b.s.failf("B is called, and %s", why)
	default:
	}
}

// certificate is what a client shows of its key.
func (id identity) certificate() tls.Certificate {
	key := ed25519.PrivateKey(id)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err) // there is no randomness
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// backTLS is how the client speaks TLS on a connection that the server made.
func (b *callee) backTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{handshake.BackALPN},
		Certificates: []tls.Certificate{b.id.certificate()}, InsecureSkipVerify: true}
}

// secured does the handshake on a connection that the server made.
func (b *callee) secured(nc net.Conn) net.Conn {
	t := tls.Client(nc, b.backTLS())
	ctx, cancel := context.WithTimeout(b.s.ctx, b.s.opts.Patience)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		b.s.failf("the handshake on the connection that the server made: %v", err)
	}
	if b.s.target.inside != nil {
		return b.s.target.inside(t)
	}
	return t
}

// answers takes the server's next connection, up to the 220, as link B2.
func (b *callee) answers() *link {
	l := &link{s: b.s, machine: chatproto.V1.Machine(), account: b.account}
	l.begin(b.s.check, "B2", b.secured(b.called()), l.take)
	b.s.links = append(b.s.links, l)
	b.s.named["B2"] = l
	l.send("HELO v=1 acks=1 beat=30000 pres=0 caps=dialback")
	l.hello = l.want("220 mech=EXTERNAL")
	return l
}

// refuses fails the case if the server says anything but TLS to a client with
// this configuration, nil being none that speaks TLS.
func (b *callee) refuses(nc net.Conn, cfg *tls.Config, why string) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(b.s.opts.Patience))
	if cfg == nil {
		io.WriteString(nc, "HELO v=1 acks=1 beat=30000\r\n")
		if first := make([]byte, 1); readSome(nc, first) > 0 && first[0] != 0x15 { // an alert
			b.s.failf("the server speaks cleartext on a connection that it made")
		}
		return
	}
	t := tls.Client(nc, cfg)
	if t.Handshake() != nil {
		return
	}
	io.WriteString(t, "HELO v=1 acks=1 beat=30000\r\n") // it does not know yet
	if readSome(t, make([]byte, 1)) > 0 {
		b.s.failf("the server answers on a connection that it made, to %s", why)
	}
}

// readSome reads once, and returns how much came.
func readSome(r io.Reader, buf []byte) int {
	n, _ := r.Read(buf)
	return n
}

// writes has A write to B, who is away, and takes the answer.
func (s *serverCase) writes() {
	s.login("A", "origin=a1"+s.vars["hex"])
	s.play(`
		A> SEND n=1 to={B} :come
		A< 201 n=1`)
}

// dialBackCases are about clients that go away and are called.
var dialBackCases = []Case{
	{Name: "dialback/not-agreed", Section: "7.7", Rule: "dial= of a client that has not agreed to dialback is an unknown field, whatever it says", script: `
		A login
		A> LSTN n=1 port=28403 dial=28404
		A< 200 n=1 !lease
		A> LSTN n=2 port=28403 dial=80
		A< 200 n=2 !lease
		A> LSTN n=3 port=28403 dial=x
		A< 200 n=3 !lease`},
	{Name: "dialback/not-offered", Section: "11", Rule: "dialback is agreed on only with a client that offers it", script: `
		X helo caps=future-1
		X nocap dialback`},
	{Name: "dialback/external", Section: "7.7", Rule: "EXTERNAL is no mechanism of a connection that the client made", script: `
		X helo caps=dialback
		X> AUTH mech=EXTERNAL user={A} origin=a1{hex} known=1
		X< 501`},
	dialBackCase("lease", "LSTN with dial= is answered with the lease, one without it is not", false, func(s *serverCase, b *callee) {
		if b.registers() <= 0 {
			s.failf("the lease is no time")
		}
		b.send(b.id.register(b.link, "n=91 "))
		b.want("200 n=91 !lease")
	}),
	dialBackCase("fields", "dial= takes a port from 1024 up, and key=; else 501", false, func(s *serverCase, b *callee) {
		for i, port := range []string{"0", "80", "1023", "65536", "18446744073709580020", "x", ""} {
			b.send(b.id.register(b.link, fmt.Sprintf("n=%d dial=%s ", i+1, port)))
			b.want(fmt.Sprintf("501 n=%d", i+1))
		}
		b.send(fmt.Sprintf("LSTN n=20 port=28403 dial=%d", b.port))
		b.want("501 n=20")
	}),
	dialBackCase("whom", "dial= is for clients that acknowledge, promise a heartbeat and have drawn their origin; else 501", false, func(s *serverCase, b *callee) {
		b.quit()
		for _, args := range [][]string{{"acks=-"}, {"beat=-"}, {"origin=-"}} {
			l := s.login("B", append(args, "caps=dialback")...)
			l.send(b.id.register(l, fmt.Sprintf("n=1 dial=%d ", b.port)))
			l.want("501 n=1")
			l.quit()
		}
	}),
	dialBackCase("called", "who is away is called when a message waits; the session goes on, and the message is delivered", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		l := b.answers()
		l.send("AUTH mech=EXTERNAL user=" + s.vars["B"] + " origin=" + s.vars["B.origin"] + " known=1")
		l.want("230 user=" + s.vars["B"] + " new=0 known=1 mail=1 token=*")
		l.want("MESG from=" + s.vars["A"])
		l.send("ACKD count=1")
		l.sync()
		b.uncalled("has a connection")
		s.play("A listed {B}")
	}),
	dialBackCase("silent", "the server says nothing before a ClientHello, and nothing in cleartext", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		nc := b.called()
		nc.SetReadDeadline(time.Now().Add(s.opts.Quiet))
		if readSome(nc, make([]byte, 1)) > 0 {
			s.failf("the server speaks first on a connection that it made")
		}
		nc.SetReadDeadline(time.Time{})
		b.refuses(nc, nil, "")
		b.answers()
	}),
	dialBackCase("another-key", "a connection that the server made is for the key of the LSTN alone", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		other := b.backTLS()
		other.Certificates = []tls.Certificate{newIdentity().certificate()}
		b.refuses(b.called(), other, "another key")
		other.Certificates = nil
		b.refuses(b.called(), other, "a client without a certificate")
		b.answers()
	}),
	dialBackCase("alpn", "a connection that the server made is for parley-back/1 alone", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		for _, protos := range [][]string{nil, {handshake.ALPN}} {
			other := b.backTLS()
			other.NextProtos = protos
			b.refuses(b.called(), other, fmt.Sprintf("ALPN %q", protos))
		}
		b.answers()
	}),
	dialBackCase("login", "only the session that was called for goes on: else 535 without left=; passwords are 501", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		l := b.answers()
		user, origin := s.vars["B"], s.vars["B.origin"]
		for _, try := range [][2]string{
			{"mech=EXTERNAL user=" + s.vars["A"] + " origin=" + origin + " known=1", "535 !left"},
			{"mech=EXTERNAL user=" + user + " origin=b7" + s.vars["hex"] + " known=1", "535 !left"},
			{"mech=EXTERNAL user=" + user, "501"},
			{"mech=EXTERNAL user=" + user + " origin=" + origin + " pass=x", "501"},
			{"mech=EXTERNAL user=" + user + " origin=" + origin + " data=x", "501"},
			{"user=" + user + " origin=" + origin + " pass=" + s.vars["B.pass"], "501"},
			{"mech=PLAIN user=" + user + " origin=" + origin + " pass=" + s.vars["B.pass"], "501"},
			{"mech=EXTERNAL user=" + user + " origin=" + origin + " known=1", "230 new=0"},
		} {
			l.send("AUTH " + try[0])
			l.want(try[1])
		}
		l.want("MESG")
	}),
	dialBackCase("one-too-many", "a connection that the server made never fences another: 421 without retry=", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		l := b.answers()
		own := s.login("B", "caps=dialback", "origin="+s.vars["B.origin"])
		own.want("MESG")
		l.send("AUTH mech=EXTERNAL user=" + s.vars["B"] + " origin=" + s.vars["B.origin"] + " known=1")
		l.want("421 !retry")
		l.ended(s.opts.Patience)
		own.sync()
		own.send("ACKD count=1")
	}),
	dialBackCase("over", "a session that has ended does not go on: 535 without left=", false, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		l := b.answers()
		own := s.login("B", "origin="+s.vars["B.origin"])
		own.want("MESG")
		own.send("ACKD count=1")
		own.quit()
		l.send("AUTH mech=EXTERNAL user=" + s.vars["B"] + " origin=" + s.vars["B.origin"] + " known=1")
		l.want("535 !left")
	}),
	dialBackCase("replaced", "who was replaced while it was away is told so in place of the 230, once, and replaces nobody", false, func(s *serverCase, b *callee) {
		token, ok := b.welcome.value("token")
		if !ok {
			s.skipf("the server gives no tokens")
		}
		b.registers()
		b.leaves()
		other := s.login("B2")
		back := expand("AUTH user={B} pass={B.pass} origin={B.origin} known=1 token="+token, s.vars)
		l := s.open("B3")
		l.send(back)
		l.want("GBYE why=replaced")
		l.ended(s.opts.Patience)
		other.sync()
		l = s.open("B4")
		l.send(back)
		l.want("230 new=1")
		other.want("GBYE why=replaced")
	}),
	dialBackCase("reasons", "PRES is no reason to call, nor is what was acknowledged; a request for the address is", false, func(s *serverCase, b *callee) {
		b.registers()
		s.login("A")
		s.play(`
			A> SEND n=1 to={B} :take this
			B< MESG from={A}
			B> ACKD count=1
			A< 201 n=1`)
		b.leaves()
		s.play(`
			C login
			C quit`)
		b.uncalled("nothing waits")
		s.play(`
			A> ADDR n=2 user={B}
			A< 202 n=2`)
		l := b.answers()
		l.send("AUTH mech=EXTERNAL user=" + s.vars["B"] + " origin=" + s.vars["B.origin"] + " known=1")
		l.want("230 new=0 mail=0")
		l.want("RQST user=" + s.vars["A"])
	}),
	dialBackCase("taken-back", "an LSTN without dial= ends it", false, func(s *serverCase, b *callee) {
		b.registers()
		b.send(b.id.register(b.link, "n=91 "))
		b.want("200 n=91")
		b.leaves()
		s.writes()
		b.uncalled("has taken its registration back")
	}),
	dialBackCase("lingers", "who can be called lingers for longer than one timeout", true, func(s *serverCase, b *callee) {
		if lease := b.registers(); lease < s.target.Timeout+20*time.Second {
			s.skipf("the lease is %v", lease)
		}
		b.leaves()
		s.login("A")
		s.pass(s.target.Timeout + 10*time.Second)
		s.play("A listed {B}")
	}),
	dialBackCase("unreachable", "who cannot be reached lingers for one timeout, from the first call that failed", true, func(s *serverCase, b *callee) {
		b.registers()
		b.leaves()
		s.writes()
		b.called().Close()
		b.ln.Close()
		s.pass(s.target.Timeout - 5*time.Second)
		s.play("A listed {B}")
		s.pass(10 * time.Second)
		s.play("A unlisted {B}")
	}),
}
