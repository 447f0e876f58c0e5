//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// patience is how long a test waits for what must come. It is a deadline, not
// a delay.
const patience = 30 * time.Second

// editorChild, set in the environment, makes the test binary run nothing but
// the editor: the library draws on the terminal of the process.
const editorChild = "CHAT_TEST_EDITOR"

// runEditorChild prints each line that comes from descriptor 3, and "typed: "
// and the line for each that is typed.
func runEditorChild() {
	tty := terminalOf(os.Stdin)
	tty.edit()
	defer tty.restore()
	e := newEditor(tty, func() []string { return []string{"B", "columbia", "consul"} })
	defer e.close()
	in := bufio.NewScanner(os.NewFile(3, "prints"))
	if os.Getenv(editorChild) == "paused" { // after each line, until one is there to print
		for line, err := e.readLine(); err == nil && line != ""; line, err = e.readLine() {
			e.print(fmt.Sprintf("typed: %q", line))
			in.Scan()
			e.print(in.Text())
		}
		return
	}
	ctx, quit := context.WithCancel(context.Background())
	go func() {
		for in.Scan() {
			e.print(in.Text())
		}
	}()
	for line := range e.lines(ctx, quit) {
		e.print(fmt.Sprintf("typed: %q", line))
	}
	if ctx.Err() != nil {
		e.print("interrupted")
	}
}

// A console is a program on a pseudo-terminal, and what its screen shows.
type console struct {
	t      *testing.T
	tty    *os.File
	screen *vt
	output chan []byte // closed at the end of the program's output
	raw    []byte      // everything that was written
}

// startConsole starts cmd on a terminal of the given size.
func startConsole(t *testing.T, cmd *exec.Cmd, cols, rows int) *console {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)})
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, tty: tty, screen: newVT(cols, rows), output: make(chan []byte)}
	go func() {
		defer close(c.output)
		for {
			b := make([]byte, 4096)
			n, err := tty.Read(b)
			if n > 0 {
				c.output <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range c.output {
		}
		cmd.Wait()
		tty.Close()
	})
	return c
}

// wait takes output until the lines on the screen are as they should be.
func (c *console) wait(what string, done func(lines []string) bool) {
	c.t.Helper()
	deadline := time.After(patience)
	for !done(c.screen.lines()) {
		select {
		case b, ok := <-c.output:
			if !ok {
				c.t.Fatalf("the program ended before the screen showed %s; it shows:\n%s", what, strings.Join(c.screen.lines(), "\n"))
			}
			c.raw = append(c.raw, b...)
			c.screen.Write(b)
		case <-deadline:
			c.t.Fatalf("the screen does not show %s but:\n%s\nraw: %q", what, strings.Join(c.screen.lines(), "\n"), tail(c.raw, 400))
		}
	}
}

// waitEnd takes output until there is no more.
func (c *console) waitEnd(who string) {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case b, ok := <-c.output:
			if !ok {
				return
			}
			c.screen.Write(b)
		case <-deadline:
			c.t.Fatalf("%s does not end", who)
		}
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// waitLast waits until these are the last lines on the screen.
func (c *console) waitLast(want ...string) {
	c.t.Helper()
	c.wait(fmt.Sprintf("%q at its end", want), func(lines []string) bool {
		return len(lines) >= len(want) && slices.Equal(lines[len(lines)-len(want):], want)
	})
}

// typed types text, as it is.
func (c *console) typed(text string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

func startEditor(t *testing.T, cols, rows int) (*console, *os.File) {
	t.Helper()
	return startEditorAs(t, "1", cols, rows)
}

func startEditorAs(t *testing.T, child string, cols, rows int) (*console, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), editorChild+"="+child, "TERM=xterm", "INPUTRC=/dev/null", "HOME=/nonexistent")
	cmd.ExtraFiles = []*os.File{r}
	c := startConsole(t, cmd, cols, rows)
	r.Close()
	t.Cleanup(func() { w.Close() })
	c.waitLast(">")
	return c, w
}

// What is typed while no line is edited is there for the next one, ^D as well.
func TestEditorTypedAhead(t *testing.T) {
	c, prints := startEditorAs(t, "paused", 60, 12)
	ahead := func(typed string) {
		c.typed(typed)
		time.Sleep(50 * time.Millisecond) // the system does not tell when the terminal has it
		fmt.Fprintln(prints, "go on")
	}
	c.typed("first\r")
	c.waitLast(`typed: "first"`)
	ahead("sec")
	c.waitLast("go on", ">sec")
	c.typed("ond\r")
	c.waitLast(`typed: "second"`)
	ahead("\x04")
	c.waitEnd("the editor")
}

// What comes in stands above the line that is being typed, which stays whole,
// at the top of the window as at its bottom.
func TestEditorIncoming(t *testing.T) {
	const draft = "message B 你好, wörld 漢字 and e\u0301"
	for _, before := range []int{0, 40} {
		t.Run(fmt.Sprint(before, " lines before"), func(t *testing.T) {
			c, prints := startEditor(t, 60, 12)
			var want []string
			for i := range before {
				want = append(want, fmt.Sprintf("B: line %d", i))
				fmt.Fprintln(prints, want[i])
			}
			want = append(want, ">")
			c.waitLast(want...)
			c.typed(draft)
			c.waitLast(">" + draft)
			want = want[:before]
			for i := range 20 {
				line := fmt.Sprintf("B: 漢字 comes in %d", i)
				want = append(want, line)
				fmt.Fprintln(prints, line)
				c.waitLast(line, ">"+draft)
			}
			c.typed("!\r")
			want = append(want, ">"+draft+"!", fmt.Sprintf("typed: %q", draft+"!"), ">")
			c.waitLast(want...)
			if got := c.screen.lines(); !cmp.Equal(got, want) {
				t.Error(cmp.Diff(want, got))
			}
		})
	}
}

