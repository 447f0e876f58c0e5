package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// A lateStore takes so long to commit, or fails.
type lateStore struct {
	store.Store
	takes atomic.Int64
	fails atomic.Bool
}

func (l *lateStore) Commit(ctx context.Context, batch *store.Batch) error {
	time.Sleep(time.Duration(l.takes.Swap(0)))
	if l.fails.Load() {
		return errors.New("the disk is gone")
	}
	return l.Store.Commit(ctx, batch)
}

// TestShutdownLate: chatd that cannot store while it ends says what is lost, and
// that is nothing if it could in time, also if clients were cut off meanwhile.
func TestShutdownLate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		fails bool
		warns bool
		err   string
	}{
		{"in time", shutdownTime / 2, false, false, ""},
		{"after the clients", shutdownTime + 2*time.Second, false, true, ""},
		{"never", 0, true, true, "chatserver: not everything could be stored: the disk is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				st := &lateStore{Store: memstore.New()}
				logger := slog.New(slog.NewTextHandler(&lines{w: &log}, nil))
				d := &daemon{logger: logger, srv: &chatserver.Server{Store: st, AllowCleartext: true, Logger: logger,
					Accounts: chatserver.Credentials{"A": "a", "B": "b"}}}
				client, server := net.Pipe()
				defer client.Close()
				go d.srv.ServeConn(server)
				lines := bufio.NewScanner(client)
				say := func(line string) {
					if _, err := io.WriteString(client, line+"\r\n"); err != nil {
						t.Fatal(err)
					}
				}
				want := func(prefix string) {
					if !lines.Scan() || !strings.HasPrefix(lines.Text(), prefix) {
						t.Fatalf("got %q, want %q", lines.Text(), prefix)
					}
				}
				say("HELO v=1 acks=1 pres=0")
				want("220 ")
				say("AUTH user=A pass=a origin=1")
				want("230 ")
				st.takes.Store(int64(tt.takes))
				st.fails.Store(tt.fails)
				say("SEND n=1 to=B :hello")
				go io.Copy(io.Discard, client)
				synctest.Wait()
				switch err := d.shutDown(t.Context()); {
				case err == nil && tt.err != "", err != nil && err.Error() != tt.err:
					t.Errorf("chatd ends with %v, want %q", err, tt.err)
				}
				if warns := strings.Contains(log.String(), "cut off"); warns != tt.warns {
					t.Errorf("the log says %s", &log)
				}
			})
		})
	}
}
