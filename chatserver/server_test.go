package chatserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// Serve ends with ErrServerClosed however the server is ended, and ending it
// twice does no harm.
func TestLifeCycle(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(*chatserver.Server) error
	}{
		{"Close", (*chatserver.Server).Close},
		{"Shutdown", func(s *chatserver.Server) error { return s.Shutdown(t.Context()) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			srv := &chatserver.Server{Accounts: demo}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error)
			go func() { served <- srv.Serve(l) }()
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			fmt.Fprintf(nc, "HELO v=1\n")
			if _, err := nc.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := end.end(srv); err != nil {
					t.Error(err)
				}
			}
			if err := <-served; err != chatserver.ErrServerClosed {
				t.Errorf("Serve returned %v", err)
			}
			l2, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if err := srv.Serve(l2); err != chatserver.ErrServerClosed {
				t.Errorf("Serve after the end returned %v", err)
			}
		})
	}
}

// A server that cannot be what it is told to says so, and one that never
// served ends at once.
func TestNotServing(t *testing.T) {
	bound := &chatserver.Server{Accounts: struct{ chatserver.Accounts }{demo}, RequireBinding: true}
	if err := bound.Serve(nil2(t)); err == nil || err == chatserver.ErrServerClosed {
		t.Errorf("Serve that requires what its Accounts cannot give returned %v", err)
	}
	if err := new(chatserver.Server).Close(); err != nil {
		t.Error(err)
	}
}

func nil2(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Shutdown commits and answers what was accepted before it says goodbye.
func TestShutdownAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := login(t, srv, "A")
		hold := make(chan struct{})
		st.set(func() { st.hold = hold })
		a.say("SEND n=1 to=B :for later")
		synctest.Wait()
		down := make(chan error)
		go func() { down <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		close(hold)
		a.want("201 n=1 how=stored")
		a.want("GBYE why=shutdown")
		a.want("")
		a.nc.Close()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// A Shutdown that runs out of time cuts the connections and says so.
func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		a := login(t, srv, "A")
		st.set(func() { st.fail = 1 << 30 })
		a.say("SEND n=1 to=B :never stored")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := srv.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDisk) {
			t.Errorf("Shutdown returned %v", err)
		}
		a.want("")
	})
}

// Several servers in one process know nothing of each other.
func TestServersApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &chatserver.Server{Accounts: demo}, &chatserver.Server{Accounts: demo}
		defer one.Close()
		defer two.Close()
		a, _ := login(t, one, "A"), login(t, two, "B")
		a.say("ONLN n=1")
		a.want("211 n=1")
	})
}

