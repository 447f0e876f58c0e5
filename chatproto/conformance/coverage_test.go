package conformance

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A must is a sentence of SPEC.md with MUST in it, and the cases that look at
// it, or why no case can.
type must struct {
	section, quote string
	server, client string // names of cases, with spaces between them
	why            string
}

const (
	inside  = "it is about what a program keeps or tells inside, which nobody sees from outside: "
	network = "it is about how the connection was made, which is done before the suite has it: "
)

var musts = []must{
	{section: "3.2", quote: "A sender MUST send canonical frames", server: "frame/escapes frame/unicode reply/order", client: "text/escapes text/colon"},
	{section: "3.3", quote: "A receiver MUST take exactly the lines", server: "frame/bare-lf frame/empty-description auth/origin-zeros frame/two-spaces", client: "frame/bare-lf frame/empty-description frame/origin-zeros frame/not-one"},
	{section: "3.3", quote: "MUST NOT depend on how the stream was cut", server: "stream/octet-by-octet stream/every-cut stream/one-segment", client: "frame/octet-by-octet frame/one-segment"},
	{section: "3.3", quote: "A server MUST answer it, when its turn comes", server: "frame/empty frame/too-long stream/expected"},
	{section: "3.3", quote: "After the tenth such line", server: "stream/bad-lines-10 stream/bad-lines-9 stream/bad-lines-live stream/bad-lines-refused"},
	{section: "3.3", quote: "When 65,536 octets came without an LF", server: "stream/65536-octets stream/65535-octets"},
	{section: "3.5", quote: "MUST NOT have two accounts whose names are equal", server: "send/capitals"},
	{section: "4", quote: "A program MUST NOT act upon a description", client: "auth/no-welcome frame/empty-description"},
	{section: "4.1", quote: "A reply that is not listed MUST NOT be sent", server: "reply/lstn reply/order send/no-such-user"},
	{section: "4.2", quote: "A server MUST check every request in this order", server: "check/phase-before-n check/n-before-fields check/decided-before-fields check/unknown-verb-bad-n"},
	{section: "4.2", quote: "MUST NOT have done anything of the request then", why: inside + "a server cannot be made to fail inside; chatserver's tests have stores that do"},
	{section: "4.2", quote: "MUST carry the same `n=`", server: "reply/lstn reply/blok check/n-on-helo-and-auth check/missing-field"},
	{section: "4.2", quote: "A client MUST NOT put `n=` on HELO", client: "helo/first auth/who ackd/soon"},
	{section: "4.3", quote: "MUST forget all consents", client: "private/other-boot"},
	{section: "4.3", quote: "MUST NOT send the next step before the answer", client: "auth/one-at-a-time"},
	{section: "4.3", quote: "MUST verify the last one before it believes anything else", client: "scram/wrong-signature scram/no-signature"},
	{section: "5.1", quote: "MUST NOT send a request that its own phase does not allow", client: "helo/first auth/one-at-a-time"},
	{section: "5.2", quote: "A reply MUST answer the request at the head of the queue", server: "reply/order reply/unnumbered end/quit-in-turn"},
	{section: "5.2", quote: "A request without `n=` MUST be answered before the next", server: "reply/unnumbered"},
	{section: "5.2", quote: "the numbers `n=` of requests MUST ascend", client: "number/ascending number/window"},
	{section: "5.2", quote: "A server with 512 unanswered requests", why: inside + "what a server has read and not answered; chatserver's tests count it"},
	{section: "5.2", quote: "MUST NOT wait for the client to read", server: "in-flight/others"},
	{section: "5.3", quote: "After QUIT it MUST NOT send anything", client: "quit/acknowledges-first quit/waits-for-answers"},
	{section: "5.3", quote: "On entering Closing the server MUST", server: "end/no-reset end/nothing-after-quit"},
	{section: "6.2", quote: "A client instance MUST draw an origin", client: "auth/origin origin/same"},
	{section: "6.2", quote: "Two instances that run at the same time MUST NOT share", client: "auth/origin"},
	{section: "6.2", quote: "MUST be less than the lowest number", client: "number/window"},
	{section: "6.2", quote: "MUST put `n=` on every SEND and CAST or on none", server: "number/then-none number/none-then", client: "echo/order"},
	{section: "6.3", quote: "MUST NOT be decided again", server: "decide/accepted-again decide/other-content decide/refused-again window/remembers-256 window/forgets-257"},
	{section: "6.3", quote: "the client MUST resend every unanswered", client: "resend/unanswered resend/answered resend/twice"},
	{section: "6.3", quote: "MUST NOT send a refused request again", client: "resend/refused number/refused-is-used"},
	{section: "6.3", quote: "MUST report its outcome as unknown", why: inside + "what a client tells its application; chatclient's tests of ErrUnknown"},
	{section: "6.4", quote: "The server MUST NOT send it earlier", server: "send/acknowledged send/offline mail/waits"},
	{section: "6.5", quote: "MUST acknowledge a delivery on the connection that brought it", server: "deliver/counts-anew deliver/fence-ackd", client: "ackd/counts-from-1 receive/after-reconnect"},
	{section: "6.5", quote: "fences", server: "deliver/fence deliver/fence-ackd session/same-origin"},
	{section: "6.5", quote: "MUST NOT have more than 256 deliveries", server: "in-flight/256 in-flight/octets"},
	{section: "6.5", quote: "Steps 2 to 4 MUST be done", client: "echo/order receive/again receive/lower ackd/soon"},
	{section: "6.5", quote: "An entry MUST be kept for at least 7 days", why: "nobody waits for 7 days; chatclient's tests do, in virtual time"},
	{section: "6.6", quote: "MUST say so in each later AUTH", client: "origin/same session/another-boot"},
	{section: "6.6", quote: "MUST have stored it, with the user that it belongs to", server: "origin/known"},
	{section: "6.6", quote: "MUST NOT be registered if AUTH says `known=1`", server: "origin/forgotten"},
	{section: "6.6", quote: "now reads `known=0` MUST NOT resend", client: "origin/forgotten"},
	{section: "6.6", quote: "MUST do the same", client: "origin/high"},
	{section: "6.6", quote: "Storage that is put back from a backup", why: "it is about what an operator does; the stores' tests of backup"},
	{section: "6.6", quote: "MUST NOT give it in an AUTH", server: "origin/drawn-is-forgotten", client: "origin/drawn"},
	{section: "7.3", quote: "MUST NOT be silent for longer than B", server: "beat/timeout beat/live-keeps", client: "beat/client beat/own"},
	{section: "7.3", quote: "The server MUST send LIVE", server: "beat/server beat/person"},
	{section: "7.6", quote: "MUST NOT reconnect by itself", client: "return/replaced return/removed return/refused auth/refused helo/no-common-version helo/refused"},
	{section: "7.7", quote: "that would lead to a 230 MUST be answered", server: "dialback/replaced"},
	{section: "7.7", quote: "MUST NOT send anything before the ClientHello", server: "dialback/silent"},
	{section: "7.7", quote: "either end MUST end the handshake when it was not agreed on", server: "dialback/alpn", client: "dialback/alpn"},
	{section: "7.7", quote: "The client MUST verify the server", client: "dialback/another-server"},
	{section: "7.7", quote: "The server MUST end the handshake unless", server: "dialback/another-key"},
	{section: "7.7", quote: "it MUST NOT send a password", client: "dialback/no-password dialback/called"},
	{section: "8.3", quote: "An owner MUST take lines only from users", client: "private/asked-only private/refused-consent private/early private/wrong-key private/expired"},
	{section: "8.3", quote: "MUST close the lines of that user", client: "private/revoked private/blocked private/new-session"},
	{section: "8.3", quote: "MUST stop listening and forget all consents", client: "private/new-session private/session-goes-on"},
	{section: "8.3", quote: "it MUST send LSTN without `port=`", client: "private/forgets"},
	{section: "8.4", quote: "The dialler MUST end the handshake", client: "private/dials-another-key private/dials-out"},
	{section: "8.4", quote: "MUST draw a new origin for the line", why: inside + "what a client keeps over a restart; chatclient's tests of its state file"},
	{section: "8.4", quote: "The acceptor MUST end it", client: "private/stranger private/wrong-key private/alpn"},
	{section: "8.5", quote: "It MUST NOT connect, whatever it was given", server: "listen/bad-places", client: "private/dials-not-to-low-ports"},
	{section: "8.6", quote: "MUST NOT consent, dial or take lines until", client: "private/key-changed private/dials-not-a-changed-key"},
	{section: "8.7", quote: "MUST NOT have more than 32,768 octets on the way", server: "relay/window relay/acknowledged"},
	{section: "9.1", quote: "a server MUST refuse a client that offers others only", why: network + "chatserver's tests of TLS"},
	{section: "9.1", quote: "A client MUST verify the server before it sends AUTH", why: network + "chatclient's tests of TLS"},
	{section: "9.1", quote: "A server MUST refuse a connection from an address that is not loopback", why: network + "the suite would have to be elsewhere; chatserver's tests of limits"},
	{section: "9.1", quote: "A client MUST NOT speak cleartext", why: network + "chatclient's tests of TLS"},
	{section: "9.1", quote: "It MUST then refuse one that shows neither that key", why: network + "chatclient's tests of pins"},
	{section: "9.1", quote: "Of a refusal it MUST tell its user", why: inside + "what a client tells its user; the golden screens of chat"},
	{section: "9.1", quote: "A client MUST NOT go on in cleartext with a server", why: network + "chatclient's tests of TLS"},
	{section: "9.2", quote: "MUST equal `user=`", server: "scram/first-message", client: "scram/login"},
	{section: "9.2", quote: "A client MUST refuse iterations below 4,096", client: "scram/few-iterations scram/many-iterations"},
	{section: "9.2", quote: "It MUST give a login up whose server-final-message is missing", client: "scram/wrong-signature scram/no-signature"},
	{section: "9.2", quote: "MUST NOT use a weaker one there", why: network + "what it remembers of another connection; chatclient's tests of pins"},
	{section: "9.2", quote: "It MUST NOT use PLAIN with a server for which nothing vouches", why: network + "chatclient's tests of TLS"},
	{section: "9.2", quote: "MUST keep it out of its logs", why: inside + "what a client logs; chatclient's tests of its trace"},
	{section: "9.2", quote: "more than 16,384 octets", why: inside + "what a server keeps of a stranger; chatserver's tests measure it"},
	{section: "9.2", quote: "MUST NOT be logged", server: "auth/secret-password", why: ""},
	{section: "9.4", quote: "PROXY protocol", why: network + "chatserver's tests of PROXY headers"},
	{section: "9.5", quote: "With `hide` the server MUST behave", server: "block/hidden block/hidden-leaves block/hidden-consents block/leaks-nothing"},
}

