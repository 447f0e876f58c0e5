package chatproto

import "strings"

// A Version is the protocol as a value: its codes, what is allowed in which
// phase, and its limits. Versions are immutable; a new one is a new value,
// with new tables and golden files, and no branch through the code.
type Version struct {
	Number   int
	Codes    []CodeInfo
	Requests []RequestRule
	Phases   []PhaseRule
	Limits   Limits
}

// Limits are the numbers of a version (SPEC section 10). Everything that one
// end can make the other keep has one.
type Limits struct {
	Frame         int // octets of a line, its end included
	LoginFrame    int // octets of a client's line before the login, its end included
	LineSkip      int // octets without an end of line after which the connection closes
	BadLines      int // bad lines in a row after which the connection closes
	Fields        int // fields of a frame
	Key           int // octets of a key
	Name          int // octets of a user name
	Text          int // octets of a message's text, encoded
	Window        int // request numbers from the lowest unanswered one
	Unanswered    int // requests without a reply before the server stops reading
	InFlight      int // deliveries not yet acknowledged on a connection
	InFlightBytes int // their octets
	Origins       int // origins of a user
	Page          int // entries of one list reply
	Blocks        int // users that one user may have blocked
}

// V1 is version 1.
var V1 = &Version{
	Number:   1,
	Codes:    codesV1,
	Requests: requestsV1,
	Phases:   phasesV1,
	Limits: Limits{
		Frame:         8192,
		LoginFrame:    2048,
		LineSkip:      64 << 10,
		BadLines:      10,
		Fields:        16,
		Key:           16,
		Name:          64,
		Text:          7168,
		Window:        256,
		Unanswered:    512,
		InFlight:      256,
		InFlightBytes: 1 << 20,
		Origins:       16,
		Page:          1000,
		Blocks:        1000,
	},
}

// info returns the row of code, nil if the version does not know it.
func (v *Version) info(code Code) *CodeInfo {
	for i := range v.Codes {
		if v.Codes[i].Code == code {
			return &v.Codes[i]
		}
	}
	return nil
}

// Known reports whether the version knows the code at all.
func (v *Version) Known(code Code) bool { return v.info(code) != nil }

// Negotiate picks the highest of the supported versions that is among those
// offered, a list such as "1,2" as the v= field of HELO has it. It returns an
// [Error] with code 501 for a list that is none, and with 505 when there is
// no common version.
func Negotiate(offered string, supported ...*Version) (*Version, error) {
	var best *Version
	for s := range strings.SplitSeq(offered, ",") {
		n, ok := ParseUint([]byte(s))
		if !ok || n == 0 {
			return nil, &Error{Code: ReplyBadField, Text: "v= takes version numbers with commas between them, such as v=1"}
		}
		for _, v := range supported {
			if uint64(v.Number) == n && (best == nil || v.Number > best.Number) {
				best = v
			}
		}
	}
	if best == nil {
		return nil, &Error{Code: ReplyNoVersion}
	}
	return best, nil
}
