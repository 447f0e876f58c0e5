package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"
)

// An observer puts together what it sees in packets.
type observer struct {
	t       *testing.T
	packets *os.File
	flows   sightings
}

// sightings are octets that passed, by flow: one direction of a connection of
// TCP.
type sightings map[flow]*passed

type flow struct{ from, to netip.AddrPort }

type passed struct {
	first uint32 // the number of the octet that stands first
	data  []byte
}

func newObserver(t *testing.T, packets *os.File) *observer {
	t.Cleanup(func() { packets.Close() })
	return &observer{t: t, packets: packets, flows: sightings{}}
}

// until reads what was seen, up to this text, which some flow has to bring.
func (o *observer) until(text string) sightings {
	o.t.Helper()
	o.packets.SetReadDeadline(time.Now().Add(patience))
	packet := make([]byte, 1<<17)
	for {
		n, err := o.packets.Read(packet)
		if err != nil {
			o.t.Fatalf("%q is not seen on %s: %v", text, o.packets.Name(), err)
		}
		if p := o.flows.take(packet[:n]); p != nil && bytes.Contains(p.data, []byte(text)) {
			return o.flows
		}
	}
}

// maxPassed bounds what is kept of one flow.
const maxPassed = 4 << 20

// take adds one Ethernet packet, and returns the flow that has grown, if it is
// of TCP over IPv4 and brings something.
func (s sightings) take(packet []byte) *passed {
	const ethernet, ip4, tcp = 14, 0x0800, 6
	if len(packet) < ethernet+20 || binary.BigEndian.Uint16(packet[12:]) != ip4 || packet[ethernet+9] != tcp {
		return nil
	}
	ip := packet[ethernet:]
	header, length := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if length < header+20 || length > len(ip) {
		return nil
	}
	seg := ip[header:length]
	addr := func(at, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[at:at+4])), binary.BigEndian.Uint16(seg[port:]))
	}
	f := flow{addr(12, 0), addr(16, 2)}
	number, offset := binary.BigEndian.Uint32(seg[4:]), int(seg[12]>>4)*4
	if offset > len(seg) {
		return nil
	}
	const syn = 2
	if seg[13]&syn != 0 {
		s[f] = &passed{first: number + 1}
		return nil
	}
	p := s[f]
	payload := seg[offset:]
	if p == nil || len(payload) == 0 || number-p.first > maxPassed {
		return nil
	}
	at := int(number - p.first)
	if short := at + len(payload) - len(p.data); short > 0 {
		p.data = append(p.data, make([]byte, short)...)
	}
	copy(p.data[at:], payload)
	return p
}

// between returns what passed between two machines, in both directions.
func (s sightings) between(a, b string) (data []byte) {
	for f, p := range s {
		from, to := f.from.Addr().String(), f.to.Addr().String()
		if from == a && to == b || from == b && to == a {
			data = append(data, p.data...)
		}
	}
	return data
}

// to returns what was sent to a port.
func (s sightings) to(host string, port uint16) (data []byte) {
	for f, p := range s {
		if f.to.Addr().String() == host && f.to.Port() == port {
			data = append(data, p.data...)
		}
	}
	return data
}

var relayedData = regexp.MustCompile(`RDAT [^\r]*data=(\S+)`)

// relayed returns what the server carried for others.
func (s sightings) relayed() (data []byte) {
	for _, p := range s {
		for _, m := range relayedData.FindAllSubmatch(p.data, -1) {
			raw, _ := base64.StdEncoding.DecodeString(string(m[1]))
			data = append(data, raw...)
		}
	}
	return data
}

// hides checks that these words are nowhere, in what passed and in what it
// carried.
func (s sightings) hides(t *testing.T, words ...string) {
	t.Helper()
	all := s.relayed()
	for _, p := range s {
		all = append(append(all, '\n'), p.data...)
	}
	for _, word := range words {
		if bytes.Contains(all, []byte(word)) {
			t.Errorf("an observer sees %q", word)
		}
	}
}
