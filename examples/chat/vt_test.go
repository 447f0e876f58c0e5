package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// A vt is the terminal of the tests: what a program writes becomes a screen
// that can be looked at. It knows what the line editor uses, as xterm does it:
// lines that wrap late, wide characters, cursor movement, clearing, scrolling.
type vt struct {
	cols, rows int
	cells      [][]string // "" is the right half of a wide character
	x, y       int
	rest       []byte   // an escape sequence or a character that is not complete
	gone       []string // the lines that have scrolled out
	full       bool     // the last column is written, the next character wraps
}

func newVT(cols, rows int) *vt {
	v := &vt{cols: cols, rows: rows}
	for range rows {
		v.cells = append(v.cells, v.blank())
	}
	return v
}

func (v *vt) blank() []string {
	row := make([]string, v.cols)
	for i := range row {
		row[i] = " "
	}
	return row
}

// lines returns all lines from the first, also those that have scrolled out,
// without trailing spaces and without the empty ones at the end.
func (v *vt) lines() []string {
	all := append([]string(nil), v.gone...)
	for _, row := range v.cells {
		all = append(all, strings.TrimRight(strings.Join(row, ""), " "))
	}
	for len(all) > 0 && all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

func (v *vt) Write(b []byte) {
	b = append(v.rest, b...)
	for len(b) > 0 {
		n := v.step(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	v.rest = append([]byte(nil), b...)
}

// step takes one character or sequence and returns its length, 0 if it is not
// complete.
func (v *vt) step(b []byte) int {
	switch b[0] {
	case '\r':
		v.x, v.full = 0, false
	case '\n':
		v.down()
	case '\b':
		v.x, v.full = max(0, v.x-1), false
	case 0x1b:
		return v.escape(b)
	case 7:
	default:
		if !utf8.FullRune(b) {
			return 0
		}
		r, n := utf8.DecodeRune(b)
		v.put(r)
		return n
	}
	return 1
}

func (v *vt) down() {
	v.full = false
	if v.y++; v.y < v.rows {
		return
	}
	v.y--
	v.gone = append(v.gone, strings.TrimRight(strings.Join(v.cells[0], ""), " "))
	v.cells = append(v.cells[1:], v.blank())
}

func (v *vt) put(r rune) {
	n := 1
	switch k := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		if v.x > 0 {
			v.cells[v.y][v.x-1] += string(r)
		}
		return
	case k == width.EastAsianWide, k == width.EastAsianFullwidth:
		n = 2
	}
	if v.full || v.x+n > v.cols {
		v.x = 0
		v.down()
	}
	v.cells[v.y][v.x] = string(r)
	if n == 2 {
		v.cells[v.y][v.x+1] = ""
	}
	v.x += n
	if v.x == v.cols {
		v.x, v.full = v.cols-1, true
	}
}

func (v *vt) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] != '[' {
		return 2
	}
	end := 2
	for ; end < len(b) && (b[end] < 0x40 || b[end] > 0x7e); end++ {
	}
	if end == len(b) {
		return 0
	}
	first, _, _ := strings.Cut(string(b[2:end]), ";")
	arg, _ := strconv.Atoi(first)
	n := max(1, arg)
	switch b[end] {
	case 'A':
		v.y = max(0, v.y-n)
	case 'B':
		v.y = min(v.rows-1, v.y+n)
	case 'C':
		v.x = min(v.cols-1, v.x+n)
	case 'D':
		v.x = max(0, v.x-n)
	case 'H':
		v.x, v.y = 0, 0
	case 'J', 'K':
		v.clear(b[end] == 'J', arg)
		return end + 1
	default: // colours, modes
		return end + 1
	}
	v.full = false
	return end + 1
}

func (v *vt) clear(screen bool, arg int) {
	for y := range v.cells {
		for x := range v.cells[y] {
			here := y == v.y && (arg == 0 && x >= v.x || arg == 1 && x <= v.x || arg == 2)
			below := screen && y > v.y && arg != 1
			above := screen && y < v.y && arg != 0
			if here || below || above {
				v.cells[y][x] = " "
			}
		}
	}
}
