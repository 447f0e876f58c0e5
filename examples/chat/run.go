package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// How long to wait for the mail that was announced at the login: before the
// first command, so that its answer stands behind the mail, and at the end of
// input, since who pipes in nothing but a name and a password wants to read
// it. And how long, after ^C, for the answer to a command and for the server's
// goodbye.
const (
	mailFirst  = 2 * time.Second
	mailLast   = 10 * time.Second
	answerWait = time.Second
	logoutWait = 5 * time.Second
)

// errShown ends the program with a failure of which the screen told already.
var errShown = errors.New("shown")

// run is the program. It ends when the input does, at logout, when ctx is done
// (^C), and when the server ends the session; the last is an error, as is
// everything that prevents the login.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	o, err := parseArgs(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.forget {
		said, err := forget(&o)
		if err == nil {
			fmt.Fprintln(stdout, said)
		}
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	in := newLineReader(stdin)
	defer in.close()

	tty := terminalOf(stdin)
	defer tty.restore()
	l := &login{out: stdout, in: in, tty: tty, user: o.user}
	if l.password, err = passwordFrom(ctx, o.passwordFile, o.passwordCommand, stderr); err != nil {
		return err
	}
	if l.user != "" {
		if err := chatproto.CheckName(l.user); err != nil {
			return usageError("-user: " + reason(err))
		}
	}

	s := newSession(&plainScreen{out: stdout, in: in}, style{times: o.times})
	trace := &tracer{out: stderr}
	full := editable(stdin, stdout, stderr)
	if full {
		ed := newEditor(tty, s.users)
		s.screen, s.style.colour = ed, os.Getenv("NO_COLOR") == ""
		trace.screen = ed
	}
	defer s.screen.close()

	cfg, err := o.config(l, stderr)
	if err != nil {
		return err
	}
	cfg.Callbacks = s.callbacks()
	cfg.Callbacks.OnStaysConnected = func(_ context.Context, why error) {
		notice := "chat: the connection stays open: " + chatclient.Display(reason(why))
		if full {
			s.screen.print(notice)
		} else {
			fmt.Fprintln(stderr, notice)
		}
	}
	if tty != nil && terminalOf(stdout) != nil {
		cfg.TrustServer = l.trust
	}
	if o.debug {
		cfg.Trace = trace.line
	}
	if o.state != "" {
		if cfg.StateFile, err = chatclient.OpenStateFile(o.state); err != nil {
			return stateText(o.state, err)
		}
		s.stateFile = o.state
		defer func() { err = s.closeState(cfg.StateFile, err) }()
	}
	if s.client, err = chatclient.Dial(ctx, cfg); err != nil {
		return o.loginError(ctx, err, stdout)
	}
	if full {
		tty.edit()
	} else {
		tty.restore()
	}
	return o.overError(s.talk(ctx, quit))
}

