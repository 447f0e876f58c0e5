package chatproto_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

func ExampleParse() {
	var f chatproto.Frame
	if err := chatproto.Parse(&f, []byte(`SEND n=4 to=B :hello!\nhow are you?`)); err != nil {
		fmt.Println(err)
		return
	}
	n, _ := f.Uint("n")
	fmt.Println(f.Code, n, f.Value("to"))
	fmt.Printf("%s\n", f.Description)
	// Output:
	// SEND 4 B
	// hello!
	// how are you?
}

func ExampleParse_error() {
	var f chatproto.Frame
	err := chatproto.Parse(&f, []byte(`SEND to=B :C:\dir`))
	fmt.Println(err)
	fmt.Println(errors.Is(err, chatproto.ErrEscape))
	// Output:
	// 500 Not a valid command: expected a backslash only in \n, \t, \\ and, in a value, \s at octet 13
	// true
}

func ExampleReader() {
	stream := "SEND to=B :hi\r\nmessage B hi\r\nQUIT\r\n"
	r := chatproto.NewReader(strings.NewReader(stream))
	for {
		var f chatproto.Frame
		err := r.Next(&f)
		var bad *chatproto.Error
		switch {
		case err == nil:
			fmt.Println(f.Code)
		case errors.As(err, &bad): // this line only: tell the sender, go on
			fmt.Println(bad.Code, bad.At)
		default: // io.EOF: the end of the stream
			fmt.Println(err)
			return
		}
	}
	// Output:
	// SEND
	// 500 0
	// QUIT
	// EOF
}

func ExampleBegin() {
	l := chatproto.Begin(nil, chatproto.SEND)
	l.Uint("n", 4)
	l.Field("to", "B")
	buf, err := l.End("hello!\nhow are you?")
	fmt.Printf("%q %v\n", buf, err)
	// Output:
	// "SEND n=4 to=B :hello!\\nhow are you?\r\n" <nil>
}

func ExampleLine_Run() {
	l := chatproto.Begin(nil, chatproto.ReplyAccepted)
	l.Run("n", 17, 80) // one answer to 64 requests
	l.Field("how", "delivered")
	buf, _ := l.End("")
	fmt.Printf("%q\n", buf)
	// Output:
	// "201 n=17-80 how=delivered\r\n"
}

func ExampleLine_EndMessage() {
	l := chatproto.Begin(nil, chatproto.MESG)
	l.Field("from", "A")
	l.ID("id", chatproto.ID{Origin: 0x1f2e, N: 4})
	buf, _ := l.EndMessage("A", []byte("hello!"))
	fmt.Printf("%q\n", buf)
	// Output:
	// "MESG from=A id=1f2e.4 :A: hello!\r\n"
}

func ExampleAppendFrame() {
	f := chatproto.NewFrame(chatproto.SEND, "hello!", "n", "4", "to", "B")
	buf, err := chatproto.AppendFrame(nil, f)
	fmt.Printf("%q %v\n", buf, err)

	_, err = chatproto.AppendFrame(nil, chatproto.NewFrame(chatproto.SEND, "\x1b[31mred"))
	fmt.Println(err)
	// Output:
	// "SEND n=4 to=B :hello!\r\n" <nil>
	// 500 Not a valid command: expected no control or bidirectional character at octet 6
}

func ExampleWriter() {
	var out strings.Builder // a connection
	w := chatproto.NewWriter(&out)
	w.Write(chatproto.NewFrame(chatproto.ReplyEntry, "A", "n", "2", "user", "A"))
	w.Write(chatproto.NewFrame(chatproto.ReplyEntry, "B", "n", "2", "user", "B"))
	w.Write(chatproto.NewFrame(chatproto.ReplyEnd, "", "n", "2"))
	w.Flush() // one Write for all three
	fmt.Printf("%q\n", out.String())
	// Output:
	// "111 n=2 user=A :A\r\n111 n=2 user=B :B\r\n211 n=2\r\n"
}

