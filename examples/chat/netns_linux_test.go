package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of a lab's hosts.
const (
	labServer = "10.77.0.1"
	labA      = "10.77.0.2"
	labB      = "10.77.0.3"
)

// A lab is a network of three machines, each a network namespace: the server's,
// with a bridge, and those of A and B, each plugged into it.
type lab struct {
	t      *testing.T
	prefix string // of the names of its namespaces
	dir    string
	port   string // of chatd
	key    string // its fingerprint
}

// labs counts those of this process.
var labs atomic.Int32

// newLab builds a lab, which is gone at the end of the test.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, prefix: fmt.Sprintf("parley-%d-%d-", os.Getpid(), labs.Add(1)), dir: t.TempDir()}
	sweepLabs()
	for _, host := range []string{"s", "A", "B"} {
		l.ip("netns", "add", l.prefix+host)
		t.Cleanup(func() { exec.Command("ip", "netns", "delete", l.prefix+host).Run() })
	}
	l.ip("-n", l.prefix+"s", "link", "set", "lo", "up")
	l.ip("-n", l.prefix+"s", "link", "add", "bridge", "type", "bridge")
	l.ip("-n", l.prefix+"s", "address", "add", labServer+"/24", "dev", "bridge")
	l.ip("-n", l.prefix+"s", "link", "set", "bridge", "up")
	for host, addr := range map[string]string{"A": labA, "B": labB} {
		l.ip("-n", l.prefix+"s", "link", "add", "port"+host, "type", "veth", "peer", "name", "eth0", "netns", l.prefix+host)
		l.ip("-n", l.prefix+"s", "link", "set", "port"+host, "master", "bridge", "up")
		l.ip("-n", l.prefix+host, "address", "add", addr+"/24", "dev", "eth0")
		l.ip("-n", l.prefix+host, "link", "set", "eth0", "up")
		l.ip("-n", l.prefix+host, "link", "set", "lo", "up")
	}
	return l
}

// sweepLabs removes namespaces of tests that were killed.
func sweepLabs() {
	out, _ := exec.Command("ip", "netns", "list").Output()
	for _, m := range regexp.MustCompile(`(?m)^parley-(\d+)-\d+-\w+`).FindAllStringSubmatch(string(out), -1) {
		if pid, _ := strconv.Atoi(m[1]); unix.Kill(pid, 0) == unix.ESRCH {
			exec.Command("ip", "netns", "delete", m[0]).Run()
		}
	}
}

// ip changes the network. Where that is not possible the test is skipped, but
// not in CI.
func (l *lab) ip(args ...string) {
	l.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("PARLEY_CI") != "":
		l.t.Fatalf("CI has to have iproute2, and the right to make network namespaces: ip %s: %v %s", strings.Join(args, " "), err, out)
	default:
		l.t.Skipf("this needs root and iproute2, for network namespaces: ip %s: %v %s", strings.Join(args, " "), err, out)
	}
}

// separate lets A and B reach the server, and no longer each other: what they
// send to each other is dropped without a word, as many firewalls do.
func (l *lab) separate() {
	l.t.Helper()
	for _, port := range []string{"portA", "portB"} {
		l.ip("-n", l.prefix+"s", "link", "set", "dev", port, "type", "bridge_slave", "isolated", "on")
	}
}

// command is a program on one of the machines.
func (l *lab) command(host, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", l.prefix + host, program}, args...)...)
	cmd.Dir = l.dir
	return cmd
}

// serve starts chatd on the server's machine.
func (l *lab) serve(flags ...string) *exec.Cmd {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, "credentials.txt"), []byte(accounts), 0o600); err != nil {
		l.t.Fatal(err)
	}
	cmd := l.command("s", filepath.Join(binaries, "chatd"), append(flags, "-memory", "-cleartext", "-listen", labServer, "0")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	in := bufio.NewReader(out)
	for l.port == "" || l.key == "" {
		line, err := in.ReadString('\n')
		if err != nil {
			l.t.Fatalf("chatd does not say where it listens and what its key is: %v", err)
		}
		if print, ok := strings.CutPrefix(line, "certificate fingerprint: "); ok {
			l.key = strings.TrimSpace(print)
		}
		if m := regexp.MustCompile(`^listening on ` + regexp.QuoteMeta(labServer) + `:(\d+)\n$`).FindStringSubmatch(line); m != nil {
			l.port = m[1]
		}
	}
	stop.Stop()
	go io.Copy(io.Discard, in)
	return cmd
}

// sit starts chat on the machine of the same name, for whoever sits there.
func (l *lab) sit(name string, flags ...string) *pipeSeat {
	l.t.Helper()
	flags = append(flags, "-config", filepath.Join(l.dir, name), labServer, l.port)
	return startPipes(l.t, name, l.command(name, filepath.Join(binaries, "chat"), flags...))
}

