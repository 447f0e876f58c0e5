package chatproto_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// TestSpecSessions plays every worked session of SPEC.md through a Machine on
// each side, so that the examples cannot rot. Info words behind ```session:
// from=Ready leaves the login out; script has no Machine at the client's
// side, for a person sends what and when a program must not; private is a
// line between two clients, of which the tables say nothing.
func TestSpecSessions(t *testing.T) {
	spec := readSpec(t)
	fields := specFields(t, spec)
	blocks := regexp.MustCompile("(?ms)^```session([^\n]*)\n(.*?)^```$").FindAllStringSubmatchIndex(spec, -1)
	if len(blocks) < 15 {
		t.Fatalf("SPEC.md has %d worked sessions", len(blocks))
	}
	for _, at := range blocks {
		info, body := spec[at[2]:at[3]], spec[at[4]:at[5]]
		first := strings.Count(spec[:at[4]], "\n") + 1
		t.Run(fmt.Sprintf("line %d", first), func(t *testing.T) {
			p := &player{t: t, fields: fields, ends: map[string]*ends{}}
			for _, word := range strings.Fields(info) {
				switch word {
				case "from=Ready":
					p.ready = true
				case "script":
					p.script = true
				case "private":
					p.private = true
				default:
					t.Fatalf("unknown info word %q", word)
				}
			}
			for i, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
				p.at = first + i
				p.play(line)
			}
			p.finish()
		})
	}
}

// A player plays one session.
type player struct {
	t                      *testing.T
	at                     int // line of SPEC.md
	ready, script, private bool
	fields                 map[chatproto.Code]map[string]fieldRule
	ends                   map[string]*ends
}

// ends are the two ends of one connection.
type ends struct {
	client, server *chatproto.Machine
	sent           []*chatproto.Frame // requests on their way; nil for a line that is no frame
	asked          []ask              // those whose turn came
	deliveries     uint64
	badLine        *chatproto.Error
}

// An ask is a request that the server is to answer.
type ask struct {
	frame   *chatproto.Frame // nil for a line that was no frame
	refusal chatproto.Code   // with what the server's Machine refused it
}

var sessionLine = regexp.MustCompile(`^(?:([A-Z][0-9]?) )?(?:(C:|S:|C!) (.*)|(EOF)|= (\w+))$`)

func (p *player) errorf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("SPEC.md:%d: %s", p.at, fmt.Sprintf(format, args...))
}

func (p *player) play(line string) {
	m := sessionLine.FindStringSubmatch(line)
	if m == nil {
		p.errorf("not a line of a session: %q", line)
		return
	}
	e := p.connection(m[1])
	switch {
	case m[4] != "":
		e.client.EOF()
		e.server.EOF()
	case m[5] != "":
		e.turn()
		if got := e.server.Phase().String(); got != m[5] {
			p.errorf("the server is in phase %s", got)
		}
		if got := e.client.Phase().String(); got != m[5] && !p.script {
			p.errorf("the client is in phase %s", got)
		}
	case m[2] == "C!":
		var f chatproto.Frame
		if !errors.As(chatproto.Parse(&f, []byte(m[3])), &e.badLine) {
			p.errorf("this is a frame")
		}
		e.sent = append(e.sent, nil)
	default:
		f := p.frame(m[3])
		switch {
		case f == nil:
		case p.private:
			p.line(e, f, m[2])
		case m[2] == "C:":
			p.fromClient(e, f)
		case f.Code.IsReply():
			p.reply(e, f)
		default:
			p.event(e, f)
		}
	}
}

func (p *player) connection(name string) *ends {
	e := p.ends[name]
	if e == nil {
		e = &ends{client: chatproto.V1.Machine(), server: chatproto.V1.Machine()}
		if p.ready {
			e.client, e.server = inPhase(p.t, chatproto.Ready), inPhase(p.t, chatproto.Ready)
		}
		p.ends[name] = e
	}
	return e
}

