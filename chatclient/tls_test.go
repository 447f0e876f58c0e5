package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// config is one that logs in at a far, to which dial leads.
func farConfig(dial func(context.Context) (net.Conn, error)) chatclient.Config {
	return chatclient.Config{Addr: farAddr, Dial: dial, User: farUser, Password: farPassword, PeerListen: "off"}
}

// tryDial dials, ends the client if there is one, and returns the error.
func tryDial(t *testing.T, cfg chatclient.Config) error {
	t.Helper()
	c, err := chatclient.Dial(t.Context(), cfg)
	if err == nil {
		end(c)
	}
	return err
}

// A server that an authority vouches for is asked for nothing more. The
// channel works in both directions also when the end of the handshake and the
// first line are under way at once: a pipe holds nothing.
func TestTLS(t *testing.T) {
	for _, tickets := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ca := newAuthority(t)
			s := newFar(t, ca.sign(newKey(t), "chat.example.com", year1999, year2001))
			s.tls.SessionTicketsDisabled = !tickets
			cfg := farConfig(s.dial)
			cfg.TLS = &tls.Config{RootCAs: ca.pool()}
			began := time.Now()
			if err := tryDial(t, cfg); err != nil {
				t.Fatal(err)
			}
			if lines := s.lines(); len(lines) != 3 || !strings.HasPrefix(lines[1], "AUTH mech=SCRAM-SHA-256-PLUS user=B data=p=tls-exporter,,n=B,r=") {
				t.Errorf("the server saw %q", lines)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// Who is refused, who is asked about, who is let in. Nothing but TLS is said
// to who is refused.
func TestWhichServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, other := newAuthority(t), newAuthority(t)
		key, otherKey := newKey(t), newKey(t)
		certs := map[string]tls.Certificate{
			"good":          ca.sign(key, "chat.example.com", year1999, year2001),
			"renewed":       ca.sign(otherKey, "chat.example.com", year1999, year2001),
			"expired":       ca.sign(key, "chat.example.com", year1999, year1999.AddDate(0, 6, 0)),
			"not yet valid": ca.sign(key, "chat.example.com", year2001, year2001.AddDate(1, 0, 0)),
			"another name":  ca.sign(key, "chat.example.org", year1999, year2001),
			"self-made":     selfMade(t, key, year1999, year2001),
			"made again":    selfMade(t, key, year1999, year2001.AddDate(1, 0, 0)),
			"too old":       selfMade(t, key, year1999, year1999.AddDate(0, 6, 0)),
			"another key":   selfMade(t, otherKey, year1999, year2001),
			"another's":     other.sign(key, "chat.example.com", year1999, year2001),
		}
		known := func(cert, mech string) *chatclient.Pin {
			return &chatclient.Pin{Fingerprint: fingerprint(certs[cert]), Mechanism: mech}
		}
		vouched := &chatclient.Pin{Mechanism: "SCRAM-SHA-256-PLUS"}
		const plus = "SCRAM-SHA-256-PLUS"
		refused := errors.New("the person says no")
		trust := trustAll
		distrust := func(context.Context, chatclient.UnknownServer) error { return refused }
		tests := []struct {
			cert  string
			pin   *chatclient.Pin
			given string // Config.Fingerprint: of this certificate
			trust func(context.Context, chatclient.UnknownServer) error
			local bool
			want  error
			then  *chatclient.Pin // what is known afterwards
		}{
			{cert: "good", then: vouched},
			{cert: "good", trust: distrust, then: vouched},
			{cert: "expired", want: chatclient.ErrServerUnknown},
			{cert: "not yet valid", want: chatclient.ErrServerUnknown},
			{cert: "another name", want: chatclient.ErrServerUnknown},
			{cert: "another's", want: chatclient.ErrServerUnknown},
			{cert: "self-made", want: chatclient.ErrServerUnknown},
			{cert: "self-made", trust: distrust, want: refused},
			{cert: "self-made", trust: trust, then: known("self-made", plus)},
			{cert: "another name", trust: trust, then: known("another name", plus)},

			{cert: "self-made", pin: known("self-made", plus), trust: distrust, then: known("self-made", plus)},
			{cert: "made again", pin: known("self-made", plus), then: known("self-made", plus)},
			{cert: "too old", pin: known("self-made", plus), then: known("self-made", plus)},
			{cert: "another name", pin: known("self-made", plus), then: known("self-made", plus)},
			{cert: "another key", pin: known("self-made", plus), trust: trust, want: chatclient.ErrServerChanged, then: known("self-made", plus)},
			{cert: "another key", pin: known("self-made", plus), local: true, want: chatclient.ErrServerChanged, then: known("self-made", plus)},
			{cert: "good", pin: known("another key", plus), then: vouched},

			{cert: "good", pin: vouched, then: vouched},
			{cert: "renewed", pin: vouched, then: vouched},
			{cert: "expired", pin: vouched, trust: trust, want: chatclient.ErrServerChanged, then: vouched},
			{cert: "self-made", pin: vouched, trust: trust, want: chatclient.ErrServerChanged, then: vouched},
			{cert: "self-made", pin: vouched, local: true, want: chatclient.ErrServerChanged, then: vouched},
			{cert: "another's", pin: vouched, want: chatclient.ErrServerChanged, then: vouched},

			{cert: "self-made", given: "self-made"},
			{cert: "too old", given: "self-made", trust: distrust},
			{cert: "self-made", given: "self-made", pin: known("another key", plus), then: known("another key", plus)},
			{cert: "another key", given: "self-made", trust: trust, want: chatclient.ErrServerChanged},
			{cert: "renewed", given: "self-made", trust: trust, want: chatclient.ErrServerChanged},
			{cert: "another key", given: "self-made", local: true, want: chatclient.ErrServerChanged},

			{cert: "self-made", local: true, trust: distrust, then: known("self-made", plus)},
			{cert: "too old", local: true, then: known("self-made", plus)},
		}
		for _, test := range tests {
			s := newFar(t, certs[test.cert])
			cfg := farConfig(s.dial)
			if test.local {
				cfg.Dial = local(s.dial)
			}
			cfg.TLS = &tls.Config{RootCAs: ca.pool(), InsecureSkipVerify: true} // which does not count
			pins := pinMap{}
			if test.pin != nil {
				pins[farAddr] = *test.pin
			}
			cfg.Pins, cfg.TrustServer = pins, test.trust
			if test.given != "" {
				cfg.Fingerprint = strings.ToUpper(fingerprint(certs[test.given]))
				cfg.Fingerprint = "sha256:" + cfg.Fingerprint[len("sha256:"):]
			}
			err := tryDial(t, cfg)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%+v: %v", test, err)
			}
			if lines := s.lines(); err != nil && len(lines) > 0 {
				t.Errorf("%+v: the server was told %q", test, lines)
			}
			var then *chatclient.Pin
			if p, ok := pins[farAddr]; ok {
				then = &p
			}
			if (then == nil) != (test.then == nil) || then != nil && *then != *test.then {
				t.Errorf("%+v: then the pin is %+v", test, then)
			}
		}
	})
}

