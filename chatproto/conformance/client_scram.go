package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// A scramServer is the suite's side of a login by SCRAM.
type scramServer struct {
	keys        scramKeys
	salt        []byte
	iterations  int
	bare, nonce string // client-first-message-bare; the nonce of both
	first       string // server-first-message
	header      string // the client's flag and what follows it
	binding     string // what TLS exports, if the client binds the login to it
}

// firstStep reads the AUTH that begins a login by SCRAM. greeting is the 220.
func (k *clientCase) firstStep(h *heard, greeting string) *scramServer {
	data := h.frame.Value("data")
	parts := strings.Split(data, ",")
	if len(parts) != 4 || parts[1] != "" || !strings.HasPrefix(parts[2], "n=") || !strings.HasPrefix(parts[3], "r=") {
		k.failf("the client-first-message has not the form F,,n=U,r=N: %s", quoted(h.line))
	}
	if parts[2][2:] != saslName(k.suite.target.Account.User) {
		k.failf("n= is not the user: %s", quoted(h.line))
	}
	binding := ""
	if h.frame.Value("mech") == "SCRAM-SHA-256-PLUS" {
		binding = string(exportedBy(k.v.nc))
	}
	if flag := flagOf(binding); parts[0] != flag {
		k.failf("the flag is %s here: %s", flag, quoted(h.line))
	}
	nonce := parts[3][2:]
	random, err := base64.StdEncoding.Strict().DecodeString(nonce[:min(24, len(nonce))])
	switch {
	case len(nonce) != 24+44 || err != nil || len(random) != 18:
		k.failf("the nonce is not 18 octets and a hash in base64: %s", quoted(h.line))
	case nonce[24:] != handshakeHash(k.v.helo.line, greeting):
		k.failf("the hash in the nonce is not that of HELO and 220: %s", quoted(h.line))
	}
	return &scramServer{salt: []byte("sixteen octets!!"), iterations: 4096, bare: parts[2] + "," + parts[3],
		nonce: nonce + randomNonce(), header: parts[0] + ",,", binding: binding}
}

// flagOf is how a client-first-message begins that is bound so.
func flagOf(binding string) string {
	if binding == "" {
		return "n"
	}
	return "p=tls-exporter"
}

// scramBegun answers HELO with SCRAM, and reads the first step. A client that
// cannot is not asked.
func (k *clientCase) scramBegun() *scramServer {
	greeting := "220 v=1 mech=SCRAM-SHA-256,PLAIN boot=" + k.boot() + " t=" + now()
	k.v.send(greeting)
	if !k.v.await(k.opts.Patience, func() bool { return len(k.v.requests) > 0 }) {
		k.skipf("the client does not do SCRAM")
	}
	h := k.want("AUTH mech=SCRAM-SHA-256 data=* !pass")
	k.noteOrigin(h)
	return k.firstStep(h, greeting)
}

// challenge sends the 334.
func (k *clientCase) challenge(x *scramServer) {
	x.keys = newScramKeys(k.suite.target.Account.Password, x.salt, max(x.iterations, 1))
	x.first = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(x.salt), x.iterations)
	k.v.send("334 data=" + x.first)
}

// proved reads the second step and returns what proves the server.
func (k *clientCase) proved(x *scramServer) (signature string) {
	h := k.want("AUTH data=* !user !mech !origin")
	head := "c=" + base64.StdEncoding.EncodeToString([]byte(x.header+x.binding)) + ",r=" + x.nonce
	data := h.frame.Value("data")
	exchange := x.bare + "," + x.first + "," + head
	proof, ok := strings.CutPrefix(data, head+",p=")
	got, err := base64.StdEncoding.Strict().DecodeString(proof)
	if !ok || err != nil || !bytes.Equal(got, x.keys.proof(exchange)) {
		k.failf("the client-final-message does not prove the password: %s", quoted(h.line))
	}
	return base64.StdEncoding.EncodeToString(x.keys.signature(exchange))
}

// scramLogin is a case about a login by SCRAM whose first step was taken.
func scramLogin(name, rule string, f func(k *clientCase, x *scramServer)) Case {
	return Case{Name: "scram/" + name, Section: "9.2", Rule: rule, client: func(k *clientCase) {
		if !isASCII(k.suite.target.Account.Password) {
			k.skipf("the password is not ASCII")
		}
		k.accept()
		k.hello()
		f(k, k.scramBegun())
	}}
}

