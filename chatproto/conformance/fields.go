package conformance

import (
	"encoding/base64"
	"net/netip"
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

// The fields of section 4, as the suite reads them: by code, key:form for each
// one, a ? before those that may be missing. A test compares them with the
// tables of SPEC.md. Fields that are not listed are allowed and not looked at.

// serverFields are those of what a server sends.
var serverFields = map[string]string{
	"220":  "v:number mech:list boot:token t:time ?caps:list",
	"334":  "data:any",
	"230":  "user:name new:flag known:flag high:number mail:number ?origin:origin ?beat:ms ?pres:flag ?token:token ?data:any",
	"535":  "?left:number",
	"450":  "retry:ms",
	"200":  "?key:key ?ttl:ms ?s:number ?lease:ms ?n:n",
	"201":  "how:how ?n:n ?skipped:number",
	"MESG": "from:name id:id t:time",
	"BCST": "from:name id:id t:time",
	"111":  "user:name ?n:n",
	"211":  "?more:name ?n:n",
	"PRES": "user:name on:flag",
	"RQST": "user:name ?key:key",
	"GETA": "user:name addr:address port:port ttl:ms ?key:key ?cand:places",
	"RVKD": "user:name owner:name why:token",
	"RLAY": "user:name s:number",
	"RDAT": "s:number ?data:base64 ?ack:number ?end:flag",
	"GBYE": "?why:token ?retry:ms",
	"421":  "?retry:ms",
	"429":  "?retry:ms ?n:n",
	"500":  "?at:number ?n:n",
}

// clientFields are those of what a client sends.
var clientFields = map[string]string{
	"HELO": "v:numbers ?acks:flag ?beat:ms ?pres:flag ?caps:list",
	"AUTH": "?mech:list ?user:name ?pass:any ?origin:origin ?known:flag ?token:token ?data:any",
	"SEND": "to:name ?n:n",
	"CAST": "?n:n",
	"ACKD": "count:number",
	"ONLN": "?after:name ?n:n",
	"BLOK": "user:name ?n:n",
	"UBLK": "user:name ?n:n",
	"LSTN": "?port:port ?key:key ?sig:base64 ?cand:places ?dial:port ?n:n",
	"ADDR": "user:name ?n:n",
	"CNST": "user:name ?n:n",
	"RVKE": "user:name ?n:n",
	"RLAY": "user:name ?n:n",
	"RDAT": "s:number ?data:base64 ?ack:number ?end:flag",
	"QUIT": "?n:n",
	"PEER": "v:number from:name to:name origin:origin",
}

// faultOf says what is wrong with the fields of a frame, "" if nothing is.
func faultOf(rules map[string]string, h *heard) string {
	for rule := range strings.FieldsSeq(rules[h.frame.Code.String()]) {
		rule, optional := strings.CutPrefix(rule, "?")
		key, form, _ := strings.Cut(rule, ":")
		value, has := h.frame.Get(key)
		switch {
		case !has && !optional:
			return "the field " + key + "= is missing (section 4): " + quoted(h.line)
		case has && !hasForm(form, string(value)):
			return key + "= has not the form of a " + form + " (section 3.4): " + quoted(h.line)
		}
	}
	return ""
}

// hasForm reports whether a value is of a form of section 3.4.
func hasForm(form, v string) bool {
	n, isNumber := chatproto.ParseUint([]byte(v))
	switch form {
	case "number", "time", "ms":
		return isNumber
	case "n":
		_, _, ok := (&chatproto.Frame{Fields: []chatproto.Field{{Key: []byte("n"), Value: []byte(v)}}}).Range("n")
		return ok
	case "numbers":
		return all(v, ",", func(s string) bool { return hasForm("number", s) })
	case "flag":
		return v == "0" || v == "1"
	case "name":
		return chatproto.CheckName(v) == nil
	case "origin":
		_, ok := chatproto.ParseOrigin([]byte(v))
		return ok && v[0] != '0'
	case "id":
		id, ok := chatproto.ParseID([]byte(v))
		return ok && id.String() == v
	case "port":
		return isNumber && n >= 1024 && n <= 65535
	case "address":
		ip, err := netip.ParseAddr(v)
		return err == nil && !ip.Is4In6() && ip.Zone() == "" && ip.String() == v
	case "list":
		return all(v, ",", func(s string) bool { return consistsOf(s, isListOctet) })
	case "base64":
		_, err := base64.StdEncoding.DecodeString(v)
		return err == nil
	case "key":
		hex, ok := strings.CutPrefix(v, "ed25519:")
		return ok && len(hex) == 64 && consistsOf(hex, isHexDigit)
	case "places":
		return strings.Count(v, ",") < 8 && all(v, ",", isPlace)
	case "token":
		return consistsOf(v, isTokenOctet)
	case "how":
		return v == "stored" || v == "delivered"
	}
	return true // any
}

func all(s, sep string, ok func(string) bool) bool {
	for part := range strings.SplitSeq(s, sep) {
		if !ok(part) {
			return false
		}
	}
	return true
}

func consistsOf(s string, ok func(rune) bool) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0
}

// isPlace reports whether s is an address and a port.
func isPlace(s string) bool {
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Port() > 0 && !ap.Addr().Is4In6() && ap.Addr().Zone() == "" && ap.String() == s
}

func isHexDigit(r rune) bool { return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' }

func isTokenOctet(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' }

func isListOctet(r rune) bool { return isTokenOctet(r) || 'A' <= r && r <= 'Z' }
