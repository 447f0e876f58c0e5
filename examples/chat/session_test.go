package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A paper is a screen that keeps what is printed.
type paper struct {
	screen
	printed []string
}

func (p *paper) print(text string) { p.printed = append(p.printed, text) }

// That somebody changes logins is told once, until one succeeds.
func TestChangedLoginIsTold(t *testing.T) {
	p := new(paper)
	s := newSession(p, style{})
	close(s.welcomed)
	changed := &chatproto.Error{Code: chatproto.ReplyBadField, Text: "The handshake was changed on the way"}
	for _, st := range []chatclient.State{
		{Kind: chatclient.Online}, {Kind: chatclient.Waiting, Err: context.DeadlineExceeded, Retry: time.Second}, {Kind: chatclient.Connecting},
		{Kind: chatclient.Waiting, Err: changed, Retry: time.Second}, {Kind: chatclient.Connecting}, {Kind: chatclient.Waiting, Err: changed, Retry: time.Second},
		{Kind: chatclient.Online}, {Kind: chatclient.Waiting, Err: changed, Retry: time.Second},
	} {
		s.state(context.Background(), st)
	}
	const told = "Somebody between here and the server changed the login, which gave nothing away. Trying again ..."
	want := []string{"The connection is lost (no answer). Reconnecting ... what you type is sent when it is back; ^C ends.", told, "Connected again.", told}
	if diff := cmp.Diff(want, p.printed); diff != "" {
		t.Error(diff)
	}
}

// A private message without an answer is not kept, for the start that sent it
// logs out; one that an earlier start left, as it was killed, has an outcome.
func TestPrivateWithoutAnAnswer(t *testing.T) {
	p := new(paper)
	s := newSession(p, style{})
	s.stateFile = "state"
	unknown := func(err error) error { return fmt.Errorf("%w: %w", chatclient.ErrUnknown, err) }
	for _, line := range []string{"private B hello", "message B hello"} {
		_, in := parse(line)
		s.answer(line, in, unknown(context.Canceled))
	}
	_, in := parse("private B hello")
	s.answer("private B hello", in, unknown(chatclient.ErrPeerGone))
	s.outcome(context.Background(), chatclient.Outcome{To: "B", Text: "hello", Private: true, How: chatclient.Delivered})
	want := []string{
		`It is not known whether "private B hello" was delivered (interrupted).`,
		`"message B hello" has no answer yet. It is kept, and sent when chat is started with -state state again.`,
		`B is no longer at this address. You can send them an offline message through the server. It is not known whether "private B hello" was delivered.`,
		`The private message to B that was kept, "hello", was sent.`,
	}
	if diff := cmp.Diff(want, p.printed); diff != "" {
		t.Error(diff)
	}
}
