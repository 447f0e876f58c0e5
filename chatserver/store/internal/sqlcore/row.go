package sqlcore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// Every row is packed into a cell:
//
//	CRC-32C of all that follows, 4 octets
//	length of the body, 4 octets
//	body: the row's id, the kind of row, 1 octet, then what that kind has
//
// Numbers are uvarints or little-endian words, strings have a length before
// them. Id and kind tie a row to its place: one that moved does not pass for
// another, and a cell that is found somewhere says what it is. The length lets
// cells be read one after the other out of one long blob. User names stand in the row itself, not in a table of users:
// a few octets more, but no damage to one page can take the names from many.
const cellHead = 8

// castagnoli is CRC-32C, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errShort = errors.New("the row is cut short")
	errCRC   = errors.New("the checksum is wrong")
	errPlace = errors.New("the row is not in its place")
	errForm  = errors.New("the row makes no sense")
	errText  = errors.New("the checksum of the text is wrong")
)

// The kinds of rows.
const (
	messageRow = 'm'
	originRow  = 'o'
	blockRow   = 'b'
	sessionRow = 's'
	accountRow = 'a' // from version 2 on, as the next two
	attemptRow = 't'
	secretRow  = 'k'
	countsRow  = 'c'
)

// beginCell appends the head of a cell, the id and the kind.
func beginCell(b []byte, id uint64, kind byte) []byte {
	return append(binary.AppendUvarint(append(b, make([]byte, cellHead)...), id), kind)
}

// endCell completes the cell that begins at start.
func endCell(b []byte, start int) []byte {
	cell := b[start:]
	binary.LittleEndian.PutUint32(cell[4:], uint32(len(cell)-cellHead))
	binary.LittleEndian.PutUint32(cell, crc32.Checksum(cell[4:], castagnoli))
	return b
}

// A decoder reads the fields of a row. A field that is not there is zero, and
// sets bad.
type decoder struct {
	b   []byte
	bad bool
}

// nextCell takes the first cell off b, its checksum verified unless noCRC,
// and returns its id, a decoder that stands behind it, and the rest of b.
func nextCell(b []byte, noCRC bool) (id uint64, d decoder, rest []byte, err error) {
	if len(b) < cellHead {
		return 0, d, nil, errShort
	}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	if uint64(len(b)-cellHead) < n {
		return 0, d, nil, errShort
	}
	cell, rest := b[:cellHead+n], b[cellHead+n:]
	if !noCRC && crc32.Checksum(cell[4:], castagnoli) != binary.LittleEndian.Uint32(cell) {
		return 0, d, nil, errCRC
	}
	d.b = cell[cellHead:]
	id = d.uvarint()
	if d.bad {
		return 0, d, nil, errForm
	}
	return id, d, rest, nil
}

// onlyCell is nextCell for a blob that holds the cell of row id and nothing
// else.
func onlyCell(b []byte, id uint64, noCRC bool) (decoder, error) {
	got, d, rest, err := nextCell(b, noCRC)
	switch {
	case err != nil:
		return d, err
	case len(rest) > 0 && !noCRC:
		return d, errForm
	case got != id && !noCRC:
		return d, errPlace
	}
	return d, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) octets(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) octet() byte {
	if v := d.octets(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) word32() uint32 {
	if v := d.octets(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) word64() uint64 {
	if v := d.octets(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) name(n names) string { return n.get(d.octets(d.uvarint())) }

// end reports a row that was too short or too long.
func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return errForm
	}
	return nil
}

// names makes one string of all equal names.
type names map[string]string

func (n names) get(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	if n != nil {
		n[s] = s
	}
	return s
}

func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// appendHead appends the cell of a message: all of it but the text, of which
// it holds the length and the CRC. Load reads no more than this.
func appendHead(b []byte, m *store.Message) []byte {
	return appendHeadOf(b, m, uint64(len(m.Text)), crc32.Checksum(m.Text, castagnoli))
}

func appendHeadOf(b []byte, m *store.Message, size uint64, crc uint32) []byte {
	start := len(b)
	b = beginCell(b, m.Seq, messageRow)
	cast := byte(0)
	if m.Cast {
		cast = 1
	}
	b = append(b, cast)
	b = binary.LittleEndian.AppendUint32(b, crc)
	b = binary.AppendUvarint(b, size)
	b = binary.LittleEndian.AppendUint64(b, m.ID.Origin)
	b = binary.AppendUvarint(b, m.ID.N)
	b = binary.AppendUvarint(b, uint64(m.Time))
	b = appendName(b, m.From)
	b = binary.AppendUvarint(b, uint64(len(m.Audience)))
	for _, name := range m.Audience {
		b = appendName(b, name)
	}
	return endCell(b, start)
}

// head reads what appendHead wrote into m, whose Audience it reuses, and
// returns the CRC of the text.
func (d *decoder) head(m *store.Message, n names) (crc uint32, err error) {
	if d.octet() != messageRow {
		return 0, errPlace
	}
	m.Cast = d.octet() == 1
	crc = d.word32()
	m.Size = int(d.uvarint())
	m.ID = chatproto.ID{Origin: d.word64(), N: d.uvarint()}
	m.Time = int64(d.uvarint())
	m.From = d.name(n)
	m.Audience = m.Audience[:0]
	for range d.uvarint() {
		if d.bad {
			break
		}
		m.Audience = append(m.Audience, d.name(n))
	}
	return crc, d.end()
}

// A recordKey says what a record is about: there is one of each.
type recordKey struct {
	kind        byte
	user, other string // other: whom a block is against; where an attempt came from
	origin      uint64 // of an origin's record
}

// A keySum stands for a recordKey in memory, where there is one for each record
// and they are of half the size so, and nothing for the garbage collector to
// look into. No two records have the same: who would want that for names of his
// choice does not know the salt, which is new with each Store.
type keySum [16]byte

func (k *recordKey) sum(salt string) keySum {
	b := append(make([]byte, 0, 256), salt...)
	b = appendName(appendName(append(b, k.kind), k.user), k.other)
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(b, k.origin))
	return keySum(sum[:len(keySum{})])
}

