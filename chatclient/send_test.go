package chatclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// Receipts say which promise holds; a run of numbers answers several.
func TestReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())

		first := send(c, "A", "hello!")
		l.play("C: SEND n=1 to=A :hello!")
		second := send(c, "A", "")
		l.play("C: SEND n=2 to=A")
		third := send(c, "A", "two\nlines")
		l.play(`
			C: SEND n=3 to=A :two\nlines
			S: 201 n=1-2 how=delivered
			S: 201 n=3 how=stored`)
		origin := l.origin()
		for i, got := range []sent{<-first, <-second, <-third} {
			how := chatclient.Delivered
			if i == 2 {
				how = chatclient.Stored
			}
			if got.err != nil || got.How != how || got.ID != (chatproto.ID{Origin: origin, N: uint64(i + 1)}) {
				t.Errorf("receipt %d is %+v", i, got)
			}
		}

		cast := async(func() sent { r, err := c.Broadcast(t.Context(), "psa"); return sent{r, err} })
		l.play(`
			C: CAST n=4 :psa
			S: 201 n=4 how=stored skipped=2`)
		if got := <-cast; got.err != nil || got.Skipped != 2 || got.How != chatclient.Stored {
			t.Errorf("got %+v", got)
		}
	})
}

// A refusal is the server's reply and sentence.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		for i, reply := range []string{
			"550 n=1 :not_a_user is not a valid user.",
			"553 n=2 :You are blocked by A",
			"452 n=3 :The mailbox of A is full. Please try again later",
			"429 n=4 retry=1000 :Too many requests. Please slow down",
			"455 n=5 :Refused earlier",
			"599 n=6 :Something new",
		} {
			got := send(c, "A", "x")
			l.play("C: SEND n=* to=A :x\nS: " + reply)
			code, text, _ := strings.Cut(reply, " ")
			_, text, _ = strings.Cut(text, " :")
			err, ok := (<-got).err.(*chatproto.Error)
			if !ok || err.Code.String() != code || err.Text != text || errors.Is(err, chatclient.ErrUnknown) {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// What cannot be sent is refused on this side.
func TestBadText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		ctx := t.Context()
		if _, err := c.Send(ctx, "A", strings.Repeat("x", 7169)); !errors.Is(err, chatproto.ErrTooLong) {
			t.Errorf("too long: %v", err)
		}
		if _, err := c.Broadcast(ctx, "\x1b[2J"); !errors.Is(err, chatproto.ErrControl) {
			t.Errorf("escape: %v", err)
		}
		if _, err := c.Send(ctx, "a b", "x"); !errors.Is(err, chatproto.ErrBadField) {
			t.Errorf("name: %v", err)
		}
		got := send(c, "A", strings.Repeat("x", 7168))
		l.play("C: SEND n=1 to=A :" + strings.Repeat("x", 7168) + "\nS: 201 n=1 how=stored")
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
	})
}

// At most 256 numbers are unanswered; a further Send waits for room and gives
// up without a trace when its context ends first.
func TestWindowFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		var all []<-chan sent
		for range 257 {
			all = append(all, send(c, "A", "x"))
		}
		for n := range 256 {
			if got, want := l.read(), "SEND n="+itoa(n+1)+" to=A :x"; got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Send(ctx, "A", "never"); err != context.DeadlineExceeded {
			t.Errorf("a Send that finds no room: %v", err)
		}
		l.silent(time.Second)
		l.play(`
			S: 201 n=1 how=stored
			C: SEND n=257 to=A :x
			S: 201 n=2-256 how=delivered
			S: 201 n=257 how=stored`)
		for _, one := range all {
			if got := <-one; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

// A message whose Send was given up stays under way.
func TestSendAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := async(func() error { _, err := c.Send(ctx, "A", "x"); return err })
		l.play("C: SEND n=1 to=A :x")
		if err := <-got; !errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		l.play("S: <close>")
		l = s.link()
		l.play(resumed + `
			C: SEND n=1 to=A :x
			S: 201 n=1 how=stored`)
	})
}

// After a lost connection the unanswered go out first, under their numbers
// and in order; the refusal of one proves nothing.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		var all []<-chan sent
		for _, text := range []string{"one", "two", "three"} {
			all = append(all, send(c, "A", text))
			synctest.Wait()
		}
		l.play(`
			C: SEND n=1 to=A :one
			C: SEND n=2 to=A :two
			C: SEND n=3 to=A :three
			S: 201 n=1 how=stored
			S: <close>`)
		synctest.Wait()
		all = append(all, send(c, "A", "four")) // while there is no connection
		l2 := s.link()
		l2.play(resumed + `
			C: SEND n=2 to=A :two
			C: SEND n=3 to=A :three
			C: SEND n=4 to=A :four
			S: 201 n=2 how=stored
			S: 553 n=3 :You are blocked by A
			S: 553 n=4 :You are blocked by A`)
		if l.origin() != l2.origin() {
			t.Error("the origin changed")
		}
		if err := (<-all[0]).err; err != nil {
			t.Error(err)
		}
		if err := (<-all[1]).err; err != nil {
			t.Error(err)
		}
		if err := (<-all[2]).err; !errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, chatproto.ErrBlocked) {
			t.Errorf("a resent one: %v", err)
		}
		if err := (<-all[3]).err; errors.Is(err, chatclient.ErrUnknown) || !errors.Is(err, chatproto.ErrBlocked) {
			t.Errorf("one sent once: %v", err)
		}
	})
}

