package conformance_test

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/conformance"
)

// clientMutants are clients that break one rule each: what they send is
// changed on its way up, what they are told on its way down.
var clientMutants = append([]mutant{
	// Frames.
	up("a description is empty and there", `^(LIVE|QUIT.*)$`, "$1 :"),
	up("a text is not escaped", `\\n`, `\x`),
	up("a needless escape", ` to=peer`, ` to=\speer`),
	down("a line that ends in a bare LF is lost", `^(MESG.*) t=1 (:peer: one)$`, "LIVE"),
	down("an empty text is no message", `^MESG.* :peer:$`, "LIVE"),
	down("the sender is cut at the first colon", `^(MESG from=pe):er(.*) :pe:er:`, "$1$2 :pe: er:"),
	down("spaces at the ends of a text are lost", `:   a  $`, ": a"),

	// Opening.
	up("version 1 is not offered", `^HELO v=1`, "HELO v=2"),
	up("HELO carries a number", `^HELO`, "HELO n=1"),
	up("AUTH carries a number", `^AUTH`, "AUTH n=2"),
	up("the user has another name", `^(AUTH.*) user=\w+`, "$1 user=root"),
	up("the password is cut", ` pass=(\S{3})\S+`, " pass=$1"),
	up("the origin is short", ` origin=\w{12}(\w+)`, " origin=1$1"),
	up("that the origin had a 230 is not said", ` known=1`, ""),

	up("the hash in the nonce is of something else", `^(AUTH mech=SCRAM.*,r=\S{24}).{4}`, "${1}AAAA"),
	up("the nonce is always the same", `^(AUTH mech=SCRAM.*,r=)\S{24}`, "${1}AAAAAAAAAAAAAAAAAAAAAAAA"),
	up("the flag is y", ` data=n,,`, " data=y,,"),
	up("the proof is another", `,p=..`, ",p=AA"),
	down("too few iterations are taken", `,i=4095$`, ",i=4096"),
	down("too many iterations are taken", `,i=600001$`, ",i=4096"),
	down("PLAIN is taken where SCRAM is listed", ` mech=SCRAM-SHA-256,PLAIN`, " mech=PLAIN"),
	up("the password goes with SCRAM", `^AUTH mech=SCRAM`, "AUTH pass=secret mech=SCRAM"),

	// Messages.
	up("an echo has another text", `^(SEND.*) :hello!`, "$1 :hello?"),
	{"a long text is cut", func(p *party) { p.up = cut(7000) }},
	up("messages have no numbers but the first", `^SEND n=[2-9]\d*`, "SEND"),
	up("ACKD has no count", `^ACKD.*`, "ACKD"),
	up("ACKD counts from 0", `^ACKD count=1$`, "ACKD count=0"),
	up("ACKD is not agreed on", `^(HELO.*) acks=1`, "$1 acks=0"),
	down("deliveries are never taken for old", ` id=(\w+)\.1 t=1 `, " id=${1}9.9 t=1 "),
	down("origins of a sender are one", ` id=(c\w{8})a\.`, " id=$1."),
	down("senders with one origin are one", `^MESG from=other (\S+).*`, "MESG from=peer $1 t=1 :peer: one"),
	down("how=delivered is no answer", `^201.* how=delivered.*`, "LIVE"),
	down("only the last of a run is answered", `^201 n=\d+-(\d+)`, "201 n=$1"),
	down("an unknown 2xx is no answer", `^299.*`, "LIVE"),
	down("an unknown 1xx finishes a request", `^199( n=\d+)?`, "201$1"),

	// Sessions.
	down("a heartbeat that is asked for is not heeded", ` beat=\d+`, ""),
	down("a replaced client comes back", `^GBYE why=replaced`, "GBYE why=shutdown"),
	down("a removed client comes back", `^GBYE why=removed :Your`, "GBYE why=shutdown :Your"),
	down("a refused client comes back", `^535 :Your`, "421 :Your"),
	down("no common version is tried again", `^505 :No`, "421 :No"),
	down("retry= is not heeded", ` retry=\d+`, ""),
	down("high= is not looked at", ` high=1000000`, " high=1"),
	down("known=0 is not looked at", `^(230.*) known=0 (high=0 mail=0) origin=\w+`, "$1 known=1 $2"),
	down("more= is not heeded", ` more=\w+`, ""),
	down("an unknown mechanism is used all the same", ` mech=X-UNKNOWN boot`, " mech=PLAIN boot"),
	down("another version is taken", `^220 v=60000`, "220 v=1"),
}, cleverClientMutants...)

// swallow does not pass lines on that match, down or up.
func swallow(re string) func(string) []string {
	x := regexp.MustCompile(re)
	return func(line string) []string {
		if x.MatchString(line) {
			return nil
		}
		return []string{line}
	}
}

