package main

import (
	"context"
	"errors"
	"io"
	"sync"
)

// A screen shows lines and reads them. All its methods may be called from any
// goroutine.
type screen interface {
	// print shows a block of whole lines, the last one without its end, after
	// all blocks before it.
	print(block string)
	// lines returns the lines that are typed, from now on. The channel is
	// closed at the end of input and after a line that logs out. quit is
	// called for ^C where the terminal hands it over as a key.
	lines(ctx context.Context, quit func()) <-chan string
	// close gives the terminal back. It may be called at any time.
	close()
}

// queued is how many lines can be typed ahead of the one that is executed.
const queued = 64

// A plainScreen reads and writes lines and nothing else.
type plainScreen struct {
	mu  sync.Mutex
	out io.Writer
	in  *lineReader
}

func (p *plainScreen) print(block string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.out, block+"\n")
}

func (p *plainScreen) lines(ctx context.Context, quit func()) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			line, err := p.in.next(ctx)
			if errors.Is(err, errLineTooLong) {
				p.print("The line is too long")
				continue
			}
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
			if isLogout(line) {
				return
			}
		}
	}()
	return lines
}

func (p *plainScreen) close() {}
