package conformance

import (
	"fmt"
)

// clientEchoCases are about messages and their answers.
var clientEchoCases = []Case{
	{Name: "echo/once", Section: "6.5", Rule: "a message is shown once", script: `
		login
		message hello!
		echo hello!
		accepted
		quiet
		acked 1`},
	{Name: "echo/order", Section: "6.5", Rule: "a sender's messages are shown in their order", client: func(k *clientCase) {
		k.login()
		for n := 1; n <= 20; n++ {
			k.message(fmt.Sprint("text ", n))
		}
		for n := 1; n <= 20; n++ {
			k.play(fmt.Sprintf("echo text %d\naccepted", n))
		}
		k.play("acked 20")
	}},
	{Name: "echo/broadcast", Section: "6.5", Rule: "a broadcast is a delivery and is acknowledged", script: `
		login
		> BCST from=peer id=b{hex}.1 t=1 :peer: psa
		acked 1
		message one
		echo one`},
	{Name: "echo/delivered", Section: "4.4", Rule: "201 how=delivered is an answer as how=stored is, and how= may be missing", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one")
		k.v.send(k.answer("201", "how=delivered"))
		k.play("message two\necho two")
		k.v.send(k.answer("201"))
		k.play("message three\necho three\naccepted")
	}},
	{Name: "echo/refusals", Section: "4.4", Rule: "a refusal is an answer: the client goes on, and does not send the message again", client: func(k *clientCase) {
		k.login()
		for _, code := range []string{"550", "553", "552", "452", "451", "429", "455", "501"} {
			k.play("message is this " + code + "?\necho is this " + code + "?")
			k.v.send(k.answer(code))
		}
		k.play("quiet\nmessage and now\necho and now\naccepted")
	}},
	{Name: "echo/run", Section: "4.4", Rule: "one 201 may answer a run of numbers", client: func(k *clientCase) {
		k.play("login\nmessage one\nmessage two\nmessage three")
		first := k.want("SEND n=@first :one")
		k.play("echo two\necho three")
		if !first.has("n") || k.vars["n"] == k.vars["first"] {
			k.skipf("the client does not number its messages")
		}
		if last := k.vars["n"]; fmt.Sprint(first.lo+2) != last {
			k.skipf("the numbers are not consecutive")
		}
		k.v.send(fmt.Sprintf("201 n=%s-%s how=delivered", k.vars["first"], k.vars["n"]))
		k.play("message four\necho four\naccepted\nacked 4")
	}},
	{Name: "echo/events-between", Section: "5.2", Rule: "events may stand between a request and its reply", client: func(k *clientCase) {
		k.play(`
			login
			message one
			echo one
			> PRES user=x on=1 :x logged in
			> LIVE
			message two
			accepted
			echo two
			accepted
			acked 2`)
	}},
}

// clientTextCases are about the text of a message.
var clientTextCases = []Case{
	{Name: "text/prefix", Section: "3.6", Rule: "the text is the description without the sender, the colon and the space", script: `
		login
		> MESG from=pe:er id={hex}.1 t=1 :pe:er: a: b: c
		< SEND to=pe:er :a: b: c
		accepted`},
	{Name: "text/empty", Section: "3.6", Rule: "a message without text is a message", script: `
		login
		message
		echo
		accepted
		acked 1`},
	{Name: "text/escapes", Section: "3.2", Rule: "line feed, tab and backslash are escaped, and nothing else", script: `
		login
		message two\nlines,\ta tab, a \\, \\n and C:\\new
		echo two\nlines,\ta tab, a \\, \\n and C:\\new
		accepted`},
	{Name: "text/unicode", Section: "3.1", Rule: "printable characters beyond ASCII pass", script: `
		login
		message ` + "\u00e9\u4e2d\U0001f600 \U0010fffd\u200d" + `
		echo ` + "\u00e9\u4e2d\U0001f600 \U0010fffd\u200d" + `
		accepted`},
	{Name: "text/colon", Section: "3.1", Rule: "colons, equals signs and what looks like a frame are text", script: `
		login
		message :x n=1 :y 221
		echo :x n=1 :y 221
		accepted`},
	{Name: "text/spaces", Section: "3.6", Rule: "spaces at the ends of a text are text", client: func(k *clientCase) {
		k.login()
		k.message("  a  ")
		k.echo("  a  ")
		k.play("accepted")
	}},
	{Name: "text/longest", Section: "3.6", Rule: "a text of 7,168 octets is read, and sent", script: `
		login
		message {7168*x}
		echo {7168*x}
		accepted`},
	{Name: "text/longest-escaped", Section: "3.6", Rule: "the limit of a text counts octets as on the wire", script: `
		login
		message {3584*\n}
		echo {3584*\n}
		accepted`},
}

