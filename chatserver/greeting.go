package chatserver

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// helo answers HELO: the version, and what the client wants.
func (c *conn) helo(f *chatproto.Frame) {
	v, err := chatproto.Negotiate(f.Value("v"), supported...)
	if err != nil {
		c.refuse(err.(*chatproto.Error), "")
		return
	}
	acks, ok1 := flag(f, "acks", false)
	pres, ok2 := flag(f, "pres", true)
	beat, ok3 := f.Uint("beat")
	if _, has := f.Get("beat"); has && (!ok3 || beat == 0) || !ok1 || !ok2 || !capabilities(f) {
		c.refuse(&chatproto.Error{Code: chatproto.ReplyBadField, Text: "HELO takes acks= and pres= with 0 or 1, beat= with milliseconds from 1, and caps= with names and commas between them"}, "")
		return
	}
	c.acks, c.quiet = acks, !pres
	c.beat = time.Duration(min(beat, uint64(time.Hour/time.Millisecond))) * time.Millisecond
	mechanisms := c.mechanisms()
	if len(mechanisms) == 0 {
		c.unavailable("This server takes passwords over TLS only")
		return
	}
	fields := append([]field{
		{"v", strconv.Itoa(v.Number)}, {"mech", strings.Join(mechanisms, ",")}, {"boot", c.srv.boot},
		{"t", strconv.FormatInt(time.Now().UnixMilli(), 10)},
	}, c.agree(f)...)
	c.auth = &authState{mechanisms: mechanisms, hash: handshake.Hash(canonical(f), greeting(c.tag, fields))}
	c.reply(chatproto.ReplyGreeting, "", fields...)
}

// mechanisms are those by which this connection may log in, the best first
// (SPEC section 9.2). A password is not taken in cleartext from another
// machine.
func (c *conn) mechanisms() (names []string) {
	if c.callee != nil {
		return []string{handshake.MechExternal}
	}
	scram := c.srv.verifiers() != nil
	plus := scram && c.binding() != nil
	only := c.srv.RequireBinding && c.tls != nil
	if plus {
		names = append(names, mechPlus)
	}
	if scram && !only {
		names = append(names, mechSCRAM)
	}
	if (c.tls != nil || c.isLocal) && !only {
		names = append(names, mechPlain)
	}
	return names
}

// canonical is the line of a frame, without its end: as it was on the wire, if
// its sender kept to SPEC section 3.2.
func canonical(f *chatproto.Frame) []byte {
	line, err := chatproto.AppendFrame(nil, f)
	if err != nil {
		return nil // it was parsed, so it can be encoded
	}
	return bytes.TrimSuffix(line, []byte("\r\n"))
}

// greeting is the line of the 220 that has these fields, without its end.
func greeting(tag uint64, fields []field) []byte {
	l := chatproto.Begin(nil, chatproto.ReplyGreeting)
	l.Run("n", tag, tag)
	for i := range fields {
		fields[i].add(&l)
	}
	line, _ := l.End("")
	return bytes.TrimSuffix(line, []byte("\r\n"))
}

// flag reads a field that is 0 or 1.
func flag(f *chatproto.Frame, key string, absent bool) (value, ok bool) {
	v, has := f.Get(key)
	if !has {
		return absent, true
	}
	return string(v) == "1", string(v) == "0" || string(v) == "1"
}

// agree reads which capabilities HELO offers, and returns what the 220 says of
// those that the server has, too.
func (c *conn) agree(f *chatproto.Frame) []field {
	offered := strings.Split(f.Value("caps"), ",")
	c.relays = !c.srv.NoRelay && slices.Contains(offered, capRelay)
	c.callable = c.srv.DialBack && c.tls != nil && slices.Contains(offered, handshake.CapDialBack)
	var agreed []string
	if c.relays {
		agreed = append(agreed, capRelay)
	}
	if c.callable {
		agreed = append(agreed, handshake.CapDialBack)
	}
	if agreed == nil {
		return nil
	}
	return []field{{"caps", strings.Join(agreed, ",")}}
}

// capabilities reports whether caps=, if there is one, is a list of names.
func capabilities(f *chatproto.Frame) bool {
	v, has := f.Get("caps")
	if !has {
		return true
	}
	for name := range strings.SplitSeq(string(v), ",") {
		if name == "" || strings.Trim(name, listOctets) != "" {
			return false
		}
	}
	return true
}

// What tokens and the names in a list consist of (SPEC section 3.4).
const (
	tokenOctets = "abcdefghijklmnopqrstuvwxyz0123456789-"
	listOctets  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + tokenOctets
)
