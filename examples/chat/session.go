package main

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A session shows what arrives and executes what is typed.
type session struct {
	screen screen
	style  style
	client *chatclient.Client // set before the first command

	stateFile string // keeps messages without an answer; "" if none does

	welcomed chan struct{} // closed once the welcome is on the screen

	mu     sync.Mutex
	names  map[string]bool // users seen so far, for completion
	mail   int             // messages that waited at the login and are still to come
	read   chan struct{}   // closed when mail is 0
	lost   bool            // the connection is lost, and the screen says so
	spoilt bool            // somebody changed a login since, and the screen says so
}

func newSession(sc screen, st style) *session {
	return &session{
		screen:   sc,
		style:    st,
		welcomed: make(chan struct{}),
		names:    map[string]bool{},
		read:     make(chan struct{}),
	}
}

// callbacks returns what the client calls. None of them fails: what is on the
// screen is delivered.
func (s *session) callbacks() chatclient.Callbacks {
	return chatclient.Callbacks{
		OnMessage: func(_ context.Context, m chatclient.Message) error {
			s.know(m.From)
			s.show(m.Time, m.From, m.Description)
			s.count()
			return nil
		},
		OnPresence: func(_ context.Context, p chatclient.Presence) {
			s.know(p.User)
			s.show(time.Now(), p.User, p.Text)
		},
		OnConsentAsked: func(_ context.Context, user, text string) {
			s.know(user)
			s.show(time.Now(), user, text)
		},
		OnAddress: func(_ context.Context, a chatclient.Address) {
			s.show(time.Now(), "", a.Text)
		},
		OnRevoked:        s.revoked,
		OnOutcome:        s.outcome,
		OnPeerKeyChanged: s.keyChanged,
		OnPrivate: func(_ context.Context, m chatclient.PrivateMessage) error {
			s.know(m.From)
			s.show(time.Now(), m.From, string(chatproto.AppendMessage(nil, m.From, []byte(m.Text))))
			return nil
		},
		OnState: s.state,
	}
}

// state tells how the connection fares: one line when it is lost, one when it
// is back, however many tries that took.
func (s *session) state(_ context.Context, st chatclient.State) {
	changed := st.Kind == chatclient.Waiting && errors.Is(st.Err, chatproto.ErrBadField)
	s.mu.Lock()
	lost, spoilt := s.lost, s.spoilt
	s.spoilt = changed || spoilt && st.Kind != chatclient.Online
	s.lost = st.Kind == chatclient.Waiting || st.Kind == chatclient.Connecting && lost
	s.mu.Unlock()
	switch {
	case st.Kind == chatclient.Online && lost:
		s.tell("Connected again.")
	case st.Kind == chatclient.Online:
		s.welcome(st)
	case changed && !spoilt:
		s.tell("Somebody between here and the server changed the login, which gave nothing away. Trying again ...")
	case st.Kind == chatclient.Waiting && !lost:
		s.tell("The connection is lost (" + reason(st.Err) + "). Reconnecting ... what you type is sent when it is back; ^C ends.")
	}
}

// welcome shows the server's greeting, whose lines stand as they are.
func (s *session) welcome(st chatclient.State) {
	select {
	case <-s.welcomed:
		return
	default:
	}
	if st.Text == "" { // this start goes on where the last one, with the same state file, was cut off
		s.tell("Connected again.")
	} else {
		s.screen.print(greeting(st.Text))
	}
	s.mu.Lock()
	if s.mail = st.Mail; s.mail == 0 {
		close(s.read)
	}
	s.mu.Unlock()
	close(s.welcomed)
}

// count counts a message, for those that waited at the login.
func (s *session) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mail > 0 {
		if s.mail--; s.mail == 0 {
			close(s.read)
		}
	}
}

// revoked tells that a consent ended, unless another line tells it already:
// that the user logged out, or is blocked.
func (s *session) revoked(_ context.Context, r chatclient.Revocation) {
	var text string
	switch mine := r.Owner != r.User; {
	case r.Why == "gone", r.Why == "blocked" && mine:
		return
	case r.Why == "expired" && mine:
		text = "Your consent to a private chat with " + r.User + " has expired."
	case r.Why == "expired":
		text = "The consent of " + r.User + " to a private chat has expired."
	case mine:
		text = "You took back your consent to a private chat with " + r.User + "."
	default:
		text = r.User + " took back the consent to a private chat."
	}
	s.tell(text)
}

