package conformance_test

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/conformance"
	"github.com/parleyproto/parley/chatserver"
)

// serverMutants are servers that break one rule each.
var serverMutants = append([]mutant{
	// Frames.
	{"a line ends in a bare LF", func(p *party) { p.bare, p.down = true, replace(`^$`, "") }},
	down("an empty description is sent as ' :'", `^(221.*)$`, "$1 :"),
	down("an origin has a leading zero", ` id=`, " id=0"),
	down("a space in a name is not escaped", `^(PRES user=\S+)`, "$1 x"),
	up("a backslash before any other letter is taken", `\\([a-mo-rt-z])`, `\\$1`),
	up("a verb in small letters is taken", `^send `, "SEND "),
	up("two spaces are taken", `  `, " "),
	up("a space at the end of a line is taken", ` $`, ""),
	up("a raw tab is taken", "\t", `\t`),
	up("a bidirectional override is dropped", "\u202e", ""),
	up("a key is taken twice", `^(SEND to=B) to=C`, "$1"),
	{"UTF-8 is not looked at", func(p *party) {
		p.up = func(line string) []string { return []string{strings.ToValidUTF8(line, "?")} }
	}},
	down("at= is counted from 1", `^500 at=0`, "500 at=1"),
	drop("a bad line is not answered", `^500 at=`),
	down("a bad line is a bad field", `^500 at=\d+`, "501"),
	drop("a connection with ten bad lines is closed without GBYE", `^GBYE why=protocol`),
	up("a line of any length is taken", ` fill=x+`, ""),
	up("n= with leading zeros is taken", ` n=0+(\d)`, " n=$1"),

	// Codes and fields.
	down("an unknown verb is a bad field", `^500 n=7 :Unknown`, "501 n=7 :Unknown"),
	down("a request before the login is 503", `^530`, "503"),
	down("HELO in Ready is an unknown verb", `^503 :`, "500 :"),
	down("no common version is 501", `^505`, "501"),
	down("the answer to an error forgets n=", `^(5\d\d) n=\d+`, "$1"),
	down("the answer to QUIT forgets n=", `^221 n=\d+`, "221"),
	down("a missing field is 500", `^501 (n=\d+ :SEND takes)`, "500 $1"),
	down("550 for a user who is not online", `^551`, "550"),
	down("554 is 550", `^554`, "550"),
	down("202 is 200", `^202`, "200"),
	down("how= is missing", `^201(.*) how=\S+`, "201$1"),
	down("how= has another value", ` how=\S+`, " how=sent"),
	down("a 201 promises a delivery that was not acknowledged", ` how=stored`, " how=delivered"),
	down("the greeting has no boot=", `^(220.*) boot=\S+`, "$1"),
	down("the greeting has no t=", `^(220.*) t=\S+`, "$1"),
	down("the greeting chooses a version that nobody offered", `^220 v=1`, "220 v=2"),
	down("MESG has no t=", `^(MESG.*) t=\d+`, "$1"),
	down("a broadcast is delivered as a message", `^BCST`, "MESG"),
	down("the description of a message lacks its sender", ` :(\S+): `, " :"),
	down("an empty text has a space", `^(MESG.* :\S+:)$`, "$1 "),
	down("an event that nobody agreed on is sent", `^(221.*)`, "TYPE user=x\r\n$1"),
	down("LIVE and ACKD are answered", `^(20[01] n=.*)`, "$1\r\n200"),

	// Logins.
	down("left= does not count", `^535 left=1`, "535 left=2"),
	down("left= is missing", `^535 left=\d`, "535"),
	down("nobody is locked out", `^450 retry=\d+`, "535 left=1"),
	down("the lockout has no retry=", `^450 retry=\d+`, "450"),
	down("a lockout is prolonged", `^450 retry=\d+`, "450 retry=60001"),
	down("known=1 always", ` known=0`, " known=1"),
	down("known=0 always", ` known=1`, " known=0"),
	down("high= forgets", ` high=[1-9]\d*`, " high=0"),
	down("new=1 always", ` new=0`, " new=1"),
	down("the drawn origin is not told", `^(230.*) origin=\w+`, "$1"),
	down("mail= counts one too many", ` mail=([1-9])`, " mail=1$1"),
	down("the heartbeat is not cut", `^(230.*) beat=\d+`, "$1"),
	down("there is always mail", `\\nNo offline messages`, ""),
	up("an unknown mechanism is PLAIN", ` mech=X-UNKNOWN`, ""),
	up("a flag may be anything", ` acks=(2|yes)`, " acks=1"),
	up("a capability may be anything", ` caps=\S*`, ""),
	up("origin=0 is drawn", ` origin=0+( |$)`, "$1"),

	// SCRAM and tokens.
	down("the server does not prove itself", ` data=v=\S+`, ""),
	down("the server proves itself wrongly", ` data=v=..`, " data=v=AA"),
	down("a wrong proof is told by e=", `^535( left=\d)`, "535$1 data=e=invalid-proof"),
	down("the server's nonce is always the same", `^(334 data=r=\S{68})\S{24},`, "${1}AAAAAAAAAAAAAAAAAAAAAAAA,"),
	down("few iterations are asked for", `^(334.*,i=)\d+`, "${1}1024"),
	down("a handshake that was changed is a login that failed", `^501 :The handshake.*`, "535 left=2"),
	down("the token is always the same", ` token=\w+`, " token=00000000000000000000000000000000"),
	down("the token is short", ` token=\w{8}`, " token="),

	// Users.
	drop("nobody is told who comes", `^PRES.* on=1`),
	drop("nobody is told who goes", `^PRES.* on=0`),
	down("who goes comes", `^(PRES.*) on=0`, "$1 on=1"),
	up("pres=0 is not heeded", ` pres=0`, " pres=1"),
	down("the list says nothing to people", `^(111.*) :.*`, "$1"),
	down("the end of a list forgets n=", `^211 n=\d+`, "211"),
	up("after= is not heeded", ` after=\S+`, ""),
	up("names are the same in small letters", `^(SEND .*)to=(?:GOOGLE|COLUMBIA|a)( |$)`, "${1}to=google$2"),
	drop("no heartbeat", `^LIVE`),
	down("a block is told as a missing user", `^553`, "550"),
	up("blocks are not kept", `^BLOK n=1 user=`, "UBLK n=1 user="),
	down("the sentence of a block is another", `You are blocked by`, "Blocked:"),
	down("the sentence of a lockout is another", `Please try again after`, "Try again after"),

	// Consent.
	drop("nobody is asked", `^RQST`),
	repeat("an owner is asked twice", `^RQST`),
	down("GETA has another port", `^(GETA.*) port=\d+`, "$1 port=28000"),
	down("GETA says more to people than its fields", `^(GETA.*) :.*`, "$1 :call me"),
	down("a consent is prolonged", ` ttl=\d+`, " ttl=600001"),
	down("RVKD says the wrong reason", `^(RVKD.*) why=\w+`, "$1 why=expired"),
	down("RVKD has no owner", `^(RVKD.*) owner=\S+`, "$1"),
	drop("a consent ends without a word", `^RVKD`),
	repeat("a consent ends twice", `^RVKD`),

	// Keys and relayed lines.
	down("the asker's key is not told with the request", `^(RQST.*) key=\S+`, "$1"),
	down("the asker's key is not told with the answer", `^(200.*) key=\S+`, "$1"),
	down("the owner's key is not told", `^(GETA.*) key=\S+`, "$1"),
	down("other places are not told", ` cand=\S+`, ""),
	up("any place is taken", ` cand=\S*`, " cand=192.0.2.1:2000"),
	up("a proof that is none is passed over", `^(LSTN port=\d+) key=\S* sig=\S*`, "$1"),
	drop("an owner is not told of a stream", `^RLAY`),
	drop("the end of a stream is not told", `^RDAT.* end=1`),
	down("octets of a stream are changed", ` data=AAAA`, " data=AAAB"),
	down("a stream is refused as if the owner had gone", `^553 (n=\d+ :No consent)`, "551 $1"),

	// Ends.
	drop("QUIT is not answered", `^221`),
	drop("a session is replaced without a word", `^GBYE why=replaced`),
	down("GBYE says the wrong reason", `^GBYE why=\w+`, "GBYE why=shutdown"),
}, cleverServerMutants...)