// dial opens connections to servers. Tests put other machines there.
var dial = func(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// config is what the arguments say about the connection.
func (o *options) config(l *login, stderr io.Writer) (cfg chatclient.Config, err error) {
	cfg = chatclient.Config{
		Addr: o.addr, User: l.user, Password: l.password, Credentials: l.credentials,
		Fingerprint: o.fingerprint, Heartbeat: o.heartbeat, PeerListen: o.listen, Relay: true,
	}
	missing, err := openHome(o.home, &cfg)
	if err != nil {
		return cfg, err
	}
	if missing != nil {
		fmt.Fprintf(stderr, "chat: the keys of servers and users are forgotten at the end: %s\n", chatclient.Display(missing.Error()))
	}
	if o.cleartext {
		cfg.Cleartext = chatclient.CleartextAlways
	}
	if o.dialBack.on {
		cfg.DialBack = &chatclient.DialBack{Listen: o.dialBack.listen}
	}
	warned := !o.cleartext
	cfg.Dial = func(ctx context.Context) (net.Conn, error) {
		nc, err := dial(ctx, o.addr)
		if err == nil && !warned && isElsewhere(nc) {
			warned = true
			fmt.Fprintf(stderr, "chat: without TLS everybody on the way to %s can read every message, and change it\n", chatclient.Display(o.addr))
		}
		return nc, err
	}
	return cfg, nil
}

// talk executes what is typed until there is a reason to end. It returns why
// the client ended by itself, if it did.
func (s *session) talk(ctx context.Context, quit func()) error {
	select {
	case <-s.welcomed:
	case <-s.client.Done():
		return s.client.Err()
	case <-ctx.Done():
	}
	s.readMail(ctx, mailFirst)
	lines := s.screen.lines(ctx, quit)
	for ctx.Err() == nil {
		select {
		case line, ok := <-lines:
			if !ok {
				s.readMail(ctx, mailLast)
				s.logout()
				return nil
			}
			if s.execute(ctx, line) {
				s.logout()
				return nil
			}
		case <-s.client.Done():
			s.leave(lines)
			return s.client.Err()
		case <-ctx.Done():
		}
	}
	s.leave(lines)
	s.logout()
	return nil
}

// readMail waits until the mail that was announced at the login is on the
// screen, or until enough is enough.
func (s *session) readMail(ctx context.Context, enough time.Duration) {
	t := time.NewTimer(enough)
	defer t.Stop()
	select {
	case <-s.read:
	case <-s.client.Done():
	case <-ctx.Done():
	case <-t.C:
	}
}

// logout ends the session with the server's goodbye, or without if there is
// none to be had.
func (s *session) logout() {
	ctx, cancel := context.WithTimeout(context.Background(), logoutWait)
	defer cancel()
	s.client.Logout(ctx)
}

// overError says why the client ended by itself.
func (o *options) overError(err error) error {
	if err == nil {
		return nil
	}
	if text := o.serverText(err); text != "" {
		return errors.New(text)
	}
	return errors.New("the session is over: " + reason(err))
}

// loginError says why there was no login, for standard error. The lockout is
// part of the screen.
func (o *options) loginError(ctx context.Context, err error, stdout io.Writer) error {
	var network *net.OpError
	var file *fs.PathError
	server := o.serverText(err)
	switch {
	case errors.Is(err, chatproto.ErrLockedOut):
		fmt.Fprintln(stdout, chatclient.Display(reason(err)))
		return errShown
	case ctx.Err() != nil:
		return errShown
	case errors.Is(err, errNoLogin), errors.Is(err, errNotTrusted):
		return err
	case server != "":
		return errors.New(server)
	case errors.Is(err, chatclient.ErrStateUser):
		return stateText(o.state, err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("cannot reach the server at %s: %s", chatclient.Display(o.addr), reason(err))
	case errors.As(err, &network) && network.Op == "listen":
		return fmt.Errorf("cannot listen for private chats on %v: %s", network.Addr, reason(err))
	}
	if errors.As(err, &file) {
		return errors.New(chatclient.Display(strings.TrimPrefix(err.Error(), "chatclient: ")))
	}
	return errors.New(chatclient.Display(reason(err)))
}

// editable reports whether the line editor can be used: it draws on the
// terminal of the process, and asks standard error for the size.
func editable(stdin, stdout, stderr any) bool {
	return stdin == any(os.Stdin) && stdout == any(os.Stdout) && stderr == any(os.Stderr) &&
		terminalOf(stdin) != nil && terminalOf(stdout) != nil && terminalOf(stderr) != nil &&
		os.Getenv("TERM") != "dumb"
}

// A tracer shows the lines of the protocol.
type tracer struct {
	screen screen // if standard error is the screen, else nil
	mu     sync.Mutex
	out    io.Writer
}

func (t *tracer) line(sent bool, line []byte) {
	s := "S: " + chatclient.Display(string(line))
	if sent {
		s = "C: " + s[3:]
	}
	if t.screen != nil {
		t.screen.print(s)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, s)
}
