package chatproto

import (
	"encoding/binary"
	"strings"
)

// A Code is the first word of a frame: a verb of four capital letters or a
// reply of three digits, packed big-endian into one word so that comparing
// and looking it up is integer work. The zero Code is no code.
type Code uint32

// Verbs: requests, which a client sends, and events, which nobody asked for
// (SPEC section 4).
const (
	HELO Code = 'H'<<24 | 'E'<<16 | 'L'<<8 | 'O' // versions and capabilities
	AUTH Code = 'A'<<24 | 'U'<<16 | 'T'<<8 | 'H' // one step of a login
	QUIT Code = 'Q'<<24 | 'U'<<16 | 'I'<<8 | 'T' // end the session
	LIVE Code = 'L'<<24 | 'I'<<16 | 'V'<<8 | 'E' // heartbeat, both ways
	LSTN Code = 'L'<<24 | 'S'<<16 | 'T'<<8 | 'N' // where this client listens for peers
	SEND Code = 'S'<<24 | 'E'<<16 | 'N'<<8 | 'D' // a message to one user
	CAST Code = 'C'<<24 | 'A'<<16 | 'S'<<8 | 'T' // a message to everybody online
	ONLN Code = 'O'<<24 | 'N'<<16 | 'L'<<8 | 'N' // who is online
	BLOK Code = 'B'<<24 | 'L'<<16 | 'O'<<8 | 'K' // block a user
	UBLK Code = 'U'<<24 | 'B'<<16 | 'L'<<8 | 'K' // unblock a user
	ADDR Code = 'A'<<24 | 'D'<<16 | 'D'<<8 | 'R' // ask for a user's address
	CNST Code = 'C'<<24 | 'N'<<16 | 'S'<<8 | 'T' // consent to a user who asked
	RVKE Code = 'R'<<24 | 'V'<<16 | 'K'<<8 | 'E' // take consent back
	RLAY Code = 'R'<<24 | 'L'<<16 | 'A'<<8 | 'Y' // opens a private line that the server carries
	RDAT Code = 'R'<<24 | 'D'<<16 | 'A'<<8 | 'T' // what such a line carries
	ACKD Code = 'A'<<24 | 'C'<<16 | 'K'<<8 | 'D' // deliveries taken so far
	MESG Code = 'M'<<24 | 'E'<<16 | 'S'<<8 | 'G' // a message from one user
	BCST Code = 'B'<<24 | 'C'<<16 | 'S'<<8 | 'T' // a broadcast
	PRES Code = 'P'<<24 | 'R'<<16 | 'E'<<8 | 'S' // a user came or went
	RQST Code = 'R'<<24 | 'Q'<<16 | 'S'<<8 | 'T' // somebody asks for your address
	GETA Code = 'G'<<24 | 'E'<<16 | 'T'<<8 | 'A' // the address of somebody who consented
	RVKD Code = 'R'<<24 | 'V'<<16 | 'K'<<8 | 'D' // a consent ended
	GBYE Code = 'G'<<24 | 'B'<<16 | 'Y'<<8 | 'E' // the server ends the connection
	PEER Code = 'P'<<24 | 'E'<<16 | 'E'<<8 | 'R' // opens a private line to another client
)

// Replies (SPEC section 4). The hundreds are the class.
const (
	ReplyEntry          Code = '1'<<16 | '1'<<8 | '1'
	ReplyOK             Code = '2'<<16 | '0'<<8 | '0'
	ReplyAccepted       Code = '2'<<16 | '0'<<8 | '1'
	ReplyAsked          Code = '2'<<16 | '0'<<8 | '2'
	ReplyEnd            Code = '2'<<16 | '1'<<8 | '1'
	ReplyGreeting       Code = '2'<<16 | '2'<<8 | '0'
	ReplyBye            Code = '2'<<16 | '2'<<8 | '1'
	ReplyWelcome        Code = '2'<<16 | '3'<<8 | '0'
	ReplyPassword       Code = '3'<<16 | '3'<<8 | '1'
	ReplyChallenge      Code = '3'<<16 | '3'<<8 | '4'
	ReplyUnavailable    Code = '4'<<16 | '2'<<8 | '1'
	ReplySlowDown       Code = '4'<<16 | '2'<<8 | '9'
	ReplyLockedOut      Code = '4'<<16 | '5'<<8 | '0'
	ReplyInternal       Code = '4'<<16 | '5'<<8 | '1'
	ReplyMailboxFull    Code = '4'<<16 | '5'<<8 | '2'
	ReplyRefusedEarlier Code = '4'<<16 | '5'<<8 | '5'
	ReplyBadFrame       Code = '5'<<16 | '0'<<8 | '0'
	ReplyBadField       Code = '5'<<16 | '0'<<8 | '1'
	ReplyBadPhase       Code = '5'<<16 | '0'<<8 | '3'
	ReplyNoVersion      Code = '5'<<16 | '0'<<8 | '5'
	ReplyNotLoggedIn    Code = '5'<<16 | '3'<<8 | '0'
	ReplyDenied         Code = '5'<<16 | '3'<<8 | '5'
	ReplyNoSuchUser     Code = '5'<<16 | '5'<<8 | '0'
	ReplyNotOnline      Code = '5'<<16 | '5'<<8 | '1'
	ReplyTooLong        Code = '5'<<16 | '5'<<8 | '2'
	ReplyBlocked        Code = '5'<<16 | '5'<<8 | '3'
	ReplyNotAsked       Code = '5'<<16 | '5'<<8 | '4'
)

