package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// An oracle knows what every application did and saw, and says what of it
// breaks the guarantee (SPEC section 6).
type oracle struct {
	stats *Stats
	logf  func(who, format string, args ...any)

	mu       sync.Mutex
	clock    int // counts what happens
	sends    map[string]*sent
	order    []*sent
	blocks   map[pair]*block
	online   map[string]*presence // whom the server of this life told of that he logged in
	life     int
	acked    map[seen]ack
	problems []Problem
}

// A Problem is one breach of what was promised.
type Problem struct {
	Kind string // lost, twice, order, forged, refused, blocked, receipt, promise, hang, leftover, stuck
	Text string
	Key  string // of the message concerned
}

func (p Problem) String() string { return p.Kind + ": " + p.Text }

type pair struct{ owner, user string }

// A block is what a user can know of one of his own.
type block struct {
	sure, maybe bool
	version     int
}

type presence struct{ life int }

// A seen names a message at one recipient.
type seen struct {
	to, from string
	id       chatproto.ID
}

// An ack is when the server applied an acknowledgement.
type ack struct{ life, at int }

// A sent is one call of Send or Broadcast.
type sent struct {
	key, text  string
	from, to   string // to "": a broadcast
	in         *instance
	start, end int // on the oracle's clock; end 0: it has not returned
	life       int // of the server when it began
	id         chatproto.ID
	how        chatclient.How
	skipped    int
	resent     bool // the answer to what was sent again does not say who was skipped
	err        error
	takenBy    map[*instance]int // when
	first      map[string]int    // by user: when the first program took it
	firstID    chatproto.ID
	surely     map[string]*presence // of a broadcast: who was online when it began, and had no block in force
	versions   map[string]int
	blocked    map[string]bool // who surely had blocked the sender
}

func newOracle(stats *Stats, logf func(string, string, ...any)) *oracle {
	return &oracle{stats: stats, logf: logf, sends: make(map[string]*sent), blocks: make(map[pair]*block),
		online: make(map[string]*presence), acked: make(map[seen]ack)}
}

func (o *oracle) tick() int { o.clock++; return o.clock }

// problem notes a breach. mu is held.
func (o *oracle) problem(kind, key, format string, args ...any) {
	p := Problem{kind, fmt.Sprintf(format, args...), key}
	o.logf("ORACLE", "%v", p)
	o.problems = append(o.problems, p)
}

// begin notes that in is about to send.
func (o *oracle) begin(in *instance, to, key, text string) *sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &sent{key: key, text: text, from: in.user.name, to: to, in: in, start: o.tick(), life: o.life,
		takenBy: make(map[*instance]int), first: make(map[string]int)}
	o.sends[key] = s
	o.order = append(o.order, s)
	s.surely, s.versions, s.blocked = make(map[string]*presence), make(map[string]int), make(map[string]bool)
	for _, u := range in.user.w.users {
		b := o.block(u.name, s.from)
		s.versions[u.name] = b.version
		s.blocked[u.name] = b.sure
		if p := o.online[u.name]; p != nil && p.life == o.life && !b.maybe && u.name != s.from {
			s.surely[u.name] = p
		}
	}
	return s
}

// returned notes how a call ended.
func (o *oracle) returned(s *sent, rc chatclient.Receipt, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.end, s.err, s.id, s.how, s.skipped = o.tick(), err, rc.ID, rc.How, rc.Skipped
	switch {
	case err == nil:
		o.stats.Add("messages accepted", 1)
		o.stats.Add("accepted as "+rc.How.String(), 1)
		o.stats.Add("broadcast copies skipped", rc.Skipped)
	case errors.Is(err, chatclient.ErrUnknown):
		o.stats.Add("outcomes unknown", 1)
		var refused *chatproto.Error
		if errors.As(err, &refused) {
			o.stats.Add("refusals of what was resent", 1)
		}
	default:
		o.stats.Add("messages refused", 1)
	}
	for _, u := range s.in.user.w.users {
		if o.block(u.name, s.from).version != s.versions[u.name] {
			delete(s.surely, u.name)
			delete(s.blocked, u.name)
		}
		if p := s.surely[u.name]; p != nil && (o.online[u.name] != p || o.life != s.life) {
			delete(s.surely, u.name)
		}
	}
	if err == nil && s.to != "" {
		_, taken := s.first[s.to]
		if s.how == chatclient.Delivered && !taken {
			o.problem("promise", s.key, "%s is delivered, says the receipt, and %s has not taken it", s.key, s.to)
		}
		if !taken && !s.in.user.w.disk.holds(s.from, s.id) {
			o.problem("promise", s.key, "%s was accepted and is neither stored nor taken", s.key)
		}
	}
}

