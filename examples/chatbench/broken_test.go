package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// nth does something with the n-th line that matches, from 1, and passes the
// others on.
func nth(n int, pattern string, do func(line string) []string) func(string) []string {
	re, seen := regexp.MustCompile(pattern), 0
	return func(line string) []string {
		if re.MatchString(line) {
			if seen++; seen == n {
				return do(line)
			}
		}
		return []string{line}
	}
}

// all does something with each line that matches.
func all(pattern string, do func(line string) []string) func(string) []string {
	re := regexp.MustCompile(pattern)
	return func(line string) []string {
		if re.MatchString(line) {
			return do(line)
		}
		return []string{line}
	}
}

func drop(string) []string                   { return nil }
func twice(line string) []string             { return []string{line, line} }
func turn(with string) func(string) []string { return func(string) []string { return []string{with} } }

// swap has the n-th line that matches change places with the next one that
// does, if both are of the same pattern's first group.
func swap(n int, pattern string) func(string) []string {
	re, seen, held := regexp.MustCompile(pattern), 0, ""
	return func(line string) []string {
		if !re.MatchString(line) {
			return []string{line}
		}
		switch seen++; seen {
		case n:
			held = line
			return nil
		case n + 1:
			return []string{line, held}
		}
		return []string{line}
	}
}

// A server that loses, repeats or reorders messages or answers is found, by
// every workload that could see it; one that does not is not accused.
func TestBroken(t *testing.T) {
	replace := func(old, with string) func(string) []string {
		return func(line string) []string { return []string{strings.Replace(line, old, with, 1)} }
	}
	late := `^MESG from=bench0 .* :bench0: 000000000000000[23]`
	type spoilt struct {
		why   string
		args  string
		fault func(string) []string // counts, and so serves once
		want  string                // "": no error
	}
	table := func() []spoilt {
		return []spoilt{
			{"nothing", "-w1 -w2 -w3 -w5", func(line string) []string { return []string{line} }, ""},
			{"a message is lost", "-w2", nth(3, `^MESG from=bench0 `, drop), `bench1 was delivered message 3 of bench0 where 2 was due`},
			{"a message is repeated", "-w2", nth(3, `^MESG from=bench0 `, twice), `bench1 was delivered message 2 of bench0 a second time, or too late: 3 was due`},
			{"two messages change places", "-w2", swap(1, late), `bench1 was delivered message 3 of bench0 where 2 was due`},
			{"a text is changed", "-w2", nth(3, `^MESG from=bench0 `, replace("xyz", "xyy")), `bench1 was delivered a message of bench0 with another text than it was sent with`},
			{"a text is cut", "-w2", nth(3, `^MESG from=bench0 `, func(line string) []string { return []string{line[:len(line)-1]} }), `with another text`},
			{"a sender is changed", "-w2", nth(3, `^MESG from=bench0 `, replace("from=bench0", "from=bench2")), `bench1 was delivered a message from "bench2" that is bench0's`},
			{"an id is changed", "-w2", nth(3, `^MESG from=bench0 `, func(line string) []string {
				return []string{regexp.MustCompile(`\.\d+ `).ReplaceAllString(line, ".1 ")}
			}), `bench1 was delivered message 2 of bench0 as number 1 of its origin, after 2`},
			{"an id is missing its number", "-w2", nth(3, `^MESG from=bench0 `, func(line string) []string {
				return []string{regexp.MustCompile(`\.\d+ `).ReplaceAllString(line, ". ")}
			}), `bench1 was delivered a message without a readable id`},
			{"an answer is lost", "-w2 -window 1 -pairs 1", nth(3, `^201 `, drop), `answers: nothing arrived for|messages: nothing arrived for`},
			{"an answer is lost among others", "-w2", nth(3, `^201 `, drop), `got an answer to message \d+ where that to \d+ was due|nothing arrived for`},
			{"an answer is repeated", "-w2", nth(3, `^201 `, twice), `got a second answer to message \d+`},
			{"an answer answers what was not sent", "-w2 -pairs 1 -window 1", nth(3, `^201 `, turn("201 n=3-99 how=stored")), `bench0 got an answer to message 99, which was not sent`},
			{"an answer has no number", "-w2", nth(3, `^201 `, turn("201 how=stored")), `got an answer without a number`},
			{"a message is refused", "-w2", nth(3, `^201 `, func(line string) []string {
				return []string{regexp.MustCompile(`^201 n=(\d+)\S* how=\w+`).ReplaceAllString(line, "452 n=$1")}
			}), `message \d+ of bench\d was refused: 452`},
			{"a line is no frame", "-w2", nth(3, `^MESG`, replace("MESG ", "MESG  ")), `was sent a line that is no frame`},
			{"a line is too long", "-w1", nth(3, `^MESG`, turn("MESG "+strings.Repeat("x", 70_000))), `was sent a line of more than 8192 octets`},
			{"a broadcast is lost for one", "-w3", nth(8, `^BCST`, drop), `was delivered message \d+ of bench0 where \d+ was due`},
			{"a broadcast is repeated for one", "-w3", nth(8, `^BCST`, twice), `was delivered message \d+ of bench0 a second time`},
			{"a ping is repeated", "-w1", nth(3, `^MESG from=bench0 `, twice), `bench1 was delivered message 2 of bench0 a second time`},
			{"mail is lost", "-w5", nth(3, `^MESG from=bench0 .* :bench0: 0000000000000000`, drop), `was delivered message 1 of bench0 where 0 was due`},
			{"mail is repeated", "-w5", nth(3, `^MESG from=bench0 `, twice), `was delivered message \d+ of bench0 a second time`},
			{"the mail of one sender is lost", "-w5 -senders 1", all(`^MESG from=bench0 `, drop), `bench\d still misses \d+ messages that were accepted, and got 0`},
			{"the server hangs up", "-w2", nth(3, `^MESG`, turn("GBYE why=shutdown :The server is shutting down")), `the server ended the connection of bench\d: The server is shutting down`},
			{"no idle client is left", "-w4", nth(3, `^221`, turn("GBYE why=timeout :You were silent for too long")), `the server ended the connection of bench\d: You were silent`},
			{"the mail of the deaf is lost", "strangers -kind never-read", all(`^MESG from=bench2 .* :bench2: 0000000000000001`, drop), `was delivered message 2 of bench2 where 1 was due`},
			{"the mail of the deaf is repeated", "strangers -kind never-read", all(`^MESG from=bench2 .* :bench2: 0000000000000001`, twice), `was delivered message 1 of bench2 a second time`},
			{"the visitor's message is lost", "strangers", nth(1, `^MESG from=bench0 `, drop), `bench1 was delivered message 1 of bench0 where 0 was due|messages to a friend: nothing arrived`},
		}
	}
	for i, tt := range table() {
		t.Run(tt.why, func(t *testing.T) {
			t.Parallel()
			var err error
			for duration := 200 * time.Millisecond; duration < time.Minute; duration *= 2 {
				var happened atomic.Bool
				fault := table()[i].fault
				addr := startProxy(t, serve(t, nil), func(line string) []string {
					lines := fault(line)
					if len(lines) != 1 || lines[0] != line {
						happened.Store(true)
					}
					return lines
				})
				err = run(t.Context(), append(brokenArgs(tt.args, tt.want, duration), "-addr", addr), nil, io.Discard, io.Discard)
				if err != nil || tt.want == "" || happened.Load() {
					break
				} // else the time was too short for a slow machine
			}
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) {
				t.Errorf("it ends with %v, want %s", err, tt.want)
			}
		})
	}
}

