package conformance

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// SCRAM-SHA-256 as SPEC section 9.2 narrows it, both sides, written from RFC
// 5802 and RFC 7677 without any library of the programs under test.

// scramKeys are what a password becomes.
type scramKeys struct{ client, stored, server []byte }

func newScramKeys(password string, salt []byte, iterations int) scramKeys {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err) // the parameters are right
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	return scramKeys{client, stored[:], mac(salted, "Server Key")}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// proof is the client's, signature the server's, of an exchange.
func (k *scramKeys) proof(exchange string) []byte {
	p := mac(k.stored, exchange)
	for i := range p {
		p[i] ^= k.client[i]
	}
	return p
}

func (k *scramKeys) signature(exchange string) []byte { return mac(k.server, exchange) }

// A scramExchange is one login as a client leads it.
type scramExchange struct {
	mech, user, password string
	flag                 string // n, y or p=tls-exporter
	binding              []byte
	nonce                string // the client's
	bare, first, binds   string // client-first-message-bare; server-first-message; c=
	exchange             string // what is proved
	keys                 scramKeys
}

// newScram begins a login on a link that was greeted. It is right; cases spoil
// it.
func newScram(l *link, user, password string) *scramExchange {
	x := &scramExchange{mech: "SCRAM-SHA-256", user: user, password: password, flag: "n"}
	if offers(l, x.mech+"-PLUS") {
		if x.binding = exported(l); x.binding != nil {
			x.mech, x.flag = x.mech+"-PLUS", "p=tls-exporter"
		}
	}
	x.nonce = randomNonce() + handshakeHash(l.helo, l.hello.line)
	return x
}

// randomNonce is 18 random octets in base64.
func randomNonce() string {
	b := make([]byte, 18)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// handshakeHash is what binds a login to HELO and 220.
func handshakeHash(helo, greeting string) string {
	sum := sha256.Sum256([]byte(helo + "\n" + greeting))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// offers reports whether the 220 lists a mechanism.
func offers(l *link, mech string) bool {
	mechs, _ := l.hello.value("mech")
	for m := range strings.SplitSeq(mechs, ",") {
		if m == mech {
			return true
		}
	}
	return false
}

// exported is the binding of RFC 9266, nil without TLS.
func exported(l *link) []byte { return exportedBy(l.nc) }

func exportedBy(nc net.Conn) []byte {
	c, ok := nc.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	s := c.ConnectionState()
	b, err := s.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil
	}
	return b
}

// saslName escapes a name.
func saslName(s string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s) }

// begin is the AUTH of the first step.
func (x *scramExchange) begin() string {
	x.bare = "n=" + saslName(x.user) + ",r=" + x.nonce
	return "AUTH mech=" + x.mech + " user=" + escapeValue(x.user) + " origin=" + randomOrigin() +
		" data=" + escapeValue(x.flag+",,"+x.bare)
}

// challenge reads the 334.
func (x *scramExchange) challenge(h *heard) error {
	x.first = h.frame.Value("data")
	nonce, salt, iterations, err := readServerFirst(x.first)
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(nonce, x.nonce) || len(nonce) != len(x.nonce)+24:
		return fmt.Errorf("the nonce is not the client's and 24 characters more")
	case iterations < 4096 || iterations > 600_000:
		return fmt.Errorf("%d iterations are not between 4,096 and 600,000", iterations)
	}
	x.keys = newScramKeys(x.password, salt, iterations)
	x.binds = base64.StdEncoding.EncodeToString(append([]byte(x.flag+",,"), x.binding...))
	x.exchange = x.bare + "," + x.first + ",c=" + x.binds + ",r=" + nonce
	return nil
}

// readServerFirst reads r=,s=,i=.
func readServerFirst(s string) (nonce string, salt []byte, iterations int, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "r=") || !strings.HasPrefix(parts[1], "s=") || !strings.HasPrefix(parts[2], "i=") {
		return "", nil, 0, fmt.Errorf("%s is no server-first-message", quoted(s))
	}
	if salt, err = base64.StdEncoding.Strict().DecodeString(parts[1][2:]); err != nil {
		return "", nil, 0, err
	}
	iterations, err = strconv.Atoi(parts[2][2:])
	return parts[0][2:], salt, iterations, err
}

// finish is the AUTH of the second step.
func (x *scramExchange) finish() string {
	_, nonce, _ := strings.Cut(x.exchange, ",c="+x.binds+",r=")
	return "AUTH data=c=" + x.binds + ",r=" + nonce + ",p=" + base64.StdEncoding.EncodeToString(x.keys.proof(x.exchange))
}

// verify checks the server's last word.
func (x *scramExchange) verify(h *heard) error {
	said, ok := strings.CutPrefix(h.frame.Value("data"), "v=")
	got, err := base64.StdEncoding.DecodeString(said)
	if !ok || err != nil || !bytes.Equal(got, x.keys.signature(x.exchange)) {
		return fmt.Errorf("data= of the 230 does not prove the server: %s", quoted(h.line))
	}
	return nil
}

// isASCII reports whether a password is itself when it was prepared (RFC
// 8265).
func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
