package conformance

import (
	"fmt"
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

// badLines are lines that are no frames, in Go's quotes but for {n*x}, with
// the octet of the first fault.
var badLines = []struct {
	name, line string
	at         int
	rule       string
}{
	{"empty", ``, 0, "an empty line is no frame"},
	{"space-first", ` LIVE`, 0, "a line begins with its code"},
	{"lower-case", `send to=B :hi`, 0, "a verb has capitals"},
	{"verb-of-three", `SEN to=B`, 0, "a verb has four letters"},
	{"reply-below", `099 n=1`, 0, "a reply is at least 100"},
	{"reply-above", `600 n=1`, 0, "a reply is at most 599"},
	{"reply-of-two", `20 n=1`, 0, "a reply has three digits"},
	{"no-space", `SENDto=B`, 4, "a space follows the code"},
	{"verb-of-five", `SENDS to=B`, 4, "a verb has four letters"},
	{"tab-for-space", `SEND\tto=B`, 4, "a space follows the code, not a tab"},
	{"two-spaces", `SEND  to=B`, 5, "one space stands between parts"},
	{"space-last", `SEND to=B `, 10, "nothing ends with a space"},
	{"key-capital", `SEND TO=B`, 5, "a key has small letters"},
	{"key-digit-first", `SEND 1a=B`, 5, "a key begins with a letter"},
	{"key-underscore", `SEND a_b=B`, 6, "a key has letters, digits and hyphens"},
	{"key-empty", `SEND =B`, 5, "a key is not empty"},
	{"no-equals", `SEND to`, 7, "a key is followed by ="},
	{"key-17", `SEND abcdefghijklmnopq=B`, 21, "a key has 16 octets at most"},
	{"key-twice", `SEND to=B to=C`, 10, "no key stands twice"},
	{"fields-17", `SEND a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 m=1 n=1 o=1 p=1 q=1`, 69, "a frame has 16 fields at most"},
	{"escape-unknown", `SEND to=B :C:\\dir`, 13, "no other escape is taken"},
	{"escape-last", `SEND to=B :ab\\`, 13, "a backslash is not the last octet"},
	{"escape-space-in-text", `SEND to=B :a\\sb`, 12, "a space is not escaped in a description"},
	{"escape-unknown-in-value", `SEND to=a\\rb`, 9, "no other escape is taken in a value"},
	{"raw-tab", `SEND to=B :a\tb`, 12, "no control character is taken"},
	{"raw-cr", `SEND to=B :a\rb`, 12, "a carriage return stands only before the line feed"},
	{"raw-nul", `SEND to=B :a\x00b`, 12, "no NUL is taken"},
	{"raw-escape", `SEND to=B :a\x1b[2J`, 12, "no terminal escape is taken"},
	{"raw-del", `SEND to=B :a\x7fb`, 12, "no DEL is taken"},
	{"raw-c1", `SEND to=B :a\u009bb`, 12, "no C1 control is taken"},
	{"control-in-value", `SEND to=B\x07`, 9, "no control character is taken in a value"},
	{"line-separator", `SEND to=B :a\u2028b`, 12, "no line separator is taken"},
	{"paragraph-separator", `SEND to=B :a\u2029b`, 12, "no paragraph separator is taken"},
	{"bidi-override", `SEND to=B :a\u202eb`, 12, "no bidirectional override is taken"},
	{"bidi-isolate", `SEND to=B :a\u2066b`, 12, "no bidirectional isolate is taken"},
	{"bidi-mark", `SEND to=B :a\u200fb`, 12, "no bidirectional mark is taken"},
	{"arabic-mark", `SEND to=B :a\u061cb`, 12, "no Arabic letter mark is taken"},
	{"utf8-bad", `SEND to=B :a\xffb`, 12, "UTF-8 is well-formed"},
	{"utf8-overlong", `SEND to=B :a\xc0\xafb`, 12, "UTF-8 is not overlong"},
	{"utf8-surrogate", `SEND to=B :a\xed\xa0\x80b`, 12, "UTF-8 has no surrogates"},
	{"utf8-cut", `SEND to=B :a\xe2\x82`, 12, "UTF-8 is whole"},
	{"utf8-in-value", `SEND to=a\xffb`, 9, "UTF-8 is well-formed in a value"},
	{"too-long", `CAST fill={8182*x}`, 8192, "a line has 8,192 octets at most"},
	{"too-long-by-far", `CAST fill={60000*x}`, 8192, "a line has 8,192 octets at most"},
}

func badLineCases() []Case {
	var cases []Case
	for _, b := range badLines {
		cases = append(cases, Case{Name: "frame/" + b.name, Section: "3.3",
			Rule:   fmt.Sprintf("%s: the line is answered 500 at=%d, and the connection goes on", b.rule, b.at),
			script: fmt.Sprintf("A login\nA raw \"%s\\r\\n\"\nA< 500 at=%d !n\nA sync", b.line, b.at)})
	}
	return cases
}

// goodLineCases are lines that a receiver has to take.
var goodLineCases = []Case{
	{Name: "frame/bare-lf", Section: "3.3", Rule: "a bare LF ends a line", script: `
		A login
		B login
		A raw "SEND n=1 to={B} :one\nSEND n=2 to={B} :two\r\n"
		B< MESG :{A}: one
		B< MESG :{A}: two
		A< 201 n=1
		A< 201 n=2`},
	{Name: "frame/lf-counts-two", Section: "3.3", Rule: "a bare LF counts as two octets towards the limit of a line", script: `
		A login
		A raw "RVKE user={nobody} fill={8152*x}\n"
		A< 500 at=8192
		A raw "RVKE user={nobody} fill={8151*x}\n"
		A< 200`},
	{Name: "frame/longest", Section: "3.1", Rule: "a line of 8,192 octets, its end included, is taken", script: `
		A login
		A raw "RVKE user={nobody} fill={8151*x}\r\n"
		A< 200
		A raw "RVKE user={nobody} fill={8152*x}\r\n"
		A< 500 at=8192`},
	{Name: "frame/empty-description", Section: "3.3", Rule: "' :' at the end of a line is an empty description", script: `
		A login
		B login
		A> SEND n=1 to={B} :
		B< MESG :{A}:
		A< 201 n=1`},
	{Name: "frame/fields-16", Section: "3.1", Rule: "16 fields are taken", script: `
		A login
		A> RVKE user={nobody} a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 m=1 o=1 p=1
		A< 200`},
	{Name: "frame/key-16", Section: "3.1", Rule: "a key of 16 octets is taken", script: `
		A login
		A> RVKE user={nobody} abcdefghijklmn-1=x
		A< 200`},
	{Name: "frame/empty-value", Section: "3.1", Rule: "a value may be empty", script: `
		A login
		A> RVKE x= user={nobody} y=
		A< 200`},
	{Name: "frame/field-order", Section: "3.1", Rule: "the order of fields has no meaning", script: `
		A login
		B login
		A> SEND to={B} n=1 :hi
		B< MESG :{A}: hi
		A< 201 n=1`},
	{Name: "frame/escapes", Section: "3.2", Rule: "line feed, tab and backslash reach the recipient as they were sent", script: `
		A login
		B login
		A> SEND n=1 to={B} :two\nlines,\ta tab, a \\, C:\\new\\table
		B< MESG :{A}: two\nlines,\ta tab, a \\, C:\\new\\table
		A< 201 n=1`},
	{Name: "frame/unicode", Section: "3.1", Rule: "printable characters beyond ASCII reach the recipient as they were sent", script: `
		A login
		B login
		A raw "SEND n=1 to={B} :\u00a0\u00e9\u4e2d\ud7ff\ue000\uffff\U0001f600\U0010ffff\u200b\u200d\ufeff\r\n"
		B< MESG :~: ` + "\u00a0\u00e9\u4e2d\ud7ff\ue000\uffff\U0001f600\U0010ffff\u200b\u200d\ufeff" + `
		A< 201 n=1`},
	{Name: "frame/escape-in-value", Section: "3.2", Rule: "escapes in values are taken: a name with a space in it is the name of nobody", script: `
		A login
		A> SEND n=1 to=a\sb\nc\td\\e :hi
		A< 550 n=1 :a b\nc\td\\e is not a valid user.`},
}

// streamCases are about what stands between the lines.
var streamCases = []Case{
	{Name: "stream/octet-by-octet", Section: "3.3", Rule: "frames do not depend on how the stream is cut", server: func(s *serverCase) {
		a := s.login("A")
		for _, c := range []byte("RVKE n=1 user=" + s.vars["nobody"] + "\r\nSEND  n=2\r\nRVKE n=3 user=x\r\n") {
			a.raw([]byte{c})
		}
		a.want("200 n=1")
		a.want("500 at=5")
		a.want("200 n=3")
	}},
	{Name: "stream/every-cut", Section: "3.3", Rule: "frames do not depend on where the stream is cut", server: func(s *serverCase) {
		a := s.login("A")
		lines := "RVKE n=1 user=\u00e9\r\nbad\r\nRVKE n=3 user=b\r\n"
		for i := range len(lines) {
			a.raw([]byte(lines[:i]))
			s.sleep(s.opts.Quiet / 50)
			a.raw([]byte(lines[i:]))
			a.want("200 n=1")
			a.want("500 at=0")
			a.want("200 n=3")
		}
	}},
	{Name: "stream/one-segment", Section: "3.3", Rule: "a segment may hold many lines", script: `
		A login
		A raw "{100*RVKE user=x\r\n}"
		A drain 100`},
	{Name: "stream/rest", Section: "3.3", Rule: "what follows the last end of line at the end of input is no line", script: `
		A login
		B login
		A raw "SEND n=1 to={B} :whole\r\nSEND n=2 to={B} :cut"
		A half
		B< MESG :{A}: whole
		A< 201 n=1
		A end
		B quiet`},
	{Name: "stream/bad-lines-10", Section: "3.3", Rule: "the tenth bad line in a row is answered 500, then GBYE why=protocol, and the connection closes", script: `
		A login
		A raw "{10*x\r\n}"
		A drain 10
		A< GBYE why=protocol
		A end`},
	{Name: "stream/bad-lines-9", Section: "3.3", Rule: "a request that is allowed and answered ends a row of bad lines", script: `
		A login
		A raw "{9*x\r\n}RVKE user=x\r\n{9*x\r\n}"
		A drain 19
		A sync`},
	{Name: "stream/bad-lines-live", Section: "3.3", Rule: "LIVE, which is not answered, does not end a row of bad lines", script: `
		A login
		A raw "{9*x\r\n}LIVE\r\nx\r\n"
		A drain 10
		A< GBYE why=protocol
		A end`},
	{Name: "stream/bad-lines-refused", Section: "3.3", Rule: "a request that the phase does not allow does not end a row of bad lines", script: `
		A login
		A raw "{9*x\r\n}AUTH user=x\r\nx\r\n"
		A drain 11
		A< GBYE why=protocol
		A end`},
	{Name: "stream/65535-octets", Section: "3.3", Rule: "65,535 octets and a LF are a bad line, and the connection goes on", server: func(s *serverCase) {
		a := s.login("A")
		a.raw([]byte(strings.Repeat("x", chatproto.V1.Limits.LineSkip-1) + "\n"))
		a.want("500 at=8192")
		a.sync()
	}},
	{Name: "stream/65536-octets", Section: "3.3", Rule: "65,536 octets without a LF are answered with GBYE why=protocol, without a 500", server: func(s *serverCase) {
		a := s.login("A")
		a.raw([]byte(strings.Repeat("x", chatproto.V1.Limits.LineSkip)))
		a.want("GBYE why=protocol")
		a.ended(s.opts.Patience)
	}},
	{Name: "stream/bad-line-opened", Section: "3.3", Rule: "in Opened a bad line is answered 500 and closes", script: `
		X open
		X> POST /login HTTP/1.1
		X< 500 at=5
		X end`},
	{Name: "stream/bad-line-greeted", Section: "3.3", Rule: "in Greeted a bad line is answered 500, and the login can go on", script: `
		X helo
		X> what
		X< 500 at=0
		X> AUTH user={nobody}
		X< 331`},
	{Name: "stream/expected", Section: "3.3", Rule: "the description of a 500 says what was expected", Should: true, script: `
		A login
		A> SEND to
		A< 500 at=7 :~expected`},
}
