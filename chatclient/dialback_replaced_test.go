package chatclient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// A program that was replaced while it was away ends when it would come back,
// and does not replace the other.
func TestRealReplacedAway(t *testing.T) {
	isReplaced := func(err error) bool {
		var bye *chatclient.GoodbyeError
		return errors.As(err, &bye) && bye.Why == "replaced"
	}
	for _, test := range []struct {
		why string
		run func(t *testing.T, first *talker)
	}{
		{"half of its lease is over", func(t *testing.T, first *talker) {
			time.Sleep(6 * time.Minute)
			if err := first.Err(); !isReplaced(err) {
				t.Error("it ended by", err)
			}
		}},
		{"it has something to say", func(t *testing.T, first *talker) {
			if _, err := first.Send(t.Context(), "A", "hi"); !isReplaced(err) {
				t.Error("it was refused by", err)
			}
		}},
		{"Logout", func(t *testing.T, first *talker) {
			if err := first.Logout(t.Context()); !isReplaced(err) {
				t.Error("it logs out with", err)
			}
		}},
		{"Close", func(t *testing.T, first *talker) {
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			<-first.Done()
			if err := first.Err(); err != nil {
				t.Error("it ended by", err)
			}
		}},
	} {
		t.Run(test.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExchange(t)
				first := x.login("B")
				x.quiet(1)
				var ended error
				second := x.login("B", func(cfg *chatclient.Config) {
					cfg.DialBack = nil
					cfg.Callbacks.OnState = func(_ context.Context, st chatclient.State) {
						if st.Err != nil {
							ended = st.Err
						}
					}
				})
				test.run(t, first)
				select {
				case <-first.Done():
				case <-time.After(time.Second):
					t.Error("it goes on")
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if ended != nil || second.Err() != nil {
					t.Error("the other lost its session:", ended, second.Err())
				}
				if got := x.now().Stats(); got.Online != 1 || got.Connections != 1 {
					t.Errorf("%d are online with %d connections", got.Online, got.Connections)
				}
			})
		})
	}
}
