package chatserver

import (
	"errors"
	"slices"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"

	"github.com/parleyproto/parley/chatproto"
)

// CheckAccountName reports what keeps name from being that of a new account
// (SPEC section 3.5): it is longer than 64 octets or has spaces, control or
// format characters; the profile UsernameCasePreserved of PRECIS (RFC 8265)
// would change or refuse it; or it mixes scripts, so that it could look like
// another. nil means that nothing does. Whether there is such an account, or
// one that differs in capitals only, is not its matter.
func CheckAccountName(name string) error {
	if chatproto.CheckName(name) != nil {
		return errors.New("a user name has 1 to 64 octets, without spaces, control and format characters")
	}
	if prepared, err := precis.UsernameCasePreserved.String(name); err != nil || prepared != name {
		return errors.New("a user name has letters, digits and ASCII signs, composed and of ordinary width (RFC 8265)")
	}
	if mixesScripts(name) {
		return errors.New("a user name keeps to one script (or to Latin with Chinese, Japanese or Korean)")
	}
	return nil
}

// foldName makes equal what differs in capitals only (SPEC section 3.5).
func foldName(name string) string { return cases.Fold().String(name) }

// together are the scripts that one writing system mixes: the level "highly
// restrictive" of Unicode's technical standard 39.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// mixesScripts reports whether name has letters of scripts that nobody writes
// together. What all scripts share (digits, signs, accents) counts for none.
func mixesScripts(name string) bool {
	var scripts []string
	for _, r := range name {
		if s := scriptOf(r); s != "" && !slices.Contains(scripts, s) {
			scripts = append(scripts, s)
		}
	}
	if len(scripts) < 2 {
		return false
	}
	return !slices.ContainsFunc(together, func(set []string) bool {
		return !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(set, s) })
	})
}

// scriptOf returns the script that r belongs to, "" if all share it.
func scriptOf(r rune) string {
	if unicode.In(r, unicode.Common, unicode.Inherited) {
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "unassigned"
}
