package chatclient

import (
	"bytes"
	"slices"
	"sync"

	"github.com/parleyproto/parley/chatproto"
)

// A tracer shows the raw lines of all connections of a client to
// Config.Trace, one at a time.
type tracer struct {
	mu sync.Mutex
	fn func(sent bool, line []byte)
}

// A lineCutter cuts one direction of one connection into lines for a tracer.
// The nil lineCutter does nothing.
type lineCutter struct {
	t       *tracer
	sent    bool
	partial []byte
}

// cutter returns a lineCutter, nil if nobody wants a trace.
func (t *tracer) cutter(sent bool) *lineCutter {
	if t.fn == nil {
		return nil
	}
	return &lineCutter{t: t, sent: sent}
}

// pass shows the lines that b completes and keeps its rest, at most as much
// as the reader takes before it gives up.
func (l *lineCutter) pass(b []byte) {
	if l == nil || len(b) == 0 {
		return
	}
	l.partial = append(l.partial, b...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			if len(l.partial) > chatproto.V1.Limits.LineSkip {
				l.partial = nil
			}
			return
		}
		l.show(bytes.TrimSuffix(l.partial[:i], []byte("\r")))
		l.partial = l.partial[i+1:]
	}
}

func (l *lineCutter) show(line []byte) {
	line = mask(line)
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.t.fn(l.sent, line)
}

// secrets are the frames that hold something that must not be seen, and the
// fields that do: a password, the steps of a proof of it, which passwords can
// be tried against, and what lets a client past the lockout.
var secrets = map[string][]string{
	chatproto.AUTH.String():           {"pass", "data", "token"},
	chatproto.ReplyChallenge.String(): {"data"},
	chatproto.ReplyWelcome.String():   {"data", "token"},
}

// mask hides the values of secret fields. A space in a value is escaped, so
// the value ends at the next one.
func mask(line []byte) []byte {
	code, _, _ := bytes.Cut(line, []byte(" "))
	keys := secrets[string(code)]
	if keys == nil {
		return line
	}
	fields, description, described := bytes.Cut(line, []byte(" :"))
	words := bytes.Split(fields, []byte(" "))
	for i, field := range words {
		if key, _, ok := bytes.Cut(field, []byte("=")); ok && slices.Contains(keys, string(key)) {
			words[i] = []byte(string(key) + "=***")
		}
	}
	masked := bytes.Join(words, []byte(" "))
	if described {
		masked = append(append(masked, " :"...), description...)
	}
	return masked
}
