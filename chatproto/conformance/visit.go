package conformance

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A visit is a connection that the client under test made to the suite.
// Whatever a case is about, each frame that comes is checked: that it is
// canonical, has its fields, is allowed in the phase, and that its number is
// one that it may have now.
type visit struct {
	stream
	memory *clientMemory
	serial bool   // the client waits for the answer to one message before it takes the next
	echoes bool   // no case looks at what the client sends
	origin string // of its AUTH

	// Guarded by mu.
	machine  *chatproto.Machine
	requests []*heard // not looked at yet; LIVE, ACKD and what is answered by itself left out
	owed     []*heard // not answered yet
	helo     *heard
	acks     bool
	counted  uint64 // deliveries that were sent
	acked    uint64 // of them, acknowledged
	lives    int
	last     uint64 // the highest number that came on this connection
	quit     bool
	boot     string // of the 220 that was sent
	user     string // of the 230
	listens  *heard // the last LSTN, nil before one came
	listened []*heard
	lease    int // of an LSTN with dial=, in milliseconds
	lastLine time.Time
	out      []byte // on its way to the client
	begun    []byte // the line that is being sent by raw
	closed   bool   // the connection ends behind it
}

// A clientMemory is what a case remembers of the numbers that a client used,
// over all its connections; the mutex of the visit that hears guards it.
type clientMemory struct {
	lines map[string]string // by origin and number: the request
	open  map[string]bool   // of those, SEND and CAST that are not answered
	plain map[string]bool   // by origin: whether its messages have no numbers
	high  map[string]uint64 // by origin: the highest number of a SEND or CAST
	lists bool              // the case waits for ONLN
}

func newClientMemory() *clientMemory {
	return &clientMemory{lines: map[string]string{}, open: map[string]bool{}, plain: map[string]bool{}, high: map[string]uint64{}}
}

func newVisit(k *clientCase, nc net.Conn) *visit {
	v := &visit{memory: k.memory, serial: k.suite.serial, echoes: k.suite.key != nil, machine: chatproto.V1.Machine()}
	v.begin(k.check, strconv.Itoa(len(k.past)+1), nc, v.take)
	go v.deliver()
	return v
}

// deliver writes what is on its way to the client, so that nobody waits for a
// client that does not read.
func (v *visit) deliver() {
	for {
		v.mu.Lock()
		out, over, closed, changed := v.out, v.over, v.closed, v.changed
		v.out = nil
		v.mu.Unlock()
		switch {
		case len(out) > 0:
			if v.write(out) == nil {
				continue
			}
			v.nc.Close()
			return
		case closed:
			v.nc.Close()
			return
		case over:
			return
		}
		<-changed
	}
}

// drop cuts the connection off behind what was sent.
func (v *visit) drop() {
	v.mu.Lock()
	v.closed = true
	v.notify()
	v.mu.Unlock()
	<-v.done
}

// take checks and sorts what was heard. mu is held.
func (v *visit) take(h *heard) {
	code := h.frame.Code
	v.lastLine = time.Now()
	if v.machine.Phase() >= chatproto.Closing {
		return // it crossed the last word
	}
	if fault := faultOf(clientFields, h); fault != "" {
		v.blame("%s", fault)
	}
	if v.quit {
		v.blame("a frame after QUIT (section 5.3): %s", quoted(h.line))
	}
	h.lo, h.hi, _ = h.frame.Range("n")
	if err := v.machine.Request(code, h.lo); err != nil {
		v.blame("a request that its phase does not allow (section 5.1): %s", quoted(h.line))
		return
	}
	v.checkNumber(h)
	switch code {
	case chatproto.LIVE:
		v.lives++
		return
	case chatproto.ACKD:
		v.takeACKD(h)
		return
	case chatproto.LSTN:
		v.checkLSTN(h)
	case chatproto.QUIT:
		v.quit = true
	case chatproto.HELO:
		v.helo, v.acks = h, h.frame.Value("acks") == "1"
	}
	v.owed = append(v.owed, h)
	if v.answersItself(h) == "" {
		v.requests = append(v.requests, h)
	}
	v.answerOwed()
}

