package main

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf8"
)

// visible returns s with what a terminal would obey made visible: controls as
// ^[ or \u009b, the characters that turn the direction of text around as
// \u202e, octets that are no UTF-8 as \xff. New lines and tabs stay. The
// protocol lets none of these through; the screen does not rely on that.
func visible(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !obeyed(r):
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteByte('^')
			b.WriteByte(byte(r) ^ 0x40)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

// obeyed reports whether a terminal may act on r instead of showing it.
func obeyed(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', 0x7f <= r && r < 0xa0:
		return true
	case r == 0x61c, r == 0x200e, r == 0x200f:
		return true
	}
	return 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}

// indent sets off the continuation lines of a text, so that nobody can write
// a line that looks as if somebody else had (SPEC section 3).
func indent(s string) string {
	return strings.ReplaceAll(s, "\n", "\n  ")
}

// A style says how lines are decorated. The zero style decorates nothing.
type style struct {
	colour bool // a colour for each name
	times  bool // the time before each line
}

// line returns a text that somebody sent, or the server, as it goes onto the
// screen. The name at its start, if there is one, gets a colour; the
// characters stay as they are.
func (s style) line(at time.Time, name, text string) string {
	text = indent(visible(text))
	if s.colour && name != "" && strings.HasPrefix(text, name) && visible(name) == name {
		text = colour(name) + name + "\x1b[0m" + text[len(name):]
	}
	if s.times {
		text = stamp(at) + text
	}
	return text
}

// stamp is the time of day, with the date before it if that is not today.
func stamp(at time.Time) string {
	at = at.Local()
	layout := "15:04:05 "
	if now := time.Now(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = "2006-01-02 15:04:05 "
	}
	return at.Format(layout)
}

// colour picks one of the colours that can be read on black and on white, the
// same for a name every time.
func colour(name string) string {
	colours := [...]int{31, 32, 33, 34, 35, 36}
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("\x1b[%dm", colours[h.Sum32()%uint32(len(colours))])
}
