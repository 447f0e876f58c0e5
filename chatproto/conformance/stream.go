package conformance

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A stream is the suite's end of a connection, as lines. A goroutine reads it;
// the case that it belongs to waits for what that hears.
type stream struct {
	k    *check
	name string
	nc   net.Conn
	hear func(*heard) // takes each frame, with mu held

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when something was heard
	fault   string        // the first rule that the other end broke on this connection
	deaf    bool          // nothing is read
	over    bool          // nothing more comes
	why     error         // nil: the other end shut its side down properly
	done    chan struct{} // closed with over
}

func (s *stream) begin(k *check, name string, nc net.Conn, hear func(*heard)) {
	s.k, s.name, s.nc, s.hear = k, name, nc, hear
	s.changed, s.done = make(chan struct{}), make(chan struct{})
	go s.read()
}

// read hears frames until the end of input.
func (s *stream) read() {
	defer close(s.done)
	r := bufio.NewReaderSize(s.nc, 2*chatproto.V1.Limits.Frame)
	for {
		s.awaitHearing()
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			s.end(line, err)
			return
		}
		s.k.log(s.name, "<", string(bytes.TrimRight(line, "\r\n")))
		h, fault := readLine(line)
		s.mu.Lock()
		if fault != "" {
			s.blame("%s", fault)
		}
		if h != nil {
			s.hear(h)
		}
		s.notify()
		s.mu.Unlock()
		if h == nil {
			s.nc.Close()
		}
	}
}

// deafen stops reading, or goes on with it; what comes afterwards is not
// looked at.
func (s *stream) deafen(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = on
	s.hear = func(*heard) {}
	s.notify()
}

func (s *stream) awaitHearing() {
	for {
		s.mu.Lock()
		deaf, changed := s.deaf, s.changed
		s.mu.Unlock()
		if !deaf {
			return
		}
		<-changed
	}
}

func (s *stream) end(rest []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if err != io.EOF {
		s.why = err
	}
	if len(rest) > 0 && s.why == nil {
		s.blame("the connection ended within a line: %s", quoted(string(rest)))
	}
	s.k.log(s.name, "<", "(end of input)")
	s.notify()
}

// blame notes the first rule that was broken. mu is held.
func (s *stream) blame(format string, args ...any) {
	if s.fault == "" && !s.k.lenient {
		s.fault = s.name + ": " + fmt.Sprintf(format, args...)
	}
}

// notify wakes who waits. mu is held.
func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until ok, which is called with mu held, or the end of input or
// of d, and returns what ok says then. A rule that was broken on the connection
// ends the case.
func (s *stream) await(d time.Duration, ok func() bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for late := false; ; {
		s.mu.Lock()
		done, over, fault, changed := ok(), s.over, s.fault, s.changed
		s.mu.Unlock()
		if fault != "" {
			s.k.failf("%s", fault)
		}
		if done || over || late {
			return done
		}
		select {
		case <-changed:
		case <-timer.C:
			late = true
		case <-s.k.ctx.Done():
			s.k.skipf("the run was ended")
		}
	}
}

// write sends octets as they are.
func (s *stream) write(b []byte) error { return s.writeWithin(b, s.k.opts.Patience) }

func (s *stream) writeWithin(b []byte, d time.Duration) error {
	s.nc.SetWriteDeadline(time.Now().Add(d))
	_, err := s.nc.Write(b)
	return err
}

// close cuts the connection off and waits for its reader.
func (s *stream) close() {
	s.mu.Lock()
	s.deaf = false
	s.notify()
	s.mu.Unlock()
	s.nc.Close()
	<-s.done
}

// ended waits for the end of input, and fails the case if it does not come
// within d or comes as a broken connection.
func (s *stream) ended(d time.Duration) {
	if !s.await(d, func() bool { return s.over }) {
		s.k.failf("%s: the connection is not closed within %v", s.name, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil {
		s.k.failf("%s: the connection broke instead of ending: %v", s.name, s.why)
	}
}

// A heard is a frame that was received. Its values and text are as on the
// wire, escaped.
type heard struct {
	line   string // without its end
	frame  *chatproto.Frame
	fields []wireField
	text   string
	lo, hi uint64 // its n=, 0 if it has none
}

type wireField struct{ key, value string }

func (h *heard) value(key string) (string, bool) {
	for _, f := range h.fields {
		if f.key == key {
			return f.value, true
		}
	}
	return "", false
}

// has reports whether there is such a field.
func (h *heard) has(key string) bool {
	_, ok := h.value(key)
	return ok
}

// readLine reads one line with its end. fault says why it may not be sent; h
// is nil if it cannot be read.
func readLine(line []byte) (h *heard, fault string) {
	if len(line) > chatproto.V1.Limits.Frame || line[len(line)-1] != '\n' {
		return nil, fmt.Sprintf("a line of more than %d octets (section 3.1)", chatproto.V1.Limits.Frame)
	}
	body, crlf := bytes.CutSuffix(line, []byte("\r\n"))
	if !crlf {
		body = line[:len(line)-1]
		fault = fmt.Sprintf("a line that does not end in CR LF (section 3.1): %s", quoted(string(line)))
	}
	h = &heard{line: string(body), frame: new(chatproto.Frame)}
	if line[0] == 0x16 {
		return nil, "it begins with TLS, where it is to speak cleartext"
	}
	if err := chatproto.Parse(h.frame, bytes.Clone(body)); err != nil {
		return nil, fmt.Sprintf("a line that is no frame (section 3.1): %s: %v", quoted(h.line), err)
	}
	again, err := chatproto.AppendFrame(nil, h.frame)
	if err != nil || string(bytes.TrimSuffix(again, []byte("\r\n"))) != h.line {
		fault = fmt.Sprintf("a frame that is not in its canonical form (section 3.2): %s", quoted(h.line))
	}
	h.split()
	return h, fault
}

// split cuts a canonical line at its spaces: there is none in a value.
func (h *heard) split() {
	rest := h.line
	for {
		i := indexSpace(rest)
		if i < 0 {
			return
		}
		rest = rest[i+1:]
		if strings.HasPrefix(rest, ":") {
			h.text = rest[1:]
			return
		}
		end := indexSpace(rest)
		if end < 0 {
			end = len(rest)
		}
		h.fields = append(h.fields, cutField(rest[:end]))
	}
}
