package conformance

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say which cases are run, and how. The zero value is useful.
type Options struct {
	Match  *regexp.Regexp // only cases whose name it matches; nil: all
	Slow   bool           // also those that wait for a minute or more
	Strict bool           // a recommendation that is not followed is a failure

	Patience time.Duration // how long to wait for what must come; 0 is 5 s
	Quiet    time.Duration // how long to listen for what must not come; 0 is 100 ms

	OnResult func(Result) // is told of every result, by the goroutine that runs the cases; may be nil
}

func (o *Options) fill() {
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.Quiet <= 0 {
		o.Quiet = 100 * time.Millisecond
	}
}

// run runs the cases that the options choose, until ctx ends.
func (o *Options) run(ctx context.Context, cases []Case, one func(*Case) Result) []Result {
	var results []Result
	for i := range cases {
		if o.Match != nil && !o.Match.MatchString(cases[i].Name) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		r := one(&cases[i])
		results = append(results, r)
		if o.OnResult != nil {
			o.OnResult(r)
		}
	}
	return results
}

// judge runs f and makes a result of how it ends. Afterwards it runs end in
// the same way: what that finds counts if f found nothing.
func (o *Options) judge(c *Case, k *check, f, end func()) Result {
	if c.Slow && !o.Slow {
		return Result{Case: *c, Outcome: Skipped, Reason: "it is slow"}
	}
	begun := time.Now()
	v := verdictOf(f)
	said := k.transcript()
	if after := verdictOf(end); v.outcome == Passed {
		v, said = after, k.transcript()
	}
	if v.outcome == Failed && c.Should && !o.Strict {
		v.outcome = Advised
	}
	r := Result{Case: *c, Outcome: v.outcome, Reason: v.reason, Time: time.Since(begun)}
	if v.outcome != Passed {
		r.Transcript = said
	}
	return r
}

// A verdict ends a case before its end: see check.failf and skipf.
type verdict struct {
	outcome Outcome
	reason  string
}

// verdictOf runs f and returns how it ended.
func verdictOf(f func()) (v verdict) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case verdict:
			v = p
		default:
			panic(p)
		}
	}()
	f()
	return verdict{outcome: Passed}
}

// inOrder gathers tables of cases, in the order of the sections.
func inOrder(tables func() [][]Case) []Case {
	all := slices.Concat(tables()...)
	slices.SortStableFunc(all, func(a, b Case) int { return compareSections(a.Section, b.Section) })
	return all
}

// compareSections compares "4.10" and "4.2" by their numbers.
func compareSections(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return 0
}

// quoted is fmt's %q without escapes of what can be read.
func quoted(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%+q… (%d octets)", s[:300], len(s))
	}
	return fmt.Sprintf("%+q", s)
}