// trustAll is a person who says yes to everything.
func trustAll(context.Context, chatclient.UnknownServer) error { return nil }

// A pinMap keeps pins in memory. Its methods are called by one goroutine.
type pinMap map[string]chatclient.Pin

func (m pinMap) Pin(addr string) (chatclient.Pin, bool, error) { p, ok := m[addr]; return p, ok, nil }
func (m pinMap) SetPin(addr string, p chatclient.Pin) error    { m[addr] = p; return nil }

// Two servers have two pins, whoever has the same key or name.
func TestPinsOfSeveralServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := selfMade(t, newKey(t), year1999, year2001), selfMade(t, newKey(t), year1999, year2001)
		pins := pinMap{}
		asked := 0
		connect := func(addr string, cert tls.Certificate) error {
			cfg := farConfig(newFar(t, cert).dial)
			cfg.Addr, cfg.Pins = addr, pins
			cfg.TrustServer = func(_ context.Context, s chatclient.UnknownServer) error {
				if s.Addr != strings.ToLower(addr) || s.Fingerprint != fingerprint(cert) || s.Reason == nil {
					t.Errorf("asked for %+v", s)
				}
				asked++
				return nil
			}
			return tryDial(t, cfg)
		}
		for i, step := range []struct {
			addr  string
			cert  tls.Certificate
			asked int
			want  error
		}{
			{"one.example.com:8000", one, 1, nil},
			{"two.example.com:8000", two, 2, nil},
			{"One.Example.COM:8000", one, 2, nil},
			{"one.example.com:8000", two, 2, chatclient.ErrServerChanged},
			{"two.example.com:8000", one, 2, chatclient.ErrServerChanged},
			{"one.example.com:8001", two, 3, nil},
			{"one.example.com:8000", one, 3, nil},
		} {
			if err := connect(step.addr, step.cert); !errors.Is(err, step.want) || asked != step.asked {
				t.Errorf("step %d: asked %d times, %v", i, asked, err)
			}
		}
		if len(pins) != 3 {
			t.Errorf("pins are %v", pins)
		}
	})
}

