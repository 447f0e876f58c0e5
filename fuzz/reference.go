package fuzz

import (
	"maps"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parleyproto/parley/chatproto"
)

// The grammar of SPEC section 3.1, as regular expressions.
var (
	codeForm  = regexp.MustCompile(`^([A-Z]{4}|[1-5][0-9]{2})`)
	keyForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}`)
	valueForm = regexp.MustCompile(`^[^ ]*`)
)

// The escapes of SPEC section 3.2.
var (
	textEscapes  = map[string]string{`\n`: "\n", `\t`: "\t", `\\`: `\`}
	valueEscapes = map[string]string{`\n`: "\n", `\t`: "\t", `\\`: `\`, `\s`: " "}
)

// A fault says why a line is no frame, and where.
type fault struct {
	at    int
	cause error
}

// Reference decodes one line, without its end, as the specification says it,
// element by element, and without a thought of speed. at and cause tell of
// the first fault; cause is nil if there is none.
func Reference(line string) (f *chatproto.Frame, at int, cause error) {
	defer func() {
		if x, ok := recover().(fault); ok {
			f, at, cause = nil, x.at, x.cause
		}
	}()
	expect := func(ok bool, at int, cause error) {
		if !ok {
			panic(fault{at, cause})
		}
	}
	expect(line != "", 0, chatproto.ErrEmptyLine)
	expect(len(line)+len("\r\n") <= 8192, 8192, chatproto.ErrFrameTooLong)

	word := codeForm.FindString(line)
	expect(word != "", 0, chatproto.ErrCode)
	code, _ := chatproto.ParseCode(word)
	f = &chatproto.Frame{Code: code}

	keys := map[string]bool{}
	for i := len(word); i < len(line); {
		expect(line[i] == ' ', i, chatproto.ErrSpace)
		i++
		if strings.HasPrefix(line[i:], ":") {
			i++
			if text := decode(line[i:], i, textEscapes); text != "" {
				f.Description = []byte(text)
			}
			return f, 0, nil
		}
		key := keyForm.FindString(line[i:])
		equals := i + len(key)
		expect(key != "" && strings.HasPrefix(line[equals:], "="), equals, chatproto.ErrKey)
		expect(!keys[key], i, chatproto.ErrDuplicateKey)
		expect(len(keys) < 16, i, chatproto.ErrManyFields)
		keys[key] = true
		i = equals + 1
		value := valueForm.FindString(line[i:])
		f.Fields = append(f.Fields, chatproto.Field{Key: []byte(key), Value: []byte(decode(value, i, valueEscapes))})
		i += len(value)
	}
	return f, 0, nil
}

// decode replaces the escapes of s, which stands at octet at of its line, and
// panics with a fault at what has no place there.
func decode(s string, at int, escapes map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '\\' {
			plain, ok := escapes[s[i:min(i+2, len(s))]]
			if !ok {
				panic(fault{at + i, chatproto.ErrEscape})
			}
			out.WriteString(plain)
			i += 2
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size < 2 {
			panic(fault{at + i, chatproto.ErrUTF8})
		}
		if Forbidden(r) {
			panic(fault{at + i, chatproto.ErrControl})
		}
		out.WriteRune(r)
		i += size
	}
	return out.String()
}

// Forbidden says which characters are never on the wire, by the names that
// Unicode has for them.
func Forbidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Encode writes a frame down without a look at what is in it, escapes
// excepted. What it writes is a line only if the frame can be sent.
func Encode(f *chatproto.Frame) string {
	var b strings.Builder
	b.WriteString(f.Code.String())
	for _, x := range f.Fields {
		b.WriteString(" " + string(x.Key) + "=" + encode(string(x.Value), valueEscapes))
	}
	if len(f.Description) > 0 {
		b.WriteString(" :" + encode(string(f.Description), textEscapes))
	}
	return b.String()
}

func encode(s string, escapes map[string]string) string {
	var pairs []string
	for escape, plain := range maps.All(escapes) {
		pairs = append(pairs, plain, escape)
	}
	return strings.NewReplacer(pairs...).Replace(s)
}
