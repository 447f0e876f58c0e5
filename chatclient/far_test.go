package chatclient_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// The account of the tests, and where its server is.
const (
	farUser     = "B"
	farPassword = "secret"
	farAddr     = "chat.example.com:8000"
	farIP       = "192.0.2.1:8000"
)

// A far is a server on another machine that logs in as SPEC section 9 has it,
// and keeps the session alive after that.
type far struct {
	t          testing.TB
	tls        *tls.Config // nil: it does not speak TLS
	clear      bool        // it takes cleartext
	mech       string      // what it offers, if not the usual
	iterations int
	salt       string

	welcomeText string // behind the 230

	mu     sync.Mutex
	saw    []string // the lines that it received
	logins int
	known  map[string]bool
	conns  []net.Conn
}

func newFar(t testing.TB, cert tls.Certificate) *far {
	return &far{t: t, iterations: 5000, salt: "a salt of the tests", known: make(map[string]bool), tls: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{handshake.ALPN}, MinVersion: tls.VersionTLS13}}
}

// dial is Config.Dial.
func (s *far) dial(context.Context) (net.Conn, error) {
	client, end := net.Pipe()
	go s.serve(end)
	return remote{client, farIP}, nil
}

// local makes a server be on this machine.
func local(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		nc, err := dial(ctx)
		return remote{nc, "127.0.0.1:8000"}, err
	}
}

// serve serves one connection, of which the first octet tells TLS.
func (s *far) serve(nc net.Conn) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Hour))
	first := make([]byte, 1)
	if _, err := io.ReadFull(nc, first); err != nil {
		return
	}
	nc = ahead{nc, io.MultiReader(bytes.NewReader(first), nc)}
	c := &farConn{s: s, nc: nc}
	s.mu.Lock()
	config := s.tls
	s.mu.Unlock()
	switch {
	case first[0] == 0x16 && config == nil:
		return
	case first[0] == 0x16:
		c.tls = tls.Server(nc, config)
		c.nc = c.tls
		defer c.tls.Close()
	case !s.clear:
		io.WriteString(nc, "421 :This server takes cleartext connections from its own machine only\r\n")
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, nc)
	s.mu.Unlock()
	lines := bufio.NewReader(c.nc)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.mu.Lock()
		s.saw = append(s.saw, line)
		s.mu.Unlock()
		answer, more := c.answer(line)
		if _, err := io.WriteString(c.nc, answer); err != nil {
			return
		}
		if !more {
			if c.tls != nil {
				c.tls.CloseWrite()
			}
			io.Copy(io.Discard, c.nc)
			return
		}
	}
}

// restart breaks all connections, and goes on with another certificate, or
// without TLS.
func (s *far) restart(config *tls.Config) {
	s.mu.Lock()
	s.tls = config
	s.mu.Unlock()
	s.hangUp()
}

// hangUp breaks all connections.
func (s *far) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
	s.conns = nil
}

func (s *far) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.saw)
}

type ahead struct {
	net.Conn
	r io.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.r.Read(p) }

// A farConn is one connection of a far.
type farConn struct {
	s              *far
	nc             net.Conn
	tls            *tls.Conn
	helo, greeting string
	mech           string // of the login that has begun
	origin         string
	v              *verifier
}

func (c *farConn) offered() string {
	switch {
	case c.s.mech != "":
		return c.s.mech
	case c.tls != nil:
		return "SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN"
	}
	return "SCRAM-SHA-256"
}

func (c *farConn) answer(line string) (answer string, more bool) {
	var f chatproto.Frame
	if err := chatproto.Parse(&f, []byte(line)); err != nil {
		return "500 :Not a valid command\r\n", false
	}
	switch f.Code {
	case chatproto.HELO:
		c.helo = line
		c.greeting = "220 v=1 mech=" + c.offered() + " boot=9c t=1795348800000"
		return c.greeting + "\r\n", true
	case chatproto.AUTH:
		return c.auth(&f)
	case chatproto.LIVE:
		return "LIVE\r\n", true
	case chatproto.QUIT:
		return "221 n=" + f.Value("n") + "\r\n", false
	}
	return "", true
}

const changed = "501 :The handshake was changed on the way\r\n"

