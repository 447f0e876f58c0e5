package chatserver_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// A slowLog takes ten seconds for the message that it is told.
type slowLog struct {
	slog.Handler
	message string
}

func (s slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (s slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == s.message {
		time.Sleep(10 * time.Second)
	}
	return nil
}

// Nobody waits for the log of another's end.
func TestSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, Logger: slog.New(slowLog{slog.DiscardHandler, "session ended"})}
		defer srv.Close()
		a := login(t, srv, "A")
		a.say("QUIT")
		synctest.Wait()
		began := time.Now()
		login(t, srv, "A")
		if took := time.Since(began); took != 0 {
			t.Errorf("a login waits for %v", took)
		}
	})
}
