package chatproto_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
)

// The tables of SPEC.md about phases and consent, and golden files that say
// what machines made of them do.

func phaseTable(*testing.T) string {
	var m markdown
	m.head("phase", "client may send", "server may send, unasked", "a request of a later phase is answered", "frames of the server that lead on")
	for _, p := range chatproto.V1.Phases {
		var next []string
		for _, e := range edges(p) {
			next = append(next, words(e.codes)+" → "+e.to.String())
		}
		early := ""
		if p.Early != 0 {
			early = p.Early.String()
		}
		client, server := words(p.Client), words(p.Server)
		if client == "" {
			client, server = "nothing", "nothing"
		} else if !p.Pipe {
			client += " (one unanswered at a time, QUIT excepted)"
		}
		m.row(p.Phase.String(), client, server, early, strings.Join(next, "; "))
	}
	return m.b.String()
}

type edge struct {
	to    chatproto.Phase
	codes []chatproto.Code
}

// edges gathers the transitions of a phase by where they lead.
func edges(p chatproto.PhaseRule) []edge {
	var all []edge
next:
	for _, t := range p.Next {
		for i := range all {
			if all[i].to == t.Next {
				all[i].codes = append(all[i].codes, t.Code)
				continue next
			}
		}
		all = append(all, edge{t.Next, []chatproto.Code{t.Code}})
	}
	return all
}

func phaseDiagram(*testing.T) string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> Opened\n")
	for _, p := range chatproto.V1.Phases {
		for _, e := range edges(p) {
			fmt.Fprintf(&b, "    %v --> %v: %s\n", p.Phase, e.to, words(e.codes))
		}
	}
	b.WriteString("    Closing --> Closed: end of input\n    Closed --> [*]\n```\n")
	return b.String()
}

// A consentRow is what several events do in a state.
type consentRow struct {
	state, next   chatproto.ConsentState
	events        []string
	reply, effect string
}

