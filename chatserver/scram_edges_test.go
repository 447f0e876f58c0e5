package chatserver

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// edgeVerifier is of the password "pencil".
func edgeVerifier(t *testing.T) *Verifier {
	v, err := deriveVerifier("pencil", []byte("sixteen octets!!"), minIterations)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// lookUp gives the library what it asks for.
func (v *Verifier) lookUp(string) (scram.StoredCredentials, error) {
	return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations}, StoredKey: v.StoredKey, ServerKey: v.ServerKey}, nil
}

var edgeHash = base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))

// edgeClient is a client of the library, with a nonce as SPEC has it.
func edgeClient(t *testing.T, password string) *scram.Client {
	c, err := scram.SHA256.NewClientUnprepped("user", password, "")
	if err != nil {
		t.Fatal(err)
	}
	nonce := randomNonce() + edgeHash
	return c.WithNonceGenerator(func() string { return nonce })
}

func edgeStart(t *testing.T, first string, known bool, binding []byte) (*scramLogin, string) {
	m, ok := parseScramFirst(first)
	if !ok {
		t.Fatalf("%q is no first message", first)
	}
	l, answer, err := startSCRAM(&m, edgeVerifier(t), known, binding)
	if err != nil {
		t.Fatal(err)
	}
	return l, answer
}

// Each test here shows an edge on which the library cuts, and that the
// wrapper takes it off. If the first half of one fails the library has
// changed, and the wrapper may need less.

// The library tells a client that there is no such user. The wrapper never
// asks it, and what it is given for nobody's name is as good as any, but
// proves nothing.
func TestLibraryTellsUnknownUsers(t *testing.T) {
	server, _ := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{}, errors.New("none")
	})
	first, _ := edgeClient(t, "pencil").NewConversation().Step("")
	if told, err := server.NewConversation().Step(first); err == nil || told != "e=unknown-user" {
		t.Errorf("the library says %q, %v", told, err)
	}
	client := edgeClient(t, "pencil").NewConversation()
	first, _ = client.Step("")
	l, answer := edgeStart(t, first, false, nil)
	final, err := client.Step(answer)
	if err != nil {
		t.Fatal(err)
	}
	if signature, ok, refused := l.finish(final); ok || refused != nil || signature != "" {
		t.Errorf("the right keys of nobody are %q, %v, %v", signature, ok, refused)
	}
}

// A conversation of the library lives on behind its end: valid stays valid. The
// wrapper drops it with the one step that it has, whatever came of it, so that
// nothing said later can count.
func TestLoginTakesOneStep(t *testing.T) {
	client := edgeClient(t, "pencil").NewConversation()
	first, _ := client.Step("")
	server, _ := scram.SHA256.NewServer(edgeVerifier(t).lookUp)
	conv := server.NewConversation()
	answer, _ := conv.Step(first)
	final, err := client.Step(answer)
	if err != nil {
		t.Fatal(err)
	}
	conv.Step(final)
	if _, err := conv.Step("more"); err == nil || !conv.Valid() {
		t.Errorf("the library's conversation ends in %v, and is valid: %v", err, conv.Valid())
	}

	for _, before := range []string{"", "c=biws,r=x,p=x", "more", "the right one"} {
		client := edgeClient(t, "pencil").NewConversation()
		first, _ := client.Step("")
		l, answer := edgeStart(t, first, true, nil)
		final, _ := client.Step(answer)
		if before == "the right one" {
			if signature, ok, refused := l.finish(final); !ok || refused != nil {
				t.Errorf("the right message is %v, %v", ok, refused)
			} else if _, err := client.Step(signature); err != nil || !client.Valid() {
				t.Errorf("the client does not take %q: %v", signature, err)
			}
		} else if _, ok, refused := l.finish(before); ok || refused != badScram {
			t.Errorf("%q is %v, %v", before, ok, refused)
		}
		if _, ok, refused := l.finish(final); ok || refused != badScram {
			t.Errorf("the right message behind %q is %v, %v", before, ok, refused)
		}
	}
}

