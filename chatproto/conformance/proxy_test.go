package conformance_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/conformance"
)

// A party is the other side of a connection under test, spoilt: it stands
// between the suite and a program that is right. up and down change the lines,
// each without its end, that go to the server and that come from it; nil
// passes them on.
type party struct {
	up, down func(line string) []string
	gone     func() // the client is gone, before that is passed on; may be nil

	a, b   net.Conn                   // the client's side, the server's side
	locks  map[net.Conn]chan struct{} // for who writes to them; channels, so that a bubble sees who waits
	bareUp bool                       // lines that go up end in LF alone
	bare   bool                       // lines that go down end in LF alone
	deaf   bool                       // the end of the server's output is not passed on
	others *crowd
	user   string // who logged in
	wants  bool   // and wants presence
}

// A crowd is all the parties of one program under test.
type crowd struct {
	mu      sync.Mutex
	parties []*party
	n       int
}

// pass stands between two ends and returns the outer one of the client's
// side.
func (c *crowd) pass(server net.Conn, spoil func(*party)) net.Conn {
	client, near := memPipe()
	p := &party{a: near, b: server, others: c,
		locks: map[net.Conn]chan struct{}{near: make(chan struct{}, 1), server: make(chan struct{}, 1)}}
	spoil(p)
	c.mu.Lock()
	c.parties = append(c.parties, p)
	c.mu.Unlock()
	go p.carry(p.b, p.a, p.up)
	go p.carry(p.a, p.b, p.down)
	return client
}

// carry passes lines from one end to the other.
func (p *party) carry(to, from net.Conn, change func(string) []string) {
	var rest []byte
	passing := false // the beginning of the line was passed on
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		rest = append(rest, buf[:n]...)
		for i := bytes.IndexByte(rest, '\n'); i >= 0; i = bytes.IndexByte(rest, '\n') {
			line := rest[:i+1]
			rest = rest[i+1:]
			if passing || change == nil {
				p.write(to, line)
				passing = false
				continue
			}
			text := strings.TrimRight(string(line), "\r\n")
			end := string(line[len(text):])
			if p.bare && from == p.b || p.bareUp && from == p.a {
				end = "\n"
			}
			for _, l := range change(text) {
				p.write(to, []byte(l+end))
			}
		}
		if passing || len(rest) > 2*chatproto.V1.Limits.Frame || err != nil || change == nil {
			p.write(to, rest)
			passing = passing || len(rest) > 0
			rest = nil
		}
		if err != nil {
			p.ended(to, from, err)
			return
		}
	}
}

func (p *party) write(to net.Conn, b []byte) {
	p.locks[to] <- struct{}{}
	to.Write(b)
	<-p.locks[to]
}