// brokenArgs makes the arguments whole. What is lost for good is waited for,
// whatever else is wrong is seen when it comes.
func brokenArgs(args, want string, duration time.Duration) []string {
	whole := strings.Fields(args)
	if whole[0] == "strangers" {
		whole = append(whole, "-conns", "20", "-senders", "2", "-messages", "5", "-awake=false", "-q")
	} else {
		whole = append(slices.Clone(small), whole...)
	}
	patience := "30s"
	if strings.Contains(want, "nothing arrived") || strings.Contains(want, "still misses") {
		patience = "4s"
	}
	return append(whole, "-duration", duration.String(), "-patience", patience)
}

// The error of a server that breaks its promise can be told from others.
func TestBrokenIs(t *testing.T) {
	if err := fmt.Errorf("w2: %w", broken("x")); !errors.Is(err, errBroken) {
		t.Errorf("%v is not %v", err, errBroken)
	}
}

// Every user gets what the senders' shares say, whatever their number.
func TestShares(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for i := range 4 {
			to := roundRobin(0, n, i)
			got := make([]uint64, n)
			for sent := uint64(0); sent < 30; sent++ {
				for j := range n {
					if want := share(sent, n, j, i); got[j] != want {
						t.Fatalf("after %d messages of sender %d to %d users, user %d has %d, and its share is %d", sent, i, n, j, got[j], want)
					}
				}
				name, number := to(sent)
				var j int
				fmt.Sscanf(name, "bench%d", &j)
				if number != got[j] {
					t.Fatalf("message %d has number %d for user %d, who has %d", sent, number, j, got[j])
				}
				got[j]++
			}
		}
	}
}

// What was refused must not arrive, and is not waited for.
func TestRefused(t *testing.T) {
	from := &client{user: "A", origin: 0xa}
	take := func(b *inbox, n, number uint64) error {
		text := newText(20)
		setNumber(text, number)
		return b.take(chatproto.NewFrame(chatproto.MESG, "A: "+string(text), "from", "A", "id", chatproto.ID{Origin: 0xa, N: n}.String()))
	}
	b := newInbox(20)
	s := b.expect(from)
	s.want, s.refused = 5, map[uint64]bool{1: true, 2: true, 4: true}
	if b.missing() != 2 {
		t.Errorf("%d are missing, want 2", b.missing())
	}
	if err := errors.Join(take(b, 1, 0), take(b, 4, 3)); err != nil || b.missing() != 0 {
		t.Errorf("%v, %d are missing", err, b.missing())
	}
	if err := take(b, 5, 4); err == nil {
		t.Error("a refused message may arrive")
	}
	other := chatproto.NewFrame(chatproto.MESG, "A: old", "from", "A", "id", "b.1")
	if err := b.take(other); err != nil || b.old != 1 {
		t.Errorf("mail of an earlier run: %v", err)
	}
}
