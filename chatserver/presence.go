package chatserver

import (
	"github.com/parleyproto/parley/chatproto"
)

// online answers ONLN: who is there, of those who have not blocked the asker.
func (c *conn) online(f *chatproto.Frame) {
	c.waitAnswered() // a list that waits for its turn would be kept meanwhile
	names, more := c.srv.roster.list(f.Value("after"), c.version.Limits.Page, func(u *user) bool {
		return u != c.user && !u.blocks(c.user.name)
	})
	s := slot{verb: c.verb, tag: c.tag, code: chatproto.ReplyEnd, entries: names}
	if more {
		s.fields = []field{{"more", names[len(names)-1]}}
	}
	c.answer(s)
}

// announces reports whether logins and logouts are announced, with so many
// online.
func (s *Server) announces() bool { return s.roster.count() <= s.AnnounceLimit }

// announce tells everybody online, except those whom u has blocked, that u
// came or went.
func (s *Server) announce(u *user, on bool) {
	if !s.announces() {
		return
	}
	var by sweep
	frame := presenceFrame(u.name, on) // the same for all
	s.roster.each(func(sess *session) {
		if sess.user == u || u.blocks(sess.user.name) {
			return
		}
		sess.mu.Lock()
		c := sess.conn
		sess.mu.Unlock()
		if c != nil && !c.quiet {
			c.present(u.name, on, frame)
			by.touch(c)
		}
	})
	by.flush()
}

// present puts a PRES into the outbound buffer, or, if the client is slow to
// read, remembers only how things stand in the end.
func (c *conn) present(user string, on bool, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.muted {
		return
	}
	if len(c.presence) == 0 && len(c.out) < presenceQueued {
		c.sendPres(frame)
		return
	}
	if c.presence == nil {
		c.presence = make(map[string]bool)
	}
	if was, ok := c.presence[user]; ok && was != on {
		delete(c.presence, user) // came and went, or went and came
		return
	}
	c.presence[user] = on
}

// sendPresence sends what was coalesced, now that there is room. The caller
// holds mu.
func (c *conn) sendPresence() {
	for user, on := range c.presence {
		if len(c.out) >= c.srv.Limits.OutboundBytes {
			return
		}
		c.sendPres(presenceFrame(user, on))
		delete(c.presence, user)
	}
}

// sendPres puts a PRES into the outbound buffer, if the phase allows it. The
// caller holds mu.
func (c *conn) sendPres(frame []byte) {
	if c.machine.Event(chatproto.PRES) == nil {
		c.out = append(c.buffer(), frame...)
	}
}

// presenceFrame says that a user came or went.
func presenceFrame(user string, on bool) []byte {
	text, value := chatproto.SentenceLoggedOut, "0"
	if on {
		text, value = chatproto.SentenceLoggedIn, "1"
	}
	l := chatproto.Begin(nil, chatproto.PRES)
	l.Field("user", user)
	l.Field("on", value)
	b, err := l.End(chatproto.Fill(text, "user", user))
	if err != nil {
		panic(err) // a user's name can stand in any frame
	}
	return b
}
