package sqlitestore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"iter"
	"os"

	"github.com/parleyproto/parley/chatserver/store/internal/sqlcore"
)

// A carver finds the rows of a file without any of its structure: it looks at
// each page, and takes for a row what looks like one. Whether it is one, the
// row's checksum says. So no page is so important that its damage costs more
// than the rows on it.
//
// Pages and cells are described in https://www.sqlite.org/fileformat.html.
type carver struct {
	f     *os.File
	n     uint32         // pages
	log   []byte         // the write-ahead log
	inLog map[uint32]int // where in it the newer content of pages stands
	free  map[uint32]bool
	live  map[uint32]bool
}

func openCarver(path string) (*carver, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &carver{f: f, inLog: make(map[uint32]int)}
	fi, err := f.Stat()
	if err == nil {
		c.n = uint32(fi.Size() / pageSize)
		c.log, err = os.ReadFile(path + "-wal")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Close()
		return nil, err
	}
	l := logReader{log: c.log}
	if at := l.pages(); l.page == pageSize {
		c.inLog = at
	}
	for no := range c.inLog {
		c.n = max(c.n, no)
	}
	c.free, c.live = c.freePages(), make(map[uint32]bool)
	for _, root := range sqlcore.Roots {
		c.walk(root)
	}
	return c, nil
}

func (c *carver) close() error { return c.f.Close() }

// page returns a page; nil if there is none, or the medium does not give it.
func (c *carver) page(no uint32) []byte {
	if at, ok := c.inLog[no]; ok {
		return c.log[at : at+pageSize]
	}
	if no == 0 || no > c.n {
		return nil
	}
	b := make([]byte, pageSize)
	if _, err := c.f.ReadAt(b, int64(no-1)*pageSize); err != nil {
		return nil
	}
	return b
}

// freePages returns the pages that are not in use, as far as their list can
// be followed. What stands on them was deleted.
func (c *carver) freePages() map[uint32]bool {
	free := make(map[uint32]bool)
	first := c.page(1)
	if first == nil {
		return free
	}
	for trunk := binary.BigEndian.Uint32(first[32:]); trunk != 0 && !free[trunk]; {
		p := c.page(trunk)
		if p == nil {
			break
		}
		free[trunk] = true
		leaves := binary.BigEndian.Uint32(p[4:])
		for i := uint32(0); i < leaves && 8+4*i+4 <= pageSize; i++ {
			free[binary.BigEndian.Uint32(p[8+4*i:])] = true
		}
		trunk = binary.BigEndian.Uint32(p)
	}
	return free
}

// walk notes the pages of a table in c.live, as far as they can be followed. A
// page that is also in the list of those not in use is there by mistake.
func (c *carver) walk(no uint32) {
	const inner, pointers = 0x05, 12
	p := c.page(no)
	if p == nil || c.live[no] {
		return
	}
	c.live[no] = true
	if p[0] != inner {
		return
	}
	c.walk(binary.BigEndian.Uint32(p[8:])) // the rightmost
	for i := range min(int(binary.BigEndian.Uint16(p[3:])), (pageSize-pointers)/2) {
		if at := int(binary.BigEndian.Uint16(p[pointers+2*i:])); at+4 <= pageSize {
			c.walk(binary.BigEndian.Uint32(p[at:]))
		}
	}
}

