package conformance

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A script is a case as lines. A word names a connection, by the letter of the
// account that it is for (A, B, C; A2 is a second one of A) or X, Y for one
// that does not log in. Then
//
//	A login [key=value…] [/ pattern]   connects, says HELO, logs in; the fields are
//	                                   changed ("beat=-" leaves one out); the pattern
//	                                   is what the 230 says
//	X helo [key=value…] [/ pattern]    connects and says HELO
//	X open                             connects
//	A> line                            sends a line
//	A raw "octets"                     sends octets as they are, in Go's quotes
//	A< pattern                         expects a frame, see pattern
//	A quiet                            expects nothing, for a while, but LIVE and PRES
//	A absent NAME                      expects that no PRES about the user came
//	A listed NAME, A unlisted NAME     asks ONLN, expects the user to be listed or not
//	A page fields                      expects 111, any number of them, and 211, with fields
//	A maybe pattern                    takes an event that came and is such a one
//	A stay                             the QUIT that was sent is no end
//	A drain 10                         expects so many answers, whichever they are
//	A sync                             waits until the server has dealt with what A sent
//	A quit                             sends QUIT, expects 221 and the end
//	A end                              expects the end of the connection
//	A fenced                           expects the end, with a GBYE or without
//	A half                             ends what the suite sends
//	A cut                              ends the connection without a word
//	wait 1s                            waits, while the connections are kept alive
//	differ {a} {b}                     expects two values to be different
//	prefix {a} {b}                     expects the second to begin with the first
//
// {A} stands for a user's name, {A.pass} for the password, {A.origin} for the
// origin of connection A, {nobody} and {noone} for names that no account has,
// {hex} for nine random digits, {x} for what a pattern kept as @x, {100*ab} for a hundred times ab.
func (s *serverCase) play(script string) {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(expand(line, s.vars))
		if line == "" {
			continue
		}
		who, rest, _ := strings.Cut(line, " ")
		switch {
		case who == "wait":
			d, err := time.ParseDuration(rest)
			s.must(err, line)
			s.pass(d)
		case who == "differ":
			if a, b, _ := strings.Cut(rest, " "); a == b {
				s.failf("%s came twice", quoted(a))
			}
		case who == "prefix":
			if a, b, _ := strings.Cut(rest, " "); !strings.HasPrefix(b, a) {
				s.failf("%s does not begin with %s", quoted(b), quoted(a))
			}
		case strings.HasSuffix(who, ">"):
			s.link(who[:len(who)-1], line).send(rest)
		case strings.HasSuffix(who, "<"):
			s.link(who[:len(who)-1], line).want(rest)
		default:
			what, args, _ := strings.Cut(rest, " ")
			s.act(who, what, args, line)
		}
	}
}

// act does what a line says that begins with a connection's name.
func (s *serverCase) act(who, what, args, line string) {
	fields, want, _ := strings.Cut(args, "/")
	switch what {
	case "open":
		s.named[who] = s.dial(who)
	case "helo":
		h := s.open(who, strings.Fields(fields)...).hello
		s.check230(who, "220 "+strings.TrimSpace(want), h)
	case "login":
		l := s.login(who, strings.Fields(fields)...)
		s.check230(who, "230 "+strings.TrimSpace(want), l.welcome)
	case "raw":
		octets, err := strconv.Unquote(args)
		s.must(err, line)
		s.link(who, line).raw([]byte(octets))
	case "quiet":
		s.quiet()
		l := s.link(who, line)
		l.await(0, func() bool { return true })
		l.nothing()
	case "absent":
		s.quiet()
		s.link(who, line).absent(args)
	case "drain":
		n, err := strconv.Atoi(args)
		s.must(err, line)
		s.link(who, line).drain(n)
	case "sync":
		s.link(who, line).sync()
	case "quit":
		s.link(who, line).quit()
	case "end":
		s.link(who, line).ended(s.opts.Patience)
	case "stay":
		s.link(who, line).leaving = false
	case "nocap":
		caps, _ := s.link(who, line).hello.value("caps")
		if slices.Contains(strings.Split(caps, ","), args) {
			s.failf("%s: the server says that it has the capability %s", who, args)
		}
	case "listed", "unlisted":
		l := s.link(who, line)
		if slices.Contains(l.list(""), args) != (what == "listed") {
			s.failf("%s: %s is not %s by ONLN", who, args, what)
		}
	case "page":
		s.link(who, line).page(args)
	case "maybe":
		s.link(who, line).maybe(args)
	case "fenced":
		s.link(who, line).fenced()
	case "half":
		if half, ok := s.link(who, line).nc.(interface{ CloseWrite() error }); ok {
			s.must(half.CloseWrite(), line)
		} else {
			s.skipf("the connection cannot be closed in one direction")
		}
	case "cut":
		s.link(who, line).close()
	default:
		panic("conformance: bad line in a script: " + line)
	}
}

func (s *serverCase) check230(who, want string, h *heard) {
	if p := parsePattern(want); !p.match(h, s.vars) {
		s.failf("%s: got %s; wanted %s", who, quoted(h.line), want)
	}
}

func (s *serverCase) link(name, line string) *link {
	l := s.named[name]
	if l == nil {
		panic("conformance: no connection of this name in a script: " + line)
	}
	return l
}

func (s *serverCase) must(err error, line string) {
	if err != nil {
		panic("conformance: bad line in a script: " + line + ": " + err.Error())
	}
}

// pass waits, and says LIVE on the connections meanwhile.
func (s *serverCase) pass(d time.Duration) {
	for d > 0 {
		step := min(d, s.target.Timeout/3)
		s.sleep(step)
		d -= step
		for _, l := range s.links {
			if l.ready() {
				l.send("LIVE")
			}
		}
	}
}

// fenced waits until the server has given the connection up, for whatever
// reason it says, and answered nothing more on it.
func (l *link) fenced() {
	if !l.await(l.k.opts.Patience, func() bool { return l.over }) {
		l.k.failf("%s: the connection is not closed within %v, though another one took over", l.name, l.k.opts.Patience)
	}
	l.mu.Lock()
	if len(l.events) > 0 && l.events[0].frame.Code == chatproto.GBYE {
		l.events = l.events[1:]
	}
	l.mu.Unlock()
	l.nothing()
}

// drain takes so many replies that finish a request.
func (l *link) drain(n int) {
	for n > 0 {
		if h := l.next(&l.replies, "a reply"); h.frame.Code.Class() != 1 {
			n--
		}
	}
}

// maybe takes an event if it came.
func (l *link) maybe(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.queue(parsePattern(source).code); len(*q) > 0 && parsePattern(source).match((*q)[0], l.k.vars) {
		*q = (*q)[1:]
	}
}

// absent fails the case if PRES came about a user.
func (l *link) absent(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.presence {
		if v, _ := h.value("user"); v == user {
			l.k.failf("%s: this should not have come: %s", l.name, quoted(h.line))
		}
	}
}

var placeholder = regexp.MustCompile(`\{(?:([0-9]+)\*([^{}]+)|([A-Za-z0-9.]+))\}`)

// expand puts in what stands in braces.
func expand(line string, vars map[string]string) string {
	return placeholder.ReplaceAllStringFunc(line, func(m string) string {
		part := placeholder.FindStringSubmatch(m)
		if part[1] != "" {
			n, _ := strconv.Atoi(part[1])
			return strings.Repeat(part[2], n)
		}
		v, ok := vars[part[3]]
		if !ok {
			panic("conformance: a script uses " + m + ", which it does not know")
		}
		return v
	})
}
