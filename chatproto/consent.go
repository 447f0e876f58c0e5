package chatproto

import "time"

// A ConsentState is where the consent of one ordered pair stands: the asker
// wants the address of the owner. The two directions between two users are
// two pairs (SPEC section 8).
type ConsentState uint8

// The states of a consent.
const (
	ConsentNone ConsentState = iota
	ConsentRequested
	ConsentGranted
)

var consentStates = [...]string{"None", "Requested", "Granted"}

func (s ConsentState) String() string { return consentStates[s] }

// InForce reports whether the asker may write to the owner.
func (s ConsentState) InForce() bool { return s == ConsentGranted }

// A ConsentEvent is something that happens to a pair.
type ConsentEvent uint8

// The events of a consent.
const (
	ConsentAsk     ConsentEvent = iota // the asker sends ADDR
	ConsentGrant                       // the owner sends CNST
	ConsentRevoke                      // the owner sends RVKE
	ConsentBlock                       // the owner blocks the asker
	ConsentExpire                      // the time of the request or of the grant is up
	ConsentGone                        // either one's session ends
	ConsentMove                        // the owner sends a new LSTN
	ConsentReplace                     // either one's session is replaced by another
	ConsentRekey                       // either one registers another key
)

var consentEvents = [...]string{"ADDR", "CNST", "RVKE", "block", "expire", "logout", "LSTN", "replaced", "key"}

func (e ConsentEvent) String() string { return consentEvents[e] }

// A ConsentRule is one row of the table: what an event does in a state.
type ConsentRule struct {
	State  ConsentState
	Event  ConsentEvent
	Next   ConsentState
	Reply  Code   // the answer to the event's sender, 0 if the event is no request of this kind
	Notify Code   // RQST to the owner, GETA to the asker, RVKD to both; 0 for silence
	Why    string // why= of RVKD
}

// How long things last, and how often they are told (SPEC section 8).
const (
	ConsentRequestTTL = 10 * time.Minute // of a request
	ConsentGrantTTL   = 10 * time.Minute // of a grant
	ConsentAskEvery   = time.Minute      // RQST to the owner, for one pair, at most this often
)

// consentRules is the one table of consent.
var consentRules = []ConsentRule{
	{ConsentNone, ConsentAsk, ConsentRequested, ReplyAsked, RQST, ""},
	{ConsentNone, ConsentGrant, ConsentNone, ReplyNotAsked, 0, ""},
	{ConsentNone, ConsentRevoke, ConsentNone, ReplyOK, 0, ""},
	{ConsentNone, ConsentBlock, ConsentNone, 0, 0, ""},
	{ConsentNone, ConsentExpire, ConsentNone, 0, 0, ""},
	{ConsentNone, ConsentGone, ConsentNone, 0, 0, ""},
	{ConsentNone, ConsentMove, ConsentNone, 0, 0, ""},
	{ConsentNone, ConsentReplace, ConsentNone, 0, 0, ""},
	{ConsentNone, ConsentRekey, ConsentNone, 0, 0, ""},

	{ConsentRequested, ConsentAsk, ConsentRequested, ReplyAsked, RQST, ""},
	{ConsentRequested, ConsentGrant, ConsentGranted, ReplyOK, GETA, ""},
	{ConsentRequested, ConsentRevoke, ConsentNone, ReplyOK, 0, ""},
	{ConsentRequested, ConsentBlock, ConsentNone, 0, 0, ""},
	{ConsentRequested, ConsentExpire, ConsentNone, 0, 0, ""},
	{ConsentRequested, ConsentGone, ConsentNone, 0, 0, ""},
	{ConsentRequested, ConsentMove, ConsentRequested, 0, 0, ""},
	{ConsentRequested, ConsentReplace, ConsentNone, 0, 0, ""},
	{ConsentRequested, ConsentRekey, ConsentNone, 0, 0, ""},

	{ConsentGranted, ConsentAsk, ConsentGranted, ReplyAsked, GETA, ""},
	{ConsentGranted, ConsentGrant, ConsentGranted, ReplyOK, GETA, ""},
	{ConsentGranted, ConsentRevoke, ConsentNone, ReplyOK, RVKD, "revoked"},
	{ConsentGranted, ConsentBlock, ConsentNone, 0, RVKD, "blocked"},
	{ConsentGranted, ConsentExpire, ConsentNone, 0, RVKD, "expired"},
	{ConsentGranted, ConsentGone, ConsentNone, 0, RVKD, "gone"},
	{ConsentGranted, ConsentMove, ConsentNone, 0, RVKD, "gone"},
	{ConsentGranted, ConsentReplace, ConsentNone, 0, RVKD, "gone"},
	{ConsentGranted, ConsentRekey, ConsentNone, 0, RVKD, "gone"},
}

// Step returns the row for an event in this state.
func (s ConsentState) Step(e ConsentEvent) ConsentRule {
	return consentRules[int(s)*len(consentEvents)+int(e)]
}

// ConsentRules returns the table, ordered by state and event.
func ConsentRules() []ConsentRule { return append([]ConsentRule(nil), consentRules...) }
