package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// reason says for a person what went wrong, without the prefixes and the
// addresses that an error carries for a log.
func reason(err error) string {
	var refusal *chatproto.Error
	var goodbye *chatclient.GoodbyeError
	var timeout interface{ Timeout() bool }
	var number syscall.Errno
	switch {
	case err == nil:
		return "no reason given"
	case errors.Is(err, chatclient.ErrNotTLS):
		return "the server does not speak TLS"
	case errors.As(err, &refusal):
		return refusal.Describe()
	case errors.As(err, &goodbye):
		return farewell(goodbye)
	case errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, &number):
		return "no answer"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "it was closed"
	case errors.As(err, &number):
		return number.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var several interface{ WrappedErrors() []error }
	if errors.As(err, &several) {
		var all []string
		for _, e := range several.WrappedErrors() {
			all = append(all, reason(e))
		}
		return strings.Join(all, "; ")
	}
	text := strings.ReplaceAll(err.Error(), "chatclient: ", "")
	return strings.TrimPrefix(text, "maybe delivered: ")
}

// farewell says why the server ended the connection.
func farewell(g *chatclient.GoodbyeError) string {
	if g.Why == "replaced" {
		return "replaced by another login of this user"
	}
	if g.Text != "" {
		return g.Text
	}
	return "the server ended it"
}
