package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A message is given to the callback as the server sent it, and acknowledged
// when the callback took it.
func TestMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var got []chatclient.Message
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			got = append(got, m)
			return nil
		}
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1f2e.3 t=1000 :A:
			C: ACKD count=1
			S: BCST from=A id=1f2e.4 t=2000 :A: psa\nline two
			C: ACKD count=2`)
		end(c)
		want := []chatclient.Message{
			{ID: chatproto.ID{Origin: 0x1f2e, N: 3}, From: "A", Time: time.UnixMilli(1000), Description: "A:"},
			{ID: chatproto.ID{Origin: 0x1f2e, N: 4}, From: "A", Text: "psa\nline two", Broadcast: true, Time: time.UnixMilli(2000), Description: "A: psa\nline two"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// What is not above the highest number of its sender and origin was seen; it
// is acknowledged again and not shown. An event of a later version that
// carries an id is counted, one that carries none is not.
func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var got []string
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			got = append(got, m.From+" "+m.ID.String())
			return nil
		}
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: x
			C: ACKD count=1
			S: MESG from=A id=1.1 t=0 :A: x
			C: ACKD count=2
			S: MESG from=C id=1.1 t=0 :C: another sender
			C: ACKD count=3
			S: MESG from=A id=2.1 t=0 :A: another origin
			C: ACKD count=4
			S: ROOM id=1.9 from=A :unknown
			C: ACKD count=5
			S: ROOM from=A :unknown
			S: MESG from=A id=1.2 t=0 :A: y
			C: ACKD count=6
			S: <close>`)
		l = s.link()
		l.play(resumed + `
			S: MESG from=A id=1.2 t=0 :A: y
			C: ACKD count=1
			S: MESG from=A id=1.3 t=0 :A: z
			C: ACKD count=2`)
		end(c)
		if want := []string{"A 1.1", "C 1.1", "A 2.1", "A 1.2", "A 1.3"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

// A callback that fails is called again, after a growing wait; what comes
// later waits, and what was taken before is acknowledged meanwhile.
func TestCallbackError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var got []string
		begin := time.Now()
		fail := 3
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			got = append(got, fmt.Sprint(m.Text, " ", time.Since(begin)))
			if m.Text == "two" && fail > 0 {
				fail--
				return errors.New("the disk is full")
			}
			return nil
		}
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: one
			C: ACKD count=1
			S: MESG from=A id=1.2 t=0 :A: two
			S: MESG from=A id=1.3 t=0 :A: three
			C+700ms: ACKD count=3`)
		end(c)
		want := []string{"one 0s", "two 0s", "two 100ms", "two 300ms", "two 700ms", "three 700ms"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A message that is taken after its connection is gone is acknowledged when
// it comes again, on the new one; those that waited behind it are not shown
// twice either.
func TestTakenAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var got []string
		gate := make(chan struct{})
		cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
			got = append(got, m.Text)
			<-gate
			return nil
		}
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: one
			S: MESG from=A id=1.2 t=0 :A: two
			S: <close>`)
		l = s.link()
		l.play(resumed + `
			S: MESG from=A id=1.1 t=0 :A: one
			S: MESG from=A id=1.2 t=0 :A: two`)
		synctest.Wait()
		close(gate)
		l.play("C: ACKD count=2")
		end(c)
		if want := []string{"one", "two"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

// While more wait, an acknowledgement covers 64.
func TestAcknowledgementsBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		gate := make(chan struct{})
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { <-gate; return nil }
		_, l := s.login(cfg)
		l.play(messages(1, 200))
		synctest.Wait()
		close(gate)
		l.play(`
			C: ACKD count=64
			C: ACKD count=128
			C: ACKD count=192
			C: ACKD count=200`)
		l.silent(time.Second)
	})
}

func messages(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, "S: MESG from=A id=1.%d t=0 :A: x\n", n)
	}
	return b.String()
}

// A callback may call the client and wait for it.
func TestCallbackSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var c *chatclient.Client
		cfg.Callbacks.OnMessage = func(ctx context.Context, m chatclient.Message) error {
			_, err := c.Send(ctx, m.From, "echo "+m.Text)
			return err
		}
		c, l := s.login(cfg)
		l.play(`
			S: MESG from=A id=1.1 t=0 :A: x
			C: SEND n=1 to=A :echo x
			S: 201 n=1 how=stored
			C: ACKD count=1`)
		end(c)
	})
}

