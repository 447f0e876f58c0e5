package chatserver_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// A change of an account that its caller no longer waits for is a whole one
// when it is stored after all: what rested on the account before ends.
func TestAccountChangeStoredLate(t *testing.T) {
	for name, change := range map[string]func(context.Context, *chatserver.Server) error{
		"removed": func(ctx context.Context, srv *chatserver.Server) error {
			return srv.RemoveAccount(ctx, "A")
		},
		"another password": func(ctx context.Context, srv *chatserver.Server) error {
			return srv.SetPassword(ctx, "A", "two")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newRevGate()
				srv := &chatserver.Server{Store: st}
				defer srv.Close()
				if err := srv.SetPassword(t.Context(), "A", "one"); err != nil {
					t.Fatal(err)
				}
				p := lines(t, dial(t, srv, "127.0.0.1:5000"))
				p.say("HELO v=1 pres=0\nAUTH user=A pass=one")
				p.want("220")
				p.want("230")
				st.set(true, false)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := change(ctx, srv); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				st.set(false, false)
				p.want("GBYE why=removed")
				p.want("(EOF)")
				answers(t, "the old password", try(t, srv, 1, "A", "one", ""), "535 ")
			})
		})
	}
}

// A change that is not stored yet counts for the next: of two names that
// differ in capitals only one becomes an account.
func TestAccountChangesAreOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newRevGate()
		srv := &chatserver.Server{Store: st}
		defer srv.Close()
		if err := srv.SetPassword(t.Context(), "B", "b"); err != nil {
			t.Fatal(err)
		}
		st.set(true, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.SetPassword(ctx, "A", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { st.set(false, false) })
		if srv.SetPassword(t.Context(), "a", "x") == nil {
			t.Error("A and a are both accounts")
		}
	})
}
