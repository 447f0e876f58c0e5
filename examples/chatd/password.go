package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/term"
)

// maxPassword is how long a password may be, so that it fits in a frame before
// the login however it is escaped (SPEC section 10).
const maxPassword = 512

// isTerminal reports whether a person types there.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readPassword asks for a password on a terminal, twice and without showing
// it, or reads one line.
func readPassword(ctx context.Context, stdin io.Reader, prompt io.Writer, user string) (string, error) {
	if !isTerminal(stdin) {
		return passwordLine(stdin)
	}
	h, err := hide(stdin.(*os.File), prompt)
	if err != nil {
		return "", err
	}
	defer h.restore()
	first, err := h.ask(ctx, fmt.Sprintf("New password for %s: ", user))
	if err != nil {
		return "", err
	}
	if err := checkPassword(first); err != nil {
		return "", err
	}
	again, err := h.ask(ctx, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two differ; nothing was changed")
	}
	return first, nil
}

func passwordLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword+3)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	return password, checkPassword(password)
}

func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("no password was given; nothing was changed")
	case len(password) > maxPassword:
		return fmt.Errorf("a password has at most %d octets; nothing was changed", maxPassword)
	}
	return nil
}

// A hidden is a terminal that shows nothing of what is typed. It hands over
// every key, so that Ctrl-D on an empty line is the end of input.
type hidden struct {
	tty    *os.File
	found  *term.State
	lines  *term.Terminal
	screen io.Writer
	stop   atomic.Bool // Ctrl-C was typed
}

func hide(tty *os.File, screen io.Writer) (*hidden, error) {
	found, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cannot read the password: %w", err)
	}
	h := &hidden{tty: tty, found: found, screen: screen}
	h.lines = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{h, screen}, "")
	return h, nil
}

// Read reads keys.
func (h *hidden) Read(p []byte) (int, error) {
	n, err := h.tty.Read(p)
	if bytes.IndexByte(p[:n], 'C'-'@') >= 0 {
		h.stop.Store(true)
	}
	return n, err
}

// restore leaves the terminal as it was found.
func (h *hidden) restore() { term.Restore(int(h.tty.Fd()), h.found) }

// ask asks for a line.
func (h *hidden) ask(ctx context.Context, question string) (string, error) {
	type answer struct {
		password string
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		password, err := h.lines.ReadPassword(question)
		answered <- answer{password, err}
	}()
	select {
	case a := <-answered:
		switch {
		case a.err == nil:
			return a.password, nil
		case h.stop.Load():
			h.newLine()
			return "", errStopped
		case a.err == io.EOF: // Ctrl-D, or the terminal is gone
			h.newLine()
			return "", checkPassword("")
		}
		return "", fmt.Errorf("cannot read the password: %w", a.err)
	case <-ctx.Done(): // the goroutine ends with the program
		h.newLine()
		return "", errStopped
	}
}

// newLine leaves the line of the question.
func (h *hidden) newLine() { io.WriteString(h.screen, "\r\n") }
