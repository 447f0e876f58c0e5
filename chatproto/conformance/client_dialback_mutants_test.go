package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// An awayClient is a small client that goes away. Wrong is what it does not do
// right, "" being nothing.
type awayClient struct {
	wrong   string
	addr    string
	account Account
	id      identity
	ln      net.Listener
	calls   chan net.Conn
	away    chan bool // holds a value while calls are taken
	origin  string
	token   string
	known   string
	server  []byte // its certificate
	lease   time.Duration
}

// How a connection of an awayClient ends, but for errors.
var (
	errAway  = errors.New("away")
	errFinal = errors.New("not to come back")
	errComes = errors.New("to come back at once")
)

// runAwayClient is a ClientTarget's Start.
func runAwayClient(ctx context.Context, wrong, addr string, a Account) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	c := &awayClient{wrong: wrong, addr: addr, account: a, id: newIdentity(), ln: ln, calls: make(chan net.Conn), away: make(chan bool, 1), origin: randomOrigin(), lease: time.Hour}
	go c.accept(ctx)
	err = errComes
	for ctx.Err() == nil && err != errFinal {
		if nc, called := c.next(ctx, err); nc != nil {
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			err = c.talk(nc, called)
			stop()
			nc.Close()
		}
	}
	return err
}

func (c *awayClient) accept(ctx context.Context) {
	for {
		nc, err := c.ln.Accept()
		if err != nil {
			return
		}
		select {
		case <-c.away:
			c.calls <- nc
		default:
			if c.wrong == "takes a call beside its own connection" {
				go c.talk(nc, true)
				continue
			}
			nc.Close()
		}
	}
}

// next makes or takes a connection, according to how the last one ended.
func (c *awayClient) next(ctx context.Context, last error) (nc net.Conn, called bool) {
	if last == errAway {
		half := time.NewTimer(c.lease / 2)
		if c.wrong == "does not come back by itself" {
			half.Stop()
		}
		c.away <- true
		select {
		case nc = <-c.calls:
			return nc, true
		case <-half.C:
		case <-ctx.Done():
		}
		select {
		case <-c.away:
		default: // a call was taken in this moment
			nc = <-c.calls
			return nc, true
		}
	} else if last != errComes {
		time.Sleep(10 * time.Millisecond)
	}
	var d net.Dialer
	nc, _ = d.DialContext(ctx, "tcp", c.addr)
	return nc, false
}

// secure is the handshake of TLS.
func (c *awayClient) secure(nc net.Conn, called bool) (*tls.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}}
	if called {
		shown := c.id
		if c.wrong == "shows another key" {
			shown = newIdentity()
		}
		cfg.NextProtos, cfg.Certificates = []string{handshake.BackALPN}, []tls.Certificate{shown.certificate()}
		if c.wrong == "offers another protocol, too" {
			cfg.NextProtos = append(cfg.NextProtos, handshake.ALPN)
		}
	}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		key := s.PeerCertificates[0].Raw
		switch {
		case called && s.NegotiatedProtocol != handshake.BackALPN && c.wrong != "goes on without the protocol":
			return errors.New("another protocol")
		case !called:
			c.server = key
		case !bytes.Equal(key, c.server) && c.wrong != "takes any server":
			return errors.New("another server")
		}
		return nil
	}
	t := tls.Client(nc, cfg)
	return t, t.Handshake()
}

// talk is one connection, from TLS to its end.
func (c *awayClient) talk(nc net.Conn, called bool) error {
	fails := errors.New("ended")
	if called {
		fails = errAway
	}
	t, err := c.secure(nc, called)
	if err != nil {
		return fails
	}
	l := &awayLink{Conn: t, r: bufio.NewReader(t)}
	l.say("HELO v=1 acks=1 beat=30000 caps=dialback")
	hello := l.hear(0)
	if hello == nil {
		return fails
	}
	var answer *heard
	switch external := hello.frame.Value("mech") == "EXTERNAL"; {
	case external && (called || c.wrong == "logs in by EXTERNAL anywhere"):
		answer = c.external(l)
	case external:
		return errFinal
	case called && c.wrong == "says its password to a caller":
		l.say("AUTH user=" + c.account.User + " pass=" + escapeValue(c.account.Password))
		answer = l.hear(0)
	case called:
		return errAway
	default:
		answer = c.scram(l, hello)
	}
	switch {
	case answer == nil:
		return fails
	case answer.frame.Code == chatproto.ReplyDenied && called && c.wrong != "takes a refusal of a call for its own":
		return errComes
	case answer.frame.Code == chatproto.GBYE && (!called || c.wrong == "does not come back after a call that was refused") && c.wrong != "comes back though it was replaced",
		answer.frame.Code == chatproto.ReplyDenied:
		return errFinal
	case answer.frame.Code != chatproto.ReplyWelcome:
		return fails
	}
	c.known, c.token = " known=1", answer.frame.Value("token")
	if !called && !c.register(l, hello) {
		return fails
	}
	return c.listen(l, called)
}

func (c *awayClient) external(l *awayLink) *heard {
	origin, known := c.origin, " known=1"
	switch c.wrong {
	case "has another origin when it is called":
		origin = randomOrigin()
	case "does not say known=1 when it is called":
		known = ""
	case "adds its password":
		known += " pass=" + escapeValue(c.account.Password)
	}
	l.say("AUTH mech=EXTERNAL user=" + c.account.User + " origin=" + origin + known)
	return l.hear(0)
}

