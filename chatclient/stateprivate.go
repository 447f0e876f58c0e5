package chatclient

import (
	"net/netip"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// What a client asks its state file about private messages. They are letters
// like those through the server, each with the origin of the line that it is
// for. Beside them the file keeps how the user is reached: with that, and if
// the consent is still in force, the next program sends them again.

// A lineState is what a state file says of the private messages to one user,
// as long as it keeps any.
type lineState struct {
	origin, last uint64    // the highest number that may be in use
	until        time.Time // the end of the consent
	way          string    // the key and the places
}

func (l *lineState) record(user string) record {
	return record{recLine, [4]uint64{l.origin, l.last, uint64(l.until.UnixMilli())}, [2]string{user, l.way}}
}

// private reports whether a letter goes straight to its recipient.
func (k *letter) private() bool { return k.verb == chatproto.MESG }

// dropLines forgets the lines for which there are no messages: the next one
// has another origin.
func (m *image) dropLines() {
	used := make(map[string]bool)
	for _, k := range m.letters {
		used[k.to] = used[k.to] || k.private()
	}
	for user := range m.lines {
		if !used[user] {
			delete(m.lines, user)
		}
	}
}

// way is how a user is reached: the key, and the places, with spaces between
// them.
func (g *grant) way() string {
	var b strings.Builder
	b.WriteString(g.key)
	for _, place := range g.places {
		b.WriteString(" " + place.String())
	}
	return b.String()
}

// readWay is the reverse of way.
func readWay(s string) (key string, places []netip.AddrPort) {
	key, list, _ := strings.Cut(s, " ")
	for _, word := range strings.Fields(list) {
		if place, err := netip.ParseAddrPort(word); err == nil {
			places = append(places, place)
		}
	}
	return key, places
}

// privateLetter notes a private message, and how its recipient is reached if
// that is news, and returns the position that must be synced before it is
// sent.
func (s *StateFile) privateLetter(l *dialledLine, g *grant, k *privateCall) uint64 {
	s.reach(l, g)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := (&letter{origin: l.origin, n: k.n, verb: chatproto.MESG, to: l.user, text: k.text}).record()
	return s.note(&r)
}

// reach notes how the recipient of messages is reached, if that is news.
func (s *StateFile) reach(l *dialledLine, g *grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := lineState{origin: l.origin, until: g.until, way: g.way()}
	if old := s.img.lines[l.user]; old != nil && old.origin == now.origin {
		now.last = old.last
		if old.way == now.way && old.until.UnixMilli() == now.until.UnixMilli() {
			return
		}
	}
	r := now.record(l.user)
	s.note(&r)
}

// A leftLine is what an earlier program left for one user.
type leftLine struct {
	lineState
	user  string
	queue []*privateCall // ascending
}

// privateLeft returns the private messages that are not answered, by user in
// the order in which they were first written to.
func (s *StateFile) privateLeft() (left []*leftLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := make(map[source]*leftLine)
	for _, l := range s.img.letters {
		if !l.private() || l.settled {
			continue
		}
		at := source{l.to, l.origin}
		if of[at] == nil {
			of[at] = &leftLine{user: l.to, lineState: lineState{origin: l.origin}}
			if line := s.img.lines[l.to]; line != nil && line.origin == l.origin {
				of[at].lineState = *line
			}
			left = append(left, of[at])
		}
		of[at].last = max(of[at].last, l.n)
		of[at].queue = append(of[at].queue, &privateCall{n: l.n, text: l.text, writes: 1, leftover: true, done: make(chan struct{})})
	}
	return left
}

// privateSettled notes the outcome of a message of an earlier program, until
// it is told.
func (s *StateFile) privateSettled(id chatproto.ID, a answer) uint64 {
	r := (&letter{origin: id.Origin, n: id.N, outcome: a}).settle()
	return s.append(&r)
}
