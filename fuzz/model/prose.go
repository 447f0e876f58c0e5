package model

import (
	"fmt"
	"strings"
)

// A label says what a step is, about which message and recipient.
type label struct {
	what, then event
	m, r       uint8
}

func does(e event) label          { return label{what: e} }
func (l label) and(e event) label { l.then = e; return l }
func (l label) of(m uint8) label  { l.m = m; return l }
func (l label) by(r int) label    { l.r = uint8(r); return l }

type event uint8

const (
	nothing event = iota
	sends
	resends
	accepts
	refuses
	knows
	refusesAgain
	hearsYes
	hearsNo
	comesBack
	registers
	remembers
	disowns
	begins
	goesOn
	abandons
	sendsLive
	readsLive
	asksOnline
	dropsA
	restartsA
	setsBackA
	seesEnd
	pagesOut
	forgets
	cuts
	cutsEarly
	syncs
	failsUnwritten
	failsWritten
	drained
	crashes
	tears
	losesDisk
	backsUp
	restores
	delivers
	sees
	drops
	writesDown
	acknowledges
	returns
	endsSession
	goesAway
	calls
	failsToReach
	answersCall
	turnsAway
	needsNone
	fencesNewer
	dropsBC
	miscounts
	restartsBC
	lastEvent
)

// sentences say what happens: %m is a message, %r a recipient.
var sentences = [...]string{
	sends:          "A sends %m %to",
	resends:        "A sends %m again",
	accepts:        "the server accepts %m",
	refuses:        "the server refuses %m",
	knows:          "the server has accepted %m before",
	refusesAgain:   "the server takes %m for refused earlier",
	hearsYes:       "A hears that %m is accepted (201)",
	hearsNo:        "A hears that %m is refused",
	comesBack:      "A logs in again",
	registers:      "A sends AUTH; the server registers the origin and answers known=0",
	remembers:      "A sends AUTH; the server holds the origin and answers known=1",
	disowns:        "A sends AUTH and says that it had a 230 before; the server does not know the origin, does not register it, and answers known=0",
	begins:         "A reads the 230, known=0, and begins",
	goesOn:         "A reads the 230, known=1, and goes on",
	abandons:       "A reads the 230, sees that the server does not remember it as it was, leaves, and takes a new origin",
	sendsLive:      "A, still without a 230, sends LIVE",
	readsLive:      "the server reads A's LIVE and takes it for a sign that A had the 230",
	asksOnline:     "A asks who is online; the server sees that A had the 230",
	dropsA:         "** A's connection breaks",
	restartsA:      "** A's program dies and starts again",
	setsBackA:      "** A's memory is replaced by an older one, from before its last message",
	seesEnd:        "the server sees that A's connection is gone",
	pagesOut:       "** A's window leaves the server's memory; the one on the disk counts",
	forgets:        "** the server forgets A's origin",
	cuts:           "the server cuts a batch: %batch",
	cutsEarly:      "the server cuts a batch of what came first: %batch",
	syncs:          "the batch is on the disk",
	failsUnwritten: "** the batch fails, and nothing of it is on the disk",
	failsWritten:   "** the batch fails, though all of it is on the disk",
	drained:        "the server cuts a batch, of which nothing is left: all was acknowledged",
	crashes:        "** the server crashes and starts again",
	tears:          "** the server crashes in the middle of the batch, of which only the windows are on the disk, and starts again",
	losesDisk:      "** the server loses its disk and starts again with an empty one",
	backsUp:        "** a backup of the disk is made",
	restores:       "** the server starts again with the backup",
	delivers:       "the server sends %m to %r",
	sees:           "%r sees %m",
	drops:          "%r drops %m as seen before",
	writesDown:     "%r writes down what it has seen",
	acknowledges:   "%r acknowledges %m",
	returns:        "%r logs in",
	endsSession:    "** %r's session ends",
	goesAway:       "%r goes away, to be called",
	calls:          "the server connects to %r",
	failsToReach:   "** the server does not reach %r",
	answersCall:    "%r logs in on the connection that the server made",
	turnsAway:      "%r logs in on the connection that the server made, and is told that its session is over",
	needsNone:      "the login that %r sent on the connection that the server made comes late, and is told that there is another",
	fencesNewer:    "the login that %r sent on the connection that the server made comes late, and ends the one that %r has",
	dropsBC:        "** %r's connection breaks",
	miscounts:      "** %r's connection breaks, and the next one, on which the server counts what was acknowledged on the old one, breaks too",
	restartsBC:     "** %r's program dies and starts again",
}

