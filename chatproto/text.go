package chatproto

import (
	"math/bits"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// view is b as a string, without a copy: the package's one use of unsafe. It
// lets every scan be written once, for octets and for strings. The string is
// b's memory: callers read it within one call, before b changes, and keep
// nothing of it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

const (
	every80 = 0x8080808080808080
	every01 = 0x0101010101010101
	every5c = 0x5c5c5c5c5c5c5c5c
)

// lowest is the lowest octet that stands for itself, in all eight of a word:
// a space in a description, what follows it in a value.
const (
	lowestInText  = 0x2020202020202020
	lowestInValue = 0x2121212121212121
)

// odd marks, in each octet's high bit, the octets of w that are not plain:
// those below lowest, DEL and above, and the backslash. A borrow or carry can
// mark a plain octet above an odd one, never hide an odd one: the lowest mark
// is exact.
func odd(w, lowest uint64) uint64 {
	x := w ^ every5c
	return (w | (w - lowest) | (w + every01) | (x-every01)&^x) & every80
}

// plainLen returns how many octets at the start of s are plain: printable
// ASCII from lowest on, without the backslash, which decodes and encodes to
// itself. Nearly every line is plain throughout, so it is looked at eight
// octets at a time.
func plainLen(s string, lowest uint64) int {
	i := 0
	for i+32 <= len(s) {
		c := s[i : i+32]
		if odd(load64(c), lowest)|odd(load64(c[8:]), lowest)|odd(load64(c[16:]), lowest)|odd(load64(c[24:]), lowest) != 0 {
			break
		}
		i += 32
	}
	for ; i+8 <= len(s); i += 8 {
		if m := odd(load64(s[i:i+8]), lowest); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	if i == 0 {
		for i < len(s) && s[i] >= byte(lowest) && s[i] < 0x7f && s[i] != '\\' {
			i++
		}
		return i
	}
	// The last word overlaps the one before it, which is plain.
	if m := odd(load64(s[len(s)-8:]), lowest); m != 0 {
		return len(s) - 8 + bits.TrailingZeros64(m)/8
	}
	return len(s)
}

// load64 is binary.LittleEndian.Uint64 for a string.
func load64(s string) uint64 {
	_ = s[7]
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

// appendEscaped encodes s. A space is escaped in a value only. What has no
// place on the wire it refuses with its cause: n octets of s, which are before
// it, are appended then.
func appendEscaped(b []byte, s string, lowest uint64) (_ []byte, n int, err error) {
	i := plainLen(s, lowest)
	b = append(b, s[:i]...)
	for i < len(s) {
		c := s[i]
		switch {
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\\':
			b = append(b, '\\', '\\')
		case c == ' ' && lowest == lowestInValue:
			b = append(b, '\\', 's')
		case c < ' ' || c == 0x7f:
			return b, i, ErrControl
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				return b, i, ErrUTF8
			}
			if forbidden(r) {
				return b, i, ErrControl
			}
			b = append(b, s[i:i+size]...)
			i += size - 1
		}
		i++
	}
	return b, i, nil
}

// CheckText reports whether text can be sent as a message: nil, or an
// *[Error] that names the octet with what has no place on the wire, or with
// code 552 when its encoding is longer than the limit.
func CheckText(text string) error {
	n := len(text)
	if n <= V1.Limits.Text && plainLen(text, lowestInText) < n {
		b, at, err := appendEscaped(nil, text, lowestInText)
		if err != nil {
			return badLine(at, err)
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

// EncodedLen returns the length of text as a description: what the limit on a
// message's text counts. It does not check text.
func EncodedLen[T string | []byte](text T) int {
	n := len(text)
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '\n' || c == '\t' || c == '\\' {
			n++
		}
	}
	return n
}
