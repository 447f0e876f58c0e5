package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

const introduced = "C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\n"

// The dialler's numbers go on over all lines, and what is unanswered when one
// breaks is sent again on the next, in order, before anything new.
func TestPrivateResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		one := private(c, "one")
		synctest.Wait()
		two := private(c, "two")
		p := accept(t, ln, "C")
		p.play(introduced + "C: MESG n=1 :B: one\nC: MESG n=2 :B: two")
		synctest.Wait()
		three := private(c, "three")
		p.play("C: MESG n=3 :B: three\nS: 201 n=1\nS: <close>")
		q := accept(t, ln, "C")
		q.play(introduced + "C: MESG n=2 :B: two\nC: MESG n=3 :B: three\nS: 451 n=2\nS: 455 n=3")
		if p.saw[0] != q.saw[0] {
			t.Errorf("the origins are %s and %s", p.saw[0], q.saw[0])
		}
		if r := <-one; r.err != nil || r.How != chatclient.Delivered || fmt.Sprintf("%x.1", r.ID.Origin) != p.saw[0]+".1" || r.ID.N != 1 {
			t.Errorf("got %+v", r)
		}
		// Sent twice: a refusal does not prove that it was not taken.
		if r := <-two; !errors.Is(r.err, chatclient.ErrUnknown) || !errors.Is(r.err, chatproto.ErrInternal) {
			t.Errorf("got %+v", r)
		}
		if r := <-three; !errors.Is(r.err, chatclient.ErrUnknown) {
			t.Errorf("got %+v", r)
		}
		four := private(c, "four")
		q.play("C: MESG n=4 :B: four\nS: 451 n=4")
		if r := <-four; !errors.Is(r.err, chatproto.ErrInternal) || errors.Is(r.err, chatclient.ErrUnknown) {
			t.Errorf("got %+v", r)
		}
		q.play("S: <close>") // to be noticed, before the next
	})
}

// A line that cannot be opened again leaves what was sent unknown, and what
// was not sent unsent. One that breaks again and again is given up.
func TestPrivateNoWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		got := private(c, "one")
		p := accept(t, ln, "C")
		p.play(introduced + "C: MESG n=1 :B: one")
		ln.Close()
		p.play("S: <close>")
		if r := <-got; !errors.Is(r.err, chatclient.ErrUnknown) || !errors.Is(r.err, chatclient.ErrPeerGone) {
			t.Errorf("got %+v", r)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		begin := time.Now()
		got := private(c, "one")
		for range 3 {
			accept(t, ln, "C").play(introduced + "C: MESG n=1 :B: one\nS: <close>")
		}
		if r := <-got; !errors.Is(r.err, chatclient.ErrUnknown) || time.Since(begin) > 0 {
			t.Errorf("got %+v after %v", r, time.Since(begin))
		}
	})
}

