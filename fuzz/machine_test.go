package fuzz

import (
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// A waiting request, in the naive queue.
type waiting struct {
	verb chatproto.Code
	n    uint64
}

// anyCode draws a code of the version, or one that it does not know.
func anyCode(b byte) chatproto.Code {
	unknown := []chatproto.Code{'X'<<24 | 'T'<<16 | 'R'<<8 | 'A', '1'<<16 | '9'<<8 | '9', '2'<<16 | '9'<<8 | '9', '5'<<16 | '9'<<8 | '9'}
	if i := int(b) % (len(chatproto.V1.Codes) + len(unknown)); i >= len(unknown) {
		return chatproto.V1.Codes[i-len(unknown)].Code
	}
	return unknown[int(b)%(len(chatproto.V1.Codes)+len(unknown))]
}

// FuzzMachine does anything at all to one machine, three octets a step, and
// keeps a naive queue beside it.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 4, 0, 1, 29, 0, 0, 5, 0, 1, 31, 0, 0, 9, 1, 0, 9, 2, 2, 26, 2})
	f.Add([]byte{3, 0, 0, 3, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		m := chatproto.V1.Machine()
		var queue []waiting
		for ; len(steps) >= 3; steps = steps[3:] {
			before, code, n := m.Phase(), anyCode(steps[1]), uint64(steps[2])
			switch steps[0] % 6 {
			case 0:
				queue = stepRequest(t, m, queue, code, n)
			case 1:
				queue = stepReply(t, m, queue, code, n, n)
			case 2: // a run, perhaps from 0 on, or backwards
				queue = stepReply(t, m, queue, code, n, n+uint64(steps[0]/6)-2)
			case 3:
				if m.BadLine(); before < chatproto.Closing {
					queue = append(queue, waiting{})
				}
			case 4:
				stepEvent(t, m, code)
			case 5: // what keeps to the table, to get far
				queue = stepOn(t, m, queue, n)
			}
			if m.Phase() < before {
				t.Fatalf("%v went back to %v", before, m.Phase())
			}
			if m.Unanswered() != len(queue) {
				t.Fatalf("%d unanswered, want %d", m.Unanswered(), len(queue))
			}
			head := waiting{}
			if len(queue) > 0 {
				head = queue[0]
			}
			if verb, n := m.Head(); verb != head.verb || n != head.n {
				t.Fatalf("%v %d is next, want %v", verb, n, head)
			}
		}
		m.EOF()
		if m.Phase() != chatproto.Closed || m.Event(chatproto.LIVE) == nil || m.Request(chatproto.LIVE, 0) == nil {
			t.Fatal("something goes on after the end of input")
		}
	})
}

func stepRequest(t *testing.T, m *chatproto.Machine, queue []waiting, verb chatproto.Code, n uint64) []waiting {
	phase, quits := m.Phase(), false
	for _, w := range queue {
		quits = quits || w.verb == chatproto.QUIT
	}
	allowed := false
	for _, c := range chatproto.V1.Phases[phase].Client {
		allowed = allowed || c == verb
	}
	err := m.Request(verb, n)
	if err == nil && !allowed {
		t.Fatalf("%v is allowed in %v", verb, phase)
	}
	if err == nil && phase != chatproto.Ready && len(queue) > 0 && verb != chatproto.QUIT && !chatproto.V1.Unanswered(verb) {
		t.Fatalf("%v is allowed in %v with %d unanswered", verb, phase, len(queue))
	}
	if err != nil && allowed && len(queue) == 0 && !quits {
		t.Fatalf("%v is refused in %v: %v", verb, phase, err)
	}
	if m.Phase() != phase {
		t.Fatalf("a request led from %v to %v", phase, m.Phase())
	}
	if phase >= chatproto.Closing || err == nil && chatproto.V1.Unanswered(verb) {
		return queue
	}
	return append(queue, waiting{verb, n})
}

func stepReply(t *testing.T, m *chatproto.Machine, queue []waiting, code chatproto.Code, lo, hi uint64) []waiting {
	phase := m.Phase()
	if m.Reply(code, lo, hi) != nil {
		if m.Phase() != phase {
			t.Fatalf("a reply that is none led from %v to %v", phase, m.Phase())
		}
		return queue
	}
	if code == chatproto.ReplyUnavailable {
		return queue
	}
	if phase >= chatproto.Closing || hi < lo || uint64(len(queue)) <= hi-lo {
		t.Fatalf("%v %d-%d was taken in %v with %d unanswered", code, lo, hi, phase, len(queue))
	}
	for i, w := range queue[:hi-lo+1] {
		if w.n != lo+uint64(i) || !chatproto.V1.Answers(w.verb, code) {
			t.Fatalf("%v %d-%d was taken for %v", code, lo, hi, w)
		}
		if hi > lo && (w.verb != chatproto.SEND || code != chatproto.ReplyAccepted || w.n == 0) {
			t.Fatalf("the run %v %d-%d was taken for %v", code, lo, hi, w)
		}
	}
	if code.Class() == 1 {
		return queue
	}
	return queue[hi-lo+1:]
}

func stepEvent(t *testing.T, m *chatproto.Machine, code chatproto.Code) {
	phase := m.Phase()
	err := m.Event(code)
	listed := false
	for _, c := range chatproto.V1.Phases[phase].Server {
		listed = listed || c == code
	}
	if unknown := code.IsVerb() && !chatproto.V1.Known(code); (err == nil) != (listed || unknown) {
		t.Fatalf("the event %v in %v: %v", code, phase, err)
	}
	if err != nil && m.Phase() != phase {
		t.Fatalf("an event that is none led from %v to %v", phase, m.Phase())
	}
}