func appendOrigin(b []byte, id uint64, o *store.Origin) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, originRow), o.User)
	b = binary.LittleEndian.AppendUint64(b, o.Origin)
	b = binary.AppendUvarint(b, uint64(o.Used))
	b, _ = o.Window.AppendBinary(b) // it has no error
	return endCell(b, start)
}

func appendBlock(b []byte, id uint64, k *store.Block) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, blockRow), k.Owner)
	return endCell(appendName(b, k.User), start)
}

func appendSession(b []byte, id uint64, k *store.Session) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, sessionRow), k.User)
	return endCell(binary.LittleEndian.AppendUint64(b, k.Origin), start)
}

func appendAccount(b []byte, id uint64, a *store.Account) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, accountRow), a.User)
	return endCell(appendName(b, a.Verifier), start)
}

func appendAttempt(b []byte, id uint64, a *store.Attempt) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, attemptRow), a.User)
	b = appendName(b, a.Source)
	for _, n := range []int64{int64(a.Fails), a.Last, a.Until, a.Proven} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return endCell(b, start)
}

func appendSecret(b []byte, id uint64, secret []byte) []byte {
	start := len(b)
	b = appendName(beginCell(b, id, secretRow), "")
	return endCell(append(b, secret...), start)
}

// A record is one row of the table of records, read: what its key says, and
// the one that its kind names.
type record struct {
	recordKey
	origin  store.Origin
	session store.Session
	account store.Account
	attempt store.Attempt
	secret  []byte
}

// record reads a record of any kind.
func (d *decoder) record(n names) (r record, err error) {
	r.kind = d.octet()
	r.user = d.name(n)
	switch r.kind {
	case originRow:
		r.recordKey.origin = d.word64()
		r.origin = store.Origin{User: r.user, Origin: r.recordKey.origin, Used: int64(d.uvarint())}
		err = r.origin.Window.UnmarshalBinary(d.b)
		d.b = nil
	case blockRow:
		r.other = d.name(n)
	case sessionRow:
		r.session = store.Session{User: r.user, Origin: d.word64()}
	case accountRow:
		r.account = store.Account{User: r.user, Verifier: d.name(nil)}
	case attemptRow:
		r.other = d.name(n)
		r.attempt = store.Attempt{User: r.user, Source: r.other,
			Fails: int(d.uvarint()), Last: int64(d.uvarint()), Until: int64(d.uvarint()), Proven: int64(d.uvarint())}
	case secretRow:
		r.secret = bytes.Clone(d.b)
		d.b = nil
	default:
		return r, errPlace
	}
	if err != nil {
		return r, err
	}
	return r, d.end()
}

// A counts is the row of the table state: what the file must hold. With it, a
// row that vanished is missed.
type counts struct {
	commits  uint64 // so far
	lastSeq  uint64 // the highest Seq ever written
	messages uint64 // rows
	records  uint64 // rows
}

const stateID = 1

func appendCounts(b []byte, c *counts) []byte {
	start := len(b)
	b = beginCell(b, stateID, countsRow)
	for _, n := range []uint64{c.commits, c.lastSeq, c.messages, c.records} {
		b = binary.AppendUvarint(b, n)
	}
	return endCell(b, start)
}

func (d *decoder) counts() (c counts, err error) {
	if d.octet() != countsRow {
		return c, errPlace
	}
	for _, n := range []*uint64{&c.commits, &c.lastSeq, &c.messages, &c.records} {
		*n = d.uvarint()
	}
	return c, d.end()
}