// Hooks tell what happens in the order in which it happens, but for a message
// that is taken while its sender's hook runs.
func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf(format, args...))
		}
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
			OnConnect:    func(_ context.Context, c chatserver.ConnInfo) { note("connect %s", c.RemoteAddr) },
			OnDisconnect: func(_ context.Context, c chatserver.ConnInfo, why string) { note("disconnect %s %s", c.User, why) },
			AuthorizeLogin: func(_ context.Context, c chatserver.ConnInfo) error {
				note("may %s log in?", c.User)
				return nil
			},
			OnLogin:  func(_ context.Context, c chatserver.ConnInfo) { note("login %s %x", c.User, c.Origin) },
			OnLogout: func(_ context.Context, user, why string) { note("logout %s %s", user, why) },
			AuthorizeMessage: func(_ context.Context, m chatserver.Outgoing) error {
				note("may %s send %q to %q?", m.From, m.Text, m.To)
				return nil
			},
			OnAccepted: func(_ context.Context, m chatserver.Accepted) {
				note("accepted %s from %s to %q, %d mailbox(es)", m.ID, m.From, m.To, m.Audience)
			},
			OnDelivered: func(_ context.Context, d chatserver.Delivered) {
				note("delivered %s from %s to %s", d.ID, d.From, d.To)
			},
			OnConsentAsked:   func(_ context.Context, asker, owner string) { note("%s asks %s", asker, owner) },
			OnConsentGranted: func(_ context.Context, asker, owner string) { note("%s is granted by %s", asker, owner) },
			OnConsentRevoked: func(_ context.Context, asker, owner, why string) { note("%s loses %s: %s", asker, owner, why) },
		}}
		defer srv.Close()
		a := login(t, srv, "A")
		synctest.Wait() // OnLogin runs when the client is told
		b := login(t, srv, "B")
		synctest.Wait()
		a.say("SEND n=1 to=B :hello!")
		b.want("MESG")
		b.say("ACKD count=1")
		a.want("201 n=1")
		synctest.Wait()
		a.say("CAST n=2 :psa")
		b.want("BCST")
		b.say("ACKD count=2")
		a.want("201 n=2")
		synctest.Wait()
		b.say("LSTN n=1 port=2000")
		b.want("200")
		a.say("ADDR n=3 user=B")
		a.want("202")
		b.want("RQST")
		b.say("CNST n=2 user=A")
		b.want("200")
		a.want("GETA")
		b.say("QUIT n=3")
		b.want("221")
		b.nc.Close()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			"connect 127.0.0.1:50000", "may A log in?", "login A 41",
			"connect 127.0.0.1:50000", "may B log in?", "login B 42",
			`may A send "hello!" to "B"?`, `accepted 41.1 from A to "B", 1 mailbox(es)`, "delivered 41.1 from A to B",
			`may A send "psa" to ""?`, `accepted 41.2 from A to "", 1 mailbox(es)`, "delivered 41.2 from A to B",
			"A asks B", "A is granted by B", "A loses B: gone", "logout B logout", "disconnect B logout",
		}
		for i := range log[:len(log)-1] {
			if strings.HasPrefix(log[i], "delivered") && strings.HasPrefix(log[i+1], "accepted") {
				log[i], log[i+1] = log[i+1], log[i]
			}
		}
		if diff := cmp.Diff(want, log); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// A hook's *chatproto.Error goes to the client if its code may answer the
// request; what else a hook returns stays inside the server.
func TestHookErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		asked := 0
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{
			AuthorizeMessage: func(context.Context, chatserver.Outgoing) error { asked++; return answer },
			AuthorizeLogin: func(_ context.Context, c chatserver.ConnInfo) error {
				if c.User == "C" {
					return &chatproto.Error{Code: chatproto.ReplyDenied, Text: "Not today"}
				}
				return nil
			},
		}}
		defer srv.Close()
		a := login(t, srv, "A")
		answer = &chatproto.Error{Code: chatproto.ReplyBlocked, Text: "No links, please"}
		a.say("SEND n=1 to=B :x")
		a.want("553 n=1 :No links, please")
		answer = fmt.Errorf("the filter at 10.0.0.7 is down: %w", errDisk)
		a.say("SEND n=2 to=B :x")
		a.want("451 n=2 :Internal server error. Please try again later")
		answer = &chatproto.Error{Code: chatproto.ReplyWelcome}
		a.say("SEND n=3 to=B :x")
		a.want("451 n=3")
		a.say("SEND n=3 to=B :x")
		a.want("455 n=3")
		if asked != 3 {
			t.Errorf("AuthorizeMessage was asked %d times for 3 messages", asked)
		}
		c := connect(t, srv)
		c.say("HELO v=1\nAUTH user=C pass=passC")
		c.want("220")
		c.want("535 :Not today")
	})
}

