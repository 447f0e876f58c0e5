package chatserver

import (
	"strconv"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// block answers BLOK and UBLK. Doing either twice does no harm, and writes
// nothing; the answer comes when it is stored.
func (c *conn) block(f *chatproto.Frame, on bool) {
	u := c.other(f)
	if u == nil {
		return
	}
	s := c.srv
	var hooks []func()
	c.stepAside() // what came before does not wait for a login that takes its time
	c.user.login.Lock()
	if c.fenced() {
		c.user.login.Unlock()
		c.die("fenced")
		return
	}
	changes := c.user.blocks(u.name) != on
	if limit := c.version.Limits.Blocks; changes && on && c.user.blocking() >= limit {
		c.user.login.Unlock()
		c.refuse(&chatproto.Error{Code: chatproto.ReplySlowDown, Text: "You have blocked " + strconv.Itoa(limit) + " users, which is the most. Unblock one of them first"}, u.name)
		return
	}
	if changes {
		c.user.block(u.name, on)
	}
	if changes && s.HideBlocks {
		hooks = s.hide(c.user, u, on)
	} else if changes && on {
		hooks = append(hooks, s.consentStep(chatproto.ConsentBlock, u, c.user))
	}
	s.commit.write(func(b *store.Batch) {
		if changes {
			b.Blocks = append(b.Blocks, store.Block{Owner: c.user.name, User: u.name, Off: !on})
		}
	}, c.answerWhenStored(chatproto.ReplyOK, u.name))
	c.user.login.Unlock()
	c.stepAside()
	for _, hook := range hooks {
		hook()
	}
}
