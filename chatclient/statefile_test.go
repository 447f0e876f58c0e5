package chatclient_test

import (
	"context"
	"errors"
	"path/filepath"
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

func stateOn(t *testing.T, fs *crashfs.FS) *chatclient.StateFile {
	t.Helper()
	f, err := chatclient.OpenStateFileOn(fs, "state")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// again opens the file of a program that was killed, and logs in with what
// the server answers to AUTH. The outcomes of what was left come on the
// channel.
func (s *server) again(t *testing.T, fs *crashfs.FS, reply string) (*chatclient.Client, *link, <-chan chatclient.Outcome) {
	t.Helper()
	cfg := s.config()
	cfg.StateFile = stateOn(t, fs)
	outcomes := make(chan chatclient.Outcome, 10)
	cfg.Callbacks.OnOutcome = func(_ context.Context, o chatclient.Outcome) { outcomes <- o }
	d := dial(t, cfg)
	l := s.link()
	l.play(hello + "S: " + reply)
	got := <-d
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.c, l, outcomes
}

// What a killed program left is sent again under its numbers, before anything
// new, and its outcome told. A refusal counts only if the server cannot have
// decided otherwise before.
func TestOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		reply   string
		unknown bool // the refusal proves nothing
	}{
		"same server, which had not seen it": {"230 user=B new=0 known=1 high=1 mail=0", false},
		"same server, which had":             {"230 user=B new=0 known=1 high=3 mail=0", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				fs := &crashfs.FS{}
				cfg := s.config()
				cfg.StateFile = stateOn(t, fs)
				c, l := s.login(cfg)
				for _, text := range []string{"one", "two", "three"} {
					send(c, "A", text)
					synctest.Wait()
				}
				l.play("C: SEND n=1 to=A :one\nC: SEND n=2 to=A :two\nC: SEND n=3 to=A :three\nS: 201 n=1 how=stored")
				time.Sleep(time.Second) // the file knows of the answer
				next := fs.Killed()
				end(c)

				c, l2, outcomes := s.again(t, next, test.reply)
				l2.play("C: SEND n=2 to=A :two\nC: SEND n=3 to=A :three\nS: 201 n=2 how=delivered\nS: 553 n=3 :You are blocked by A")
				o := <-outcomes
				if o.Err != nil || o.Text != "two" || o.To != "A" || o.How != chatclient.Delivered || o.ID != (chatproto.ID{Origin: l.origin(), N: 2}) {
					t.Errorf("%+v", o)
				}
				o = <-outcomes
				if !errors.Is(o.Err, chatclient.ErrUnknown) == test.unknown || o.Text != "three" || !test.unknown && !errors.Is(o.Err, chatproto.ErrBlocked) {
					t.Errorf("%+v", o)
				}
				if l2.origin() != l.origin() {
					t.Error("the origin changed")
				}
				fresh := send(c, "A", "four")
				l2.play("C: SEND n=4 to=A :four\nS: 201 n=4 how=stored")
				if err := (<-fresh).err; err != nil {
					t.Error(err)
				}
				end(c)
			})
		})
	}
}

// A server that forgot the origin makes what was left unknown, also if the
// program dies before it has told so.
func TestStateForgotten(t *testing.T) {
	for name, reply := range map[string]string{
		"known=0": "230 user=B new=1 known=0 high=0 mail=0",
		"high":    "230 user=B new=1 known=1 high=99 mail=0",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				fs := &crashfs.FS{}
				cfg := s.config()
				cfg.StateFile = stateOn(t, fs)
				c, l := s.login(cfg)
				send(c, "A", "old")
				l.play("C: SEND n=1 to=A :old")
				next := fs.Killed()
				end(c)

				cfg.StateFile = stateOn(t, next)
				cfg.Callbacks.OnOutcome = func(context.Context, chatclient.Outcome) { t.Error("the dead were told") }
				died := dial(t, cfg)
				l2 := s.link()
				l2.play(as(hello, " known=1") + "S: " + reply + "\nC: QUIT")
				next = next.Killed()
				c, l3, outcomes := s.again(t, next, "230 user=B new=1 known=0 high=0 mail=0")
				if o := <-outcomes; !errors.Is(o.Err, chatclient.ErrUnknown) || o.Text != "old" || o.ID.Origin != l.origin() {
					t.Errorf("%+v", o)
				}
				fresh := send(c, "A", "new")
				l3.play("C: SEND n=1 to=A :new\nS: 201 n=1 how=stored")
				if err := (<-fresh).err; err != nil || l3.origin() == l.origin() {
					t.Error(err, l3.origin())
				}
				end(c)
				l2.play("S: 221")
				if (<-died).err == nil {
					t.Error("the dead are online")
				}
			})
		})
	}
}