// cleverServerMutants remember what was said.
var cleverServerMutants = []mutant{
	{"one 201 is lost", func(p *party) {
		n := 0
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "201") {
				if n++; n == 2 {
					return nil
				}
			}
			return []string{line}
		}
	}},
	{"a delivery is sent twice", func(p *party) {
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				return []string{line, line}
			}
			return []string{line}
		}
	}},
	{"what is delivered again has another id", func(p *party) {
		late := false
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "230") {
				late = !strings.Contains(line, " mail=0")
			}
			if late {
				line = regexp.MustCompile(` id=(\w+)\.`).ReplaceAllString(line, " id=${1}1.")
			}
			return []string{line}
		}
	}},
	{"replies change places", func(p *party) {
		held := ""
		p.down = func(line string) []string {
			if line[0] < '2' || line[0] > '5' || !strings.Contains(line, " n=") {
				return []string{line}
			}
			if held == "" && strings.HasPrefix(line, "201") {
				held = line
				return nil
			}
			lines := []string{line}
			if held != "" {
				lines = append(lines, held)
				held = ""
			}
			return lines
		}
	}},
	{"a run of replies is one short", func(p *party) {
		p.down = func(line string) []string {
			m := regexp.MustCompile(`^201 n=(\d+)-(\d+)`).FindStringSubmatch(line)
			if m == nil {
				return []string{line}
			}
			hi, _ := strconv.Atoi(m[2])
			return []string{strings.Replace(line, "-"+m[2], fmt.Sprint("-", hi-1), 1)}
		}
	}},
	{"an accepted number is refused when it comes again", again("201", "455")},
	{"a refused number is accepted when it comes again", func(p *party) { p.down = replace(`^455 (n=\d+).*`, "201 $1 how=stored") }},
	{"a refused number gets its old refusal", func(p *party) { p.down = replace(`^455 (n=\d+).*`, "550 $1 :no") }},
	{"the window is one number short", func(p *party) {
		high := 0
		p.down = func(line string) []string {
			if n := number(line); n > high && n < 1<<32 && strings.HasPrefix(line, "201") {
				high = n
			} else if n > 0 && n == high-255 && strings.HasPrefix(line, "201") {
				line = fmt.Sprintf("455 n=%d", n)
			}
			return []string{line}
		}
	}},
	{"the window is one number long", func(p *party) {
		high := 0
		p.down = func(line string) []string {
			if n := number(line); n > high && n < 1<<32 && strings.HasPrefix(line, "201") {
				high = n
			} else if n > 0 && n == high-256 && strings.HasPrefix(line, "455") {
				line = fmt.Sprintf("201 n=%d how=stored", n)
			}
			return []string{line}
		}
	}},
	{"tags are decided", func(p *party) {
		high := 0
		p.up = func(line string) []string {
			switch n := number(line); {
			case !strings.HasPrefix(line, "SEND"):
				high = max(high, n)
			case n > 0 && n < high:
				line = fmt.Sprint("SEND n=", n) // which is refused
			}
			return []string{line}
		}
	}},
	{"acknowledgements are not heeded", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "ACKD") {
				return nil
			}
			return []string{line}
		}
	}},
	{"an acknowledgement takes all that was delivered", countDeliveries(func(line string, n int) []string {
		if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil && m[1] != "0" {
			return []string{fmt.Sprintf("ACKD count=%d", n)}
		}
		return []string{line}
	})},
	{"ACKD may count what was not delivered", countDeliveries(func(line string, n int) []string {
		if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil && number(" n="+m[1]) > n {
			return nil
		}
		return []string{line}
	})},
	{"writing is delivering for everybody", func(p *party) {
		n := 0
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "ACKD") {
				return nil
			}
			return []string{line}
		}
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				n++
				go p.write(p.b, fmt.Appendf(nil, "ACKD count=%d\r\n", n))
			}
			return []string{line}
		}
	}},
	{"a lost connection ends the session", func(p *party) {
		quit := false
		p.up = func(line string) []string {
			quit = quit || strings.HasPrefix(line, "QUIT")
			return []string{line}
		}
		p.gone = func() {
			if !quit {
				p.write(p.b, []byte("QUIT\r\n"))
			}
		}
	}},
	{"a broadcast comes back to its sender", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "CAST n=1 ") && p.user != "" {
				p.write(p.a, fmt.Appendf(nil, "BCST from=%s id=1.1 t=1 :%s: x\r\n", p.user, p.user))
			}
			return []string{line}
		}
		p.down = p.learn
	}},
	{"everybody is told who comes and goes", tellAll(func(about, to *party) bool { return about.user != to.user })},
	{"users are told of themselves", tellAll(func(about, to *party) bool { return about.user == to.user })},
	{"a connection is not closed", func(p *party) { p.deaf = true }},
	{"who does not exist has no password", func(p *party) {
		p.up = func(line string) []string {
			if m := regexp.MustCompile(`^AUTH user=no(body|one)-\w+$`).FindString(line); m != "" {
				line += " pass=x"
			}
			return []string{line}
		}
	}},
	{"a text is cut at 7,000 octets", func(p *party) { p.down = cut(7000) }},
	{"names without an account have salts that change", func(p *party) {
		p.up = func(line string) []string {
			p.wants = strings.Contains(line, " user=no")
			return []string{line}
		}
		p.down = func(line string) []string {
			if p.wants && strings.HasPrefix(line, "334") {
				p.others.mu.Lock()
				defer p.others.mu.Unlock()
				p.others.n++
				line = regexp.MustCompile(`,s=..`).ReplaceAllString(line, fmt.Sprintf(",s=%02d", 10+p.others.n%80))
			}
			return []string{line}
		}
	}},
	{"boot= differs on each connection", func(p *party) {
		p.down = replace(` boot=\w+`, fmt.Sprintf(" boot=%p", p))
	}},
	{"a full mailbox refuses as if the user were unknown", func(p *party) { p.down = replace(`^452`, "550") }},
	{"a broadcast does not count whom it skipped", func(p *party) { p.down = replace(` skipped=\d+`, "") }},
	{"what follows QUIT is done first", func(p *party) {
		held := ""
		p.up = func(line string) []string {
			switch {
			case line == "QUIT":
				held = line
				return nil
			case held != "":
				held = ""
				return []string{line, "QUIT"}
			}
			return []string{line}
		}
		p.down = func(line string) []string { return []string{line} }
	}},
	{"the list has the asker in it", func(p *party) {
		p.down = func(line string) []string {
			if n := regexp.MustCompile(`^211( n=\d+)?`).FindStringSubmatch(line); n != nil && p.user != "" {
				return []string{fmt.Sprintf("111 user=%s%s :%s", p.user, n[1], p.user), line}
			}
			return p.learn(line)
		}
	}},
}

