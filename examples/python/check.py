#!/usr/bin/env python3
"""Checks the client: the vectors and a session of chatproto, and against a real server.

check.py CHATD runs the program chatd, breaks connections to it, kills it, lies in its name, and fails unless
each message is shown once and in order, and whoever is not to be believed is not.
"""
import asyncio
import collections
import os
import random
import re
import signal
import sys
import tempfile
import time
from types import SimpleNamespace

from client import Client
from frames import Frame
from login import Refused
from vectors import check, check_all

MESSAGES = 500


# ---------------------------------------------------------------- a server, and somebody on the way to it

class Server:
    def __init__(self, program, folder):
        self.folder, self.port, self.process = folder, 0, None
        self.args = [os.path.abspath(program), "-data", os.path.join(folder, "data"), "-timeout", "3s"]
        with open(os.path.join(folder, "credentials.txt"), "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("alice wonderland\nbob builder\ncarol singer\n")

    async def start(self):
        with open(os.path.join(self.folder, "log"), "a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.args, str(self.port), cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=log)
        said = ""
        while "sha256:" not in said or "listening on" not in said:
            line = await asyncio.wait_for(self.process.stdout.readline(), 20)
            check(line, "chatd ended: " + said)
            said += line.decode()
        self.port = int(re.search(r"listening on 127\.0\.0\.1:(\d+)", said).group(1))
        self.fingerprint = re.search("sha256:[0-9a-f]{64}", said).group()

    async def stop(self, how=signal.SIGKILL):
        if self.process and self.process.returncode is None:
            self.process.send_signal(how)
            await self.process.wait()


class Proxy:
    """On the way to the server. cut: ends connections after some octets, in the middle of what is said.
    change: what it makes of each chunk that the server says."""
    def __init__(self, server, cut=None, change=lambda octets: octets):
        self.server, self.cut, self.change, self.cuts, self.on_the_way = server, cut, change, 0, b""

    async def start(self):
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        except OSError:
            return writer.transport.abort()
        left = [random.randint(*self.cut) if self.cut else 1 << 60]
        both = [asyncio.ensure_future(self._pump(reader, to_writer, left, lambda octets: octets)),
                asyncio.ensure_future(self._pump(to_reader, writer, left, lambda octets: self.change(octets)))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if left[0] > 0 and not self.cut:
            await asyncio.wait(both, timeout=1)
        for each in both:
            each.cancel()
        writer.transport.abort()
        to_writer.transport.abort()

    async def _pump(self, reader, writer, left, change):
        while True:
            octets = await reader.read(4096)
            self.on_the_way += octets[:1 << 16] if len(self.on_the_way) < 1 << 20 else b""
            if not octets:
                return writer.close()
            writer.write(change(octets[:left[0]]))
            await writer.drain()
            left[0] -= len(octets)
            if left[0] <= 0:
                self.cuts += 1
                return


async def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        await asyncio.sleep(0.02)


# ---------------------------------------------------------------- against the server

async def check_exactly_once(server):
    """Two users, 500 messages each way, connections cut again and again, two kill -9."""
    proxy = await Proxy(server, cut=(4000, 14000)).start()
    shown, clients = collections.defaultdict(list), {}
    for user, password in ("alice", "wonderland"), ("bob", "builder"):
        clients[user] = Client("localhost", proxy.port, user, password, shown[user].append, fingerprint=server.fingerprint, beat=4)
        await clients[user].connect()
    texts = {user: ["%d \\ \n%s é" % (i, "x" * random.randint(0, 60)) for i in range(MESSAGES)] for user in clients}

    async def talk(user, other):
        receipts = []
        for text in texts[user]:
            receipts.append(clients[user].send(other, text))
            await asyncio.sleep(random.uniform(0, 0.02))
        return await asyncio.gather(*receipts)

    async def kill():
        for _ in range(2):
            await asyncio.sleep(2)
            await server.stop()
            await asyncio.sleep(0.2)
            await server.start()
    asyncio.get_running_loop().call_later(20, setattr, proxy, "cut", None)  # however slow the machine is
    receipts = dict(zip(clients, (await asyncio.gather(talk("alice", "bob"), talk("bob", "alice"), kill()))[:2]))
    proxy.cut = None
    for user, other in ("alice", "bob"), ("bob", "alice"):
        outcomes = collections.Counter(receipt.outcome for receipt in receipts[user])
        check(set(outcomes) <= {"stored", "delivered"}, outcomes)
        await until(lambda: len(shown[other]) >= MESSAGES, "%s was shown %d" % (other, len(shown[other])))
        check([m.id for m in shown[other]] == [r.id for r in receipts[user]], "ids")
        check([m.text for m in shown[other]] == texts[user], "the messages are not each once and in order")
        check(all(m.sender == user and m.code == "MESG" for m in shown[other]), "senders")
    check(proxy.cuts >= 20, "the proxy cut %d connections only" % proxy.cuts)
    for said in b"hello", b"HELO", b"wonderland", b"MESG":
        check(said not in proxy.on_the_way, "readable on the way: %r" % said)
    await asyncio.gather(*(client.close() for client in clients.values()))
    return "%d messages, %d cuts, 2 kills, %d logins" % (2 * MESSAGES, proxy.cuts, sum(c.connections for c in clients.values()))


async def check_forgetting(server):
    """A server that has forgotten the origin, and a client that has forgotten its numbers (section 6.6)."""
    shown = []
    proxy = await Proxy(server).start()
    alice = Client("localhost", proxy.port, "alice", "wonderland", print, fingerprint=server.fingerprint)
    carol = Client("localhost", server.port, "carol", "singer", shown.append, fingerprint=server.fingerprint)
    await alice.connect()
    await carol.connect()
    check((await alice.send("carol", "one")).outcome in ("stored", "delivered"), "one")
    proxy.change = lambda octets: b""  # the answer gets lost
    lost, origin = alice.send("carol", "two"), alice.origin
    await until(lambda: alice.unanswered, "two was not sent")
    await asyncio.sleep(0.2)
    await server.stop()
    for name in os.listdir(os.path.join(server.folder, "data")):
        if name.startswith("chat.db"):
            os.unlink(os.path.join(server.folder, "data", name))
    proxy.change = lambda octets: octets
    await server.start()
    check((await lost).outcome == "unknown", "what was unanswered is unknown")
    check((await alice.send("carol", "three")).outcome in ("stored", "delivered"), "three")
    check(alice.origin != origin, "the same origin")
    origin, alice.highest = alice.origin, 0
    alice.conn.writer.transport.abort()
    await until(lambda: alice.origin != origin, "high= is above all that was sent, and nothing happens")
    check((await alice.send("carol", "")).id == alice.origin + ".1", "numbers begin at 1")
    await until(lambda: shown and not shown[-1].text, "the last message")
    check([m.text for m in shown] in (["one", "two", "three", ""], ["one", "three", ""]), shown)
    await alice.close()
    await carol.close()
    return "two origins given up"


async def check_life(server):
    """Heartbeat, lists, broadcasts, refusals, and a login from elsewhere."""
    shown, events = [], []
    bob = Client("localhost", server.port, "bob", "builder", shown.append, fingerprint=server.fingerprint)
    carol = Client("localhost", server.port, "carol", "singer", print, events.append, fingerprint=server.fingerprint)
    await bob.connect()
    await carol.connect()
    await asyncio.sleep(4)  # more than the server's timeout
    reply, entries = await carol.ask("ONLN")
    check(reply.code == "211" and [e.fields["user"] for e in entries] == ["bob"], entries)
    check((await carol.send(None, "a\n\\b")).outcome == "stored", "broadcast")
    await until(lambda: shown, "no broadcast")
    check(shown[0].code == "BCST" and shown[0].text == "a\n\\b", shown)
    check((await carol.send("nobody", "x"))[::2] == ("refused", "550"), "a message to nobody")
    for text in "\x1b[2J", "\u202e", "x" * 7169:
        try:
            carol.send("bob", text)
        except ValueError:
            continue
        check(False, "sent: %r" % text[:10])
    check((await carol.send("bob", "x" * 7168)).outcome in ("stored", "delivered"), "the longest text")
    check(bob.connections == carol.connections == 1, "a silent client was logged out")
    again = Client("localhost", server.port, "bob", "builder", print, fingerprint=server.fingerprint)
    await again.connect()
    await asyncio.wait({bob.task}, timeout=10)
    check(bob.task.done() and "why=replaced" in str(bob.task.exception()), "the client that was replaced")
    await again.close()
    await until(lambda: events and events[-1] == Frame("PRES", {"user": "bob", "on": "0"}, "bob logged out"), events)
    await carol.close()
    return "ok"


async def check_refusals(server):
    """Whom the client does not believe, and what it does not say to them."""
    async def refused(what, why, *, port=server.port, password="wonderland", **options):
        client = Client("localhost", port, "alice", password, print, **options)
        try:
            await asyncio.wait_for(client.connect(), 10)
        except Refused as e:
            check(why in str(e), "%s: refused because %s" % (what, e))
            return
        check(False, "%s is taken" % what)
    key, cases = server.fingerprint, 4
    for address, believed in ("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False):
        client = Client("", 0, "alice", "", print, cleartext=True)
        conn = SimpleNamespace(writer=SimpleNamespace(get_extra_info=lambda _: (address, 1)))
        try:
            client._check_server(conn)
        except Refused:
            check(not believed, address)
        else:
            check(believed, "cleartext to " + address)
    await refused("a wrong password", "535", password="wrong", fingerprint=key)
    proxy = await Proxy(server).start()
    await refused("another key", "has the key " + key, port=proxy.port, fingerprint="sha256:" + "0" * 64)
    await refused("a key without an authority", "nobody vouches", port=proxy.port)
    for old, new, why in [(b"220 v=1 ", b"220 v=1 caps=x ", "501: "), (b" boot=", b" boot=0", "501: "),
                          (b"SCRAM-SHA-256,PLAIN", b"PLAIN", "no way to log in"),
                          (b"SCRAM-SHA-256,PLAIN", b"SCRAM-SHA-256-PLUS,PLAIN", "no way to log in"),
                          (b",i=", b",i=9", "iterations"), (b"data=r=", b"data=r=x", "not of this login"),
                          (b"data=v=", b"data=v=A", "does not know the password"), (b"data=v=", b"x=v=", "does not know the password")]:
        changed = []

        def change(octets):
            changed.extend([1] * (old in octets))
            return octets.replace(old, new)
        proxy = await Proxy(server, change=change).start()
        await refused("%s for %s" % (new, old), why, port=proxy.port, cleartext=True)
        check(changed, "%s was never said" % old)
        check(b"wonderland" not in proxy.on_the_way, "the password was told")
        cases += 1
    return "%d cases" % cases


async def check_disturbed(server):
    """Who is logged in stays so: one changed line keeps nobody away, and makes nobody tell a password (section 7.6)."""
    changed, change = [], {}

    def disturb(octets):
        for old, new in change.items():
            changed.extend([1] * (old in octets))
            octets = octets.replace(old, new)
        return octets
    proxy = await Proxy(server, change=disturb).start()
    carol = Client("localhost", proxy.port, "carol", "singer", print, cleartext=True, plain=True)
    await carol.connect()
    change[b"220 v=1 "] = b"220 v=1 caps=x "
    carol.conn.writer.transport.abort()
    await until(lambda: len(changed) >= 2 or carol.task.done(), "nothing was changed")
    check(not carol.task.done(), "a 501 to AUTH is taken for final")
    change.clear()
    await until(lambda: carol.connections == 2, "carol does not come back")
    check((await carol.ask("ONLN"))[0].code == "211", "carol is not heard")
    change[b"SCRAM-SHA-256,PLAIN"] = b"PLAIN"
    carol.conn.writer.transport.abort()
    await asyncio.wait({carol.task}, timeout=10)
    check(carol.task.done() and "no way to log in" in str(carol.task.exception()), "a weaker login is taken")
    check(b"singer" not in proxy.on_the_way, "the password was told")
    return "%d logins disturbed" % len(changed)


async def everything(program):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        await server.start()
        try:
            for test in check_refusals, check_disturbed, check_life, check_exactly_once, check_forgetting:
                start = time.monotonic()
                print("ok  %-20s %s, %.1f s" % (test.__name__[6:], await test(server), time.monotonic() - start), flush=True)
        finally:
            await server.stop(signal.SIGTERM)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check.py CHATD")
    check_all()
    asyncio.run(everything(sys.argv[1]))


if __name__ == "__main__":
    main()
