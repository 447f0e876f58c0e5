package sqlitestore

import (
	"encoding/binary"
	"fmt"
	"os"
)

// A logEnd says why a log can be read no further.
//
// SQLite writes the frames of a commit one after the other, the last of them
// marked, syncs, and notes in the index of the log (NAME-shm, which is not
// synced) how many frames are committed; then Commit returns, and only then the
// next commit begins. So:
//
//   - A process that is killed leaves its last commit without the marked frame,
//     or with that one half written. Without it, nothing was acknowledged.
//   - A power failure leaves any part of the last commit, also the marked frame
//     without others. So does damage to a commit that was acknowledged, if it
//     is the last. These two cannot be told apart, but for the index, if it is
//     still there and counts that commit.
//   - Whole commits after the one that is not were acknowledged, all but the
//     last.
type logEnd struct {
	verdict verdict
	frame   int // the first that cannot be read, from 0
	reason  string
}

type verdict byte

const (
	sound       verdict = iota
	interrupted         // within a commit that was never acknowledged
	undecided           // within the last commit
	damaged             // acknowledged commits are lost
)

// judgeLog judges the end of a log, and looks at what the index of it says.
func judgeLog(log []byte, path string) logEnd {
	end, salt := scanLog(log)
	if end.verdict == damaged {
		return end
	}
	if n, ok := committed(path, salt); ok && n > end.frame {
		return logEnd{damaged, end.frame, fmt.Sprintf("of the log only %d frames can be read, and %d were committed", end.frame, n)}
	}
	return end
}

// scanLog is judgeLog without the index, of which it returns the salt that it
// must have.
func scanLog(log []byte) (end logEnd, salt [8]byte) {
	l := &logReader{log: log}
	if len(log) < logHead+frameHead {
		return end, salt
	}
	if !l.head() {
		for _, b := range log[:logHead] {
			if b != 0 {
				return logEnd{verdict: damaged, reason: "the head of the log is damaged, and its commits cannot be read"}, salt
			}
		}
		return end, salt // never written
	}
	s := stored(log[24:])
	for i := 0; ; i++ {
		f := l.frame(i)
		if f == nil {
			return logEnd{frame: i}, l.salt
		}
		sum, salt := l.follows(f, s)
		if !sum || !salt {
			return l.end(i, sum, salt), l.salt
		}
		s = stored(f[16:])
	}
}

// end judges the frame that ends the log: sum says that its checksum is right,
// salt that its salt is.
func (l *logReader) end(i int, sum, salt bool) logEnd {
	whole, last := 0, 0 // commits that end after frame i, the last frame that can be read
	marked := salt && commits(l.frame(i))
	for j := i + 1; l.frame(j) != nil; j++ {
		f := l.frame(j)
		marked = marked || commits(f) && [8]byte(f[8:16]) == l.salt
		if sum, salt := l.follows(f, stored(l.frame(j - 1)[16:])); sum && salt {
			last = j
			if commits(f) {
				whole++
			}
		}
	}
	switch {
	case whole > 1 || sum && !salt:
		return logEnd{damaged, i, fmt.Sprintf("frame %d of the log is damaged; it and the %d commits that end after it cannot be read", i, whole)}
	case !salt && last == 0: // what was there before
		return logEnd{frame: i}
	case salt && !marked:
		return logEnd{verdict: interrupted, frame: i}
	}
	return logEnd{undecided, i, fmt.Sprintf("of the last commit in the log frame %d is not whole: it was interrupted, or stored and then damaged", i)}
}

// committed returns how many frames of the log with this salt were committed,
// by the index of the log, if that is whole.
func committed(path string, salt [8]byte) (n int, ok bool) {
	const size, sums = 48, 40
	b, err := os.ReadFile(path + "-shm")
	if err != nil || len(b) < 2*size || string(b[:size]) != string(b[size:2*size]) || [8]byte(b[32:40]) != salt {
		return 0, false
	}
	l := logReader{order: binary.NativeEndian}
	if sum := l.sum([2]uint32{}, b[:sums]); sum != [2]uint32{l.order.Uint32(b[sums:]), l.order.Uint32(b[sums+4:])} {
		return 0, false
	}
	return int(l.order.Uint32(b[16:])), true
}
