package main

import (
	"os"
	"sync"

	"golang.org/x/term"
)

// A terminal is where a person types. A nil terminal is none.
type terminal struct {
	fd int

	mu     sync.Mutex
	saved  *term.State // as it was found
	hidden bool        // shows nothing of what is typed
}

// terminalOf returns the terminal that r is, or nil.
func terminalOf(r any) *terminal {
	f, ok := r.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	saved, err := term.GetState(int(f.Fd()))
	if err != nil {
		return nil
	}
	return &terminal{fd: int(f.Fd()), saved: saved}
}

// hide stops showing what is typed, such as a password. It reports false if the
// terminal goes on showing it.
func (t *terminal) hide() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hidden = t.hidden || noEcho(t.fd)
	return t.hidden
}

// edit leaves the terminal to a line editor, which shows itself what is typed,
// also what was typed while it did not look.
func (t *terminal) edit() {
	if t == nil {
		return
	}
	t.hide()
	t.mu.Lock()
	defer t.mu.Unlock()
	keepEnd(t.fd)
}

// restore leaves the terminal as it was found.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hidden = false
	term.Restore(t.fd, t.saved)
}