// consentRows gathers the rules that differ in their event only.
func consentRows() []consentRow {
	var rows []consentRow
next:
	for _, r := range chatproto.ConsentRules() {
		row := consentRow{state: r.State, next: r.Next, events: []string{r.Event.String()}}
		if r.Reply != 0 {
			row.reply = r.Reply.String()
		}
		switch r.Notify {
		case chatproto.RQST:
			row.effect = "RQST to the owner"
		case chatproto.GETA:
			row.effect = "GETA to the asker"
		case chatproto.RVKD:
			row.effect = "RVKD why=" + r.Why + " to both"
		}
		for i := range rows {
			if o := &rows[i]; o.state == row.state && o.next == row.next && o.reply == row.reply && o.effect == row.effect {
				o.events = append(o.events, row.events...)
				continue next
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func consentTable(*testing.T) string {
	var m markdown
	m.head("state", "event", "next", "answer", "events sent")
	for _, r := range consentRows() {
		m.row(r.state.String(), strings.Join(r.events, ", "), r.next.String(), r.reply, r.effect)
	}
	return m.b.String()
}

func consentDiagram(*testing.T) string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> None\n")
	for _, r := range consentRows() {
		if r.next == r.state && r.effect == "" {
			continue
		}
		label := strings.Join(r.events, ", ")
		if r.effect != "" {
			label += " / " + r.effect
		}
		fmt.Fprintf(&b, "    %v --> %v: %s\n", r.state, r.next, label)
	}
	b.WriteString("```\n")
	return b.String()
}

// inPhase returns a machine that was led to a phase.
func inPhase(t *testing.T, p chatproto.Phase) *chatproto.Machine {
	t.Helper()
	m := chatproto.V1.Machine()
	step := func(verb, reply chatproto.Code) {
		if err := m.Request(verb, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.Reply(reply, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if p >= chatproto.Greeted {
		step(chatproto.HELO, chatproto.ReplyGreeting)
	}
	if p >= chatproto.Ready {
		step(chatproto.AUTH, chatproto.ReplyWelcome)
	}
	if p >= chatproto.Closing {
		step(chatproto.QUIT, chatproto.ReplyBye)
	}
	if p == chatproto.Closed {
		m.EOF()
	}
	if m.Phase() != p {
		t.Fatalf("led to phase %v, want %v", m.Phase(), p)
	}
	return m
}

// grouped collects codes by what they bring about, and prints a line for
// each outcome.
type grouped struct {
	outcomes []string
	codes    map[string][]chatproto.Code
}

func (g *grouped) add(outcome string, c chatproto.Code) {
	if g.codes == nil {
		g.codes = map[string][]chatproto.Code{}
	}
	if g.codes[outcome] == nil {
		g.outcomes = append(g.outcomes, outcome)
	}
	g.codes[outcome] = append(g.codes[outcome], c)
}

func (g *grouped) print(b *strings.Builder, what string) {
	for _, o := range g.outcomes {
		fmt.Fprintf(b, "  %-24s %-24s %s\n", what, o, words(g.codes[o]))
	}
}

// TestSpecTransitions drives a machine through every phase with every verb
// and every reply, a few of no known version among them.
func TestSpecTransitions(t *testing.T) {
	codes := []chatproto.Code{}
	for _, c := range chatproto.V1.Codes {
		codes = append(codes, c.Code)
	}
	for _, s := range []string{"XTRA", "199", "299", "399", "499", "599"} {
		c, _ := chatproto.ParseCode(s)
		codes = append(codes, c)
	}
	var b strings.Builder
	b.WriteString("# What each code does in each phase, as a Machine says. XTRA, 199 to 599 are of no known version.\n")
	for p := chatproto.Opened; p <= chatproto.Closed; p++ {
		fmt.Fprintf(&b, "\nphase %v\n", p)
		var requests, events, unasked grouped
		for _, c := range codes {
			if c.IsVerb() {
				requests.add(requestOutcome(t, p, c), c)
				events.add(outcome(inPhase(t, p), func(m *chatproto.Machine) error { return m.Event(c) }), c)
			} else {
				unasked.add(outcome(inPhase(t, p), func(m *chatproto.Machine) error { return m.Reply(c, 0, 0) }), c)
			}
		}
		requests.print(&b, "request")
		events.print(&b, "event")
		unasked.print(&b, "reply to nothing")
		if p >= chatproto.Closing {
			continue
		}
		for _, verb := range append(codes[:0:0], append(chatproto.V1.Phases[p].Client, 0)...) {
			answers(t, &b, p, verb, codes)
		}
	}
	golden(t, "transitions.golden", b.String())
}

// answers prints what each reply to verb does; verb 0 is a line that was no
// frame.
func answers(t *testing.T, b *strings.Builder, p chatproto.Phase, verb chatproto.Code, codes []chatproto.Code) {
	if chatproto.V1.Unanswered(verb) {
		return
	}
	what := "reply to a bad line"
	if verb != 0 {
		what = "reply to " + verb.String()
	}
	var replies grouped
	for _, c := range codes {
		if !c.IsReply() {
			continue
		}
		m := inPhase(t, p)
		if verb == 0 {
			m.BadLine()
		} else if err := m.Request(verb, 0); err != nil {
			t.Fatal(err)
		}
		replies.add(outcome(m, func(m *chatproto.Machine) error { return m.Reply(c, 0, 0) }), c)
	}
	replies.print(b, what)
}

// requestOutcome says what becomes of a request: it is queued or not, and
// allowed or refused; a refusal is then sent, and where that leads is said.
func requestOutcome(t *testing.T, p chatproto.Phase, verb chatproto.Code) string {
	m := inPhase(t, p)
	err := m.Request(verb, 0)
	if err == nil {
		if m.Unanswered() == 0 {
			return "taken, not answered"
		}
		return "taken"
	}
	refusal := err.(*chatproto.Error).Code
	if p >= chatproto.Closing {
		return "not read"
	}
	return "refused " + refusal.String() + " " + outcome(m, func(m *chatproto.Machine) error { return m.Reply(refusal, 0, 0) })
}

// outcome says where a frame of the server leads.
func outcome(m *chatproto.Machine, step func(*chatproto.Machine) error) string {
	before, waiting := m.Phase(), m.Unanswered()
	if step(m) != nil {
		return "an error"
	}
	s := "-> " + m.Phase().String()
	if m.Phase() == before {
		s = "stays"
	}
	if waiting > 0 && m.Unanswered() == waiting {
		s += ", still waits"
	}
	return s
}

// TestSpecConsent steps every event in every state.
func TestSpecConsent(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What each event does in each state of a consent. A 0 is silence.\n")
	for s := chatproto.ConsentNone; s <= chatproto.ConsentGranted; s++ {
		b.WriteByte('\n')
		for e := chatproto.ConsentAsk; e <= chatproto.ConsentRekey; e++ {
			r := s.Step(e)
			if r.State != s || r.Event != e {
				t.Fatalf("%v in %v steps by the row of %v in %v", e, s, r.Event, r.State)
			}
			line := fmt.Sprintf("%-9v %-8v -> %-9v reply %-3s tell %-4s %s", s, e, r.Next, orZero(r.Reply), orZero(r.Notify), r.Why)
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	golden(t, "consent.golden", b.String())
}

func orZero(c chatproto.Code) string {
	if c == 0 {
		return "0"
	}
	return c.String()
}

// golden compares with a file of testdata/v1, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "v1", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-file +code); run with -update if the code is right:\n%s", path, diff)
	}
}
