package consentcache

import (
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// Two users, the server's table between them, and their frames on the way,
// searched over all sequences of events up to a depth: however things cross,
// an owner's client lets nobody write without a live consent, and when
// everything has arrived the caches say what the table says (SPEC sections
// 8.2 and 8.3).

// User 0 asks in direction 0 and owns in direction 1; user 1 the other way
// round. Each has one of two keys.
type world struct {
	pair    [2]pair // at the server
	blocked [2]bool // at the server: the owner of the direction blocks the asker
	key     [2]int  // registered at the server by the user's client
	ended   [2][2]bool
	// ended[u][d]: RVKD about direction d went to the session of user u, and
	// there is no consent again since.

	given [2]Given     // at the owner of the direction
	had   [2]string    // at the asker: the owner's key, "" without a consent
	asks  [2][]request // of the user's client, unanswered
	up    [2][]request // of them, not yet at the server
	down  [2][]frame   // to the user's client

	// What is known from outside, to judge by.
	word   [2]bool // the owner's last word is a consent
	told   [2]int  // keys, as bits, of which the server told the owner in its session
	local  [2]bool // a client's own clock ended something of the direction
	events int
	words  uint64
}

type pair struct {
	state chatproto.ConsentState
	asker int // its key when the state was entered
	owner int
}

type request struct {
	verb chatproto.Code
	word uint64
}

type frame struct {
	code chatproto.Code
	d    int
	key  string
	why  string
}

// Mutants leave a rule out, to show that the search finds it.
type mutants struct {
	anyAnswer bool // an answer counts whatever was said since
	anyKey    bool // whoever has a name may write, whatever the key
	noRepeat  bool // the server does not repeat RVKD after a break
	noRekey   bool // another key of a client ends nothing
	deaf      bool // the owner's client does not heed RVKD
	late      bool // the owner's client heeds its own RVKE when that is answered
}

const onWire = 3

var (
	now   = time.Unix(0, 0)
	until = now.Add(time.Hour)
)

func keyOf(user, key int) string { return fmt.Sprint(user, key) }

func (w *world) clone() *world {
	v := *w
	for u := range 2 {
		v.asks[u], v.up[u], v.down[u] = slices.Clone(w.asks[u]), slices.Clone(w.up[u]), slices.Clone(w.down[u])
	}
	return &v
}

func (w *world) id() string {
	var b []byte
	put := func(n ...int) {
		for _, x := range n {
			b = binary.AppendUvarint(b, uint64(x))
		}
	}
	bit := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	text := func(s string) { b = append(append(b, s...), ';') }
	put(w.events, int(w.words))
	for i := range 2 {
		put(int(w.pair[i].state), w.pair[i].asker, w.pair[i].owner, bit(w.blocked[i]), w.key[i], bit(w.ended[i][0]), bit(w.ended[i][1]))
		g := &w.given[i]
		put(int(g.word), bit(g.waiting), bit(w.word[i]), w.told[i], bit(w.local[i]))
		text(g.asked + "," + g.early + "," + g.granted + "," + w.had[i])
		put(len(w.asks[i]), len(w.up[i]), len(w.down[i]))
		for _, r := range w.asks[i] {
			put(int(r.verb), int(r.word))
		}
		for _, f := range w.down[i] {
			put(int(f.code), f.d)
			text(f.key)
		}
	}
	return string(b)
}

// A move is what may happen next.
type move struct {
	what string
	next *world
}

// moves returns everything that may happen next. deep is how many events the
// users and their connections have.
func (w *world) moves(m mutants, deep, users int) (all []move) {
	add := func(what string, do func(v *world)) {
		v := w.clone()
		do(v)
		all = append(all, move{what, v})
	}
	for u := range 2 {
		name := [2]string{"A", "B"}[u]
		if len(w.up[u]) > 0 && len(w.down[0]) < onWire && len(w.down[1]) < onWire {
			add("server reads "+name+"'s "+w.up[u][0].verb.String(), func(v *world) { v.serve(u, m) })
		}
		if len(w.down[u]) > 0 {
			add(name+" reads "+w.down[u][0].code.String(), func(v *world) { v.read(u, m) })
		}
	}
	for d := range users {
		if w.pair[d].state != chatproto.ConsentNone && len(w.down[0]) < onWire && len(w.down[1]) < onWire {
			add("server expires", func(v *world) { v.step(chatproto.ConsentExpire, d) })
		}
		if _, ok := w.given[d].InForce(now); ok && !w.local[d] {
			add("owner's clock", func(v *world) { v.given[d].Expired(); v.local[d] = true })
		}
		if w.had[d] != "" && !w.local[d] {
			add("asker's clock", func(v *world) { v.had[d] = ""; v.local[d] = true })
		}
	}
	if w.events == deep {
		return all
	}
	event := func(what string, do func(v *world)) {
		add(what, func(v *world) { v.events++; do(v) })
	}
	for d := range users {
		asker, owner := d, 1-d
		for _, r := range []struct {
			user int
			verb chatproto.Code
		}{{asker, chatproto.ADDR}, {owner, chatproto.CNST}, {owner, chatproto.RVKE}, {owner, chatproto.BLOK}, {owner, chatproto.UBLK}} {
			if len(w.asks[r.user]) < onWire {
				event([2]string{"A", "B"}[r.user]+" sends "+r.verb.String(), func(v *world) { v.say(r.user, r.verb, m) })
			}
		}
	}
	for u := range 2 {
		name := [2]string{"A", "B"}[u]
		if len(w.down[1-u])+users <= onWire {
			event(name+" logs in anew", func(v *world) { v.relogin(u, v.key[u]) })
			event(name+" logs in anew with another key", func(v *world) { v.relogin(u, 1-v.key[u]) })
			event(name+"'s address changes", func(v *world) { v.step(chatproto.ConsentMove, 1-u) })
			event(name+"'s key changes", func(v *world) {
				v.key[u] = 1 - v.key[u]
				if !m.noRekey {
					v.step(chatproto.ConsentRekey, 0)
					v.step(chatproto.ConsentRekey, 1)
				}
			})
		}
		event(name+"'s connection breaks", func(v *world) { v.resume(u, m) })
	}
	return all
}

// say is a request of a user: first the client's own cache, then the wire.
func (w *world) say(u int, verb chatproto.Code, m mutants) {
	r := request{verb: verb}
	d := 1 - u
	switch verb {
	case chatproto.CNST:
		w.words++
		r.word = w.words
		w.given[d].Consent(r.word, until)
		w.word[d] = true
	case chatproto.RVKE, chatproto.BLOK:
		w.word[d] = false
		if !m.late {
			w.given[d].TakeBack()
		}
	}
	w.asks[u] = append(w.asks[u], r)
	w.up[u] = append(w.up[u], r)
}

// serve is the server, as consent.go in chatserver has it.
func (w *world) serve(u int, m mutants) {
	r := w.up[u][0]
	w.up[u] = w.up[u][1:]
	code, key := chatproto.ReplyOK, ""
	asking, owning := u, 1-u // directions
	switch r.verb {
	case chatproto.ADDR:
		if w.blocked[asking] {
			code = chatproto.ReplyBlocked
		} else {
			code = chatproto.ReplyAsked
			w.step(chatproto.ConsentAsk, asking)
		}
	case chatproto.CNST:
		rule := w.pair[owning].state.Step(chatproto.ConsentGrant)
		switch {
		case rule.Reply != chatproto.ReplyOK:
			code = rule.Reply
		case w.blocked[asking] && rule.State != rule.Next: // the asker blocks the owner
			code = chatproto.ReplyBlocked
		default:
			key = keyOf(1-u, w.key[1-u])
			w.told[owning] |= 1 << w.key[1-u]
			w.step(chatproto.ConsentGrant, owning)
		}
	case chatproto.RVKE:
		w.step(chatproto.ConsentRevoke, owning)
	case chatproto.BLOK:
		w.blocked[owning] = true
		w.step(chatproto.ConsentBlock, owning)
	case chatproto.UBLK:
		w.blocked[owning] = false
	}
	w.down[u] = append(w.down[u], frame{code: code, key: key})
}

// step is consentStep of chatserver.
func (w *world) step(ev chatproto.ConsentEvent, d int) {
	p := &w.pair[d]
	rule := p.state.Step(ev)
	asker, owner := d, 1-d
	if rule.Next != p.state {
		*p = pair{rule.Next, w.key[asker], w.key[owner]}
	}
	send := func(u int, f frame) { w.down[u] = append(w.down[u], f) }
	switch rule.Notify {
	case chatproto.RQST:
		w.told[d] |= 1 << w.key[asker]
		send(owner, frame{code: chatproto.RQST, d: d, key: keyOf(asker, w.key[asker])})
	case chatproto.GETA:
		w.ended[asker][d], w.ended[owner][d] = false, false
		send(asker, frame{code: chatproto.GETA, d: d, key: keyOf(owner, w.key[owner])})
	case chatproto.RVKD:
		for u := range 2 {
			w.ended[u][d] = true
			send(u, frame{code: chatproto.RVKD, d: d, why: rule.Why})
		}
	}
}

// read is a client that takes the next frame.
func (w *world) read(u int, m mutants) {
	f := w.down[u][0]
	w.down[u] = w.down[u][1:]
	g := &w.given[1-u]
	switch {
	case f.code == chatproto.RQST:
		g.Asked(f.key)
	case f.code == chatproto.GETA:
		w.had[f.d] = f.key
	case f.code == chatproto.RVKD && f.d == u:
		w.had[f.d] = ""
	case f.code == chatproto.RVKD:
		if !m.deaf {
			g.Ended()
		}
	default:
		r := w.asks[u][0]
		w.asks[u] = w.asks[u][1:]
		switch {
		case r.verb == chatproto.CNST && f.code == chatproto.ReplyOK:
			if m.anyAnswer {
				r.word = g.word
			}
			g.Granted(r.word, f.key, until)
		case r.verb == chatproto.CNST:
			g.Refused(r.word, f.code == chatproto.ReplyNotAsked)
		case m.late && (r.verb == chatproto.RVKE || r.verb == chatproto.BLOK):
			g.TakeBack()
		}
	}
}

// relogin is another instance of a client, whose login replaces the session.
func (w *world) relogin(u, key int) {
	w.step(chatproto.ConsentReplace, 0)
	w.step(chatproto.ConsentReplace, 1)
	w.asks[u], w.up[u], w.down[u] = nil, nil, nil
	w.given[1-u], w.had[u] = Given{}, ""
	w.word[1-u], w.told[1-u] = false, 0
	w.ended[u] = [2]bool{}
	w.key[u] = key
}

// resume is a connection that breaks: what was on the way is lost, and the
// session goes on with another. The server says again which consents have
// ended in this session, the client asks again what was not answered.
func (w *world) resume(u int, m mutants) {
	w.down[u] = nil
	for d := range 2 {
		if w.ended[u][d] && !m.noRepeat {
			w.down[u] = append(w.down[u], frame{code: chatproto.RVKD, d: d})
		}
	}
	w.up[u] = slices.Clone(w.asks[u])
}

// judge says what is wrong with a state, if anything is.
func (w *world) judge(m mutants) string {
	for d := range 2 {
		owner := 1 - d
		p := &w.pair[d]
		quiet := len(w.up[owner]) == 0 && len(w.down[owner]) == 0
		for k := range 2 {
			may := w.given[d].Allows(keyOf(d, k), now)
			if _, any := w.given[d].InForce(now); m.anyKey && any {
				may = true
			}
			inForce := p.state == chatproto.ConsentGranted && p.asker == k
			switch {
			case may && !w.word[d]:
				return "a message passes after the owner took the consent back"
			case may && w.told[d]&(1<<k) == 0:
				return "a message passes from a key that the server never named"
			case may && quiet && !inForce:
				return "a message passes without a consent at the server, and nothing is on the way to end that"
			case !may && quiet && inForce && w.word[d] && !w.local[d]:
				return "a consent is in force, and its owner's client will never let a message pass"
			}
		}
		quiet = len(w.up[d]) == 0 && len(w.down[d]) == 0
		// The other way round need not hold: GETA is sent once, and the asker
		// asks again.
		if had := w.had[d]; quiet && had != "" && (p.state != chatproto.ConsentGranted || had != keyOf(owner, p.owner)) {
			return "an asker's client believes in a consent that is none"
		}
	}
	return ""
}

// search goes breadth first through all interleavings, and returns how many
// states there are, in how many of them a message may pass, and the shortest
// way to a fault.
func search(m mutants, deep, users int) (states, passing int, fault string) {
	type step struct {
		from int
		what string
	}
	first := &world{key: [2]int{0, 0}}
	seen := map[string]bool{first.id(): true}
	queue, steps := []*world{first}, []step{{-1, ""}}
	for i := 0; i < len(queue); i++ {
		for _, mv := range queue[i].moves(m, deep, users) {
			id := mv.next.id()
			if seen[id] {
				continue
			}
			seen[id] = true
			queue, steps = append(queue, mv.next), append(steps, step{i, mv.what})
			if wrong := mv.next.judge(m); wrong != "" {
				way := []string{wrong}
				for j := len(steps) - 1; j > 0; j = steps[j].from {
					way = append(way, steps[j].what)
				}
				slices.Reverse(way)
				return len(queue), passing, strings.Join(way, "; ")
			}
			if _, ok := mv.next.given[0].InForce(now); ok {
				passing++
			}
		}
		queue[i] = nil
	}
	return len(queue), passing, ""
}

// deeper is for a run that takes minutes: each step is about six times as
// long as the one before.
var deeper = flag.Int("deeper", 0, "events more than usual in the search")

func TestNoMessageWithoutConsent(t *testing.T) {
	for _, bound := range []struct{ deep, users int }{{4 + *deeper, 1}, {3 + *deeper, 2}} {
		states, passing, fault := search(mutants{}, bound.deep, bound.users)
		t.Logf("%d events in %d directions: %d states, a message may pass in %d", bound.deep, bound.users, states, passing)
		if fault != "" {
			t.Error(fault)
		}
		if states < 10_000 || passing < 1_000 {
			t.Error("the search is too small to say anything")
		}
	}
}

func TestSearchFindsFaults(t *testing.T) {
	for _, test := range []struct {
		why string
		m   mutants
	}{
		{"an answer that comes after a later word counts for nothing", mutants{anyAnswer: true}},
		{"consent is to a key", mutants{anyKey: true}},
		{"an end may be lost with the connection, so it is repeated", mutants{noRepeat: true}},
		{"another key is another client", mutants{noRekey: true}},
		{"the end of a consent is heeded", mutants{deaf: true}},
		{"the owner's own word counts at once", mutants{late: true}},
	} {
		_, _, fault := search(test.m, 4, 1)
		t.Logf("%s: %s", test.why, fault)
		if fault == "" {
			t.Errorf("%s: not found", test.why)
		}
	}
}
