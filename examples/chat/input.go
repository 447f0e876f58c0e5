package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// maxLine bounds a line of input. The longest message is far below it.
const maxLine = 64 << 10

var errLineTooLong = errors.New("the line is too long")

// A lineReader reads lines on a goroutine of its own, each when it is asked
// for, so that whoever waits for one can stop waiting. What is not asked for
// stays unread: the terminal may have another reader later.
type lineReader struct {
	ask  chan struct{}
	got  chan lineResult
	done chan struct{}
}

type lineResult struct {
	line string
	err  error
}

// newLineReader starts a lineReader. Its goroutine ends with close, or, if it
// then waits for input, with the input.
func newLineReader(r io.Reader) *lineReader {
	l := &lineReader{ask: make(chan struct{}), got: make(chan lineResult, 1), done: make(chan struct{})}
	go func() {
		in := bufio.NewReaderSize(r, maxLine)
		for {
			select {
			case <-l.ask:
			case <-l.done:
				return
			}
			line, err := readLine(in)
			l.got <- lineResult{line, err}
		}
	}()
	return l
}

// close ends the reader, and every next with io.EOF. It is called once.
func (l *lineReader) close() { close(l.done) }

// next returns the next line without its end, io.EOF behind the last one, and
// errLineTooLong for a line that it has skipped. One goroutine calls it. After
// ctx is done the reader is of no more use.
func (l *lineReader) next(ctx context.Context) (string, error) {
	select {
	case l.ask <- struct{}{}:
	case <-l.done:
		return "", io.EOF
	case <-ctx.Done():
		return "", ctx.Err()
	}
	select {
	case r := <-l.got:
		return r.line, r.err
	case <-l.done:
		return "", io.EOF
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readLine reads one line. The last one may lack its end.
func readLine(in *bufio.Reader) (string, error) {
	b, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		return "", errLineTooLong
	}
	if err != nil && (len(b) == 0 || !errors.Is(err, io.EOF)) {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}