// recipient is a recipient's name.
func recipient(r uint8) string { return string(rune('B' + r)) }

// sentence is a label in words. s is the state that the step leads to.
func (x *steps) sentence(l label, s *state) string {
	text := sentences[l.what]
	switch {
	case text == "":
		text = sentences[l.then] + ", which was on its way"
	case l.then != nothing:
		text += "; " + sentences[l.then]
	}
	if l.m != 0 {
		name := fmt.Sprintf("message %d", l.m)
		if id := s.ids[l.m]; id != identOf(0, l.m) {
			name += fmt.Sprintf(" (number %d of origin %d)", id.k(), id.origin()+1)
		}
		to := "to everybody"
		if !x.isCast(l.m) {
			to = "to " + recipient(uint8(x.to(l.m)))
		}
		text = strings.NewReplacer("%m", name, "%to", to).Replace(text)
		if before, after, twice := strings.Cut(text, name); twice {
			text = before + name + strings.ReplaceAll(after, name, "it")
		}
	}
	text = strings.ReplaceAll(text, "%r", recipient(l.r))
	if l.what == cuts || l.what == cutsEarly {
		b := &s.cut[0]
		if s.cut[1].used {
			b = &s.cut[1]
		}
		text = strings.ReplaceAll(text, "%batch", x.contents(b))
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// contents is a batch in words.
func (x *steps) contents(b *batch) string {
	var parts []string
	for m := range b.msgs.each() {
		parts = append(parts, fmt.Sprintf("message %d", m))
	}
	for o := range b.windows {
		if win := b.windows[o]; win != 0 && !x.lacks(WindowWithBodies) {
			parts = append(parts, fmt.Sprintf("the window up to number %d", x.w.high(win)))
		} else if b.rows[o] != 0 {
			parts = append(parts, fmt.Sprintf("the window up to number %d alone", x.w.high(b.rows[o])))
		}
	}
	if b.acks != [recipients]set{} {
		parts = append(parts, "deletions")
	}
	return strings.Join(parts, ", ")
}

// verdict is a violation in words.
func verdict(w wrong, who, m uint8) string {
	r := recipient(who)
	switch w {
	case lost:
		return fmt.Sprintf("LOST: A was told that message %d is accepted. %s has not seen it, and it is not on the disk.", m, r)
	case twice:
		return fmt.Sprintf("TWICE: %s sees message %d again.", r, m)
	case order:
		return fmt.Sprintf("ORDER: %s sees message %d behind a later one.", r, m)
	case neverRefused:
		return fmt.Sprintf("FALSE REFUSAL: A hears that message %d is refused. No server ever refused it.", m)
	case refusedAndSeen:
		return fmt.Sprintf("REFUSED AND SEEN: A sent message %d once and hears that it is refused. %s has seen it.", m, r)
	case needless:
		return fmt.Sprintf("NEEDLESS: A gives its origin up and will never know what became of message %d. No server has forgotten anything.", m)
	case stuck:
		return fmt.Sprintf("STUCK: nothing goes wrong any more, and message %d waits for ever.", m)
	case unseen:
		return fmt.Sprintf("NEVER SEEN: A was told that message %d is accepted. %s will never see it.", m, r)
	case perhapsSeen:
		return fmt.Sprintf("MAYBE DELIVERED (section 6.7 b): message %d was sent again and refused, and %s has seen it.", m, r)
	case passedBy:
		return fmt.Sprintf("PASSED BY: %s has a connection, and broadcast %d is not for it.", r, m)
	case outsider:
		return fmt.Sprintf("OUTSIDE ITS AUDIENCE (section 6.7 c): %s has seen broadcast %d, which was accepted without it in the end.", r, m)
	}
	return ""
}
