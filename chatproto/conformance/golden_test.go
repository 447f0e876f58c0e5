package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "run every case against every mutant, and write down which finds which")

// readFinders reads which cases find which mutant: a line each,
// "what is wrong: case, case".
func readFinders(t *testing.T, name string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil && !*update {
		t.Fatal(err)
	}
	known := make(map[string][]string)
	for line := range strings.Lines(string(b)) {
		if wrong, cases, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && line[0] != '#' {
			known[wrong] = strings.Split(cases, ", ")
		}
	}
	return known
}

// mostFinders is how many of the cases that find a mutant are written down.
const mostFinders = 6

func writeFinders(t *testing.T, name string, mutants []mutant, found map[string][]string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# Programs that break one rule each, and the cases that find them; made by go test -update.\n")
	for _, m := range mutants {
		cases := found[m.name]
		if len(cases) > mostFinders {
			cases = append(cases[:mostFinders:mostFinders], "and more")
		}
		fmt.Fprintf(&b, "%s: %s\n", m.name, strings.Join(cases, ", "))
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
