package model

import "fmt"

// A Config says what is searched: what the sender A has to say, what may go
// wrong, how finely the steps are cut, and which rules are left out.
type Config struct {
	// Name is how a search is called where its result is printed.
	Name string

	// Messages are what A sends, in this order: B and C stand for a SEND to
	// that user, * for a CAST. At most 5.
	Messages string

	// Faults is what may go wrong, and how often in one run.
	Faults

	// Offline has C without a session at first. He may log in at any time.
	Offline bool

	// Away says that a recipient who is without a connection need not ever
	// come back.
	Away bool

	// DialBack has recipients go away, and the server call who is away when
	// something waits for him (SPEC section 7.7).
	DialBack bool

	// Flight takes requests and deliveries apart into sending and arriving,
	// so that a connection may break with some of them on their way. Without
	// it they arrive as they are sent.
	Flight bool

	// Logins takes logins apart into AUTH and 230, so that a 230 may be lost,
	// and has A begin with an origin that the server does not know.
	Logins bool

	// Restraint is how a server keeps from saying known=1 to a client that
	// does not know that its origin was registered anew.
	Restraint Restraint

	// Needless has a client that gives its origin up although nothing was
	// forgotten count as no violation.
	Needless bool

	// Exceptions has it count as a violation where the guarantee ends (SPEC
	// section 6.7, b and c).
	Exceptions bool

	// Without are the rules that are left out.
	Without []Rule
}

// Faults are numbers of faults. At 0 a fault does not happen.
type Faults struct {
	Crashes   uint8 // the server, with all connections
	Refusals  uint8 // a request is refused that might be accepted
	Drops     uint8 // A's connection breaks
	DropsBC   uint8 // that of a recipient does
	Ends      uint8 // the session of a recipient without a connection ends
	CrashesBC uint8 // the program of a recipient dies and starts again; what it has taken is first only in its memory
	Restarts  uint8 // the program of A dies and starts again, with a durable outbox
	Setbacks  uint8 // A's memory is replaced by one from before its last message
	Failures  uint8 // a commit fails, and may have been written all the same
	PageOuts  uint8 // the window of an origin leaves memory, and is read from the disk when it is needed
	Forgotten uint8 // an idle origin is forgotten: too old, or too many
	Losses    uint8 // the server crashes and loses its disk
	Backups   uint8 // a backup of the disk is made, and at some time put in its place
}

// A Restraint is a rule for the known= of a 230 (SPEC section 6.6).
type Restraint uint8

const (
	// Told is the rule of the specification: a client that had a 230 for its
	// origin says so, and an origin that is not known is then not registered.
	Told Restraint = iota

	// The rest are ideas that were tried instead. Of a new origin the server
	// says known=0 again and again, until the client has shown that it had
	// the 230, by a frame that cannot come before it.

	ShownInMemory  // what a server reads from its disk counts as shown
	ShownByLive    // so does a LIVE from the client
	ShownForgotten // what a server reads from its disk counts as not shown
	ShownOnDisk    // that it was shown is stored
)

func (r Restraint) String() string {
	return [...]string{"told by the client", "shown, in memory", "shown, by LIVE too", "shown, forgotten by a crash", "shown, on the disk"}[r]
}

func (c *Config) lacks(r Rule) bool {
	for _, x := range c.Without {
		if x == r {
			return true
		}
	}
	return false
}

// check panics at what cannot be searched.
func (c *Config) check() {
	if len(c.Messages) > maxMessages {
		panic(fmt.Sprintf("model: %d messages, at most %d", len(c.Messages), maxMessages))
	}
	for _, k := range c.Messages {
		if k != 'B' && k != 'C' && k != '*' {
			panic(fmt.Sprintf("model: a message to %q", k))
		}
	}
	if f := c.Faults; (f.Setbacks > 0 || f.Forgotten > 0 || f.Losses > 0 || f.Backups > 0 || c.Restraint != Told) && !c.Logins {
		panic("model: what ends an origin wants Logins")
	}
}

// initial is where a search begins.
func (c *Config) initial() state {
	s := state{left: c.Faults}
	s.next = 1
	for r := range s.readers {
		if r == 0 || !c.Offline {
			s.readers[r].up, s.readers[r].live, s.callable[r] = true, true, c.DialBack
		}
	}
	if !c.Logins {
		s.origins[0].win, s.disk.windows[0] = emptyWindow, emptyWindow
		s.link, s.welcomed, s.attached = online, true, true
	}
	return s
}

func (c *Config) isCast(m uint8) bool { return c.Messages[m-1] == '*' }

// to is the recipient of a SEND.
func (c *Config) to(m uint8) int { return int(c.Messages[m-1] - 'B') }
