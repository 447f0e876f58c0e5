package chatclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A keeper keeps the memory of its client in a state file: what is sent is
// written down before it goes out, and what was taken before it is
// acknowledged. Whatever comes together while the file is being synced shares
// the next sync. Without a file it does nothing and delays nothing.
//
// Client.mu guards it, but for io.
type keeper struct {
	c    *Client
	file *StateFile // nil: none

	io      chan struct{} // a lock: one flush at a time; taken before Client.mu
	acks    []dueAck
	answers []dueAnswer
	wait    time.Duration // before the next try, after a failure
	timer   *time.Timer   // not nil: it will flush

	wake, stop, done chan struct{}
}

// A dueAck is an acknowledgement that waits for the marks of its messages.
type dueAck struct {
	cn    *conn
	count uint64
	pos   uint64
}

// A dueAnswer is a refusal that waits to be told until it is certain that the
// message is never sent again (SPEC section 6.3).
type dueAnswer struct {
	k   *call
	a   answer
	pos uint64
}

func newKeeper(c *Client) *keeper {
	return &keeper{c: c, file: c.cfg.StateFile, io: make(chan struct{}, 1), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// begin takes the file and what an earlier client left in it.
func (kp *keeper) begin() error {
	if kp.file == nil {
		return nil
	}
	if err := kp.file.attach(); err != nil {
		return err
	}
	kp.file.restore(&kp.c.box)
	for _, k := range kp.c.box.kept {
		k.then = func(error) { kp.tell(k) }
	}
	for _, k := range kp.file.untold() {
		kp.tell(k)
	}
	go kp.run()
	return nil
}

// run is the keeper's goroutine.
func (kp *keeper) run() {
	defer close(kp.done)
	for {
		select {
		case <-kp.stop:
			return
		case <-kp.wake:
			kp.flush()
		}
	}
}

// finish writes the last changes and gives the file back.
func (kp *keeper) finish() {
	if kp.file == nil {
		return
	}
	close(kp.stop)
	<-kp.done
	kp.flush()
	kp.c.mu.Lock()
	kp.calm()
	kp.c.mu.Unlock()
	kp.file.detach()
}

// signal lets the keeper's goroutine flush.
func (kp *keeper) signal() {
	if kp.file == nil {
		return
	}
	select {
	case kp.wake <- struct{}{}:
	default:
	}
}

// belongs refuses a user who is not the file's.
func (kp *keeper) belongs(user string) error {
	if kp.file == nil {
		return nil
	}
	if owner := kp.file.owner(); owner != "" && owner != user {
		return fmt.Errorf("chatclient: %s: %w (%s, not %s)", kp.file.path, ErrStateUser, owner, user)
	}
	return nil
}

// welcome notes a login, and reports whether it is to the same life of the
// server as the one before. If that has not seen a message that is left over,
// it will decide it now for the first time.
func (kp *keeper) welcome(user, boot string, w *welcome) (same bool) {
	if kp.file == nil {
		return false
	}
	kp.c.mu.Lock()
	defer kp.c.mu.Unlock()
	same = kp.file.welcome(user, boot)
	for _, k := range kp.c.box.kept {
		if k.leftover && k.writes == 1 && same && w.known && k.n > w.high {
			k.writes = 0
		}
	}
	return same
}

// ack acknowledges deliveries once their marks are durable.
func (kp *keeper) ack(cn *conn, count uint64) {
	if kp.file == nil || kp.file.mutant.ackUnsynced {
		kp.c.ack(cn, count)
		return
	}
	kp.c.mu.Lock()
	defer kp.c.mu.Unlock()
	kp.acks = append(kp.acks, dueAck{cn, count, kp.file.at()})
	kp.signal()
}

// answered takes the answer to a message. Client.mu is held.
func (kp *keeper) answered(k *call, a answer) {
	if kp.file == nil {
		k.finish(a)
		return
	}
	pos := kp.c.box.settled(k, a)
	if a.code.Class() == 2 {
		// If the program dies before this is written down the message is sent
		// again, which the server recognizes.
		k.finish(a)
		kp.soon(forgetWithin)
		return
	}
	kp.answers = append(kp.answers, dueAnswer{k, a, pos})
	kp.signal()
}

// forgetWithin is how long the file may lack that a message was accepted.
const forgetWithin = 50 * time.Millisecond

// soon flushes within d. Client.mu is held.
func (kp *keeper) soon(d time.Duration) {
	if kp.timer == nil {
		kp.timer = time.AfterFunc(d, kp.signal)
	}
}

// calm stops the timer. Client.mu is held.
func (kp *keeper) calm() {
	if kp.timer != nil {
		kp.timer.Stop()
		kp.timer = nil
	}
}

// flush makes durable what was noted, and does what waited for that.
func (kp *keeper) flush() error {
	if kp.file == nil {
		return nil
	}
	kp.io <- struct{}{}
	defer func() { <-kp.io }()
	pos, err := kp.file.sync()
	kp.c.mu.Lock()
	defer kp.c.mu.Unlock()
	kp.calm()
	if err != nil {
		return kp.failed(pos, stateError(err))
	}
	if kp.file.at() > pos { // noted meanwhile; nothing else may come to write it
		kp.soon(forgetWithin)
	}
	kp.wait = 0
	kp.c.box.durable = max(kp.c.box.durable, pos)
	kp.c.peers.noted(pos, nil)
	kp.tellAnswers(pos)
	kp.c.box.pump(kp.c.conn)
	kp.c.box.admit(kp.c.conn)
	due := 0
	for due < len(kp.acks) && kp.acks[due].pos <= pos {
		due++
	}
	if due > 0 {
		kp.c.acknowledge(kp.acks[due-1].cn, kp.acks[due-1].count)
		kp.acks = append(kp.acks[:0], kp.acks[due:]...)
	}
	return nil
}

func (kp *keeper) tellAnswers(pos uint64) {
	due := kp.answers
	kp.answers = nil
	for i, d := range due {
		if d.pos > pos {
			kp.answers = due[i:]
			return
		}
		d.k.finish(d.a)
	}
}

// Bounds of the wait before a write that failed is tried again.
const (
	rewriteMin = 100 * time.Millisecond
	rewriteMax = 10 * time.Second
)

// failed ends the requests whose numbers could not be written down. What was
// taken is not acknowledged until a later flush succeeds. Client.mu is held.
func (kp *keeper) failed(pos uint64, err error) error {
	kp.c.cfg.Logger.Error("the state file cannot be written", slog.Any("err", err))
	kp.wait = min(max(2*kp.wait, rewriteMin), rewriteMax)
	kp.soon(kp.wait)
	kp.tellAnswers(pos)
	if !kp.file.clean() {
		// It is not sent, but may be found in the file and sent after a crash.
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	kp.c.box.unissue(pos, err)
	kp.c.peers.noted(pos, err)
	return err
}

// tell queues the outcome of a message of an earlier client. Client.mu is
// held, or peers.mu.
func (kp *keeper) tell(k *call) {
	o := Outcome{ID: chatproto.ID{Origin: k.origin, N: k.n}, To: k.value, Text: k.text, Broadcast: k.verb == chatproto.CAST, Private: k.verb == chatproto.MESG,
		How: k.reply.how, Skipped: k.reply.skipped, Err: k.err}
	call := kp.c.cfg.Callbacks.OnOutcome
	if call == nil {
		kp.c.cfg.Logger.Info("a message of an earlier client has its outcome", slog.String("id", o.ID.String()), slog.Any("err", o.Err))
		kp.file.forget(o.ID)
		return
	}
	kp.c.events.push(event{key: "outcome " + o.ID.String(), call: func(ctx context.Context) {
		call(ctx, o)
		kp.file.forget(o.ID)
		kp.signal()
	}})
}

// errLeftUnknown is the outcome of a message whose server forgot it.
func errLeftUnknown(why string) error { return fmt.Errorf("%w: %w", ErrUnknown, errors.New(why)) }
