package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A check is one case under way. Its methods are for the goroutine that runs
// the case, but for log.
type check struct {
	ctx  context.Context
	opts *Options
	vars map[string]string // what {name} stands for in scripts

	lenient bool // what is broken on a connection is not looked at: this is no case, but what comes before and after

	mu      sync.Mutex
	lines   []string // the transcript
	dropped int
}

// maxTranscript bounds the lines that are kept of a case, and maxShown what is
// kept of one.
const (
	maxTranscript = 60
	maxShown      = 200
)

func newCheck(ctx context.Context, opts *Options) *check {
	k := &check{ctx: ctx, opts: opts, vars: make(map[string]string)}
	k.vars["nobody"] = "nobody-" + randomHex(8)
	k.vars["noone"] = "noone-" + randomHex(8)
	k.vars["hex"] = "c" + randomHex(4)
	return k
}

// failf ends the case: the program breaks the rule.
func (k *check) failf(format string, args ...any) {
	panic(verdict{Failed, fmt.Sprintf(format, args...)})
}

// skipf ends the case: it cannot be seen whether the program keeps the rule.
func (k *check) skipf(format string, args ...any) {
	panic(verdict{Skipped, fmt.Sprintf(format, args...)})
}

// passwords are kept out of the transcript.
var passwords = regexp.MustCompile(` pass=\S*`)

// log adds a line to the transcript.
func (k *check) log(who, sign, line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	line = passwords.ReplaceAllString(line, " pass=***")
	if len(line) > maxShown {
		line = fmt.Sprintf("%s… (%d octets)", line[:maxShown], len(line))
	}
	if len(k.lines) == maxTranscript {
		k.lines = append(k.lines[:0], k.lines[1:]...)
		k.dropped++
	}
	k.lines = append(k.lines, who+sign+" "+strings.ToValidUTF8(line, "\ufffd"))
}

// transcript returns the last lines that were sent and received.
func (k *check) transcript() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := append([]string(nil), k.lines...)
	if k.dropped > 0 {
		lines = append([]string{fmt.Sprintf("(%d lines before)", k.dropped)}, lines...)
	}
	return lines
}

// sleep waits.
func (k *check) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.ctx.Done():
		k.skipf("the run was ended")
	}
}

// sleepFor waits as long as a field says, which is in milliseconds, and a
// little longer.
func (k *check) sleepFor(h *heard, key string) {
	ms, _ := h.frame.Uint(key)
	k.sleep(time.Duration(ms)*time.Millisecond + 2*k.opts.Quiet)
}

// quiet waits as long as the suite listens for what must not come.
func (k *check) quiet() { k.sleep(k.opts.Quiet) }

func randomHex(octets int) string {
	b := make([]byte, octets)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// randomOrigin draws an origin, with all its 16 digits.
func randomOrigin() string {
	for {
		if s := randomHex(8); s[0] != '0' {
			return s
		}
	}
}
