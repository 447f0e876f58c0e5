package chatclient_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatclient/internal/crashfs"
	"github.com/parleyproto/parley/chatproto"
)

// A keptPrivate is a client with a state file, in a private chat with C, whom
// the test plays.
type keptPrivate struct {
	s  *server
	n  *peerNet
	ln net.Listener
	fs *crashfs.FS
	c  *chatclient.Client
	l  *link // to the server
}

func (k *keptPrivate) config(t *testing.T) chatclient.Config {
	cfg := k.s.config()
	k.n.use(&cfg)
	cfg.Identity = identityOf(t, "B")
	cfg.StateFile = stateOn(t, k.fs)
	return cfg
}

func newKeptPrivate(t *testing.T) *keptPrivate {
	k := &keptPrivate{s: newServer(t), n: newPeerNet(), fs: &crashfs.FS{}}
	k.ln, _ = k.n.listen("tcp", "")
	k.c, k.l = k.s.login(k.config(t))
	k.l.play("S: GETA user=C addr=127.0.0.1 port=28403 ttl=600000 key=" + keyOf(t, "C"))
	synctest.Wait()
	return k
}

// begin sends two messages, of which C answers none, and returns the line.
func (k *keptPrivate) begin(t *testing.T) *link {
	private(k.c, "one")
	synctest.Wait()
	private(k.c, "two")
	p := accept(t, k.ln, "C")
	p.play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: one\nC: MESG n=2 :B: two")
	return p
}

// again kills the program, and starts it with what the server answers to
// AUTH.
func (k *keptPrivate) again(t *testing.T, script string) <-chan chatclient.Outcome {
	t.Helper()
	next := k.fs.Killed()
	end(k.c)
	k.fs = next
	outcomes := make(chan chatclient.Outcome, 10)
	cfg := k.config(t)
	cfg.Callbacks.OnOutcome = func(_ context.Context, o chatclient.Outcome) { outcomes <- o }
	d := dial(t, cfg)
	k.l = k.s.link()
	k.l.play(script)
	got := <-d
	if got.err != nil {
		t.Fatal(got.err)
	}
	k.c = got.c
	t.Cleanup(func() { end(k.c) })
	return outcomes
}

const goesOn = "S: 230 user=B new=0 known=1 high=0 mail=0"

// outcome expects what became of a message.
func outcome(t *testing.T, outcomes <-chan chatclient.Outcome, text string, want error) {
	t.Helper()
	select {
	case o := <-outcomes:
		if o.Text != text || o.To != "C" || !o.Private || o.Broadcast || !errors.Is(o.Err, want) || (want == nil) != (o.How == chatclient.Delivered) {
			t.Errorf("%+v, want %s: %v", o, text, want)
		}
	case <-time.After(time.Hour):
		t.Errorf("nothing is told of %s", text)
	}
}

// A program that comes back while its session lasts sends what it left under
// the old numbers and origin, before anything new. A refusal proves nothing
// then.
func TestPrivateKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		p := k.begin(t)
		outcomes := k.again(t, as(hello, " known=1")+goesOn)
		fresh := private(k.c, "three")
		p2 := accept(t, k.ln, "C")
		p2.play(`
			C: PEER v=1 from=B to=C origin=` + p.saw[0] + `
			S: 220 v=1
			C: MESG n=1 :B: one
			C: MESG n=2 :B: two
			C: MESG n=3 :B: three
			S: 201 n=1
			S: 451 n=2 :Internal server error. Please try again later
			S: 201 n=3`)
		outcome(t, outcomes, "one", nil)
		outcome(t, outcomes, "two", chatclient.ErrUnknown)
		if r := <-fresh; r.err != nil {
			t.Error(r.err)
		}
		synctest.Wait()
		outcomes = k.again(t, as(hello, " known=1")+goesOn)
		time.Sleep(time.Second)
		if len(outcomes) > 0 {
			t.Errorf("told again: %+v", <-outcomes)
		}
	})
}

// What cannot be sent again is told to be unknown, and nobody is dialled, or
// asked for a consent.
func TestPrivateKeptInVain(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		after  time.Duration
	}{
		"another session":    {script: as(hello, " known=1") + "S: 230 user=B new=1 known=1 high=0 mail=0"},
		"another server run": {script: strings.Replace(as(hello, " known=1"), "boot=9c", "boot=9d", 1) + goesOn},
		"consent expired":    {script: as(hello, " known=1") + goesOn, after: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeptPrivate(t)
				k.begin(t)
				next := k.fs.Killed()
				end(k.c)
				time.Sleep(test.after)
				k.fs = next
				outcomes := k.again(t, test.script)
				outcome(t, outcomes, "one", chatclient.ErrUnknown)
				outcome(t, outcomes, "two", chatclient.ErrUnknown)
				if _, err := k.c.Private(t.Context(), "C", "three"); !errors.Is(err, chatclient.ErrNoConsent) {
					t.Error(err)
				}
				k.l.silent(10 * time.Second)
			})
		})
	}
}

// A consent that ended while the program was away is told by the server after
// the login (SPEC section 8.2).
func TestPrivateKeptRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		k.begin(t)
		outcomes := k.again(t, as(hello, " known=1")+goesOn+"\nS: RVKD user=C owner=C why=revoked")
		outcome(t, outcomes, "one", chatclient.ErrUnknown)
		outcome(t, outcomes, "two", chatclient.ErrUnknown)
	})
}

