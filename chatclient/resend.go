package chatclient

// firstResends is how many messages are sent again on a new connection before
// the first answer. Each answer then allows one more than it makes room for,
// which doubles them with each round trip. A connection that is lost before any
// answer has brought nothing, and the next one may be as short (SPEC section
// 6.3).
const firstResends = 4

// resume makes the unanswered messages the first that a new connection sends.
func (o *outbox) resume(cn *conn) {
	for _, k := range o.kept {
		if k.ready {
			cn.resends = append(cn.resends, k)
		}
	}
	cn.burst = firstResends
	o.resend(cn, 0)
}

// resend sends what may be sent again now that so many more messages are
// answered, and, behind the last of it, what waits.
func (o *outbox) resend(cn *conn, answered int) {
	if len(cn.resends) == 0 || cn.leaving {
		return
	}
	cn.burst += answered
	for len(cn.resends) > 0 && len(cn.pending)-cn.asked < cn.burst {
		var k *call
		k, cn.resends = shift(cn.resends)
		cn.send(k)
	}
	if len(cn.resends) == 0 {
		o.pump(cn)
	}
}

// resendAll sends all that is to be sent again: nothing comes after it.
func (o *outbox) resendAll(cn *conn) { o.resend(cn, len(o.kept)) }
