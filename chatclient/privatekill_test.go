package chatclient_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// A private victim is a program that is killed in the middle of a private
// chat. It writes into a diary what it does: "send T" before a Private, "sent
// T" after one that was taken, "got T" in the callback, and "taken T" or
// "unknown T" for what became of a message of the program before.
type privateVictim struct {
	c         *chatclient.Client
	mu        sync.Mutex
	diary     *os.File
	asked     chan string
	addresses chan chatclient.Address
}

func (v *privateVictim) write(what, text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := fmt.Fprintln(v.diary, what, text)
	return err
}

const victimRole, victimListen = "CHATCLIENT_VICTIM_ROLE", "CHATCLIENT_VICTIM_LISTEN"

func runPrivateVictim(addr, dir string) (err error) {
	v := &privateVictim{asked: make(chan string, 100), addresses: make(chan chatclient.Address, 100)}
	if v.diary, err = os.OpenFile(filepath.Join(dir, "diary"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600); err != nil {
		return err
	}
	cfg := chatclient.Config{Addr: addr, Cleartext: chatclient.CleartextLocal, User: "victim", Password: "x", PeerListen: os.Getenv(victimListen)}
	if cfg.StateFile, err = chatclient.OpenStateFile(filepath.Join(dir, "state")); err != nil {
		return err
	}
	if cfg.Identity, err = chatclient.OpenIdentity(filepath.Join(dir, "identity")); err != nil {
		return err
	}
	cfg.Callbacks = chatclient.Callbacks{
		OnConsentAsked: func(_ context.Context, user, _ string) { v.asked <- user },
		OnAddress:      func(_ context.Context, a chatclient.Address) { v.addresses <- a },
		OnPrivate: func(_ context.Context, m chatclient.PrivateMessage) error {
			return v.write("got", m.Text)
		},
		OnOutcome: func(_ context.Context, o chatclient.Outcome) {
			what := "taken"
			if o.Err != nil {
				what = "unknown"
			}
			v.write(what, o.Text)
		},
	}
	if v.c, err = chatclient.Dial(context.Background(), cfg); err != nil {
		return err
	}
	if os.Getenv(victimRole) == "receiver" {
		for user := range v.asked {
			v.c.Consent(context.Background(), user)
		}
	}
	for life := 0; ; life++ {
		if err := v.c.RequestAddress(context.Background(), "peer"); err != nil {
			return err
		}
		<-v.addresses
		sendMany(v.c, "peer", fmt.Sprint(os.Getpid(), ".", life), func(what, text string) { v.write(what, text) })
	}
}

// sendMany sends messages until that fails, several at a time.
func sendMany(c *chatclient.Client, to, name string, note func(what, text string)) error {
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() {
			for n := 0; errs[i] == nil; n++ {
				text := fmt.Sprintf("%s.%d.%d", name, i, n)
				note("send", text)
				if _, errs[i] = c.Private(context.Background(), to, text); errs[i] == nil {
					note("sent", text)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// A survivor chats with a victim, and keeps what was sent and shown.
type survivor struct {
	*chatclient.Client
	addr, dir string
	asked     chan string
	addresses chan chatclient.Address
	ends      chan chatclient.Revocation
	left      chan struct{}

	mu     sync.Mutex
	notes  map[string]int // "send T", "sent T" and "got T", and how often
	counts map[string]int // of each of the three
	more   chan struct{}  // closed with the next note
}

func (s *survivor) note(what, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[what+" "+text]++
	s.counts[what]++
	close(s.more)
	s.more = make(chan struct{})
}

// await waits until so many more were noted.
func (s *survivor) await(t *testing.T, what string, more int) {
	t.Helper()
	timeout := time.After(time.Minute)
	s.mu.Lock()
	want := s.counts[what] + more
	s.mu.Unlock()
	for {
		s.mu.Lock()
		count, next := s.counts[what], s.more
		s.mu.Unlock()
		if count >= want {
			return
		}
		select {
		case <-next:
		case <-timeout:
			t.Fatalf("only %d of %d %s", count, want, what)
		}
	}
}

func newSurvivor(t *testing.T) *survivor {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &chatserver.Server{Accounts: chatserver.Credentials{"victim": "x", "peer": "x"}, Timeout: 8 * time.Second}
	served := async(func() error { return srv.Serve(ln) })
	s := &survivor{addr: ln.Addr().String(), dir: t.TempDir(), notes: map[string]int{}, counts: map[string]int{}, more: make(chan struct{}),
		asked: make(chan string, 1000), addresses: make(chan chatclient.Address, 1000), ends: make(chan chatclient.Revocation, 1000), left: make(chan struct{}, 1000)}
	cfg := chatclient.Config{Addr: s.addr, Cleartext: chatclient.CleartextLocal, User: "peer", Password: "x"}
	cfg.Callbacks = chatclient.Callbacks{
		OnConsentAsked: func(_ context.Context, user, _ string) { s.asked <- user },
		OnAddress:      func(_ context.Context, a chatclient.Address) { s.addresses <- a },
		OnRevoked:      func(_ context.Context, r chatclient.Revocation) { s.ends <- r },
		OnPresence: func(_ context.Context, p chatclient.Presence) {
			if !p.Online {
				s.left <- struct{}{}
			}
		},
		OnPrivate: func(_ context.Context, m chatclient.PrivateMessage) error {
			s.note("got", m.Text)
			return nil
		},
	}
	if s.Client, err = chatclient.Dial(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(s.Client); srv.Close(); <-served })
	return s
}

// start starts the victim, and returns what kills it.
func (s *survivor) start(t *testing.T, role, listen string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPrivateKill9$")
	cmd.Env = append(os.Environ(), victimAddr+"="+s.addr, victimDir+"="+s.dir, victimRole+"="+role, victimListen+"="+listen)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := async(func() (said []string) {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said = append(said, lines.Text()) // why it ended by itself
		}
		return said
	})
	return sync.OnceFunc(func() {
		cmd.Process.Kill()
		if said := <-said; len(said) > 0 {
			t.Error(said)
		}
		cmd.Wait()
	})
}

// ask asks the victim for its address, until it is there and consents.
func (s *survivor) ask(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s.RequestAddress(ctx, "victim") != nil && ctx.Err() == nil {
	}
	select {
	case <-s.addresses:
	case <-ctx.Done():
		t.Fatal("the victim does not consent")
	}
}

// endOf waits for the word that a consent has ended.
func (s *survivor) endOf(t *testing.T, owner string) {
	t.Helper()
	select {
	case r := <-s.ends:
		if want := (chatclient.Revocation{User: "victim", Owner: owner, Why: "gone"}); r != want {
			t.Errorf("the survivor is told %+v, want %+v", r, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the survivor is not told that the consent has ended")
	}
}

// check reads the diary: what was taken was shown once, and nothing was shown
// twice.
func (s *survivor) check(t *testing.T) {
	t.Helper()
	diary, err := os.ReadFile(filepath.Join(s.dir, "diary"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(diary)) {
		what, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		s.note(what, text)
	}
	for note, times := range s.notes {
		what, text, _ := strings.Cut(note, " ")
		switch {
		case what == "got" && times > 1:
			t.Errorf("%s is shown %d times", text, times)
		case what == "got" && s.notes["send "+text] != 1:
			t.Errorf("%s is shown, and was sent %d times", text, s.notes["send "+text])
		case (what == "sent" || what == "taken") && s.notes["got "+text] != 1:
			t.Errorf("%s was taken, and is shown %d times", text, s.notes["got "+text])
		}
	}
	t.Logf("%v", s.counts)
}

// takeUp lets the victim's state tell its last outcomes.
func (s *survivor) takeUp(t *testing.T) {
	file, err := chatclient.OpenStateFile(filepath.Join(s.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	left := file.Left()
	outcomes := make(chan chatclient.Outcome, 1000)
	cfg := chatclient.Config{Addr: s.addr, Cleartext: chatclient.CleartextLocal, User: "victim", Password: "x", StateFile: file}
	cfg.Callbacks.OnOutcome = func(_ context.Context, o chatclient.Outcome) { outcomes <- o }
	if cfg.Identity, err = chatclient.OpenIdentity(filepath.Join(s.dir, "identity")); err != nil {
		t.Fatal(err)
	}
	c, err := chatclient.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range left {
		if o := <-outcomes; o.Err != nil || !o.Private {
			t.Errorf("%+v", o)
		} else {
			s.note("taken", o.Text)
		}
	}
	end(c)
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("at the end %d were left", left)
}

// A program that is killed over and over in the middle of a private chat: the
// other is told each time, and nothing is shown twice after it is back. What
// it had sent it is told of when it is back, too.
func TestPrivateKill9(t *testing.T) {
	if addr := os.Getenv(victimAddr); addr != "" {
		t.Fatal(runPrivateVictim(addr, os.Getenv(victimDir)))
	}
	const lives = 5
	for _, listen := range []string{"", "the same port"} {
		t.Run("receiver"+listen, func(t *testing.T) {
			t.Parallel()
			s := newSurvivor(t)
			if listen != "" {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				listen = ln.Addr().String()
				ln.Close()
			}
			for life := range lives {
				kill := s.start(t, "receiver", listen)
				defer kill()
				if life > 0 { // it came back before its session ended, and knows of no consent
					s.endOf(t, "victim")
				}
				s.ask(t)
				sending := async(func() error { return sendMany(s.Client, "victim", fmt.Sprint("m", life), s.note) })
				s.await(t, "sent", 40+17*life)
				kill()
				if err := <-sending; !errors.Is(err, chatclient.ErrPeerGone) {
					t.Errorf("the survivor's messages end with %v", err)
				}
			}
			s.endOf(t, "victim") // with the session, this time
			<-s.left
			s.check(t)
		})
	}
	t.Run("sender", func(t *testing.T) {
		t.Parallel()
		s := newSurvivor(t)
		go func() {
			for user := range s.asked {
				s.Consent(context.Background(), user)
			}
		}()
		defer close(s.asked)
		for life := range lives {
			kill := s.start(t, "sender", "")
			defer kill()
			s.await(t, "got", 40+17*life)
			kill()
		}
		s.takeUp(t)
		s.endOf(t, "peer")
		<-s.left
		s.check(t)
		if s.counts["taken"] == 0 {
			t.Error("nothing was told of what was left")
		}
	})
}
