package model

// A Rule is one that a search can leave out, to show that it is needed.
type Rule uint8

// The rules, in the order of SPEC sections 6 and 7.7.
const (
	WindowRoom              Rule = iota // 6.2
	ServerWindow                        // 6.3
	DuplicatesWait                      // 6.3
	RefusalsDecide                      // 6.3
	ResendFirst                         // 6.3
	AnswerWhenStored                    // 6.4
	WritingIsNoDelivery                 // 6.4
	BarOfRefusals                       // 6.4, rule 1
	BarOfCasts                          // 6.4, rule 1
	WaitForBar                          // 6.4, rule 2
	FirstInFirstOut                     // 6.4, rule 2
	CastsAreStored                      // 6.4, rules 3 and 4
	WindowAsCut                         // 6.4, rule 4
	WindowOfTheCut                      // 6.4, rule 4
	WindowWithBodies                    // 6.4, rule 4
	WholeBatches                        // 6.4, rule 4
	OneBatch                            // 6.4, rule 4
	FailedIsNotStored                   // 6.4, rule 6
	FailedIsPutBack                     // 6.4, rule 6
	PutBackWhole                        // 6.4, rule 6
	AcceptedStays                       // 6.4, rule 6
	OpenWindowStays                     // 6.4, rule 7
	BatchedWindowStays                  // 6.4, rule 7
	CastIsNoSend                        // 6.4, rule 8
	CountsEndWithConnection             // 6.5
	UnacknowledgedStays                 // 6.5
	ReceiveWindow                       // 6.5
	TakenInOrder                        // 6.5
	KeptBeforeAcknowledged              // 6.5 and 6.7 (a)
	ReceiveWindowKept                   // 6.7 (a)
	RegisteredFirst                     // 6.6
	NewOrigin                           // 6.6
	NotRegisteredAgain                  // 6.6
	WelcomeKept                         // 6.6
	HighIsOurs                          // 6.6
	BackupWithoutOrigins                // 6.6
	DialledNeverFences                  // 7.7, 13
	OverIsOver                          // 7.7, 12
)

// A Breach is a rule left out: what is done instead, and a search that finds
// what becomes of it.
type Breach struct {
	Rule    Rule
	Section string
	Instead string
	Config  Config
	Finds   string // how the violation begins
}