// An outcome that was learnt and not told is told by the next program, which
// sends nothing again; a message of which nothing was learnt is still sent.
func TestPrivateKeptUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		p := k.begin(t)
		next := k.fs.Killed()
		end(k.c)
		k.fs = next
		block := make(chan struct{})
		cfg := k.config(t)
		cfg.Callbacks.OnOutcome = func(context.Context, chatclient.Outcome) { <-block } // it dies in here
		d := dial(t, cfg)
		k.s.link().play(as(hello, " known=1") + goesOn)
		k.c = (<-d).c
		accept(t, k.ln, "C").play("C: PEER v=1 from=B to=C origin=" + p.saw[0] + "\nS: 220 v=1\nC: MESG n=1 :B: one\nC: MESG n=2 :B: two\nS: 201 n=1")
		time.Sleep(time.Second)
		next = k.fs.Killed()
		close(block)
		end(k.c)
		k.fs = next
		outcomes := k.again(t, as(hello, " known=1")+goesOn)
		outcome(t, outcomes, "one", nil)
		accept(t, k.ln, "C").play("C: PEER v=1 from=B to=C origin=" + p.saw[0] + "\nS: 220 v=1\nC: MESG n=2 :B: two\nS: 201 n=2")
		outcome(t, outcomes, "two", nil)
	})
}

// What a program left that ended before its messages were answered is told
// once: by Private, or by the next program, not by both.
func TestPrivateKeptClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		got := private(k.c, "one")
		p := accept(t, k.ln, "C")
		p.play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: one")
		end(k.c)
		if r := <-got; !errors.Is(r.err, chatclient.ErrUnknown) || !errors.Is(r.err, chatclient.ErrClosed) || errors.Is(r.err, chatclient.ErrKept) {
			t.Error(r.err)
		}
		outcomes := k.again(t, as(hello, " known=1")+goesOn)
		time.Sleep(time.Second)
		if len(outcomes) > 0 {
			t.Errorf("told again: %+v", <-outcomes)
		}
	})
}

// That a message was not taken is told when the file says that it is not sent
// again: else the next program might send it all the same.
func TestPrivateKeptRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		k.fs.Step = func(string) error { time.Sleep(time.Millisecond); return nil }
		got := private(k.c, "no")
		accept(t, k.ln, "C").play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1\nC: MESG n=1 :B: no\nS: 451 n=1 :Internal server error. Please try again later")
		if r := <-got; !errors.Is(r.err, chatproto.ErrInternal) || errors.Is(r.err, chatclient.ErrUnknown) {
			t.Error(r.err)
		}
		if left := stateOn(t, k.fs.Killed()).Left(); left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}

// A message that was given up before it was sent is not sent by the next
// program.
func TestPrivateKeptWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := k.c.Private(ctx, "C", "never"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, chatclient.ErrUnknown) {
			t.Error(err)
		}
		outcomes := k.again(t, as(hello, " known=1")+goesOn)
		time.Sleep(time.Second)
		if len(outcomes) > 0 {
			t.Errorf("told: %+v", <-outcomes)
		}
	})
}

// A file that grew is written anew with what it keeps of private messages.
func TestPrivateKeptCompacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		p := k.begin(t)
		size := len(k.fs.Data("state"))
		big := strings.Repeat("x", 7000)
		for n := 1; len(k.fs.Data("state")) >= size; n++ {
			size = len(k.fs.Data("state"))
			got := send(k.c, "A", big)
			k.l.play("C: SEND n=" + itoa(n) + " to=A :" + big + "\nS: 201 n=" + itoa(n) + " how=stored")
			<-got
		}
		outcomes := k.again(t, strings.Replace(as(hello, " known=1")+goesOn, "high=0", "high=9", 1))
		accept(t, k.ln, "C").play("C: PEER v=1 from=B to=C origin=" + p.saw[0] + "\nS: 220 v=1\nC: MESG n=1 :B: one\nC: MESG n=2 :B: two\nS: 201 n=1-2")
		outcome(t, outcomes, "one", nil)
		outcome(t, outcomes, "two", nil)
	})
}

// A full disk: Private says so and sends nothing.
func TestPrivateDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptPrivate(t)
		go k.l.keepAlive()
		var full atomic.Bool
		k.fs.Step = func(what string) error {
			if full.Load() && (what == "write" || strings.HasPrefix(what, "open")) {
				return syscall.ENOSPC
			}
			return nil
		}
		full.Store(true)
		got := private(k.c, "lost")
		p := accept(t, k.ln, "C")
		p.play("C: PEER v=1 from=B to=C origin=*\nS: 220 v=1")
		if err := (<-got).err; !errors.Is(err, chatclient.ErrState) || errors.Is(err, chatclient.ErrUnknown) {
			t.Error(err)
		}
		full.Store(false)
		time.Sleep(time.Second)
		got = private(k.c, "sent")
		p.play("C: MESG n=2 :B: sent\nS: 201 n=2")
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if left := stateOn(t, k.fs.Killed()).Left(); left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}

// A file of the version before is read, and what it left is sent.
func TestStateOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		fs := &crashfs.FS{}
		cfg := s.config()
		cfg.StateFile = stateOn(t, fs)
		c, l := s.login(cfg)
		send(c, "A", "old")
		l.play("C: SEND n=1 to=A :old")
		data := fs.Data("state")
		fs.Killed()
		end(c)
		older := []byte("parleys\x00\x00\x00\x00\x01\x54\xc4\x6e\x93") // the header of version 1
		copy(data, older)
		next := &crashfs.FS{}
		next.Put("state", data)
		c, l, outcomes := s.again(t, next, "230 user=B new=0 known=1 high=0 mail=0")
		if strings.HasPrefix(string(next.Data("state")), string(older)) {
			t.Error("the file has its old version")
		}
		l.play("C: SEND n=1 to=A :old\nS: 201 n=1 how=stored")
		if o := <-outcomes; o.Err != nil || o.Private || o.ID != (chatproto.ID{Origin: l.origin(), N: 1}) {
			t.Errorf("%+v", o)
		}
		end(c)
	})
}
