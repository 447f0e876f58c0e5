package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/reeflective/readline"
	"golang.org/x/term"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

const prompt = ">"

// An editor is the screen on a terminal: a line editor at the bottom, and
// above it what comes in. The line that is being typed is never broken.
//
// The readline library draws on the goroutine that is inside Readline and
// nowhere else. So print only leaves its block in pending and wakes that
// goroutine, which calls the hint provider once while it draws, right after
// the prompt; drain then puts the blocks above it, as part of the same write
// to the terminal.
type editor struct {
	shell *readline.Shell
	tty   *terminal

	// Counts, on the goroutine of Readline only, that tell drain whether it
	// runs while a whole frame is drawn. The prompt is asked for at the start
	// of a frame, but also while a line is accepted, where nothing may be put
	// above it; the highlighter runs at the end of a frame, after which a line
	// of several rows asks for the prompt once more.
	prompts, owed int

	mu      sync.Mutex
	room    sync.Cond // pending has room, or the editor is closed
	pending strings.Builder
	reading bool // inside Readline, which draws what is pending
	closed  bool
}

// maxPending bounds what waits for a terminal that takes nothing (^S). Who
// prints more waits too, and so the server keeps the rest.
const maxPending = 1 << 20

// newEditor returns an editor on tty, the terminal of the process. users returns
// the names that Tab completes.
func newEditor(tty *terminal, users func() []string) *editor {
	e := &editor{shell: readline.NewShell(), tty: tty}
	e.room.L = &e.mu
	// The probe would wait for ever on a terminal that does not answer it.
	// What it is for, space at the bottom of the window, drain sees to.
	for name, value := range map[string]bool{
		"cursor-position-probe": false, "prompt-transient": false, "echo-control-characters": false,
		"enable-bracketed-paste": true, "convert-meta": false, "input-meta": true, "output-meta": true,
		"menu-complete-display-prefix": true,
	} {
		e.shell.Config.Set(name, value)
	}
	e.shell.Config.Bind("emacs", "\t", "menu-complete", false)
	ascii := e.shell.Keymap.Commands()["self-insert"]
	e.shell.Keymap.Register(map[string]func(){"self-insert": func() { e.insert(ascii) }})
	e.shell.PasteTransformer = pasted
	e.shell.Prompt.Primary(func() string { e.prompts++; return prompt })
	e.shell.Hint.SetProvider(func(line []rune, _ int) []rune { e.drain(line); return nil })
	e.shell.SyntaxHighlighter = func(line []rune) string {
		e.prompts, e.owed = 0, min(1, strings.Count(string(line), "\n"))
		return string(line)
	}
	e.shell.Completer = func(line []rune, cursor int) readline.Completions {
		return readline.CompleteValues(complete(string(line[:cursor]), users())...)
	}
	return e
}

// insert puts what was typed into the line. The library's own command, which
// ascii is, takes a letter such as ö for a key with Meta, and drops all but the
// first rune of a character that has several.
func (e *editor) insert(ascii func()) {
	typed := e.shell.Keys.Caller()
	if len(typed) == 0 || len(typed) == 1 && typed[0] < 0x80 {
		ascii()
		return
	}
	e.shell.History.SkipSave()
	e.shell.Cursor().InsertAt(typed...)
}

// pasted makes a text that was pasted one that can be typed: several lines
// become a message of several lines, which Enter sends.
func pasted(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if chatproto.CheckText(string(r)) != nil {
			return -1
		}
		return r
	}, strings.TrimRight(text, "\n"))
}

func (e *editor) print(block string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.pending.Len() > maxPending && e.reading && !e.closed {
		e.room.Wait()
	}
	if !e.reading || e.closed {
		fmt.Println(block)
		return
	}
	if runtime.GOOS == "windows" { // where the library cannot be woken
		e.shell.PrintTransientf("%s", block)
		return
	}
	e.pending.WriteString(block + "\n")
	e.shell.Keys.RequestRefresh()
}

// drain runs on the goroutine of Readline with the cursor behind the prompt.
// It puts what is pending where the prompt was and the prompt below it, and
// sees to it that there are free rows for the line: the library clears the row
// below the line, which at the bottom of the window would be the line itself.
func (e *editor) drain(line []rune) {
	if e.prompts <= e.owed {
		return
	}
	rows := rows(string(line), termWidth())
	e.shell.Prompt.Transient(func() string {
		return strings.ReplaceAll(e.take(), "\n", "\r\n") +
			strings.Repeat("\n", rows) + fmt.Sprintf("\x1b[%dA\r", rows) + prompt
	})
	e.shell.Prompt.TransientPrint()
}

// take returns what is pending, and leaves nothing.
func (e *editor) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.pending.String()
	e.pending.Reset()
	e.room.Broadcast()
	return s
}

// rows is at least the number of rows that the prompt and a line take.
func rows(line string, width int) int {
	n := 0
	for l := range strings.SplitSeq(line, "\n") {
		tabs := 8 * strings.Count(l, "\t")
		n += 1 + (len(prompt)+tabs+chatclient.DisplayWidth(l))/width
	}
	return n
}

// termWidth is the width of the terminal as the library sees it.
func termWidth() int {
	w, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || w < 1 {
		return 80
	}
	return w
}

func (e *editor) lines(ctx context.Context, quit func()) <-chan string {
	lines := make(chan string, queued)
	go func() {
		defer close(lines)
		for {
			line, err := e.readLine()
			if errors.Is(err, readline.ErrInterrupt) {
				quit()
			}
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
			if isLogout(line) {
				return
			}
		}
	}()
	return lines
}

// readLine lets one line be typed.
func (e *editor) readLine() (string, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return "", os.ErrClosed
	}
	e.reading = true
	e.prompts, e.owed = 0, 0
	e.mu.Unlock()

	line, err := e.shell.Readline()

	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	fmt.Print(e.pending.String())
	e.pending.Reset()
	e.room.Broadcast()
	return line, err
}

// close gives the terminal back, also while a line is being typed.
func (e *editor) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	e.room.Broadcast()
	if !e.reading {
		return
	}
	fmt.Print("\x1b[?2004l\r\x1b[J" + strings.ReplaceAll(e.pending.String(), "\n", "\r\n"))
	e.tty.restore()
}
