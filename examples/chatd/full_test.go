//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills the disk under a real chatd: senders are refused with
// 452, deliveries go on, nothing that was acknowledged is lost, and when there
// is room again, messages are accepted again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("PARLEY_CI") != "" {
			t.Fatal("mounting a small disk takes root, and CI has to have it")
		}
		t.Skip("mounting a small disk takes root")
	}
	v := newVictim(t)
	data := filepath.Join(v.dir, "chatd-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal("mounting a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, 0); err != nil {
			t.Error(err)
		}
	})
	v.start()
	t.Cleanup(v.stop) // before the disk goes
	filler := filepath.Join(data, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}

	a := talkTo(t, v.addr, "A", "origin=a1")
	acked, refused := 0, 0
	for n := 1; refused < 5; n++ {
		if n > 20000 {
			t.Fatal("the disk does not fill")
		}
		a.say("SEND n=%d to=B :%d %s", n, n, strings.Repeat("x", 1000))
		line := ""
		for tries := 0; line == ""; tries++ {
			a.nc.SetReadDeadline(time.Now().Add(3 * time.Second))
			if line = a.line(); line == "" && refusedElsewhere(t, v.addr) {
				break
			}
			if tries == 20 {
				t.Fatalf("message %d is not answered, and there is room", n)
			}
		}
		switch {
		case strings.HasPrefix(line, "201"):
			acked++
		case strings.HasPrefix(line, "452"):
			refused++
		case line == "": // the one that finds out is not answered until there is room
			t.Logf("message %d waits for room", n)
			a.waits = n
			refused = 5
		default:
			t.Fatalf("message %d is answered %q", n, line)
		}
	}
	t.Logf("%d messages acknowledged until the disk was full", acked)

	b := talkTo(t, v.addr, "B", "")
	for n := 1; n <= acked; n++ {
		if got := b.line(); !strings.Contains(got, fmt.Sprintf(":A: %d x", n)) {
			t.Fatalf("delivery %d is %.80q", n, got)
		}
		b.say("ACKD count=%d", n)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	a.nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	if a.waits > 0 {
		if got := a.line(); !strings.HasPrefix(got, "201") {
			t.Errorf("the message that waited for room is answered %q", got)
		}
	}
	for n := 100_000; ; n++ { // acceptance resumes by itself
		a.say("SEND n=%d to=C :after", n)
		got := a.line()
		if strings.HasPrefix(got, "201") {
			break
		}
		if !strings.HasPrefix(got, "452") {
			t.Fatalf("with room again a message is answered %q", got)
		}
	}
}

// refusedElsewhere reports whether a message from another connection is refused
// because the disk is full. Answers come in order: what would be refused on the
// connection whose message waits is told to another.
func refusedElsewhere(t *testing.T, addr string) bool {
	t.Helper()
	c := talkTo(t, addr, "C", "")
	defer c.nc.Close()
	c.say("SEND n=1 to=columbia :refused")
	got := c.line()
	if !strings.HasPrefix(got, "452") && !strings.HasPrefix(got, "201") {
		t.Errorf("with a full disk a message is answered %q", got)
	}
	return strings.HasPrefix(got, "452")
}
