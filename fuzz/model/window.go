package model

import "github.com/parleyproto/parley/chatproto"

// number is what stands on the wire for the k-th number of an origin. They are
// so far apart, as if the client had asked for much else in between, that three
// of them may be unanswered, and the fourth takes the first one's place in the
// window.
func number(k uint8) uint64 { return 1 + 256*uint64(k-1)/3 }

// maxNumbers is how many numbers an origin may use.
const maxNumbers = maxMessages

// A windowID stands for a chatproto.Window: states hold the real window, by
// its place in a table. 0 is none, 1 the window that has decided nothing.
type windowID uint8

const emptyWindow windowID = 1

// windows is the table of all windows of a search, and of what the real code
// made of them: each decision and each look is asked for once.
type windows struct {
	all    []chatproto.Window
	ids    map[chatproto.Window]windowID
	next   map[decision]windowID
	looks  map[decision]chatproto.Verdict
	spared map[decision]windowID
	before map[decision]windowID
}

type decision struct {
	win    windowID
	k      uint8 // or a set of numbers
	accept bool
}

func newWindows() *windows {
	w := &windows{ids: make(map[chatproto.Window]windowID), next: make(map[decision]windowID),
		looks: make(map[decision]chatproto.Verdict), spared: make(map[decision]windowID), before: make(map[decision]windowID)}
	w.all = append(w.all, chatproto.Window{High: ^uint64(0)}) // never looked at
	w.id(chatproto.Window{})
	return w
}

// id gives a window its place. It goes through the form that is stored, as
// every window does sooner or later.
func (w *windows) id(win chatproto.Window) windowID {
	if id, ok := w.ids[win]; ok {
		return id
	}
	stored, err := win.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	var back chatproto.Window
	if err := back.UnmarshalBinary(stored); err != nil || back != win {
		panic("model: a window does not come back from the disk as it was")
	}
	if len(w.all) > 255 {
		panic("model: too many windows")
	}
	id := windowID(len(w.all))
	w.all = append(w.all, win)
	w.ids[win] = id
	return id
}

// high is the k of the highest number that was decided.
func (w *windows) high(id windowID) uint8 {
	if id == 0 {
		return 0
	}
	k := uint8(0)
	for k < maxNumbers && number(k+1) <= w.all[id].High {
		k++
	}
	return k
}

func (w *windows) look(id windowID, k uint8) chatproto.Verdict {
	d := decision{win: id, k: k}
	v, ok := w.looks[d]
	if !ok {
		v = w.all[id].Look(number(k))
		w.looks[d] = v
	}
	return v
}

func (w *windows) decide(id windowID, k uint8, accept bool) windowID {
	d := decision{id, k, accept}
	to, ok := w.next[d]
	if !ok {
		win := w.all[id]
		win.Decide(number(k), accept)
		to = w.id(win)
		w.next[d] = to
	}
	return to
}

// at is the window as it stood when the k-th number was the highest.
func (w *windows) at(id windowID, k uint8) windowID {
	d := decision{win: id, k: k}
	to, ok := w.before[d]
	if !ok {
		win := w.all[id]
		to = w.id(win.At(number(k)))
		w.before[d] = to
	}
	return to
}

// without is the window with these numbers refused.
func (w *windows) without(id windowID, ks set) windowID {
	d := decision{win: id, k: uint8(ks)}
	to, ok := w.spared[d]
	if !ok {
		var win chatproto.Window
		for k := uint8(1); k <= w.high(id); k++ {
			win.Decide(number(k), !ks.has(k) && w.look(id, k) == chatproto.Accepted)
		}
		to = w.id(win)
		w.spared[d] = to
	}
	return to
}

// room reports whether a client may send its k-th number while the lowest
// that is unanswered is the low-th (SPEC section 6.2).
func room(k, low uint8) bool {
	return low == 0 || number(k)-number(low) < chatproto.WindowSize
}
