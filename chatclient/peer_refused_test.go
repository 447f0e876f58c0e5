package chatclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// Whoever knows address and port, and is not who was consented to, is heard
// by nobody: not a word that they say, and no word to them.
func TestStrangersAreNotHeard(t *testing.T) {
	certificate := func(user string) []tls.Certificate { return lineTLS(t, user).Certificates }
	alpn := []string{handshake.PeerALPN}
	strangers := map[string]*tls.Config{
		"no key at all":          {InsecureSkipVerify: true, NextProtos: alpn},
		"another key":            {InsecureSkipVerify: true, NextProtos: alpn, Certificates: certificate("M")},
		"the listener's own key": {InsecureSkipVerify: true, NextProtos: alpn, Certificates: certificate("B")},
		"no protocol":            {InsecureSkipVerify: true, Certificates: certificate("A")},
		"the server's protocol":  {InsecureSkipVerify: true, NextProtos: []string{handshake.ALPN}, Certificates: certificate("A")},
		"an older TLS":           {InsecureSkipVerify: true, NextProtos: alpn, Certificates: certificate("A"), MaxVersion: tls.VersionTLS12},
		"a certificate of A, key of M": {InsecureSkipVerify: true, NextProtos: alpn, Certificates: []tls.Certificate{
			{Certificate: identityOf(t, "A").Certificate().Certificate, PrivateKey: identityOf(t, "M").Certificate().PrivateKey}}},
	}
	const said = "PEER v=1 from=A to=B origin=5eed\r\nMESG n=1 :A: let me in\r\n"
	for name, cfg := range strangers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, l, texts := owner(t, s, n)
				consent(t, c, l, 2, "A")
				nc := tls.Client(n.connect(t, 28403), cfg)
				nc.SetDeadline(time.Now().Add(time.Minute))
				io.WriteString(nc, said)
				if got, err := io.ReadAll(nc); len(got) > 0 || isTimeout(err) {
					t.Errorf("is answered %q (%v)", got, err)
				}
				if len(texts) > 0 {
					t.Errorf("is heard: %q", <-texts)
				}
				n.link(t, 28403, "A").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1") // who may, may still
			})
		})
	}
	for name, bytes := range map[string]string{"a web page": "GET / HTTP/1.1\r\n\r\n", "text": said, "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, n := newServer(t), newPeerNet()
				c, l, texts := owner(t, s, n)
				consent(t, c, l, 2, "A")
				nc := n.connect(t, 28403)
				begin := time.Now()
				io.WriteString(nc, bytes)
				got, _ := io.ReadAll(nc)
				if strings.ContainsAny(string(got), "BEGP25") || len(texts) > 0 || time.Since(begin) > 5*time.Second {
					t.Errorf("is answered %q after %v", got, time.Since(begin))
				}
			})
		})
	}
}

// Without a consent in force nobody is even shaken hands with.
func TestNobodyExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		_, l, _ := owner(t, s, n)
		l.play("S: RQST user=A key=" + keyOf(t, "A"))
		synctest.Wait()
		nc := n.connect(t, 28403)
		begin := time.Now()
		if got, err := io.ReadAll(nc); len(got) > 0 || err != nil || time.Since(begin) > 0 {
			t.Errorf("got %q (%v) after %v", got, err, time.Since(begin))
		}
	})
}

// Who may write may do so under their own name.
func TestNameOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, texts := owner(t, s, n)
		consent(t, c, l, 2, "A")
		consent(t, c, l, 3, "C")
		n.link(t, 28403, "C").play("S: PEER v=1 from=A to=B origin=5eed\nC: 553 :No consent to a private chat\nC: <close>")
		n.link(t, 28403, "C").play("S: PEER v=1 from=C to=B origin=5eed\nC: 220 v=1\nS: MESG n=1 :A: forged\nC: 501 :A field is missing or wrong\nC: <close>")
		if len(texts) > 0 {
			t.Errorf("got %q", <-texts)
		}
	})
}