func (c *awayClient) scram(l *awayLink, hello *heard) *heard {
	x := &scramExchange{mech: "SCRAM-SHA-256-PLUS", user: c.account.User, password: c.account.Password, flag: "p=tls-exporter", binding: exportedBy(l.Conn)}
	x.nonce = randomNonce() + handshakeHash("HELO v=1 acks=1 beat=30000 caps=dialback", hello.line)
	begin := regexp.MustCompile(` origin=\w+`).ReplaceAllString(x.begin(), " origin="+c.origin+c.known)
	if c.token != "" {
		begin += " token=" + c.token
	}
	l.say(begin)
	h := l.hear(0)
	if h == nil || h.frame.Code != chatproto.ReplyChallenge || x.challenge(h) != nil {
		return h
	}
	l.say(x.finish())
	return l.hear(0)
}

// register sends LSTN, and takes the answer.
func (c *awayClient) register(l *awayLink, hello *heard) bool {
	agreed := slices.Contains(strings.Split(hello.frame.Value("caps"), ","), "dialback")
	where := "tls-exporter:" + base64.StdEncoding.EncodeToString(exportedBy(l.Conn))
	if c.wrong == "proves its key for no connection" {
		where = "tls-exporter:"
	}
	line := "LSTN key=" + c.id.String() + " sig=" + c.id.sign("parley LSTN 1", where, c.account.User, c.id.String())
	if agreed || c.wrong == "registers a port that was not agreed on" {
		line += fmt.Sprintf(" dial=%d", c.ln.Addr().(*net.TCPAddr).Port)
	}
	l.say(line)
	h := l.hear(0)
	if h == nil || h.frame.Code != chatproto.ReplyOK {
		return false
	}
	if ms, ok := h.frame.Uint("lease"); ok {
		c.lease = time.Duration(ms) * time.Millisecond
	}
	return true
}

// listen takes messages, until nothing came for a while, and goes away.
func (c *awayClient) listen(l *awayLink, called bool) error {
	for count := 0; ; {
		h := l.hear(60 * time.Millisecond)
		switch {
		case h == nil && !l.late:
			return errAway
		case h == nil:
			if c.wrong == "says QUIT when it goes away" {
				l.say("QUIT")
			}
			l.CloseWrite()
			l.late = false
			for l.hear(0) != nil {
			}
			return errAway
		case h.frame.Code == chatproto.GBYE:
			return errFinal
		case h.frame.Code == chatproto.MESG && c.wrong != "acknowledges nothing":
			count++
			l.say(fmt.Sprint("ACKD count=", count))
		}
	}
}

// An awayLink is a connection as lines.
type awayLink struct {
	*tls.Conn
	r    *bufio.Reader
	late bool // nothing came in time
}

func (l *awayLink) say(line string) { l.Write([]byte(line + "\r\n")) }

// hear returns the next frame, nil at the end, and when nothing comes within d.
func (l *awayLink) hear(d time.Duration) *heard {
	l.SetReadDeadline(time.Time{})
	if d > 0 {
		l.SetReadDeadline(time.Now().Add(d))
	}
	for {
		line, err := l.r.ReadBytes('\n')
		if err != nil {
			var ne net.Error
			l.late = errors.As(err, &ne) && ne.Timeout()
			return nil
		}
		if h, _ := readLine(line); h == nil || h.frame.Code != chatproto.LIVE {
			return h
		}
	}
}

// awayMutants are what may be wrong of a client that goes away, and the case
// that finds it.
var awayMutants = []struct{ wrong, finder string }{
	{"proves its key for no connection", "registers"},
	{"registers a port that was not agreed on", "not-agreed"},
	{"acknowledges nothing", "goes-away"},
	{"says QUIT when it goes away", "goes-away"},
	{"has another origin when it is called", "called"},
	{"does not say known=1 when it is called", "called"},
	{"adds its password", "called"},
	{"goes on without the protocol", "alpn"},
	{"offers another protocol, too", "alpn"},
	{"shows another key", "own-key"},
	{"takes any server", "another-server"},
	{"says its password to a caller", "no-password"},
	{"logs in by EXTERNAL anywhere", "external-elsewhere"},
	{"takes a refusal of a call for its own", "refused"},
	{"does not come back after a call that was refused", "not-final"},
	{"takes a call beside its own connection", "not-fenced"},
	{"does not come back by itself", "lease"},
	{"comes back though it was replaced", "replaced"},
}

// Each is found, and a client without any of that passes every case: the
// suite does not ask for what this repository's client does beside.
func TestClientDialBackMutants(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, wrong, cases string) *Report {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r, err := CheckClient(t.Context(), ClientTarget{Listener: l, Account: Account{"columbia", "116bway"}, DialBack: true,
			Options: Options{Strict: true, Match: regexp.MustCompile("^dialback/" + cases + "$")},
			Start:   func(ctx context.Context, addr string, a Account) error { return runAwayClient(ctx, wrong, addr, a) }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Run("nothing is wrong", func(t *testing.T) {
		t.Parallel()
		for _, c := range check(t, "", ".*").Results {
			if c.Outcome != Passed {
				t.Errorf("%s %s: %s\n  %s", c.Outcome, c.Case.Name, c.Reason, strings.Join(c.Transcript, "\n  "))
			}
		}
	})
	for _, m := range awayMutants {
		t.Run(m.wrong, func(t *testing.T) {
			t.Parallel()
			if r := check(t, m.wrong, m.finder); r.Results[0].Outcome != Failed {
				t.Errorf("%s does not find it: %s %s", m.finder, r.Results[0].Outcome, r.Results[0].Reason)
			} else {
				t.Log(r.Results[0].Reason)
			}
		})
	}
	for _, c := range clientDialBackCases {
		if !slices.ContainsFunc(awayMutants, func(m struct{ wrong, finder string }) bool { return "dialback/"+m.finder == c.Name }) {
			t.Errorf("%s finds nothing", c.Name)
		}
	}
}
