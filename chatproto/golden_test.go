package chatproto_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// goldenFiles hold the lines and streams that every reader of this protocol
// has to read alike. -update writes what comes out of each; why and what goes
// in are written by hand.
var goldenFiles = []string{"frames.golden", "refused.golden", "streams.golden"}

// A goldenCase is one input, with what makes it interesting.
type goldenCase struct{ why, expr, in string }

// readGolden returns the cases of a file, and the comment at its top.
func readGolden(t *testing.T, name string) (head string, cases []goldenCase) {
	t.Helper()
	b, err := os.ReadFile("testdata/v1/" + name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(b)), "\n\n")
	for _, block := range blocks[1:] {
		var c goldenCase
		for _, l := range strings.Split(block, "\n") {
			key, value, _ := strings.Cut(l, ":")
			value = strings.TrimSpace(value)
			switch key {
			case "why":
				c.why = value
			case "in":
				c.expr, c.in = value, unquote(t, value)
			}
		}
		if c.why == "" || c.expr == "" {
			t.Fatalf("%s: a case without why or in:\n%s", name, block)
		}
		cases = append(cases, c)
	}
	return blocks[0], cases
}

// unquote reads "abc" + "x"*3.
func unquote(t *testing.T, expr string) string {
	t.Helper()
	var b strings.Builder
	for rest := expr; ; {
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		s, _ := strconv.Unquote(q)
		times, more := 1, false
		rest, _, more = strings.Cut(rest[len(q):], " + ")
		if rest != "" {
			if times, err = strconv.Atoi(strings.TrimPrefix(rest, "*")); err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
		}
		b.WriteString(strings.Repeat(s, times))
		if !more {
			return b.String()
		}
		_, rest, _ = strings.Cut(expr, q)
		_, rest, _ = strings.Cut(rest, " + ")
		expr = rest
	}
}

// quote writes what unquote reads, with a repetition for every long run of
// one character.
func quote(s string) string {
	const long = 32
	var parts []string
	from, last := 0, 0
	flush := func(to int) {
		if from < to {
			parts = append(parts, strconv.Quote(s[from:to]))
		}
	}
	for i := 0; i < len(s); i = last {
		size := 1
		for i+size < len(s) && s[i+size]&0xc0 == 0x80 {
			size++
		}
		char := s[i : i+size]
		for last = i + size; strings.HasPrefix(s[last:], char); last += size {
		}
		if n := (last - i) / size; n >= long {
			flush(i)
			parts = append(parts, fmt.Sprintf("%q*%d", char, n))
			from = last
		}
	}
	flush(len(s))
	if len(parts) == 0 {
		return `""`
	}
	return strings.Join(parts, " + ")
}

// show is a frame's decoded parts on one line.
func show(f *Frame) string {
	var b strings.Builder
	b.WriteString(f.Code.String())
	for _, x := range f.Fields {
		fmt.Fprintf(&b, " %s=%s", x.Key, quote(string(x.Value)))
	}
	if len(f.Description) > 0 {
		b.WriteString(" :" + quote(string(f.Description)))
	}
	return b.String()
}

// read says what a Reader makes of a stream, one line for each frame or error.
func read(r io.Reader) []string {
	var lines []string
	in := NewReader(r)
	var f Frame
	for {
		err := in.Next(&f)
		var bad *Error
		switch {
		case err == nil:
			lines = append(lines, "out: "+show(&f))
			lines = append(lines, "enc: "+encoded(&f))
		case errors.As(err, &bad):
			lines = append(lines, fmt.Sprintf("err: at %d, %v", bad.At, bad.Err))
		default:
			if again := in.Next(&f); again != err {
				lines = append(lines, fmt.Sprintf("the end is not the end: %v", again))
			}
			if err != io.EOF {
				lines = append(lines, "end: "+err.Error())
			}
			return lines
		}
	}
}

func encoded(f *Frame) string {
	b, err := AppendFrame(nil, f)
	if err != nil {
		return err.Error()
	}
	return quote(string(b))
}

// TestGolden reads every golden input in one piece.
func TestGolden(t *testing.T) {
	total := 0
	for _, name := range goldenFiles {
		head, cases := readGolden(t, name)
		var b strings.Builder
		b.WriteString(head + "\n")
		for _, c := range cases {
			fmt.Fprintf(&b, "\nwhy: %s\nin:  %s\n", c.why, c.expr)
			for _, l := range read(strings.NewReader(c.in)) {
				b.WriteString(strings.ReplaceAll(l, "enc: "+c.expr, "enc: same") + "\n")
			}
		}
		golden(t, name, b.String())
		total += len(cases)
	}
	if total < 90 {
		t.Errorf("%d golden cases, want 90 or more", total)
	}
}

// cuts is a stream that brings what it has in the given pieces, with the end
// of input beside the last one or behind it.
type cuts struct {
	pieces  []string
	withEnd bool
}

func (c *cuts) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; c.pieces[0] == "" {
		c.pieces = c.pieces[1:]
	}
	if c.withEnd && len(c.pieces) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// TestGoldenCuts reads every golden input octet by octet, and in three pieces
// for every two places to cut it; a long one only near the places that
// matter. What comes out never differs.
func TestGoldenCuts(t *testing.T) {
	for _, name := range goldenFiles {
		_, cases := readGolden(t, name)
		for _, c := range cases {
			want := read(strings.NewReader(c.in))
			check := func(withEnd bool, pieces ...string) {
				if got := read(&cuts{slices.Clone(pieces), withEnd}); !slices.Equal(got, want) {
					t.Fatalf("%s: %s: cut to %.99q, end of input beside the last octets: %v\ngot  %s\nwant %s", name, c.why, pieces, withEnd, got, want)
				}
			}
			var octets []string
			for i := range len(c.in) {
				octets = append(octets, c.in[i:i+1])
			}
			for _, withEnd := range []bool{false, true} {
				check(withEnd, c.in)
				check(withEnd, octets...)
			}
			places := cutPlaces(len(c.in))
			for i, a := range places {
				for j, b := range places[i:] {
					check(j%2 == 0, c.in[:a], c.in[a:b], c.in[b:])
				}
			}
		}
	}
}

// cutPlaces returns all places to cut n octets, or, if they are many, those
// near the sizes at which a Reader does something new.
func cutPlaces(n int) (places []int) {
	near := []int{0, 8192, 65536, n}
	for i := range n + 1 {
		ok := n <= 120
		for _, x := range near {
			ok = ok || i-x <= 2 && x-i <= 2
		}
		if ok {
			places = append(places, i)
		}
	}
	return places
}

// TestGoldenRoundTrip: what is decoded encodes canonically, and the canonical
// line decodes to the same and encodes to itself. The one exception is a line
// that only its bare LF kept within the limit.
func TestGoldenRoundTrip(t *testing.T) {
	_, cases := readGolden(t, "frames.golden")
	for _, c := range cases {
		for in := range strings.Lines(c.in) {
			line := []byte(strings.TrimSuffix(strings.TrimSuffix(in, "\n"), "\r"))
			var f, g Frame
			if err := Parse(&f, line); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			first, err := AppendFrame([]byte("before"), &f)
			if err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			first = bytes.TrimPrefix(first, []byte("before"))
			if err := Parse(&g, bytes.Clone(first[:len(first)-2])); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			if again, err := AppendFrame(nil, &g); err != nil || !bytes.Equal(first, again) {
				t.Errorf("%s: encodes to %q, then to %q, %v", c.why, first, again, err)
			}
			if show(&f) != show(&g) {
				t.Errorf("%s: %s, then %s", c.why, show(&f), show(&g))
			}
		}
	}
}