// The consent is to the key of the request, before its answer is here; and to
// that of the answer, when it is.
func TestConsentIsToAKey(t *testing.T) {
	for _, dialled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, n := newServer(t), newPeerNet()
			c, l, _ := owner(t, s, n)
			l.play("S: RQST user=A key=" + keyOf(t, "A"))
			synctest.Wait()
			done := async(func() error { return c.Consent(t.Context(), "A") })
			l.play("C: CNST n=2 user=A")
			n.refused(t, 28403, "C")
			answer := "S: 200 n=2 key=" + keyOf(t, "C") + " ttl=600000" // another A has asked meanwhile
			if !dialled {
				l.play(answer)
				if err := <-done; err != nil {
					t.Error(err)
				}
				n.refused(t, 28403, "A")
				n.link(t, 28403, "C").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
				return
			}
			p := n.link(t, 28403, "A")
			p.play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
			l.play(answer + "\nC: RVKE n=3 user=A\nS: 200 n=3") // and is not the one who was here
			if err := <-done; !errors.Is(err, chatclient.ErrPeerKeyChanged) {
				t.Error(err)
			}
			p.play("C: <close>")
			n.refused(t, 28403, "A")
			n.refused(t, 28403, "C")
		})
	}
}

// A consent that was taken back before its answer came stays taken back.
func TestRevokedBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		l.play("S: RQST user=A key=" + keyOf(t, "A"))
		synctest.Wait()
		done := async(func() error { return c.Consent(t.Context(), "A") })
		l.play("C: CNST n=2 user=A")
		revoked := async(func() error { return c.Revoke(t.Context(), "A") })
		l.play("C: RVKE n=3 user=A\nS: 200 n=2 key=" + keyOf(t, "A") + " ttl=600000")
		<-done
		n.refused(t, 28403, "A")
		l.play("S: 200 n=3")
		<-revoked
	})
}

// A tap copies what passes on a connection.
type tap struct {
	net.Conn
	mu          *sync.Mutex
	read, wrote *bytes.Buffer
}

func newTap(nc net.Conn) *tap {
	return &tap{nc, new(sync.Mutex), new(bytes.Buffer), new(bytes.Buffer)}
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.wrote.Write(p)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// pairOfClients logs in two real clients, B and C, who play on one network:
// B may write to C.
func pairOfClients(t *testing.T, n *peerNet, wire func(net.Conn) net.Conn) (b *chatclient.Client, texts chan string) {
	sc := newServer(t)
	cfg := sc.config()
	n.use(&cfg)
	cfg.User, cfg.Identity = "C", identityOf(t, "C")
	texts = make(chan string, 100)
	cfg.Callbacks.OnPrivate = func(_ context.Context, m chatclient.PrivateMessage) error {
		texts <- m.From + " " + m.Text
		return nil
	}
	login := async(func() *chatclient.Client {
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		return c
	})
	lc := sc.link()
	lc.play(strings.ReplaceAll(welcomed, "user=B", "user=C") + "C: LSTN n=1 port=28403 key=* sig=*\nS: 200 n=1\nS: RQST user=B key=" + keyOf(t, "B"))
	c := <-login
	t.Cleanup(func() { end(c) })
	consent(t, c, lc, 2, "B")

	sb := newServer(t)
	cfg = sb.config()
	cfg.Identity = identityOf(t, "B")
	cfg.PeerNetwork(n.listen, func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := n.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wire(nc), nil
	})
	b, lb := sb.login(cfg)
	lb.play("S: GETA user=C addr=127.0.0.1 port=28403 ttl=600000 key=" + keyOf(t, "C"))
	synctest.Wait()
	if x, err := b.SafetyNumber("C"); err != nil || x == "" {
		t.Error(err)
	} else if y, err := c.SafetyNumber("B"); err != nil || x != y {
		t.Errorf("%q and %q (%v)", x, y, err)
	}
	return b, texts
}

