//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestFailingDisk runs a real chatd whose system calls fail now and then, or
// for good: nothing is acknowledged after a sync or a write that failed until
// the store was opened anew and what it wrote was synced; when the disk works
// again, so does chatd; and what was acknowledged is there after a restart.
//
// Which call fails is counted by strace for each thread by itself, so no two
// runs are the same.
func TestFailingDisk(t *testing.T) {
	needStrace(t)
	v := newVictim(t)
	v.start() // makes the store, and B's mailbox
	talkTo(t, v.addr, "A", "origin=a1")
	v.stop()
	sent := 0
	for _, c := range []struct {
		name, inject string
		forGood      bool
		end          os.Signal
	}{
		{"a sync fails now and then", "fsync,fdatasync:error=EIO:when=8+9", false, os.Interrupt},
		{"a sync fails now and then, kill -9", "fsync,fdatasync:error=EIO:when=8+9", false, os.Kill},
		{"a write fails now and then", "pwrite64:error=EIO:when=100+31", false, os.Interrupt},
		{"no space now and then", "pwrite64:error=ENOSPC:when=100+32", false, os.Interrupt},
		{"no sync succeeds any more", "fsync,fdatasync:error=EIO:when=6+", true, os.Interrupt},
		{"no sync succeeds any more, kill -9", "fsync,fdatasync:error=EIO:when=6+", true, os.Kill},
		{"no space any more, kill -9", "pwrite64:error=ENOSPC:when=60+", true, os.Kill},
	} {
		if !t.Run(c.name, func(t *testing.T) {
			d := v.startTraced(t, c.inject)
			a := talkTo(t, v.addr, "A", "origin=a1")
			answers := make(chan string)
			go func() {
				defer close(answers)
				for line := a.line(); line != ""; line = a.line() {
					answers <- line
				}
			}()
			first, acked := sent+1, 0
			for done := false; !done; {
				sent++
				a.say("SEND n=%d to=B :%d", sent, sent)
				select {
				case got := <-answers:
					if !strings.HasPrefix(got, "201") {
						t.Fatalf("message %d is answered %q", sent, got)
					}
					acked++
					done = !c.forGood && d.recoveries() >= 5
				case <-d.failing:
					if !c.forGood {
						t.Fatalf("chatd does not recover: %q", d.violations())
					}
					refusedElsewhere(t, v.addr)
					done = true
				}
				if sent-first >= 800 {
					t.Fatalf("800 messages, and %d calls failed", d.count())
				}
			}
			v.endTraced(t, d, c.end, c.forGood)
			for got := range answers {
				if strings.HasPrefix(got, "201") { // a thread could still write
					acked++
				}
			}
			t.Logf("%d messages acknowledged, %d calls failed, chatd recovered %d times", acked, d.count(), d.recoveries())

			v.start()
			b := talkTo(t, v.addr, "B", "")
			for n := 1; n <= acked; n++ {
				if got := b.line(); !strings.HasSuffix(got, fmt.Sprintf(":A: %d", first+n-1)) {
					t.Fatalf("of %d acknowledged messages delivery %d is %.80q", acked, n, got)
				}
				b.say("ACKD count=%d", n)
			}
			if sent-first+1 > acked { // the last one has an unknown outcome
				a := talkTo(t, v.addr, "A", "origin=a1")
				a.say("SEND n=%d to=B :%d", sent, sent)
				if got := a.line(); !strings.HasPrefix(got, "201") {
					t.Errorf("sent again: %q", got)
				}
				if got := b.line(); !strings.HasSuffix(got, fmt.Sprintf(":A: %d", sent)) {
					t.Errorf("sent again, it is delivered as %q", got)
				}
				b.say("ACKD count=%d", acked+1)
			}
			b.say("QUIT")
			for b.line() != "" {
			}
			v.stop()
		}) {
			return // it may have left a chatd on the store
		}
	}
}

// needStrace skips the test where strace cannot be used; CI has to have it.
func needStrace(t *testing.T) {
	out, err := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=8+9", "true").CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("PARLEY_CI") != "":
		t.Fatalf("CI has to have strace: %v %s", err, out)
	default:
		t.Skipf("this needs strace, and the right to use it: %v %s", err, out)
	}
}

// startTraced is start, with system calls that fail.
func (v *victim) startTraced(t *testing.T, inject string) *diskTrace {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-s", "4096", "-o", "/dev/fd/3",
		"-e", "trace=?open,openat,fsync,fdatasync,pwrite64,write,writev", "-e", "signal=none", "-e", "inject="+inject, v.binary, "0")
	cmd.ExtraFiles = []*os.File{w}
	d := &diskTrace{failing: make(chan struct{})}
	cmd.Stderr = &d.stderr
	v.startCommand(cmd)
	w.Close()
	d.ended.Go(func() {
		defer r.Close()
		d.read(r)
	})
	t.Cleanup(func() {
		if v.cmd == cmd && cmd.ProcessState == nil {
			syscall.Kill(d.pid(), syscall.SIGKILL)
			cmd.Wait()
		}
	})
	return d
}