// givesUp expects the client to go no further with a login, and not to fall
// back to PLAIN on this connection or the next.
func (k *clientCase) givesUp() {
	k.quiet()
	if k.v.await(0, func() bool { return len(k.v.requests) > 0 }) {
		h := k.v.next("nothing")
		k.failf("the client goes on: %s", quoted(h.line))
	}
}

var clientScramCases = []Case{
	scramLogin("login", "a client logs in by SCRAM where it is listed, and binds HELO and 220 to it", func(k *clientCase, x *scramServer) {
		k.challenge(x)
		k.welcome("data=v=" + k.proved(x))
		k.play("message one\necho one\naccepted")
	}),
	scramLogin("nonce-is-new", "the client's nonce is new each time", func(k *clientCase, x *scramServer) {
		seen := []string{x.nonce[:24]}
		k.challenge(x)
		k.welcome("data=v=" + k.proved(x))
		k.v.drop()
		k.accept()
		k.hello()
		if x = k.scramBegun(); slices.Contains(seen, x.nonce[:24]) {
			k.failf("the client's nonce came twice")
		}
	}),
	scramLogin("wrong-signature", "a client believes nothing of a 230 that does not prove the server", func(k *clientCase, x *scramServer) {
		k.challenge(x)
		k.proved(x)
		k.welcome("data=v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
		k.message("one")
		k.play("quiet")
	}),
	scramLogin("no-signature", "a client believes nothing of a 230 without a proof", func(k *clientCase, x *scramServer) {
		k.challenge(x)
		k.proved(x)
		k.welcome()
		k.message("one")
		k.play("quiet")
	}),
	scramLogin("no-exchange", "a client that began SCRAM does not take a 230 for its first step", func(k *clientCase, x *scramServer) {
		k.welcome()
		k.message("one")
		k.play("quiet")
	}),
	scramLogin("few-iterations", "a client refuses fewer than 4,096 iterations", func(k *clientCase, x *scramServer) {
		x.iterations = 4095
		k.challenge(x)
		k.givesUp()
	}),
	scramLogin("many-iterations", "a client refuses more than 600,000 iterations, before it derives anything", func(k *clientCase, x *scramServer) {
		k.v.send(fmt.Sprintf("334 data=r=%s,s=%s,i=600001", x.nonce, base64.StdEncoding.EncodeToString(x.salt)))
		k.givesUp()
	}),
	scramLogin("another-nonce", "a client refuses a nonce that does not begin with its own", func(k *clientCase, x *scramServer) {
		x.nonce = strings.Repeat("A", 24) + x.nonce[24:]
		k.challenge(x)
		k.givesUp()
	}),
	scramLogin("no-more-nonce", "a client refuses a nonce to which the server added nothing", func(k *clientCase, x *scramServer) {
		x.nonce = x.nonce[:68]
		k.challenge(x)
		k.givesUp()
	}),
	scramLogin("not-by-password", "a client does not give its password because SCRAM is refused", func(k *clientCase, x *scramServer) {
		k.v.send("501 :A field is missing or wrong")
		k.givesUp()
	}),
	scramLogin("asked-for-password", "a client does not give its password to a 331 in a login by SCRAM", func(k *clientCase, x *scramServer) {
		k.v.send("331 :Password:")
		k.givesUp()
	}),
	scramLogin("token", "a client that comes back may say its token, and that one", func(k *clientCase, x *scramServer) {
		k.challenge(x)
		k.welcome("token=0123456789abcdef0123456789abcdef", "data=v="+k.proved(x))
		k.v.drop()
		k.accept()
		k.hello()
		k.v.send("220 v=1 mech=SCRAM-SHA-256,PLAIN boot=" + k.boot() + " t=" + now())
		h := k.want("AUTH mech=SCRAM-SHA-256")
		if token, has := h.value("token"); has && token != "0123456789abcdef0123456789abcdef" {
			k.failf("the client says another token: %s", quoted(h.line))
		}
	}),
}
