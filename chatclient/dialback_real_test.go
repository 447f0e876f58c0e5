package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// An exchange is a chatserver that calls its clients, and what they go
// through.
type exchange struct {
	t     *testing.T
	n     *peerNet
	store store.Store
	cert  tls.Certificate

	mu     sync.Mutex
	server *chatserver.Server
	conns  []net.Conn // all, their near ends
	deaf   bool       // no call comes through
}

func newExchange(t *testing.T) *exchange {
	x := &exchange{t: t, n: newPeerNet(), store: memstore.New(), cert: selfMade(t, newKey(t), year1999, year2001)}
	x.start()
	t.Cleanup(func() { x.server.Close() })
	return x
}

// start starts the server, again if there was one.
func (x *exchange) start() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server = &chatserver.Server{
		Accounts:  chatserver.Credentials{"A": "pa", "B": "pb", "C": "pc"},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{x.cert}},
		Store:     x.store, DialBack: true, Dial: x.call,
	}
}

func (x *exchange) now() *chatserver.Server {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.server
}

// A loopback is an end of a connection within this machine.
type loopback struct {
	net.Conn
	port int
}

func (l loopback) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port}
}

func (x *exchange) keep(nc net.Conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conns = append(x.conns, nc)
}

// call is Server.Dial.
func (x *exchange) call(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
	x.mu.Lock()
	deaf := x.deaf
	x.mu.Unlock()
	if deaf {
		return nil, errors.New("no way")
	}
	nc, err := x.n.dial(ctx, "tcp", place.String())
	if err == nil {
		x.keep(nc)
	}
	return nc, err
}

func (x *exchange) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	x.keep(far)
	go x.now().ServeConn(loopback{far, 4711})
	return loopback{near, 8000}, nil
}

// cut breaks all connections.
func (x *exchange) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, nc := range x.conns {
		nc.Close()
	}
	x.conns = nil
}

// A talker is a client that goes away, and what its application was shown.
type talker struct {
	*chatclient.Client
	x    *exchange
	user string

	mu     sync.Mutex
	states []chatclient.StateKind
	shown  []string
}

func (x *exchange) login(user string, adapt ...func(*chatclient.Config)) *talker {
	x.t.Helper()
	tk := &talker{x: x, user: user}
	note := func(format string, args ...any) {
		tk.mu.Lock()
		defer tk.mu.Unlock()
		tk.shown = append(tk.shown, fmt.Sprintf(format, args...))
	}
	cfg := chatclient.Config{Addr: farAddr, Dial: x.dial, User: user, Password: "p" + strings.ToLower(user), Identity: identityOf(x.t, user),
		DialBack: &chatclient.DialBack{},
		Callbacks: chatclient.Callbacks{
			OnMessage: func(_ context.Context, m chatclient.Message) error { note("%s", m.Description); return nil },
			OnPrivate: func(_ context.Context, m chatclient.PrivateMessage) error {
				note("private %s: %s", m.From, m.Text)
				return nil
			},
			OnConsentAsked: func(_ context.Context, user, _ string) { note("%s asks", user) },
			OnAddress:      func(_ context.Context, a chatclient.Address) { note("%s consents", a.User) },
			OnRevoked:      func(_ context.Context, r chatclient.Revocation) { note("%s's consent ended: %s", r.Owner, r.Why) },
			OnState: func(_ context.Context, st chatclient.State) {
				tk.mu.Lock()
				defer tk.mu.Unlock()
				tk.states = append(tk.states, st.Kind)
			},
		}}
	x.n.use(&cfg)
	for _, change := range adapt {
		change(&cfg)
	}
	var err error
	if tk.Client, err = chatclient.Dial(x.t.Context(), cfg); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { end(tk.Client) })
	return tk
}

// sees expects what the application was shown since the last time.
func (tk *talker) sees(want ...string) {
	tk.x.t.Helper()
	synctest.Wait()
	tk.mu.Lock()
	defer tk.mu.Unlock()
	if !slices.Equal(tk.shown, want) {
		tk.x.t.Errorf("%s was shown %q, want %q", tk.user, tk.shown, want)
	}
	tk.shown = nil
}

// quiet lets everybody go away, and expects that they do.
func (x *exchange) quiet(online int) {
	x.t.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	if got := x.now().Stats(); got.Connections != 0 || got.Online != online {
		x.t.Errorf("%d are online with %d connections, want %d with none", got.Online, got.Connections, online)
	}
}

func (tk *talker) send(to, text string) {
	tk.x.t.Helper()
	if _, err := tk.Send(tk.x.t.Context(), to, text); err != nil {
		tk.x.t.Errorf("%s to %s: %v", tk.user, to, err)
	}
}

