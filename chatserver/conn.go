package chatserver

import (
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A conn is one connection. One goroutine, its own or that of an event loop,
// reads it and applies its requests; another writes where that has to wait.
type conn struct {
	srv    *Server
	nc     net.Conn
	tls    *tls.Conn // nc, if it is one; settled under mu before a line is read
	opened time.Time

	// Of the goroutine that reads it. user, sess, acks and beat are settled by the
	// login, under mu, before anybody else knows the connection.
	isLocal  bool    // what local says
	told     bool    // of, by OnConnect: OnDisconnect follows
	ahead    bool    // first was read, and is still to be given to the reader
	first    [1]byte // what was looked at to tell TLS from text
	acks     bool    // the client acknowledges deliveries
	quiet    bool    // it wants no presence
	relays   bool    // it may use relayed lines
	callable bool    // it may be called back
	ended    bool    // it says nothing more
	alone    bool    // no event loop takes it: it has a goroutine always
	once     bool    // none does for its next read
	failed   int32   // logins, for a wrong password or proof
	verb     chatproto.Code
	tag      uint64 // the request's number, 0 if it has none
	reader   *chatproto.Reader
	in       *chatproto.Frame
	now      time.Time // when the read that is dealt with came
	by       *sweep
	auth     *authState // nil before HELO, and once it is logged in
	user     *user
	sess     *session
	beat     time.Duration
	why      string // the connection ended, for OnDisconnect

	socket   socket       // nc, if it is one and not TLS
	lent     *inputBuffer // the reader's, if it is of the pool
	turn     *eventLoop   // what deals with it at the moment; nil if it is a goroutine of its own
	done     chan struct{}
	callee   *callee // whom the server made it for; nil if it did not
	slab     *slab   // messages to come
	slabUsed int
	lastTo   *user // whom the last message was to; nil if nobody knows him

	taken   int // deliveries acknowledged; of the writer's goroutine if the client does not acknowledge
	toucher atomic.Pointer[sweep]

	place *list.Element // among the strangers, nil if it is none; guarded by strangers.mu

	mu        sync.Mutex
	answered  sync.Cond // on mu: something was answered, written, or ended
	version   *chatproto.Version
	machine   *chatproto.Machine
	slots     []place
	out       []byte
	counted   int // deliveries put into out so far
	handed    int // of them, taken out of it to be written
	presence  map[string]bool
	writing   bool
	fd        int32 // the socket, once it is the connection's own (conn.own); before, 0
	waits     bool  // an event loop waits for something to read; if not, a goroutine deals with it
	shut      bool  // the sending side is shut
	muted     bool  // it is sent answers only
	mum       bool  // it is sent nothing: the client expects TLS, which is not there yet
	fault     error // the server was about to break the protocol; for the log
	dead      string
	bye       *farewell
	lastWrite time.Time
	live      *time.Timer

	// Where it is in its event loop; guarded by eventLoop.mu. What the loop reads
	// of it sets heardAt without, which nobody else looks at.
	loop    *eventLoop    // nil until it was in one
	warm    int32         // its place in eventLoop.warm, from 1; 0 if it rests
	heardAt time.Duration // when a line came last, after opened
	liveTo  time.Duration // when to call sayLive, likewise
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, opened: time.Now(), version: chatproto.V1, machine: chatproto.V1.Machine(), in: new(chatproto.Frame)}
	c.reader = chatproto.NewReader((*input)(c))
	c.socket = socketOf(nc)
	c.by = new(sweep)
	c.answered.L = &c.mu
	return c
}

func (c *conn) log() *slog.Logger {
	l := c.srv.log.With("remote", addrText(c.nc.RemoteAddr()))
	if c.user != nil {
		l = l.With("user", c.user.name)
	}
	return l
}

// info describes the connection to a hook.
func (c *conn) info() ConnInfo {
	i := ConnInfo{RemoteAddr: c.nc.RemoteAddr()}
	if c.sess != nil {
		i.User, i.Origin = c.user.name, c.sess.origin.id
	}
	return i
}

// serve runs the connection to its end. A panic, of a hook or of the server
// itself, ends the program: what held a lock then must not be waited for.
func (c *conn) serve() {
	c.goOn(c.open() && c.read())
}

// goOn is what a connection's goroutine does after read: it leaves the
// connection to an event loop, if that takes it, or ends it.
func (c *conn) goOn(waits bool) {
	for waits && !c.park() {
		waits = c.read()
	}
	if !waits {
		c.finish()
	}
}