// At most 256 numbers are unanswered, and a message that nobody waits for is
// not sent if it was not.
func TestPrivateWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		results := make([]<-chan sent, 256)
		for i := range results {
			results[i] = private(c, fmt.Sprint(i+1))
			synctest.Wait() // they are numbered in this order
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := async(func() error { _, err := c.Private(ctx, "C", "one too many"); return err })
		synctest.Wait()
		late := private(c, "257")
		synctest.Wait()
		p := accept(t, ln, "C")
		p.play(introduced)
		for i := range 256 {
			p.play(fmt.Sprintf("C: MESG n=%d :B: %d", i+1, i+1))
		}
		p.silent(time.Second)
		cancel()
		if err := <-over; err != context.Canceled {
			t.Error(err)
		}
		p.play("S: 201 n=1\nC: MESG n=257 :B: 257\nS: 201 n=2-257")
		for _, r := range append(results, late) {
			if got := <-r; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

// A caller who goes leaves a message unknown if it was sent, and takes it
// back if not.
func TestPrivateCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		c, _, ln := asker(t, s, n, "127.0.0.1")
		call := func(text string) (context.CancelFunc, <-chan error) {
			ctx, cancel := context.WithCancel(t.Context())
			return cancel, async(func() error { _, err := c.Private(ctx, "C", text); return err })
		}
		cancel, got := call("one")
		synctest.Wait() // it dials
		cancel()
		if err := <-got; err != context.Canceled {
			t.Error(err)
		}
		cancel, got = call("two")
		p := accept(t, ln, "C")
		p.play(introduced + "C: MESG n=2 :B: two")
		cancel()
		if err := <-got; !errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		cancel, got = call("three")
		defer cancel()
		p.play("C: MESG n=3 :B: three\nS: <close>")
		accept(t, ln, "C").play(introduced + "C: MESG n=3 :B: three\nS: 201 n=3") // two is not sent again
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// An acceptor that answers what was not asked is hung up on.
func TestPrivateWrongAnswers(t *testing.T) {
	for _, answer := range []string{"201 n=2", "201", "201 n=1-2", "MESG n=1 :C: back", "SEND n=1 to=B :x", "201 n=0"} {
		synctest.Test(t, func(t *testing.T) {
			s, n := newServer(t), newPeerNet()
			c, _, ln := asker(t, s, n, "127.0.0.1")
			got := private(c, "one")
			p := accept(t, ln, "C")
			p.play(introduced + "C: MESG n=1 :B: one")
			fmt.Fprintf(p.nc, "%s\r\n", answer)
			ln.Close()
			p.play("C: <close>")
			if r := <-got; !errors.Is(r.err, chatclient.ErrUnknown) {
				t.Errorf("%s: %+v", answer, r)
			}
		})
	}
}

// Of several places the first that answers as it should is taken, also when
// another does not answer at all.
func TestPrivatePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		cfg := s.config()
		cfg.Identity = identityOf(t, "B")
		var mu sync.Mutex
		var dialled []string
		cfg.PeerNetwork(nil, func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, addr)
			mu.Unlock()
			switch addr {
			case "198.51.100.7:28403":
				<-ctx.Done() // a firewall
				return nil, ctx.Err()
			case "192.168.1.7:28403":
				return nil, errors.New("no route to host")
			}
			return n.dial(ctx, network, addr)
		})
		c, l := s.login(cfg)
		wrong, _ := n.listen("tcp", "") // at 28403: somebody else's machine has this address, too
		ln, _ := n.listen("tcp", "")    // at 28404
		n.mu.Lock()
		n.at["[2001:db8::7]:28403"], n.at["[2001:db8::8]:28404"] = n.at["127.0.0.1:28403"], n.at["127.0.0.1:28404"]
		n.mu.Unlock()
		l.play("S: GETA user=C addr=198.51.100.7 port=28403 ttl=600000 key=" + keyOf(t, "C") +
			" cand=169.254.169.254:28403,192.168.1.7:28403,[2001:db8::7]:28403,127.0.0.1:28404,[2001:db8::8]:28404")
		synctest.Wait()
		begin := time.Now()
		go func() {
			p := accept(t, wrong, "M")
			p.nc.Read(make([]byte, 1))
			p.nc.Close()
		}()
		got := private(c, "one")
		accept(t, ln, "C").play(introduced + "C: MESG n=1 :B: one\nS: 201 n=1")
		if r := <-got; r.err != nil || time.Since(begin) > 2*time.Second {
			t.Errorf("%v after %v", r.err, time.Since(begin))
		}
		// Its server is on this machine, so loopback may be dialled, and is.
		if want := []string{"198.51.100.7:28403", "192.168.1.7:28403", "[2001:db8::7]:28403", "127.0.0.1:28404"}; !slices.Equal(dialled, want) {
			t.Errorf("dialled %q", dialled)
		}
	})
}

// Other places are told to the server, less what nobody may be sent to.
func TestPeerAddrs(t *testing.T) {
	for _, test := range []struct{ server, cand string }{
		{"127.0.0.1:8000", " cand=192.0.2.1:4000,*,127.0.0.1:28403"},
		{"192.0.2.9:8000", " cand=192.0.2.1:4000,*"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, n := newServer(t), newPeerNet()
			cfg := s.config()
			n.use(&cfg)
			cfg.Cleartext = chatclient.CleartextAlways
			cfg.Dial = func(ctx context.Context) (net.Conn, error) {
				nc, err := s.dial(ctx)
				return remote{nc, test.server}, err
			}
			cfg.PeerAddrs = []string{"192.0.2.1:4000", "2001:db8::1", "127.0.0.1"}
			cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
			_, l := s.loginScram(cfg)
			l.play("C: LSTN n=1 port=28403 key=* sig=*" + test.cand + "\nS: 200 n=1")
			if got := l.saw[len(l.saw)-1]; got != "[2001:db8::1]:28403" {
				t.Errorf("got %s", got)
			}
		})
	}
	for _, bad := range []string{"localhost", "192.0.2.1:80", "169.254.169.254", "0.0.0.0", "", "224.0.0.1:4000"} {
		cfg := chatclient.Config{Addr: "127.0.0.1:1", User: "B", Password: "secret", PeerAddrs: []string{bad}}
		if _, err := chatclient.Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "PeerAddrs") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What the interfaces of this machine have is its own matter, but no
	// address of it may be one that others cannot be sent to.
	synctest.Test(t, func(t *testing.T) {
		s, n := newServer(t), newPeerNet()
		cfg := s.config()
		n.use(&cfg)
		cfg.PeerAddrs = []string{chatclient.PeerInterfaces}
		cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
		_, l := s.login(cfg)
		if line := l.read(); !strings.HasPrefix(line, "LSTN n=1 port=28403 key=") || strings.Contains(line, "127.0.0.1") || strings.Contains(line, "fe80") {
			t.Errorf("got %q", line)
		}
	})
}