// frame parses a line, which must be canonical and have the fields that
// section 4 lists for its code.
func (p *player) frame(line string) *chatproto.Frame {
	f := new(chatproto.Frame)
	if err := chatproto.Parse(f, []byte(line)); err != nil {
		p.errorf("%v", err)
		return nil
	}
	if again, err := chatproto.AppendFrame(nil, f); err != nil || string(again) != line+"\r\n" {
		p.errorf("encodes to %q, %v", again, err)
	}
	rules, known := p.fields[f.Code]
	if !known && chatproto.V1.Known(f.Code) {
		p.errorf("section 4 does not describe %v", f.Code)
	}
	for key, rule := range rules {
		if _, ok := f.Get(key); !ok && rule.required && !(p.private && rule.publicOnly) {
			p.errorf("%v lacks %s=", f.Code, key)
		}
	}
	for _, field := range f.Fields {
		_, ok := rules[string(field.Key)]
		echo := f.Code.IsReply() && string(field.Key) == "n"
		if !ok && !echo && chatproto.V1.Known(f.Code) {
			p.errorf("section 4 knows no %s= on %v", field.Key, f.Code)
		}
	}
	return f
}

func (p *player) fromClient(e *ends, f *chatproto.Frame) {
	n, _ := f.Uint("n")
	if !p.script {
		if err := e.client.Request(f.Code, n); err != nil {
			p.errorf("a client must not send this: %v", err)
		}
	}
	if count, _ := f.Uint("count"); f.Code == chatproto.ACKD && count > e.deliveries {
		p.errorf("acknowledges %d of %d deliveries", count, e.deliveries)
	}
	e.sent = append(e.sent, f)
}

// turn lets the server take the requests whose turn has come.
func (e *ends) turn() {
	for len(e.sent) > 0 && (e.server.Unanswered() == 0 || e.server.Phase() == chatproto.Ready) && e.server.Phase() < chatproto.Closing {
		f := e.sent[0]
		e.sent = e.sent[1:]
		if f == nil {
			e.server.BadLine()
			e.asked = append(e.asked, ask{})
			continue
		}
		n, _ := f.Uint("n")
		before := e.server.Unanswered()
		err := e.server.Request(f.Code, n)
		a := ask{frame: f}
		var refused *chatproto.Error
		if errors.As(err, &refused) {
			a.refusal = refused.Code
		}
		if e.server.Unanswered() > before {
			e.asked = append(e.asked, a)
		}
	}
}

func (p *player) reply(e *ends, f *chatproto.Frame) {
	e.turn()
	lo, hi, ok := f.Range("n")
	if !ok {
		p.errorf("a bad n=")
	}
	if len(e.asked) > 0 && f.Code != chatproto.ReplyUnavailable {
		a := e.asked[0]
		if a.refusal != 0 && a.refusal != f.Code {
			p.errorf("the server's machine refuses %v by %v", a.frame.Code, a.refusal)
		}
		p.sentence(e, a.frame, f)
	}
	if err := e.server.Reply(f.Code, lo, hi); err != nil {
		p.errorf("a server must not send this: %v", err)
	}
	if !p.script {
		if err := e.client.Reply(f.Code, lo, hi); err != nil {
			p.errorf("a client does not expect this: %v", err)
		}
	}
	if f.Code.Class() != 1 {
		e.asked = e.asked[min(len(e.asked), int(hi-lo)+1):]
	}
}

// sentence checks the description of a reply against the code's.
func (p *player) sentence(e *ends, request, reply *chatproto.Frame) {
	if request == nil {
		at, _ := reply.Uint("at")
		if reply.Code != e.badLine.Code || at != uint64(e.badLine.At) || string(reply.Description) != e.badLine.Describe() {
			p.errorf("the line is refused by %v at=%d :%s", e.badLine.Code, e.badLine.At, e.badLine.Describe())
		}
		return
	}
	want := chatproto.V1.Sentence(request.Code, reply.Code)
	who, ok := request.Get("user")
	if !ok {
		who, _ = request.Get("to")
	}
	want = chatproto.Fill(want, "user", string(who))
	retry, _ := reply.Uint("retry")
	want = chatproto.Fill(want, "seconds", fmt.Sprint((retry+999)/1000))
	switch got := string(reply.Description); {
	case reply.Code == chatproto.ReplyWelcome && reply.Value("new") == "0":
		want = ""
	case reply.Code == chatproto.ReplyWelcome && reply.Value("mail") == "0":
		want += "\n" + chatproto.SentenceNoMail
	case reply.Code == chatproto.ReplyEntry:
		want = reply.Value("user")
	case reply.Code == chatproto.ReplyBadFrame:
		want = got // a verb that is no request has words of its own
	}
	if got := string(reply.Description); got != want {
		p.errorf("says %q, the code's sentence is %q", got, want)
	}
}