// stepOn does what the tables allow: the answer that is due or, with nothing
// to answer, the n-th request of the phase.
func stepOn(t *testing.T, m *chatproto.Machine, queue []waiting, n uint64) []waiting {
	if m.Phase() >= chatproto.Closing {
		return queue
	}
	if len(queue) == 0 {
		verbs := chatproto.V1.Phases[m.Phase()].Client
		return stepRequest(t, m, queue, verbs[n%uint64(len(verbs))], n)
	}
	var answers []chatproto.Code
	for _, c := range chatproto.V1.Codes {
		if c.Code != chatproto.ReplyUnavailable && chatproto.V1.Answers(queue[0].verb, c.Code) {
			answers = append(answers, c.Code)
		}
	}
	code, before := answers[n%uint64(len(answers))], len(queue)
	after := stepReply(t, m, queue, code, queue[0].n, queue[0].n)
	if code.Class() != 1 && len(after) != before-1 {
		t.Fatalf("%v does not answer %v", code, queue[0])
	}
	return after
}

// A connection is two machines and what is between them.
type connection struct {
	client, server     *chatproto.Machine
	toServer, toClient []frame
	sent               uint64
	quit               bool
}

type frame struct {
	code chatproto.Code
	n    uint64
}

// FuzzCrossing lets two ends that keep to the tables send whenever they like.
// Neither ever accuses the other, and when nothing is under way they agree.
func FuzzCrossing(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 1, 3, 0, 0, 0, 1, 0, 2, 9, 3, 0, 4, 1, 3, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		c := connection{client: chatproto.V1.Machine(), server: chatproto.V1.Machine()}
		for ; len(steps) >= 2; steps = steps[2:] {
			pick := int(steps[1])
			switch steps[0] % 5 {
			case 0:
				c.clientSends(t, pick)
			case 1:
				c.serverReads(t)
			case 2:
				c.serverReplies(t, pick)
			case 3:
				c.clientReads(t)
			case 4:
				c.serverTells(t, pick)
			}
		}
		for len(c.toClient) > 0 {
			c.clientReads(t)
		}
		if c.client.Phase() != c.server.Phase() {
			t.Fatalf("the client is in %v, the server in %v", c.client.Phase(), c.server.Phase())
		}
		if c.server.Phase() >= chatproto.Closing {
			return // what is under way to it is discarded
		}
		for len(c.toServer) > 0 && (c.server.Phase() == chatproto.Ready || c.server.Unanswered() == 0) {
			c.serverReads(t)
		}
		if len(c.toServer) == 0 && c.client.Unanswered() != c.server.Unanswered() {
			t.Fatalf("the client waits for %d replies, the server owes %d", c.client.Unanswered(), c.server.Unanswered())
		}
	})
}

func (c *connection) clientSends(t *testing.T, pick int) {
	phase := c.client.Phase()
	if c.quit || phase >= chatproto.Closing {
		return
	}
	row := chatproto.V1.Phases[phase]
	verb := row.Client[pick%len(row.Client)]
	if !row.Pipe && c.client.Unanswered() > 0 && verb != chatproto.QUIT && !chatproto.V1.Unanswered(verb) {
		return
	}
	var n uint64
	if row.Pipe && !chatproto.V1.Unanswered(verb) {
		c.sent++
		n = c.sent
	}
	c.quit = verb == chatproto.QUIT
	if err := c.client.Request(verb, n); err != nil {
		t.Fatalf("the client may not send %v in %v: %v", verb, phase, err)
	}
	c.toServer = append(c.toServer, frame{verb, n})
}

func (c *connection) serverReads(t *testing.T) {
	phase := c.server.Phase()
	if len(c.toServer) == 0 || phase < chatproto.Ready && c.server.Unanswered() > 0 {
		return
	}
	got := c.toServer[0]
	c.toServer = c.toServer[1:]
	if phase >= chatproto.Closing {
		return // discarded
	}
	if err := c.server.Request(got.code, got.n); err != nil {
		t.Fatalf("the server accuses the client of %v in %v: %v", got.code, phase, err)
	}
}

func (c *connection) serverReplies(t *testing.T, pick int) {
	if c.server.Unanswered() == 0 || c.server.Phase() >= chatproto.Closing {
		return
	}
	verb, n := c.server.Head()
	var answers []chatproto.Code
	for _, info := range chatproto.V1.Codes {
		// A QUIT that is refused would let the client go on; none is here.
		if info.Code != chatproto.ReplyUnavailable && chatproto.V1.Answers(verb, info.Code) && (verb != chatproto.QUIT || info.Code == chatproto.ReplyBye) {
			answers = append(answers, info.Code)
		}
	}
	code := answers[pick%len(answers)]
	if err := c.server.Reply(code, n, n); err != nil {
		t.Fatalf("the server may not answer %v with %v: %v", verb, code, err)
	}
	c.toClient = append(c.toClient, frame{code, n})
}

func (c *connection) serverTells(t *testing.T, pick int) {
	events := chatproto.V1.Phases[c.server.Phase()].Server
	if len(events) == 0 {
		return
	}
	code := events[pick%len(events)]
	if err := c.server.Event(code); err != nil {
		t.Fatalf("the server may not send %v: %v", code, err)
	}
	c.toClient = append(c.toClient, frame{code: code})
}

func (c *connection) clientReads(t *testing.T) {
	if len(c.toClient) == 0 {
		return
	}
	got := c.toClient[0]
	c.toClient = c.toClient[1:]
	var err error
	if got.code.IsReply() {
		err = c.client.Reply(got.code, got.n, got.n)
	} else {
		err = c.client.Event(got.code)
	}
	if err != nil {
		t.Fatalf("the client accuses the server: %v", err)
	}
}
