package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// A typist talks to a server line by line.
type typist struct {
	t     *testing.T
	nc    net.Conn
	r     *bufio.Reader
	waits int
}

func talkTo(t *testing.T, addr, user, origin string) *typist {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	p := &typist{t: t, nc: nc, r: bufio.NewReader(nc)}
	p.say("HELO v=1 acks=1 beat=30000 pres=0")
	p.say("AUTH user=%s pass=pass %s", user, origin)
	for _, want := range []string{"220", "230"} {
		if got := p.line(); !strings.HasPrefix(got, want) {
			t.Fatalf("%s: got %q, want %s", user, got, want)
		}
	}
	return p
}

func (p *typist) say(format string, args ...any) {
	fmt.Fprint(p.nc, strings.TrimSpace(fmt.Sprintf(format, args...))+"\n")
}

// line returns the next line, LIVE left out; "" when none comes in time.
func (p *typist) line() string {
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return ""
		}
		if line = strings.TrimSpace(line); line != "LIVE" {
			return line
		}
	}
}
