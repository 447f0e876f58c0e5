package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// params are the shape of one run.
type params struct {
	Kind      string  `json:"kind,omitempty"`
	Pairs     int     `json:"pairs,omitempty"`
	Senders   int     `json:"senders,omitempty"`
	Receivers int     `json:"receivers,omitempty"`
	Conns     int     `json:"conns,omitempty"`
	Window    int     `json:"window,omitempty"`
	Size      int     `json:"size,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// String tells the shape to a person.
func (p params) String() string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, number(float64(n))+" "+what)
		}
	}
	add(p.Pairs, "pairs")
	add(p.Senders, "senders")
	add(p.Receivers, "receivers")
	add(p.Conns, strings.TrimSpace(p.Kind+" connections"))
	add(p.Window, "unanswered")
	add(p.Size, "octets")
	return strings.Join(append(parts, number(p.Seconds)+" s"), ", ")
}

// connections is how many connections are open at once.
func (p params) connections() int {
	return max(2, 2*p.Pairs, p.Senders+1, p.Receivers+1, p.Conns+p.Senders+2)
}

// A figure is one thing that was measured.
type figure struct {
	key, label string
	value      float64
}

// figures stand in the order in which they are shown.
type figures []figure

func (f *figures) add(key, label string, value float64) {
	*f = append(*f, figure{key, label, value})
}

// MarshalJSON writes one object, in the order of the figures.
func (f figures) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, v := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", v.key, strconv.FormatFloat(rounded(v.value), 'f', -1, 64))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// rounded keeps six digits, which is more than was measured.
func rounded(x float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return r
}

// A result is one line of the JSON output. Values has the figures by their
// keys; those of the server are missing without its process ID.
type result struct {
	Work   string  `json:"work"`
	Run    int     `json:"run"`
	Time   string  `json:"time"`
	Addr   string  `json:"addr"`
	TLS    bool    `json:"tls"`
	Mech   string  `json:"mech"`
	Params params  `json:"params"`
	Values figures `json:"values"`
	Error  string  `json:"error,omitempty"`
}

func (r *result) write(w io.Writer) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// table writes the figures of one or more runs of the same, each with its
// median and, of several runs, the lowest and the highest.
func table(w io.Writer, title string, runs []figures) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", title)
	if len(runs) > 1 {
		fmt.Fprintf(&b, "  %-44s %12s %12s %12s\n", fmt.Sprintf("of %d runs", len(runs)), "median", "lowest", "highest")
	}
	for i, f := range runs[0] {
		var v []float64
		for _, r := range runs {
			if i < len(r) {
				v = append(v, r[i].value)
			}
		}
		slices.Sort(v)
		fmt.Fprintf(&b, "  %-44s %12s", f.label, number(v[len(v)/2]))
		if len(runs) > 1 {
			fmt.Fprintf(&b, " %12s %12s", number(v[0]), number(v[len(v)-1]))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// number writes a figure with three digits or all that stand before the point.
func number(x float64) string {
	switch {
	case x < 0:
		return "-" + number(-x)
	case x >= 99.95:
		s := strconv.FormatFloat(x, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case x >= 9.995:
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(x, 'f', 2, 64), "0"), ".")
}
