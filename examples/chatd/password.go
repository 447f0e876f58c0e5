package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	tty := stdin.(*os.File)
	first, err := askHidden(ctx, tty, prompt, fmt.Sprintf("New password for %s: ", user))
	if err != nil {
		return "", err
	}
	if err := checkPassword(first); err != nil {
		return "", err
	}
	again, err := askHidden(ctx, tty, prompt, "The same again: ")
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

// askHidden reads a line that is not shown. The terminal is left as it was
// found, also if ctx ends before.
func askHidden(ctx context.Context, tty *os.File, prompt io.Writer, question string) (string, error) {
	fd := int(tty.Fd())
	found, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	fmt.Fprint(prompt, question)
	type answer struct {
		password []byte
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		answered <- answer{b, err}
	}()
	select {
	case a := <-answered:
		fmt.Fprintln(prompt)
		return string(a.password), a.err
	case <-ctx.Done():
		term.Restore(fd, found) // the goroutine ends with the program
		fmt.Fprintln(prompt)
		return "", errStopped
	}
}
