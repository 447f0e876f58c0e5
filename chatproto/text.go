package chatproto

import (
	"unicode"
	"unicode/utf8"
)

const (
	every80 = 0x8080808080808080
	every01 = 0x0101010101010101
	every20 = 0x2020202020202020
	every5c = 0x5c5c5c5c5c5c5c5c
)

// odd marks, in each octet's high bit, the octets of w that are not plain:
// below space, DEL and above, or a backslash. A borrow or carry can mark a
// plain octet beside an odd one, never hide an odd one.
func odd(w uint64) uint64 {
	x := w ^ every5c
	return (w | (w - every20) | (w + every01) | (x-every01)&^x) & every80
}

// isPlain reports whether b is printable ASCII without a backslash, which
// decodes and encodes to itself. Nearly every line is, and is looked at eight
// octets at a time.
func isPlain[T string | []byte](b T) bool {
	i := 0
	if len(b) >= 8 {
		for ; i+8 <= len(b); i += 8 {
			if odd(load64(b, i)) != 0 {
				return false
			}
		}
		return i == len(b) || odd(load64(b, len(b)-8)) == 0
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// load64 is binary.LittleEndian.Uint64, for strings as well.
func load64[T string | []byte](b T, i int) uint64 {
	s := b[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// unescape decodes the escapes of b in place and returns the decoded length.
// It refuses what has no place on the wire, naming the octet of b. In a value
// \s stands for a space; in a description a space stands for itself.
func unescape(b []byte, value bool) (n, at int, err error) {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '\\':
			if i+1 == len(b) {
				return 0, i, ErrEscape
			}
			switch b[i+1] {
			case 'n':
				b[n] = '\n'
			case 't':
				b[n] = '\t'
			case '\\':
				b[n] = '\\'
			case 's':
				if !value {
					return 0, i, ErrEscape
				}
				b[n] = ' '
			default:
				return 0, i, ErrEscape
			}
			n, i = n+1, i+2
		case c < ' ' || c == 0x7f:
			return 0, i, ErrControl
		case c < utf8.RuneSelf:
			b[n] = c
			n, i = n+1, i+1
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return 0, i, ErrUTF8
			}
			if forbidden(r) {
				return 0, i, ErrControl
			}
			n += copy(b[n:], b[i:i+size])
			i += size
		}
	}
	return n, 0, nil
}

// forbidden reports whether a rune beyond ASCII has no place on the wire: C1
// controls, the line and paragraph separators, and what changes the direction
// of the text around it (Unicode's Bidi_Control).
func forbidden(r rune) bool {
	switch {
	case r < 0xa0:
		return true
	case r == 0x61c, r == 0x200e, r == 0x200f:
		return true
	case 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return true
	}
	return false
}

// appendEscaped encodes s. A space is escaped in a value only.
func appendEscaped[T string | []byte](b []byte, s T, value bool) ([]byte, error) {
	if isPlain(s) && !(value && hasSpace(s)) {
		return append(b, s...), nil
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\\':
			b = append(b, '\\', '\\')
		case c == ' ' && value:
			b = append(b, '\\', 's')
		case c < ' ' || c == 0x7f:
			return b, &Error{Code: ReplyBadFrame, At: i, Err: ErrControl}
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && size == 1 {
				return b, &Error{Code: ReplyBadFrame, At: i, Err: ErrUTF8}
			}
			if forbidden(r) {
				return b, &Error{Code: ReplyBadFrame, At: i, Err: ErrControl}
			}
			b = append(b, s[i:i+size]...)
			i += size - 1
		}
		i++
	}
	return b, nil
}

func hasSpace[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' {
			return true
		}
	}
	return false
}

// CheckText reports whether text can be sent as a message: nil, or an
// *[Error] that names the octet with what has no place on the wire, or with
// code 552 when its encoding is longer than the limit.
func CheckText(text string) error {
	n := len(text)
	if !isPlain(text) {
		b, err := appendEscaped(nil, text, false)
		if err != nil {
			return err
		}
		n = len(b)
	}
	if n > V1.Limits.Text {
		return &Error{Code: ReplyTooLong, Err: ErrTextTooLong, At: V1.Limits.Text}
	}
	return nil
}

// CheckName reports whether name has the form of a user name: 1 to 64 octets
// of UTF-8 without spaces, control or format characters. What else makes a
// good name (normal form, scripts) is the server's to say.
func CheckName[T string | []byte](name T) error {
	if len(name) == 0 || len(name) > V1.Limits.Name {
		return &Error{Code: ReplyBadField, Text: "A user name has 1 to 64 octets"}
	}
	if isPlain(name) && !hasSpace(name) {
		return nil
	}
	for i, r := range string(name) {
		bad := r == utf8.RuneError || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
		if bad {
			return &Error{Code: ReplyBadField, At: i, Text: "A user name has no spaces, control or format characters"}
		}
	}
	return nil
}

// AppendMessage appends the description of a delivery: "A: hello!", and "A:"
// when the text is empty.
func AppendMessage(b []byte, from string, text []byte) []byte {
	b = append(b, from...)
	b = append(b, ':')
	if len(text) > 0 {
		b = append(b, ' ')
		b = append(b, text...)
	}
	return b
}

// MessageText returns the text of a delivery: its description less the prefix
// that [AppendMessage] put before it. It reports false if that is missing.
func MessageText(from string, description []byte) ([]byte, bool) {
	if len(description) <= len(from) || string(description[:len(from)]) != from || description[len(from)] != ':' {
		return nil, false
	}
	rest := description[len(from)+1:]
	if len(rest) == 0 {
		return nil, true
	}
	if rest[0] != ' ' || len(rest) == 1 {
		return nil, false
	}
	return rest[1:], true
}
