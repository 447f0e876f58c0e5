package chatproto

import "strconv"

// A Delivery encodes the deliveries of one sender's origin, MESG or BCST with
// from=, id= and t=, and the description made as [AppendMessage] says (SPEC
// section 4.4). What they have in common it encodes once. It is for one
// goroutine.
type Delivery struct {
	head []byte // "MESG from=A id=1f2e."
	tail []byte // " :A:"
	time []byte // " t=1795348800000"
	at   uint64
}

// NewDelivery returns the encoder of deliveries by verb from a user's origin.
// The error is that of a user name or a verb that no frame can have.
func NewDelivery(verb Code, from string, origin uint64) (*Delivery, error) {
	l := Begin(nil, verb)
	l.Field("from", from)
	l.ID("id", ID{Origin: origin})
	head := len(l.buf)
	b, err := l.EndMessage(from, nil)
	if err != nil {
		return nil, err
	}
	return &Delivery{head: b[:head-len("0")], tail: b[head : len(b)-len("\r\n")]}, nil
}

// Append appends the delivery of message n, of time t in milliseconds since
// 1970, to buf. It refuses a text that no frame can have or that is too long,
// and returns buf as it was then.
func (d *Delivery) Append(buf []byte, n, t uint64, text []byte) ([]byte, error) {
	start := len(buf)
	if t != d.at || d.time == nil {
		d.at = t
		d.time = strconv.AppendUint(append(d.time[:0], " t="...), t, 10)
	}
	buf = append(buf, d.head...)
	buf = strconv.AppendUint(buf, n, 10)
	buf = append(buf, d.time...)
	l := Line{buf: append(buf, d.tail...), start: start}
	if len(text) > 0 {
		l.buf = append(l.buf, ' ')
		l.text(view(text), lowestInText)
	}
	return l.end()
}