// Who stands on the path sees neither what is said nor who says it, and can
// do nothing with what he saw.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPeerNet()
		var seen *tap
		b, texts := pairOfClients(t, n, func(nc net.Conn) net.Conn { seen = newTap(nc); return seen })
		secret := "the password is swordfish"
		if _, err := b.Private(t.Context(), "C", secret); err != nil {
			t.Fatal(err)
		}
		if got := <-texts; got != "B "+secret {
			t.Errorf("got %q", got)
		}
		seen.mu.Lock()
		sent, received := seen.wrote.Bytes(), seen.read.Bytes()
		seen.mu.Unlock()
		if len(sent) < 500 || len(received) < 500 {
			t.Errorf("saw %d and %d octets", len(sent), len(received))
		}
		for _, word := range []string{"swordfish", "PEER", "MESG", "from=", "201 n="} {
			if bytes.Contains(sent, []byte(word)) || bytes.Contains(received, []byte(word)) {
				t.Errorf("sees %q", word)
			}
		}
		// The same octets again open nothing.
		nc := n.connect(t, 28403)
		go nc.Write(sent)
		nc.SetReadDeadline(time.Now().Add(time.Minute))
		got, err := io.ReadAll(nc)
		if isTimeout(err) || bytes.Contains(got, []byte("201")) {
			t.Errorf("got %q (%v)", got, err)
		}
		synctest.Wait()
		if len(texts) > 0 {
			t.Errorf("heard again: %q", <-texts)
		}
	})
}

// A handshake that comes back to its sender is not taken for another's.
func TestReflection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, texts := owner(t, s, n) // B listens at 28403
		consent(t, c, l, 2, "A")
		l.play("S: GETA user=C addr=127.0.0.1 port=28404 ttl=600000 key=" + keyOf(t, "C"))
		synctest.Wait()
		ln, _ := n.listen("tcp", "") // at 28404
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			back := n.connect(t, 28403)
			go func() { io.Copy(back, nc); back.Close() }()
			io.Copy(nc, back)
			nc.Close()
		}()
		if _, err := c.Private(t.Context(), "C", "x"); !errors.Is(err, chatclient.ErrPeerGone) || errors.Is(err, chatclient.ErrUnknown) || !strings.Contains(err.Error(), "another key") {
			t.Error(err)
		}
		ln.Close()
		if len(texts) > 0 {
			t.Errorf("hears itself: %q", <-texts)
		}
	})
}

// Whoever answers at the address with another key hears nothing.
func TestImpostor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		got := private(c, "the password is swordfish")
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		seen := newTap(nc)
		impostor := tls.Server(seen, lineTLS(t, "M"))
		heard, err := io.ReadAll(impostor)
		if len(heard) > 0 || err == nil || bytes.Contains(seen.read.Bytes(), []byte("swordfish")) {
			t.Errorf("hears %q (%v)", heard, err)
		}
		nc.Close()
		if r := <-got; !errors.Is(r.err, chatclient.ErrPeerGone) || errors.Is(r.err, chatclient.ErrUnknown) {
			t.Error(r.err)
		}
	})
}

