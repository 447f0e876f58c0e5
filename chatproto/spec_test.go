package chatproto_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
)

// The tables and diagrams of SPEC.md that say what the code's tables say are
// made of them, so that neither can change without the other:
//
//	go test ./chatproto -run TestSpec -update
var specTables = map[string]func(*testing.T) string{
	"syntax":         syntaxTable,
	"codes":          codeTable,
	"sentences":      sentenceTable,
	"requests":       requestTable,
	"phases":         phaseTable,
	"diagram":        phaseDiagram,
	"consent":        consentTable,
	"consentdiagram": consentDiagram,
	"limits":         limitTable,
}

var specMarker = regexp.MustCompile(`(?s)<!-- table: (\w+) -->\n.*?<!-- end -->`)

func TestSpecTables(t *testing.T) {
	old := readSpec(t)
	seen := map[string]bool{}
	fresh := specMarker.ReplaceAllStringFunc(old, func(m string) string {
		name := specMarker.FindStringSubmatch(m)[1]
		table := specTables[name]
		if table == nil {
			t.Errorf("SPEC.md wants an unknown table %q", name)
			return m
		}
		seen[name] = true
		return "<!-- table: " + name + " -->\n" + table(t) + "<!-- end -->"
	})
	for name := range specTables {
		if !seen[name] {
			t.Errorf("SPEC.md has no place for the table %q", name)
		}
	}
	if fresh == old {
		return
	}
	if *update {
		if err := os.WriteFile("SPEC.md", []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("SPEC.md differs from the code (-SPEC.md +code); run with -update if the code is right:\n%s", cmp.Diff(old, fresh))
}

// TestSpecLinks checks that every section that SPEC.md refers to is there.
func TestSpecLinks(t *testing.T) {
	spec := readSpec(t)
	heads := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^##+ ([0-9.]+) `).FindAllStringSubmatch(spec, -1) {
		heads[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\b[Ss]ections?\s+([0-9]+(?:\.[0-9]+)?)`).FindAllStringSubmatch(spec, -1) {
		if !heads[m[1]] {
			t.Errorf("SPEC.md refers to section %s, which it has not", m[1])
		}
	}
}

func readSpec(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// markdown collects the rows of a table.
type markdown struct{ b strings.Builder }

func (m *markdown) row(cells ...string) {
	m.b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func (m *markdown) head(cells ...string) {
	m.row(cells...)
	m.b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
}

// literal shows s as it would stand on the wire.
func literal(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "\n", `\n`) + "`"
}

func words(codes []chatproto.Code) string {
	var s []string
	for _, c := range codes {
		s = append(s, c.String())
	}
	return strings.Join(s, " ")
}

// syntaxCauses are all causes for which a line is no frame; each has an
// example below.
var syntaxCauses = []error{
	chatproto.ErrEmptyLine, chatproto.ErrCode, chatproto.ErrSpace, chatproto.ErrKey,
	chatproto.ErrDuplicateKey, chatproto.ErrManyFields, chatproto.ErrEscape,
	chatproto.ErrControl, chatproto.ErrUTF8, chatproto.ErrFrameTooLong,
}

func syntaxTable(t *testing.T) string {
	many := "SEND"
	for c := 'a'; c <= 'q'; c++ {
		many += " " + string(c) + "=1"
	}
	examples := []struct{ shown, line string }{
		{"an empty line", ""},
		{"", "send to=B :hi"},
		{"", "600 n=1"},
		{"", "SENDto=B"},
		{"", "SEND  to=B"},
		{"`SEND to=B ` (a space at the end)", "SEND to=B "},
		{"", "SEND TO=B"},
		{"", "SEND to"},
		{"", "SEND averylongfieldkey=B"},
		{"", "SEND to=B to=C"},
		{"17 fields `a=1` to `q=1`", many},
		{"", `SEND to=B :C:\dir`},
		{"", `SEND to=B :a\sb`},
		{"a raw tab in a description", "SEND to=B :a\tb"},
		{"U+202E in a description", "SEND to=B :a\u202eb"},
		{"the octet FF in a description", "SEND to=B :a\xffb"},
		{"8,193 octets with the end of line", "SEND :" + strings.Repeat("x", 8185)},
	}
	var m markdown
	m.head("line", "answer")
	found := map[error]bool{}
	for _, x := range examples {
		var f chatproto.Frame
		err := chatproto.NewReader(strings.NewReader(x.line + "\r\n")).Next(&f)
		var e *chatproto.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, want a refusal", x.line, err)
			continue
		}
		for _, cause := range syntaxCauses {
			if errors.Is(err, cause) {
				found[cause] = true
			}
		}
		if x.shown == "" {
			x.shown = "`" + x.line + "`"
		}
		answer, err := chatproto.AppendFrame(nil, chatproto.NewFrame(e.Code, e.Describe(), "at", fmt.Sprint(e.At)))
		if err != nil {
			t.Error(err)
		}
		m.row(x.shown, "`"+string(bytes.TrimSuffix(answer, []byte("\r\n")))+"`")
	}
	for _, cause := range syntaxCauses {
		if !found[cause] {
			t.Errorf("no example for %q", cause)
		}
	}
	return m.b.String()
}

func codeTable(*testing.T) string {
	var m markdown
	m.head("code", "sent by", "meaning", "default description")
	for _, c := range chatproto.V1.Codes {
		by := map[chatproto.Kind]string{
			chatproto.KindRequest:                       "client",
			chatproto.KindEvent:                         "server, unasked",
			chatproto.KindReply:                         "server, as a reply",
			chatproto.KindRequest | chatproto.KindEvent: "both",
		}[c.Kind]
		m.row(c.Code.String(), by, c.Meaning, literal(c.Sentence))
	}
	return m.b.String()
}

func sentenceTable(*testing.T) string {
	var m markdown
	m.head("request", "reply", "description")
	for _, r := range chatproto.V1.Requests {
		for _, c := range chatproto.V1.Codes {
			if !c.Code.IsReply() || !chatproto.V1.Answers(r.Verb, c.Code) {
				continue
			}
			if s := chatproto.V1.Sentence(r.Verb, c.Code); s != c.Sentence {
				m.row(r.Verb.String(), c.Code.String(), literal(s))
			}
		}
	}
	return m.b.String()
}

func requestTable(*testing.T) string {
	var m markdown
	m.head("request", "phases", "answered by")
	for _, r := range chatproto.V1.Requests {
		var phases []string
		for _, p := range chatproto.V1.Phases {
			for _, c := range p.Client {
				if c == r.Verb {
					phases = append(phases, p.Phase.String())
				}
			}
		}
		replies := words(r.Replies)
		if r.Unanswered {
			replies = "never answered"
		}
		m.row(r.Verb.String(), strings.Join(phases, " "), replies)
	}
	m.row("each that is answered", "", "also "+words(chatproto.V1.AnyReply()))
	return m.b.String()
}

// limitTable takes the meaning of each limit from its comment.
func limitTable(t *testing.T) string {
	file, err := parser.ParseFile(token.NewFileSet(), "version.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	meaning := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Limits" {
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				for _, name := range f.Names {
					meaning[name.Name] = strings.TrimSpace(f.Comment.Text())
				}
			}
		}
		return true
	})
	var m markdown
	m.head("limit", "value", "of what")
	limits := reflect.ValueOf(chatproto.V1.Limits)
	for i := range limits.NumField() {
		name := limits.Type().Field(i).Name
		if meaning[name] == "" {
			t.Errorf("Limits.%s has no comment", name)
		}
		m.row(name, thousands(limits.Field(i).Int()), meaning[name])
	}
	return m.b.String()
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
