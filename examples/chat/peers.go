package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// runVerify shows the safety number of oneself and another user.
func runVerify(_ context.Context, s *session, in input) error {
	number, err := s.client.SafetyNumber(in.user)
	if errors.Is(err, chatclient.ErrPeerUnknown) {
		s.tell("No key of " + in.user + " is known yet. It comes with a request for a private chat, or with the consent to one.")
		return nil
	}
	if err != nil {
		return err
	}
	s.tell(fmt.Sprintf("The safety number of you and %s is\n%s\nLet %[1]s type \"verify %[3]s\" and read the number to you, in person or by telephone. If it is the same, nobody is in between.",
		in.user, number, s.client.User()))
	return nil
}

// runAccept accepts the new key of a user.
func runAccept(_ context.Context, s *session, in input) error {
	if err := s.client.AcceptPeerKey(in.user); err != nil {
		return err
	}
	s.tell("The new key of " + in.user + " is accepted. Ask for a private chat again.")
	return nil
}

// keyChanged warns of a user whose key is another one than before.
func (s *session) keyChanged(_ context.Context, k chatclient.PeerKeyChange) {
	warning := "WARNING: the key of " + k.User + " has changed!"
	text := fmt.Sprintf("%s\nEither %s has another machine or a new key, or somebody is in between. The safety number was\n%s\nand is now\n%s\nType \"verify %[2]s\" for how to compare it. There is no private chat with %[2]s until you type \"accept %[2]s\".",
		warning, k.User, k.OldNumber, k.NewNumber)
	s.screen.print(s.style.alarm(time.Now(), warning, text))
}
