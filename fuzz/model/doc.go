// Package model searches the rules of the guarantee (SPEC sections 6 and 7.7)
// exhaustively, at small bounds: every order in which the steps of a sender, a
// server with its disk, and two recipients can happen, with every fault at
// every place where it can be. A test that passes says that no run within the
// bounds loses what was acknowledged, shows a message twice or out of order,
// refuses what it never refused, or leaves something unanswered. A test that
// leaves a rule out says what becomes of it, by the shortest run that does
// harm, in sentences.
//
// The simulation in ../sim runs the real client and server, over hours and at
// random. Here there are no bytes, no time and few messages, and nothing is
// left out.
//
// # What is real
//
// The windows are [chatproto.Window]: a state holds real windows (by their
// place in a table, window.go), every decision and every look is the real
// code's, and every window goes through its stored form. Numbers on the wire
// are so far apart that a window holds three of them. What the sender may
// write when, and the answers that it takes, are those of a real
// [chatproto.Machine].
//
// The rest restates SPEC section 6 as the packages chatserver and chatclient
// do it. Where the model and the code could differ, the code's way is taken:
// a batch writes the window as of the origin's last message in it, and a login
// of a known origin writes its window if no batch holds a message of it.
//
// # What is modelled
//
//   - The sender's client (sender.go): numbers, the room of 256 between them,
//     what is unanswered and sent again after a reconnect, the answers and what
//     they mean to the application, AUTH and 230, the change of the origin.
//   - The server (server.go): windows, the bar behind refusals and broadcasts,
//     mailboxes, answers in their order, fences, what it registers, remembers
//     and forgets of origins.
//   - The committer and the disk (disk.go): batches that are gathered, cut,
//     written, that fail, with and without being written, and are put back; a
//     crash at any time; a disk that is lost, or replaced by a backup.
//   - The recipients (reader.go): what is on its way, taken, written down and
//     acknowledged; the receive window; connections that break, sessions that
//     end, programs that die and come back with what they have written down.
//   - Dial-back (dialback.go): who goes away, is called, and crosses with that,
//     so that the login on a connection that the server made comes late.
//   - The judge (steps.go) sees all of them. A message for which 201 was heard
//     must be with its recipient, or on the disk, in every single state. That
//     is more than the end demands: a message is lost when it is forgotten, not
//     when somebody misses it.
//   - The end: a state in which nothing happens any more unless something goes
//     wrong must have everything answered and everything accepted seen by
//     whoever is there. And the steps without faults must lead to such a state
//     from everywhere: their graph must have no cycle (search.go).
//
// # What is not
//
//   - Bytes, frames and phases: chatproto has tests of these, among them a
//     search of crossing frames.
//   - Time. A fault may happen at any moment, and what would need time (a
//     timeout, the age of an origin) is a fault. That receivers remember for
//     longer than servers is assumed, and so are the bounds of what is in
//     flight, of mailboxes and of tables.
//   - A second sender. Origins are independent, but for the order in a mailbox,
//     which is promised within one origin only.
//   - The store's own correctness: a commit is atomic. Package storetest and
//     the tests of sqlitestore are about that.
//   - An AUTH that is read after a later one of the same client.
//   - Recipients that do not acknowledge. To them writing is delivering, at
//     most once.
//   - Blocks, accounts, consent.
//
// # Bounds
//
// What is searched stands in searches.go, each rule and what it prevents in
// rules.go. The ordinary tests search some millions of states. With
//
//	go test ./fuzz/model -run TestSearch -v -timeout 0 -model.size 2
//
// it is forty million, in minutes, and 3 takes hours and what memory there is;
// -model.bound ends a search at so many states, and TestSearch/chat is the one
// of that name. A state costs about 60 octets, and 200 more on the latest level.
// Of dial-back the two largest searches of size 3 have 22,884,624 states and
// 150,828,599 steps ("three messages"), and 23,472,484 and 157,139,915 ("a
// broadcast and two drops"): 13 and 10 minutes on one core, and nothing found.
package model
