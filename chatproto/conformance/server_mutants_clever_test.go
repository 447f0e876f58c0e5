package conformance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// cleverServerMutants remember what was said.
var cleverServerMutants = []mutant{
	{"one 201 is lost", func(p *party) {
		n := 0
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "201") {
				if n++; n == 2 {
					return nil
				}
			}
			return []string{line}
		}
	}},
	{"a delivery is sent twice", func(p *party) {
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				return []string{line, line}
			}
			return []string{line}
		}
	}},
	{"what is delivered again has another id", func(p *party) {
		late := false
		p.down = func(line string) []string {
			if strings.HasPrefix(line, "230") {
				late = !strings.Contains(line, " mail=0")
			}
			if late {
				line = regexp.MustCompile(` id=(\w+)\.`).ReplaceAllString(line, " id=${1}1.")
			}
			return []string{line}
		}
	}},
	{"replies change places", func(p *party) {
		held := ""
		p.down = func(line string) []string {
			if line[0] < '2' || line[0] > '5' || !strings.Contains(line, " n=") {
				return []string{line}
			}
			if held == "" && strings.HasPrefix(line, "201") {
				held = line
				return nil
			}
			lines := []string{line}
			if held != "" {
				lines = append(lines, held)
				held = ""
			}
			return lines
		}
	}},
	{"a run of replies is one short", func(p *party) {
		p.down = func(line string) []string {
			m := regexp.MustCompile(`^201 n=(\d+)-(\d+)`).FindStringSubmatch(line)
			if m == nil {
				return []string{line}
			}
			hi, _ := strconv.Atoi(m[2])
			return []string{strings.Replace(line, "-"+m[2], fmt.Sprint("-", hi-1), 1)}
		}
	}},
	{"an accepted number is refused when it comes again", again("201", "455")},
	{"a refused number is accepted when it comes again", func(p *party) { p.down = replace(`^455 (n=\d+).*`, "201 $1 how=stored") }},
	{"a refused number gets its old refusal", func(p *party) { p.down = replace(`^455 (n=\d+).*`, "550 $1 :no") }},
	{"the window is one number short", func(p *party) {
		high := 0
		p.down = func(line string) []string {
			if n := number(line); n > high && n < 1<<32 && strings.HasPrefix(line, "201") {
				high = n
			} else if n > 0 && n == high-255 && strings.HasPrefix(line, "201") {
				line = fmt.Sprintf("455 n=%d", n)
			}
			return []string{line}
		}
	}},
	{"the window is one number long", func(p *party) {
		high := 0
		p.down = func(line string) []string {
			if n := number(line); n > high && n < 1<<32 && strings.HasPrefix(line, "201") {
				high = n
			} else if n > 0 && n == high-256 && strings.HasPrefix(line, "455") {
				line = fmt.Sprintf("201 n=%d how=stored", n)
			}
			return []string{line}
		}
	}},
	{"tags are decided", func(p *party) {
		high := 0
		p.up = func(line string) []string {
			switch n := number(line); {
			case !strings.HasPrefix(line, "SEND"):
				high = max(high, n)
			case n > 0 && n < high:
				line = fmt.Sprint("SEND n=", n) // which is refused
			}
			return []string{line}
		}
	}},
	{"acknowledgements are not heeded", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "ACKD") {
				return nil
			}
			return []string{line}
		}
	}},
	{"an acknowledgement takes all that was delivered", countDeliveries(func(line string, n int) []string {
		if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil && m[1] != "0" {
			return []string{fmt.Sprintf("ACKD count=%d", n)}
		}
		return []string{line}
	})},
	{"ACKD may count what was not delivered", countDeliveries(func(line string, n int) []string {
		if m := regexp.MustCompile(`^ACKD count=(\d+)$`).FindStringSubmatch(line); m != nil && number(" n="+m[1]) > n {
			return nil
		}
		return []string{line}
	})},
	{"writing is delivering for everybody", func(p *party) {
		n := 0
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "ACKD") {
				return nil
			}
			return []string{line}
		}
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				n++
				go p.write(p.b, fmt.Appendf(nil, "ACKD count=%d\r\n", n))
			}
			return []string{line}
		}
	}},
	{"a lost connection ends the session", func(p *party) {
		quit := false
		p.up = func(line string) []string {
			quit = quit || strings.HasPrefix(line, "QUIT")
			return []string{line}
		}
		p.gone = func() {
			if !quit {
				p.write(p.b, []byte("QUIT\r\n"))
			}
		}
	}},
	{"a broadcast comes back to its sender", func(p *party) {
		p.up = func(line string) []string {
			if strings.HasPrefix(line, "CAST n=1 ") && p.user != "" {
				p.write(p.a, fmt.Appendf(nil, "BCST from=%s id=1.1 t=1 :%s: x\r\n", p.user, p.user))
			}
			return []string{line}
		}
		p.down = p.learn
	}},
	{"everybody is told who comes and goes", tellAll(func(about, to *party) bool { return about.user != to.user })},
	{"users are told of themselves", tellAll(func(about, to *party) bool { return about.user == to.user })},
	{"a connection is not closed", func(p *party) { p.deaf = true }},
	{"who does not exist has no password", func(p *party) {
		p.up = func(line string) []string {
			if m := regexp.MustCompile(`^AUTH user=no(body|one)-\w+$`).FindString(line); m != "" {
				line += " pass=x"
			}
			return []string{line}
		}
	}},
	{"a text is cut at 7,000 octets", func(p *party) { p.down = cut(7000) }},
	{"names without an account have salts that change", func(p *party) {
		p.up = func(line string) []string {
			p.wants = strings.Contains(line, " user=no")
			return []string{line}
		}
		p.down = func(line string) []string {
			if p.wants && strings.HasPrefix(line, "334") {
				p.others.mu.Lock()
				defer p.others.mu.Unlock()
				p.others.n++
				line = regexp.MustCompile(`,s=..`).ReplaceAllString(line, fmt.Sprintf(",s=%02d", 10+p.others.n%80))
			}
			return []string{line}
		}
	}},
	{"boot= differs on each connection", func(p *party) {
		p.down = replace(` boot=\w+`, fmt.Sprintf(" boot=%p", p))
	}},
	{"a full mailbox refuses as if the user were unknown", func(p *party) { p.down = replace(`^452`, "550") }},
	{"a broadcast does not count whom it skipped", func(p *party) { p.down = replace(` skipped=\d+`, "") }},
	{"what follows QUIT is done first", func(p *party) {
		held := ""
		p.up = func(line string) []string {
			switch {
			case line == "QUIT":
				held = line
				return nil
			case held != "":
				held = ""
				return []string{line, "QUIT"}
			}
			return []string{line}
		}
		p.down = func(line string) []string { return []string{line} }
	}},
	{"the list has the asker in it", func(p *party) {
		p.down = func(line string) []string {
			if n := regexp.MustCompile(`^211( n=\d+)?`).FindStringSubmatch(line); n != nil && p.user != "" {
				return []string{fmt.Sprintf("111 user=%s%s :%s", p.user, n[1], p.user), line}
			}
			return p.learn(line)
		}
	}},
}

