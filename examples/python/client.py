#!/usr/bin/env python3
"""A client of the Parley protocol, version 1.

Written from chatproto/SPEC.md, whose sections the comments cite, with nothing
but Python's standard library, and meant to be the beginning of somebody else's.
It speaks TLS, logs in by SCRAM-SHA-256, sends, and shows each message once, in
order, however often the connection is lost. Private chat it does not have.
"""
import argparse
import asyncio
import base64
import collections
import getpass
import hashlib
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
import unicodedata

LINE, TEXT, WINDOW = 8192, 7168, 256  # section 10
SEEN, WAITING = 65536, 10000          # records of senders; messages that were not yet written
log = logging.getLogger("parley")
ANSWERS = {                           # section 4.1, as far as this client asks
    "HELO": "220 505", "AUTH": "230 334 450 505 535", "QUIT": "221", "SEND": "201 452 550 552 553",
    "CAST": "201 552", "ONLN": "111 211", "BLOK": "200 550", "UBLK": "200 550"}
ALWAYS = "451 455 429 500 501 503 530"
CODES = set((" ".join(ANSWERS.values()) + " 202 331 421 551 554 " + ALWAYS).split())
EVENTS = "MESG BCST PRES RQST GETA RVKD RLAY RDAT".split()
REQUESTS = "HELO AUTH QUIT LSTN SEND CAST ONLN BLOK UBLK ADDR CNST RVKE ACKD PEER".split()


class Lost(Exception):
    """The connection is of no use any more; the client makes another, after retry seconds at least."""
    def __init__(self, why, retry=0.0):
        super().__init__(why)
        self.retry = retry


class Refused(Exception):
    """The server refused for good, or is not the one that it should be: nobody tries again."""


# ---------------------------------------------------------------- frames (section 3)

Frame = collections.namedtuple("Frame", "code fields text", defaults=({}, ""))
CHARS = r"[\x21-\x5b\x5d-\x7e\u00a0-\u061b\u061d-\u200d\u2010-\u2027\u202f-\u2065\u206a-\U0010ffff%s]*"
VALUE = CHARS % "" + r"(?:\\[nt\\s]" + CHARS % "" + ")*"
GRAMMAR = re.compile(r"([A-Z]{4}|[1-5][0-9]{2})((?: [a-z][a-z0-9-]{0,15}=" + VALUE + r")*)"
                     r"(?: :(" + CHARS % " " + r"(?:\\[nt\\]" + CHARS % " " + r")*))?")
ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\"}
UNESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\", "\\s": " "}


def escape(s):
    return re.sub(r"[\n\t\\]", lambda m: ESCAPES[m.group()], s)


def unescape(s):
    return re.sub(r"\\.", lambda m: UNESCAPES[m.group()], s)


def encode(frame):
    """The frame's line without its end, in canonical form. ValueError: it has none."""
    line = frame.code + "".join(" %s=%s" % (k, escape(v).replace(" ", "\\s")) for k, v in frame.fields.items())
    line = (line + (" :" + escape(frame.text) if frame.text else "")).encode()
    if decode(line) != frame:
        raise ValueError("not to be encoded")
    return line


def decode(line):
    """The frame of a line without its end. ValueError: it is none."""
    match = GRAMMAR.fullmatch(line.decode())
    if not match or len(line) + 2 > LINE:
        raise ValueError("no frame: %r" % line[:80])
    code, fields, text = match.groups(default="")
    pairs = [field.split("=", 1) for field in fields.split(" ")[1:]]
    if len(pairs) > 16 or len(dict(pairs)) < len(pairs):
        raise ValueError("too many fields, or one twice: %r" % line[:80])
    return Frame(code, {k: unescape(v) for k, v in pairs}, unescape(text))


def number(frame, key, default=None):
    value = frame.fields.get(key, default)
    if not re.fullmatch("0|[1-9][0-9]{0,19}", value or "") or int(value) >= 1 << 64:
        raise Lost("%s with %s=%s" % (frame.code, key, value))
    return int(value)


# ---------------------------------------------------------------- TLS and SCRAM (section 9)