// taken notes that the application of in took a message.
func (o *oracle) taken(in *instance, m chatclient.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.tick()
	o.stats.Add("messages seen", 1)
	key, _, _ := strings.Cut(m.Text, " ")
	s, me := o.sends[key], in.user.name
	if s == nil || s.from != m.From || s.text != m.Text || m.Broadcast != (s.to == "") || s.to != me && s.to != "" || s.from == me {
		o.problem("forged", key, "%v took %v from %s, broadcast %v: %.40q, which nobody sent him", in, m.ID, m.From, m.Broadcast, m.Text)
		return
	}
	if s.takenBy[in] != 0 {
		o.problem("twice", key, "%v took %s twice", in, key)
		return
	}
	s.takenBy[in] = now
	if s.firstID == (chatproto.ID{}) {
		s.firstID = m.ID
	} else if s.firstID != m.ID {
		o.problem("receipt", key, "%s has the ids %v and %v", key, s.firstID, m.ID)
	}
	src := source{m.From, m.ID.Origin}
	if m.ID.N <= in.high[src] {
		o.problem("order", key, "%v took %s, %v, after number %d of the same origin", in, key, m.ID, in.high[src])
	}
	in.high[src] = m.ID.N
	if _, again := s.first[me]; again {
		o.stats.Add("seen again by a restarted program", 1)
		if a, ok := o.acked[seen{me, m.From, m.ID}]; ok && a.life == o.life && a.at < in.began {
			o.problem("twice", key, "%v took %s, which the program before it had taken, and the same server had its acknowledgement", in, key)
		}
		return
	}
	s.first[me] = now
}

type source struct {
	from   string
	origin uint64
}

// again notes that a message went out once more.
func (o *oracle) again(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.sends[key]; s != nil {
		s.resent = true
	}
}

// acknowledged notes that the server applied an acknowledgement.
func (o *oracle) acknowledged(life int, to, from string, id chatproto.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if life == o.life {
		o.acked[seen{to, from, id}] = ack{life, o.tick()}
	}
}

// login and logout note what the server says of sessions.
func (o *oracle) login(life int, user string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if life == o.life {
		o.online[user] = &presence{life}
	}
}

func (o *oracle) logout(user string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.online, user)
}

// newLife notes that another server runs.
func (o *oracle) newLife(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.life = n
	clear(o.online)
}

func (o *oracle) block(owner, user string) *block {
	b := o.blocks[pair{owner, user}]
	if b == nil {
		b = new(block)
		o.blocks[pair{owner, user}] = b
	}
	return b
}

// blocking notes that owner is about to block user, or to unblock him.
func (o *oracle) blocking(owner, user string, on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.block(owner, user)
	b.version++
	b.sure = b.sure && on
	b.maybe = b.maybe || on
}

// blockingDone notes how that ended.
func (o *oracle) blockingDone(owner, user string, on bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.block(owner, user)
	b.version++
	if err == nil {
		b.sure, b.maybe = on, on
		return
	}
	b.sure, b.maybe = false, true
}

// outstanding returns the calls that have not returned.
func (o *oracle) outstanding() (keys []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.order {
		if s.end == 0 {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// wanted returns who must see s at the end.
func (s *sent) wanted() (users []string) {
	switch {
	case s.end == 0 || s.err != nil:
	case s.to != "":
		users = append(users, s.to)
	case s.skipped == 0 && (!s.resent || s.in.user.w.plan.mailbox == 0):
		for _, u := range s.in.user.w.users {
			if s.surely[u.name] != nil {
				users = append(users, u.name)
			}
		}
	}
	return users
}

// missing returns what was accepted and has not been seen.
func (o *oracle) missing() (keys []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.order {
		for _, u := range s.wanted() {
			if _, ok := s.first[u]; !ok {
				keys = append(keys, s.key+" at "+u)
			}
		}
	}
	return keys
}

// judge checks what can be said only in the end.
func (o *oracle) judge() {
	for _, what := range o.missing() {
		key, _, _ := strings.Cut(what, " ")
		o.mu.Lock()
		o.problem("lost", key, "%s was accepted and never seen", what)
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.order {
		o.judgeOne(s)
	}
	o.judgeOrder()
}

func (o *oracle) judgeOne(s *sent) {
	for _, u := range s.wanted() {
		if s.to == "" {
			if _, ok := s.first[u]; ok {
				o.stats.Add("broadcast copies that were due", 1)
			}
		}
	}
	if s.end == 0 || len(s.first) == 0 {
		return
	}
	if s.err != nil && !errors.Is(s.err, chatclient.ErrUnknown) {
		o.problem("refused", s.key, "%s was refused (%v) and seen", s.key, s.err)
	}
	if s.err == nil && s.firstID != s.id {
		o.problem("receipt", s.key, "%s was seen as %v, the receipt says %v", s.key, s.firstID, s.id)
	}
	for u := range s.first {
		if s.blocked[u] {
			o.problem("blocked", s.key, "%s was seen by %s, who had blocked %s before", s.key, u, s.from)
		}
	}
	if s.err != nil {
		o.stats.Add("unknown and seen", 1)
	}
}

// judgeOrder checks that what a user had the answer for, before he sent
// another message, was seen first, whatever programs were used.
func (o *oracle) judgeOrder() {
	type arrow struct{ from, to string }
	flows := make(map[arrow][]*sent)
	for _, s := range o.order {
		if s.end == 0 || s.err != nil {
			continue
		}
		for u := range s.first {
			flows[arrow{s.from, u}] = append(flows[arrow{s.from, u}], s)
		}
	}
	for a, list := range flows {
		slices.SortFunc(list, func(x, y *sent) int { return x.first[a.to] - y.first[a.to] })
		latest := (*sent)(nil) // the one seen so far that was begun last
		for _, s := range list {
			if latest != nil && s.end < latest.start {
				o.problem("order", s.key, "%s was accepted before %s was sent, and seen by %s after it", s.key, latest.key, a.to)
			}
			if latest == nil || s.start > latest.start {
				latest = s
			}
		}
	}
}
