package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// errNoLogin ends a program whose input ended before it was logged in.
var errNoLogin = errors.New("the input ended before the login was complete")

// A login asks a person for a name and a password.
type login struct {
	out io.Writer
	in  *lineReader
	tty *terminal // that the answers are typed on, or nil

	user     string // as given by a flag, or typed
	password string // as given by a flag; "" asks
}

// credentials is [chatclient.Config.Credentials]. After a refusal it shows the
// server's sentence and reads the next password without another prompt, which
// is how the original's screen looks.
func (l *login) credentials(ctx context.Context, refused *chatproto.Error) (string, string, error) {
	if refused != nil {
		if l.password != "" {
			return "", "", refused
		}
		fmt.Fprintln(l.out, chatclient.Display(refused.Describe()))
	}
	for l.user == "" {
		l.prompt("Username:")
		user, err := l.in.next(ctx)
		if err != nil {
			if l.tty != nil {
				fmt.Fprintln(l.out)
			}
			return "", "", ended(err)
		}
		if err := chatproto.CheckName(user); err != nil {
			fmt.Fprintln(l.out, reason(err))
			continue
		}
		l.user = user
	}
	if l.password != "" {
		return l.user, l.password, nil
	}
	if refused == nil {
		l.tty.hide()
		l.prompt("Password:")
	}
	password, err := l.secret(ctx)
	return l.user, password, ended(err)
}

// prompt asks. On a terminal the answer stands beside the question; through
// pipes each prompt is a line.
func (l *login) prompt(s string) {
	if l.tty != nil {
		fmt.Fprint(l.out, s+" ")
	} else {
		fmt.Fprintln(l.out, s)
	}
}

// secret reads a line that does not show on the terminal, which is hidden
// before the prompt and stays so: the next password can be typed at once.
func (l *login) secret(ctx context.Context) (string, error) {
	switch {
	case l.tty == nil:
		return l.in.next(ctx)
	case l.tty.hide():
		defer fmt.Fprintln(l.out)
		return l.in.next(ctx)
	}
	defer fmt.Fprintln(l.out)
	b, err := term.ReadPassword(l.tty.fd)
	return string(b), err
}

// ended names the end of input for a person.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoLogin
	}
	return err
}

// passwordFrom returns the first line of a file, or of what a command prints.
func passwordFrom(ctx context.Context, file, command string, stderr io.Writer) (string, error) {
	var b []byte
	var err error
	switch {
	case file != "" && command != "":
		return "", usageError("-password-file and -password-command exclude each other")
	case file != "":
		b, err = os.ReadFile(file)
	case command != "":
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		if runtime.GOOS == "windows" {
			cmd = exec.CommandContext(ctx, "cmd", "/c", command)
		}
		cmd.Stderr = stderr
		if b, err = cmd.Output(); err != nil {
			err = fmt.Errorf("-password-command: %w", err)
		}
	default:
		return "", nil
	}
	if err != nil {
		return "", err
	}
	password, _, _ := strings.Cut(string(b), "\n")
	if password = strings.TrimSuffix(password, "\r"); password == "" {
		return "", errors.New("the password that was given is empty")
	}
	return password, nil
}