// Live chat that is acknowledged in time writes no message to the store.
func TestLiveChatStaysOffTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		a, b := login(t, srv, "A"), login(t, srv, "B")
		for n := 1; n <= 1000; n++ {
			a.say("SEND n=%d to=B :hello", n)
			b.want("MESG")
			b.say("ACKD count=%d", n)
			a.want(fmt.Sprintf("201 n=%d how=delivered", n))
		}
		time.Sleep(time.Second)
		if commits, messages := st.counts(); messages != 0 || commits > 4 {
			t.Errorf("1000 live messages caused %d commits with %d messages", commits, messages)
		}
		want := chatserver.Stats{Connections: 2, Online: 2, Accepted: 1000, Delivered: 1000, Spared: 1000, Commits: 2}
		if diff := cmp.Diff(want, srv.Stats()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// A store that fails: nothing is acknowledged until a commit succeeded, then
// every request is answered once, in order, and nothing was delivered twice.
func TestStoreFails(t *testing.T) {
	for _, written := range []bool{false, true} {
		t.Run(fmt.Sprintf("written=%v", written), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newTestStore()
				srv := &chatserver.Server{Accounts: demo, Store: st}
				defer srv.Close()
				a, b := login(t, srv, "A"), login(t, srv, "B")
				hold := make(chan struct{})
				st.set(func() { st.hold, st.fail, st.written = hold, 5, written })
				a.say("SEND n=1 to=C :stored\r\nSEND n=2 to=nobody\r\nSEND n=3 to=B :live\r\nCAST n=4 :all")
				synctest.Wait() // all are accepted before the first commit fails
				st.set(func() { st.hold = nil })
				close(hold)
				b.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
				b.want("MESG from=A id=41.3")
				b.say("ACKD count=1")
				a.want("201 n=1 how=stored")
				a.want("550 n=2")
				a.want("201 n=3 how=")
				a.want("201 n=4 how=stored")
				b.want("BCST from=A id=41.4")
				c := login(t, srv, "C")
				c.want("MESG from=A id=41.1")
				time.Sleep(time.Minute / 4)
				if _, messages := st.counts(); messages == 0 {
					t.Error("nothing was stored")
				}
			})
		})
	}
}

// Each limit of a mailbox: one below is fine, one above is refused and loses
// nothing.
func TestMailboxLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, MailboxMessages: 8}
		defer srv.Close()
		a, c := login(t, srv, "A"), login(t, srv, "C")
		fill := func(p *peer, name string, from, to int) {
			t.Helper()
			for n := from; n <= to; n++ {
				p.say("SEND n=%d to=B :%s", n, name)
				p.want(fmt.Sprintf("201 n=%d how=stored", n))
			}
		}
		fill(a, "A", 1, 2)
		a.say("SEND n=3 to=B :one more than a quarter")
		a.want("452 n=3 :The mailbox of B is full")
		fill(c, "C", 1, 2)
		fill(login(t, srv, "google"), "google", 1, 2)
		fill(login(t, srv, "columbia"), "columbia", 1, 2)
		c.say("SEND n=3 to=B :the mailbox is full")
		c.want("452 n=3")
		b := login(t, srv, "B")
		for range 8 {
			b.want("MESG")
		}
		b.say("ACKD count=8")
		synctest.Wait()
		fill(a, "A", 4, 5)
	})
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, MailboxBytes: 1200}
		defer srv.Close()
		a := login(t, srv, "A")
		a.say("SEND n=1 to=B :%s", strings.Repeat("x", 200))
		a.want("201 n=1")
		a.say("SEND n=2 to=B :%s", strings.Repeat("x", 200))
		a.want("452 n=2")
	})
}

// A broadcast skips full mailboxes and says how many.
func TestCastSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, MailboxMessages: 4}
		defer srv.Close()
		a, _, _ := login(t, srv, "A"), login(t, srv, "B"), login(t, srv, "C")
		a.say("SEND n=1 to=B :fills A's share of B")
		a.want("201")
		a.say("CAST n=2 :psa")
		a.want("201 n=2 how=stored skipped=1")
	})
}

// The text of a message is measured encoded.
func TestTextLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a, b := login(t, srv, "A"), login(t, srv, "B")
		limit := chatproto.V1.Limits.Text
		for n, text := range []string{
			strings.Repeat("x", limit-1), strings.Repeat("x", limit), strings.Repeat(`\n`, limit/2),
		} {
			a.say("SEND n=%d to=B :%s", n+1, text)
			b.want("MESG")
			b.say("ACKD count=%d", n+1)
			a.want(fmt.Sprintf("201 n=%d", n+1))
		}
		a.say("SEND n=4 to=B :%s", strings.Repeat("x", limit+1))
		a.want("552 n=4")
		a.say("SEND n=5 to=B :%s", strings.Repeat(`\n`, limit/2)+"x")
		a.want("552 n=5")
		a.say("CAST n=6 :%s", strings.Repeat("x", limit+1))
		a.want("552 n=6")
	})
}