// The name of the server comes from Addr or from the configuration of TLS; with
// neither no certificate can be right.
func TestServerName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		for _, test := range []struct {
			addr, name, cert string
			want             error
		}{
			{"chat.example.com.:8000", "", "chat.example.com", nil},
			{"Chat.Example.com:8000", "", "chat.example.com", nil},
			{"10.0.0.1:8000", "chat.example.com", "chat.example.com", nil},
			{"chat.example.com:8000", "chat.example.org", "chat.example.com", chatclient.ErrServerUnknown},
			{"", "chat.example.com", "chat.example.com", nil},
			{"", "", "chat.example.com", chatclient.ErrServerUnknown},
			{"chat.example.com", "", "chat.example.com", chatclient.ErrServerUnknown},
		} {
			cfg := farConfig(newFar(t, ca.sign(newKey(t), test.cert, year1999, year2001)).dial)
			cfg.Addr, cfg.TLS = test.addr, &tls.Config{RootCAs: ca.pool(), ServerName: test.name}
			if err := tryDial(t, cfg); !errors.Is(err, test.want) {
				t.Errorf("%+v: %v", test, err)
			}
		}
	})
}

// A server that comes back with another key ends the client; nothing is sent
// to it. One whose certificate was renewed, or is out of date, does not.
func TestServerChangesDuringReconnect(t *testing.T) {
	for _, pinned := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			key := newKey(t)
			s := newFar(t, selfMade(t, key, year1999, year2001))
			cfg := farConfig(s.dial)
			asked := 0
			cfg.TrustServer = func(context.Context, chatclient.UnknownServer) error { asked++; return nil }
			if pinned {
				cfg.Pins = pinMap{}
			}
			c, err := chatclient.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end(c) })
			reconnect := func(cert tls.Certificate) {
				s.restart(&tls.Config{Certificates: []tls.Certificate{cert}})
				time.Sleep(time.Minute)
				synctest.Wait()
			}
			reconnect(selfMade(t, key, year1999, year1999.AddDate(0, 1, 0)))
			if s.logins != 2 || asked != 1 {
				t.Fatalf("%d logins, asked %d times", s.logins, asked)
			}
			lines := len(s.lines())
			reconnect(selfMade(t, newKey(t), year1999, year2001))
			select {
			case <-c.Done():
			default:
				t.Fatal("the client goes on")
			}
			var wrong *chatclient.ServerKeyError
			if err := c.Err(); !errors.Is(err, chatclient.ErrServerChanged) || !errors.As(err, &wrong) || wrong.Pinned == wrong.Fingerprint {
				t.Errorf("it ended with %v", err)
			}
			if more := s.lines()[lines:]; len(more) > 0 || asked != 1 {
				t.Errorf("asked %d times; the server was told %q", asked, more)
			}
		})
	}
}

// A person who takes long over the fingerprint finds the connection dead: the
// client dials again, and does not ask again.
func TestSlowTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		asked := 0
		cfg.TrustServer = func(context.Context, chatclient.UnknownServer) error {
			asked++
			time.Sleep(time.Hour)
			s.hangUp()
			return nil
		}
		if err := tryDial(t, cfg); err != nil || asked != 1 || s.logins != 1 {
			t.Errorf("asked %d times, %d logins, %v", asked, s.logins, err)
		}
	})
}

// What pins cannot tell is not guessed; what they cannot keep is kept in
// memory.
func TestPinsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.TrustServer = trustAll
		pins := &badPins{err: io.ErrUnexpectedEOF}
		cfg.Pins = pins
		if err := tryDial(t, cfg); !errors.Is(err, io.ErrUnexpectedEOF) || len(s.lines()) > 0 {
			t.Errorf("%v; the server was told %q", err, s.lines())
		}
		pins.err = nil
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.restart(newFar(t, selfMade(t, newKey(t), year1999, year2001)).tls)
		<-c.Done()
		if !errors.Is(c.Err(), chatclient.ErrServerChanged) {
			t.Error(c.Err())
		}
	})
}

type badPins struct{ err error }

func (p *badPins) Pin(string) (chatclient.Pin, bool, error) { return chatclient.Pin{}, false, p.err }
func (p *badPins) SetPin(string, chatclient.Pin) error      { return errors.New("the disk is full") }

