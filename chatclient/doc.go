// Package chatclient is a client of the Parley chat protocol (chatproto's
// SPEC.md), driven by callbacks. One [Client] is one login: it connects, logs
// in, sends, receives, and comes back by itself when the connection is lost.
//
//	c, err := chatclient.Dial(ctx, chatclient.Config{
//		Addr: "localhost:8000", User: "columbia", Password: "116bway",
//		Callbacks: chatclient.Callbacks{
//			OnMessage: func(ctx context.Context, m chatclient.Message) error {
//				fmt.Println(m.Description)
//				return nil // taken: the server may forget it
//			},
//		},
//	})
//	receipt, err := c.Send(ctx, "google", "hello!")
//
// # What is guaranteed
//
// A nil error from [Client.Send] says that the message is on the server's
// stable storage or was taken by the recipient's callback. A message that was
// sent when the connection broke is sent again under its old number, which
// the server recognizes, so it is delivered once. OnMessage sees each message
// once, and the messages of one sender in order, with these exceptions:
//
//   - What this client remembers dies with the program, or does not: see
//     below.
//   - An error that matches [ErrUnknown] means "maybe delivered".
//   - A broadcast that the server decided anew after a crash may have been
//     seen by somebody outside its final audience.
//
// # When the program dies
//
// Without Config.StateFile the client remembers in memory only. A message
// that was taken, but whose acknowledgement did not reach the server before
// the program ended, is shown again to the restarted program. A Send that had
// not returned is forgotten: its message may have been delivered or not.
//
// With a [StateFile] it remembers in a file that survives the program, also
// one that is killed, and a power cut:
//
//   - Send: the message is in the file, synced, before it goes to the server.
//     If the program dies before the answer, the next client with the file
//     sends it, under its old number and before anything new, and tells
//     OnOutcome what became of it: accepted, refused, or maybe delivered
//     ([ErrUnknown]). A Send that died before its sync has sent nothing. A
//     refusal is told only when the file says that the message is not to be
//     sent any more. That it was accepted is written down up to 50 ms later:
//     if the program dies in between the message is sent again, the server
//     recognizes it, and OnOutcome tells of it although Send had returned.
//   - Receive: a message is shown, its callback returns nil, it is marked as
//     seen, the mark is synced, and then it is acknowledged. A message whose
//     mark was synced is never shown again, on whatever connection it comes.
//     If the program dies between the callback's return and the sync it is
//     shown again, once for each such death. An application that keeps what
//     it is shown can close that gap: it commits From and [Message.ID] with
//     its own data, and does nothing if it finds them there.
//   - A sender is remembered for 7 days after their last message, and 65,536
//     of them, with and without the file.
//   - If the server lost its memory, or the file is an older copy, the client
//     goes on as a new one; what was unanswered is reported as unknown and not
//     sent again.
//   - If the file cannot be written (the disk is full, say), Send fails with
//     [ErrState] and nothing is acknowledged; the client tries again, from 100
//     ms up to every 10 s, and all goes on when it succeeds.
//
// Messages that are sent, or taken, while the file is being synced share the
// next sync. One Send after the other costs one sync each.
//
// A bit that was flipped in the file is an error that says so when it is
// opened; in the last write before a crash it cannot be told from a write
// that was cut short, and is dropped like one. The program must be on a Unix
// that has flock(2) (Linux, macOS, the BSDs) and a local file system.
//
// # Private chat
//
// [Client.RequestAddress] asks a user, their [Client.Consent] answers, and
// [Client.Private] then speaks to their client directly, by TLS 1.3 between
// the identity keys of the two (Config.Identity), or through the server,
// which cannot read it (Config.Relay). Consent has a direction: to answer, the
// other way round is asked and consented to.
//
//   - Nobody is heard who was not consented to: another key ends the
//     handshake. A line is closed the moment the consent ends: revoked,
//     blocked, expired, logged out, replaced, another address or key. Only a
//     message that the callback has at that moment is answered still, if that
//     takes a second at most.
//   - A nil error from Private says that the other callback returned nil, and
//     that this was noted: in the other's StateFile, synced, if there is one.
//     A line that breaks is opened again while the consent lasts, and what was
//     not answered is sent again under its old number, which is shown once.
//   - With a StateFile a message is in the file, synced, before it goes out.
//     If the program dies before the answer, and is back with the file and its
//     Identity while its session lasts at the server (45 s, usually) and the
//     consent is in force, the message is sent again under its old number,
//     before anything new, and OnOutcome tells that it was taken. If the
//     consent is over by then, OnOutcome tells [ErrUnknown]: it was taken, or
//     not. Nobody is asked for another consent. What Logout or Close leave
//     without an answer Private tells itself. Without a StateFile all this is
//     forgotten.
//   - If the program that received dies, it shows nothing again that it had
//     answered, if it has a StateFile. What its callback took and it had not
//     answered is shown again only if the sender still has a consent when the
//     program is back, which takes a new one; an application that keeps From
//     and [PrivateMessage.ID] can tell.
//   - Either's death ends the consents when the server has waited for one
//     timeout; OnRevoked tells the other. Until then Private fails with
//     [ErrPeerGone], and with [ErrUnknown] as well if the message had been
//     sent.
//   - The key of everybody with whom there was a line is remembered
//     (Config.Peers). Another one is told to OnPeerKeyChanged, and stops
//     Consent and Private until [Client.AcceptPeerKey];
//     [Client.SafetyNumber] is what two people compare first.
//
// # Which server
//
// The connection is encrypted, and the server verified before anything is said
// to it: by the key that the application was told, by an authority, by the key
// that it had before, or by a person's word, see [ServerKeyError]. Then the
// client proves its password by SCRAM, without telling it and for this
// connection alone, and believes nothing of the server until that has proved
// in turn that it knows the account ([ErrServerProof]). The password itself is
// sent only if the server offers nothing else, and only to one that is
// verified, or is on this machine. With a [PinFile] it is noticed when a server
// has another key ([ErrServerChanged]), or offers worse logins than before
// ([ErrDowngrade]), also by the next program; without one it is as long as the
// Client lives. Cleartext is spoken only where Config.Cleartext says so.
//
// # Without a connection
//
// With Config.DialBack a client that has nothing to say, and was told nothing
// for a moment, closes its connection and stays online: the server calls it
// when something comes for it, and whatever the application calls makes a
// connection first. All of the above holds; [DialBack] says what it needs and
// costs.
//
// # Goroutines
//
// A Client's methods may be called by any goroutine, also from callbacks: all
// callbacks run on one goroutine that nothing else waits for, so a callback
// may call Send and wait for the receipt.
package chatclient