// A line that is longer than the window is wide stays whole as well.
func TestEditorLongLine(t *testing.T) {
	c, prints := startEditor(t, 20, 6)
	for i := range 10 {
		fmt.Fprintf(prints, "B: %d\n", i)
	}
	c.waitLast("B: 9", ">")
	draft := "message B " + strings.Repeat("0123456789", 4)
	rows := []string{(">" + draft)[:20], (">" + draft)[20:40], (">" + draft)[40:]}
	c.typed(draft)
	c.waitLast(append([]string{"B: 9"}, rows...)...)
	for i := range 5 {
		line := fmt.Sprintf("A: %d", i)
		fmt.Fprintln(prints, line)
		c.waitLast(append([]string{line}, rows...)...)
	}
	c.typed("\r")
	c.waitLast(append(append([]string{"B: 9", "A: 0", "A: 1", "A: 2", "A: 3", "A: 4"}, rows...),
		fmt.Sprintf("typed: %q", draft)[:20], fmt.Sprintf("typed: %q", draft)[20:40],
		fmt.Sprintf("typed: %q", draft)[40:], ">")...)
}

// A flood does not break the typing, and no line of it is lost or moved.
func TestEditorFlood(t *testing.T) {
	c, prints := startEditor(t, 60, 12)
	const flood = 500
	go func() {
		for i := range flood {
			fmt.Fprintf(prints, "B: %d\n", i)
		}
	}()
	const draft = "message B typed in the middle of it"
	for _, r := range draft {
		c.typed(string(r))
	}
	last := fmt.Sprintf("B: %d", flood-1)
	c.wait("the last line and the draft", func(lines []string) bool {
		return slices.Contains(lines, last) && lines[len(lines)-1] == ">"+draft
	})
	lines := c.screen.lines()
	for i, line := range lines[:flood] {
		if want := fmt.Sprintf("B: %d", i); line != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
}

// Tab completes, the arrow key brings back, lines typed in one go are all
// read in their order, and ^C ends.
func TestEditorKeys(t *testing.T) {
	c, _ := startEditor(t, 60, 12)
	c.typed("mes\t")
	c.waitLast(">message")
	c.typed(" col\t")
	c.waitLast(">message columbia")
	c.typed(" hi\r")
	c.waitLast(`typed: "message columbia hi"`, ">")
	c.typed("\x1b[A")
	c.waitLast(">message columbia hi")
	c.typed("\x15one\rtwo\rthree\r")
	c.waitLast(`typed: "three"`, ">")
	var order []string
	for _, line := range c.screen.lines() {
		if rest, ok := strings.CutPrefix(line, "typed: "); ok {
			order = append(order, rest)
		}
	}
	if want := []string{`"message columbia hi"`, `"one"`, `"two"`, `"three"`}; !cmp.Equal(order, want) {
		t.Error(cmp.Diff(want, order))
	}
	c.typed("\x03")
	c.waitLast("interrupted")
}

// A paste of several lines is one message of several lines, which comes out
// whole with lines coming in between, and what a terminal would obey is gone.
func TestEditorPaste(t *testing.T) {
	c, prints := startEditor(t, 60, 6)
	for i := range 10 {
		fmt.Fprintf(prints, "B: %d\n", i)
	}
	c.waitLast("B: 9", ">")
	c.typed("\x1b[200~message B one\r\ntwo\x1b[2J\rthree\r\n\x1b[201~")
	c.wait("the third line", func(lines []string) bool {
		return strings.Contains(lines[len(lines)-1], "three")
	})
	fmt.Fprintln(prints, "A: comes in")
	c.wait("the line that came in", func(lines []string) bool {
		n := len(lines)
		return n > 4 && lines[n-4] == "A: comes in" && strings.Contains(lines[n-3], "message B one")
	})
	c.typed("\r")
	c.waitLast(fmt.Sprintf("typed: %q", "message B one\ntwo[2J\nthree"), ">")
}

// Moving back in the line and inserting works with wide characters.
func TestEditorMiddle(t *testing.T) {
	c, _ := startEditor(t, 60, 6)
	c.typed("message B 你好")
	c.waitLast(">message B 你好")
	c.typed("\x1b[D漢ab字")
	c.waitLast(">message B 你漢ab字好")
	c.typed("\x7f\x05!\r")
	c.waitLast(fmt.Sprintf("typed: %q", "message B 你漢ab好!"), ">")
}

// The list of what Tab finds disappears again and leaves the lines alone.
func TestEditorMenu(t *testing.T) {
	c, prints := startEditor(t, 60, 8)
	for i := range 10 {
		fmt.Fprintf(prints, "B: %d\n", i)
	}
	c.waitLast("B: 9", ">")
	c.typed("message con\t")
	c.waitLast(">message consul")
	c.typed("\x15message \t\t")
	c.wait("a name of the list", func(lines []string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, ">message ") && len(l) > 9 })
	})
	fmt.Fprintln(prints, "A: comes in")
	c.wait("the line that came in", func(lines []string) bool { return slices.Contains(lines, "A: comes in") })
	c.typed("\x15online\r")
	c.waitLast("A: comes in", ">online", `typed: "online"`, ">")
}
