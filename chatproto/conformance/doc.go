// Package conformance checks whether a server or a client of the Parley chat
// protocol keeps to chatproto's SPEC.md. It looks at a program from outside,
// through its connections alone, in whatever language it is written.
//
// A [Case] is one rule of SPEC.md; it names the section where the rule stands.
// In a Go test,
//
//	conformance.Server(t, dial, accounts...)
//	conformance.Client(t, listener, account, start)
//
// run every case as a subtest. [CheckServer] and [CheckClient] run them
// without package testing and return a [Report], for people, for CI (JUnit's
// XML, JSON), or for a program; examples/chatcheck is that program.
//
// # A server under test
//
// It needs three accounts that nobody else uses meanwhile: the suite logs in
// as them, blocks, and sends mail, and when a case ends it takes all of that
// back, so that a run can follow another one. Other users may be there and
// notice some broadcasts. A wrong password is only ever given for names that
// no account has. The server runs with the default limits of SPEC section 10;
// what an operator may set otherwise, the suite is told in [ServerTarget], or
// finds out.
//
// # A client under test
//
// It connects to the suite, which plays the server, logs in as the [Account]
// that it is given, and echoes: every message that it is shown, it sends back
// to its sender, with the same text; broadcasts it only takes. So all that
// section 6 asks of a client can be seen. It comes back by itself when the
// connection is lost.
//
// A client shows more of itself if it heeds these texts, instead of echoing
// them; cases that need one that it does not know are skipped:
//
//	!online               ask who is online
//	!block NAME           block NAME
//	!ask NAME             ask for NAME's address
//	!consent NAME         consent to NAME, who asked
//	!private NAME TEXT    send TEXT to NAME on a private line
//	!quit                 leave, for good
//
// A client that goes away and is called back (SPEC section 7.7) is checked for
// that by another run, with ClientTarget.DialBack: there it speaks TLS, and
// need not echo.
package conformance