// again answers a request whose number was answered before with another code.
func again(first, then string) func(*party) {
	return func(p *party) {
		seen := map[int]bool{}
		p.down = func(line string) []string {
			if n := number(line); n > 0 && strings.HasPrefix(line, first) {
				if seen[n] {
					line = fmt.Sprintf("%s n=%d", then, n)
				}
				seen[n] = true
			}
			return []string{line}
		}
	}
}

// countDeliveries changes what goes up, knowing how many deliveries went down.
func countDeliveries(change func(line string, n int) []string) func(*party) {
	return func(p *party) {
		var n counter
		p.down = func(line string) []string {
			if strings.Contains(line, " id=") {
				n.add(1)
			}
			return []string{line}
		}
		p.up = func(line string) []string { return change(line, n.add(0)) }
	}
}

// tellAll sends PRES about each login to those whom it chooses.
func tellAll(choose func(about, to *party) bool) func(*party) {
	return func(p *party) {
		p.up = func(line string) []string {
			p.wants = p.wants || strings.HasPrefix(line, "HELO") && strings.Contains(line, " pres=1")
			return []string{line}
		}
		p.down = func(line string) []string {
			was := p.user
			lines := p.learn(line)
			if was == "" && p.user != "" {
				p.others.mu.Lock()
				defer p.others.mu.Unlock()
				for _, o := range p.others.parties {
					if o.user != "" && o.wants && choose(p, o) {
						go o.write(o.a, fmt.Appendf(nil, "PRES user=%s on=1 :%s logged in\r\n", p.user, p.user))
					}
				}
			}
			return lines
		}
	}
}
