package conformance

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// formNames are the suite's names of the forms in SPEC.md's tables.
var formNames = map[string]string{
	"list of numbers": "numbers", "ms, not 0": "ms", "one of 220's list": "list", "`stored` / `delivered`": "how",
}

// The suite looks at the fields that the tables of SPEC.md, section 4, list.
func TestFieldsAreThoseOfTheSpec(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section4, _ := strings.Cut(string(spec), "\n## 4 Codes")
	section4, _, _ = strings.Cut(section4, "\n## 5 Phases")
	row := regexp.MustCompile("(?m)^\\| `([a-z]+)=` \\| (.*?) \\| (yes|no) \\| (.*) \\|$")
	seen := 0
	for part := range strings.SplitSeq(section4, "\n#### ") {
		code, text, _ := strings.Cut(part, "\n")
		if len(code) != 3 && len(code) != 4 {
			continue
		}
		ours := serverFields[code]
		if _, ok := clientFields[code]; ok {
			ours = clientFields[code]
		}
		if code == "RLAY" { // one table for both: the server's is stricter
			ours = "user:name ?s:number ?n:n"
		}
		var want []string
		for _, m := range row.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[4], "reserved") || strings.Contains(m[4], "private line only") {
				continue
			}
			form := m[2]
			if name, ok := formNames[form]; ok {
				form = name
			}
			if code == "201" && m[1] == "how" {
				m[3] = "yes" // from a server
			}
			if m[3] == "no" {
				want = append(want, "?"+m[1]+":"+form)
			} else {
				want = append(want, m[1]+":"+form)
			}
		}
		got := strings.Fields(ours)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the suite has %q, SPEC.md has %q", code, got, want)
		}
		seen++
	}
	if seen < 40 {
		t.Errorf("SPEC.md has tables of %d codes only", seen)
	}
}