// again answers a request whose number was answered before with another code.
func again(first, then string) func(*party) {
	return func(p *party) {
		seen := map[int]bool{}
		p.down = func(line string) []string {
			if n := number(line); n > 0 && strings.HasPrefix(line, first) {
				if seen[n] {
					line = fmt.Sprintf("%s n=%d", then, n)
				}
				seen[n] = true
			}
			return []string{line}
		}
	}
}

// countDeliveries changes what goes up, knowing how many deliveries went down.
func countDeliveries(change func(line string, n int) []string) func(*party) {
	return func(p *party) {
		var n counter
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				n.add(1)
			}
			return []string{line}
		}
		p.up = func(line string) []string { return change(line, n.add(0)) }
	}
}

// tellAll sends PRES about each login to those whom it chooses.
func tellAll(choose func(about, to *party) bool) func(*party) {
	return func(p *party) {
		p.up = func(line string) []string {
			p.wants = p.wants || strings.HasPrefix(line, "HELO") && strings.Contains(line, " pres=1")
			return []string{line}
		}
		p.down = func(line string) []string {
			was := p.user
			lines := p.learn(line)
			if was == "" && p.user != "" {
				p.others.mu.Lock()
				defer p.others.mu.Unlock()
				for _, o := range p.others.parties {
					if o.user != "" && o.wants && choose(p, o) {
						go o.write(o.a, fmt.Appendf(nil, "PRES user=%s on=1 :%s logged in\r\n", p.user, p.user))
					}
				}
			}
			return lines
		}
	}
}

func TestServerMutants(t *testing.T) {
	checkMutants(t, "server_mutants.txt", serverMutants, func(t *testing.T, opts conformance.Options, spoil func(*party)) *conformance.Report {
		c := new(crowd)
		return serverReport(t, opts, func(*chatserver.Server) {}, func(nc net.Conn) net.Conn { return c.pass(nc, spoil) })
	})
}

// A server behind a party that spoils nothing passes: what finds a mutant is
// not the party.
func TestServerParty(t *testing.T) {
	for name, spoil := range map[string]func(*party){
		"octets": func(*party) {},
		"lines":  func(p *party) { p.up, p.down = replace(`^$`, ""), replace(`^$`, "") },
	} {
		c := new(crowd)
		t.Log(name)
		opts := conformance.Options{Slow: true, Strict: true}
		allPass(t, serverReport(t, opts, func(*chatserver.Server) {}, func(nc net.Conn) net.Conn { return c.pass(nc, spoil) }))
	}
}