// All that people do, while between any two steps nobody has a connection.
func TestRealDialBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange(t)
		a, b := x.login("A"), x.login("B")
		x.quiet(2)
		for i := range 3 {
			a.send("B", fmt.Sprint("to B ", i))
			b.sees(fmt.Sprint("A: to B ", i))
			x.quiet(2)
			b.send("A", fmt.Sprint("to A ", i))
			a.sees(fmt.Sprint("B: to A ", i))
			x.quiet(2)
		}
		if _, err := a.Broadcast(t.Context(), "to all"); err != nil {
			t.Error(err)
		}
		b.sees("A: to all")
		x.quiet(2)
		if names, err := b.Online(t.Context()); err != nil || !slices.Equal(names, []string{"A"}) {
			t.Error(names, err)
		}
		x.quiet(2)

		// The lease is renewed for as long as they live.
		time.Sleep(time.Hour)
		x.quiet(2)
		a.send("B", "an hour later")
		b.sees("A: an hour later")
		x.quiet(2)

		// Mail for somebody offline.
		if err := b.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		x.quiet(1)
		a.send("B", "while B is offline")
		x.quiet(1)
		b = x.login("B")
		b.sees("A: while B is offline")
		x.quiet(2)

		// Block.
		if text, err := b.Block(t.Context(), "A"); err != nil || text == "" {
			t.Error(text, err)
		}
		x.quiet(2)
		if _, err := a.Send(t.Context(), "B", "blocked"); err == nil {
			t.Error("who is blocked may write")
		}
		x.quiet(2)
		if _, err := b.Unblock(t.Context(), "A"); err != nil {
			t.Error(err)
		}
		x.quiet(2)
		b.sees()

		// Private chat.
		if err := a.RequestAddress(t.Context(), "B"); err != nil {
			t.Error(err)
		}
		b.sees("A asks")
		x.quiet(2)
		if err := b.Consent(t.Context(), "A"); err != nil {
			t.Error(err)
		}
		a.sees("B consents")
		x.quiet(2)
		if _, err := a.Private(t.Context(), "B", "p2p message"); err != nil {
			t.Error(err)
		}
		b.sees("private A: p2p message")
		x.quiet(2)
		if err := b.Revoke(t.Context(), "A"); err != nil {
			t.Error(err)
		}
		a.sees("B's consent ended: revoked")
		b.sees("B's consent ended: revoked")
		x.quiet(2)
		if _, err := a.Private(t.Context(), "B", "p2p message"); !errors.Is(err, chatclient.ErrNoConsent) {
			t.Error(err)
		}
		if slices.Contains(a.states, chatclient.Waiting) || slices.Contains(b.states, chatclient.Waiting) {
			t.Error("somebody was told of a lost connection")
		}
	})
}

// Calls that do not come through, a server that dies, connections that break:
// everything arrives once, and in order.
func TestRealDialBackBreaks(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			x := newExchange(t)
			a, b := x.login("A"), x.login("B")
			var all sync.WaitGroup
			const messages = 30
			talk := func(from *talker, to string, pauses []int) {
				for i, pause := range pauses {
					time.Sleep(time.Duration(pause) * time.Millisecond)
					from.send(to, fmt.Sprint(i))
				}
			}
			pauses := func() (p []int) {
				for range messages {
					p = append(p, r.IntN(2)*r.IntN(6000)+r.IntN(2)*2000) // about as long as it takes to go away
				}
				return p
			}
			pa, pb := pauses(), pauses()
			all.Go(func() { talk(a, "B", pa) })
			all.Go(func() { talk(b, "A", pb) })
			for range 20 {
				time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
				switch r.IntN(6) {
				case 0, 1, 2:
					x.cut()
				case 3, 4:
					x.mu.Lock()
					x.deaf = !x.deaf
					x.mu.Unlock()
				case 5:
					x.now().Close()
					x.start()
				}
			}
			x.mu.Lock()
			x.deaf = false
			x.mu.Unlock()
			all.Wait()
			time.Sleep(10 * time.Minute) // at the latest they come by themselves
			synctest.Wait()
			for tk, from := range map[*talker]string{a: "B", b: "A"} {
				var want []string
				for i := range messages {
					want = append(want, fmt.Sprintf("%s: %d", from, i))
				}
				tk.sees(want...)
			}
		})
	}
}

// A server that cannot reach a client lets it be offline; when that comes by
// itself it has its mail, and stays.
func TestRealUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange(t)
		var stays []error
		a := x.login("A")
		b := x.login("B", func(cfg *chatclient.Config) {
			cfg.Callbacks.OnStaysConnected = func(_ context.Context, why error) { stays = append(stays, why) }
		})
		x.quiet(2)
		x.mu.Lock()
		x.deaf = true
		x.mu.Unlock()
		a.send("B", "are you there?")
		time.Sleep(time.Minute)
		if names, err := a.Online(t.Context()); err != nil || len(names) > 0 {
			t.Error(names, err)
		}
		time.Sleep(5 * time.Minute)
		b.sees("A: are you there?")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(stays) != 1 || x.now().Stats().Connections == 0 {
			t.Error(stays, x.now().Stats().Connections)
		}
		a.send("B", "and now?")
		b.sees("A: and now?")
	})
}