// The machine of a client: what it sends, and what it gets.
func ExampleMachine() {
	m := chatproto.V1.Machine()
	fmt.Println(m.Request(chatproto.SEND, 1))
	m = chatproto.V1.Machine()
	m.Request(chatproto.HELO, 0)
	m.Reply(chatproto.ReplyGreeting, 0, 0)
	m.Request(chatproto.AUTH, 0)
	m.Reply(chatproto.ReplyWelcome, 0, 0)
	m.Request(chatproto.SEND, 1)
	m.Request(chatproto.SEND, 2)
	fmt.Println(m.Phase(), m.Unanswered())
	fmt.Println(m.Reply(chatproto.ReplyAccepted, 2, 2)) // not its turn
	fmt.Println(m.Reply(chatproto.ReplyAccepted, 1, 2)) // one answer to both
	fmt.Println(m.Event(chatproto.GBYE), m.Phase())
	// Output:
	// 503 Not allowed now
	// Ready 2
	// chatproto: unexpected 201 in phase Ready, where a reply to SEND was due
	// <nil>
	// <nil> Closing
}

func ExampleWindow() {
	var w chatproto.Window
	w.Decide(1, true)  // accepted
	w.Decide(2, false) // refused
	for n := uint64(1); n <= 3; n++ {
		switch w.Look(n) {
		case chatproto.Undecided:
			fmt.Println(n, "is new: decide it")
		case chatproto.Accepted:
			fmt.Println(n, "is sent again: answer 201, deliver nothing")
		case chatproto.Refused:
			fmt.Println(n, "is sent again: answer 455")
		}
	}
	// Output:
	// 1 is sent again: answer 201, deliver nothing
	// 2 is sent again: answer 455
	// 3 is new: decide it
}

func ExampleNegotiate() {
	v, err := chatproto.Negotiate("1,2", chatproto.V1)
	fmt.Println(v.Number, err)
	_, err = chatproto.Negotiate("2,3", chatproto.V1)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// 505 No common protocol version
}

// A asks for B's address, B consents, B logs out.
func ExampleConsentState_Step() {
	state := chatproto.ConsentNone
	for _, e := range []chatproto.ConsentEvent{chatproto.ConsentAsk, chatproto.ConsentGrant, chatproto.ConsentGone} {
		r := state.Step(e)
		fmt.Println(e, r.Reply, r.Notify, r.Why, r.Next)
		state = r.Next
	}
	// Output:
	// ADDR 202 RQST  Requested
	// CNST 200 GETA  Granted
	// logout none RVKD gone None
}

func ExampleCheckName() {
	fmt.Println(chatproto.CheckName("columbia"))
	fmt.Println(chatproto.CheckName("not a user"))
	// Output:
	// <nil>
	// 501 A user name has no spaces, control or format characters
}

func ExampleCheckText() {
	fmt.Println(chatproto.CheckText("two\nlines"))
	fmt.Println(errors.Is(chatproto.CheckText(strings.Repeat("x", 8000)), chatproto.ErrTooLong))
	// Output:
	// <nil>
	// true
}

func ExampleMessageText() {
	description := chatproto.AppendMessage(nil, "A", []byte("hello!"))
	text, ok := chatproto.MessageText("A", description)
	fmt.Printf("%s | %s %v\n", description, text, ok)
	// Output:
	// A: hello! | hello! true
}

func ExampleFrame_Range() {
	var f chatproto.Frame
	chatproto.Parse(&f, []byte("201 n=17-80 how=delivered"))
	fmt.Println(f.Range("n"))
	// Output:
	// 17 80 true
}

func ExampleVersion_Sentence() {
	s := chatproto.V1.Sentence(chatproto.SEND, chatproto.ReplyBlocked)
	fmt.Println(chatproto.Fill(s, "user", "A"))
	// Output:
	// You are blocked by A
}

func ExampleError() {
	err := fmt.Errorf("send: %w", &chatproto.Error{Code: chatproto.ReplyBlocked, Text: "You are blocked by A"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, chatproto.ErrBlocked), errors.Is(err, chatproto.ErrNoSuchUser))
	// Output:
	// send: 553 You are blocked by A
	// true false
}

func ExampleParseID() {
	id, ok := chatproto.ParseID([]byte("1f2e.4"))
	fmt.Println(id, id.N, ok)
	// Output:
	// 1f2e.4 4 true
}
