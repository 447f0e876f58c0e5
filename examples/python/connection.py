"""One connection: frames, and the answers to HELO and AUTH (SPEC.md sections 4.1 and 5)."""
import asyncio
import collections
import re

from frames import LINE, decode, encode
from login import Refused

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


def number(frame, key, default=None):
    value = frame.fields.get(key, default)
    if not re.fullmatch("0|[1-9][0-9]{0,19}", value or "") or int(value) >= 1 << 64:
        raise Lost("%s with %s=%s" % (frame.code, key, value))
    return int(value)


class Connection:
    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer = reader, writer, b""
        self.queue = collections.deque()   # requests without an answer, in their order (section 5.2)
        self.resend = collections.deque()  # what was unanswered before this connection
        self.asks = collections.deque()    # requests that are lost with it
        self.window = 8                    # how long queue may grow: more with each answer, see _write
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