// receiver logs in B with a state file, and A's line to it.
func receiver(t *testing.T, s *server, n *peerNet, file *chatclient.StateFile, resumes bool, texts *[]string) (*chatclient.Client, *link) {
	cfg := s.config()
	n.use(&cfg)
	cfg.Identity, cfg.StateFile = identityOf(t, "B"), file
	cfg.Callbacks.OnPrivate = func(_ context.Context, m chatclient.PrivateMessage) error {
		if strings.HasPrefix(m.Text, "fail") {
			return errors.New("cannot take it")
		}
		*texts = append(*texts, m.Text)
		return nil
	}
	done := async(func() *chatclient.Client {
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		return c
	})
	l := s.link()
	if resumes {
		l.play(hello + "S: 230 user=B new=1 known=1 high=0 mail=0")
	} else {
		l.play(welcomed)
	}
	l.play(fmt.Sprintf("C: LSTN n=* port=%d key=* sig=*", 28402+n.ports))
	tag := l.saw[len(l.saw)-3]
	l.play("S: 200 n=" + tag)
	c := <-done
	next := 0
	fmt.Sscan(tag, &next)
	consent(t, c, l, next+1, "A")
	return c, l
}

// An acceptor decides a message once, over all lines and, with a state file,
// all lives of its program: nothing is shown twice, and what it refused is not
// called taken.
func TestPrivateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state")
		s, n := newServer(t), newPeerNet()
		var texts []string
		file, err := chatclient.OpenStateFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := receiver(t, s, n, file, false, &texts)
		const peer = "S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1\n"
		n.link(t, 28403, "A").play(peer + `
			S: MESG n=3 :A: three
			C: 201 n=3
			S: MESG n=4 :A: fail
			C: 451 n=4 :Internal server error. Please try again later
			S: MESG n=4 :A: failed
			C: 455 n=4 :Refused earlier
			S: MESG n=5 :A: five
			C: 201 n=5
			S: MESG n=5 :A: five
			C: 201 n=5
			S: <close>`)
		n.link(t, 28403, "A").play(peer + `
			S: MESG n=1 :A: late
			C: 455 n=1 :Refused earlier
			S: MESG n=3 :A: three
			C: 201 n=3
			S: MESG n=4 :A: fail
			C: 455 n=4 :Refused earlier
			S: MESG n=5 :A: five
			C: 201 n=5
			S: <close>`)
		n.link(t, 28403, "A").play("S: PEER v=1 from=A to=B origin=5eef\nC: 220 v=1\nS: MESG n=1 :A: another life\nC: 201 n=1\nS: <close>")
		if want := []string{"three", "five", "another life"}; !slices.Equal(texts, want) {
			t.Errorf("shown %q", texts)
		}
		// Killed: the next one has the file as it was when 201 was said.
		copied := path + ".killed"
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(copied, raw, 0o600)
		end(c)
		file.Close()
		file, err = chatclient.OpenStateFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		texts = nil
		c, _ = receiver(t, s, n, file, true, &texts)
		p := n.link(t, 28404, "A")
		p.play(peer + `
			S: MESG n=3 :A: three
			C: 455 n=3 :Refused earlier
			S: MESG n=5 :A: five
			C: 201 n=5
			S: MESG n=6 :A: six
			C: 201 n=6
			S: MESG n=5 :A: five
			C: 201 n=5`)
		if want := []string{"six"}; !slices.Equal(texts, want) {
			t.Errorf("shown %q", texts)
		}
		end(c)
	})
}

// 201 is not said of a message before it is noted: whoever sends it again, to
// a program that was killed, must not have it shown again.
func TestPrivateNotedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state")
		s, n := newServer(t), newPeerNet()
		var texts []string
		file, err := chatclient.OpenStateFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := receiver(t, s, n, file, false, &texts)
		p := n.link(t, 28403, "A")
		p.play("S: PEER v=1 from=A to=B origin=5eed\nC: 220 v=1")
		for i := range 20 {
			p.play(fmt.Sprintf("S: MESG n=%d :A: x\nC: 201 n=%d", i+1, i+1))
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copied := fmt.Sprint(path, i)
			os.WriteFile(copied, raw, 0o600)
			again, err := chatclient.OpenStateFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			if again.Fresh("line A", chatproto.ID{Origin: 0x5eed, N: uint64(i + 1)}) {
				t.Errorf("%d was answered and is not noted", i+1)
			}
			again.Close()
		}
		end(c)
		file.Close()
	})
}
