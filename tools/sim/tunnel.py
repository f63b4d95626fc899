"""openTunnel: the checks of the upgrade, then bytes between WebSocket frames and the target.

    upgrade checks -> 101 -> dial target -> relay -> Close handshake
         |refusal              |failure: Close 1011
         v
    HTTP error with JSON body

One thread carries a tunnel, with poll() on both sockets; OpenSSL's connection object must not
be used by two threads at once.
"""

import base64
import binascii
import errno
import hashlib
import ipaddress
import itertools
import json
import os
import select
import socket
import time

from . import authz, network, targets, wsframes
from .conn import RECORD, Gone
from .errors import ApiError
from .wsframes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Fatal, close_frame, frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTENT_TYPE = "application/json"
PARAMETERS = ("instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration")
PORTS = ("22", "3389")
HIGH_WATER = 262144
READ_SIZE = 65536
CLOSE_WAIT = 2.0
FLUSH_WAIT = 60.0
BROKEN_RECORDS = {"cut": b"\x17\x03\x03\x10\x00" + bytes(100),
                  "bad-mac": b"\x17\x03\x03\x00\x40" + bytes(64)}
AUTH_ERRORS = {
    "missing": ("MissingAuthenticationTokenException", 403),
    "incomplete": ("IncompleteSignatureException", 403),
    "unknown_key": ("UnrecognizedClientException", 403),
    "bad_token": ("UnrecognizedClientException", 403),
    "expired_token": ("ExpiredTokenException", 403),
    "bad_signature": ("InvalidSignatureException", 403),
    "bad_scope": ("InvalidSignatureException", 403),
    "unsigned_header": ("InvalidSignatureException", 403),
    "expired": ("InvalidSignatureException", 403), "future": ("InvalidSignatureException", 403),
    "replay": ("InvalidSignatureException", 403),
}
AUTH_TEXTS = {}
DENIED = ("AccessDeniedException", 403, "{text}")


def render_error(error, _):
    return json.dumps({"ErrorCode": error.code, "Message": error.message}).encode()


def invalid(text):
    return ApiError("InvalidParameter", text)


# --- the upgrade request --------------------------------------------------------------------

