package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/parleyproto/parley/chatproto"
)

// errBroken says that the server did not do what the protocol promises, which
// is worse than anything that was measured.
var errBroken = errors.New("the server broke its promise")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errBroken, fmt.Errorf(format, args...))
}

// errBye says that the server said goodbye to a QUIT.
var errBye = errors.New("logged out")

// bufferSize is the read buffer of a busy connection; an idle one has room for
// the longest frame.
const bufferSize = 64 << 10

// A client is one connection of one user, and as cheap as it can be: it keeps
// no message, only the numbers by which it checks the server. One goroutine
// reads, and one sends; in most workloads they are the same.
type client struct {
	user   string
	origin uint64
	nc     net.Conn
	br     *bufio.Reader
	in     chatproto.Frame
	out    []byte // to be written by flush
	acks   []byte // of the reader, to be written before out
	inbox  *inbox // as long as it is logged in
	high   uint64 // the last number at the login

	sent     atomic.Uint64 // the last number given to a request
	answered atomic.Uint64 // the last number that was answered
	taken    atomic.Uint64 // deliveries of this run, acknowledged
	direct   atomic.Uint64 // answers that said how=delivered
	counted  uint64        // deliveries of this connection
	// refused takes the refusal of a message. nil: there must be none.
	refused func(n uint64, code chatproto.Code) error
	reads   bool // a goroutine of the fleet reads it to its end
}

// unanswered is how many messages wait for their answer.
func (c *client) unanswered() int { return int(c.sent.Load() - c.answered.Load()) }

// send puts a message into the outbound buffer; to "" is to everybody.
func (c *client) send(to string, text []byte) error {
	code := chatproto.SEND
	if to == "" {
		code = chatproto.CAST
	}
	l := chatproto.Begin(c.out, code)
	l.Uint("n", c.sent.Add(1))
	if to != "" {
		l.Field("to", to)
	}
	var err error
	c.out, err = l.EndBytes(text)
	return err
}

// flush writes the acknowledgement that is due, and what was sent. It is for
// the goroutine that reads and sends; who only reads calls acknowledge, who
// only sends post.
func (c *client) flush() error {
	if len(c.acks) > 0 {
		c.acks = append(c.acks, c.out...)
		c.out = c.out[:0]
	} else if len(c.out) > 0 {
		return c.post()
	}
	return c.acknowledge()
}

// post writes what was sent.
func (c *client) post() error {
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return c.lost(err)
	}
	return nil
}

// acknowledge writes the acknowledgement that is due, if there is one.
func (c *client) acknowledge() error {
	if len(c.acks) == 0 {
		return nil
	}
	_, err := c.nc.Write(c.acks)
	c.acks = c.acks[:0]
	if err != nil {
		return c.lost(err)
	}
	c.taken.Store(c.inbox.got)
	return nil
}

// read waits for a frame, and takes it and all that came with it. The
// acknowledgement of what was delivered is written by the next flush.
func (c *client) read() error {
	counted := c.counted
	for {
		if err := c.frame(); err != nil {
			return err
		}
		if err := c.take(); err != nil {
			return err
		}
		if c.br.Buffered() == 0 {
			break
		}
	}
	if c.counted == counted {
		return nil
	}
	l := chatproto.Begin(c.acks[:0], chatproto.ACKD) // of all until now, so one suffices
	l.Uint("count", c.counted)
	var err error
	c.acks, err = l.End("")
	return err
}

// frame reads the next frame.
func (c *client) frame() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if err := chatproto.Parse(&c.in, line); err != nil {
		return broken("%s was sent a line that is no frame: %w", c.user, err)
	}
	return nil
}

// line reads the next line without its end. It is valid until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, broken("%s was sent a line of more than %d octets", c.user, chatproto.V1.Limits.Frame)
	}
	if err != nil {
		return nil, c.lost(err)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// lost names the connection that broke.
func (c *client) lost(err error) error {
	if err == io.EOF {
		err = errors.New("the server closed it without a word")
	}
	return fmt.Errorf("the connection of %s: %w", c.user, err)
}

// take handles one frame of the phase Ready.
func (c *client) take() error {
	f := &c.in
	switch {
	case f.Code == chatproto.ReplyAccepted:
		lo, hi, ok := f.Range("n")
		if how, _ := f.Get("how"); string(how) == "delivered" {
			c.direct.Add(hi - lo + 1)
		}
		if _, skipped := f.Get("skipped"); skipped {
			return fmt.Errorf("a broadcast of %s left users out, whose mailboxes are full: was this server used before?", c.user)
		}
		return c.answer(lo, hi, ok)
	case f.Code == chatproto.ReplyBye:
		if n := c.unanswered(); n > 0 {
			return broken("the server said goodbye to %s and left %d messages unanswered", c.user, n)
		}
		return errBye
	case f.Code == chatproto.GBYE, f.Code == chatproto.ReplyUnavailable:
		return fmt.Errorf("the server ended the connection of %s: %s", c.user, f.Description)
	case f.Code.IsReply():
		n, _, ok := f.Range("n")
		if c.refused == nil {
			return fmt.Errorf("message %d of %s was refused: %s %s", n, c.user, f.Code, f.Description)
		}
		if err := c.answer(n, n, ok); err != nil {
			return err
		}
		return c.refused(n, f.Code)
	}
	if _, delivery := f.Get("id"); !delivery {
		return nil // LIVE, or one that this version does not know
	}
	c.counted++
	if err := c.inbox.take(f); err != nil {
		return broken("%s was delivered %w", c.user, err)
	}
	return nil
}

// answer takes the answer to the requests lo to hi, which must be the next
// that are due (SPEC section 5.2).
func (c *client) answer(lo, hi uint64, ok bool) error {
	switch due := c.answered.Load() + 1; {
	case !ok || lo == 0:
		return broken("%s got an answer without a number", c.user)
	case lo < due:
		return broken("%s got a second answer to message %d", c.user, lo)
	case lo > due:
		return broken("%s got an answer to message %d where that to %d was due", c.user, lo, due)
	case hi > c.sent.Load():
		return broken("%s got an answer to message %d, which was not sent", c.user, hi)
	}
	c.answered.Store(hi)
	return nil
}

// receive reads and acknowledges until the server said goodbye; after each
// read it calls each, which may be nil, with the number of deliveries taken
// so far.
func (c *client) receive(each func(taken uint64) error) error {
	for {
		err := c.read()
		if err == errBye {
			return nil
		}
		if err == nil {
			err = c.acknowledge()
		}
		if err == nil && each != nil {
			err = each(c.taken.Load())
		}
		if err != nil {
			return err
		}
	}
}
