"""The vectors of chatproto/testdata/vectors, the session of SPEC.md section 12.1, and what a receiver shows."""
import asyncio
import json
import os
import re

from client import Client
from connection import Lost, number
from frames import Frame, decode, encode
from login import Refused, Scram, handshake_hash

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "chatproto")


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def vectors(name):
    with open(os.path.join(PROTO, "testdata", "vectors", name), encoding="utf-8") as f:
        return json.load(f)["cases"]


def octets(s):
    """The octets of `4c495645 78*9000 0d0a`."""
    parts = [part.partition("*") for part in s.split()]
    return b"".join(bytes.fromhex(part) * int(times or 1) for part, _, times in parts)


def fails(step):
    try:
        step()
    except (ValueError, Lost):
        return True
    return False


def check_frames():
    count = 0
    for case in vectors("frames.json"):
        lines, why = octets(case.get("in", "")).split(b"\n")[:-1], case["why"]
        for want in case.get("out", []):
            line, count = lines.pop(0), count + 1
            line = line[:-1] if line.endswith(b"\r") else line
            if "at" in want:
                check(fails(lambda: decode(line)), "taken: " + why)
                continue
            frame = Frame(want["code"], dict(want.get("fields", [])), want.get("description", ""))
            check(decode(line) == frame and encode(frame) + b"\r\n" == octets(want["line"]), why)
        check(not lines or case.get("end") == "no end of line", "more lines: " + why)
    return "%d lines" % count


async def check_values():
    """Numbers, ids and texts as they come, and texts as they are sent."""
    count, shown = 0, []
    client = Client("", 0, "bob", "", shown.append)
    client.task = asyncio.get_running_loop().create_future()
    for case in vectors("values.json"):
        form, value, ok = case["form"], case.get("value", ""), case.get("ok", False)
        if form == "number":
            frame = Frame("230", {"high": value})
            check(fails(lambda: number(frame, "high")) != ok, case)
        elif form == "id":
            client.seen.clear()
            frame = Frame("MESG", {"from": "A", "id": value, "t": "1"}, "A:")
            check(fails(lambda: client._deliver(frame)) != ok and (not ok or shown[-1].id == case["is"]), case)
        elif form == "text":
            check(fails(lambda: client.send("A", value)) != ok, case)
        else:
            continue  # what this client takes from its user and gives to the server, which says what is wrong
        count += 1
    client.task.cancel()
    return "%d" % count


def check_windows():
    """What a server remembers (section 6.3); nothing of this client, but of the same text."""
    for case in vectors("windows.json"):
        high, accepted = 0, set()
        for step in case["steps"]:
            n = int(step.get("look") or step["decide"])
            if "decide" in step:
                high = n
                accepted |= {n} if step.get("accept") else set()
            else:
                known = "accepted" if n in accepted and n > high - 256 else "refused"
                check(step["verdict"] == (known if n <= high else "undecided"), (case["why"], step))
        check(high == int(case["high"]), case["why"])
    return "%d" % len(vectors("windows.json"))


def check_logins():
    """The hash of the handshake, and the vectors of SCRAM with the flag of this client."""
    for case in vectors("handshake.json"):
        check(handshake_hash(case["helo"].encode(), case["greeting"].encode()) == case["hash"], case)
    count = 0
    for case in vectors("scram.json"):
        why, scram = case["why"], Scram(case["user"], case["password"])
        check(scram.password == case["prepared"].encode(), why)
        hashed = handshake_hash(case["helo"].encode(), case["greeting"].encode()) if "helo" in case else ""
        nonce = case["client_first"].partition(",r=")[2]
        check(nonce.endswith(hashed), why)
        if case["client_first"].startswith("n,,"):
            check(scram.first(hashed, nonce[:len(nonce) - len(hashed)]) == case["client_first"], why)
            check(scram.final(case["server_first"]) == case["client_final"], why)
            check(scram.keys[1].hex() == case["salted_password"], why)
            scram.verify(case["server_final"])
            count += 1
    return "%d" % count


def check_scram():
    """The session by SCRAM of SPEC section 12.1, octet by octet."""
    with open(os.path.join(PROTO, "SPEC.md"), encoding="utf-8") as f:
        session = next(s for s in re.findall("```session\n(.*?)```", f.read(), re.S) if "AUTH mech=SCRAM-SHA-256 " in s)
    lines = [line[3:].encode() for line in session.split("\n") if line[1:2] == ":"]
    helo, greeting, first, challenge, final, welcome = [decode(line) for line in lines]
    scram, data = Scram("columbia", "116bway"), lambda frame: frame.fields["data"]
    random_part = re.search("r=(.{24})", data(first)).group(1)
    check(scram.first(handshake_hash(lines[0], lines[1]), random_part) == data(first), "client-first-message")
    check(scram.final(data(challenge)) == data(final), "client-final-message")
    scram.verify(data(welcome))
    for lie in data(welcome)[:-3] + "AA=", "", "e=other-error":
        refuses(lambda: scram.verify(lie), "a wrong server signature")
    for old, new in (",i=15000", ",i=4095"), (",i=15000", ",i=600001"), (",i=15000", ",i=015000"), ("r=Y", "r=Z"), (",s=", ",m=x,s="):
        refuses(lambda: scram.final(data(challenge).replace(old, new)), new)
    check(Scram("a=b,c", "x").first("", "N") == "n,,n=a=3Db=2Cc,r=N", "names in SCRAM")
    return "as in SPEC.md"


def refuses(step, what):
    try:
        step()
    except Refused:
        return
    check(False, "taken: " + what)


async def check_shown():
    """What a receiver shows (section 6.5)."""
    shown = []
    client = Client("", 0, "bob", "", lambda m: shown.append(m.id + m.text))
    for message_id in "a.1", "a.1", "0a.2", "a.5", "a.3", "b.1", "a.6":
        client._deliver(Frame("MESG", {"from": "A", "id": message_id, "t": "1"}, "A: !"))
    check(shown == ["a.1!", "a.2!", "a.5!", "b.1!", "a.6!"], shown)
    client.on_message = lambda m: 1 / 0
    for _ in range(2):  # one that the application did not take comes again
        try:
            client._deliver(Frame("MESG", {"from": "A", "id": "a.7", "t": "1"}, "A:"))
        except Lost:
            continue
        check(False, "taken, though the application failed")
    return "%d of 7 shown" % len(shown)


def check_all():
    for test in check_frames, check_values, check_windows, check_logins, check_scram, check_shown:
        result = test()
        print("ok  %-20s %s" % (test.__name__[6:], asyncio.run(result) if asyncio.iscoroutine(result) else result), flush=True)
