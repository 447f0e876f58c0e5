package chatserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A peer is one connection of a test, read frame by frame.
type peer struct {
	t  *testing.T
	nc *memnet.Conn
	r  *chatproto.Reader
}

// connect opens a connection to srv.
func connect(t *testing.T, srv *chatserver.Server) *peer {
	near, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
	go srv.ServeConn(far)
	t.Cleanup(func() { near.Close() })
	return &peer{t, near, chatproto.NewReader(near)}
}

// login opens a connection and logs in, as a client that acknowledges.
func login(t *testing.T, srv *chatserver.Server, user string) *peer {
	t.Helper()
	p := connect(t, srv)
	p.say("HELO v=1 acks=1 beat=30000 pres=0")
	p.want("220")
	p.say("AUTH user=%s pass=%s origin=%x", user, demo[user], user)
	p.want("230")
	return p
}

// say sends lines.
func (p *peer) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.nc, format+"\r\n", args...); err != nil {
		p.t.Errorf("sending: %v", err)
	}
}

// next returns the next frame as a line without its end, LIVE left out; "" at
// the end of the stream.
func (p *peer) next() string {
	var f chatproto.Frame
	for {
		if p.r.Next(&f) != nil {
			return ""
		}
		if f.Code != chatproto.LIVE {
			b, _ := chatproto.AppendFrame(nil, &f)
			return strings.TrimSuffix(string(b), "\r\n")
		}
	}
}

// want fails the test unless the next frame starts with prefix.
func (p *peer) want(prefix string) string {
	p.t.Helper()
	got := p.next()
	if !strings.HasPrefix(got, prefix) || prefix == "" && got != "" {
		p.t.Errorf("got %q, want %q…", got, prefix)
	}
	return got
}

// A testStore is a memstore that counts, and fails or holds commits when told
// to.
type testStore struct {
	*memstore.Store
	mu       sync.Mutex
	fail     int           // so many commits fail
	hold     chan struct{} // commits wait until it is closed
	written  bool          // failing commits are written all the same
	commits  int
	messages int
	reads    int
	lost     map[uint64]bool // messages that cannot be read back
}

var errDisk = errors.New("the disk is on fire")

func newTestStore() *testStore { return &testStore{Store: memstore.New()} }

func (s *testStore) Commit(ctx context.Context, b *store.Batch) error {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	fail := s.fail > 0
	if fail {
		s.fail--
	} else {
		s.commits++
		s.messages += len(b.Messages)
	}
	written := s.written
	s.mu.Unlock()
	if fail && !written {
		return errDisk
	}
	err := s.Store.Commit(ctx, b)
	if fail {
		return errDisk
	}
	return err
}

func (s *testStore) Messages(ctx context.Context, seqs []uint64) ([]*store.Message, error) {
	read, err := s.Store.Messages(ctx, seqs)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	for i := range read {
		if s.lost[seqs[i]] {
			read[i] = nil
		}
	}
	return read, err
}

func (s *testStore) counts() (commits, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits, s.messages
}

func (s *testStore) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
