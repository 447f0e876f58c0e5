package conformance

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Report says what a run found.
type Report struct {
	Kind    string // "server" or "client"
	Results []Result
	Time    time.Duration
}

// Count returns how many cases ended so.
func (r *Report) Count(o Outcome) int {
	n := 0
	for i := range r.Results {
		if r.Results[i].Outcome == o {
			n++
		}
	}
	return n
}

// OK reports whether cases were run and none failed.
func (r *Report) OK() bool { return r.Count(Failed) == 0 && r.Count(Passed) > 0 }

// String is the result in a line: "210 cases passed".
func (r *Report) String() string { return fmt.Sprintf("%d cases passed", r.Count(Passed)) }

// WriteText writes the report for people: every case that did not pass and
// why, with what was sent and received, and at its end the line of String.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	section := func(title string, o Outcome, long bool) {
		if r.Count(o) == 0 {
			return
		}
		fmt.Fprintf(&b, "%d %s:\n", r.Count(o), title)
		for i := range r.Results {
			if c := &r.Results[i]; c.Outcome == o {
				fmt.Fprintf(&b, "  %s (section %s)", c.Case.Name, c.Case.Section)
				if !long {
					fmt.Fprintf(&b, ": %s\n", c.Reason)
					continue
				}
				fmt.Fprintf(&b, "\n    the rule: %s\n    seen:     %s\n", c.Case.Rule, c.Reason)
				for _, l := range c.Transcript {
					fmt.Fprintf(&b, "      %s\n", l)
				}
			}
		}
	}
	section("skipped", Skipped, false)
	section("do not do what is recommended (SHOULD)", Advised, true)
	section("failed", Failed, true)
	fmt.Fprintln(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	type result struct {
		Name       string   `json:"name"`
		Section    string   `json:"section"`
		Rule       string   `json:"rule"`
		Should     bool     `json:"should,omitempty"`
		Outcome    Outcome  `json:"outcome"`
		Reason     string   `json:"reason,omitempty"`
		Transcript []string `json:"transcript,omitempty"`
		Seconds    float64  `json:"seconds"`
	}
	out := struct {
		Kind    string   `json:"kind"`
		Passed  int      `json:"passed"`
		Failed  int      `json:"failed"`
		Advised int      `json:"advised"`
		Skipped int      `json:"skipped"`
		Seconds float64  `json:"seconds"`
		Results []result `json:"results"`
	}{r.Kind, r.Count(Passed), r.Count(Failed), r.Count(Advised), r.Count(Skipped), r.Time.Seconds(), []result{}}
	for i := range r.Results {
		c := &r.Results[i]
		out.Results = append(out.Results, result{c.Case.Name, c.Case.Section, c.Case.Rule, c.Case.Should,
			c.Outcome, c.Reason, c.Transcript, c.Time.Seconds()})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// The shape of JUnit's XML that CI systems read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitOutcome `xml:"failure"`
		Skipped *junitOutcome `xml:"skipped"`
	}
	junitOutcome struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit's XML. A recommendation that is not
// followed counts as skipped there.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "parley " + r.Kind, Tests: len(r.Results), Failures: r.Count(Failed),
		Skipped: r.Count(Skipped) + r.Count(Advised), Time: seconds(r.Time)}
	for i := range r.Results {
		c := &r.Results[i]
		j := junitCase{Class: "section " + c.Case.Section, Name: c.Case.Name, Time: seconds(c.Time)}
		said := &junitOutcome{c.Reason, c.Case.Rule + "\n" + strings.Join(c.Transcript, "\n")}
		switch c.Outcome {
		case Failed:
			j.Failure = said
		case Skipped, Advised:
			j.Skipped = said
		}
		s.Cases = append(s.Cases, j)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