// At most 256 deliveries are in flight; the rest waits and follows the
// acknowledgements.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := login(t, srv, "A")
		for n := 1; n <= 300; n++ {
			a.say("SEND n=%d to=B :%d", n, n)
			a.want(fmt.Sprintf("201 n=%d", n))
		}
		b := login(t, srv, "B")
		for n := 1; n <= 256; n++ {
			b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
		}
		b.nc.SetReadDeadline(time.Now().Add(time.Second))
		b.want("")
		b.nc.SetReadDeadline(time.Time{})
		b.r = chatproto.NewReader(b.nc)
		b.say("ACKD count=100")
		for n := 257; n <= 300; n++ {
			b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
		}
	})
}

// ONLN comes in pages of a thousand names, sorted.
func TestOnlinePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many := chatserver.Credentials{"A": "passA"}
		for i := range 1005 {
			many[fmt.Sprintf("u%04d", i)] = "x"
		}
		srv := &chatserver.Server{Accounts: many}
		defer srv.Close()
		for name := range many {
			if name != "A" {
				p := connect(t, srv)
				p.say("HELO v=1 pres=0\r\nAUTH user=%s pass=x", name)
				p.want("220")
				p.want("230")
			}
		}
		a := login(t, srv, "A")
		var names []string
		ask := "ONLN n=1"
		for i := 1; ; {
			a.say("%s", ask)
			line := a.next()
			for ; strings.HasPrefix(line, "111"); line = a.next() {
				names = append(names, line[strings.Index(line, "user=")+5:strings.Index(line, " :")])
			}
			_, more, ok := strings.Cut(line, "more=")
			if !ok {
				break
			}
			if len(names) != 1000 {
				t.Errorf("the first page has %d names", len(names))
			}
			i++
			ask = fmt.Sprintf("ONLN n=%d after=%s", i, more)
		}
		if len(names) != 1005 || !slices.IsSorted(names) {
			t.Errorf("%d names, sorted %v", len(names), slices.IsSorted(names))
		}
	})
}

// Presence to a client that does not read is coalesced: what cancels out is
// left out, and the server does not keep more than one fact a user.
func TestPresenceCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := connect(t, srv)
		a.say("HELO v=1 acks=1 beat=30000\r\nAUTH user=A pass=passA origin=a1")
		a.want("220")
		a.want("230")
		for range 5000 {
			b := login(t, srv, "B")
			b.say("QUIT n=1")
			b.want("221")
			b.nc.Close()
			synctest.Wait()
		}
		login(t, srv, "B")
		lines, last := 0, ""
		a.nc.SetReadDeadline(time.Now().Add(time.Second))
		for line := a.next(); line != ""; line = a.next() {
			lines++
			last = line
		}
		if lines > 4000 || last != "PRES user=B on=1 :B logged in" {
			t.Errorf("%d lines of presence, the last %q", lines, last)
		}
	})
}

// Above the limit logins are not announced, and the welcome says so.
func TestAnnounceLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, AnnounceLimit: 1}
		defer srv.Close()
		var ps []*peer
		for _, u := range []string{"A", "B"} {
			p := connect(t, srv)
			p.say("HELO v=1 acks=1 beat=30000\r\nAUTH user=%s pass=%s origin=1", u, demo[u])
			p.want("220")
			if line := p.want("230"); strings.Contains(line, "pres=0") != (u == "B") {
				t.Errorf("%s is welcomed with %q", u, line)
			}
			ps = append(ps, p)
		}
		ps[0].nc.SetReadDeadline(time.Now().Add(time.Second))
		ps[0].want("")
	})
}
