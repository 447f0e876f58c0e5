//go:build linux || darwin

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fewFiles is what is open beside the connections.
const fewFiles = 32

// files sees to it that so many connections can be open, here and in the
// server.
func (b *bench) files(connections int) error {
	need := uint64(connections) + fewFiles
	if limit := processFiles(b.o.pid); b.o.pid != 0 && limit > 0 && limit < need {
		b.say("the server may open %d files only, and %d connections are to come: start it with a higher limit (ulimit -n)", limit, connections)
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur >= need {
		return nil
	}
	raised := l
	raised.Cur = max(l.Cur, min(l.Max, need))
	if l.Max < need { // root may
		raised.Cur, raised.Max = need, need
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("%d connections need %d file descriptors, and the limit is %d: raise it (ulimit -n), or take fewer connections", connections, need, l.Max)
	}
	return nil
}
