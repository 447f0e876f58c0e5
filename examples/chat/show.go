package main

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatclient"
)

// A style says how lines are decorated. The zero style decorates nothing.
type style struct {
	colour bool // a colour for each name
	times  bool // the time before each line
}

// line returns a text that somebody sent, or the server, as it goes onto the
// screen (SPEC section 9.3): its lines after the first are indented, so that
// nobody can write one that looks as if somebody else had. The name at its
// start, if there is one, gets a colour; the characters stay as they are.
func (s style) line(at time.Time, name, text string) string {
	text = chatclient.Display(text)
	if name != "" && strings.HasPrefix(text, name) && chatclient.Display(name) == name {
		text = s.paint(colour(name), name, text)
	}
	return s.stamped(at, text)
}

// alarm returns a text whose first words must be seen.
func (s style) alarm(at time.Time, words, text string) string {
	return s.stamped(at, s.paint("\x1b[1;31m", chatclient.Display(words), chatclient.Display(text)))
}

// paint gives the head of a text a colour.
func (s style) paint(colour, head, text string) string {
	if !s.colour {
		return text
	}
	return colour + head + "\x1b[0m" + text[len(head):]
}

func (s style) stamped(at time.Time, text string) string {
	if !s.times {
		return text
	}
	return stamp(at) + text
}

// greeting returns the server's welcome, whose lines stand as they are.
func greeting(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = chatclient.Display(l)
	}
	return strings.Join(lines, "\n")
}

// stamp is the time of day, with the date before it if that is not today.
func stamp(at time.Time) string {
	at = at.Local()
	layout := "15:04:05 "
	if now := time.Now(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = "2006-01-02 15:04:05 "
	}
	return at.Format(layout)
}

// colour picks one of the colours that can be read on black and on white, the
// same for a name every time.
func colour(name string) string {
	colours := [...]int{31, 32, 33, 34, 35, 36}
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("\x1b[%dm", colours[h.Sum32()%uint32(len(colours))])
}