// checkNumber checks the n= of a request. mu is held.
func (v *visit) checkNumber(h *heard) {
	verb := h.frame.Code
	_, has := h.frame.Get("n")
	switch verb {
	case chatproto.HELO, chatproto.AUTH, chatproto.LIVE, chatproto.ACKD:
		if has {
			v.blame("n= on a request that has none (section 4.2): %s", quoted(h.line))
		}
		return
	}
	decided := verb == chatproto.SEND || verb == chatproto.CAST
	if decided {
		if plain, known := v.memory.plain[v.origin]; known && plain == has {
			v.blame("messages with n= and without in one origin (section 6.2): %s", quoted(h.line))
		}
		v.memory.plain[v.origin] = !has
	}
	if !has {
		return
	}
	if h.lo <= v.last {
		v.blame("n=%d after n=%d: the numbers of a connection ascend (section 5.2): %s", h.lo, v.last, quoted(h.line))
	}
	v.last = h.lo
	key := v.origin + "." + strconv.FormatUint(h.lo, 10)
	if before, used := v.memory.lines[key]; used && (before != h.line || !decided) {
		v.blame("a number is used twice (section 6.2): %s and %s", quoted(before), quoted(h.line))
	}
	v.memory.lines[key] = h.line
	if decided {
		v.checkWindow(h)
		v.memory.open[key] = true
		v.memory.high[v.origin] = max(v.memory.high[v.origin], h.lo)
	}
}

// checkWindow checks that a number is less than 256 above the lowest one that
// is not answered. mu is held.
func (v *visit) checkWindow(h *heard) {
	for _, o := range v.owed {
		if verb := o.frame.Code; verb == chatproto.SEND || verb == chatproto.CAST {
			if o.lo > 0 && h.lo >= o.lo+uint64(chatproto.V1.Limits.Window) {
				v.blame("n=%d while n=%d is unanswered (section 6.2)", h.lo, o.lo)
			}
			return
		}
	}
}

// takeACKD checks an acknowledgement. mu is held.
func (v *visit) takeACKD(h *heard) {
	count, _ := h.frame.Uint("count")
	switch {
	case !v.acks:
		v.blame("ACKD without acks=1 in HELO (section 4.4)")
	case count > v.counted:
		v.blame("ACKD count=%d after %d deliveries on this connection (section 6.5)", count, v.counted)
	case count < v.acked:
		v.blame("ACKD count=%d after count=%d (section 4.4)", count, v.acked)
	}
	v.acked = max(v.acked, count)
}

// answersItself returns the code that answers a request that no case waits
// for, "" if a case does. mu is held.
func (v *visit) answersItself(h *heard) string {
	switch {
	case h.frame.Code == chatproto.LSTN:
		return "200"
	case h.frame.Code == chatproto.ONLN && !v.memory.lists:
		return "211"
	case h.frame.Code == chatproto.SEND && v.echoes:
		return "201"
	}
	return ""
}

// answerOwed answers what is answered by itself and whose turn it is. mu is
// held.
func (v *visit) answerOwed() {
	for len(v.owed) > 0 && len(v.begun) == 0 {
		code := v.answersItself(v.owed[0])
		if code == "" {
			return
		}
		line := code
		if v.owed[0].lo > 0 {
			line = fmt.Sprintf("%s n=%d", code, v.owed[0].lo)
		}
		switch {
		case code == "201":
			line += " how=stored"
		case v.lease > 0 && v.owed[0].has("dial"):
			line += fmt.Sprintf(" lease=%d", v.lease)
		}
		v.tell(line)
	}
}

// send sends a line as the server.
func (v *visit) send(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tell(line)
	v.answerOwed()
}

