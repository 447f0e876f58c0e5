package conformance

import (
	"strings"
)

// A pattern says which frame is expected, as it stands in a script:
//
//	201 n=1 how=stored|delivered !skipped :text
//
// The code is the frame's. key=value is a field that the frame has; * stands
// for any value, a bar between values for any of them, key=@name keeps the
// value as {name}. !key is a field that the frame has not. Other fields may be
// there, and their order has no meaning. A description, if the pattern has
// one, is the frame's; ":~text" is a part of it, and ":" alone says that there
// is none.
type pattern struct {
	source string
	code   string
	fields []wireField
	absent []string
	text   string
	texted bool
}

func parsePattern(source string) *pattern {
	p := &pattern{source: source}
	head := source
	if i := strings.Index(source, " :"); i >= 0 {
		head, p.text, p.texted = source[:i], source[i+2:], true
	}
	for i, word := range strings.Fields(head) {
		switch {
		case i == 0:
			p.code = word
		case word[0] == '!':
			p.absent = append(p.absent, word[1:])
		default:
			p.fields = append(p.fields, cutField(word))
		}
	}
	return p
}

// match reports whether h is what p says, and keeps what p wants kept.
func (p *pattern) match(h *heard, vars map[string]string) bool {
	if h.frame.Code.String() != p.code {
		return false
	}
	for _, want := range p.fields {
		got, has := h.value(want.key)
		name, keep := strings.CutPrefix(want.value, "@")
		switch {
		case !has:
			return false
		case keep:
			vars[name] = got
		case want.value != "*" && !oneOf(want.value, got):
			return false
		}
	}
	for _, key := range p.absent {
		if h.has(key) {
			return false
		}
	}
	if part, ok := strings.CutPrefix(p.text, "~"); ok {
		return strings.Contains(h.text, part)
	}
	return !p.texted || h.text == p.text
}

// oneOf reports whether got is one of the words with bars between them.
func oneOf(words, got string) bool {
	for w := range strings.SplitSeq(words, "|") {
		if w == got {
			return true
		}
	}
	return false
}

func cutField(word string) wireField {
	key, value, _ := strings.Cut(word, "=")
	return wireField{key, value}
}

func indexSpace(s string) int { return strings.IndexByte(s, ' ') }

var valueEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, " ", `\s`)

// escapeValue encodes a value.
func escapeValue(s string) string { return valueEscaper.Replace(s) }
