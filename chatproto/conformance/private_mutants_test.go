package conformance_test

import (
	"context"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/conformance"
)

// privateMutants are clients that do not heed what ends a consent, or does not
// begin one. Each names the case that finds it.
var privateMutants = []struct {
	mutant
	finder string
}{
	{mutant{"RVKD is not heeded", func(p *party) { p.down = swallow(`^RVKD`) }}, "private/revoked"},
	{down("another boot= is not heeded", ` boot=another`, " boot=9c"), "private/other-boot"},
	{down("a new session is not heeded", `^(230.*) new=1 known=1`, "$1 new=0 known=1"), "private/new-session"},
	{down("the time of a consent is not heeded", ` ttl=700`, " ttl=600000"), "private/expired"},
	{mutant{"what was consented to before is not taken back", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "LSTN") && !strings.Contains(line, " port=") {
				return []string{"LIVE"}
			}
			return []string{line}
		}
	}}, "private/forgets"},
	{mutant{"a CNST that is refused is a consent", func(p *party) {
		key := ""
		p.down = func(line string) []string {
			if m := regexp.MustCompile(`^RQST.*( key=\S+)`).FindStringSubmatch(line); m != nil {
				key = m[1]
			}
			return []string{regexp.MustCompile(`^554( n=\d+)?.*`).ReplaceAllString(line, "200$1"+key+" ttl=600000")}
		}
	}}, "private/refused-consent"},
	{mutant{"an end of a consent is not heeded where it could be dialled", func(p *party) { p.down = swallow(`^RVKD`) }}, "private/dials-not-after-the-end"},
	{up("the key is not proved", ` sig=..`, " sig=AA"), "private/registers"},
	{up("no key is registered", `^LSTN(.*) key=\S+ sig=\S+`, "LSTN$1"), "private/registers"},
}

func TestPrivateMutants(t *testing.T) {
	t.Parallel()
	for _, m := range privateMutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c := new(crowd)
			cfg := config(func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				nc, err := d.DialContext(ctx, "tcp", l.Addr().String())
				if err != nil {
					return nil, err
				}
				return c.pass(nc, m.spoil), nil
			})
			cfg.Callbacks.OnPrivate = func(context.Context, chatclient.PrivateMessage) error { return nil }
			r, err := conformance.CheckClient(t.Context(), conformance.ClientTarget{Listener: l, Account: account,
				Options: conformance.Options{Strict: true, Match: exactly(m.finder)},
				Start:   func(ctx context.Context, _ string, _ conformance.Account) error { return runBot(ctx, cfg) }})
			if err != nil {
				t.Fatal(err)
			}
			if found := finders(r); len(found) != 1 {
				t.Errorf("%s does not find it: %v %s", m.finder, r.Results[0].Outcome, r.Results[0].Reason)
			}
		})
	}
}
