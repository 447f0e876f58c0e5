package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

const usage = `usage: chat [flags] <server ip> <port>

A chat client for the terminal. It asks for a name and a password; /help then
lists what can be typed. Through pipes it reads commands from standard input
and logs out at its end.

flags:
`

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

// A usageError says what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// errShown ends the program with a failure of which the screen told already.
var errShown = errors.New("shown")

// options are the arguments.
type options struct {
	addr                          string
	user                          string
	passwordFile, passwordCommand string
	debug, times, cleartext       bool
	listen                        string
	heartbeat                     time.Duration
}

func parseArgs(args []string, stdout io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("chat", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.user, "user", "", "log in as this `name` instead of asking")
	fs.StringVar(&o.passwordFile, "password-file", "", "take the password from the first line of this `file`")
	fs.StringVar(&o.passwordCommand, "password-command", "", "take the password from the first line that this `command` prints")
	fs.BoolVar(&o.debug, "debug", false, "show every line of the protocol on standard error, passwords masked")
	fs.BoolVar(&o.times, "time", false, "show the time before each line")
	fs.BoolVar(&o.cleartext, "cleartext", false, "talk without TLS, to other machines too: everybody on the way can read every\nmessage, and change it")
	fs.StringVar(&o.listen, "listen", "", "listen on this `address` for private chats, such as :9000 (default: any free\nport; \"off\" does not listen)")
	fs.DurationVar(&o.heartbeat, "heartbeat", 0, "tell the server this often that the client lives (default 30s)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(stdout)
			fmt.Fprint(stdout, usage)
			fs.PrintDefaults()
			return o, err
		}
		return o, usageError(err.Error())
	}
	if fs.NArg() != 2 {
		return o, usageError(fmt.Sprintf("want a server and a port, got %d arguments", fs.NArg()))
	}
	port, err := strconv.ParseUint(fs.Arg(1), 10, 16)
	if err != nil || port == 0 {
		return o, usageError(fmt.Sprintf("%q is no port: want a number from 1 to 65535", fs.Arg(1)))
	}
	if o.heartbeat < 0 {
		return o, usageError("-heartbeat must not be negative")
	}
	if err := checkListen(o.listen); err != nil {
		return o, err
	}
	o.addr = net.JoinHostPort(fs.Arg(0), fs.Arg(1))
	return o, nil
}

// checkListen checks the address to listen on for private chats. The server
// gives no port below 1024 away.
func checkListen(addr string) error {
	if addr == "" || addr == "off" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usageError(fmt.Sprintf("-listen: %q is no address: want host:port, :port or off", addr))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 0 && n < 1024 {
		return usageError(fmt.Sprintf("-listen: %q: want a port from 1024 to 65535, or 0 for any", addr))
	}
	return nil
}

// run is the program. It ends when the input does, at logout, when ctx is done
// (^C), and when the server ends the session; the last is an error, as is
// everything that prevents the login.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parseArgs(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
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

	cfg := chatclient.Config{
		Addr: o.addr, User: l.user, Password: l.password, Credentials: l.credentials,
		Callbacks: s.callbacks(), Heartbeat: o.heartbeat,
		Cleartext: chatclient.CleartextLocal, PeerListen: o.listen,
	}
	if o.cleartext {
		cfg.Cleartext = chatclient.CleartextAlways
	}
	if o.debug {
		cfg.Trace = trace.line
	}
	if s.client, err = chatclient.Dial(ctx, cfg); err != nil {
		return loginError(ctx, o.addr, err, stdout)
	}
	if full {
		tty.hide() // the editor shows what is typed
	} else {
		tty.restore()
	}
	return s.talk(ctx, quit)
}

// talk executes what is typed until there is a reason to end.
func (s *session) talk(ctx context.Context, quit func()) error {
	select {
	case <-s.welcomed:
	case <-s.client.Done():
		return s.over()
	case <-ctx.Done():
	}
	s.readMail(ctx, mailFirst)
	lines := s.screen.lines(ctx, quit)
	for ctx.Err() == nil {
		select {
		case line, ok := <-lines:
			if !ok {
				s.readMail(ctx, mailLast)
				return s.logout()
			}
			if s.execute(ctx, line) {
				return s.logout()
			}
		case <-s.client.Done():
			return s.over()
		case <-ctx.Done():
		}
	}
	return s.logout()
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
func (s *session) logout() error {
	ctx, cancel := context.WithTimeout(context.Background(), logoutWait)
	defer cancel()
	s.client.Logout(ctx)
	return nil
}

// over says why the client ended by itself.
func (s *session) over() error {
	err := s.client.Err()
	if err == nil {
		return nil
	}
	return errors.New("the session is over: " + reason(err))
}

// loginError says why there was no login, for standard error. The lockout is
// part of the screen.
func loginError(ctx context.Context, addr string, err error, stdout io.Writer) error {
	var network *net.OpError
	switch {
	case errors.Is(err, chatproto.ErrLockedOut):
		fmt.Fprintln(stdout, indent(visible(reason(err))))
		return errShown
	case ctx.Err() != nil:
		return errShown
	case errors.Is(err, errNoLogin):
		return err
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("cannot reach the server at %s: %s", addr, reason(err))
	case errors.As(err, &network) && network.Op == "listen":
		return fmt.Errorf("cannot listen for private chats on %v: %s", network.Addr, reason(err))
	}
	return errors.New(visible(reason(err)))
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
	s := "S: " + visible(string(line))
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