// read reads and applies requests until the connection is to end, or there
// is nothing left that an event loop could not wait for as well: it then
// reports true.
func (c *conn) read() (waits bool) {
	for {
		more := c.reader.Buffered()
		if !more && c.turn == nil {
			c.by.flush()
		}
		loops := !more && c.loops()
		if !more && !loops {
			c.stepAside()
		}
		if !c.mayRead(more || loops) {
			return false
		}
		if loops {
			return true
		}
		var err error
		if !more && (c.alone || c.once) {
			c.once = false
			err = c.fill()
		}
		if err == nil {
			err = c.reader.Next(c.in)
		}
		if !more {
			c.now = time.Now()
		}
		if err == nil {
			c.request(c.in)
			continue
		}
		var bad *chatproto.Error
		if !errors.As(err, &bad) {
			c.readFailed(err)
			return false
		}
		c.badLine(bad)
	}
}

// stepAside lets what the requests so far have caused leave, for what comes next
// may take its time. On an event loop it hands that over to another goroutine.
// The caller holds no lock.
func (c *conn) stepAside() {
	c.by.flush()
	if c.turn != nil {
		c.turn.leave(c)
		c.startHeartbeat()
	}
}

// mayRead waits until there is room for what a request causes, sets the
// deadline of the next read unless nothing is read now, and reports whether to
// read on.
func (c *conn) mayRead(noRead bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.crowded() {
		c.mu.Unlock()
		c.stepAside()
		c.mu.Lock()
		if c.crowded() {
			c.answered.Wait()
		}
	}
	if c.dead != "" || c.bye != nil || c.machine.Phase() >= chatproto.Closing {
		return false
	}
	if !noRead {
		if !c.writing {
			c.keepWritable()
		}
		if c.fd > 0 {
			c.heardAt = time.Since(c.opened)
		} else {
			c.nc.SetReadDeadline(c.deadline())
		}
	}
	return true
}

// crowded reports whether the client must read or wait before more is read of
// it. The caller holds mu.
func (c *conn) crowded() bool {
	limit := c.srv.Limits.OutboundBytes
	if c.user == nil {
		limit = strangerLimit
	}
	return c.dead == "" && c.bye == nil && (len(c.out) >= limit || len(c.slots) >= c.version.Limits.Unanswered)
}

// deadline is when a client that stays silent from now on has been so for too
// long.
func (c *conn) deadline() time.Time {
	switch {
	case c.sess == nil && c.callee != nil:
		return c.callee.until
	case c.sess == nil:
		return c.opened.Add(c.srv.LoginTimeout)
	}
	return time.Now().Add(c.patience())
}

// patience is how long a client that is logged in may be silent.
func (c *conn) patience() time.Duration {
	if c.beat == 0 {
		return c.srv.IdleTimeout
	}
	return c.srv.Timeout
}

// silent ends a connection whose client was silent for too long.
func (c *conn) silent() {
	c.readFailed(os.ErrDeadlineExceeded)
	c.finish()
}

// badLine answers a line that was no frame.
func (c *conn) badLine(e *chatproto.Error) {
	c.verb, c.tag = 0, 0
	c.mu.Lock()
	tooMany := c.machine.BadLine()
	c.mu.Unlock()
	c.answer(slot{code: e.Code, text: e.Describe(), fields: []field{{"at", strconv.Itoa(e.At)}}})
	c.waitAnswered()
	if tooMany {
		c.goodbye("protocol", "Too many lines in a row that are no commands")
	}
}

// readFailed ends the connection as the error of the read says.
func (c *conn) readFailed(err error) {
	c.mu.Lock()
	woken := c.bye != nil || c.dead != ""
	c.mu.Unlock()
	switch {
	case woken: // to say goodbye, or to say nothing
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		c.why = "end of input"
		c.ended = true
	case err == errTruncated: // what came before was the client's, and is answered
		c.why = err.Error()
		c.ended = true
	case errors.Is(err, chatproto.ErrNoEndOfLine):
		c.goodbye("protocol", "No end of line within 64 KiB")
	case errors.Is(err, os.ErrDeadlineExceeded):
		text := "You were silent for too long"
		if c.sess == nil {
			text = "Logging in took too long"
		} else {
			c.srv.end(c.sess, c, "timeout")
		}
		c.goodbye("timeout", text)
	default:
		c.die(err.Error())
	}
}

// waitAnswered waits until everything that was read is answered, so that the
// answer to a request without a number comes before the next is read.
func (c *conn) waitAnswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.slots) > 0 && c.dead == "" {
		c.mu.Unlock()
		c.stepAside()
		c.mu.Lock()
		if len(c.slots) > 0 && c.dead == "" {
			c.answered.Wait()
		}
	}
}
