#!/usr/bin/env python3
"""A client of the Parley protocol, version 1.

Written from chatproto/SPEC.md, whose sections the comments cite, with nothing
but Python's standard library, and meant to be the beginning of somebody else's.
It speaks TLS, logs in by SCRAM-SHA-256, sends, and shows each message once, in
order, however often the connection is lost. Private chat it does not have.
"""
import argparse
import asyncio
import collections
import getpass
import hmac
import ipaddress
import logging
import os
import random
import re
import secrets
import ssl
import sys
import threading

from connection import ALWAYS, ANSWERS, CODES, REQUESTS, Connection, Lost, expect, leaves, number
from frames import Frame, encode, escape
from login import Refused, Scram, handshake_hash, key_of, tls

TEXT, WINDOW = 7168, 256              # section 10
SEEN, WAITING = 65536, 10000          # records of senders; messages that were not yet written
log = logging.getLogger("parley")


Message = collections.namedtuple("Message", "code sender id time text")  # code: MESG, or BCST for a broadcast
# What became of a message: `stored`, `delivered`, `refused`, `maybe delivered` (it was sent again and then
# refused: section 6.3, rule 7) or `unknown`. id as its receiver sees it; code and text as the server says.
Receipt = collections.namedtuple("Receipt", "outcome id code text")


class Request:
    def __init__(self, verb, fields, text=""):
        self.verb, self.fields, self.text = verb, fields, text
        self.n, self.resent, self.entries = 0, False, []
        self.done = asyncio.get_running_loop().create_future()

    def finish(self, result):
        if not self.done.done():  # its waiter may have gone
            self.done.set_result(result)


