package chatclient

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Display returns s in a form that a terminal shows and does not obey: what
// anybody else had a hand in (texts, names, the server's sentences, what a
// certificate says) goes through it before it goes onto a screen (SPEC
// section 9.3). Letters, digits, punctuation, symbols and spaces of all
// scripts stay as they are, and so do emoji. What does not:
//
//   - Controls become ^[ or \u009b, characters that turn the direction of
//     text around or separate lines \u202e, octets that are no UTF-8 \xff.
//   - A tab becomes four spaces. A new line stays, and is followed by at
//     least two spaces, so that nobody can write a line that looks as if
//     somebody else had.
//   - Characters that do not show, such as \u200b or \U000e0041, become
//     visible like this, joiners within an emoji or a word of a script that
//     needs them excepted.
//   - Of the marks on one character eight stay; one U+FFFD stands for the
//     others.
//
// Display(Display(s)) is Display(s). It knows nothing of names that merely
// look alike.
func Display(s string) string {
	if clean(s) {
		return s
	}
	d := displayer{rest: s}
	for d.rest != "" {
		d.next()
	}
	return d.out.String()
}

// DisplayWidth returns how many columns of a terminal Display(s) takes, in its
// widest line: two for a wide character of East Asia and for an emoji however
// it is composed, none for a mark on another character. Terminals differ for
// what is new in Unicode.
func DisplayWidth(s string) int {
	width := 0
	for line := range strings.SplitSeq(Display(s), "\n") {
		width = max(width, uniseg.StringWidth(line))
	}
	return width
}

// clean reports whether s is printable ASCII.
func clean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// maxMarks is how many marks one character may carry. Vietnamese, Hebrew and
// Tibetan need fewer.
const maxMarks = 8

// A displayer goes through a text once. What it lets pass, and what it writes
// instead, passes unchanged a second time.
type displayer struct {
	rest  string
	out   strings.Builder
	last  rune // the last character of out
	marks int  // how many of those before it are marks on one character, itself included
}

func (d *displayer) next() {
	r, size := utf8.DecodeRuneInString(d.rest)
	octet := d.rest[0]
	tail := d.rest[size:]
	switch {
	case r == utf8.RuneError && size == 1:
		d.escape(`\x%02x`, rune(octet))
	case r == '\n':
		d.keep("\n")
		if !strings.HasPrefix(tail, "  ") {
			d.keep("  ")
		}
	case r == '\t':
		d.keep("    ")
	case r < ' ' || r == 0x7f:
		d.escape("^%c", r^0x40)
	case r == blackFlag:
		size += tags(tail)
		d.keep(d.rest[:size])
	case r == zwj || r == zwnj:
		next, n := utf8.DecodeRuneInString(tail)
		if n > 1 && joins(d.last, r, next) {
			d.keep(string(r))
		} else {
			d.escapeRune(r)
		}
	case hidden(r), isSelector(r) && isSelector(d.last):
		d.escapeRune(r)
	case unicode.Is(unicode.M, r):
		d.mark(r)
	default:
		d.keep(d.rest[:size])
	}
	d.rest = d.rest[size:]
}

// keep writes s as it is.
func (d *displayer) keep(s string) {
	d.out.WriteString(s)
	d.last, _ = utf8.DecodeLastRuneInString(s)
	d.marks = 0
}

func (d *displayer) escape(format string, r rune) { d.keep(fmt.Sprintf(format, r)) }

func (d *displayer) escapeRune(r rune) {
	if r > 0xffff {
		d.escape(`\U%08x`, r)
	} else {
		d.escape(`\u%04x`, r)
	}
}

// mark writes a mark, unless there are too many of them already.
func (d *displayer) mark(r rune) {
	switch d.marks++; {
	case d.marks <= maxMarks:
		d.out.WriteRune(r)
		d.last = r
	case d.marks == maxMarks+1:
		d.out.WriteRune(utf8.RuneError)
		d.last = utf8.RuneError
	}
}

const (
	zwnj      = 0x200c
	zwj       = 0x200d
	blackFlag = 0x1f3f4
)

// hidden reports whether r shows nothing, or does something instead: controls
// (C1), format characters, line and paragraph separators, ignorable letters
// and what will never be a character.
func hidden(r rune) bool {
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point) {
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r) // numbers' signs in Arabic, which show
	}
	return false
}

func isSelector(r rune) bool { return unicode.Is(unicode.Variation_Selector, r) }

// tags returns the length of the tags at the start of s that make another
// flag of the black one (Scotland's, say), 0 if there are none.
func tags(s string) int {
	const first, last, cancel = 0xe0030, 0xe007a, 0xe007f
	n, size := 0, 0
	for _, r := range s {
		if r == cancel && 3 <= n && n <= 6 {
			return size + utf8.RuneLen(r)
		}
		if r < first || r > last || n == 6 {
			return 0
		}
		n++
		size += utf8.RuneLen(r)
	}
	return 0
}

// joins reports whether a joiner between these two characters has a purpose.
func joins(before, joiner, after rune) bool {
	if joiner == zwj && isPicture(after) && (isPicture(before) || before == 0xfe0f || 0x1f3fb <= before && before <= 0x1f3ff) {
		return true
	}
	return unicode.In(before, joining...) && unicode.In(after, joining...) && unicode.IsLetter(after)
}

// isPicture reports whether r may be a part of an emoji; it goes by blocks
// where Unicode's newest characters are not in our tables yet.
func isPicture(r rune) bool {
	return unicode.In(r, unicode.So, unicode.Sm) || 0x1f000 <= r && r <= 0x1faff
}

// joining are the scripts in which joiners change how a word is written.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Mandaic, unicode.Nko, unicode.Mongolian, unicode.Adlam, unicode.Hanifi_Rohingya,
	unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu,
	unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar, unicode.Javanese, unicode.Balinese,
}