// A server that names another key for a peer who was seen before cannot make
// a client consent, dial or listen until its user has accepted the key.
func TestPeerKeyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		cfg := s.config()
		n.use(&cfg)
		cfg.Identity = identityOf(t, "B")
		keys := memoryKeys{}
		cfg.Peers = keys
		changes := make(chan chatclient.PeerKeyChange, 10)
		cfg.Callbacks.OnPeerKeyChanged = func(_ context.Context, k chatclient.PeerKeyChange) { changes <- k }
		cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
		c, l := s.login(cfg)
		l.play("C: LSTN n=1 port=28403 key=* sig=*\nS: 200 n=1\nS: RQST user=A key=" + keyOf(t, "A"))
		consent(t, c, l, 2, "A")
		if len(keys) != 0 {
			t.Error("a key that nobody has proved is kept")
		}
		n.link(t, 28403, "A").play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
		if keys["A"] != keyOf(t, "A") {
			t.Errorf("kept: %v", keys)
		}
		before, _ := c.SafetyNumber("A")

		l.play("S: RVKD user=A owner=B why=gone\nS: RQST user=A key=" + keyOf(t, "M"))
		k := <-changes
		after, _ := c.SafetyNumber("A")
		if k.User != "A" || k.Old != keyOf(t, "A") || k.New != keyOf(t, "M") || k.OldNumber != before || k.NewNumber != after || before == after {
			t.Errorf("got %+v", k)
		}
		err := c.Consent(t.Context(), "A") // and nothing goes to the server
		var e *chatclient.PeerKeyError
		if !errors.Is(err, chatclient.ErrPeerKeyChanged) || !errors.As(err, &e) || e.User != "A" || e.New != keyOf(t, "M") {
			t.Error(err)
		}
		n.refused(t, 28403, "M")

		ln, _ := n.listen("tcp", "") // at 28404
		l.play("S: GETA user=A addr=127.0.0.1 port=28404 ttl=600000 key=" + keyOf(t, "M"))
		synctest.Wait()
		if _, err := c.Private(t.Context(), "A", "x"); !errors.Is(err, chatclient.ErrPeerKeyChanged) {
			t.Error(err)
		}
		if len(changes) > 0 {
			t.Errorf("told twice: %+v", <-changes)
		}
		if err := c.AcceptPeerKey("C"); err == nil {
			t.Error("accepts what has not changed")
		}
		if err := c.AcceptPeerKey("A"); err != nil || keys["A"] != keyOf(t, "M") {
			t.Errorf("%v, kept: %v", err, keys)
		}
		got := async(func() error { _, err := c.Private(t.Context(), "A", "x"); return err })
		accept(t, ln, "M").play("C: PEER v=1 from=B to=A origin=*\nS: 220 v=1\nC: MESG n=1 :B: x\nS: 201 n=1")
		if err := <-got; err != nil {
			t.Error(err)
		}
		consent(t, c, l, 3, "M")
	})
}

// The answer to a consent may be the first to name another key.
func TestPeerKeyChangedInTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		cfg := s.config()
		n.use(&cfg)
		cfg.Peers = memoryKeys{"A": keyOf(t, "A")}
		cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
		c, l := s.login(cfg)
		l.play("C: LSTN n=1 port=28403 key=* sig=*\nS: 200 n=1")
		done := async(func() error { return c.Consent(t.Context(), "A") })
		l.play("C: CNST n=2 user=A\nS: 200 n=2 key=" + keyOf(t, "M") + " ttl=600000\nC: RVKE n=3 user=A\nS: 200 n=3")
		if err := <-done; !errors.Is(err, chatclient.ErrPeerKeyChanged) {
			t.Error(err)
		}
		n.refused(t, 28403, "M")
	})
}

type memoryKeys map[string]string

func (m memoryKeys) Load(string) (map[string]string, error) { return m, nil }
func (m memoryKeys) Save(_, user, key string) error         { m[user] = key; return nil }

// A stranger costs one handshake at most, for so long and no longer.
func TestSlowStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, l, _ := owner(t, s, n)
		consent(t, c, l, 2, "A")
		begin := time.Now()
		nc := n.connect(t, 28403)
		go func() { // a record that never ends
			nc.Write([]byte{22, 3, 1, 0x40, 0})
			for range 20 {
				if _, err := nc.Write([]byte{1}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		io.Copy(io.Discard, nc)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("is kept for %v", took)
		}
		nc.Close()
		// Also one that is through with the handshake and says nothing.
		begin = time.Now()
		p := n.link(t, 28403, "A")
		p.play("C: <close>")
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("is kept for %v", took)
		}
	})
}