// Another program may learn of the server while this one asks its person.
func TestPinsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		theirs := chatclient.Pin{Fingerprint: "sha256:" + strings.Repeat("ab", 32)}
		pins := pinMap{}
		cfg.Pins = pins
		cfg.TrustServer = func(context.Context, chatclient.UnknownServer) error { pins[farAddr] = theirs; return nil }
		if err := tryDial(t, cfg); err != nil || pins[farAddr] != theirs {
			t.Errorf("%v, %+v", err, pins)
		}
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrServerChanged) {
			t.Error(err)
		}
	})
}

// Where TLS is left out.
func TestCleartext(t *testing.T) {
	cert := func(t *testing.T) tls.Certificate { return selfMade(t, newKey(t), year1999, year2001) }
	tests := []struct {
		name      string
		addr      string
		cleartext chatclient.Cleartext
		given     bool // a fingerprint
		encrypted bool
	}{
		{"never", "192.0.2.1:8000", chatclient.CleartextNever, false, true},
		{"never, here", "127.0.0.1:8000", chatclient.CleartextNever, false, true},
		{"local", "192.0.2.1:8000", chatclient.CleartextLocal, false, true},
		{"local, IPv6", "[2001:db8::1]:8000", chatclient.CleartextLocal, false, true},
		{"local, here", "127.0.0.1:8000", chatclient.CleartextLocal, false, false},
		{"local, here, IPv6", "[::1]:8000", chatclient.CleartextLocal, false, false},
		{"local, here, mapped", "[::ffff:127.0.0.1]:8000", chatclient.CleartextLocal, false, false},
		{"local, here, and a key", "127.0.0.1:8000", chatclient.CleartextLocal, true, true},
		{"always", "192.0.2.1:8000", chatclient.CleartextAlways, false, false},
		{"always, here", "127.0.0.1:8000", chatclient.CleartextAlways, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert := cert(t)
				s := newFar(t, cert)
				s.clear = true
				cfg := farConfig(func(ctx context.Context) (net.Conn, error) {
					nc, err := s.dial(ctx)
					return remote{nc, test.addr}, err
				})
				cfg.Cleartext = test.cleartext
				cfg.TrustServer = trustAll
				if test.given {
					cfg.Fingerprint = fingerprint(cert)
				}
				if err := tryDial(t, cfg); err != nil {
					t.Fatal(err)
				}
				want := "mech=SCRAM-SHA-256 user=B data=n,,"
				if test.encrypted {
					want = "mech=SCRAM-SHA-256-PLUS user=B data=p="
				}
				if lines := s.lines(); !strings.Contains(lines[1], want) {
					t.Errorf("the server saw %q", lines)
				}
			})
		})
	}
}

// An application may speak TLS itself; the server is verified all the same.
func TestDialTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(func(ctx context.Context) (net.Conn, error) {
			nc, err := s.dial(ctx)
			return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), err
		})
		cfg.Cleartext = chatclient.CleartextAlways
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrServerUnknown) || len(s.lines()) > 0 {
			t.Errorf("%v; the server was told %q", err, s.lines())
		}
		cfg.Cleartext, cfg.Fingerprint = chatclient.CleartextNever, fingerprint(s.tls.Certificates[0])
		if err := tryDial(t, cfg); err != nil {
			t.Error(err)
		}
	})
}

// A server of another protocol is left; one that knows nothing of protocols
// is not.
func TestALPN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		s.tls.NextProtos = []string{"h2"}
		if err := tryDial(t, cfg); err == nil || len(s.lines()) > 0 {
			t.Errorf("%v; the server was told %q", err, s.lines())
		}
		s.tls.NextProtos = nil
		if err := tryDial(t, cfg); err != nil {
			t.Error(err)
		}
		s.tls.MinVersion, s.tls.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if err := tryDial(t, cfg); err == nil {
			t.Error("TLS 1.2 is taken")
		}
	})
}

// A server that does not finish the handshake is given up, and Dial heeds its
// context in the middle of it.
func TestTLSDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := farConfig(func(context.Context) (net.Conn, error) {
			client, end := net.Pipe()
			go io.Copy(io.Discard, end)
			return remote{client, farIP}, nil
		})
		began := time.Now()
		if err := tryDial(t, cfg); !isTimeout(err) || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := chatclient.Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// The end of TLS is said, so that a server can tell it from one that somebody