func (p *player) event(e *ends, f *chatproto.Frame) {
	e.turn()
	if err := e.server.Event(f.Code); err != nil {
		p.errorf("a server must not send this: %v", err)
	}
	if err := e.client.Event(f.Code); err != nil && !p.script {
		p.errorf("a client does not expect this: %v", err)
	}
	if id, ok := f.Get("id"); ok {
		e.deliveries++
		if _, ok := chatproto.ParseID(id); !ok {
			p.errorf("a bad id=")
		}
	}
	who := f.Value("user")
	want := chatproto.Fill(chatproto.V1.Sentence(0, f.Code), "user", who)
	switch f.Code {
	case chatproto.MESG, chatproto.BCST:
		if _, ok := chatproto.MessageText(f.Value("from"), f.Description); !ok {
			p.errorf("a description that is not made of from= and a text")
		}
		return
	case chatproto.PRES:
		want = chatproto.Fill(chatproto.SentenceLoggedOut, "user", who)
		if f.Value("on") == "1" {
			want = chatproto.Fill(chatproto.SentenceLoggedIn, "user", who)
		}
	case chatproto.GETA:
		want = f.Value("port") + " " + f.Value("addr") + " " + who
	case chatproto.GBYE:
		return
	}
	if string(f.Description) != want {
		p.errorf("says %q, want %q", f.Description, want)
	}
}

// line plays a frame of a private line (section 8.4).
func (p *player) line(e *ends, f *chatproto.Frame, from string) {
	answers := map[chatproto.Code][]chatproto.Code{
		chatproto.PEER: {chatproto.ReplyGreeting, chatproto.ReplyBadField, chatproto.ReplyNoVersion, chatproto.ReplyBlocked},
		chatproto.MESG: {chatproto.ReplyAccepted, chatproto.ReplyInternal, chatproto.ReplyRefusedEarlier, chatproto.ReplyTooLong, chatproto.ReplyBadField, chatproto.ReplyBlocked},
		chatproto.QUIT: {chatproto.ReplyBye},
	}
	if from == "C:" {
		if f.Code != chatproto.LIVE {
			e.sent = append(e.sent, f)
		}
		return
	}
	if len(e.sent) == 0 {
		p.errorf("a reply to nothing")
		return
	}
	request := e.sent[0]
	e.sent = e.sent[1:]
	ok := false
	for _, c := range answers[request.Code] {
		ok = ok || c == f.Code
	}
	if !ok || request.Value("n") != f.Value("n") {
		p.errorf("does not answer %v", request.Code)
	}
}

// finish checks that nothing is left unanswered on a connection that stands.
func (p *player) finish() {
	for name, e := range p.ends {
		e.turn()
		if e.server.Phase() < chatproto.Closing && len(e.sent)+len(e.asked) > 0 {
			p.errorf("connection %q: %d requests are unanswered", name, len(e.sent)+len(e.asked))
		}
	}
}

// A fieldRule is a row of a table of fields in section 4.
type fieldRule struct{ required, publicOnly bool }

// specFields reads the tables of fields in section 4.
func specFields(t *testing.T, spec string) map[chatproto.Code]map[string]fieldRule {
	t.Helper()
	all := map[chatproto.Code]map[string]fieldRule{}
	row := regexp.MustCompile("(?m)^\\| `([a-z]+)=` \\| (.*) \\| (yes|no) \\| (.*) \\|$")
	for _, part := range strings.Split(spec, "\n#### ")[1:] {
		head, body, _ := strings.Cut(part, "\n")
		body, _, _ = strings.Cut(body, "\n### ")
		body, _, _ = strings.Cut(body, "\n## ")
		for _, word := range strings.Split(head, ", ") {
			code, ok := chatproto.ParseCode(word)
			if !ok || !chatproto.V1.Known(code) || all[code] != nil {
				t.Errorf("a heading of section 4 that is no code, or there twice: %q", word)
			}
			all[code] = map[string]fieldRule{}
			for _, m := range row.FindAllStringSubmatch(body, -1) {
				all[code][m[1]] = fieldRule{m[3] == "yes", strings.Contains(m[4], "not on a private line")}
			}
			if strings.Count(body, "\n| `") != len(all[code]) {
				t.Errorf("a row of the table of fields of %v that cannot be read", code)
			}
		}
	}
	for _, c := range chatproto.V1.Codes {
		if all[c.Code] == nil {
			t.Errorf("section 4 does not describe %v", c.Code)
		}
	}
	return all
}
