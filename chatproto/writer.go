package chatproto

import (
	"bytes"
	"io"
	"slices"
	"strconv"
)

// A Line builds one frame at the end of a byte slice, in its canonical
// encoding and without allocating:
//
//	l := chatproto.Begin(buf, chatproto.SEND)
//	l.Uint("n", 4)
//	l.Field("to", "B")
//	buf, err := l.End("hello!")
//
// It refuses what [Parse] would refuse. After an error the slice is as long
// as it was at Begin. A Line is used once, by one goroutine.
type Line struct {
	buf     []byte
	start   int
	n       int    // fields
	letters uint32 // first letters of their keys, bit 0 for a
	err     error
}

// Begin starts a frame behind what buf already holds.
func Begin(buf []byte, code Code) Line {
	b, err := code.begin(buf)
	return Line{buf: b, start: len(buf), err: err}
}

// Field adds a field with a string value.
func (l *Line) Field(key, value string) {
	if l.key(key) {
		l.text(value, lowestInValue)
	}
}

// Bytes adds a field with a value of octets.
func (l *Line) Bytes(key string, value []byte) { l.Field(key, view(value)) }

// Uint adds a field with a number.
func (l *Line) Uint(key string, value uint64) {
	if l.key(key) {
		l.buf = strconv.AppendUint(l.buf, value, 10)
	}
}

// Run adds a field with a number, or a run of numbers if hi is above lo. It
// adds nothing if lo is 0.
func (l *Line) Run(key string, lo, hi uint64) {
	if lo == 0 {
		return
	}
	if l.Uint(key, lo); hi > lo {
		l.buf = append(l.buf, '-')
		l.buf = strconv.AppendUint(l.buf, hi, 10)
	}
}

// Origin adds a field with an origin.
func (l *Line) Origin(key string, origin uint64) {
	if l.key(key) {
		l.buf = strconv.AppendUint(l.buf, origin, 16)
	}
}

// ID adds a field with a message's id.
func (l *Line) ID(key string, id ID) {
	if l.key(key) {
		l.buf = id.append(l.buf)
	}
}

// key adds " key=" and reports whether a value may follow.
func (l *Line) key(key string) bool {
	if l.err != nil {
		return false
	}
	n := len(key)
	if n == 0 || n > V1.Limits.Key || keyEnd(key, 0) != n {
		l.fail(ErrKey)
		return false
	}
	letter := uint32(1) << (key[0] - 'a')
	if l.letters&letter != 0 && hasKey(l.buf[l.start:], key) {
		l.fail(ErrDuplicateKey)
		return false
	}
	if l.n == V1.Limits.Fields {
		l.fail(ErrManyFields)
		return false
	}
	l.letters |= letter
	l.n++
	at := len(l.buf)
	b := slices.Grow(l.buf, n+2)[:at+n+2]
	b[at] = ' '
	for i := range n {
		b[at+1+i] = key[i]
	}
	b[at+1+n] = '='
	l.buf = b
	return true
}

// hasKey reports whether an encoded frame, so far without a description, has
// a field with this key. No value has a space in it, so a key is what follows
// one.
//
//go:noinline
func hasKey(frame []byte, key string) bool {
	for {
		i := bytes.IndexByte(frame, ' ')
		if i < 0 {
			return false
		}
		frame = frame[i+1:]
		if len(frame) > len(key) && string(frame[:len(key)]) == key && frame[len(key)] == '=' {
			return true
		}
	}
}

// text adds the encoding of s.
func (l *Line) text(s string, lowest uint64) {
	if len(s) > V1.Limits.Frame {
		l.err = badLine(V1.Limits.Frame, ErrFrameTooLong)
		return
	}
	if isPlain(s, lowest) {
		l.buf = append(l.buf, s...)
		return
	}
	var cause error
	if l.buf, cause = appendEscaped(l.buf, s, lowest); cause != nil {
		l.fail(cause)
	}
}

// fail refuses the frame for what would come next. It stays out of the
// callers' code, where it would cost each frame some spilled registers.
//
//go:noinline
func (l *Line) fail(cause error) { l.err = badLine(len(l.buf)-l.start, cause) }

// End adds the description, if there is one, and the end of the line, and
// returns the slice.
func (l *Line) End(description string) ([]byte, error) {
	if description != "" && l.err == nil {
		l.buf = append(l.buf, ' ', ':')
		l.text(description, lowestInText)
	}
	return l.end()
}

// EndBytes is End with a description of octets.
func (l *Line) EndBytes(description []byte) ([]byte, error) {
	return l.End(view(description))
}

// EndMessage ends a delivery: the description is made of the sender and the
// text, see [AppendMessage].
func (l *Line) EndMessage(from string, text []byte) ([]byte, error) {
	if l.err == nil {
		l.buf = append(l.buf, ' ', ':')
		l.text(from, lowestInText)
	}
	if l.err == nil {
		l.buf = append(l.buf, ':')
		if len(text) > 0 {
			l.buf = append(l.buf, ' ')
			l.text(view(text), lowestInText)
		}
	}
	return l.end()
}

func (l *Line) end() ([]byte, error) {
	if l.err == nil && len(l.buf)+2-l.start > V1.Limits.Frame {
		l.err = badLine(V1.Limits.Frame, ErrFrameTooLong)
	}
	if l.err != nil {
		return l.buf[:l.start], l.err
	}
	return append(l.buf, '\r', '\n'), nil
}

// AppendFrame appends the canonical encoding of f, its end of line included.
// It refuses what [Parse] would refuse, and then returns buf as it was.
func AppendFrame(buf []byte, f *Frame) ([]byte, error) {
	l := Begin(buf, f.Code)
	for i := range f.Fields {
		l.Field(view(f.Fields[i].Key), view(f.Fields[i].Value))
	}
	return l.EndBytes(f.Description)
}

// A Writer writes frames to w, many in one Write. It buffers until Flush; a
// frame that it refuses leaves nothing behind. Its first error of w stays.
type Writer struct {
	w   io.Writer
	buf []byte
	err error
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write buffers one frame.
func (w *Writer) Write(f *Frame) error {
	if w.err != nil {
		return w.err
	}
	var err error
	w.buf, err = AppendFrame(w.buf, f)
	return err
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.w.Write(w.buf)
		w.buf = w.buf[:0]
	}
	return w.err
}
