package chatclient

import (
	"bytes"
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
	if l.sent {
		line = maskPassword(line)
	}
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.t.fn(l.sent, line)
}

// maskPassword hides the value of pass=. A space in a value is escaped, so
// the value ends at the next one.
func maskPassword(line []byte) []byte {
	const key = " pass="
	if !bytes.HasPrefix(line, []byte(chatproto.AUTH.String()+" ")) {
		return line
	}
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return line
	}
	i += len(key)
	end := len(line)
	if n := bytes.IndexByte(line[i:], ' '); n >= 0 {
		end = i + n
	}
	masked := append([]byte(nil), line[:i]...)
	masked = append(masked, "***"...)
	return append(masked, line[end:]...)
}
