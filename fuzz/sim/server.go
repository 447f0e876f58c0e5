package sim

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
)

// A listener hands connections to a server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8000} }

func (l *listener) offer(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.closed:
		return false
	}
}

// boot starts a server on what is stored.
func (w *world) boot() {
	lf := w.disk.open()
	var st store.Store = lf
	if w.o.Store != nil {
		st = w.o.Store(lf)
	}
	srv := &chatserver.Server{Accounts: passwords{w.creds}, Store: st, Timeout: w.plan.timeout, MailboxMessages: w.plan.mailbox, Hooks: w.hooks(lf)}
	if w.plan.faults&DialBack != 0 {
		srv.TLSConfig, srv.DialBack, srv.Dial = serverTLS(), true, w.net.dialler(lf)
	}
	ln := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	w.mu.Lock()
	w.srv, w.life = srv, lf
	w.boots++
	w.mu.Unlock()
	w.orc.newLife(lf.n)
	w.logf("server", "life %d begins", lf.n)
	w.running.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, chatserver.ErrServerClosed) {
			w.logf("server", "life %d cannot begin: %v", lf.n, err)
			if w.leave(lf) {
				time.AfterFunc(time.Second, w.boot)
			}
		}
	})
	w.net.listen(ln.offer)
}

func (w *world) logf(who, format string, args ...any) { w.log.add(who, format, args...) }

// leave ends a life of the server, once: it is fenced, and nobody reaches it.
func (w *world) leave(lf *life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.life != lf {
		return false
	}
	w.life, w.srv = nil, nil
	lf.fence()
	w.net.listen(nil)
	return true
}

// crash ends the server at this instant, and starts another one some time
// later.
func (w *world) crash(why string) {
	w.mu.Lock()
	lf, srv, quiet := w.life, w.srv, w.quiet
	w.mu.Unlock()
	if lf == nil || quiet || !w.leave(lf) {
		return
	}
	w.mu.Lock()
	w.crashes++
	r := w.dice.of(5, uint64(w.crashes)).stream()
	w.mu.Unlock()
	told, arrives := r.chance(0.6), r.chance(0.5)
	down := r.scale(time.Millisecond, 3*time.Minute)
	w.stats.Add("crashes", 1)
	if !told {
		w.stats.Add("crashes that no client was told of", 1)
	}
	w.logf("server", "life %d crashes, %s; clients told %v, down for %v", lf.n, why, told, down)
	w.net.serverGone(told, arrives)
	w.running.Go(func() { srv.Close() })
	time.AfterFunc(down, w.boot)
}

// shutdown restarts the server gracefully.
func (w *world) shutdown(r *roller) {
	w.mu.Lock()
	lf, srv := w.life, w.srv
	w.mu.Unlock()
	if lf == nil {
		return
	}
	limit, down := r.scale(time.Millisecond, 10*time.Second), r.scale(time.Millisecond, time.Minute)
	w.stats.Add("shutdowns", 1)
	w.logf("server", "life %d shuts down within %v", lf.n, limit)
	w.net.listen(nil)
	w.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := srv.Shutdown(ctx)
		w.logf("server", "life %d has shut down: %v", lf.n, err)
		if w.leave(lf) {
			time.AfterFunc(down, w.boot)
		}
	})
}

// hooks tell the oracle what a life of the server says, refuse messages, and
// let it crash soon after something happened.
func (w *world) hooks(lf *life) chatserver.Hooks {
	soon := func(key, n uint64, why string) {
		r := w.dice.of(6, key, n, uint64(time.Now().UnixNano())).stream()
		if r.chance(w.plan.soon) {
			time.AfterFunc(r.scale(time.Microsecond, 20*time.Millisecond), func() {
				if !lf.isDead() {
					w.crash(why)
				}
			})
		}
	}
	return chatserver.Hooks{
		OnLogin: func(_ context.Context, c chatserver.ConnInfo) {
			w.logf("server", "%s logs in, origin %x", c.User, c.Origin)
			w.orc.login(lf.n, c.User)
		},
		OnLogout: func(_ context.Context, user, why string) {
			if !lf.isDead() {
				w.logf("server", "%s is logged out: %s", user, why)
				w.orc.logout(user)
			}
		},
		OnAccepted: func(_ context.Context, m chatserver.Accepted) {
			soon(m.ID.Origin, m.ID.N, "after it accepted "+m.ID.String())
		},
		OnDelivered: func(_ context.Context, d chatserver.Delivered) {
			if !lf.isDead() {
				w.orc.acknowledged(lf.n, d.To, d.From, d.ID)
			}
			soon(d.ID.Origin, d.ID.N, "after "+d.To+" acknowledged "+d.ID.String())
		},
		AuthorizeMessage: func(ctx context.Context, m chatserver.Outgoing) error {
			r := w.dice.of(7, uint64(len(m.From)), uint64(len(m.Text)), uint64(time.Now().UnixNano())).stream()
			if !w.isQuiet() && r.chance(w.plan.refuse) {
				w.stats.Add("messages refused by the operator", 1)
				if r.chance(0.1) {
					pause(ctx, r.scale(time.Millisecond, time.Second))
				}
				return &chatproto.Error{Code: chatproto.ReplySlowDown, Text: "Not now"}
			}
			return nil
		},
	}
}