// show puts a text on the screen that somebody sent.
func (s *session) show(at time.Time, name, text string) {
	s.screen.print(s.style.line(at, name, text))
}

// tell puts a sentence on the screen, the server's or our own.
func (s *session) tell(text string) { s.show(time.Now(), "", text) }

// know remembers the name of a user.
func (s *session) know(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) < 10000 {
		s.names[name] = true
	}
}

// users returns the names known so far, sorted.
func (s *session) users() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, 0, len(s.names))
	for n := range s.names {
		all = append(all, n)
	}
	sort.Strings(all)
	return all
}

// execute runs one line. It reports whether the line logs out.
func (s *session) execute(ctx context.Context, line string) (logout bool) {
	if strings.TrimSpace(line) == "" {
		return false
	}
	c, in := parse(line)
	if c == nil {
		s.invalid(line)
		return false
	}
	if c.run == nil {
		return true
	}
	ctx, cancel := s.patient(ctx)
	defer cancel()
	s.answer(line, in, c.run(ctx, s, in))
	return false
}

// answer tells what went wrong with a line.
func (s *session) answer(line string, in input, err error) {
	switch {
	case err == nil:
		if in.user != "" {
			s.know(in.user)
		}
	case errors.Is(err, chatclient.ErrNoConsent) && !errors.Is(err, chatclient.ErrUnknown):
		s.invalid(line)
	case errors.Is(err, chatclient.ErrPeerKeyChanged):
		s.tell("The key of " + in.user + " has changed, so nothing was sent. Type \"verify " + in.user + "\", compare, then \"accept " + in.user + "\".")
	case errors.Is(err, chatclient.ErrPeerGone):
		text := in.user + " is no longer at this address. You can send them an offline message through the server."
		if errors.Is(err, chatclient.ErrUnknown) {
			text += ` It is not known whether "` + line + `" was delivered.`
		}
		s.tell(text)
	case s.isKept(line, err):
		s.tell(`"` + line + `" has no answer yet. It is kept, and sent when chat is started with -state ` + s.stateFile + " again.")
	case errors.Is(err, chatclient.ErrUnknown):
		s.tell(`It is not known whether "` + line + `" was delivered (` + reason(err) + ").")
	case errors.Is(err, chatclient.ErrClosed), errors.Is(err, context.Canceled):
		// The program ends, and says why where there is a why.
	default:
		s.tell(reason(err))
	}
}

// patient returns a context that ends a moment after ctx does, so that a
// command on its way gets its answer although ^C was pressed; at once if the
// connection is lost.
func (s *session) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		s.mu.Lock()
		lost := s.lost
		s.mu.Unlock()
		if lost {
			return
		}
		t := time.NewTimer(answerWait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-later.Done():
		}
	})
	return later, func() { stop(); cancel() }
}

func (s *session) invalid(line string) { s.tell("Invalid Command: " + line) }

func runMessage(ctx context.Context, s *session, in input) error {
	_, err := s.client.Send(ctx, in.user, in.text)
	return err
}

func runBroadcast(ctx context.Context, s *session, in input) error {
	r, err := s.client.Broadcast(ctx, in.text)
	if err == nil && r.Skipped > 0 {
		s.tell("Not everybody was reached: some mailboxes are full")
	}
	return err
}

func runOnline(ctx context.Context, s *session, _ input) error {
	names, err := s.client.Online(ctx)
	if err != nil {
		return err
	}
	for _, n := range names {
		s.know(n)
		s.show(time.Now(), n, n)
	}
	return nil
}

func runBlock(ctx context.Context, s *session, in input) error {
	text, err := s.client.Block(ctx, in.user)
	if err == nil {
		s.tell(text)
	}
	return err
}

func runUnblock(ctx context.Context, s *session, in input) error {
	text, err := s.client.Unblock(ctx, in.user)
	if err == nil {
		s.tell(text)
	}
	return err
}

func runGetAddress(ctx context.Context, s *session, in input) error {
	return s.client.RequestAddress(ctx, in.user)
}

func runConsent(ctx context.Context, s *session, in input) error {
	return s.client.Consent(ctx, in.user)
}

func runRevoke(ctx context.Context, s *session, in input) error {
	return s.client.Revoke(ctx, in.user)
}

func runPrivate(ctx context.Context, s *session, in input) error {
	_, err := s.client.Private(ctx, in.user, in.text)
	return err
}

func runHelp(_ context.Context, s *session, _ input) error {
	s.screen.print(helpText())
	return nil
}