// cleverClientMutants remember what was said, or say more than is right.
var cleverClientMutants = []mutant{
	{"lines end in a bare LF", func(p *party) { p.bareUp, p.up = true, replace(`^$`, "") }},
	{"LIVE is answered", func(p *party) {
		p.down = func(line string) []string {
			if line == "LIVE" {
				go p.write(p.b, []byte("QUIT\r\n"))
			}
			return []string{line}
		}
	}},
	{"HELO is said twice", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "HELO") {
				return []string{line, line}
			}
			return []string{line}
		}
	}},
	{"a request follows AUTH at once", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "AUTH") {
				return []string{line, "ONLN"}
			}
			return []string{line}
		}
	}},
	{"an echo is sent twice", func(p *party) {
		p.up = func(line string) []string {
			if n := number(line); strings.HasPrefix(line, "SEND") && n > 0 {
				return []string{line, strings.Replace(line, fmt.Sprint("n=", n), fmt.Sprint("n=", n+1), 1)}
			}
			return []string{line}
		}
	}},
	{"a broadcast is echoed", func(p *party) {
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "BCST") {
				line = "MESG" + line[4:]
			}
			return []string{line}
		}
	}},
	{"nothing is acknowledged", func(p *party) { p.up = swallow(`^ACKD`) }},
	{"every delivery is acknowledged as one more", func(p *party) {
		p.up = func(line string) []string {
			if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[1])
				line = fmt.Sprint("ACKD count=", n+1)
			}
			return []string{line}
		}
	}},
	{"deliveries are counted over all connections", func(p *party) {
		p.others.mu.Lock()
		before := 30 * len(p.others.parties)
		p.others.mu.Unlock()
		p.up = func(line string) []string {
			if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil && before > 0 {
				n, _ := strconv.Atoi(m[1])
				line = fmt.Sprint("ACKD count=", n+before)
			}
			return []string{line}
		}
	}},
	{"unknown events with an id are not counted", func(p *party) { p.down = swallow(`^ROOM.* id=`) }},
	{"an unknown event ends the connection", func(p *party) {
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "ROOM") {
				line = "999"
			}
			return []string{line}
		}
	}},
	{"an unknown field ends the connection", func(p *party) {
		p.down = func(line string) []string {
			if strings.Contains(line, " x-") {
				line = "999"
			}
			return []string{line}
		}
	}},
	{"what is unanswered is not sent again", resent(func(n int) string { return "" })},
	{"what is unanswered is sent again under a new number", resent(func(n int) string { return fmt.Sprint(" n=", n+1000) })},
	{"what is sent again is changed", func(p *party) {
		resent(func(n int) string { return fmt.Sprint(" n=", n) })(p)
		f := p.up
		p.up = func(line string) []string {
			lines := f(line)
			if p.wants && strings.HasPrefix(line, "SEND") && len(lines) == 1 {
				lines[0] += " again"
			}
			return lines
		}
	}},
	{"numbers begin anew on each connection", func(p *party) {
		first := 0
		p.up = func(line string) []string {
			if n := number(line); n > 0 {
				if first == 0 {
					first = n
				}
				line = strings.Replace(line, fmt.Sprint(" n=", n), fmt.Sprint(" n=", n-first+1), 1)
			}
			return []string{line}
		}
	}},
	{"each connection has another origin", func(p *party) {
		p.others.mu.Lock()
		k := len(p.others.parties)
		p.others.mu.Unlock()
		p.up = func(line string) []string {
			return replace(` origin=\w(\w{12})\w*`, fmt.Sprintf(" origin=${1}%x", k%16))(line)
		}
	}},
	{"no heartbeat", func(p *party) { p.up = swallow(`^LIVE`) }},
	{"QUIT before the last acknowledgement", func(p *party) {
		held := []string{}
		p.up = func(line string) []string {
			switch {
			case strings.HasPrefix(line, "ACKD"):
				held = append(held, line)
				return nil
			case strings.HasPrefix(line, "QUIT"):
				return append([]string{line}, held...)
			}
			return []string{line}
		}
	}},
	{"the connection is not closed after GBYE", func(p *party) { p.down = swallow(`^GBYE|^421`) }},
	{"a consent is given by itself", func(p *party) {
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "RQST user=ann") {
				go p.write(p.b, []byte("CNST user=ann\r\n"))
			}
			return []string{line}
		}
	}},
	{"257 messages are unanswered", func(p *party) {
		p.up = func(line string) []string {
			if n := number(line); n == 257 && strings.HasPrefix(line, "SEND") {
				line = strings.Replace(line, "n=257", "n=258", 1)
			}
			return []string{line}
		}
	}},
}

// resent changes the numbers of messages on a connection that is not the first
// of its origin.
func resent(change func(n int) string) func(*party) {
	return func(p *party) {
		p.up = func(line string) []string {
			p.wants = p.wants || strings.HasPrefix(line, "AUTH") && strings.Contains(line, " known=1")
			n := number(line)
			if !p.wants || n == 0 || !strings.HasPrefix(line, "SEND") {
				return []string{line}
			}
			with := change(n)
			if with == "" {
				return nil
			}
			return []string{strings.Replace(line, fmt.Sprint(" n=", n), with, 1)}
		}
	}
}

func TestClientMutants(t *testing.T) {
	checkMutants(t, "client_mutants.txt", clientMutants, func(t *testing.T, opts conformance.Options, spoil func(*party)) *conformance.Report {
		c := new(crowd)
		return clientReport(t, opts, func(*chatclient.Config) {}, func(nc net.Conn) net.Conn { return c.pass(nc, spoil) })
	})
}

// A client behind a party that spoils nothing passes.
func TestClientParty(t *testing.T) {
	c := new(crowd)
	allPass(t, clientReport(t, conformance.Options{Slow: true, Strict: true}, func(*chatclient.Config) {}, func(nc net.Conn) net.Conn {
		return c.pass(nc, func(p *party) { p.up, p.down = replace(`^$`, ""), replace(`^$`, "") })
	}))
}
