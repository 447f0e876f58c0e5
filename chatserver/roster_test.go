package chatserver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A page of ONLN costs what is in it, however many are online.
func TestOnlineLooksAtOnePage(t *testing.T) {
	r := crowd(10_000)
	for _, after := range []string{"", "u00005000", "u00005000x", "u00009999"} {
		looked := 0
		names, more := r.list(after, 10, func(*user) bool { looked++; return true })
		if looked > 11 {
			t.Errorf("for %d names after %q the server looks at %d users (more: %v)", len(names), after, looked, more)
		}
	}
}

// What ONLN lists is who is online, whoever came and went before.
func TestOnlineIsSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := crowd(0)
	online := make(map[string]*session)
	for range 2000 {
		name := fmt.Sprint("u", rng.IntN(100))
		switch sess := online[name]; {
		case sess == nil:
			online[name] = &session{user: &user{name: name}}
			r.enter(online[name])
		case rng.IntN(8) == 0: // the end of one that is not there any more
			r.leave(&session{user: sess.user})
		default:
			r.leave(sess)
			delete(online, name)
		}
		after, limit := fmt.Sprint("u", rng.IntN(110)), 1+rng.IntN(40)
		visible := func(u *user) bool { return len(u.name) == 3 }
		var want []string
		for name, sess := range online {
			if name > after && visible(sess.user) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		names, more := r.list(after, limit, visible)
		if !slices.Equal(names, want[:min(limit, len(want))]) || more != (len(want) > limit) {
			t.Fatalf("after %s at most %d: %v (more: %v) of %v", after, limit, names, more, want)
		}
	}
}

// crowd returns a roster with n users online.
func crowd(n int) *roster {
	r := &roster{online: make(map[string]*session)}
	for i := range n {
		r.enter(&session{user: &user{name: fmt.Sprintf("u%08d", i)}})
	}
	return r
}

func BenchmarkOnline(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("list/", n), func(b *testing.B) {
			r := crowd(n)
			b.ReportAllocs()
			for b.Loop() {
				r.list("", 1000, func(*user) bool { return true })
			}
		})
		b.Run(fmt.Sprint("enter-leave/", n), func(b *testing.B) {
			r := crowd(n)
			sess := &session{user: &user{name: "u00000000x"}} // the dearest place
			for b.Loop() {
				r.enter(sess)
				r.leave(sess)
			}
		})
	}
}
