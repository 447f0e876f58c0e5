package chatproto

import "strconv"

// A Frame is one line of the protocol: a CODE, fields, and a DESCRIPTION for
// a person (SPEC section 3). All its parts are decoded: no escape is left in
// them. An absent and an empty description are the same.
//
// A Frame that [Reader.Next] filled aliases the reader's buffer and is valid
// until the next call.
type Frame struct {
	Code        Code
	Fields      []Field
	Description []byte
}

// A Field is one key=value of a frame.
type Field struct{ Key, Value []byte }

// NewFrame makes a frame of strings: NewFrame(SEND, "hello!", "n", "4", "to",
// "B"). The fields come in pairs; an odd one out has an empty value. Whether
// the frame can be sent, [AppendFrame] says.
func NewFrame(code Code, description string, pairs ...string) *Frame {
	f := &Frame{Code: code, Description: []byte(description)}
	for i := 0; i < len(pairs); i += 2 {
		var value string
		if i+1 < len(pairs) {
			value = pairs[i+1]
		}
		f.Fields = append(f.Fields, Field{[]byte(pairs[i]), []byte(value)})
	}
	return f
}

// Get returns the value of the field with this key, and whether there is one.
func (f *Frame) Get(key string) ([]byte, bool) {
	for i := range f.Fields {
		if string(f.Fields[i].Key) == key {
			return f.Fields[i].Value, true
		}
	}
	return nil, false
}

// Value returns the value of a field, "" if there is none.
func (f *Frame) Value(key string) string {
	v, _ := f.Get(key)
	return string(v)
}

// Uint returns the value of a field that is a decimal number without leading
// zeros. It reports false if the field is missing or no such number.
func (f *Frame) Uint(key string) (uint64, bool) {
	v, _ := f.Get(key)
	return ParseUint(v)
}

// Range returns the value of a field that is a number from 1, or a run such
// as 17-80: the n= of a reply. lo and hi are 0 if there is no such field. It
// reports false for a value that is neither.
func (f *Frame) Range(key string) (lo, hi uint64, ok bool) {
	v, has := f.Get(key)
	if !has {
		return 0, 0, true
	}
	for i, c := range v {
		if c == '-' {
			lo, ok1 := ParseUint(v[:i])
			hi, ok2 := ParseUint(v[i+1:])
			return lo, hi, ok1 && ok2 && lo > 0 && lo < hi
		}
	}
	lo, ok = ParseUint(v)
	return lo, lo, ok && lo > 0
}

// ParseUint reads a decimal number as the protocol writes them: digits only,
// no leading zero, within 64 bits.
func ParseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		d := uint64(c - '0')
		if n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// An ID names a message for ever: the origin of the client instance that sent
// it, and the number that it had there. It is qualified by its sender: two
// users may have equal origins.
type ID struct{ Origin, N uint64 }

// String returns the id as it stands on the wire: the origin in hexadecimal,
// a dot, the number.
func (id ID) String() string { return string(id.append(nil)) }

func (id ID) append(b []byte) []byte {
	b = strconv.AppendUint(b, id.Origin, 16)
	b = append(b, '.')
	return strconv.AppendUint(b, id.N, 10)
}

// ParseID reads the id= of a delivery.
func ParseID(b []byte) (ID, bool) {
	for i, c := range b {
		if c == '.' {
			origin, ok1 := ParseOrigin(b[:i])
			n, ok2 := ParseUint(b[i+1:])
			return ID{origin, n}, ok1 && ok2 && n > 0
		}
	}
	return ID{}, false
}

// ParseOrigin reads an origin: 1 to 16 lower-case hexadecimal digits, not
// all of them 0.
func ParseOrigin(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		switch {
		case digit(c):
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, n != 0
}
