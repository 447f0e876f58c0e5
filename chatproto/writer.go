package chatproto

import (
	"io"
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
	buf   []byte
	start int
	keys  [16]string
	n     int
	err   error
}

// Begin starts a frame behind what buf already holds.
func Begin(buf []byte, code Code) Line {
	return Line{buf: code.append(buf), start: len(buf)}
}

// Field adds a field with a string value.
func (l *Line) Field(key, value string) {
	if l.key(key) {
		l.fail(appendEscaped(l.buf, value, true))
	}
}

// Bytes adds a field with a value of octets.
func (l *Line) Bytes(key string, value []byte) {
	if l.key(key) {
		l.fail(appendEscaped(l.buf, value, true))
	}
}

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
	ok := len(key) > 0 && len(key) <= V1.Limits.Key
	for i := 0; ok && i < len(key); i++ {
		ok = keyOctet(key[i], i > 0)
	}
	for i := 0; ok && i < l.n; i++ {
		if l.keys[i] == key {
			l.err = badLine(len(l.buf)-l.start, ErrDuplicateKey)
			return false
		}
	}
	if !ok {
		l.err = badLine(len(l.buf)-l.start, ErrKey)
		return false
	}
	if l.n == V1.Limits.Fields {
		l.err = badLine(len(l.buf)-l.start, ErrManyFields)
		return false
	}
	l.keys[l.n] = key
	l.n++
	l.buf = append(l.buf, ' ')
	l.buf = append(l.buf, key...)
	l.buf = append(l.buf, '=')
	return true
}

func (l *Line) fail(b []byte, err error) {
	l.buf = b
	if err != nil {
		l.err = err
	}
}

// End adds the description, if there is one, and the end of the line, and
// returns the slice.
func (l *Line) End(description string) ([]byte, error) {
	if description != "" && l.err == nil {
		l.buf = append(l.buf, ' ', ':')
		l.fail(appendEscaped(l.buf, description, false))
	}
	return l.end()
}

// EndBytes is End with a description of octets.
func (l *Line) EndBytes(description []byte) ([]byte, error) {
	if len(description) > 0 && l.err == nil {
		l.buf = append(l.buf, ' ', ':')
		l.fail(appendEscaped(l.buf, description, false))
	}
	return l.end()
}

// EndMessage ends a delivery: the description is made of the sender and the
// text, see [AppendMessage].
func (l *Line) EndMessage(from string, text []byte) ([]byte, error) {
	if l.err == nil {
		l.buf = append(l.buf, ' ', ':')
		l.fail(appendEscaped(l.buf, from, false))
		l.buf = append(l.buf, ':')
		if len(text) > 0 && l.err == nil {
			l.buf = append(l.buf, ' ')
			l.fail(appendEscaped(l.buf, text, false))
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
	if c, n := parseCode(f.Code.append(nil)); n == 0 || c != f.Code {
		return buf, badLine(0, ErrCode)
	}
	l := Begin(buf, f.Code)
	for i := range f.Fields {
		l.Bytes(string(f.Fields[i].Key), f.Fields[i].Value)
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
