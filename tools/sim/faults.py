"""Faults on demand: a table of kinds and the list of those that are switched on.

A fault has a kind, a stage taken from the table, conditions (host, service, action: shell
patterns), `skip` (the first matches that pass untouched), `times` (how often it then strikes;
0 = always) and the parameters of its kind.
"""

import fnmatch
import itertools
import threading
import time

# kind: (stage, {parameter: default}, what it does)
KINDS = {
    "accept-close": ("accept", {}, "close the TCP connection at once"),
    "accept-rst": ("accept", {}, "reset the TCP connection at once"),
    "accept-hang": ("accept", {}, "accept, then never read or send"),
    "accept-banner": ("accept", {"text": "SSH-2.0-wrong\r\n"}, "answer with text, not TLS"),
    "tls-hang": ("tls", {}, "read the ClientHello, never answer"),
    "tls-close": ("tls", {}, "close after the ClientHello"),
    "tls-rst": ("tls", {}, "reset after the ClientHello"),
    "tls-garbage": ("tls", {}, "answer the ClientHello with bytes that are not TLS"),
    "tls-alert": ("tls", {"code": 40}, "answer the ClientHello with a fatal alert"),
    "tls-delay": ("tls", {"ms": 500}, "wait before the ServerHello"),
    "cert": ("tls", {"variant": "expired"}, "present another certificate: expired, not-yet, "
             "wrong-name, untrusted, self-signed, no-intermediate"),
    "no-resume": ("tls", {}, "refuse to resume a TLS session"),
    "tls-max": ("tls", {"version": "1.2"}, "offer at most this TLS version"),
    "head-hang": ("head", {}, "never read the request"),
    "head-close": ("head", {}, "close right after the handshake"),
    "latency": ("call", {"ms": 100}, "delay the answer"),
    "hang": ("call", {}, "read the request, never answer"),
    "drop": ("call", {}, "read the request, close without an answer"),
    "rst": ("call", {}, "read the request, reset"),
    "http-error": ("call", {"status": 503, "code": "RequestLimitExceeded",
                            "message": "Request limit exceeded."},
                   "answer with an error in the form of the protocol"),
    "bucket": ("call", {"size": 2, "per_second": 1.0},
               "throttle: so many calls at once, then so many a second; the error is the one "
               "of the service"),
    "html-error": ("call", {"status": 502, "text": "<html><h1>502 Bad Gateway</h1></html>"},
                   "answer with a front end's HTML page"),
    "raw": ("call", {"text": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
            "answer with these bytes"),
    "skew": ("verify", {"seconds": 600}, "the clock of this service is that far ahead"),
    "malformed": ("answer", {}, "spoil the XML or JSON of the answer"),
    "not-utf8": ("answer", {}, "put bytes that are not UTF-8 into the answer"),
    "truncate": ("answer", {"bytes": 100}, "send so much of the body, then close"),
    "truncate-rst": ("answer", {"bytes": 100}, "send so much of the body, then reset"),
    "truncate-hang": ("answer", {"bytes": 100}, "send so much of the body, then nothing"),
    "slow-body": ("answer", {"bytes": 64, "ms": 20}, "send the body in pieces"),
    "chunked": ("answer", {"sizes": "1,7,300"}, "chunked body, sizes in a cycle"),
    "no-length": ("answer", {}, "body without length, ended by close"),
    "close": ("answer", {}, "close the connection after the answer"),
    "close-silent": ("answer", {}, "promise keep-alive, then close after the answer"),
    "header": ("answer", {"name": "X-Padding", "value": "x", "repeat": 1}, "add a header"),
    "date": ("answer", {"offset": 0, "value": ""}, "another Date header (value none: no header)"),
    "no-request-id": ("answer", {}, "leave x-amzn-requestid out"),
    "continue": ("answer", {}, "send 100 Continue before the answer"),
    "lower-head": ("answer", {}, "header names in lower case, no space after the colon"),
    "huge-body": ("answer", {"bytes": 1 << 20}, "append so many blanks to the body"),
    "success-false": ("answer", {}, "SendSSHPublicKey answers Success:false"),
    "empty-page": ("page", {}, "an empty page that carries a token"),
    "repeat-token": ("page", {}, "answer with the token that was sent"),
    "endpoint-fails": ("endpoint", {"message": "Internal error. Try again."},
                       "what is asked of an endpoint ends in -failed, with this StateMessage"),
    "refuse": ("refuse", {"status": 403, "code": "AccessDeniedException",
                          "message": "User is not authorized to perform this action",
                          "body": "json"},
               "refuse the tunnel; body json, html, empty or the text itself"),
    "quota": ("upgrade", {"limit": 0}, "refuse the tunnel when `limit` are open"),
    "wrong-accept": ("upgrade", {}, "101 with a wrong Sec-WebSocket-Accept"),
    "no-accept": ("upgrade", {}, "101 without Sec-WebSocket-Accept"),
    "no-upgrade-header": ("upgrade", {}, "101 without Upgrade"),
    "extension": ("upgrade", {"value": "permessage-deflate"}, "101 with an extension nobody "
                  "asked for"),
    "subprotocol": ("upgrade", {"value": "chat"}, "101 with a subprotocol nobody asked for"),
    "status-200": ("upgrade", {}, "200 instead of 101"),
    "upgrade-split": ("upgrade", {"bytes": 7, "ms": 2}, "the 101 head in small pieces"),
    "upgrade-with-data": ("upgrade", {}, "the 101 head and a ping in the same segment"),
    "stall": ("open", {}, "nothing after the 101, target never dialled"),
    "open-close": ("open", {"code": 1011, "reason": "Unable to connect to target"},
                   "Close right after the 101; code 0 for an empty payload"),
    "open-rst": ("open", {}, "reset right after the 101"),
    "open-drop": ("open", {}, "close TCP right after the 101, no Close frame"),
    "dial-delay": ("open", {"ms": 1000}, "wait before the target is dialled"),
    "split": ("frames", {"sizes": "1,2,3,7,125,126,127,128,4096,65535,65536"},
              "frame sizes in a cycle"),
    "fragment": ("frames", {"sizes": "1,5,100", "control": 1},
                 "fragmented messages, a ping between fragments"),
    "long-length": ("frames", {}, "64-bit lengths where a shorter form would do"),
    "segments": ("frames", {"bytes": 3}, "TLS records of so few bytes"),
    "ping-first": ("frames", {"payload": "first"}, "a ping before the first data"),
    "ping-flood": ("frames", {"count": 1000, "size": 125}, "so many pings before the first data"),
    "pong-first": ("frames", {}, "an unasked pong before the first data"),
    "empty-frames": ("frames", {"count": 3}, "empty binary frames before the first data"),
    "text": ("frames", {"text": "hello"}, "a text frame instead of the first data"),
    "masked": ("frames", {}, "a masked server frame"),
    "reserved": ("frames", {"bit": 64}, "a reserved bit (64, 32 or 16) set"),
    "opcode": ("frames", {"value": 3}, "an unknown opcode"),
    "huge-control": ("frames", {"bytes": 126}, "a ping longer than 125"),
    "fragmented-control": ("frames", {}, "a ping without FIN"),
    "bad-continuation": ("frames", {}, "a continuation frame without a start"),
    "nested-start": ("frames", {}, "a new message inside a fragmented one"),
    "negative-length": ("frames", {}, "a 64-bit length with the top bit set"),
    "bad-close": ("frames", {"payload": "01"}, "a Close with this payload (hex)"),
    "close-with-data": ("frames", {"code": 1000, "reason": ""},
                        "the first data and Close in one segment; code 0 for an empty payload"),
    "split-close": ("frames", {"code": 1011, "reason": "Unable to connect to target", "ms": 5},
                    "a Close frame byte by byte"),
    "die": ("flow", {"bytes": 1000, "how": "close", "code": 1011, "reason": "Service restart"},
            "after so many bytes to the client: how = close, drop (no Close frame), rst, "
            "freeze, cut (inside a TLS record), bad-mac"),
    "die-in": ("flow", {"bytes": 1000, "how": "rst", "code": 1011, "reason": "Service restart"},
               "the same, counting bytes from the client"),
    "expire": ("flow", {"ms": 1000, "how": "close", "code": 1000, "reason": ""},
               "the same, after a time"),
    "no-close-echo": ("flow", {}, "never answer the client's Close"),
    "no-pong": ("flow", {}, "never answer the client's pings"),
    "ping-every": ("flow", {"ms": 200}, "ping the client that often"),
    "slow-read": ("flow", {"bytes": 4096, "ms": 10}, "read so much from the client at a time"),
    "throttle": ("flow", {"bytes": 65536, "ms": 100}, "pass at most so much to the client"),
}

CONDITIONS = ("host", "service", "action")


def convert(default, value):
    """A parameter's text in the type of its default."""
    return type(default)(value)


class Fault:
    def __init__(self, number, kind, options):
        self.stage, defaults, _ = KINDS[kind]
        self.number = number
        self.kind = kind
        self.where = {k: options.pop(k) for k in CONDITIONS if k in options}
        self.times = int(options.pop("times", 0))
        self.skip = int(options.pop("skip", 0))
        unknown = set(options) - set(defaults)
        if unknown:
            raise ValueError(f"fault {kind} has no parameter {', '.join(sorted(unknown))}")
        self.params = {**defaults, **{k: convert(defaults[k], v) for k, v in options.items()}}
        self.struck = 0
        self.tokens = float(self.params.get("size", 0))
        self.filled = time.monotonic()

    def __getitem__(self, name):
        return self.params[name]

    def matches(self, where):
        return all(fnmatch.fnmatchcase(where.get(k) or "", pattern)
                   for k, pattern in self.where.items())

    def strike(self):
        """True when the fault applies to this match; counts skips and strikes."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times and self.struck >= self.times:
            return False
        if self.kind == "bucket" and self._pay():
            return False
        self.struck += 1
        return True

    def _pay(self):
        """Takes a token, if the bucket holds one by now."""
        now = time.monotonic()
        self.tokens = min(self["size"], self.tokens + (now - self.filled) * self["per_second"])
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def describe(self):
        return {"id": self.number, "kind": self.kind, **self.where, **self.params,
                "times": self.times, "skip": self.skip, "struck": self.struck}


class Faults:
    """The faults that are on. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.active = []
        self.numbers = itertools.count(1)

    def add(self, kind, **options):
        """Switches a fault on; returns its id. ValueError for an unknown kind or parameter."""
        if kind not in KINDS:
            raise ValueError(f"no fault is called '{kind}'")
        fault = Fault(next(self.numbers), kind, options)
        with self.lock:
            self.active.append(fault)
        return fault.number

    def clear(self, number=None):
        """Switches one fault off, or all."""
        with self.lock:
            self.active = [f for f in self.active if number is not None and f.number != number]

    def take(self, stage, **where):
        """Those faults of the stage that strike now, by kind."""
        with self.lock:
            return {f.kind: f for f in self.active
                    if f.stage == stage and f.matches(where) and f.strike()}

    def describe(self):
        with self.lock:
            return [f.describe() for f in self.active]
