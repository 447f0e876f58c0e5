// Package chatproto is the Parley chat protocol as bytes and rules: what a
// line may look like, and what may be said when. It reads from an io.Reader
// and writes to byte slices; it opens no connection, starts no goroutine,
// reads no clock and logs nothing. Packages chatserver and chatclient do that,
// and so can any other program that talks to them.
//
// The normative text is SPEC.md beside this file. The tables in it are made
// from the tables here, and the sections named in the comments are its.
//
// # A frame
//
// One line of UTF-8, which a person can type (SPEC section 3):
//
//	SEND n=4 to=B :hello!
//	201 n=4 how=delivered
//
// A [Code] (a verb of four capitals or a reply of three digits), fields, and a
// description for a person. [Parse] decodes one line into a [Frame]; a
// [Reader] cuts a stream into frames and goes on behind a bad line. [Begin]
// starts a [Line], which builds a frame in place; [AppendFrame] encodes a
// whole Frame, and a [Writer] gathers many. Neither way allocates. The parser
// takes exactly the canonical form and the few leniencies of SPEC section
// 3.3; the encoder refuses what the parser would refuse.
//
// # The rules
//
// A [Version] is the protocol as a value: its codes, what answers what, the
// phases, the limits. [V1] is the only one so far, and [Negotiate] picks one.
// A [Machine] follows one connection through the tables; client and server
// run the same one (SPEC section 5). A [Window] is what a server has to
// remember of the requests of one client to decide each once (SPEC section
// 6). [ConsentState.Step] is the table of private chats (SPEC section 8).
//
// # Errors
//
// An [Error] carries the code that tells the other end. errors.Is compares
// the code alone, so
//
//	errors.Is(err, chatproto.ErrBlocked)
//
// is true of every refusal with code 553, whatever its sentence says. The
// error of a bad line also matches its cause, such as [ErrEscape].
package chatproto
