package handshake

import (
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Password prepares a password, so that both ends derive the same keys of it
// however it was typed: by the profile OpaqueString of PRECIS (RFC 8265),
// which composes letters with their accents and makes every kind of space a
// plain one. What the profile refuses (an empty password, control characters,
// characters younger than its tables) is returned as it is.
func Password(password string) string {
	prepared, err := precis.OpaqueString.String(password)
	if err != nil || !utf8.ValidString(password) {
		return password
	}
	return prepared
}