class Client:
    """A user's client, to be made and used in one event loop.

    on_message(Message) is called for each message, one after the other. When it returns, the message is
    taken and the server may forget it; when it raises, it and what follows comes again. on_event(Frame) is
    told the rest: PRES, and what this client does not know. Neither may wait; both may call send."""

    def __init__(self, host, port, user, password, on_message, on_event=lambda frame: None, *,
                 fingerprint=None, cleartext=False, plain=False, beat=30.0):
        self.host, self.port, self.user, self.password = host, port, user, password
        self.on_message, self.on_event, self.fingerprint = on_message, on_event, fingerprint
        self.cleartext, self.plain, self.beat = cleartext, plain, beat
        self.scram, self.token = Scram(user, password), None
        self.seen = collections.OrderedDict()        # (sender, origin) -> the highest number shown (section 6.5)
        self.unsent = collections.deque()            # messages that were never written: they have no number yet
        self.unanswered = collections.OrderedDict()  # number -> message that was written
        self.conn, self.closing, self.connections = None, False, 0
        self.wake, self.ready = asyncio.Event(), asyncio.Event()
        self._begin_origin()

    def _begin_origin(self):  # section 6.6
        self.origin = "%x" % (secrets.randbits(64) or 1)
        self.n = self.highest = 0  # the last number; the last one of a SEND or CAST
        self.known = False         # has a 230 been read for this origin?

    async def connect(self):
        """Returns when it is logged in; from then on the client comes back by itself until it is refused."""
        self.task = asyncio.ensure_future(self._run())
        ready = asyncio.ensure_future(self.ready.wait())
        await asyncio.wait({self.task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.task.done():
            self.task.result()

    def send(self, to, text):
        """Sends to a user, or to everybody online if to is None. Await the result for the Receipt."""
        if len(escape(text).encode()) > TEXT:
            raise ValueError("the text is too long")
        if self.closing or self.task.done():
            raise ConnectionError("the client is closed")
        if len(self.unsent) >= WAITING:
            raise BufferError("too many messages wait to be sent")
        request = Request("CAST" if to is None else "SEND", {} if to is None else {"to": to}, text)
        encode(Frame(request.verb, {"n": str((1 << 64) - 1), **request.fields}, text))  # or ValueError
        self.unsent.append(request)
        self.wake.set()
        return request.done

    async def ask(self, verb, **fields):
        """Any other request: its last reply, and the entries (111) before it. ConnectionError: the
        connection was lost, and what became of it is not known."""
        if not self.conn or self.closing:
            raise ConnectionError("not connected")
        request = Request(verb, fields)
        self.conn.asks.append(request)
        self.wake.set()
        reply = await request.done
        if reply is None:
            raise ConnectionError("the connection was lost")
        return reply, request.entries

    async def close(self):
        """Waits until each message has its receipt, and logs out."""
        self.closing = True
        self.wake.set()
        await self.task

    async def _run(self):
        delay = 0.25
        try:
            while True:
                before, retry = self.connections, 0
                try:
                    return await self._connection()
                except ssl.SSLCertVerificationError as e:
                    raise Refused("nobody vouches for the server: %s" % e)
                except (Lost, OSError, ValueError, asyncio.TimeoutError) as e:
                    retry = getattr(e, "retry", 0)
                    log.info("%s: %s", self.user, e)
                if self.closing and not self.unsent and not self.unanswered:
                    return
                if self.connections > before:  # a 230 resets the back-off (section 7.6)
                    delay = 0.25
                await asyncio.sleep(max(retry, random.uniform(0, delay)))
                delay = min(delay * 2, 30)
        finally:
            for request in list(self.unanswered.values()) + list(self.unsent):
                request.finish(Receipt("unknown" if request.n else "refused", None, None, "the client has ended"))

    async def _connection(self):
        options = {} if self.cleartext else {"ssl": tls(self.fingerprint), "ssl_handshake_timeout": 10}
        conn = Connection(*await asyncio.wait_for(asyncio.open_connection(self.host, self.port, **options), 15))
        writing = None
        try:
            self._check_server(conn)
            beat = await asyncio.wait_for(self._login(conn), 30)
            conn.resend.extend(self.unanswered.values())  # under their old numbers (section 6.3, rule 5)
            self.conn, self.connections = conn, self.connections + 1
            self.ready.set()
            writing = asyncio.ensure_future(self._write(conn, beat))
            await self._read(conn, beat)
            conn.writer.close()  # after 221
        finally:
            self.conn = None
            if writing:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            conn.writer.transport.abort() if not conn.writer.is_closing() else None
            for request in list(conn.queue) + list(conn.asks):
                if request.verb not in ("SEND", "CAST"):
                    request.finish(None)

    def _check_server(self, conn):  # section 9.1, before a word is said
        if self.cleartext:
            address = ipaddress.ip_address(conn.writer.get_extra_info("peername")[0])
            if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
                raise Refused("%s is not this machine: no cleartext" % address)
        elif self.fingerprint:
            key = key_of(conn.writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            if not hmac.compare_digest(key, self.fingerprint.lower()):
                raise Refused("the server has the key %s, not %s" % (key, self.fingerprint))

    async def _login(self, conn):
        """HELO and AUTH. Returns how long each end may be silent."""
        helo = Frame("HELO", {"v": "1", "acks": "1", "beat": "%d" % (self.beat * 1000)})
        greeting = await conn.ask(helo)
        expect(greeting, "220")
        mechanisms = greeting.fields.get("mech", "").split(",")
        auth = {"user": self.user, "origin": self.origin}
        if self.known:
            auth["known"] = "1"
        if self.token:
            auth["token"] = self.token
        if greeting.fields.get("v") != "1":
            raise Refused("the server chose a version that was not offered")
        if "SCRAM-SHA-256" in mechanisms:
            data = self.scram.first(handshake_hash(encode(helo), encode(greeting)))
            challenge = await conn.ask(Frame("AUTH", {"mech": "SCRAM-SHA-256", **auth, "data": data}))
            self._expect(challenge, "334")
            welcome = await conn.ask(Frame("AUTH", {"data": self.scram.final(challenge.fields.get("data", ""))}))
            self._expect(welcome, "230")
            self.scram.verify(welcome.fields.get("data", ""))  # before anything else of it is believed
            self.plain = False  # never again by less than this (section 9.2)
        elif self.plain and self.cleartext and mechanisms == ["PLAIN"]:
            welcome = await conn.ask(Frame("AUTH", {**auth, "pass": self.password}))
            self._expect(welcome, "230")
        else:
            raise Refused("no way to log in: the server offers %s" % ",".join(mechanisms))
        self.token = welcome.fields.get("token")
        if self.known and welcome.fields.get("known") != "1" or number(welcome, "high") > self.highest:
            for request in self.unanswered.values():  # one of the two has forgotten: nothing may be sent again
                request.finish(Receipt("unknown", "%s.%d" % (self.origin, request.n), None, ""))
            self.unanswered.clear()
            self._begin_origin()
            raise Lost("the server has forgotten the origin, or knows more of it")
        self.known = True
        return min(self.beat, number(welcome, "beat", "%d" % (self.beat * 1000)) / 1000)

    def _expect(self, frame, code):
        """Of AUTH. Who has been logged in learns from a 501 that somebody changed the handshake on the way: an
        attack on this connection, and no reason to stay away (section 7.6)."""
        if frame.code == "501" and self.connections:
            log.warning("%s: the login was disturbed on the way: %s", self.user, frame.text)
            raise Lost("501: %s" % frame.text)
        expect(frame, code)

    async def _write(self, conn, beat):
        """Writes what there is to write: acknowledgements, what is sent again, the rest. It begins with
        little at a time. Else connections that live shortly would be full of what was sent already, and
        lost before the first answer, again and again."""
        while True:
            self.wake.clear()
            request = None
            if conn.taken > conn.acked:
                conn.acked = conn.taken
                conn.write(Frame("ACKD", {"count": str(conn.taken)}))
            elif conn.resend and len(conn.queue) < conn.window:
                request = conn.resend.popleft()
                request.resent = True
            elif conn.asks and not conn.resend:
                request = conn.asks.popleft()
            elif self.unsent and not conn.resend and len(conn.queue) < conn.window and self.n + 1 < next(iter(self.unanswered), self.n + 1) + WINDOW:
                request = self.unsent.popleft()
            elif self.closing and not self.unsent and not conn.resend and not conn.queue:
                request, conn.quit = Request("QUIT", {}), True
            elif conn.written + beat / 2 <= asyncio.get_running_loop().time():
                conn.write(Frame("LIVE"))
            else:
                try:
                    silence = conn.written + beat / 2 - asyncio.get_running_loop().time()
                    await asyncio.wait_for(self.wake.wait(), silence)
                except asyncio.TimeoutError:
                    pass
                continue
            if request:
                if not request.n:
                    request.n = self.n = self.n + 1
                if request.verb in ("SEND", "CAST"):
                    self.unanswered[request.n] = request
                    self.highest = max(self.highest, request.n)
                conn.queue.append(request)
                conn.write(Frame(request.verb, {"n": str(request.n), **request.fields}, request.text))
            await conn.writer.drain()
            await asyncio.sleep(0)  # drain alone lets nobody else run
            if conn.quit:
                return

    async def _read(self, conn, beat):
        """Until 221."""
        while True:
            frame = await conn.read(1.5 * beat)
            leaves(frame)
            if frame.code.isdigit():
                if self._reply(conn, frame):
                    return
            else:
                self._event(conn, frame)
            self.wake.set()
            if conn.taken - conn.acked >= 64:
                await asyncio.sleep(0)  # lets _write acknowledge

    def _reply(self, conn, frame):  # section 5.2; True after 221
        match = re.fullmatch("([1-9][0-9]{0,19})(?:-([1-9][0-9]{0,19}))?", frame.fields.get("n", ""))
        if not match:
            raise Lost("%s without n=" % frame.code)
        low, high = int(match.group(1)), int(match.group(2) or match.group(1))
        for n in range(low, max(low, high) + 1):
            if not conn.queue or conn.queue[0].n != n:
                raise Lost("%s n=%d out of turn" % (frame.code, n))
            request = conn.queue[0]
            if frame.code in CODES and frame.code not in (ANSWERS.get(request.verb, frame.code) + " " + ALWAYS).split():
                raise Lost("%s answers %s" % (frame.code, request.verb))
            if frame.code[0] == "1":
                request.entries.append(frame)
                return False
            conn.queue.popleft()
            conn.window += 1
            if self.unanswered.pop(n, None) is None:
                request.finish(frame)
                continue
            outcome = "delivered" if frame.fields.get("how") == "delivered" else "stored"
            if frame.code[0] != "2":
                outcome = "maybe delivered" if request.resent else "refused"
            request.finish(Receipt(outcome, "%s.%d" % (self.origin, n), frame.code, frame.text))
        return frame.code == "221"

    def _event(self, conn, frame):
        if frame.code in REQUESTS:
            raise Lost("%s is no event" % frame.code)
        if frame.code not in ("MESG", "BCST"):
            if "id" in frame.fields:  # an unknown delivery is acknowledged unseen (section 11)
                conn.taken += 1
            if frame.code != "LIVE":
                self.on_event(frame)
        elif not conn.quit:  # it could not be acknowledged any more, and would be shown again
            self._deliver(frame)
            conn.taken += 1

    def _deliver(self, frame):  # section 6.5
        sender, time = frame.fields.get("from", ""), number(frame, "t")
        match = re.fullmatch("0*([1-9a-f][0-9a-f]{0,15})[.]([1-9][0-9]{0,19})", frame.fields.get("id", ""))
        mark, space, text = frame.text[:len(sender) + 1], frame.text[len(sender) + 1:][:1], frame.text[len(sender) + 2:]
        if not match or not sender or mark != sender + ":" or space not in ("", " "):
            raise Lost("not a message: %s" % frame.code)
        key, n = (sender, match.group(1)), int(match.group(2))
        if n > self.seen.get(key, 0):
            try:
                self.on_message(Message(frame.code, sender, "%s.%d" % (key[1], n), time, text))
            except Exception as e:
                raise Lost("the application did not take a message: %r" % e)
            self.seen[key] = n
        self.seen.move_to_end(key)
        if len(self.seen) > SEEN:
            self.seen.popitem(last=False)


# ---------------------------------------------------------------- the command line

async def chat(args, password):
    show = lambda *words: print(*words, flush=True)
    client = Client(args.host, args.port, args.user, password,
                    lambda m: show("%s: %s" % (m.sender, m.text.replace("\n", "\n    "))),  # section 9.3
                    lambda frame: show(frame.text) if frame.text else None,
                    fingerprint=args.fingerprint, cleartext=args.cleartext, plain=args.plain)
    await client.connect()
    lines, loop = asyncio.Queue(), asyncio.get_running_loop()

    def read():  # a thread of its own, which does not keep the program from ending
        for line in list(sys.stdin) if not sys.stdin.isatty() else sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
        loop.call_soon_threadsafe(lines.put_nowait, None)

    async def typed():
        while True:
            line = await lines.get()
            if line is None:
                await asyncio.sleep(args.wait)
                return await client.close()
            if line == "?":
                show("online:", *[entry.text for entry in (await client.ask("ONLN"))[1]])
            elif line:
                to, _, text = line.partition(" ")
                receipt = client.send(None if to == "*" else to, text)
                receipt.add_done_callback(lambda r: show("[%s] %s" % (r.result().outcome, r.result().text)))
    threading.Thread(target=read, daemon=True).start()
    typing = asyncio.ensure_future(typed())
    await asyncio.wait({client.task, typing}, return_when=asyncio.FIRST_COMPLETED)
    typing.cancel() if client.task.done() else typing.result()
    await client.task


def main():
    parser = argparse.ArgumentParser(description="Lines to type: `NAME TEXT` sends, `* TEXT` sends to everybody, "
                                     "`?` asks who is online. The password is $CHAT_PASSWORD, or asked for.")
    parser.add_argument("--fingerprint", help="sha256:..., the server's key, if no authority vouches for it")
    parser.add_argument("--cleartext", action="store_true", help="without TLS; to a server on this machine only")
    parser.add_argument("--plain", action="store_true", help="with --cleartext: tell the server the password if it has no SCRAM")
    parser.add_argument("--wait", type=float, default=0, help="seconds to stay when the input has ended")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("user")
    args = parser.parse_args()
    try:
        asyncio.run(chat(args, os.environ.get("CHAT_PASSWORD") or getpass.getpass()))
    except (Refused, ConnectionError) as e:
        sys.exit("%s: %s" % (parser.prog, e))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
