package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/parleyproto/parley/chatclient"
)

// errNotTrusted ends a program whose user did not trust the server.
var errNotTrusted = errors.New("the server is not trusted; nothing was sent to it")

// trust is [chatclient.Config.TrustServer]. It asks, and so is only for a
// terminal: what a pipe holds was meant for other questions.
func (l *login) trust(ctx context.Context, s chatclient.UnknownServer) error {
	fmt.Fprintf(l.out, `The server %s was not met before, and no authority vouches for it%s. Its key has the fingerprint
  %s
Compare it with the line "certificate fingerprint" that chatd printed where the server runs. If they differ, somebody is in between.
`, chatclient.Display(s.Addr), because(s.Reason), s.Fingerprint)
	question := "Trust this key from now on? (yes, no, or the fingerprint to compare)"
	for {
		l.prompt(question)
		answer, err := l.in.next(ctx)
		if err != nil {
			fmt.Fprintln(l.out)
			return ended(err)
		}
		switch answer = strings.ToLower(strings.TrimSpace(answer)); {
		case answer == "yes", answer == s.Fingerprint:
			return nil
		case answer == "no":
			return errNotTrusted
		case strings.HasPrefix(answer, "sha256:"):
			fmt.Fprintln(l.out, "That is another key.")
			return errNotTrusted
		}
		question = "Please type yes, no or the fingerprint:"
	}
}

// because says in brackets why no authority vouches for a server.
func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + oneLine(strings.TrimPrefix(err.Error(), "x509: ")) + ")"
}

// oneLine is a text of others without its line ends.
func oneLine(s string) string {
	return chatclient.Display(strings.Join(strings.Fields(s), " "))
}

// keyText tells of a server that is not known, or not the one that it was.
func (o *options) keyText(e *chatclient.ServerKeyError) string {
	addr := chatclient.Display(e.Addr)
	switch {
	case e.Given:
		return fmt.Sprintf(`the server %s has not the key that was given
  given  %s
  shown  %s
Nothing was sent to it: somebody may be in between. Ask the server's operator, by another way than this, for the line "certificate fingerprint" that chatd prints when it starts. Only if it is the second one, give that.`,
			addr, e.Pinned, e.Fingerprint)
	case e.Pinned == "":
		return fmt.Sprintf(`the server %s was not met before, and no authority vouches for it%s. Its key has the fingerprint
  %s
Nothing was sent to it: there is nobody at a terminal to ask. Compare it with the line "certificate fingerprint" that chatd printed where the server runs. If they are the same, give it: -fingerprint sha256:...`,
			addr, because(e.Reason), e.Fingerprint)
	}
	text := fmt.Sprintf("the key of the server %s has changed\n  before  %s\n  now     %s\n", addr, e.Pinned, e.Fingerprint)
	if e.Pinned == chatclient.ByAuthority {
		text = fmt.Sprintf("no authority vouches for the server %s any more%s, as one did before. Its key has the fingerprint\n  now     %s\n",
			addr, because(e.Reason), e.Fingerprint)
	}
	return text + fmt.Sprintf(`Nothing was sent to it: either it is another server now, or somebody is in between. Ask its operator, by another way than this, for the line "certificate fingerprint" that chatd prints when it starts. Only if it is the one of now, forget what was known:
  %s`, chatclient.Display(o.forgetCommand()))
}

// serverText tells of a server that is not, or does not prove to be, the one
// that is meant, and what can be done; "" if err is something else.
func (o *options) serverText(err error) string {
	var key *chatclient.ServerKeyError
	addr := chatclient.Display(o.addr)
	switch {
	case errors.As(err, &key):
		return o.keyText(key)
	case errors.Is(err, chatclient.ErrNotTLS):
		return fmt.Sprintf("the server %s does not speak TLS%s. Nothing was sent to it. If it is on this machine, or every network in between is trusted, -cleartext talks without: then everybody on the way can read every message, and change it.", addr, strings.TrimPrefix(err.Error(), chatclient.ErrNotTLS.Error()))
	case errors.Is(err, chatclient.ErrTLSOnly):
		return fmt.Sprintf("the server %s speaks TLS only: leave -cleartext out", addr)
	case errors.Is(err, chatclient.ErrServerProof):
		return fmt.Sprintf("the server %s did not prove that it knows this account (%s). Somebody may be in between; your password was not sent.", addr,
			oneLine(strings.TrimPrefix(err.Error(), chatclient.ErrServerProof.Error()+": ")))
	case errors.Is(err, chatclient.ErrCleartext):
		return fmt.Sprintf("the server %s takes nothing but the password itself, and without TLS everybody on the way would read it. It was not sent.", addr)
	case errors.Is(err, chatclient.ErrDowngrade) && o.fingerprint == "" && o.metBefore():
		return fmt.Sprintf(`the server %s offers a weaker login than before. Your password was not sent: somebody may be in between. Only if its operator says that this is right, forget what was known:
  %s`, addr, chatclient.Display(o.forgetCommand()))
	case errors.Is(err, chatclient.ErrDowngrade):
		return fmt.Sprintf("the server %s takes nothing but the password itself, and nothing vouches for it but your yes. It was not sent. If you have compared the fingerprint, give it: -fingerprint sha256:...", addr)
	}
	return ""
}

// metBefore reports whether something is known of the server.
func (o *options) metBefore() bool {
	h, err := homeOf(o.home)
	if err != nil {
		return false
	}
	_, found, err := h.servers().Pin(o.addr)
	return found && err == nil
}

// isElsewhere reports whether a connection leaves this machine.
func isElsewhere(nc net.Conn) bool {
	a, isTCP := nc.RemoteAddr().(*net.TCPAddr)
	return isTCP && !a.IP.IsLoopback()
}
