package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The file: a header of 16 octets (magic, version, checksum), then frames: the
// length of the batch (4 octets), its sequence number (8), a CRC-32C of both
// and the batch (4), and the batch. All numbers are big-endian. The first
// frame came into being with the file, by a rename, and is never torn.
const (
	magic     = "parleys\x00"
	version   = 2 // what is written
	oldest    = 1 // what can be read still; it is written anew before anything is added
	headerLen = len(magic) + 8
	frameHead = 16
	maxBatch  = 1 << 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Faults of a file.
var (
	ErrForeign = errors.New("this is no state file")
	ErrDamaged = errors.New("the file is damaged")
	ErrVersion = errors.New("the file was written by a newer program")
)

func header() []byte {
	b := binary.BigEndian.AppendUint32([]byte(magic), version)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendFrame(b []byte, seq uint64, batch []byte) []byte {
	begin := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(batch)))
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint32(b, checksum(b[begin:], batch))
	return append(b, batch...)
}

func checksum(head, batch []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, batch)
}

// frameAt reads the frame at the beginning of data.
func frameAt(data []byte) (seq uint64, batch []byte, ok bool) {
	if len(data) < frameHead {
		return 0, nil, false
	}
	n := binary.BigEndian.Uint32(data)
	if n == 0 || n > maxBatch || int(n) > len(data)-frameHead {
		return 0, nil, false
	}
	batch = data[frameHead : frameHead+int(n)]
	ok = checksum(data[:12], batch) == binary.BigEndian.Uint32(data[12:])
	return binary.BigEndian.Uint64(data[4:]), batch, ok
}

// A content is what scan found.
type content struct {
	batches [][]byte
	version uint32
	seq     uint64
	size    int64 // up to which all is whole
	base    int64 // up to the end of the first batch
}

// scan reads a file. What cannot be read at its end is a torn batch if
// nothing whole follows it: each batch was synced before the next was begun.
func scan(data []byte) (content, error) {
	var c content
	var err error
	if c.version, err = readHeader(data); err != nil {
		return c, err
	}
	at := headerLen
	for at < len(data) {
		seq, batch, ok := frameAt(data[at:])
		if !ok || len(c.batches) > 0 && seq != c.seq+1 {
			break
		}
		c.seq = seq
		c.batches = append(c.batches, batch)
		at += frameHead + len(batch)
		if len(c.batches) == 1 {
			c.base = int64(at)
		}
	}
	c.size = int64(at)
	if len(c.batches) == 0 || c.follows(data[at:]) {
		return c, fmt.Errorf("%w at octet %d", ErrDamaged, at)
	}
	return c, nil
}

func readHeader(data []byte) (v uint32, err error) {
	if len(data) < headerLen || string(data[:len(magic)]) != magic {
		return 0, ErrForeign
	}
	if crc32.Checksum(data[:12], castagnoli) != binary.BigEndian.Uint32(data[12:]) {
		return 0, fmt.Errorf("%w at octet %d", ErrDamaged, len(magic))
	}
	if v = binary.BigEndian.Uint32(data[8:]); v < oldest || v > version {
		return 0, fmt.Errorf("%w (version %d; this one knows %d to %d)", ErrVersion, v, oldest, version)
	}
	return v, nil
}

// follows reports whether a whole frame later than the one that should stand
// at the beginning of rest is anywhere in it.
func (c *content) follows(rest []byte) bool {
	for i := 1; i+frameHead < len(rest); i++ {
		seq := binary.BigEndian.Uint64(rest[i+4:])
		if seq <= c.seq+1 || seq-c.seq > uint64(len(rest)) {
			continue
		}
		if _, _, ok := frameAt(rest[i:]); ok {
			return true
		}
	}
	return false
}