// else made.
func TestCloseNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		var end slowWriter
		cfg := farConfig(func(ctx context.Context) (net.Conn, error) {
			nc, err := s.dial(ctx)
			end.Conn = nc
			return &end, err
		})
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if len(end.last) != 24 || end.last[0] != 0x17 { // an alert, encrypted: 5 octets, 2 of alert, 1 of type, 16 of tag
			t.Errorf("the last that was sent is %x", end.last)
		}
	})
}

// A slowWriter takes a moment for each write, and keeps the last.
type slowWriter struct {
	net.Conn
	last []byte
}

func (c *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	n, err := c.Conn.Write(p)
	if err == nil {
		c.last = append([]byte(nil), p...)
	}
	return n, err
}

// Close does not wait for a server that reads nothing.
func TestCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		block := make(chan struct{})
		cfg := farConfig(func(ctx context.Context) (net.Conn, error) {
			nc, err := s.dial(ctx)
			return &blocking{nc, block}, err
		})
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		close(block)
		began := time.Now()
		c.Close()
		<-c.Done()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A blocking writes nothing any more once block is closed, until it is closed.
type blocking struct {
	net.Conn
	block chan struct{}
}

func (c *blocking) Write(p []byte) (int, error) {
	select {
	case <-c.block:
		return c.Conn.Read(make([]byte, 1)) // until the close, or the deadline
	default:
		return c.Conn.Write(p)
	}
}

// Who speaks the wrong one of TLS and cleartext is told so.
func TestWrongLanguage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alert := "\x15\x03\x03\x00\x02\x02\x0a" // unexpected_message; its last octet is an LF
		for _, test := range []struct {
			name      string
			cleartext chatclient.Cleartext
			dial      func(context.Context) (net.Conn, error)
			want      error
			text      string
		}{
			{"TLS, answered in text", chatclient.CleartextNever, answering("500 :Not a valid \x1bcommand\r\nGBYE\r\n"), chatclient.ErrNotTLS, `chat.example.com:8000 answered "500 :Not a valid ^[command"`},
			{"TLS, not answered", chatclient.CleartextNever, answering(""), chatclient.ErrNotTLS, "closed the connection without a word"},
			{"cleartext, answered in TLS", chatclient.CleartextAlways, answering(alert), chatclient.ErrTLSOnly, "CleartextNever"},
			{"cleartext, another alert", chatclient.CleartextAlways, answering("\x15\x03\x03\x00\x02\x02\x46"), chatclient.ErrTLSOnly, "CleartextNever"},
			{"cleartext, refused", chatclient.CleartextAlways, newFar(t, selfMade(t, newKey(t), year1999, year2001)).dial, nil, "CleartextNever"},
		} {
			cfg := farConfig(test.dial)
			cfg.Cleartext = test.cleartext
			err := tryDial(t, cfg)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: %v", test.name, err)
			}
			var bye *chatclient.GoodbyeError
			if test.want == nil && !errors.As(err, &bye) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

// A server that answers TLS in text for a while, as one does that is restarted
// without its certificate, is tried again.
func TestNotTLSForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		good := s.tls
		s.restart(nil)
		time.Sleep(time.Minute)
		s.restart(good)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.logins != 2 || c.Err() != nil {
			t.Errorf("%d logins, %v", s.logins, c.Err())
		}
		end(c)
	})
}

// A person is asked while they wait for Dial, not out of the blue.
func TestUnknownDuringReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		s.clear = true
		addr := "127.0.0.1:8000"
		cfg := farConfig(func(ctx context.Context) (net.Conn, error) {
			nc, err := s.dial(ctx)
			return remote{nc, addr}, err
		})
		cfg.Cleartext = chatclient.CleartextLocal
		cfg.TrustServer = func(context.Context, chatclient.UnknownServer) error { t.Error("asked"); return nil }
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(c) })
		addr = "192.0.2.1:8000"
		s.hangUp()
		time.Sleep(time.Hour)
		synctest.Wait()
		if !errors.Is(c.Err(), chatclient.ErrServerUnknown) {
			t.Errorf("the client ends with %v", c.Err())
		}
	})
}

// The time of a certificate is that of Config.TLS.
func TestTLSTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		cfg := farConfig(newFar(t, ca.sign(newKey(t), "chat.example.com", year1999, year2001)).dial)
		cfg.TLS = &tls.Config{RootCAs: ca.pool(), Time: func() time.Time { return year2001.AddDate(0, 0, 1) }}
		if err := tryDial(t, cfg); !errors.Is(err, chatclient.ErrServerUnknown) {
			t.Error(err)
		}
	})
}