// Breaches are all of them. There is one for each rule, at least.
var Breaches = []Breach{
	{WindowRoom, "6.2", "the client has numbers 256 and more apart unanswered",
		Config{Messages: "BBBB", Faults: Faults{Drops: 1}}, "FALSE REFUSAL"},
	{ServerWindow, "6.3, 2", "the server keeps no window and decides whatever comes",
		Config{Messages: "BB", Faults: Faults{Drops: 1, Refusals: 1}}, "LOST"},
	{DuplicatesWait, "6.3, 3", "a duplicate of what is accepted and not yet stored is answered at once",
		Config{Messages: "B", Faults: Faults{Drops: 1, Crashes: 1}}, "LOST"},
	{RefusalsDecide, "6.3, 4", "a refusal is no decision: the number may come again",
		Config{Messages: "BB", Faults: Faults{Refusals: 1, Crashes: 1}}, "LOST"},
	{ResendFirst, "6.3, 5", "the client may send what is new before it sends the old again",
		Config{Messages: "BB", Faults: Faults{Drops: 1}, Flight: true}, "FALSE REFUSAL"},
	{AnswerWhenStored, "6.4", "201 comes when a message is accepted, not when it is stored or acknowledged",
		Config{Messages: "B"}, "LOST"},
	{WritingIsNoDelivery, "6.4", "201 comes when a message is written to the recipient's connection",
		Config{Messages: "B", Flight: true}, "LOST"},
	{BarOfRefusals, "6.4, 1", "nothing waits for a refusal before it to be stored",
		Config{Messages: "BB", Faults: Faults{Refusals: 1, Crashes: 1}}, "LOST"},
	{BarOfCasts, "6.4, 1", "nothing waits for a broadcast before it to be stored",
		Config{Messages: "*C", Offline: true, Faults: Faults{Crashes: 1}}, "LOST"},
	{WaitForBar, "6.4, 2", "a message leaves whatever is stored of the window",
		Config{Messages: "BB", Faults: Faults{Refusals: 1, Crashes: 1}}, "LOST"},
	{FirstInFirstOut, "6.4, 2", "a live message overtakes what waits in the mailbox",
		Config{Messages: "BB", Faults: Faults{DropsBC: 1}}, "LOST"},
	{CastsAreStored, "6.4, 3 and 4", "a broadcast that all have acknowledged is done: it is answered and not stored, and nothing waits for it",
		Config{Messages: "*C", Offline: true, Faults: Faults{Crashes: 1}}, "LOST"},
	{WindowOfTheCut, "6.4, 4", "a batch that leaves later messages to the next writes the window with them",
		Config{Messages: "BB", Faults: Faults{Crashes: 1}}, "LOST"},
	{WindowAsCut, "6.4, 4", "the stored window lacks the messages that were left out of the batch",
		Config{Messages: "BB", Faults: Faults{Crashes: 1}}, "FALSE REFUSAL"},
	{WindowWithBodies, "6.4, 4", "a batch holds messages without their window",
		Config{Messages: "BB", Faults: Faults{Refusals: 1, Crashes: 1}}, "LOST"},
	{WholeBatches, "6.4, 4", "a crash may leave a part of a batch: the window without its messages",
		Config{Messages: "B", Faults: Faults{Crashes: 1}}, "LOST"},
	{OneBatch, "6.4, 4", "a second batch is written beside the first, and may be stored before it",
		Config{Messages: "BC", Faults: Faults{Crashes: 1}}, "LOST"},
	{FailedIsNotStored, "6.4, 6", "a batch that failed counts as stored",
		Config{Messages: "B", Faults: Faults{Failures: 1}}, "LOST"},
	{FailedIsPutBack, "6.4, 6", "a batch that failed is given up",
		Config{Messages: "*", Faults: Faults{Failures: 1}}, "STUCK"},
	{PutBackWhole, "6.4, 6", "of a batch that failed, the windows go with the next batch and the messages with a later one",
		Config{Messages: "*B", Faults: Faults{Drops: 1, Refusals: 1, Failures: 1, Crashes: 1}}, "LOST"},
	{AcceptedStays, "6.4, 6", "what is accepted is refused after all when its batch fails",
		Config{Messages: "B", Flight: true, Faults: Faults{Failures: 1, Crashes: 1}}, "REFUSED AND SEEN"},
	{OpenWindowStays, "6.4, 7", "a window leaves memory although a connection of its origin is open",
		Config{Messages: "BB", Flight: true, Faults: Faults{PageOuts: 1, Drops: 1}}, "FALSE REFUSAL"},
	{BatchedWindowStays, "6.4, 7", "a window leaves memory although a batch holds something of its origin",
		Config{Messages: "BB", Flight: true, Faults: Faults{PageOuts: 1, Drops: 1, Refusals: 1}}, "LOST"},
	{CastIsNoSend, "6.4, 8", "a message to several is answered when the first of them has acknowledged it",
		Config{Messages: "*"}, "LOST"},
	{CountsEndWithConnection, "6.5", "what was acknowledged on an old connection is counted on the new one",
		Config{Messages: "BBB", Faults: Faults{DropsBC: 1}, Flight: true}, "LOST"},
	{UnacknowledgedStays, "6.5", "what is in flight when a connection breaks counts as delivered",
		Config{Messages: "B", Flight: true, Faults: Faults{DropsBC: 1}}, "LOST"},
	{ReceiveWindow, "6.5", "the receiver shows whatever comes",
		Config{Messages: "B", Faults: Faults{DropsBC: 1}}, "TWICE"},
	{TakenInOrder, "6.5", "the receiver goes on behind a message that its application did not take",
		Config{Messages: "BB", Flight: true}, "LOST"},
	{KeptBeforeAcknowledged, "6.5", "the receiver acknowledges before it has written down what was taken",
		Config{Messages: "B", Faults: Faults{CrashesBC: 1}}, "LOST"},
	{ReceiveWindowKept, "6.7 a", "the receiver keeps what it has taken, and not the number of it",
		Config{Messages: "B", Faults: Faults{CrashesBC: 1}}, "TWICE"},
	{RegisteredFirst, "6.6", "the 230 comes before the new origin is stored",
		Config{Messages: "B", Logins: true, Faults: Faults{Crashes: 1}}, "NEEDLESS"},
	{NewOrigin, "6.6", "a client that is not known any more resends under its old numbers",
		Config{Messages: "BB", Logins: true, Faults: Faults{Losses: 1, Refusals: 1}, Without: []Rule{NotRegisteredAgain}}, "LOST"},
	{NotRegisteredAgain, "6.6", "the server registers an origin anew though its client had a 230 for it, and says known=1 when that 230 is lost",
		Config{Messages: "BB", Logins: true, Faults: Faults{Losses: 1, Refusals: 1, Drops: 1}}, "LOST"},
	{WelcomeKept, "6.6", "the client forgets with its program that it had a 230",
		Config{Messages: "BB", Logins: true, Faults: Faults{Losses: 1, Refusals: 1, Restarts: 1}}, "LOST"},
	{HighIsOurs, "6.6", "a client whose memory is older than the server's goes on under its origin",
		Config{Messages: "BBB", Logins: true, Faults: Faults{Setbacks: 1}}, "LOST"},
	{BackupWithoutOrigins, "6.6", "a backup of the server's disk is put in place with the windows in it",
		Config{Messages: "CBB", Logins: true, Faults: Faults{Backups: 1, Refusals: 1}}, "LOST"},
	{DialledNeverFences, "7.7, 13", "a connection that the server made takes the place of one that the client made meanwhile",
		Config{Messages: "B", DialBack: true}, "ENDLESS"},
	{OverIsOver, "7.7, 12", "a login on a connection that the server made goes on with a session that has ended",
		Config{Messages: "B*", DialBack: true, Faults: Faults{Ends: 1}}, "PASSED BY"},
}