// A Kind says what a code is for.
type Kind uint8

// The kinds of codes. LIVE and MESG are both a request and an event: who
// sends them decides.
const (
	KindRequest Kind = 1 << iota // sent by a client (or the dialler of a private line)
	KindEvent                    // sent by a server, answers nothing
	KindReply                    // answers a request
)

// A CodeInfo is one row of a version's code table.
type CodeInfo struct {
	Code     Code
	Kind     Kind
	Meaning  string // one line, for SPEC.md
	Sentence string // the default DESCRIPTION; {user} stands for the user that the request names
}

// codesV1 is the code table of version 1: the one place that says what a
// code is, and what it tells a person when nothing more special is known.
var codesV1 = []CodeInfo{
	{HELO, KindRequest, "offers versions and capabilities", ""},
	{AUTH, KindRequest, "one step of a login", ""},
	{QUIT, KindRequest, "ends the session", ""},
	{LIVE, KindRequest | KindEvent, "heartbeat, never answered", ""},
	{LSTN, KindRequest, "where the client listens for private lines", ""},
	{SEND, KindRequest, "a message to one user", ""},
	{CAST, KindRequest, "a message to everybody online", ""},
	{ONLN, KindRequest, "asks who is online", ""},
	{BLOK, KindRequest, "blocks a user", ""},
	{UBLK, KindRequest, "unblocks a user", ""},
	{ADDR, KindRequest, "asks for a user's address", ""},
	{CNST, KindRequest, "consents to a user who asked", ""},
	{RVKE, KindRequest, "takes a consent back", ""},
	{RLAY, KindRequest | KindEvent, "opens a private line through the server", ""},
	{RDAT, KindRequest | KindEvent, "octets of such a line, never answered", ""},
	{ACKD, KindRequest, "acknowledges deliveries, never answered", ""},
	{PEER, KindRequest, "opens a private line", ""},
	{MESG, KindRequest | KindEvent, "a message from one user", ""},
	{BCST, KindEvent, "a broadcast", ""},
	{PRES, KindEvent, "a user came or went", ""},
	{RQST, KindEvent, "somebody asks for your address", "{user} is requesting a private chat. To share your IP and port with them, reply saying 'consent {user}'"},
	{GETA, KindEvent, "the address of somebody who consented", ""},
	{RVKD, KindEvent, "a consent ended", ""},
	{GBYE, KindEvent, "the server ends the connection", "Goodbye"},

	{ReplyEntry, KindReply, "one entry of a list, more follows", ""},
	{ReplyOK, KindReply, "done", ""},
	{ReplyAccepted, KindReply, "accepted: stored or delivered", ""},
	{ReplyAsked, KindReply, "asked; an event brings the answer", ""},
	{ReplyEnd, KindReply, "end of a list", ""},
	{ReplyGreeting, KindReply, "greeting: the version and what is offered", ""},
	{ReplyBye, KindReply, "goodbye, answers QUIT", ""},
	{ReplyWelcome, KindReply, "logged in", "Welcome to simple chat server!\nOffline Messages:"},
	{ReplyPassword, KindReply, "send the password", "Password:"},
	{ReplyChallenge, KindReply, "go on with the login", ""},
	{ReplyUnavailable, KindReply, "the server ends the connection; try later", "Service not available"},
	{ReplySlowDown, KindReply, "too many requests", "Too many requests. Please slow down"},
	{ReplyLockedOut, KindReply, "locked out after failed logins", "Due to multiple login failures, your account has been blocked. Please try again after {seconds} seconds."},
	{ReplyInternal, KindReply, "an error inside the server", "Internal server error. Please try again later"},
	{ReplyMailboxFull, KindReply, "the recipient's mailbox is full", "The mailbox of {user} is full. Please try again later"},
	{ReplyRefusedEarlier, KindReply, "refused when it was first sent", "Refused earlier"},
	{ReplyBadFrame, KindReply, "not a frame, or an unknown verb", "Not a valid command"},
	{ReplyBadField, KindReply, "a missing or bad field", "A field is missing or wrong"},
	{ReplyBadPhase, KindReply, "not in this phase", "Not allowed now"},
	{ReplyNoVersion, KindReply, "no common version", "No common protocol version"},
	{ReplyNotLoggedIn, KindReply, "log in first", "Please log in first"},
	{ReplyDenied, KindReply, "login refused", "Invalid Password. Please try again"},
	{ReplyNoSuchUser, KindReply, "no such user", "{user} is not a valid user."},
	{ReplyNotOnline, KindReply, "the user is not online", "{user} is not online."},
	{ReplyTooLong, KindReply, "the text is too long", "The message is too long"},
	{ReplyBlocked, KindReply, "the user has blocked you", "You are blocked by {user}"},
	{ReplyNotAsked, KindReply, "that user has not asked", "{user} has not requested a P2P chat with you. Use the getaddress command to start one"},
}