// A full disk: Send says so and sends nothing, what was taken is not
// acknowledged, and all goes on when there is room again.
func TestStateDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		fs := &crashfs.FS{}
		var full atomic.Bool
		fs.Step = func(what string) error {
			if full.Load() && (what == "write" || strings.HasPrefix(what, "open")) {
				return syscall.ENOSPC
			}
			return nil
		}
		cfg := s.config()
		cfg.StateFile = stateOn(t, fs)
		var shown atomic.Int32
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { shown.Add(1); return nil }
		c, l := s.login(cfg)
		full.Store(true)
		for range 2 {
			err := (<-send(c, "A", "lost")).err
			if !errors.Is(err, chatclient.ErrState) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, chatclient.ErrUnknown) {
				t.Error(err)
			}
		}
		l.play("S: MESG from=A id=1.1 t=0 :A: x")
		l.silent(time.Minute / 4)
		full.Store(false)
		l.play("C: ACKD count=1")
		got := send(c, "A", "sent")
		l.play("C: SEND n=3 to=A :sent\nS: 201 n=3 how=stored")
		if err := (<-got).err; err != nil || shown.Load() != 1 {
			t.Error(err, shown.Load())
		}
		end(c)
		if err := cfg.StateFile.Close(); err != nil {
			t.Error(err)
		}
		if left := stateOn(t, fs).Left(); left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}

// A message that is still unanswered when the client is closed is kept, and
// said to be.
func TestStateKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		fs := &crashfs.FS{}
		cfg := s.config()
		cfg.StateFile = stateOn(t, fs)
		c, l := s.login(cfg)
		s.refuse = true
		l.play("S: <close>")
		synctest.Wait()
		got := send(c, "A", "offline")
		synctest.Wait()
		if err := cfg.StateFile.Close(); !errors.Is(err, chatclient.ErrStateInUse) {
			t.Errorf("closed under a client: %v", err)
		}
		end(c)
		if err := (<-got).err; !errors.Is(err, chatclient.ErrKept) || !errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, chatclient.ErrClosed) {
			t.Error(err)
		}
		if err := errors.Join(cfg.StateFile.Close(), cfg.StateFile.Close()); err != nil {
			t.Error(err)
		}
		s.refuse = false
		c, l, outcomes := s.again(t, fs, "230 user=B new=1 known=1 high=0 mail=0")
		l.play("C: SEND n=1 to=A :offline\nS: 201 n=1 how=stored")
		if o := <-outcomes; o.Err != nil {
			t.Error(o.Err)
		}
		end(c)
	})
}

// The file is one user's and one client's, and is compacted as it grows.
func TestStateFileRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		path := filepath.Join(t.TempDir(), "state")
		f, err := chatclient.OpenStateFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cfg.StateFile = f
		if _, err := chatclient.OpenStateFile(path); !errors.Is(err, chatclient.ErrStateInUse) || !strings.Contains(err.Error(), path) {
			t.Errorf("opened twice: %v", err)
		}
		c, l := s.login(cfg)
		if _, err := chatclient.Dial(t.Context(), cfg); !errors.Is(err, chatclient.ErrStateInUse) {
			t.Errorf("two clients: %v", err)
		}
		big := strings.Repeat("x", 7000)
		for n := range 60 {
			got := send(c, "A", big)
			l.play("C: SEND n=" + itoa(n+1) + " to=A :" + big + "\nS: 201 n=" + itoa(n+1) + " how=stored")
			<-got
		}
		end(c)
		cfg.User = "C"
		d := dial(t, cfg)
		s.link().play("C: HELO v=1 acks=1 beat=30000\nS: 220 v=1 mech=PLAIN boot=9c t=0\nC: <close>")
		if err := (<-d).err; !errors.Is(err, chatclient.ErrStateUser) {
			t.Errorf("another user: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := chatclient.Dial(t.Context(), cfg); err == nil {
			t.Error("a closed file was taken")
		}
		if size := fileSize(t, path); size > 200_000 {
			t.Errorf("the file has %d octets", size)
		}
	})
}

// Whatever the fault of the file, the error names it.
func TestStateFileErrors(t *testing.T) {
	fs := &crashfs.FS{}
	if err := stateOn(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	data := fs.Data("state")
	data[40] ^= 1
	for content, want := range map[string]string{string(data): "damaged at octet 16; put a copy", "hello": "no state file"} {
		bad := &crashfs.FS{}
		bad.Put("state", []byte(content))
		_, err := chatclient.OpenStateFileOn(bad, "state")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "state") {
			t.Errorf("%q: %v", content, err)
		}
		if errors.Is(err, chatclient.ErrStateDamaged) == (content == "hello") {
			t.Errorf("%v", err)
		}
	}
	readOnly := &crashfs.FS{Step: func(what string) error {
		if strings.HasPrefix(what, "open") {
			return syscall.EROFS
		}
		return nil
	}}
	if _, err := chatclient.OpenStateFileOn(readOnly, "state"); !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
}
