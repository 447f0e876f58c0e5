package chatserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A revPeer is one end of a connection to a server under review.
type revPeer struct {
	t  *testing.T
	nc *memnet.Conn

	mu    sync.Mutex
	lines []string
	ended bool
}

// meet connects to srv from addr and reads all that comes.
func revMeet(t *testing.T, srv *chatserver.Server, addr string) *revPeer {
	p := revMeetDeaf(t, srv, addr)
	p.listen()
	return p
}

// meetDeaf connects to srv and reads nothing until listen.
func revMeetDeaf(t *testing.T, srv *chatserver.Server, addr string) *revPeer {
	near, far := memnet.Pipe(addr, "127.0.0.1:8000")
	go srv.ServeConn(far)
	return &revPeer{t: t, nc: near}
}

func (p *revPeer) listen() {
	go func() {
		sc := bufio.NewScanner(p.nc)
		for sc.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, sc.Text())
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
	}()
}

// send writes lines at once.
func (p *revPeer) send(lines ...string) {
	if _, err := p.nc.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		p.t.Log("write:", err)
	}
}

// got waits until all is quiet, and returns what came since the last call.
func (p *revPeer) got() []string {
	synctest.Wait()
	return p.now()
}

func (p *revPeer) now() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines
	p.lines = nil
	return lines
}

// within waits in real time for a line that starts with prefix.
func (p *revPeer) within(d time.Duration, prefix string) bool {
	end := time.After(d)
	for {
		select {
		case <-end:
			return false
		default:
			if revHas(p.now(), prefix) {
				return true
			}
			runtime.Gosched()
		}
	}
}

const revLocal = "127.0.0.1:50000"

// loggedIn connects and logs in; origin "" makes a person who acknowledges
// nothing.
func revLogin(t *testing.T, srv *chatserver.Server, user, origin string) *revPeer {
	t.Helper()
	p := revMeet(t, srv, revLocal)
	p.login(user, origin)
	if got := p.got(); !revHas(got, "230 ") {
		t.Fatalf("%s could not log in: %q", user, got)
	}
	return p
}

func (p *revPeer) login(user, origin string) {
	if origin == "" {
		p.send("HELO v=1", fmt.Sprintf("AUTH user=%s pass=pass%s", user, user))
		return
	}
	p.send("HELO v=1 acks=1 beat=30000", fmt.Sprintf("AUTH user=%s pass=pass%s origin=%s", user, user, origin))
}

func revHas(lines []string, prefix string) bool { return revCount(lines, prefix) > 0 }

func revCount(lines []string, prefix string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

var errRevDisk = errors.New("disk on fire")

// A revGate is a store that can be held up, or made to fail.
type revGate struct {
	*memstore.Store

	mu      sync.Mutex
	cond    sync.Cond
	held    bool
	fail    bool
	commits int
}

func newRevGate() *revGate {
	g := &revGate{Store: memstore.New()}
	g.cond.L = &g.mu
	return g
}

func (g *revGate) set(held, fail bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.fail = held, fail
	g.cond.Broadcast()
}

func (g *revGate) Commit(ctx context.Context, b *store.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.commits++
	for g.held {
		g.cond.Wait()
	}
	if g.fail {
		return errRevDisk
	}
	return g.Store.Commit(ctx, b)
}

func (g *revGate) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.commits
}
