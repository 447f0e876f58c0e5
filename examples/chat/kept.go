package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// stateText says why there is no state file to be had.
func stateText(file string, err error) error {
	file = chatclient.Display(file)
	switch {
	case errors.Is(err, chatclient.ErrStateInUse):
		return fmt.Errorf("-state: %s is in use by another chat; each needs a file of its own", file)
	case errors.Is(err, chatclient.ErrStateUser):
		return fmt.Errorf("-state: %s is of another user; each needs a file of its own", file)
	case errors.Is(err, errors.ErrUnsupported):
		return errors.New("-state: this system cannot lock files, which it needs")
	}
	return fmt.Errorf("-state: %s", reason(err))
}

// outcome tells what became of a message of an earlier start.
func (s *session) outcome(_ context.Context, o chatclient.Outcome) {
	what := "The message to " + o.To
	switch {
	case o.Broadcast:
		what = "The broadcast"
	case o.Private:
		what = "The private message to " + o.To
	}
	what += " that was kept, " + shortened(o.Text) + ", "
	var refusal *chatproto.Error
	switch {
	case o.Err == nil:
		s.tell(what + "was sent.")
	case errors.Is(o.Err, chatclient.ErrUnknown):
		s.tell(what + "may have been delivered or not (" + reason(o.Err) + ").")
	case errors.As(o.Err, &refusal):
		s.tell(what + "was refused: " + reason(o.Err))
	default:
		s.tell(what + "was not sent: " + reason(o.Err))
	}
}

// shortened is the beginning of a text, in quotes.
func shortened(text string) string {
	const most = 40 // columns, enough to know it by
	text = oneLine(text)
	if chatclient.DisplayWidth(text) <= most {
		return strconv.Quote(text)
	}
	for i := range text {
		if chatclient.DisplayWidth(text[:i]) >= most-len(" ...") {
			return strconv.Quote(text[:i] + " ...")
		}
	}
	return strconv.Quote(text)
}

// isKept reports whether a message that has no answer is in the state file,
// to be sent by a later start. A private one is not: this start logs out, which
// ends the consent to it.
func (s *session) isKept(line string, err error) bool {
	if s.stateFile == "" || !errors.Is(err, chatclient.ErrUnknown) {
		return false
	}
	if c, _ := parse(line); c == nil || c.name == "private" {
		return false
	}
	return errors.Is(err, chatclient.ErrKept) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// writeDown is how long a message may take to get into the state file.
const writeDown = 200 * time.Millisecond

// leave sees to the lines that were typed and not executed when the program
// ends early: messages go into the state file, if there is one, and of
// everything else it is told that it was not done.
func (s *session) leave(lines <-chan string) {
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			s.leaveLine(line)
		default:
			return
		}
	}
}

func (s *session) leaveLine(line string) {
	c, in := parse(line)
	if c == nil || c.run == nil {
		return
	}
	if s.stateFile != "" && (c.name == "message" || c.name == "broadcast") {
		ctx, cancel := context.WithTimeout(context.Background(), writeDown)
		defer cancel()
		if err := c.run(ctx, s, in); err == nil || s.isKept(line, err) {
			s.answer(line, in, err)
			return
		}
	}
	s.tell(`"` + line + `" was not done`)
}

// closeState closes the state file at the end of the program, which has ended
// with err so far.
func (s *session) closeState(file *chatclient.StateFile, err error) error {
	s.screen.close() // nothing more waits for it
	if s.client != nil {
		t := time.NewTimer(logoutWait)
		defer t.Stop()
		select {
		case <-s.client.Done():
		case <-t.C: // the screen takes nothing; what is in the file stays as good as it is
			return err
		}
	}
	if failed := file.Close(); failed != nil && err == nil {
		return stateText(s.stateFile, failed)
	}
	return err
}
