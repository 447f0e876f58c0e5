package conformance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// peerALPN is the protocol's name in the TLS of private lines (SPEC section
// 8.4).
const peerALPN = "parley-peer/1"

// A line is the suite's end of a private line with the client under test.
type line struct {
	stream
	key   string   // the client's
	heard []*heard // not looked at yet; guarded by mu
}

func (k *clientCase) newLine(nc *tls.Conn) *line {
	l := &line{key: peerKey(nc.ConnectionState())}
	l.begin(k.check, "line", nc, func(h *heard) { l.heard = append(l.heard, h) })
	k.lines = append(k.lines, l)
	return l
}

// peerKey is the key of the other end, "" if it has none of the right kind.
func peerKey(s tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return ""
	}
	return "ed25519:" + hex.EncodeToString(key)
}

// config is the TLS of a line for who has this key.
func (id identity) config(alpn ...string) *tls.Config {
	key := ed25519.PrivateKey(id)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err) // the template is right
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: alpn, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert,
		SessionTicketsDisabled: true, Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
	}
}

// listening waits until the client has said where it takes private lines, and
// returns the place. A client that takes none is not asked.
func (k *clientCase) listening() (addr string) {
	if !k.v.await(k.opts.Patience/5, func() bool { return k.v.listens != nil && k.v.listens.has("port") }) {
		k.skipf("the client takes no private lines")
	}
	port, _ := k.v.listens.value("port")
	host, _, err := net.SplitHostPort(k.v.nc.RemoteAddr().String())
	if err != nil {
		k.skipf("the client has no address that could be dialled")
	}
	return net.JoinHostPort(host, port)
}

// dialPeer opens a private line to the client. In TLS 1.3 it is known only
// later whether the other end takes this one's key: see refused.
func (k *clientCase) dialPeer(id identity, alpn ...string) (*line, error) {
	ctx, cancel := context.WithTimeout(k.ctx, k.opts.Patience)
	defer cancel()
	d := tls.Dialer{Config: id.config(alpn...)}
	nc, err := d.DialContext(ctx, "tcp", k.listening())
	if err != nil {
		return nil, err
	}
	return k.newLine(nc.(*tls.Conn)), nil
}

// say sends a line.
func (l *line) say(text string) {
	l.k.log(l.name, ">", text)
	l.write([]byte(text + "\r\n")) // an error shows when the answer is missing
}

// want expects a frame.
func (l *line) want(source string) *heard {
	var h *heard
	ok := l.await(l.k.opts.Patience, func() bool {
		if len(l.heard) > 0 {
			h, l.heard = l.heard[0], l.heard[1:]
		}
		return h != nil
	})
	if !ok {
		l.k.failf("private line: nothing came; wanted %s", source)
	}
	if !parsePattern(source).match(h, l.k.vars) {
		l.k.failf("private line: got %s; wanted %s", quoted(h.line), source)
	}
	return h
}

// closes expects the client to close the line without another word.
func (l *line) closes() {
	if !l.await(l.k.opts.Patience, func() bool { return l.over }) {
		l.k.failf("private line: it is not closed")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.heard) > 0 {
		l.k.failf("private line: this should not have come: %s", quoted(l.heard[0].line))
	}
}

// refused expects the client to refuse a line in the handshake, so that it
// reads nothing of it.
func (k *clientCase) refused(id identity, alpn ...string) {
	l, err := k.dialPeer(id, alpn...)
	if err != nil {
		k.log("line", ":", err.Error())
		return
	}
	l.say("PEER v=1 from=peer to=" + k.vars["user"] + " origin=5eed")
	l.closes()
}

// opened opens a line that is taken.
func (k *clientCase) opened(id identity) *line {
	l, err := k.dialPeer(id, peerALPN)
	if err != nil {
		k.failf("private line: the client does not take it: %v", err)
	}
	if key, _ := k.v.listens.value("key"); l.key != key {
		k.failf("private line: the client shows the key %s; registered is %s (section 8.4)", l.key, key)
	}
	l.say("PEER v=1 from=peer to=" + k.vars["user"] + " origin=5eed")
	l.want("220 v=1")
	return l
}

// consents has the client consent to the user peer with a key.
func (k *clientCase) consents(id identity) {
	k.listening()
	k.v.send("RQST user=peer key=" + id.String() + " :peer is requesting a private chat")
	k.command("!consent peer", "CNST user=peer")
	k.v.send(k.answer("200", "key="+id.String(), "ttl=600000"))
	k.play("message go on\necho go on\naccepted") // so the 200 was read
}

// proved reports whether the LSTN of a visit proves its key (SPEC section
// 4.6).
func (v *visit) proved(h *heard) bool {
	hexKey, _ := strings.CutPrefix(h.frame.Value("key"), "ed25519:")
	key, err := hex.DecodeString(hexKey)
	sig, err2 := base64.StdEncoding.Strict().DecodeString(h.frame.Value("sig"))
	where := "cleartext:" + v.boot + ":" + v.origin
	if binding := exportedBy(v.nc); binding != nil {
		where = "tls-exporter:" + base64.StdEncoding.EncodeToString(binding)
	}
	signed := strings.Join([]string{"parley LSTN 1", where, v.user, h.frame.Value("key")}, "\n")
	return errors.Join(err, err2) == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(signed), sig)
}

// checkLSTN checks where a client says that it listens. mu is held.
func (v *visit) checkLSTN(h *heard) {
	v.listens, v.listened = h, append(v.listened, h)
	if h.has("key") != h.has("sig") || !h.has("key") && !h.has("port") || h.has("cand") && !h.has("port") || h.has("dial") && !h.has("key") {
		v.blame("the fields of LSTN do not go together (section 4.6): %s", quoted(h.line))
	} else if h.has("key") && v.boot != "" && !v.proved(h) {
		v.blame("sig= does not prove the key (section 4.6): %s", quoted(h.line))
	}
}

// noteGreeting keeps what a signature depends on. mu is held.
func (v *visit) noteGreeting(f *chatproto.Frame) {
	switch f.Code {
	case chatproto.ReplyGreeting:
		v.boot = f.Value("boot")
	case chatproto.ReplyWelcome:
		v.user = f.Value("user")
		if drawn := f.Value("origin"); drawn != "" {
			v.origin = drawn
		}
	}
}
