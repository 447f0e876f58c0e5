"""Who the server is, and who the user is: TLS and SCRAM-SHA-256 (SPEC.md section 9)."""
import base64
import hashlib
import hmac
import re
import secrets
import ssl
import unicodedata


class Refused(Exception):
    """The server refused for good, or is not the one that it should be: nobody tries again."""


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