// ended passes the end of input on.
func (p *party) ended(to, from net.Conn, err error) {
	if p.deaf && from == p.b {
		return
	}
	if from == p.a && p.gone != nil {
		p.gone()
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF {
		half.CloseWrite()
	} else {
		to.Close()
	}
	if from == p.a { // the client is gone: what the server says is for nobody
		return
	}
	from.Close()
}

// learn notes who logged in.
func (p *party) learn(line string) []string {
	if m := regexp.MustCompile(`^230 user=(\S+)`).FindStringSubmatch(line); m != nil {
		p.user = m[1]
	}
	return []string{line}
}

// number returns the n= of a line, 0 if it has none.
func number(line string) int {
	m := regexp.MustCompile(` n=(\d+)( |$)`).FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A counter is an integer for several goroutines.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add(k int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += k
	return c.n
}

// A mutant breaks one rule.
type mutant struct {
	name  string // what is wrong
	spoil func(*party)
}

// replace changes lines that match: the first match of re becomes with.
func replace(re, with string) func(string) []string {
	x := regexp.MustCompile(re)
	return func(line string) []string {
		if m := x.FindStringSubmatchIndex(line); m != nil {
			line = line[:m[0]] + string(x.ExpandString(nil, with, line, m)) + line[m[1]:]
		}
		return []string{line}
	}
}

// down is a mutant whose lines to the client are changed, up one that changes
// what it is told.
func down(name, re, with string) mutant {
	return mutant{name, func(p *party) { p.down = replace(re, with) }}
}

func up(name, re, with string) mutant {
	return mutant{name, func(p *party) { p.up = replace(re, with) }}
}

// drop is a mutant that does not send some lines, repeat one that sends them
// twice.
func drop(name, re string) mutant {
	x := regexp.MustCompile(re)
	return mutant{name, func(p *party) {
		p.down = func(line string) []string {
			if x.MatchString(line) {
				return nil
			}
			return []string{line}
		}
	}}
}

func repeat(name, re string) mutant {
	x := regexp.MustCompile(re)
	return mutant{name, func(p *party) {
		p.down = func(line string) []string {
			if x.MatchString(line) {
				return []string{line, line}
			}
			return []string{line}
		}
	}}
}

// cut cuts descriptions.
func cut(most int) func(string) []string {
	return func(line string) []string {
		if i := strings.Index(line, " :"); i > 0 && len(line) > i+most {
			line = line[:i+most]
		}
		return []string{line}
	}
}

// finders returns the names of the cases that failed.
func finders(r *conformance.Report) (names []string) {
	for _, c := range r.Results {
		if c.Outcome == conformance.Failed {
			names = append(names, c.Case.Name)
		}
	}
	return names
}

// untilFound ends the context when more cases have failed than are written
// down, if the run is one that looks for them.
func untilFound(ctx context.Context, opts *conformance.Options) context.Context {
	if !*update || opts.Slow {
		return ctx
	}
	ctx, stop := context.WithCancel(ctx)
	failed := 0
	opts.OnResult = func(r conformance.Result) {
		if r.Outcome == conformance.Failed {
			failed++
		}
		if failed > mostFinders {
			stop()
		}
	}
	return ctx
}

// aloneFirst puts a case first that finds the mutant when it is run alone, the
// one that is known to do so if it still does: others may find only what an
// earlier one left.
func aloneFirst(t *testing.T, known, cases []string, m mutant, run runner) []string {
	for _, name := range slices.Concat(known[:min(1, len(known))], cases) {
		opts := conformance.Options{Strict: true, Match: exactly(name)}
		if report := run(t, opts, m.spoil); report != nil && len(finders(report)) > 0 {
			rest := slices.DeleteFunc(slices.Clone(cases), func(other string) bool { return other == name })
			return append([]string{name}, rest...)
		}
	}
	return nil
}

// exactly matches one case.
func exactly(name string) *regexp.Regexp {
	return regexp.MustCompile("^" + regexp.QuoteMeta(name) + "$")
}

// A runner runs the suite against a mutant.
type runner func(t *testing.T, opts conformance.Options, spoil func(*party)) *conformance.Report

// checkMutants runs the suite against each mutant, or of the suite only the
// case that is known to find it, and compares who found whom with a golden
// file.
func checkMutants(t *testing.T, golden string, mutants []mutant, run runner) {
	known := readFinders(t, golden)
	found := make(map[string][]string)
	for _, m := range mutants {
		opts := conformance.Options{Strict: true}
		if !*update && len(known[m.name]) > 0 {
			opts.Match = exactly(known[m.name][0])
		}
		report := run(t, opts, m.spoil)
		if report == nil {
			t.Errorf("%s: the suite does not begin", m.name)
			continue
		}
		found[m.name] = finders(report)
		if *update {
			found[m.name] = aloneFirst(t, known[m.name], found[m.name], m, run)
		}
		if len(found[m.name]) == 0 {
			t.Errorf("no case finds a program that is wrong so: %s", m.name)
		} else {
			t.Logf("%s: found by %s", m.name, found[m.name][0])
		}
	}
	if *update {
		writeFinders(t, golden, mutants, found)
	}
	for name := range known {
		if found[name] == nil && !t.Failed() {
			t.Errorf("%s has %q, which is no mutant", golden, name)
		}
	}
}