// sentences returns those of SPEC.md that have MUST in them, with their
// sections.
func sentences(t *testing.T) [][2]string {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile(`^###? ([0-9.]+) `)
	item := regexp.MustCompile(`^\s*(-|[0-9]+\.) `)
	end := regexp.MustCompile(`[.:;] +([A-Z*` + "`" + `(])`)
	var found [][2]string
	section, code := "", false
	var words []string
	flush := func() {
		text := end.ReplaceAllString(strings.Join(words, " "), ".\n$1")
		words = nil
		for s := range strings.SplitSeq(text, "\n") {
			if strings.Contains(s, "MUST") && section != "1" {
				found = append(found, [2]string{section, s})
			}
		}
	}
	for line := range strings.Lines(string(spec)) {
		line = strings.TrimSpace(line)
		m := heading.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "```"):
			flush()
			code = !code
			continue
		case code:
			continue
		case m != nil:
			flush()
			section = m[1]
			continue
		case line == "", line[0] == '|', line[0] == '#', line[0] == '<':
			flush()
			continue
		case item.MatchString(line):
			flush()
		}
		words = append(words, line)
	}
	flush()
	return found
}

// Every sentence of SPEC.md with MUST in it has a case that looks at it, or a
// reason why none can. A new sentence wants a case, and a line in musts.
func TestEveryMustHasACase(t *testing.T) {
	names := func(cases []Case) (all []string) {
		for _, c := range cases {
			all = append(all, c.Name)
		}
		return all
	}
	server, client := names(ServerCases()), names(ClientCases())
	used := make([]bool, len(musts))
	covered := map[string]bool{}
	var open []string
	for _, s := range sentences(t) {
		var rows []*must
		for i := range musts {
			if m := &musts[i]; m.section == s[0] && strings.Contains(s[1], m.quote) {
				rows, used[i] = append(rows, m), true
			}
		}
		if len(rows) != 1 {
			t.Errorf("%d rows of musts stand for this sentence of section %s: %s", len(rows), s[0], s[1])
			continue
		}
		m := rows[0]
		covered[s[0]] = covered[s[0]] || m.server+m.client != ""
		if m.server+m.client == "" && !slices.Contains(open, s[0]) {
			open = append(open, s[0])
		}
	}
	for i, m := range musts {
		if !used[i] {
			t.Errorf("section %s has no sentence with MUST that says %q", m.section, m.quote)
		}
		if m.server+m.client == "" && m.why == "" {
			t.Errorf("%q has neither a case nor a reason", m.quote)
		}
		for _, list := range []struct {
			names string
			cases []string
		}{{m.server, server}, {m.client, client}} {
			for name := range strings.FieldsSeq(list.names) {
				if !slices.Contains(list.cases, name) {
					t.Errorf("%q names the case %s, which is none", m.quote, name)
				}
			}
		}
	}
	for _, section := range open {
		if !covered[section] {
			t.Logf("section %s has a MUST and no case", section)
		}
	}
}

// Every case has a rule and names a section that is there, and no two have one
// name.
func TestCases(t *testing.T) {
	spec, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^###? ([0-9.]+) `).FindAllStringSubmatch(string(spec), -1) {
		sections[m[1]] = true
	}
	total := 0
	for _, cases := range [][]Case{ServerCases(), ClientCases()} {
		seen := map[string]bool{}
		for _, c := range cases {
			ways := 0
			for _, has := range []bool{c.script != "", c.server != nil, c.client != nil} {
				if has {
					ways++
				}
			}
			if seen[c.Name] || c.Rule == "" || !sections[c.Section] || ways != 1 {
				t.Errorf("bad case: %s, section %s: %s", c.Name, c.Section, c.Rule)
			}
			seen[c.Name] = true
			total++
		}
	}
	if total < 150 {
		t.Errorf("%d cases", total)
	}
	t.Logf("%d cases", total)
}
