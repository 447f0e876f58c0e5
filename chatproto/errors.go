package chatproto

import (
	"errors"
	"strconv"
)

// An Error is what one end tells the other, or a caller, about something that
// did not go well: a code for the machine and a sentence for the person.
//
// Two Errors match under [errors.Is] when their Codes are equal, whatever
// else they say: errors.Is(err, chatproto.ErrBlocked). The cause of an error
// that the parser found is one of the Err... sentinels below and matches as
// well.
type Error struct {
	Code Code   // the reply that tells the other end
	Text string // the sentence for a person; "" means the code's own
	At   int    // octet of the line where a parse failed, from 0; -1 or 0 if none
	Err  error  // the cause; stays on this side of the wire
}

// Error returns the sentence, the code and where it applies.
func (e *Error) Error() string {
	s := e.Text
	if s == "" {
		s = V1.Sentence(0, e.Code)
	}
	if e.Err != nil {
		if s != "" {
			s += ": "
		}
		s += e.Err.Error()
		if isSyntax(e.Err) {
			s += " at octet " + strconv.Itoa(e.At)
		}
	}
	return e.Code.String() + " " + s
}

// Is reports whether target is an *Error with the same Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors to compare with, one for each refusal that a program may want to
// tell apart.
var (
	ErrLockedOut      = &Error{Code: ReplyLockedOut}
	ErrInternal       = &Error{Code: ReplyInternal}
	ErrMailboxFull    = &Error{Code: ReplyMailboxFull}
	ErrRefusedEarlier = &Error{Code: ReplyRefusedEarlier}
	ErrBadFrame       = &Error{Code: ReplyBadFrame}
	ErrBadField       = &Error{Code: ReplyBadField}
	ErrBadPhase       = &Error{Code: ReplyBadPhase}
	ErrNoVersion      = &Error{Code: ReplyNoVersion}
	ErrNotLoggedIn    = &Error{Code: ReplyNotLoggedIn}
	ErrDenied         = &Error{Code: ReplyDenied}
	ErrNoSuchUser     = &Error{Code: ReplyNoSuchUser}
	ErrNotOnline      = &Error{Code: ReplyNotOnline}
	ErrTooLong        = &Error{Code: ReplyTooLong}
	ErrBlocked        = &Error{Code: ReplyBlocked}
	ErrNotAsked       = &Error{Code: ReplyNotAsked}
	ErrSlowDown       = &Error{Code: ReplySlowDown}
	ErrUnavailable    = &Error{Code: ReplyUnavailable}
)

// The causes for which a line is no frame, each with the words that tell a
// person what was expected. They are the Err of an [Error] with code 500.
var (
	ErrEmptyLine    = syntax("a frame, not an empty line")
	ErrCode         = syntax("a verb of four capitals or a reply of three digits")
	ErrSpace        = syntax("one space, then a field or a description")
	ErrKey          = syntax("a key of a-z, 0-9 and - that starts with a letter, 16 octets at most, and =")
	ErrDuplicateKey = syntax("every key at most once")
	ErrManyFields   = syntax("16 fields at most")
	ErrEscape       = syntax(`a backslash only in \n, \t, \\ and, in a value, \s`)
	ErrControl      = syntax("no control or bidirectional character")
	ErrUTF8         = syntax("well-formed UTF-8")
	ErrFrameTooLong = syntax("a line of 8192 octets at most, its end included")
	ErrTextTooLong  = syntax("a text of 7168 octets at most")

	ErrLoginFrameTooLong = syntax("a line of 2048 octets at most before the login, its end included")
)

// Fatal errors of a [Reader]: the connection is of no more use.
var (
	// ErrNoEndOfLine says that no end of line came within Limits.LineSkip.
	ErrNoEndOfLine = errors.New("chatproto: no end of line within 64 KiB")
)

// A syntaxError is a cause for which a line is no frame.
type syntaxError struct{ want string }

func syntax(want string) error       { return &syntaxError{want} }
func (e *syntaxError) Error() string { return "expected " + e.want }
func isSyntax(err error) bool        { _, ok := err.(*syntaxError); return ok }

// badLine makes the error of a line that is no frame, out of the way of those
// that are.
//
//go:noinline
func badLine(at int, err error) *Error { return &Error{Code: ReplyBadFrame, At: at, Err: err} }

// Describe returns the DESCRIPTION that tells e to the other end: its
// sentence and, for a line that could not be read, what was expected. A cause
// that is not the parser's stays out of it.
func (e *Error) Describe() string {
	s := e.Text
	if s == "" {
		s = V1.Sentence(0, e.Code)
	}
	if e.Err != nil && isSyntax(e.Err) {
		s += ": " + e.Err.Error()
	}
	return s
}