// A client of the library whose channel binding is empty says n, without a
// word; a server of it that requires binding, with an empty one, takes y. The
// wrapper judges the flag by the mechanism alone, before the library sees it.
func TestLibraryForgetsTheBinding(t *testing.T) {
	empty := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter}
	first, _ := edgeClient(t, "pencil").NewConversationWithChannelBinding(empty).Step("")
	if !strings.HasPrefix(first, "n,,") {
		t.Errorf("a client without a binding to use says %q", first)
	}
	n, ok := parseScramFirst(first)
	if refused := n.check(mechPlus, "user", true, edgeHash); !ok || refused != badScram {
		t.Errorf("n under -PLUS is %v", refused)
	}

	first, _ = edgeClient(t, "pencil").NewConversationAdvertisingChannelBinding().Step("")
	server, _ := scram.SHA256.NewServer(edgeVerifier(t).lookUp)
	if _, err := server.NewConversationWithChannelBindingRequired(empty).Step(first); err != nil {
		t.Errorf("the library refuses y though it has no binding: %v", err)
	}
	y, ok := parseScramFirst(first)
	for _, tt := range []struct {
		mech    string
		offered bool
		want    any
	}{{mechPlus, true, badScram}, {mechPlus, false, badScram}, {mechSCRAM, true, errTampered}} {
		if refused := y.check(tt.mech, "user", tt.offered, edgeHash); !ok || refused != tt.want {
			t.Errorf("y under %s, offered %v: %v", tt.mech, tt.offered, refused)
		}
	}
	if refused := y.check(mechSCRAM, "user", false, edgeHash); refused != nil {
		t.Errorf("y where nothing was offered: %v", refused)
	}
	p := "p=tls-exporter" + first[1:]
	if m, ok := parseScramFirst(p); !ok {
		t.Error("no first message")
	} else if _, _, err := startSCRAM(&m, edgeVerifier(t), true, nil); err == nil {
		t.Error("-PLUS begins without a binding")
	}
}

// The library takes extensions, names and base64 that are not canonical, and a
// nonce of any length; the wrapper takes none of it.
func TestLibraryIsLenient(t *testing.T) {
	server, _ := scram.SHA256.NewServer(edgeVerifier(t).lookUp)
	for _, first := range []string{"n,,n=user,r=", "n,,n=user,r=abc,x=extension", "n,a=other,n=user,r=abc", "p=tls-unique,,n=user,r=abc"} {
		conv := server.NewConversation()
		if first[0] == 'p' {
			conv = server.NewConversationWithChannelBinding(scram.NewTLSUniqueBinding([]byte("x")))
		}
		if _, err := conv.Step(first); err != nil {
			t.Errorf("the library refuses %q: %v", first, err)
		}
		if m, ok := parseScramFirst(first); ok && m.check(mechSCRAM, "user", false, edgeHash) == nil {
			t.Errorf("the wrapper takes %q", first)
		}
	}
	client := edgeClient(t, "pencil").NewConversation()
	first, _ := client.Step("")
	conv := server.NewConversation()
	answer, _ := conv.Step(first)
	final, _ := client.Step(answer)
	i := strings.Index(final, ",p=") + len(",p=")
	if _, err := conv.Step(final[:i] + "\n" + final[i:]); err != nil {
		t.Errorf("the library refuses an end of line in base64: %v", err)
	}
}

// Names as RFC 5802 escapes them.
func TestUnescapeName(t *testing.T) {
	for in, want := range map[string]string{"a": "a", "a=2Cb": "a,b", "=3D": "=", "=3D2C": "=2C", "=2C=3D": ",="} {
		if got, ok := unescapeName(in); !ok || got != want {
			t.Errorf("%q is %q, %v", in, got, ok)
		}
	}
	for _, bad := range []string{"", "=", "=2", "=2c", "=3d", "a=41", "=2C=", "=="} {
		if got, ok := unescapeName(bad); ok {
			t.Errorf("%q is %q", bad, got)
		}
	}
}
