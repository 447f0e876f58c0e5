package chatproto_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	. "github.com/parleyproto/parley/chatproto"
)

// TestErrorIs: the Code alone makes two Errors equal, and the cause matches
// as well; a wrapped one is found.
func TestErrorIs(t *testing.T) {
	refused := fmt.Errorf("send: %w", &Error{Code: ReplyBlocked, Text: "You are blocked by B"})
	if !errors.Is(refused, ErrBlocked) || errors.Is(refused, ErrNoSuchUser) {
		t.Error("a refusal matches its code, and no other")
	}
	var f Frame
	err := Parse(&f, []byte("SEND to=B to=C"))
	if !errors.Is(err, ErrBadFrame) || !errors.Is(err, ErrDuplicateKey) || errors.Is(err, ErrKey) {
		t.Error("a bad line matches its code and its cause, and no other:", err)
	}
	if errors.Is(ErrBlocked, io.EOF) || errors.Is(io.EOF, ErrBlocked) {
		t.Error("other errors do not match")
	}
	inner := &Error{Code: ReplyInternal, Err: io.ErrUnexpectedEOF}
	if !errors.Is(inner, io.ErrUnexpectedEOF) || !errors.Is(inner, ErrInternal) {
		t.Error("the cause of an internal error stays visible on this side")
	}
}

func TestErrorWords(t *testing.T) {
	var f Frame
	for _, c := range []struct {
		err          error
		words, descr string
	}{
		{&Error{Code: ReplyInternal, Err: errors.New("disk on fire")},
			"451 Internal server error. Please try again later: disk on fire",
			"Internal server error. Please try again later"},
		{Parse(&f, []byte("SEND :\x00")),
			"500 Not a valid command: expected no control or bidirectional character at octet 6",
			"Not a valid command: expected no control or bidirectional character"},
		{&Error{Code: ReplyBlocked, Text: "You are blocked by A"}, "553 You are blocked by A", "You are blocked by A"},
		{&Error{Code: ReplyOK}, "200 ", ""},
		{&Error{Err: io.EOF}, "none EOF", ""},
	} {
		if got := c.err.Error(); got != c.words {
			t.Errorf("%q, want %q", got, c.words)
		}
		if got := c.err.(*Error).Describe(); got != c.descr {
			t.Errorf("%q goes to the wire, want %q", got, c.descr)
		}
	}
}

// Every sentence can be sent as a description.
func TestSentences(t *testing.T) {
	for _, c := range V1.Codes {
		for _, verb := range append([]CodeInfo{{}}, V1.Codes...) {
			if err := CheckText(V1.Sentence(verb.Code, c.Code)); err != nil {
				t.Errorf("%v %v: %v", verb.Code, c.Code, err)
			}
		}
		if c.Kind&KindReply != 0 != c.Code.IsReply() {
			t.Errorf("%v: kind %b", c.Code, c.Kind)
		}
	}
	if s := Fill(V1.Sentence(ADDR, ReplyBlocked), "user", "B"); s != "Blocked by B" {
		t.Error(s)
	}
	if s := Fill(V1.Sentence(SEND, ReplyBlocked), "user", "B"); s != "You are blocked by B" {
		t.Error(s)
	}
	if s := V1.Sentence(0, code("599")); s != "" {
		t.Error(s)
	}
}
