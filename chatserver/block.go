package chatserver

import (
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// block answers BLOK and UBLK. Doing either twice does no harm; the answer
// comes when it is stored.
func (c *conn) block(f *chatproto.Frame, on bool) {
	u := c.other(f)
	if u == nil {
		return
	}
	c.user.login.Lock()
	c.user.block(u.name, on)
	hooks := func() {}
	if on {
		hooks = c.srv.consentStep(chatproto.ConsentBlock, u, c.user)
	}
	c.srv.commit.write(func(b *store.Batch) {
		b.Blocks = append(b.Blocks, store.Block{Owner: c.user.name, User: u.name, Off: !on})
	}, c.answerWhenStored(chatproto.ReplyOK, u.name))
	c.user.login.Unlock()
	c.by.flush()
	hooks()
}