func (c *farConn) auth(f *chatproto.Frame) (answer string, more bool) {
	denied := "535 left=2 :Invalid Password. Please try again\r\n"
	data := f.Value("data")
	if mech := f.Value("mech"); mech != "" {
		c.mech, c.origin, c.v = mech, f.Value("origin"), nil
		switch {
		case !slices.Contains(strings.Split(c.offered(), ","), mech):
			return "501 :That is not offered\r\n", false
		case mech == "PLAIN" && f.Value("user") == farUser && f.Value("pass") == farPassword:
			return c.welcome(""), true
		case mech == "PLAIN":
			return denied, true
		}
		c.s.mu.Lock()
		v := newVerifier(farPassword, c.s.salt, c.s.iterations)
		c.s.mu.Unlock()
		if err := v.first(data); err != nil || v.user != f.Value("user") {
			return "501 :Not a SCRAM message\r\n", false
		}
		plusOffered := strings.Contains(c.offered(), "-PLUS")
		switch {
		case (v.header == "p=tls-exporter,,") != (mech == "SCRAM-SHA-256-PLUS"),
			v.header == "y,," && plusOffered, len(v.nonce) != 68,
			v.nonce[24:] != handshake.Hash([]byte(c.helo), []byte(c.greeting)):
			return changed, false
		}
		c.v = v
		return "334 data=" + v.challenge("aServersNonce") + "\r\n", true
	}
	if c.v == nil {
		return "501 :No login has begun\r\n", false
	}
	var binding []byte
	if c.mech == "SCRAM-SHA-256-PLUS" {
		state := c.tls.ConnectionState()
		binding, _ = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	}
	signature, ok := c.v.final(data, binding)
	if !ok {
		return denied, true
	}
	return c.welcome(" data=" + signature), true
}

func (c *farConn) welcome(data string) string {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.logins++
	known := 0
	if c.s.known[c.origin] {
		known = 1
	}
	c.s.known[c.origin] = true
	return fmt.Sprintf("230 user=B new=%d known=%d high=0 mail=0 token=%032x%s%s\r\n", 1-known, known, c.s.logins, data, c.s.welcomeText)
}

// An authority makes certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// The time in a bubble of synctest begins with the year 2000.
var (
	year1999 = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	year2001 = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, key: newKey(t)}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority"}, NotBefore: year1999, NotAfter: year2001.AddDate(50, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

// pool is for tls.Config.RootCAs.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign makes a certificate for a name.
func (a *authority) sign(key *ecdsa.PrivateKey, name string, from, to time.Time) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// selfMade makes a certificate that nobody vouches for.
func selfMade(t testing.TB, key *ecdsa.PrivateKey, from, to time.Time) tls.Certificate {
	a := &authority{t: t, key: key, cert: &x509.Certificate{Subject: pkix.Name{CommonName: "parley"}}}
	return a.sign(key, "parley", from, to)
}

func fingerprint(cert tls.Certificate) string {
	return handshake.Fingerprint(cert.Leaf.RawSubjectPublicKeyInfo)
}

// A middle is somebody on the way between a client and a far: whoever can
// reads what passes, and changes it.
type middle struct {
	far     interface{ serve(net.Conn) }
	tls     *tls.Config                                      // its own certificate; nil: it cannot read TLS
	clear   bool                                             // it talks to the far in cleartext
	rewrite func(fromServer bool, line string) (said string) // nil changes nothing

	mu  sync.Mutex
	saw []string // the client's lines
}

func (m *middle) dial(context.Context) (net.Conn, error) {
	client, near := net.Pipe()
	there, end := net.Pipe()
	go m.far.serve(farEnd{end})
	go m.stand(near, there)
	return remote{client, farIP}, nil
}

// A farEnd comes from another machine.
type farEnd struct{ net.Conn }

func (farEnd) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 4711} }

// stand stands between the client and the server.
func (m *middle) stand(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	end := time.Now().Add(time.Hour)
	client.SetDeadline(end)
	server.SetDeadline(end)
	var c, s net.Conn = client, server
	if m.tls != nil {
		c = tls.Server(client, m.tls)
		defer c.Close()
		if c.(*tls.Conn).Handshake() != nil {
			return
		}
		if !m.clear {
			s = tls.Client(server, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}})
			defer s.Close()
		}
	}
	go func() {
		defer client.Close()
		m.pass(c, s, true)
	}()
	defer server.Close()
	m.pass(s, c, false)
}

// pass passes lines on.
func (m *middle) pass(to io.Writer, from io.Reader, fromServer bool) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		m.mu.Lock()
		if !fromServer {
			m.saw = append(m.saw, line)
		}
		if m.rewrite != nil {
			line = m.rewrite(fromServer, line)
		}
		m.mu.Unlock()
		if line == "" {
			continue
		}
		if _, err := io.WriteString(to, line+"\r\n"); err != nil {
			return
		}
	}
}

func (m *middle) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.saw)
}

// proofs returns the lines in which a password, or a proof of it, left.
func proofs(lines []string) (found []string) {
	for _, line := range lines {
		if strings.Contains(line, "pass=") || strings.Contains(line, ",p=") {
			found = append(found, line)
		}
	}
	return found
}
