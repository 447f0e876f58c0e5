package chatserver_test

import (
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
	"testing"

	"github.com/parleyproto/parley/chatserver"
)

// A scramClient logs in by SCRAM as RFC 5802 and SPEC section 9.2 say, by
// hand: it shares nothing with the server's library. What an edit is set for
// is changed on its way, as somebody between the two would: the client knows
// its own, the server another.
type scramClient struct {
	*linePeer
	mech, user, password string
	binding              []byte // of TLS; nil without
	flag                 string // of the gs2-header; "" is the right one
	extra                string // fields of the first AUTH, such as " origin=a1"

	editHelo, editGreeting, editAuth, editFirst, editServerFirst, editFinal func(string) string

	helo, greeting string // as the client knows them
	random         string
	first, final   string // messages, as the client sent them
	signature      string // what the server must prove itself by
}

func newScramClient(t *testing.T, nc net.Conn, mech, user, password string) *scramClient {
	c := &scramClient{linePeer: lines(t, nc), mech: mech, user: user, password: password}
	if tc, ok := nc.(*tls.Conn); ok {
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		state := tc.ConnectionState()
		var err error
		if c.binding, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func edited(edit func(string) string, s string) string {
	if edit == nil {
		return s
	}
	return edit(s)
}

// greet says HELO and takes the 220.
func (c *scramClient) greet() {
	c.helo = "HELO v=1 acks=1 beat=30000 pres=0"
	c.say("%s", edited(c.editHelo, c.helo))
	c.greeting = edited(c.editGreeting, c.want("220 "))
}

// begin takes the first step and returns the answer to it.
func (c *scramClient) begin() string {
	flag := c.flag
	if flag == "" {
		flag = "n"
		if c.mech == "SCRAM-SHA-256-PLUS" {
			flag = "p=tls-exporter"
		}
	}
	b := make([]byte, 18)
	rand.Read(b)
	c.random = base64.StdEncoding.EncodeToString(b)
	hash := sha256.Sum256([]byte(c.helo + "\n" + c.greeting))
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.user)
	c.first = flag + ",,n=" + name + ",r=" + c.random + base64.StdEncoding.EncodeToString(hash[:])
	auth := "AUTH mech=" + c.mech + " user=" + c.user + c.extra + " data=" + edited(c.editFirst, c.first)
	c.say("%s", edited(c.editAuth, auth))
	return c.next()
}

// prove computes the second message from the first answer.
func (c *scramClient) prove(answer string) {
	c.t.Helper()
	data, ok := strings.CutPrefix(answer, "334 data=")
	if !ok {
		c.t.Fatalf("the first step is answered %q", answer)
	}
	data = edited(c.editServerFirst, data)
	parts := strings.Split(data, ",")
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(parts[1], "s="))
	if err != nil {
		c.t.Fatal(err)
	}
	iterations, err := strconv.Atoi(strings.TrimPrefix(parts[2], "i="))
	if err != nil {
		c.t.Fatal(err)
	}
	i := strings.LastIndex(c.first, ",n=")
	header, bare := c.first[:i+1], c.first[i+1:]
	cbind := []byte(header)
	if strings.HasPrefix(header, "p=") {
		cbind = append(cbind, c.binding...)
	}
	without := "c=" + base64.StdEncoding.EncodeToString(cbind) + "," + parts[0]
	auth := bare + "," + data + "," + without
	salted, err := pbkdf2.Key(sha256.New, c.password, salt, iterations, 32)
	if err != nil {
		c.t.Fatal(err)
	}
	clientKey := hmacSHA256(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof := hmacSHA256(stored[:], auth)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	c.final = without + ",p=" + base64.StdEncoding.EncodeToString(proof)
	c.signature = "v=" + base64.StdEncoding.EncodeToString(hmacSHA256(hmacSHA256(salted, "Server Key"), auth))
}

// finish takes the second step and returns the answer to it.
func (c *scramClient) finish() string {
	c.say("AUTH data=%s", edited(c.editFinal, c.final))
	return c.next()
}

// run logs in and returns the last answer.
func (c *scramClient) run() string {
	c.greet()
	answer := c.begin()
	if !strings.HasPrefix(answer, "334 ") {
		return answer
	}
	c.prove(answer)
	return c.finish()
}

// in fails the test unless answer is a 230 by which the server proves itself.
func (c *scramClient) in(answer string) {
	c.t.Helper()
	if !strings.HasPrefix(answer, "230 user="+c.user+" ") {
		c.t.Fatalf("the login is answered %q", answer)
	}
	if got := valueOf(answer, "data"); got != c.signature {
		c.t.Errorf("the server proves itself by %q, want %q", got, c.signature)
	}
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// valueOf returns the value of a field of a line, "" if it has none.
func valueOf(line, key string) string {
	line, _, _ = strings.Cut(line, " :")
	for _, word := range strings.Fields(line)[1:] {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			return v
		}
	}
	return ""
}

// verifierOf makes the verifier of a password by hand.
func verifierOf(t *testing.T, password, salt string, iterations int) *chatserver.Verifier {
	salted, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	stored := sha256.Sum256(hmacSHA256(salted, "Client Key"))
	return &chatserver.Verifier{Salt: []byte(salt), Iterations: iterations, StoredKey: stored[:], ServerKey: hmacSHA256(salted, "Server Key")}
}

// overTLS connects to srv from addr by TLS.
func overTLS(t *testing.T, srv *chatserver.Server, addr string) *tls.Conn {
	return tls.Client(dial(t, srv, addr), clientTLS())
}

// credentials reads a credentials file.
func credentials(t *testing.T, lines ...string) chatserver.Credentials {
	t.Helper()
	c, err := chatserver.ParseCredentials(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// line is one of a credentials file.
func line(user string, secret any) string { return fmt.Sprintf("%s %s", user, secret) }
