package chatserver

import (
	"crypto/ed25519"
	"net/netip"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// A listener is what LSTN says to others of a client: where it takes private
// lines, and by which key they know it.
type listener struct {
	key  string // "" without
	port uint64 // 0: it takes none
	addr string
	cand string
}

// listen answers LSTN. What others were told of the client before, and is not
// so any more, ends the consents that rest on it.
func (c *conn) listen(f *chatproto.Frame) {
	l, refused := c.listener(f)
	var r *reach
	if refused == nil {
		r, refused = c.reachable(f, l)
	}
	if refused != nil {
		c.refuse(refused, "")
		return
	}
	cs := &c.srv.consents
	cs.mu.Lock()
	if c.fenced() { // it would stand for whoever replaced it
		cs.mu.Unlock()
		c.die("fenced")
		return
	}
	if cs.listens == nil {
		cs.listens = make(map[*user]listener)
	}
	old, had := cs.listens[c.user]
	cs.listens[c.user] = l
	c.sess.setReach(r)
	rekeyed := had && old.key != "" && old.key != l.key
	moved := had && (old.port != l.port || old.addr != l.addr || old.cand != l.cand)
	var hooks []func()
	for p := range cs.of[c.user] {
		switch {
		case rekeyed:
			hooks = append(hooks, c.srv.stepLocked(chatproto.ConsentRekey, p))
		case moved && p.owner == c.user:
			hooks = append(hooks, c.srv.stepLocked(chatproto.ConsentMove, p))
		}
	}
	cs.mu.Unlock()
	var fields []field
	if r != nil {
		fields = []field{{"lease", millis(c.srv.Lease)}}
	}
	c.reply(chatproto.ReplyOK, "", fields...)
	c.stepAside()
	for _, hook := range hooks {
		hook()
	}
}

// listener reads LSTN and checks it.
func (c *conn) listener(f *chatproto.Frame) (l listener, refused *chatproto.Error) {
	bad := func(text string) (listener, *chatproto.Error) {
		return listener{}, &chatproto.Error{Code: chatproto.ReplyBadField, Text: text}
	}
	_, hasPort := f.Get("port")
	_, hasKey := f.Get("key")
	_, hasSig := f.Get("sig")
	_, hasCand := f.Get("cand")
	port, ok := f.Uint("port")
	switch {
	case hasPort && (!ok || port < 1024 || port > 65535), !hasPort && !hasKey, hasCand && !hasPort:
		return bad("LSTN takes port=PORT, from 1024 to 65535")
	case hasKey != hasSig:
		return bad("key= and sig= go together")
	}
	if hasKey {
		key, err := handshake.ParseKey(f.Value("key"))
		if err != nil || !c.identity().Verify(c.user.name, key, f.Value("sig")) {
			return bad("key= and sig= do not prove a key of yours on this connection")
		}
		l.key = handshake.FormatKey(ed25519.PublicKey(key))
	}
	if !hasPort {
		return l, nil
	}
	l.port = port
	var places []netip.AddrPort
	if hasCand {
		var err error
		places, err = handshake.ParsePlaces(f.Value("cand"))
		for _, p := range places {
			if !handshake.MayDial(p, c.local()) {
				err = handshake.ErrPlaces
			}
		}
		if err != nil {
			return bad("cand= takes one to eight of ADDRESS:PORT that others may be sent to, with commas between them")
		}
		l.cand = f.Value("cand")
	}
	switch ip := addrOf(c.nc.RemoteAddr()); {
	case ip.IsValid():
		l.addr = ip.String()
	case !hasCand:
		return bad("This connection has no address that others could be given")
	default: // the first candidate stands for it
		l.addr, l.port = places[0].Addr().String(), uint64(places[0].Port())
	}
	return l, nil
}

// identity is what the signature of LSTN ties to this connection.
func (c *conn) identity() handshake.Binding {
	if b := c.binding(); b != nil {
		return handshake.TLSBinding(b)
	}
	return handshake.CleartextBinding(c.srv.boot, c.sess.origin.id)
}
