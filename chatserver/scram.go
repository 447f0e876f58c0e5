package chatserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto"
)

// The login mechanisms, as mech= names them.
const (
	mechPlus  = "SCRAM-SHA-256-PLUS"
	mechSCRAM = "SCRAM-SHA-256"
	mechPlain = "PLAIN"
)

// bindingFlag is the gs2-cbind-flag of -PLUS: the one binding that there is.
const bindingFlag = "p=" + string(scram.ChannelBindingTLSExporter)

// The client's nonce: 18 random octets in base64, and behind them the hash of
// HELO and 220.
const (
	nonceBytes = 18
	nonceSize  = nonceBytes / 3 * 4
)

// errTampered says that the client and the server have not said or heard the
// same: somebody between them changed it. No proof was looked at, so no failed
// login is counted, and nothing more is taken on this connection.
var errTampered = &chatproto.Error{Code: chatproto.ReplyBadField, Text: "The handshake was changed on the way"}

// A scramFirst is a client-first-message (RFC 5802, section 7). This server
// reads it before the library does, and strictly: four parts, no authorization
// identity, no extensions.
type scramFirst struct {
	text   string
	flag   string // n, y or p=…
	user   string
	random string // the first part of the nonce
	hash   string // the second
}

// parseScramFirst reads a client-first-message. It reports false for what is
// none that this server takes.
func parseScramFirst(text string) (m scramFirst, ok bool) {
	parts := strings.Split(text, ",")
	if len(parts) != 4 || parts[1] != "" {
		return m, false
	}
	name, ok1 := strings.CutPrefix(parts[2], "n=")
	nonce, ok2 := strings.CutPrefix(parts[3], "r=")
	user, ok3 := unescapeName(name)
	if !ok1 || !ok2 || !ok3 || len(nonce) != nonceSize+base64.StdEncoding.EncodedLen(sha256.Size) || !isBase64(nonce[:nonceSize], nonceBytes) {
		return m, false
	}
	return scramFirst{text: text, flag: parts[0], user: user, random: nonce[:nonceSize], hash: nonce[nonceSize:]}, true
}

// header is the gs2-header: what the client's second message repeats.
func (m *scramFirst) header() string { return m.flag + ",," }

// check holds the message against what was said on this connection: by which
// mechanism, for whom, whether -PLUS was offered, and the hash of HELO and
// 220.
func (m *scramFirst) check(mech, user string, plusOffered bool, hash string) *chatproto.Error {
	switch {
	case m.user != user:
		return badScram
	case m.flag == "y" && mech == mechSCRAM && plusOffered:
		return errTampered // the client could have bound, and did not see that it may
	case mech == mechPlus && m.flag != bindingFlag, mech == mechSCRAM && m.flag != "n" && m.flag != "y":
		return badScram
	case m.hash != hash:
		return errTampered
	}
	return nil
}

// badScram refuses what is no message of SCRAM, or does not go with the AUTH
// that it came in.
var badScram = &chatproto.Error{Code: chatproto.ReplyBadField, Text: "data= is not what this step of SCRAM takes"}

// unescapeName decodes a saslname: =2C is a comma, =3D an equals sign, and
// nothing else begins with one.
func unescapeName(s string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		if !found {
			return b.String(), b.Len() > 0
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// isBase64 reports whether s is the base64 of size octets, in its one
// canonical form.
func isBase64(s string, size int) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == size && base64.StdEncoding.EncodeToString(b) == s // the decoder skips ends of lines
}

// A scramLogin is a login by SCRAM of which the first step was taken. It takes
// one more.
type scramLogin struct {
	conv  *scram.ServerConversation // nil when it has had its step
	known bool                      // there is such an account; else the keys are made up
	c     string                    // what the client must send as c=
	nonce string                    // and as r=
}

// startSCRAM takes a first step that was checked, and returns the
// server-first-message. binding is nil but for -PLUS.
//
// The library is given what it needs to say yes or no, and is never asked to
// judge an account, a flag or a binding: for an account that it does not find
// it says so to the client, and without a binding it takes a login that claims
// none was offered.
func startSCRAM(m *scramFirst, v *Verifier, known bool, binding []byte) (*scramLogin, string, error) {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
			StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
		}, nil
	})
	if err != nil {
		return nil, "", err
	}
	own := randomNonce()
	server.WithNonceGenerator(func() string { return own })
	var conv *scram.ServerConversation
	if m.flag == bindingFlag {
		conv = server.NewConversationWithChannelBindingRequired(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: binding})
	} else {
		conv = server.NewConversation()
	}
	first, err := conv.Step(m.text)
	if err != nil {
		return nil, "", err
	}
	return &scramLogin{
		conv: conv, known: known,
		c:     base64.StdEncoding.EncodeToString(append([]byte(m.header()), binding...)),
		nonce: m.random + m.hash + own,
	}, first, nil
}

// randomNonce draws a nonce.
func randomNonce() string {
	b := make([]byte, nonceBytes)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// finish takes the client-final-message, whatever it is the last: it reports
// whether it proves the password, and if so what proves the server. An error
// means that no proof was looked at.
func (l *scramLogin) finish(text string) (signature string, ok bool, refused *chatproto.Error) {
	conv := l.conv
	l.conv = nil // after an error the library's conversation could still become valid
	if conv == nil {
		return "", false, badScram
	}
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return "", false, badScram
	}
	c, ok1 := strings.CutPrefix(parts[0], "c=")
	nonce, ok2 := strings.CutPrefix(parts[1], "r=")
	proof, ok3 := strings.CutPrefix(parts[2], "p=")
	if !ok1 || !ok2 || !ok3 || !isBase64(proof, sha256.Size) {
		return "", false, badScram
	}
	if c != l.c || nonce != l.nonce {
		return "", false, errTampered
	}
	signature, err := conv.Step(text)
	if err != nil || !conv.Valid() || !l.known {
		return "", false, nil
	}
	return signature, true, nil
}