// special are the sentences that a code has for one verb only.
var special = []struct {
	Verb, Code Code
	Sentence   string
}{
	{ADDR, ReplyBlocked, "Blocked by {user}"},
	{ADDR, ReplyBadField, "Invalid request"},
	{CNST, ReplyBlocked, "Blocked by {user}"},
	{RLAY, ReplyBlocked, "No consent to a private chat"},
	{BLOK, ReplyOK, "User {user} has been blocked"},
	{UBLK, ReplyOK, "User {user} is unblocked"},
}

// The remaining sentences of the protocol, which belong to no single code.
const (
	SentenceNoMail    = "No offline messages"
	SentenceLoggedIn  = "{user} logged in"
	SentenceLoggedOut = "{user} logged out"
)

// Sentence returns the DESCRIPTION that a server gives code in answer to
// verb, or with an event code where verb is 0. {user} and {seconds} in it are
// the caller's to fill in, see [Fill].
func (v *Version) Sentence(verb, code Code) string {
	for i := range special {
		if special[i].Verb == verb && special[i].Code == code {
			return special[i].Sentence
		}
	}
	if i := v.info(code); i != nil {
		return i.Sentence
	}
	return ""
}

// Fill puts a value into a sentence: Fill(s, "user", "B").
func Fill(sentence, name, value string) string {
	return strings.ReplaceAll(sentence, "{"+name+"}", value)
}

// ParseCode reads a verb or a reply. It reports false if s is neither.
func ParseCode(s string) (Code, bool) {
	c, n := parseCode(s)
	return c, n == len(s) && n > 0
}

// parseCode reads the code at the start of s and returns its length, 0 if
// there is none.
func parseCode(s string) (Code, int) {
	if len(s) >= 4 && upper(s[0]) && upper(s[1]) && upper(s[2]) && upper(s[3]) {
		return Code(s[0])<<24 | Code(s[1])<<16 | Code(s[2])<<8 | Code(s[3]), 4
	}
	if len(s) >= 3 && '1' <= s[0] && s[0] <= '5' && digit(s[1]) && digit(s[2]) {
		return Code(s[0])<<16 | Code(s[1])<<8 | Code(s[2]), 3
	}
	return 0, 0
}

// begin appends c, and says if it is not what a line may begin with.
func (c Code) begin(b []byte) ([]byte, error) {
	b0, b1, b2, b3 := byte(c>>24), byte(c>>16), byte(c>>8), byte(c)
	if upper(b0) && upper(b1) && upper(b2) && upper(b3) {
		return append(b, b0, b1, b2, b3), nil
	}
	if b0 == 0 && '1' <= b1 && b1 <= '5' && digit(b2) && digit(b3) {
		return append(b, b1, b2, b3), nil
	}
	return b, badLine(0, ErrCode)
}

func upper(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }

// IsReply reports whether c is a reply, of three digits.
func (c Code) IsReply() bool { return c != 0 && c < 1<<24 }

// IsVerb reports whether c is a verb, of four letters.
func (c Code) IsVerb() bool { return c >= 1<<24 }

// Class is a reply's first digit: 1 more follows, 2 done, 3 go on, 4 not now,
// 5 no. It is 0 for a verb.
func (c Code) Class() int {
	if !c.IsReply() {
		return 0
	}
	return int(c>>16) - '0'
}

// String returns the code as it stands on the wire, "none" for the zero Code.
func (c Code) String() string {
	if c == 0 {
		return "none"
	}
	return string(c.append(nil))
}

func (c Code) append(b []byte) []byte {
	if c.IsVerb() {
		return binary.BigEndian.AppendUint32(b, uint32(c))
	}
	return append(b, byte(c>>16), byte(c>>8), byte(c))
}