// rows returns the rows on pages that are in use; of these, those that the
// page counts, or the others.
func (c *carver) rows(doubtful bool) iter.Seq2[sqlcore.Row, error] {
	return func(yield func(sqlcore.Row, error) bool) {
		for no := uint32(1); no <= c.n; no++ {
			if c.free[no] && !c.live[no] {
				continue
			}
			p := c.page(no)
			if p == nil {
				continue
			}
			for row := range c.cells(p, no, doubtful) {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// cells returns the rows on a page of table rows. Those that it does not
// count are those of a page whose head is damaged, or left over.
func (c *carver) cells(p []byte, no uint32, doubtful bool) iter.Seq[sqlcore.Row] {
	return func(yield func(sqlcore.Row) bool) {
		const leaf, pointers = 0x0d, 8
		head := 0
		if no == 1 {
			head = headSize
		}
		counted := int(binary.BigEndian.Uint16(p[head+3:]))
		if p[head] != leaf {
			counted = 0
		}
		first, last := 0, counted
		if doubtful {
			first, last = counted, pageSize/2
		}
		for i := first; i < last; i++ {
			at := head + pointers + 2*i
			if at+2 > pageSize {
				return
			}
			row, ok := c.cell(p, int(binary.BigEndian.Uint16(p[at:])))
			if ok && !yield(row) {
				return
			}
		}
	}
}

// cell reads the row at an offset of a page. It reports false if what stands
// there is no row of ours.
func (c *carver) cell(p []byte, at int) (row sqlcore.Row, ok bool) {
	if at < 8 || at >= len(p) {
		return row, false
	}
	b := p[at:]
	size, n := varint(b)
	id, m := varint(b[n:])
	if n == 0 || m == 0 || size > 1<<30 || !isHeader(b[n+m:], size) {
		return row, false
	}
	payload := c.payload(b[n+m:], int(size))
	if payload == nil {
		return row, false
	}
	row.ID = id
	head, n := varint(payload)
	if n == 0 || head < uint64(n) || head > uint64(len(payload)) {
		return row, false
	}
	types, body := payload[n:head], payload[head:]
	for i := 0; len(types) > 0; i++ {
		kind, n := varint(types)
		if n == 0 {
			return row, false
		}
		types = types[n:]
		var field []byte
		if kind != 0 { // not NULL: a blob, but for the id, which is NULL
			length := (kind - 12) / 2
			if kind < 12 || kind%2 != 0 || length > uint64(len(body)) {
				return row, false
			}
			field, body = body[:length], body[length:]
		}
		switch {
		case i == 0 && kind == 0:
		case i == 1:
			row.Cell = field
		case i == 2:
			row.Text = field
		default:
			return row, false
		}
	}
	return row, len(row.Cell) > 0
}

// isHeader reports whether b begins with the head of a row of ours: the first
// field is NULL. If the row goes on on other pages, its length must be right,
// too: else anything might be taken for the beginning of a long row.
func isHeader(b []byte, size uint64) bool {
	head, n := varint(b)
	if n == 0 || head <= uint64(n) || head > uint64(len(b)) || b[n] != 0 {
		return false
	}
	if size <= mostLocal {
		return true
	}
	for types := b[n:head]; len(types) > 0; {
		kind, n := varint(types)
		if n == 0 || kind != 0 && (kind < 12 || kind%2 != 0) {
			return false
		}
		types = types[n:]
		if kind != 0 {
			head += (kind - 12) / 2
		}
	}
	return head == size
}

// mostLocal is how long a row may be that has no part on other pages.
const mostLocal = pageSize - 35

// payload returns the content of a cell, of which b is the beginning: the
// rest of a long one lies on a chain of other pages.
func (c *carver) payload(b []byte, size int) []byte {
	const usable = pageSize
	if size <= mostLocal {
		if size > len(b) {
			return nil
		}
		return b[:size]
	}
	least := (usable-12)*32/255 - 23
	local := least + (size-least)%(usable-4)
	if local > mostLocal {
		local = least
	}
	if local+4 > len(b) || size > int(c.n)*pageSize {
		return nil
	}
	out := append(make([]byte, 0, size), b[:local]...)
	for no := binary.BigEndian.Uint32(b[local:]); len(out) < size; {
		p := c.page(no)
		if p == nil {
			return append(out, make([]byte, size-len(out))...) // what there is, to be quarantined
		}
		out = append(out, p[4:4+min(usable-4, size-len(out))]...)
		no = binary.BigEndian.Uint32(p)
	}
	return out
}

// varint reads SQLite's: big-endian, 7 bits an octet, 9 octets at most. n is
// its length, 0 if there is none.
func varint(b []byte) (v uint64, n int) {
	for n < len(b) && n < 8 {
		v = v<<7 | uint64(b[n]&0x7f)
		n++
		if b[n-1] < 0x80 {
			return v, n
		}
	}
	if n < len(b) && n == 8 {
		return v<<8 | uint64(b[n]), 9
	}
	return 0, 0
}
