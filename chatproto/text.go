package chatproto

import (
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// view is b as a string, without a copy: the package's one use of unsafe. It
// lets every scan be written once, for octets and for strings. The string is
// b's memory: callers read it within one call, before b changes, and keep
// nothing of it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// All eight octets of a word.
const (
	every01 = 0x0101010101010101
	every5c = 0x5c5c5c5c5c5c5c5c
	every7f = 0x7f7f7f7f7f7f7f7f
	every80 = 0x8080808080808080
)

// lowest is the lowest octet that stands for itself, in all eight of a word:
// a space in a description, what follows it in a value.
const (
	lowestInText  = 0x2020202020202020
	lowestInValue = 0x2121212121212121
)

// marks has a high bit set if an octet of w is not plain: below lowest, DEL or
// above, or a backslash. A plain octet is printable ASCII that decodes and
// encodes to itself. (w + every01 marks DEL and what is above it, but for FF,
// which w - lowest marks, with what is below lowest.) Which high bit it is
// says nothing, nor do the other bits: an octet that is not plain may carry
// into its neighbour, but its own mark stands.
func marks(w, lowest uint64) uint64 {
	return (w - lowest) | (w + every01) | ^((w ^ every5c) + every7f)
}

// isPlain reports whether all of s is plain. Nearly every line is, so it is
// looked at four words at a time.
func isPlain(s string, lowest uint64) bool {
	rest := s
	for ; len(rest) >= 32; rest = rest[32:] {
		m := marks(load64(rest), lowest) | marks(load64(rest[8:16]), lowest) |
			marks(load64(rest[16:24]), lowest) | marks(load64(rest[24:32]), lowest)
		if m&every80 != 0 {
			return false
		}
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		if marks(load64(rest), lowest)&every80 != 0 {
			return false
		}
	}
	if len(s) >= 8 { // the last word overlaps one that is plain
		return marks(load64(s[len(s)-8:]), lowest)&every80 == 0
	}
	for i := range len(rest) {
		if c := rest[i]; c < byte(lowest) || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
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
func unescape(b []byte, lowest uint64) (n, at int, err error) {
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			size, err := character(view(b[i:]))
			if err != nil {
				return 0, i, err
			}
			if n != i {
				copy(b[n:], b[i:i+size])
			}
			n, i = n+size, i+size
			continue
		}
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
			if lowest != lowestInValue {
				return 0, i, ErrEscape
			}
			b[n] = ' '
		default:
			return 0, i, ErrEscape
		}
		n, i = n+1, i+2
	}
	return n, 0, nil
}

// escapeOf returns the letter that stands for c behind a backslash, 0 if c
// stands for itself.
func escapeOf(c byte, lowest uint64) byte {
	switch {
	case c == '\n':
		return 'n'
	case c == '\t':
		return 't'
	case c == '\\':
		return '\\'
	case c == ' ' && lowest == lowestInValue:
		return 's'
	}
	return 0
}

// character returns the length of the character that s starts with, or why
// that has no place on the wire.
func character(s string) (size int, err error) {
	if c := s[0]; c < utf8.RuneSelf {
		if c < ' ' || c == 0x7f {
			return 0, ErrControl
		}
		return 1, nil
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		return 0, ErrUTF8
	case forbidden(r):
		return 0, ErrControl
	}
	return size, nil
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
// place on the wire it refuses with its cause; what is before it in s is
// appended then.
func appendEscaped(b []byte, s string, lowest uint64) ([]byte, error) {
	for len(s) > 0 {
		if c := escapeOf(s[0], lowest); c != 0 {
			b = append(b, '\\', c)
			s = s[1:]
			continue
		}
		size, err := character(s)
		if err != nil {
			return b, err
		}
		b = append(b, s[:size]...)
		s = s[size:]
	}
	return b, nil
}

// CheckText reports whether text can be sent as a message: nil, or an
// *[Error] that names the octet with what has no place on the wire, or with
// code 552 when its encoding is longer than the limit.
func CheckText(text string) error {
	n := len(text)
	for i := 0; n <= V1.Limits.Text && i < len(text); i++ {
		if escapeOf(text[i], lowestInText) != 0 {
			n++
			continue
		}
		size, err := character(text[i:])
		if err != nil {
			return badLine(i, err)
		}
		i += size - 1
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
