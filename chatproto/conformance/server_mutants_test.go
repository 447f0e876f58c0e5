package conformance_test

import (
	"net"
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

func TestServerMutants(t *testing.T) {
	checkMutants(t, "server_mutants.txt", serverMutants, func(t *testing.T, opts conformance.Options, spoil func(*party)) *conformance.Report {
		c := new(crowd)
		return serverReport(t, opts, func(*chatserver.Server) {}, func(nc net.Conn) net.Conn { return c.pass(nc, spoil) })
	})
}

// A server behind a party that spoils nothing passes: what finds a mutant is
// not the party.
func TestServerParty(t *testing.T) {
	c := new(crowd)
	allPass(t, serverReport(t, conformance.Options{Strict: true}, func(*chatserver.Server) {}, func(nc net.Conn) net.Conn {
		return c.pass(nc, func(p *party) { p.up, p.down = replace(`^$`, ""), replace(`^$`, "") })
	}))
}
