package chatproto_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// The test vectors under testdata/vectors are for other implementations, in
// any language; README.md there says how to read them. They are made of the
// code, and compared with it:
//
//	go test ./chatproto -run Vectors -update

// vectors compares a file of vectors with what the code makes of its inputs.
func vectors(t *testing.T, name, about string, cases any) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(struct {
		About string `json:"about"`
		Cases any    `json:"cases"`
	}{about, cases}); err != nil {
		t.Fatal(err)
	}
	golden(t, "../vectors/"+name, b.String())
}

// octets is s in hexadecimal, in parts with spaces between them; a long run of
// one octet is a part of that octet, * and how often it comes: "4c 78*9000".
func octets(s string) string {
	const long = 64
	var parts []string
	from := 0
	for i := 0; i < len(s); {
		end := i + 1
		for end < len(s) && s[end] == s[i] {
			end++
		}
		if end-i >= long {
			if from < i {
				parts = append(parts, hex.EncodeToString([]byte(s[from:i])))
			}
			parts = append(parts, fmt.Sprintf("%02x*%d", s[i], end-i))
			from = end
		}
		i = end
	}
	if from < len(s) {
		parts = append(parts, hex.EncodeToString([]byte(s[from:])))
	}
	return strings.Join(parts, " ")
}

// A streamVector is octets that come in, and what a reader makes of them.
type streamVector struct {
	Why  string      `json:"why"`
	In   string      `json:"in"`
	Text string      `json:"text,omitempty"` // the same, if it can be read
	Out  []lineFound `json:"out"`
	End  string      `json:"end,omitempty"`
}

// A lineFound is a frame, or why a line is none.
type lineFound struct {
	Code        string      `json:"code,omitempty"`
	Fields      [][2]string `json:"fields,omitempty"`
	Description string      `json:"description,omitempty"`
	Line        string      `json:"line,omitempty"` // its canonical encoding
	At          *int        `json:"at,omitempty"`
	Expected    string      `json:"expected,omitempty"`
}

func readVector(why, in string) streamVector {
	v := streamVector{Why: why, In: octets(in), Out: []lineFound{}}
	if len(in) < 200 && !strings.ContainsFunc(in, func(r rune) bool { return r > '~' || r < ' ' && r != '\r' && r != '\n' }) {
		v.Text = in
	}
	rd := NewReader(strings.NewReader(in))
	var f Frame
	for {
		err := rd.Next(&f)
		var bad *Error
		switch {
		case err == nil:
			line, err := AppendFrame(nil, &f)
			if err != nil {
				v.End = err.Error()
				return v
			}
			found := lineFound{Code: f.Code.String(), Description: string(f.Description), Line: octets(string(line))}
			for _, x := range f.Fields {
				found.Fields = append(found.Fields, [2]string{string(x.Key), string(x.Value)})
			}
			v.Out = append(v.Out, found)
		case errors.As(err, &bad):
			at := bad.At
			v.Out = append(v.Out, lineFound{At: &at, Expected: strings.TrimPrefix(bad.Err.Error(), "expected ")})
		default:
			switch {
			case errors.Is(err, ErrNoEndOfLine):
				v.End = "no end of line"
			case err == io.ErrUnexpectedEOF:
				v.End = "within a line"
			}
			return v
		}
	}
}

func TestVectorsFrames(t *testing.T) {
	var cases []streamVector
	for _, name := range goldenFiles {
		_, golden := readGolden(t, name)
		for _, c := range golden {
			cases = append(cases, readVector(c.why, c.in))
		}
	}
	vectors(t, "frames.json", "Streams of octets and the frames and errors that every reader finds in them (SPEC section 3).", cases)
}

// A valueVector is a value, and whether it has a form of SPEC section 3.4.
type valueVector struct {
	Form  string `json:"form"`
	Value string `json:"value"`
	OK    bool   `json:"ok"`
	Is    string `json:"is,omitempty"` // the value in its one canonical form
}

func TestVectorsValues(t *testing.T) {
	var cases []valueVector
	add := func(form string, is func(string) (string, bool), values ...string) {
		for _, v := range values {
			canonical, ok := is(v)
			if !ok {
				canonical = ""
			}
			cases = append(cases, valueVector{form, v, ok, canonical})
		}
	}
	add("number", func(s string) (string, bool) { _, ok := ParseUint([]byte(s)); return s, ok },
		"0", "1", "42", "18446744073709551615", "18446744073709551616", "99999999999999999999", "", "00", "01", "-1", "+1", "1.0", "1e3", " 1", "0x1", "\u0661")
	add("n", func(s string) (string, bool) {
		_, _, ok := NewFrame(ReplyAccepted, "", "n", s).Range("n")
		return s, ok
	}, "1", "18446744073709551615", "17-80", "1-18446744073709551615", "0", "0-1", "1-1", "2-1", "01-2", "1-02", "1-", "-1", "1-2-3", "")
	add("origin", func(s string) (string, bool) {
		o, ok := ParseOrigin([]byte(s))
		id := ID{Origin: o, N: 1}.String()
		return strings.TrimSuffix(id, ".1"), ok
	}, "1", "1f2e", "ffffffffffffffff", "0001", "0000000000000001", "00000000000000001", "0", "0000", "", "A1", "g", "0x1", "-1")
	add("id", func(s string) (string, bool) { id, ok := ParseID([]byte(s)); return id.String(), ok },
		"1f2e.4", "1.1", "ffffffffffffffff.18446744073709551615", "00ab.1", "1f2e", "1f2e.", ".4", "0.4", "1f2e.0", "1f2e.04", "1F2E.4", "1.2.3", "")
	add("name", func(s string) (string, bool) { return s, CheckName(s) == nil },
		"A", "columbia", "not_a_user", "a:b", "a=b", `a\b`, "\u00e9", "\u4e2d\u6587", "e\u0301", strings.Repeat("x", 64), strings.Repeat("\u00e9", 32),
		"", strings.Repeat("x", 65), strings.Repeat("\u00e9", 33), "a b", "a\tb", "a\nb", "a\u00a0b", "a\u3000b", "a\u200bb", "\ufeffa", "a\u0007b", "a\u2028b", "a\u00adb")
	add("text", func(s string) (string, bool) { return "", CheckText(s) == nil },
		"", "hello!", "two\nlines\tand a \\", "\u00a0\u00e9\U0001f600", "a\rb", "a\u0000b", "a\u001b[2J", "a\u007fb", "a\u0085b", "a\u061cb", "a\u200eb", "a\u2028b", "a\u202eb", "a\u2066b",
		strings.Repeat("x", 7168), strings.Repeat("x", 7169), strings.Repeat("\n", 3584), strings.Repeat("\n", 3584)+"x")
	vectors(t, "values.json", "Values and texts that have the forms of SPEC sections 3.4 to 3.6, and that have not; decoded.", cases)
}