// endTraced ends chatd, and says what was wrong with it. It may not be able to
// store everything.
func (v *victim) endTraced(t *testing.T, d *diskTrace, sig os.Signal, unable bool) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- v.cmd.Wait() }()
	syscall.Kill(d.pid(), sig.(syscall.Signal))
	select {
	case err := <-ended:
		if sig != os.Kill && err != nil && !(unable && strings.Contains(d.stderr.String(), "not everything could be stored")) {
			t.Errorf("chatd ended with %v: %s", err, &d.stderr)
		}
	case <-time.After(time.Minute):
		v.cmd.Process.Kill()
		t.Fatal("chatd does not end")
	}
	d.ended.Wait()
	for _, wrong := range d.violations() {
		t.Error(wrong)
	}
	if s := d.stderr.String(); strings.Contains(s, "goroutine ") || d.faults == 0 {
		t.Errorf("%d calls failed: %s", d.faults, s)
	}
}

// A diskTrace reads what strace tells of a chatd that talks to one client, who
// waits for each answer, and judges it.
type diskTrace struct {
	failing chan struct{} // closed when so much failed that nothing will work again
	stderr  bytes.Buffer
	ended   sync.WaitGroup

	mu        sync.Mutex
	process   int
	begun     map[string]string // calls that are not finished, by thread
	faults    int
	row       int    // faults since the log was synced last
	broken    string // what failed, until the log was opened anew and synced
	reopened  bool
	recovered int
	wrong     []string
}

// forGood is so many failures in a row that the disk will not work again.
const forGood = 8

func (d *diskTrace) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.line(lines.Text())
	}
}

// line reads a line: a call, or its beginning or end if others come between.
func (d *diskTrace) line(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	thread, call, _ := strings.Cut(line, " ")
	call = strings.TrimLeft(call, " ")
	if d.process == 0 {
		d.process, _ = strconv.Atoi(thread)
		d.begun = make(map[string]string)
	}
	isAnswer := strings.HasPrefix(call, "write") && (strings.Contains(call, `"201 `) || strings.Contains(call, `\n201 `))
	if isAnswer && d.broken != "" {
		d.wrong = append(d.wrong, fmt.Sprintf("%.100s is answered after %s", call, d.broken))
	}
	if begun, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
		d.begun[thread] = begun
		return
	}
	if strings.HasPrefix(call, "<... ") {
		_, end, _ := strings.Cut(call, "resumed>")
		call = d.begun[thread] + end
		delete(d.begun, thread)
	}
	d.judge(call)
}

// judge reads a call that is finished.
func (d *diskTrace) judge(call string) {
	failed := strings.HasSuffix(call, "(INJECTED)")
	log := strings.Contains(call, storeFile+"-wal>") || strings.Contains(call, storeFile+`-wal"`)
	isSync := strings.HasPrefix(call, "fsync(") || strings.HasPrefix(call, "fdatasync(")
	switch {
	case failed:
		d.faults++
		if d.row++; d.row == forGood {
			close(d.failing)
		}
		if log {
			d.broken, d.reopened = call[:strings.IndexByte(call, '(')]+" failed", false
		}
	case !log || d.broken == "":
		if isSync && log {
			d.row = 0
		}
	case strings.HasPrefix(call, "open") && !strings.Contains(call, " = -1"):
		d.reopened = true
	case isSync && d.reopened:
		d.broken, d.row = "", 0
		d.recovered++
	}
}

func (d *diskTrace) pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process
}

func (d *diskTrace) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults
}

func (d *diskTrace) violations() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wrong)
}

func (d *diskTrace) recoveries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recovered
}

// TestDiskTrace: an early answer is found, and one in time is none.
func TestDiskTrace(t *testing.T) {
	const (
		ok     = `7 fsync(11</d/chat.db-wal>) = 0`
		failed = `7 fsync(11</d/chat.db-wal>) = -1 EIO (Input/output error) (INJECTED)`
		begun  = `7 fsync(11</d/chat.db-wal> <unfinished ...>`
		fails  = `7 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)`
		opened = `8 open("/d/chat.db-wal", O_RDWR|O_CREAT, 0600) = 11</d/chat.db-wal>`
		folder = `8 fsync(14</d>) = -1 EIO (Input/output error) (INJECTED)`
		answer = `9 write(16<socket:[1]>, "201 n=2 how=stored\r\n", 20) = 20`
		two    = `9 write(16<socket:[1]>, "PRES user=C on=1\r\n201 n=2-3 how=stored\r\n", 40 <unfinished ...>`
		other  = `9 write(2</d/err>, "storing works again", 20) = 20`
	)
	for _, tt := range []struct {
		lines []string
		early bool
	}{
		{[]string{ok, answer}, false},
		{[]string{failed, answer}, true},
		{[]string{begun, other, fails, answer}, true},
		{[]string{failed, ok, answer}, true}, // it was not opened anew
		{[]string{failed, opened, answer}, true},
		{[]string{failed, opened, failed, ok, two}, true},
		{[]string{failed, opened, ok, answer}, false},
		{[]string{failed, opened, failed, opened, ok, two}, false},
		{[]string{folder, answer}, false},
	} {
		d := &diskTrace{failing: make(chan struct{})}
		for _, line := range tt.lines {
			d.line(line)
		}
		if early := len(d.violations()) > 0; early != tt.early {
			t.Errorf("%s: found %q", strings.Join(tt.lines, "\n"), d.wrong)
		}
	}
}