def tls(fingerprint):
    """What to demand of the server: with a fingerprint its key alone counts, see key_of."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["parley/1"])
    if fingerprint:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def key_of(certificate):
    """The fingerprint of a certificate (DER): the SHA-256 of its SubjectPublicKeyInfo."""
    def element(at):  # where the content of the element at this place begins and ends
        length, at = certificate[at + 1], at + 2
        if length & 0x80:
            at, length = at + (length & 0x7f), int.from_bytes(certificate[at:at + (length & 0x7f)], "big")
        return at, at + length
    at = element(element(0)[0])[0]  # in Certificate, in TBSCertificate
    if certificate[at] == 0xa0:     # the version
        at = element(at)[1]
    for _ in range(5):              # serial number, algorithm, issuer, validity, subject
        at = element(at)[1]
    return "sha256:" + hashlib.sha256(certificate[at:element(at)[1]]).hexdigest()


def opaque(password):
    """PRECIS OpaqueString (RFC 8265), but for the context rules of RFC 5892."""
    s = unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in password))
    refused = (unicodedata.category(c)[0] not in "LMNPS" and c != " " or
               re.match("[\u034f\u1100-\u11ff\u17b4\u17b5\u180b-\u180f\u3164\ua960-\ua97c\ud7b0-\ud7fb\ufe00-\ufe0f"
                        "\uffa0\U000e0100-\U000e01ef]", c) for c in s)
    return password if any(refused) else s


def unbase64(s):
    octets = base64.b64decode(s, validate=True)
    if base64.b64encode(octets).decode() != s:
        raise ValueError("not canonical base64")
    return octets


def handshake_hash(helo, greeting):
    """Of the HELO line and the 220 line (section 9.2, rule 3)."""
    return base64.b64encode(hashlib.sha256(helo + b"\n" + greeting).digest()).decode()


class Scram:
    """Logins of one user by SCRAM-SHA-256, one after the other. The flag is `n`: Python's ssl gives no
    exporter, so this client could not bind to the connection, whatever the server lists."""
    def __init__(self, user, password):
        self.user = user.replace("=", "=3D").replace(",", "=2C")
        self.password = opaque(password).encode()
        self.keys = None, None  # (salt, iterations), what was derived of them

    def first(self, hashed, random_part=None):
        self.nonce = (random_part or base64.b64encode(secrets.token_bytes(18)).decode()) + hashed
        self.bare = "n=%s,r=%s" % (self.user, self.nonce)
        return "n,," + self.bare

    def final(self, server_first):
        match = re.fullmatch("r=([^,]*),s=([^,]*),i=([1-9][0-9]{0,9})", server_first)
        if not match or not match.group(1).startswith(self.nonce) or len(match.group(1)) == len(self.nonce):
            raise Refused("the server's answer is not of this login")
        nonce, salt, iterations = match.group(1), unbase64(match.group(2)), int(match.group(3))
        if not 4096 <= iterations <= 600000:  # before anything is derived
            raise Refused("the server asks for %d iterations" % iterations)
        if self.keys[0] != (salt, iterations):
            self.keys = (salt, iterations), hashlib.pbkdf2_hmac("sha256", self.password, salt, iterations)
        sign = lambda key, message: hmac.new(key, message.encode(), hashlib.sha256).digest()
        client_key = sign(self.keys[1], "Client Key")
        without_proof = "c=biws,r=" + nonce
        message = ",".join([self.bare, server_first, without_proof])
        signature = sign(hashlib.sha256(client_key).digest(), message)
        self.expected = "v=" + base64.b64encode(sign(sign(self.keys[1], "Server Key"), message)).decode()
        return without_proof + ",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()

    def verify(self, server_final):
        if not hmac.compare_digest(server_final.encode(), self.expected.encode()):
            raise Refused("the server does not know the password: it is not the one that it should be")


# ---------------------------------------------------------------- one connection

class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer = reader, writer, b""
        self.queue = collections.deque()   # requests without an answer, in their order (section 5.2)
        self.resend = collections.deque()  # what was unanswered before this connection
        self.asks = collections.deque()    # requests that are lost with it
        self.taken = self.acked = 0        # deliveries (section 6.5)
        self.quit = False
        writer.transport.set_write_buffer_limits(16384)  # so that an ACKD need not wait behind much

    def write(self, frame):
        self.writer.write(encode(frame) + b"\r\n")
        self.written = asyncio.get_running_loop().time()

    async def read(self, timeout):
        while b"\n" not in self.buffer:
            if len(self.buffer) > LINE:
                raise Lost("a line without an end")
            octets = await asyncio.wait_for(self.reader.read(16384), timeout)
            if not octets:
                raise Lost("end of input")
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\n")
        return decode(line[:-1] if line.endswith(b"\r") else line)

    async def ask(self, frame):
        """The answer to a HELO or AUTH."""
        self.write(frame)
        while True:
            answer = await self.read(30)
            leaves(answer)
            if answer.code.isdigit():
                if answer.code in CODES and answer.code not in (ANSWERS[frame.code] + " " + ALWAYS).split():
                    raise Lost("%s answers %s" % (answer.code, frame.code))
                return answer
            if answer.code in EVENTS + REQUESTS:
                raise Lost(answer.code + " before the login")


def leaves(frame):
    """Raises if the frame ends the connection (section 5.1), or refuses HELO or AUTH for good (section 7.6)."""
    if frame.code in ("GBYE", "421"):
        if frame.fields.get("why") in ("replaced", "removed"):
            raise Refused("%s why=%s: %s" % (frame.code, frame.fields["why"], frame.text))
        raise Lost("%s: %s" % (frame.code, frame.text), number(frame, "retry", "0") / 1000)


def expect(frame, code):
    if frame.code == code:
        return
    if frame.code[0] == "4":
        raise Lost("%s: %s" % (frame.code, frame.text), number(frame, "retry", "0") / 1000)
    raise Refused("%s: %s" % (frame.code, frame.text))


# ---------------------------------------------------------------- the client

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
            expect(challenge, "334")
            welcome = await conn.ask(Frame("AUTH", {"data": self.scram.final(challenge.fields.get("data", ""))}))
            expect(welcome, "230")
            self.scram.verify(welcome.fields.get("data", ""))  # before anything else of it is believed
        elif self.plain and self.cleartext and mechanisms == ["PLAIN"]:
            welcome = await conn.ask(Frame("AUTH", {**auth, "pass": self.password}))
            expect(welcome, "230")
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

    async def _write(self, conn, beat):
        while True:
            self.wake.clear()
            request = None
            if conn.taken > conn.acked:
                conn.acked = conn.taken
                conn.write(Frame("ACKD", {"count": str(conn.taken)}))
            elif conn.resend:
                request = conn.resend.popleft()
                request.resent = True
            elif conn.asks:
                request = conn.asks.popleft()
            elif self.unsent and self.n + 1 < next(iter(self.unanswered), self.n + 1) + WINDOW:
                request = self.unsent.popleft()
            elif self.closing and not self.unsent and not conn.queue:
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