// A server that exceeds the window of deliveries, or floods with news, is cut
// off; what it sent is not lost by that.
func TestFlood(t *testing.T) {
	big := strings.Repeat("x", 7000)
	tests := map[string]func(i int) string{
		"257 deliveries":   func(i int) string { return fmt.Sprintf("MESG from=A id=1.%d t=0 :A: x", i+1) },
		"more than 1 MiB":  func(i int) string { return fmt.Sprintf("MESG from=A id=1.%d t=0 :A: %s", i+1, big) },
		"presence of many": func(i int) string { return fmt.Sprintf("PRES user=u%d on=1", i) },
		"requests":         func(i int) string { return fmt.Sprintf("RQST user=u%d", i) },
		"bad line":         func(i int) string { return "nonsense" },
		"bad name":         func(i int) string { return `PRES user=a\nb on=1` },
	}
	for name, line := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cfg := s.config()
				gate := make(chan struct{})
				cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { <-gate; return nil }
				cfg.Callbacks.OnPresence = func(context.Context, chatclient.Presence) { <-gate }
				cfg.Callbacks.OnConsentAsked = func(context.Context, string, string) { <-gate }
				c, l := s.login(cfg)
				var err error
				lines := 0
				for ; lines < 20_000 && err == nil; lines++ {
					_, err = l.nc.Write([]byte(line(lines) + "\r\n"))
				}
				if err == nil {
					t.Error("was not cut off")
				}
				if name == "257 deliveries" && lines != 258 {
					t.Errorf("cut off after %d", lines)
				}
				close(gate)
				s.link().play(resumed)
				end(c)
			})
		})
	}
}

// The whole window may be used.
func TestWindowOfDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		gate := make(chan struct{})
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { <-gate; return nil }
		_, l := s.login(cfg)
		l.play(messages(1, 256))
		synctest.Wait()
		close(gate)
		for range 4 {
			l.play("C: ACKD count=*")
		}
		l.play(messages(257, 257) + "C: ACKD count=257")
	})
}

// Presence is told in order; when much of it waits, only the latest of each
// user. Messages are never left out.
func TestPresenceCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		gate := make(chan struct{})
		last := map[string]chatclient.Presence{}
		calls, taken := 0, 0
		cfg.Callbacks.OnPresence = func(_ context.Context, p chatclient.Presence) {
			<-gate
			calls++
			last[p.User] = p
		}
		cfg.Callbacks.OnMessage = func(context.Context, chatclient.Message) error { taken++; return nil }
		c, l := s.login(cfg)
		for i := range 1000 {
			l.play(fmt.Sprintf("S: PRES user=A on=%d :A logged %s", i%2, []string{"out", "in"}[i%2]))
			if i%10 == 0 {
				l.play(messages(i/10+1, i/10+1))
			}
		}
		l.play("S: PRES user=C on=1 :C logged in")
		synctest.Wait()
		close(gate)
		l.play("C: ACKD count=64\nC: ACKD count=100")
		end(c)
		if calls > 70 || taken != 100 {
			t.Errorf("%d calls, %d messages", calls, taken)
		}
		want := map[string]chatclient.Presence{
			"A": {User: "A", Online: true, Text: "A logged in"},
			"C": {User: "C", Online: true, Text: "C logged in"},
		}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Error(diff)
		}
	})
}

// Without callbacks everything is taken.
func TestNoCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		l.play(`
			S: PRES user=A on=1 :A logged in
			S: RQST user=A :A is requesting
			S: MESG from=A id=1.1 t=0 :A: x
			C: ACKD count=1`)
		end(c)
	})
}

// A reply is no delivery, whatever fields it has (SPEC section 6.5).
func TestReplyIsNoDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, l := s.login(s.config())
		got := send(c, "A", "x")
		l.play(`
			C: SEND n=1 to=A :x
			S: 201 n=1 how=stored id=1.7
			S: MESG from=A id=1.8 t=0 :A: y
			C: ACKD count=1`)
		if r := <-got; r.err != nil {
			t.Error(r.err)
		}
	})
}
