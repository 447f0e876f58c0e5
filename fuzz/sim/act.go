package sim

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// act lets the application do what it does, until its program ends or the
// world is over.
func (in *instance) act() {
	u := in.user
	for {
		if u.wait(in.idle()) {
			break
		}
		select {
		case <-in.client.Done():
			u.w.logf("user", "%v has ended: %v", in, in.client.Err())
			u.w.stats.Add("programs that a ghost replaced", 1)
			return
		default:
		}
		restart := 0.0
		if u.w.plan.faults&Restarts != 0 {
			restart = 3
		}
		blocks := 0.0
		if u.w.plan.faults&Blocks != 0 {
			blocks = 6
		}
		switch in.roll.pick(50, 12, 10, 4, restart, blocks) {
		case 0:
			in.send(in.someone(), true)
		case 1:
			in.burst()
		case 2:
			in.send("", in.roll.chance(0.5))
		case 3:
			in.client.Online(u.w.ctx)
		case 4:
			return
		case 5:
			in.block()
		}
	}
	select {
	case <-u.w.over:
	case <-in.client.Done():
		u.w.logf("user", "%v has ended: %v", in, in.client.Err())
	}
}

// idle draws how long the application does nothing.
func (in *instance) idle() time.Duration {
	if in.user.budget <= 0 {
		return in.user.w.plan.length
	}
	switch in.roll.pick(5, 5, 3, 1) {
	case 0:
		return in.roll.scale(time.Microsecond, 20*time.Millisecond)
	case 1:
		return in.roll.scale(10*time.Millisecond, 5*time.Second)
	case 2:
		return in.roll.scale(time.Second, 2*time.Minute)
	}
	return in.roll.scale(time.Minute, max(in.user.w.plan.length/4, 2*time.Minute))
}

func (in *instance) someone() string {
	if in.roll.chance(0.02) {
		return "nobody"
	}
	w := in.user.w
	return w.users[in.roll.IntN(len(w.users))].name
}

// burst sends many messages without waiting for the answers.
func (in *instance) burst() {
	n := 2 + in.roll.IntN(20)
	if in.roll.chance(0.05) {
		n = 300 // more than the window holds
	}
	to := in.someone()
	for range min(n, in.user.budget) {
		if in.roll.chance(0.2) {
			to = in.someone()
		}
		if in.roll.chance(0.07) {
			to = ""
		}
		in.send(to, false)
		time.Sleep(time.Nanosecond) // so that they are numbered in this order, whoever runs first
	}
}

// send sends a message to a user, or a broadcast, and waits for the answer or
// does not.
func (in *instance) send(to string, wait bool) {
	u := in.user
	u.budget--
	u.count++
	key := fmt.Sprintf("%s.%d", u.name, u.count)
	text := key + " "
	switch in.roll.pick(8, 2, 1) {
	case 1:
		text += strings.Repeat("x", in.roll.IntN(500))
	case 2:
		text += strings.Repeat("long ", in.roll.IntN(1400))
	}
	ctx, cancel := u.w.ctx, context.CancelFunc(func() {})
	if in.roll.chance(0.08) {
		ctx, cancel = context.WithTimeout(ctx, in.roll.scale(time.Millisecond, time.Minute))
	}
	s := u.w.orc.begin(in, to, key, text)
	u.w.logf("user", "%v sends %s to %q, %d octets", in, key+" ", to, len(text))
	call := func() {
		defer cancel()
		rc, err := in.client.Send(ctx, to, text)
		u.w.orc.returned(s, rc, err)
		u.w.logf("user", "%v sent %s as %v: %v %v", in, key+" ", rc.ID, rc.How, err)
	}
	if to == "" {
		call = func() {
			defer cancel()
			rc, err := in.client.Broadcast(ctx, text)
			u.w.orc.returned(s, rc, err)
			u.w.logf("user", "%v cast %s as %v: %v, skipped %d", in, key+" ", rc.ID, err, rc.Skipped)
		}
	}
	if wait {
		call()
		return
	}
	u.w.calls.Go(call)
}

// block blocks somebody, or takes it back.
func (in *instance) block() {
	u := in.user
	other := u.w.users[in.roll.IntN(len(u.w.users))].name
	if other == u.name {
		return
	}
	on := in.roll.chance(0.4)
	u.w.orc.blocking(u.name, other, on)
	var err error
	if on {
		_, err = in.client.Block(u.w.ctx, other)
	} else {
		_, err = in.client.Unblock(u.w.ctx, other)
	}
	u.w.orc.blockingDone(u.name, other, on, err)
	u.w.logf("user", "%v blocks %s, %v: %v", in, other, on, err)
	u.w.stats.Add("blocks and unblocks", 1)
}