// clientNumberCases are about the numbers of requests.
var clientNumberCases = []Case{
	{Name: "number/window", Section: "6.2", Rule: "a client sends no message that is 256 numbers above one that is unanswered", client: func(k *clientCase) {
		k.login()
		for n := 1; n <= 300; n++ {
			k.message(fmt.Sprint(n))
			if n%100 == 0 && k.v.acks {
				k.play(fmt.Sprint("acked ", n)) // as far as the server may send
			}
		}
		var numbers []uint64
		for n := 1; n <= 256 && len(numbers) == n-1; n++ {
			if k.v.await(k.opts.Patience, func() bool { return len(k.v.requests) > 0 }) {
				h := k.want("SEND to=peer :" + fmt.Sprint(n))
				if !h.has("n") {
					k.skipf("the client does not number its messages")
				}
				numbers = append(numbers, h.lo)
			}
		}
		k.play("quiet")
		for done := 0; done < 300; {
			for ; done < len(numbers); done++ {
				k.v.send(fmt.Sprintf("201 n=%d how=stored", numbers[done]))
			}
			if len(numbers) < 300 {
				numbers = append(numbers, k.want(fmt.Sprint("SEND to=peer n=* :", len(numbers)+1)).lo)
			}
		}
	}},
	{Name: "number/ascending", Section: "6.2", Rule: "numbers ascend over reconnects", client: func(k *clientCase) {
		k.play("login\nmessage one")
		first := k.want("SEND n=* :one").lo
		k.play("accepted\nacked 1\ndrop\nback\nmessage two")
		if second := k.want("SEND n=* :two").lo; second <= first {
			k.failf("n=%d after n=%d", second, first)
		}
		k.play("accepted")
	}},
	{Name: "number/refused-is-used", Section: "6.3", Rule: "a number that was refused is not used again", client: func(k *clientCase) {
		k.play("login\nmessage one")
		first := k.want("SEND n=* :one").lo
		k.v.send(fmt.Sprintf("550 n=%d", first))
		k.play("message two")
		if second := k.want("SEND n=* :two").lo; second <= first {
			k.failf("n=%d after n=%d", second, first)
		}
		k.play("accepted")
	}},
}

// clientResendCases are about what a client sends again.
var clientResendCases = []Case{
	{Name: "resend/unanswered", Section: "6.3", Rule: "after a reconnect what is unanswered is sent again, unchanged, under its number, ascending, before anything new", client: func(k *clientCase) {
		k.play("login\nmessage one\nmessage two\nmessage three")
		var lines []string
		for _, text := range []string{"one", "two", "three"} {
			lines = append(lines, k.want("SEND n=* to=peer :"+text).line)
		}
		k.play("acked 3\ndrop\nback")
		k.message("four")
		for _, line := range lines {
			h := k.v.next("what was unanswered")
			if h.line != line {
				k.failf("the client sent %s; wanted again %s", quoted(h.line), quoted(line))
			}
			k.v.send(fmt.Sprintf("201 n=%d how=stored", h.lo))
		}
		k.play("echo four\naccepted")
	}},
	{Name: "resend/answered", Section: "6.3", Rule: "what was answered is not sent again", client: func(k *clientCase) {
		k.play("login\nmessage one\nmessage two")
		first := k.want("SEND n=* :one").lo
		second := k.want("SEND n=* :two")
		k.v.send(fmt.Sprintf("201 n=%d how=stored", first))
		k.play("acked 2\nmessage three\necho three") // so the answer was read
		third := k.vars["n"]
		k.play("acked 3\ndrop\nback")
		if h := k.v.next("what was unanswered"); h.line != second.line {
			k.failf("the client sent %s; wanted again %s", quoted(h.line), quoted(second.line))
		}
		k.v.send(fmt.Sprintf("201 n=%d how=stored", second.lo))
		k.play("echo three")
		if k.vars["n"] != third {
			k.failf("n=%s is sent again as n=%s", third, k.vars["n"])
		}
		k.play("accepted\nquiet")
	}},
	{Name: "resend/refused", Section: "6.3", Rule: "what was refused is not sent again", client: func(k *clientCase) {
		k.login()
		for _, code := range []string{"452", "451", "429", "550", "455"} {
			k.play("message is this " + code + "?\necho is this " + code + "?")
			k.v.send(k.answer(code))
		}
		k.play("message last\necho last\naccepted\nacked 6\ndrop\nback\nquiet")
	}},
	{Name: "resend/unknown-answers", Section: "11", Rule: "an unknown reply counts as the x00 of its class: 2xx, 4xx and 5xx are answers", client: func(k *clientCase) {
		k.login()
		for _, code := range []string{"299", "499", "599"} {
			k.play("message is this " + code + "?\necho is this " + code + "?")
			k.v.send(k.answer(code))
		}
		k.play("message last\necho last\naccepted\nacked 4\ndrop\nback\nquiet")
	}},
	{Name: "resend/more-follows", Section: "11", Rule: "an unknown 1xx does not finish a request", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one")
		k.v.send(k.answer("199"))
		k.play("message two\necho two\nacked 2\ndrop\nback\necho one\naccepted\necho two\naccepted")
	}},
	{Name: "resend/refused-then", Section: "6.3", Rule: "a refusal of what was sent again is an answer", script: `
		login
		message one
		echo one
		acked 1
		drop
		back
		echo one
		> 455 n={n} :Refused earlier
		message two
		echo two
		accepted
		acked 1
		drop
		back
		quiet`},
	{Name: "resend/twice", Section: "6.3", Rule: "what is unanswered is sent again on every new connection", script: `
		login
		message one
		echo one
		acked 1
		drop
		back
		echo one
		drop
		back
		echo one
		accepted
		quiet`},
}