def check_upgrade(request):
    """What RFC 6455 4.2.1 asks of the client; a wrong one never reaches the service."""
    def tokens(name):
        return [t.strip().lower() for t in (request.header(name) or "").split(",")]
    if "websocket" not in tokens("upgrade") or "upgrade" not in tokens("connection"):
        raise ApiError("UpgradeRequired", "Expected a WebSocket upgrade request", 426)
    if request.header("sec-websocket-version") != "13":
        raise ApiError("UpgradeRequired", "Sec-WebSocket-Version must be 13", 426)
    try:
        nonce = base64.b64decode(request.header("sec-websocket-key") or "", validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise ApiError("BadRequest", "Sec-WebSocket-Key must be 16 bytes in base64")


def unneeded_headers(request):
    """Headers that no working client sends."""
    unwanted = ("authorization", "sec-websocket-protocol", "sec-websocket-extensions", "origin")
    return [n for n in unwanted if request.header(n) is not None]


def check_parameters(call):
    """(endpoint, address, port, seconds) or the refusal of a wrong parameter."""
    given = call.params
    for name in given:
        if not name.startswith("X-Amz-") and name not in PARAMETERS:
            raise invalid(f"Unknown parameter {name}")
    if given.get("remotePort") not in PORTS:
        raise invalid("The specified RemotePort is not valid. Specify either 22 or 3389 as the "
                      "RemotePort and retry your request.")
    try:
        address = ipaddress.ip_address(given.get("privateIpAddress", ""))
    except ValueError:
        raise invalid("The specified PrivateIpAddress is not valid.") from None
    seconds = given.get("maxTunnelDuration", "3600")
    if not seconds.isdigit() or not 1 <= int(seconds) <= 3600:
        raise invalid("The specified MaxTunnelDuration is not valid. Specify a value between 1 "
                      "and 3600.")
    entry = call.world.endpoint(given.get("instanceConnectEndpointId", ""))
    if entry is None or call.host not in call.world.endpoint_hosts(entry):
        raise ApiError("ResourceNotFoundException", "The specified InstanceConnectEndpointId "
                       "does not exist.", 404)
    return entry, address, int(given["remotePort"]), int(seconds)


def authorize(call, entry, address, port):
    arn = authz.arn(call, "instance-connect-endpoint/" + entry["id"])
    call.authorize("ec2-instance-connect:OpenTunnel", arn, {
        **authz.endpoint_keys(entry),
        "ec2-instance-connect:remotePort": port,
        "ec2-instance-connect:privateIpAddress": address,
        "ec2-instance-connect:maxTunnelDuration": call.params.get("maxTunnelDuration")})


def check_state(call, entry, usable):
    if entry["state"] not in usable:
        raise ApiError("InvalidEndpointState", f"The endpoint is in state {entry['state']}.")


def check_quota(call, entry, faults):
    """Raises the refusal of the 21st tunnel; the form of AWS's own answer is not known."""
    settings = call.world.settings
    limit = faults["quota"]["limit"] if "quota" in faults else settings["quota"]
    if call.sim.open_tunnels(entry["id"]) >= limit:
        raise ApiError(settings["quota_code"], settings["quota_message"],
                       settings["quota_status"])


def accept_value(request):
    key = request.header("sec-websocket-key").encode()
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


def answer_head(call, faults):
    """The bytes of the 101, spoiled as the faults say."""
    accept = accept_value(call.request)
    if "wrong-accept" in faults:
        accept = base64.b64encode(bytes(20)).decode()
    status = "200 OK" if "status-200" in faults else "101 Switching Protocols"
    lines = [f"HTTP/1.1 {status}", "Date: " + call.date, "Connection: upgrade"]
    if "no-upgrade-header" not in faults:
        lines.append("Upgrade: websocket")
    if "no-accept" not in faults:
        lines.append("Sec-WebSocket-Accept: " + accept)
    if "extension" in faults:
        lines.append("Sec-WebSocket-Extensions: " + faults["extension"]["value"])
    if "subprotocol" in faults:
        lines.append("Sec-WebSocket-Protocol: " + faults["subprotocol"]["value"])
    lines.append("x-amzn-requestid: " + call.request_id)
    return "\r\n".join([*lines, "", ""]).encode()


def send_head(call, faults):
    head = answer_head(call, faults)
    if "upgrade-with-data" in faults:
        head += frame(PING, b"early")
    split = faults.get("upgrade-split")
    step = split["bytes"] if split else len(head)
    for at in range(0, len(head), step):
        call.conn.sendall(head[at:at + step])
        if split:
            call.conn.pause(split["ms"] / 1000)


# --- frames to the client -------------------------------------------------------------------

def _empty(fault):
    return frame(BINARY) * fault["count"]


FIRST = {
    "ping-first": lambda f: frame(PING, f["payload"].encode()),
    "ping-flood": lambda f: frame(PING, b"f" * f["size"]) * f["count"],
    "pong-first": lambda f: frame(PONG, b"unasked"),
    "empty-frames": _empty,
    "text": lambda f: frame(TEXT, f["text"].encode()),
    "masked": lambda f: frame(BINARY, b"masked", mask=b"\x01\x02\x03\x04"),
    "reserved": lambda f: frame(BINARY, b"reserved", flags=f["bit"]),
    "opcode": lambda f: frame(f["value"], b"opcode"),
    "huge-control": lambda f: frame(PING, b"h" * f["bytes"]),
    "fragmented-control": lambda f: frame(PING, b"part", fin=False),
    "bad-continuation": lambda f: frame(CONTINUATION, b"orphan"),
    "nested-start": lambda f: frame(BINARY, b"one", fin=False) + frame(BINARY, b"two"),
    "negative-length": lambda f: b"\x82\x7f" + b"\xff" * 8,
    "bad-close": lambda f: frame(CLOSE, bytes.fromhex(f["payload"])),
}


class Writer:
    """Encodes data for the client in the shape the faults ask for."""

    def __init__(self, faults):
        self.faults = faults
        self.first = True
        sizes = faults.get("split") or faults.get("fragment")
        self.sizes = itertools.cycle(map(int, sizes["sizes"].split(","))) if sizes else None

    def data(self, payload):
        out = []
        if self.first:
            out = [make(self.faults[kind]) for kind, make in FIRST.items()
                   if kind in self.faults]
            self.first = False
        out.append(self._shape(payload))
        return b"".join(out)

    def _pieces(self, payload):
        at = 0
        while at < len(payload):
            size = next(self.sizes)
            yield payload[at:at + size]
            at += size

    def _shape(self, payload):
        if "fragment" in self.faults:
            return self._fragments(payload)
        pieces = self._pieces(payload) if self.sizes else [payload]
        long_length = "long-length" in self.faults
        return b"".join(frame(BINARY, p, long_length=long_length) for p in pieces)

    def _fragments(self, payload):
        pieces = list(self._pieces(payload))
        between = frame(PING, b"between") if self.faults["fragment"]["control"] else b""
        out = []
        for n, piece in enumerate(pieces):
            last = n == len(pieces) - 1
            out.append(frame(BINARY if n == 0 else CONTINUATION, piece, fin=last))
            out.append(b"" if last else between)
        return b"".join(out)


# --- the relay ------------------------------------------------------------------------------

class Ended(Exception):
    """The tunnel is over; the text says how."""


class Tunnel:
    """One open tunnel; run() returns when it is over."""

    def __init__(self, call, spec, faults, seconds):
        self.sim = call.sim
        self.conn = call.conn
        self.call = call
        self.spec = spec
        self.faults = faults
        self.settings = call.world.settings
        self.reader = wsframes.Reader(self.note)
        self.writer = Writer(faults)
        self.target = None
        self.connecting = False
        self.to_target = bytearray()
        self.to_client = bytearray()
        self.counts = {"in": 0, "out": 0, "pings": 0, "pongs": 0}
        self.client_close = None
        self.timers = {}
        self.read_after = self.write_after = 0.0
        self.started = time.monotonic()
        self._set_timer("duration", seconds, self._on_duration)
        self._flow_timers()

    def note(self, rule, detail):
        self.sim.journal.violation(rule, detail, conn=self.call.conn_id)

    # timers

    def _set_timer(self, name, seconds, action):
        self.timers[name] = (time.monotonic() + seconds, action)

    def _flow_timers(self):
        if "expire" in self.faults:
            fault = self.faults["expire"]
            self._set_timer("expire", fault["ms"] / 1000, lambda: self._end_as(fault))
        if "ping-every" in self.faults:
            self._on_ping_timer(first=True)

    def _on_duration(self):
        self.close(*self.settings["close_duration"], "duration")

    def _on_ping_timer(self, first=False):
        if not first:
            self.queue(frame(PING, b"tick"))
        self._set_timer("ping", self.faults["ping-every"]["ms"] / 1000, self._on_ping_timer)

    def _run_timers(self):
        now = time.monotonic()
        for name, (at, action) in list(self.timers.items()):
            if at <= now:
                self.timers.pop(name)
                action()

    # to the client

    def queue(self, data):
        self.to_client += data
        self.flush()

    def flush(self):
        step = self.faults["segments"]["bytes"] if "segments" in self.faults else RECORD
        view = memoryview(self.to_client)
        at = 0
        while at < len(view):
            sent = self.conn.try_send(view[at:at + step])
            if not sent:
                break
            at += sent
        view.release()
        del self.to_client[:at]

    def _drain_queue(self):
        if self.to_client:
            self.conn.sendall(bytes(self.to_client), FLUSH_WAIT)
            self.to_client.clear()

    def close(self, code, reason, how):
        """Our Close, then waits a little for the client's; never returns."""
        self.queue(close_frame(code, reason))
        self._finish(f"server {code} {reason}".strip(), how)

    def _finish(self, text, how):
        """Sends what is queued and waits for the client's Close, dropping its data."""
        self._drain_queue()
        end = time.monotonic() + CLOSE_WAIT
        try:
            while self.client_close is None:
                data = self.conn.recv(end - time.monotonic())
                if not data:
                    break
                for opcode, payload in self.reader.feed(data):
                    if opcode == CLOSE:
                        self.client_close = wsframes.parse_close(payload)
        except Fatal as e:
            self.note(e.rule, e.detail)
        except (Gone, TimeoutError):
            pass
        raise Ended(f"{how}: {text}")

    # from the client

    def on_client(self, data):
        for opcode, payload in self.reader.feed(data):
            if opcode == PING:
                self._on_ping(payload)
            elif opcode == PONG:
                self.counts["pongs"] += 1
            elif opcode == CLOSE:
                self._on_close(payload)
            else:
                self._on_data(payload)

    def _on_ping(self, payload):
        self.counts["pings"] += 1
        if "no-pong" not in self.faults:
            self.queue(frame(PONG, payload))

    def _on_close(self, payload):
        self.client_close = wsframes.parse_close(payload)
        self._flush_target()
        if "no-close-echo" in self.faults:
            self.conn.hang()
        else:
            self.conn.sendall(bytes(self.to_client) + frame(CLOSE, payload[:2]))
        raise Ended(f"client {self.client_close[0]} {self.client_close[1]}".strip())

    def _on_data(self, payload):
        self.counts["in"] += len(payload)
        self.to_target += payload
        if self.target and not self.connecting:
            self._send_target()
        fault = self.faults.get("die-in")
        if fault and self.counts["in"] >= fault["bytes"]:
            self._end_as(fault)

    def _end_as(self, fault):
        how = fault["how"]
        if how == "close":
            self.close(fault["code"], fault["reason"], fault.kind)
        if how in BROKEN_RECORDS:
            # Apart from the data before it, which the client's TLS would else never pass on.
            self.conn.pause(0.02)
            self.conn.send_raw(BROKEN_RECORDS[how])
        if how == "rst":
            self.conn.reset()
        elif how == "freeze":
            self.conn.hang()
        else:
            self.conn.abandon()
        raise Ended(f"{fault.kind}: {how}")

    # the target

    def dial(self):
        if self.spec == "refuse":
            self.close(*self.settings["close_unreachable"], "refused")
        timeout = self.settings["dial_timeout_ms"] / 1000
        self._set_timer("dial", timeout, self._on_dial_timeout)
        if self.spec == "blackhole":
            return
        if targets.is_behaviour(self.spec):
            self.target = targets.connect(self.spec)
            self.target.setblocking(False)
            self._on_connected()
            return
        host, _, port = self.spec.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.target = socket.socket(family, socket.SOCK_STREAM)
        self.target.setblocking(False)
        self.target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connecting = True
        self.target.connect_ex((host.strip("[]"), int(port)))

    def _on_dial_timeout(self):
        self.close(*self.settings["close_unreachable"], "dial timeout")

    def _on_connected(self):
        failure = self.target.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self.close(*self.settings["close_unreachable"], os.strerror(failure))
        self.connecting = False
        self.timers.pop("dial", None)
        self._send_target()

    def _send_target(self):
        while self.to_target:
            try:
                sent = self.target.send(self.to_target)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                self.to_target.clear()
                return
            if sent == len(self.to_target):
                self.to_target.clear()
            else:
                del self.to_target[:sent]

    def _flush_target(self):
        """The client said Close: what it sent before still belongs to the target."""
        if self.target and not self.connecting and self.to_target:
            self.target.settimeout(CLOSE_WAIT)
            try:
                self.target.sendall(self.to_target)
            except OSError:
                pass

    def on_target(self):
        try:
            data = self.target.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self.close(*self.settings["close_lost"], "target reset")
        if not data:
            self.close(*self.settings["close_normal"], "target closed")
        self._to_client(data)

    def _to_client(self, data):
        fault = self.faults.get("die")
        if fault:
            data = data[:max(0, fault["bytes"] - self.counts["out"])]
        self.counts["out"] += len(data)
        ending = self.faults.get("close-with-data")
        if ending:
            self.queue(self.writer.data(data) + close_frame(ending["code"], ending["reason"]))
            self._finish("server Close", "close-with-data")
        if "split-close" in self.faults:
            self._split_close(self.faults["split-close"])
        if data:
            self.queue(self.writer.data(data))
        if fault and self.counts["out"] >= fault["bytes"]:
            self._drain_queue()
            self._end_as(fault)
        if "throttle" in self.faults:
            part = self.faults["throttle"]
            self.write_after = time.monotonic() + part["ms"] / 1000 * len(data) / part["bytes"]

    def _split_close(self, fault):
        for byte in close_frame(fault["code"], fault["reason"]):
            self.conn.sendall(bytes([byte]))
            self.conn.pause(fault["ms"] / 1000)
        self._finish("server Close", "split-close")

    # the loop

    def _interest(self, now):
        """(events on the client, events on the target) wanted now."""
        client = target = 0
        if len(self.to_target) < HIGH_WATER and now >= self.read_after:
            client |= select.POLLIN
        if self.to_client:
            client |= select.POLLOUT
        if self.target:
            if self.connecting or self.to_target:
                target |= select.POLLOUT
            if (not self.connecting and len(self.to_client) < HIGH_WATER
                    and now >= self.write_after):
                target |= select.POLLIN
        return client, target

    def _wait(self, client, target):
        poller = select.poll()
        poller.register(self.conn.sock, client)
        poller.register(self.conn.stop_fd, select.POLLIN)
        if self.target and target:
            poller.register(self.target, target)
        until = [at for at, _ in self.timers.values()]
        until += [t for t in (self.read_after, self.write_after) if t > time.monotonic()]
        wait = max(0.0, min(until) - time.monotonic()) if until else None
        return dict(poller.poll(None if wait is None else wait * 1000 + 1))

    def _turn(self):
        client, target = self._interest(time.monotonic())
        ready = self._wait(client, target)
        if self.conn.stop_fd in ready:
            raise Ended("simulator stopped")
        self._run_timers()
        self._serve_client(client, ready.get(self.conn.sock.fileno(), 0))
        if self.target and ready.get(self.target.fileno(), 0):
            self._serve_target(ready[self.target.fileno()])

    def _serve_client(self, wanted, events):
        if events & select.POLLOUT:
            self.flush()
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        if self.conn.rtt:
            self.conn.pause(self.conn.rtt)
        slow = self.faults.get("slow-read")
        for _ in range(1 if slow else 8):
            data = self.conn.try_recv(slow["bytes"] if slow else RECORD)
            if data is None:
                return
            if not data:
                raise Ended("client closed without Close")
            self.on_client(data)
        if slow:
            self.read_after = time.monotonic() + slow["ms"] / 1000

    def _serve_target(self, events):
        if self.connecting:
            self._on_connected()
            return
        if events & select.POLLOUT:
            self._send_target()
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self.on_target()

    def _open_faults(self):
        """What happens between the 101 and the dial."""
        faults = self.faults
        if "stall" in faults:
            self.conn.hang()
            raise Ended("stall")
        if "open-close" in faults:
            self.close(faults["open-close"]["code"], faults["open-close"]["reason"], "open-close")
        if "open-rst" in faults:
            self.conn.reset()
            raise Ended("open-rst")
        if "open-drop" in faults:
            self.conn.abandon()
            raise Ended("open-drop")
        if "dial-delay" in faults:
            self.conn.pause(faults["dial-delay"]["ms"] / 1000)

    def run(self):
        """Returns the text that says how the tunnel ended."""
        try:
            self._open_faults()
            self.dial()
            if self.conn.buffer:
                self.on_client(self.conn.recv(0))
            while True:
                self._turn()
        except Ended as e:
            return str(e)
        except Fatal as e:
            self.note(e.rule, e.detail)
            self._send_quietly(close_frame(1002, e.rule))
            return f"protocol error: {e.detail}"
        except Gone as e:
            return f"client gone: {e}"
        except TimeoutError:
            return "client stalled"
        finally:
            if self.target:
                self.target.close()

    def _send_quietly(self, data):
        try:
            self.conn.sendall(data, CLOSE_WAIT)
        except (Gone, TimeoutError):
            pass


def find_target(call, entry, address, port):
    """What the endpoint's dial meets: a target spec, "refuse", or "blackhole"."""
    world = call.world
    with world.lock:
        found = network.find(world.data, entry, address)
        if found is None or found["state"] != "running":
            why = "no instance" if found is None else found["state"]
        else:
            why = network.obstacle(world, entry, found, address, port)
        if why:
            call.sim.journal.add("unreachable", endpoint=entry["id"], address=str(address),
                                 port=port, why=why)
            return "blackhole"
        spec = found["targets"].get(str(port), "refuse")
    if spec == "sshd":
        return call.sim.sshd_address(found["id"]) or "refuse"
    return spec


def serve(call, usable):
    """Checks the request (ApiError when refused), then runs the tunnel to its end."""
    faults = call.take("upgrade")
    check_upgrade(call.request)
    for name in unneeded_headers(call.request):
        call.sim.journal.violation("upgrade-header", f"the upgrade request has {name}",
                                   conn=call.conn_id)
    entry, address, port, seconds = check_parameters(call)
    authorize(call, entry, address, port)
    check_state(call, entry, usable)
    with call.sim.tunnel_slot(entry["id"], lambda: check_quota(call, entry, faults)):
        send_head(call, faults)
        call.log(200 if "status-200" in faults else 101)
        spec = find_target(call, entry, address, port)
        for stage in ("open", "frames", "flow"):
            faults.update(call.take(stage))
        tunnel = Tunnel(call, spec, faults, seconds)
        started = time.monotonic()
        how = tunnel.run()
    call.sim.journal.add("tunnel", conn=call.conn_id, endpoint=entry["id"], address=str(address),
                         port=port, target=spec, how=how, seconds=seconds,
                         ms=round((time.monotonic() - started) * 1000, 1),
                         frames=tunnel.reader.frames, client_close=tunnel.client_close,
                         **tunnel.counts)
