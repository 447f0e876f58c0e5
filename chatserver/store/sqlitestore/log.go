package sqlitestore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
)

// recoverLog makes the write-ahead log at path sound before SQLite opens it,
// as far as that can be done.
//
// It writes the log again and syncs it: a process whose sync failed may have
// left in the kernel's cache what is on no disk, and a later sync does not
// write it. SQLite would read it, take it for stored, and append to it.
//
// And it looks for damage. SQLite reads the log up to the first frame whose
// checksum is wrong, and is silent about what comes after. See logEnd for what
// that may be. It reports whether acknowledged commits may be lost.
func recoverLog(path string, logger *slog.Logger, tell func(Damage)) (lost bool, err error) {
	name := path + "-wal"
	log, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(log) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch end := judgeLog(log, path); end.verdict {
	case interrupted:
		logger.Debug(droppedCommit, "file", path, "frame", end.frame)
	case undecided:
		lost = true
		tell(Damage{Kind: "tail", Reason: end.reason + keepCopy(name+".interrupted", log)})
	case damaged:
		lost = true
		tell(Damage{Kind: "log", Reason: end.reason + keepCopy(damagedName(name), log)})
		prune(name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return lost, err
	}
	_, err = f.WriteAt(log, 0)
	return lost, errors.Join(err, f.Sync(), f.Close())
}

// droppedCommit is the message about a commit that was never acknowledged, as
// far as can be known.
const droppedCommit = "an interrupted commit was dropped"

// keepCopy writes a copy and says so, if it can.
func keepCopy(name string, b []byte) string {
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return ""
	}
	return "; a copy is kept as " + name
}

// The layout of a write-ahead log, see https://www.sqlite.org/walformat.html.
const (
	logHead   = 32
	frameHead = 24
	logMagic  = 0x377f0682 // the last bit says the order of octets in checksums
)

// A logReader walks over the frames of a log.
type logReader struct {
	order binary.ByteOrder
	page  int
	salt  [8]byte
	log   []byte
}

// sum continues a checksum.
func (l *logReader) sum(s [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += l.order.Uint32(b) + s[1]
		s[1] += l.order.Uint32(b[4:]) + s[0]
	}
	return s
}

func stored(b []byte) [2]uint32 {
	return [2]uint32{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// frame returns frame i, nil if the log ends before.
func (l *logReader) frame(i int) []byte {
	size := frameHead + l.page
	if at := logHead + i*size; at+size <= len(l.log) {
		return l.log[at : at+size]
	}
	return nil
}

// follows reports whether the frame's checksum continues s, and whether it
// has the salt of this log, not of one that was there before.
func (l *logReader) follows(f []byte, s [2]uint32) (sum, salt bool) {
	return l.sum(l.sum(s, f[:8]), f[frameHead:]) == stored(f[16:]), [8]byte(f[8:16]) == l.salt
}

func commits(f []byte) bool { return binary.BigEndian.Uint32(f[4:]) != 0 }

// pages returns where in a log the newest committed content of each page
// stands.
func (l *logReader) pages() map[uint32]int {
	committed, open := make(map[uint32]int), make(map[uint32]int)
	if len(l.log) < logHead || !l.head() {
		return committed
	}
	s := stored(l.log[24:])
	for i := 0; l.frame(i) != nil; i++ {
		f := l.frame(i)
		if sum, salt := l.follows(f, s); !sum || !salt {
			break
		}
		s = stored(f[16:])
		open[binary.BigEndian.Uint32(f)] = logHead + i*(frameHead+l.page) + frameHead
		if commits(f) {
			maps.Copy(committed, open)
			clear(open)
		}
	}
	return committed
}

// head reads the head of the log. It reports false if it is damaged.
func (l *logReader) head() bool {
	head := l.log[:logHead]
	magic := binary.BigEndian.Uint32(head)
	l.order = binary.LittleEndian
	if magic&1 == 1 {
		l.order = binary.BigEndian
	}
	l.page = int(binary.BigEndian.Uint32(head[8:]))
	l.salt = [8]byte(head[16:24])
	return magic&^1 == logMagic && l.sum([2]uint32{}, head[:24]) == stored(head[24:])
}