// A server that forgot the origin is left at once: what was sent is unknown,
// what was not goes out under the new one. The client says known=1 of an origin
// for which it had a 230 (SPEC section 6.6), and of no other.
func TestForgotten(t *testing.T) {
	for name, reply := range map[string]string{
		"known=0":   "230 user=B new=1 known=0 high=0 mail=0",
		"high=1000": "230 user=B new=0 known=1 high=1000 mail=0",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, l := s.login(s.config())
				old := send(c, "A", "old")
				l.play("C: SEND n=1 to=A :old\nS: <close>")
				synctest.Wait()
				unsent := send(c, "A", "unsent")
				l2 := s.link()
				l2.play(as(hello, " known=1") + "S: " + reply + `
					C: QUIT
					S: MESG from=A id=1.1 t=0 :A: while leaving
					S: 221
					C: <close>`)
				if err := (<-old).err; !errors.Is(err, chatclient.ErrUnknown) {
					t.Errorf("what was sent: %v", err)
				}
				l3 := s.link()
				l3.play(as(welcomed, "") + `
					C: SEND n=1 to=A :unsent
					S: 201 n=1 how=stored`)
				if got := <-unsent; got.err != nil || got.ID.Origin != l3.origin() {
					t.Errorf("what was not: %+v", got)
				}
				if l2.origin() != l.origin() || l3.origin() == l.origin() {
					t.Error("the origins are wrong")
				}
			})
		})
	}
}

// A server that contradicts each new origin is not stormed.
func TestForgottenAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		d := dial(t, s.config())
		for range 3 {
			s.link().play(hello + `
				S: 230 user=B new=1 known=0 high=7 mail=0
				C: QUIT
				S: 221`)
		}
		if err := (<-d).err; err == nil {
			t.Error("logged in")
		}
	})
}

// Other requests carry numbers from the same counter, are asked again after a
// lost connection, and after three say so.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		block := async(func() string { text, err := c.Block(t.Context(), "A"); return fmtResult(text, err) })
		l.play(`
			C: BLOK n=1 user=A
			S: 200 n=1 :User A has been blocked`)
		if got := <-block; got != "User A has been blocked" {
			t.Error(got)
		}
		online := async(func() string {
			users, err := c.Online(t.Context())
			return fmtResult(strings.Join(users, " "), err)
		})
		l.play(`
			C: ONLN n=2
			S: 111 n=2 user=A :A
			S: 111 n=2 user=C :C
			S: 211 n=2 more=C
			C: ONLN n=3 after=C
			S: 111 n=3 user=D :D
			S: <close>`)
		l = s.link()
		l.play(resumed + `
			C: ONLN n=4 after=C
			S: 111 n=4 user=D :D
			S: 211 n=4`)
		if got := <-online; got != "A C D" {
			t.Error(got)
		}
		unblock := async(func() string { text, err := c.Unblock(t.Context(), "A"); return fmtResult(text, err) })
		l.play("C: UBLK n=5 user=A\nS: <close>")
		s.link().play(resumed + "C: UBLK n=6 user=A\nS: <close>")
		s.link().play(resumed + "C: UBLK n=7 user=A\nS: <close>")
		if got := <-unblock; !strings.HasPrefix(got, chatclient.ErrConnection.Error()) {
			t.Error(got)
		}
		s.link().play(resumed)
	})
}

// A list that does not go forward ends.
func TestOnlineLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		online := async(func() error { _, err := c.Online(t.Context()); return err })
		l.play(`
			C: ONLN n=1
			S: 211 n=1 more=C
			C: ONLN n=2 after=C
			S: 211 n=2 more=C`)
		if err := <-online; err == nil {
			t.Error("no error")
		}
	})
}

// A request that waits for a connection heeds its context.
func TestRequestOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		s.refuse = true
		l.play("S: <close>")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Online(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// Replies out of turn close the connection.
func TestReplyOutOfTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		got := send(c, "A", "x")
		l.play(`
			C: SEND n=1 to=A :x
			S: 201 n=2 how=stored
			C: <close>`)
		s.link().play(resumed + `
			C: SEND n=1 to=A :x
			S: 201 n=1 how=stored`)
		if err := (<-got).err; err != nil {
			t.Error(err)
		}
	})
}

func fmtResult(text string, err error) string {
	if err != nil {
		return err.Error()
	}
	return text
}
