package chatproto

import (
	"bytes"
	"io"
)

// A Reader cuts a stream into frames. It keeps one buffer of at most
// Limits.Frame octets, however long the lines that it is given. However the
// stream is cut into reads, the frames and errors are the same. A Reader is
// for one goroutine.
type Reader struct {
	r        io.Reader
	short    bool // lines have at most Limits.LoginFrame octets
	buf      []byte
	pos, end int
	skipped  int // octets of an overlong line that are gone, 0 if the line is not overlong
	err      error
}

// readSize is the buffer that a Reader starts with: room for the requests of
// an ordinary line or two, grown only by a line that needs more.
const readSize = 1024

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Short sets whether the lines to come are those of a stranger, which have at
// most Limits.LoginFrame octets; at first they are not. Call it between two
// calls of Next.
func (r *Reader) Short(short bool) { r.short = short }

// limit is how many octets a line has at most, its end included, and how a
// longer one is told.
func (r *Reader) limit() (octets int, tooLong error) {
	if r.short {
		return V1.Limits.LoginFrame, ErrLoginFrameTooLong
	}
	return V1.Limits.Frame, ErrFrameTooLong
}

// Next reads the next frame into f, which is valid until the following call.
//
// An *[Error] tells of a line that is no frame; the line is gone and the
// reader goes on behind it. Any other error ends the stream: io.EOF after a
// whole line, io.ErrUnexpectedEOF in the middle of one, ErrNoEndOfLine, or
// what the underlying reader returned.
func (r *Reader) Next(f *Frame) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	return Parse(f, line)
}

// Buffered reports whether a whole line is at hand, so that Next will not
// wait for the stream.
func (r *Reader) Buffered() bool {
	return bytes.IndexByte(r.buf[r.pos:r.end], '\n') >= 0
}

// Rest is what has been read and not been returned yet. It is valid until the
// next call of another method.
func (r *Reader) Rest() []byte { return r.buf[r.pos:r.end] }

// Refill gives the reader another buffer, whose first n octets are its [Rest]
// and what the stream brought behind that, and returns the one that it had. A
// caller that knows when there is something to read can so keep a reader
// without a buffer while there is nothing.
func (r *Reader) Refill(buf []byte, n int) (old []byte) {
	old = r.buf
	r.buf, r.pos, r.end = buf, 0, n
	return old
}

// line returns the next line without its end.
func (r *Reader) line() ([]byte, error) {
	limit, tooLong := r.limit()
	scanned := r.pos
	for {
		if i := bytes.IndexByte(r.buf[scanned:r.end], '\n'); i >= 0 {
			line := r.buf[r.pos : scanned+i]
			r.pos = scanned + i + 1
			if r.skipped > 0 {
				if r.skipped+len(line) >= V1.Limits.LineSkip {
					r.pos, r.err = r.end, ErrNoEndOfLine
					return nil, r.err
				}
				r.skipped = 0
				return nil, badLine(limit, tooLong)
			}
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			if len(line) > limit-len("\r\n") {
				return nil, badLine(limit, tooLong)
			}
			return line, nil
		}
		scanned = r.end
		if r.skipped > 0 || r.end-r.pos >= limit {
			r.skipped += r.end - r.pos
			r.pos, r.end, scanned = 0, 0, 0
			if r.skipped >= V1.Limits.LineSkip {
				r.err = ErrNoEndOfLine
			}
		}
		if r.err != nil {
			if r.err == io.EOF && r.end-r.pos+r.skipped > 0 {
				r.err = io.ErrUnexpectedEOF
			}
			return nil, r.err
		}
		scanned -= r.room(limit)
		r.read()
	}
}

// read reads once, and gives up on a reader that keeps bringing nothing.
func (r *Reader) read() {
	for range 100 {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// room makes room for a read and returns by how much what is buffered moved
// to the front. The buffer is shorter than limit, or has room.
func (r *Reader) room(limit int) int {
	moved := 0
	if r.pos > 0 {
		moved = r.pos
		copy(r.buf, r.buf[r.pos:r.end])
		r.pos, r.end = 0, r.end-r.pos
	}
	if r.end == len(r.buf) {
		grown := make([]byte, min(max(readSize, 2*len(r.buf)), limit))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	return moved
}