// lastWord sends something in cleartext from a machine to the server, which
// whoever reads along sees after everything before it.
func (l *lab) lastWord(host string) string {
	l.t.Helper()
	const word = "the test is over"
	script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%s && echo %s >&3", labServer, l.port, word)
	if out, err := l.command(host, "bash", "-c", script).CombinedOutput(); err != nil {
		l.t.Fatalf("%v %s", err, out)
	}
	return word
}

// observe reads along with everything that passes a port of the bridge.
func (l *lab) observe(port string) *observer {
	l.t.Helper()
	type socket struct {
		fd  int
		err error
	}
	made := make(chan socket)
	go func() {
		runtime.LockOSThread() // for good: the thread, which is in the namespace, ends with this
		fd, err := packetSocket(filepath.Join("/run/netns", l.prefix+"s"), port)
		made <- socket{fd, err}
	}()
	s := <-made
	if s.err != nil {
		l.t.Fatalf("cannot observe %s: %v", port, s.err)
	}
	return newObserver(l.t, os.NewFile(uintptr(s.fd), port))
}

// packetSocket makes a socket that gets all packets of a link in a namespace.
func packetSocket(namespace, link string) (fd int, err error) {
	ns, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(ns)
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	const everything = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	req, err := unix.NewIfreq(link)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: int(req.Uint32())})
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// The mission's consent session between two machines: the address that A is
// shown is that of B, and who reads along where B is plugged in sees nothing of
// what is private; without TLS to the server, what goes through that.
func TestMachines(t *testing.T) {
	script, err := os.ReadFile("testdata/mission/private.txt")
	if err != nil {
		t.Fatal(err)
	}
	played := strings.Replace(string(script), "{port} 127.0.0.1 B", "{port} "+labB+" B", 1)
	played = strings.Replace(played, "B: ^C\n", "A> message B by the server\nB< A: by the server\nB: ^C\n", 1)
	if strings.Count(played, labB) != 1 || strings.Count(played, "by the server") != 2 {
		t.Fatal("the mission's session is another one now")
	}
	for _, cleartext := range []bool{true, false} {
		t.Run(fmt.Sprintf("cleartext=%t", cleartext), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.serve()
			observer := l.observe("portB")
			flags := []string{"-fingerprint", l.key}
			hidden := []string{"p2p message", "PEER ", "from=A to=B origin="}
			if cleartext {
				flags = []string{"-cleartext"}
			} else {
				hidden = append(hidden, "by the server", "GETA", "AUTH")
			}
			playSeats(t, played, func(name string) seat { return l.sit(name, flags...) })
			seen := observer.until(l.lastWord("B"))
			if direct := seen.between(labA, labB); len(direct) == 0 || direct[0] != 0x16 {
				t.Errorf("between A and B there passed %d octets, want TLS", len(direct))
			}
			if got := bytes.Contains(seen.between(labServer, labB), []byte("A: by the server")); got != cleartext {
				t.Errorf("what goes through the server is seen: %t", got)
			}
			seen.hides(t, hidden...)
		})
	}
}

// What A and B do, who cannot reach each other.
const (
	relayedBegin = `
		A: login
		B: login
		A< B logged in

		A> getaddress B
		B< A is requesting a private chat. To share your IP and port with them, reply saying 'consent A'
		B> consent A
		A< {port} ` + labB + ` B
	`
	relayedSecret  = "swordfish swordfish swordfish"
	relayedMessage = "A> private B " + relayedSecret + "\nB< A: " + relayedSecret + "\n"
	relayedEnd     = `
		B> private A back
		B< Invalid Command: private A back
		B> revoke A
		B< You took back your consent to a private chat with A.
		A< B took back the consent to a private chat.
		A> private B still there?
		A< Invalid Command: private B still there?
		A> message B by the server
		B< A: by the server
		A> logout
		A: exits 0
		B< A logged out
		B> logout
		B: exits 0
	`
	relayedMessages = 20
)

// Two machines that cannot reach each other, and both reach the server: it
// carries their private chat, and neither it nor who reads along sees any of
// it. What ends the consent ends the chat.
func TestSeparateMachines(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.separate()
	l.serve()
	atA, atB := l.observe("portA"), l.observe("portB")
	script := relayedBegin + strings.Repeat(relayedMessage, relayedMessages) + relayedEnd
	playSeats(t, strings.ReplaceAll(script, "\t", ""), func(name string) seat { return l.sit(name, "-cleartext") })

	for host, o := range map[string]*observer{"A": atA, "B": atB} {
		seen := o.until(l.lastWord(host))
		if direct := seen.between(labA, labB); len(direct) > 0 {
			t.Errorf("between A and B there passed %d octets", len(direct))
		}
		if relayed := seen.relayed(); len(relayed) < relayedMessages*len(relayedSecret) {
			t.Errorf("%d octets were relayed", len(relayed))
		}
		if !bytes.Contains(seen.between(labServer, labA), []byte(" :by the server")) && !bytes.Contains(seen.between(labServer, labB), []byte("A: by the server")) {
			t.Error("what goes through the server is not seen")
		}
		seen.hides(t, "swordfish", "PEER ", "MESG n=")
	}
}
