"""Frames: a line of the protocol is a code, fields and a text (SPEC.md section 3)."""
import collections
import re

LINE = 8192  # octets, the end included

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
