// Package chatserver serves the chat protocol of package chatproto: accounts
// log in, see each other come and go, and send each other messages that are
// on disk or delivered before they are acknowledged.
//
// A [Server] is used like the one of net/http: fill in its fields, call Serve
// with a listener, end it with Shutdown or Close. Many servers may run in one
// process; there is no global state, and no output but through Server.Logger.
//
// # How a message flows
//
// What comes before the first line of a connection is dealt with in
// opening.go: a PROXY header (proxy.go), the limits of strangers
// (stranger.go), TLS (tls.go). Its goroutine (conn.go) reads it until the login.
// Then an event loop does, where there are any (loop_linux.go, which waits in
// poller_linux.go) and it is not under TLS, through a descriptor of its own
// (own_linux.go): it applies all frames that one read brought in, connection
// after connection, and hands the loop over before anything that may block.
// Each frame goes through the phase table (chatproto.Machine) to the one
// function of its verb (request.go, and one file a concept: auth.go, message.go,
// presence.go, block.go, consent.go). An accepted message enters the mailboxes
// of its audience (mailbox.go) and the open batch of the committer (commit.go,
// batch.go). A mailbox puts what may leave, which release.go decides, into its
// connection's outbound buffer (outbound.go), and when the read, or the loop's
// round of reads, is dealt with, every connection that was touched is flushed
// once. Answers wait in the connection's queue of replies (reply.go) until their
// message is stored or delivered, and leave in the order of the requests. Who is
// away and wants to be called is (dialback.go, dialler.go), and its connection
// served like any other. How a connection ends is in ending.go.
//
// # Locks
//
// In the order in which they are taken; whoever holds one takes only later
// ones:
//
//	user.login       one login or logout of a user at a time
//	logins.entering  sessions that begin, while the accounts change
//	origin.mu        the window of one origin: what is decided
//	consents.mu      all consents
//	roster.mu        the users, and who is online
//	session.mu       one session: its connection, and what waits for the next
//	relays.mu        private lines that the server carries
//	dialler.mu       who is called back, and who waits for it
//	Server.mu        listeners and connections
//	mailbox.mu       one mailbox; held while messages enter and leave it
//	committer.mu     the open batch
//	origin.waitMu    mailboxes that wait until an origin's messages may leave
//	conn.mu          one connection: its phase, replies and outbound buffer
//	eventLoops.mu    which event loops there are
//	eventLoop.mu     which connections one of them reads
//	attempts.mu      failed logins, and where logins came from
//	deriver.mu       keys derived of passwords
//	strangers.mu     connections that are not logged in
//	rates.mu         how often a source does something
//
// None is held while a hook runs. Only user.login is held while the store is
// waited for, and none at all while a socket is written. Accounts are asked
// with no lock held but the turn of the same account and source address, and,
// where they change while somebody logs in, his user.login.
package chatserver