// tell sends a line and steps the tables, as far as they allow it. mu is held.
func (v *visit) tell(line string) {
	v.k.log(v.name, ">", line)
	v.heed(line)
	v.out = append(v.out, line+"\r\n"...)
	v.notify()
}

// raw sends octets as they are.
func (v *visit) raw(octets string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.k.log(v.name, ">", octets)
	v.begun = append(v.begun, octets...)
	for i := bytes.IndexByte(v.begun, '\n'); i >= 0; i = bytes.IndexByte(v.begun, '\n') {
		v.heed(string(bytes.TrimSuffix(v.begun[:i], []byte("\r"))))
		v.begun = v.begun[i+1:]
	}
	v.out = append(v.out, octets...)
	v.answerOwed()
	v.notify()
}

// heed notes what a line of the suite does.
func (v *visit) heed(line string) {
	var f chatproto.Frame
	if chatproto.Parse(&f, bytes.Clone([]byte(line))) != nil {
		return
	}
	if !f.Code.IsReply() {
		if _, counted := f.Get("id"); counted {
			v.counted++
		}
		v.machine.Event(f.Code)
		return
	}
	v.noteGreeting(&f)
	lo, hi, _ := f.Range("n")
	if v.machine.Reply(f.Code, lo, hi) != nil || f.Code.Class() == 1 || f.Code == chatproto.ReplyUnavailable {
		return
	}
	for range hi - lo + 1 {
		delete(v.memory.open, v.origin+"."+strconv.FormatUint(v.owed[0].lo, 10))
		v.owed = v.owed[1:]
	}
}

// next returns the first request that was not looked at, and waits for it.
func (v *visit) next(what string) *heard {
	var h *heard
	ok := v.await(v.k.opts.Patience, func() bool {
		if len(v.requests) > 0 {
			h, v.requests = v.requests[0], v.requests[1:]
		}
		return h != nil
	})
	if !ok {
		v.skipIfSerial()
	}
	if !ok && v.broken() {
		v.k.failf("the client closed the connection; wanted %s", what)
	} else if !ok {
		v.k.failf("the client sent nothing within %v; wanted %s", v.k.opts.Patience, what)
	}
	return h
}

// skipIfSerial ends a case that leaves a message without an answer and expects
// the client to go on, if this one does not: its application takes a message
// only when the echo of it was accepted.
func (v *visit) skipIfSerial() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.owed {
		if h.frame.Code == chatproto.SEND && v.serial {
			v.k.skipf("the client waits for the answer to a message before it takes the next")
		}
	}
}

// high returns the highest number of a message that came in an origin.
func (v *visit) high(origin string) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.memory.high[origin]
}

// broken reports whether the connection has ended.
func (v *visit) broken() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.over
}

// want returns the next request, and fails the case if it is not what the
// pattern says. A client that does not number its messages is not asked for
// numbers.
func (v *visit) want(source string) *heard {
	p := parsePattern(source)
	h := v.next(source)
	if _, has := h.value("n"); !has && p.code == "SEND" && h.frame.Code == chatproto.SEND {
		for _, f := range p.fields {
			if f.key == "n" {
				v.k.skipf("the client does not number its messages")
			}
		}
	}
	if !p.match(h, v.k.vars) {
		v.k.failf("the client sent %s; wanted %s", quoted(h.line), source)
	}
	return h
}

// nothing fails the case if a request came that was not looked at.
func (v *visit) nothing() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.requests) > 0 {
		v.k.failf("the client should not have sent %s", quoted(v.requests[0].line))
	}
}

// acknowledged waits until the client has acknowledged so many deliveries.
func (v *visit) acknowledged(n uint64) {
	if !v.acks {
		v.k.skipf("the client does not acknowledge")
	}
	if !v.await(v.k.opts.Patience, func() bool { return v.acked >= n }) {
		v.skipIfSerial()
		v.k.failf("the client has acknowledged %d of %d deliveries", v.acked, n)
	}
}
