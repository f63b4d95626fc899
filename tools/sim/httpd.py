"""HTTP/1.1 on accepted connections: requests in, services asked, answers (or faults) out."""

import email.utils
import http
import itertools
import json
import re
import time
import urllib.parse
import uuid

from . import authz, ec2, eic, enroll, sso, sts, tunnel
from .conn import Expired, Gone, Stopped
from .errors import ApiError, AuthError
from .world import USABLE

HEAD_MAX = 65536
BODY_MAX = 1 << 20
IDLE_SECONDS = 60.0
REQUEST_SECONDS = 30.0
CHUNK_OVER = 8192
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_API_HOST = re.compile(r"(ec2-instance-connect|ec2|sts|portal\.sso|oidc)(?:-fips)?\."
                       r"([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)\Z")
_TUNNEL_HOST = re.compile(r"eice-[0-9a-z]+\.[0-9a-f]+\.(?:fips\.)?"
                          r"ec2-instance-connect-endpoint\.([a-z0-9-]+)\.")
REGIONAL = ("ec2", "ec2-instance-connect", "tunnel")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


# How each service says that there were too many calls.
THROTTLED = {"ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
             "ec2-instance-connect": ("ThrottlingException", "Rate exceeded", 400),
             "sts": ("Throttling", "Rate exceeded", 400),
             "tunnel": ("TooManyRequestsException", "Rate exceeded", 429)}


class BadRequest(Exception):
    """Not HTTP as a server would take it."""


class Request:
    def __init__(self, method, target, version, headers):
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.path, _, self.query = target.partition("?")
        self.body = b""

    def header(self, name):
        """The first value of the header, or None."""
        return next((v for n, v in self.headers if n.lower() == name), None)

    def count(self, name):
        return sum(1 for n, _ in self.headers if n.lower() == name)


def _parse_head(head):
    text = head.decode("latin-1")
    if "\n" in text.replace("\r\n", ""):
        raise BadRequest("a line of the head does not end in CR LF")
    first, *lines = text.split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(f"bad request line '{first[:60]}'")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.match(name):
            raise BadRequest(f"bad header line '{line[:60]}'")
        headers.append((name, value.strip(" \t")))
    return Request(parts[0], parts[1], parts[2], headers)


def _check_head(request):
    if request.count("host") != 1:
        raise BadRequest(f"{request.count('host')} Host headers")
    if request.count("content-length") > 1:
        raise BadRequest("several Content-Length headers")
    if not request.path.startswith("/"):
        raise BadRequest(f"request target '{request.target[:60]}' is no path")
    if any(ord(c) < 0x21 or ord(c) > 0x7e for c in request.target):
        raise BadRequest("request target has characters that must be percent-encoded")


def _read_until(conn, mark, timeout, limit):
    """Bytes up to and with `mark`; b"" when the peer closed before the first byte."""
    data = b""
    while mark not in data:
        if len(data) > limit:
            raise BadRequest("the head is too long")
        more = conn.recv(timeout)
        if not more:
            if data:
                raise Gone("closed inside a request")
            return b""
        data += more
        timeout = REQUEST_SECONDS
    end = data.index(mark) + len(mark)
    conn.push_back(data[end:])
    return data[:end]


def _read_exact(conn, size):
    data = b""
    while len(data) < size:
        more = conn.recv(REQUEST_SECONDS)
        if not more:
            raise Gone("closed inside a body")
        data += more
    conn.push_back(data[size:])
    return data[:size]


def _read_chunked(conn):
    body = b""
    while True:
        size = int(_read_until(conn, b"\r\n", REQUEST_SECONDS, 100).split(b";")[0], 16)
        if size + len(body) > BODY_MAX:
            raise BadRequest("the body is too long")
        if size == 0:
            while _read_until(conn, b"\r\n", REQUEST_SECONDS, HEAD_MAX) != b"\r\n":
                pass
            return body
        body += _read_exact(conn, size + 2)[:-2]


def _read_body(conn, request):
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        return _read_chunked(conn)
    length = request.header("content-length")
    if length is None:
        if request.method == "POST":
            raise BadRequest("POST without Content-Length")
        return b""
    if not length.isdigit() or int(length) > BODY_MAX:
        raise BadRequest(f"Content-Length '{length}'")
    return _read_exact(conn, int(length))


def read_request(conn):
    """The next request, or None when the peer closed between requests."""
    head = _read_until(conn, b"\r\n\r\n", IDLE_SECONDS, HEAD_MAX)
    if not head:
        return None
    request = _parse_head(head[:-4])
    _check_head(request)
    request.body = _read_body(conn, request)
    return request


# --- one request as the services see it -----------------------------------------------------

class Call:
    """A request on its way through a service."""

    numbers = itertools.count(1)

    def __init__(self, sim, conn, conn_id, request):
        self.sim = sim
        self.world = sim.world
        self.faults = sim.faults
        self.conn = conn
        self.conn_id = conn_id
        self.request = request
        self.request_id = str(uuid.uuid4())
        self.host = request.header("host").rsplit(":", 1)[0].lower()
        self.started = time.monotonic()
        self.service = self.action = self.identity = self.error = None
        self.name = None
        self.params = {}
        self.struck = []
        self.skew = 0
        self.logged = False

    @property
    def date(self):
        return email.utils.formatdate(self.world.clock() + self.skew, usegmt=True)

    @property
    def where(self):
        return {"host": self.host, "service": self.name, "action": self.action}

    def take(self, stage):
        faults = self.faults.take(stage, **self.where)
        self.note_faults(faults)
        return faults

    def note_faults(self, faults):
        self.struck += list(faults)

    def authorize(self, action, resource, context):
        """Raises the service's denial unless the caller's policies allow it."""
        authz.authorize(self, action, resource, context)

    def log(self, status):
        """One journal line a request."""
        if self.logged:
            return
        self.logged = True
        given = self.params.values if isinstance(self.params, ec2.Params) else self.params
        given = given if isinstance(given, dict) else {}
        shown = {k: v for k, v in given.items()
                 if not k.startswith("X-Amz-") and k not in ("Action", "Version")}
        self.sim.journal.add(
            "request", conn=self.conn_id, host=self.host, service=self.name, action=self.action,
            params=shown, status=status, error=self.error, faults=self.struck,
            access_key=self.identity.access_key if self.identity else None,
            port=self.conn.peer_port, resumed=self.conn.resumed,
            user_agent=self.request.header("user-agent"), request_id=self.request_id,
            ms=round((time.monotonic() - self.started) * 1000, 1))


def _form(body):
    """Pairs of an urlencoded form ('+' is a blank there)."""
    return urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def _signed_service(request):
    """The service named in the credential scope; needed when the host says nothing."""
    claim = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", request.header("authorization") or "")
    return claim.group(1) if claim else None


def _signed_region(request):
    claim = re.search(r"Credential=[^/]+/\d+/([^/]+)/", request.header("authorization") or "")
    return claim.group(1) if claim else None


def _other_region(call, name):
    """The call is for another Region than the main one; STS has the same of it all."""
    if name not in call.world.others or call.name not in (*REGIONAL, "sts"):
        raise ApiError("UnknownHost", f"no simulated service at {call.host}", 404)
    if call.name in REGIONAL:
        call.world = call.world.others[name]
    return name


def route(call):
    """Sets call.name and call.service; returns the region the signature must name."""
    modules = {"ec2": enroll.SERVICE, "ec2-instance-connect": eic, "sts": sts,
               **sso.SERVICES}
    region = call.world.region
    match = _API_HOST.match(call.host)
    if match:
        call.name, host_region = match.group(1), match.group(2)
        if host_region != region:
            region = _other_region(call, host_region)
    elif call.host == "sts.amazonaws.com":
        call.name, region = "sts", "us-east-1"
    elif call.host in LOCAL_HOSTS:
        call.name = _signed_service(call.request) or sso.of_path(call.request.path)
        signed = _signed_region(call.request)
        if signed in call.world.others and call.name in REGIONAL:
            region = _other_region(call, signed)
    elif match := _TUNNEL_HOST.match(call.host):
        call.name, call.service = "tunnel", tunnel
        return region if match.group(1) == region else _other_region(call, match.group(1))
    call.service = modules.get(call.name)
    if call.service is None:
        raise ApiError("UnknownHost", f"no simulated service at {call.host}", 404)
    return region


def read_parameters(call):
    """Sets call.action and call.params from the request, in the way of the service."""
    request = call.request
    if call.service is tunnel:
        call.action = "openTunnel" if request.path == "/openTunnel" else request.path
        pairs = urllib.parse.parse_qsl(request.query, keep_blank_values=True)
        call.params = dict(pairs)
        if request.method != "GET" or call.action != "openTunnel" or len(pairs) != len(call.params):
            raise ApiError("NotFound", "Not Found", 404)
        return
    if call.name in sso.SERVICES:
        call.service.read(call, call.host in LOCAL_HOSTS)
        return
    if request.method != "POST":
        raise ApiError("InvalidAction", f"The method {request.method} is not supported here", 405)
    if call.host not in LOCAL_HOSTS and request.target != "/":
        raise ApiError("InvalidAction", f"The path {request.path} is not found here", 404)
    if call.service is eic:
        _read_json(call)
        return
    if not (request.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
        raise ApiError("MalformedInput", "Content-Type must be application/x-www-form-urlencoded")
    call.params = ec2.Params(_form(request.body))
    call.action = call.params.one("Action") or ""


def _read_json(call):
    target = call.request.header("x-amz-target") or ""
    if not target.startswith(eic.TARGET):
        raise ApiError("UnknownOperationException", f"X-Amz-Target '{target}'")
    call.action = target[len(eic.TARGET):]
    if call.request.header("content-type") != eic.CONTENT_TYPE:
        raise ApiError("UnknownOperationException", "Content-Type must be " + eic.CONTENT_TYPE)
    try:
        call.params = json.loads(call.request.body)
    except ValueError as e:
        raise ApiError("SerializationException", f"the body is not JSON: {e}") from e


def verify(call, region):
    """Checks the signature; AuthError becomes the service's own error."""
    settings = call.world.settings
    window = settings["ec2_window_s" if call.service is ec2 else "api_window_s"]
    name = "ec2-instance-connect" if call.service is tunnel else call.name
    faults = call.take("verify")
    call.skew = faults["skew"]["seconds"] if faults else 0
    try:
        call.identity = call.sim.verifier.verify(call.request, name, region, window, call.skew)
    except AuthError as e:
        code, status = call.service.AUTH_ERRORS[e.kind]
        call.sim.journal.add("auth-failure", conn=call.conn_id, auth=e.kind, detail=e.message)
        raise ApiError(code, call.service.AUTH_TEXTS.get(e.kind, e.message), status) from e
    if call.service is tunnel and call.request.header("authorization"):
        raise ApiError("InvalidSignatureException", "the tunnel takes presigned URLs only", 403)


# --- answers --------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, body, content_type):
        self.status = status
        self.body = body
        self.headers = [("Content-Type", content_type)]
        self.close = False


def error_answer(call, error):
    call.error = error.code
    if call.service is None:
        return Answer(error.status, f"{error.message}\n".encode(), "text/plain")
    body = call.service.render_error(error, call.request_id)
    made = Answer(error.status, body, call.service.CONTENT_TYPE)
    if hasattr(call.service, "ERROR_HEADER"):
        made.headers.append((call.service.ERROR_HEADER, error.code + ":http://internal.example/"))
    return made


def _call_faults(call, faults):
    """Faults that replace the answer. Returns an Answer, or None to go on."""
    if "latency" in faults:
        call.conn.pause(faults["latency"]["ms"] / 1000)
    if "hang" in faults:
        call.conn.hang()
        raise Gone("fault hang")
    if "drop" in faults:
        raise Gone("fault drop")
    if "rst" in faults:
        call.conn.reset()
        raise Gone("fault rst")
    if "raw" in faults:
        call.conn.sendall(faults["raw"]["text"].encode("latin-1", "replace"))
        raise Gone("fault raw")
    if "bucket" in faults:
        return error_answer(call, ApiError(*THROTTLED.get(call.name, THROTTLED["tunnel"])))
    if "html-error" in faults:
        fault = faults["html-error"]
        return Answer(fault["status"], fault["text"].encode(), "text/html")
    if "http-error" in faults:
        fault = faults["http-error"]
        return error_answer(call, ApiError(fault["code"], fault["message"], fault["status"]))
    return None


def answer(call):
    """The service's answer. A tunnel is served inside and returns None."""
    try:
        region = route(call)
        read_parameters(call)
    except ApiError as e:
        return error_answer(call, e)
    replaced = _call_faults(call, call.take("call"))
    if replaced:
        return replaced
    try:
        if call.action not in getattr(call.service, "UNSIGNED", ()):
            verify(call, region)
        if call.service is tunnel:
            return _tunnel_answer(call)
        tree = call.service.perform(call)
        body = call.service.render(call.action, call.request_id, tree)
        return Answer(200, body, call.service.CONTENT_TYPE)
    except ApiError as e:
        return error_answer(call, e)


def _tunnel_answer(call):
    refusal = call.take("refuse")
    if refusal:
        fault = refusal["refuse"]
        call.error = fault["code"]
        made = error_answer(call, ApiError(fault["code"], fault["message"], fault["status"]))
        shapes = {"json": made.body, "empty": b"", "html": b"<html><body>Forbidden</body></html>"}
        made.body = shapes.get(fault["body"], fault["body"].encode())
        return made
    tunnel.serve(call, USABLE)
    return None


def _spoil(call, made, faults):
    """Changes the answer as the faults of stage "answer" say."""
    if "malformed" in faults:
        half = len(made.body) // 2
        made.body = made.body[:half] + b"<&\x00" + made.body[half + 9:]
    if "not-utf8" in faults:
        made.body = made.body.replace(b">", b">\xff\xfe", 3)
    if "huge-body" in faults:
        made.body += b" " * faults["huge-body"]["bytes"]
    if "success-false" in faults:
        made.body = made.body.replace(b'"Success": true', b'"Success": false')
    if "no-request-id" not in faults:
        made.headers.append(("x-amzn-requestid", call.request_id))
    made.headers.append(("Date", call.date))
    if "date" in faults:
        made.headers.pop()
        value = faults["date"]["value"] or email.utils.formatdate(
            call.world.clock() + faults["date"]["offset"], usegmt=True)
        if value != "none":
            made.headers.append(("Date", value))
    if "header" in faults:
        fault = faults["header"]
        made.headers += [(fault["name"], fault["value"])] * fault["repeat"]
    made.close = made.close or bool({"close", "close-silent", "no-length", "truncate",
                                     "truncate-rst", "truncate-hang"} & set(faults))


def _chunks(body, sizes):
    at, turn = 0, itertools.cycle(sizes)
    while at < len(body):
        piece = body[at:at + next(turn)]
        at += len(piece)
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _framing(made, faults):
    """(header lines that say how long the body is, the body as sent)."""
    sizes = faults["chunked"]["sizes"] if "chunked" in faults else None
    if sizes is None and len(made.body) > CHUNK_OVER and not {"no-length"} & set(faults):
        sizes = "8192"
    if sizes:
        body = b"".join(_chunks(made.body, [int(s) for s in sizes.split(",")]))
        return [("Transfer-Encoding", "chunked")], body
    if "no-length" in faults:
        return [], made.body
    return [("Content-Length", str(len(made.body)))], made.body


def reason_of(status):
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _head(made, framing, faults):
    headers = made.headers + framing
    if made.close and "close-silent" not in faults:
        headers.append(("Connection", "close"))
    colon = ": "
    if "lower-head" in faults:
        headers, colon = [(n.lower(), v) for n, v in headers], ":"
    lines = [f"HTTP/1.1 {made.status} {reason_of(made.status)}"]
    lines += [f"{n}{colon}{v}" for n, v in headers]
    start = b"HTTP/1.1 100 Continue\r\n\r\n" if "continue" in faults else b""
    return start + "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def send_answer(call, made):
    """Sends the answer; True when the connection stays open."""
    faults = call.take("answer")
    _spoil(call, made, faults)
    framing, body = _framing(made, faults)
    head = _head(made, framing, faults)
    call.log(made.status)
    conn = call.conn
    for kind in ("truncate", "truncate-rst", "truncate-hang"):
        if kind in faults:
            conn.sendall(head + body[:faults[kind]["bytes"]])
            _end_truncated(conn, kind)
    if "slow-body" in faults:
        conn.sendall(head)
        step = faults["slow-body"]["bytes"]
        for at in range(0, len(body), step):
            conn.sendall(body[at:at + step])
            conn.pause(faults["slow-body"]["ms"] / 1000)
    else:
        conn.sendall(head + body)
    wants_close = (call.request.header("connection") or "").lower() == "close"
    return not (made.close or wants_close or call.request.version == "HTTP/1.0")


def _end_truncated(conn, kind):
    if kind == "truncate-rst":
        conn.reset()
    elif kind == "truncate-hang":
        conn.hang()
    raise Gone("fault " + kind)


# --- one connection -------------------------------------------------------------------------

ALERT = b"\x15\x03\x03\x00\x02\x02"


def _accept_faults(conn, faults):
    if "accept-hang" in faults:
        conn.hang()
    if "accept-rst" in faults:
        conn.reset()
    if "accept-banner" in faults:
        conn.sendall(faults["accept-banner"]["text"].encode())
    if faults:
        raise Gone("fault " + ", ".join(faults))


def _tls_faults(conn, faults):
    """Faults in place of the handshake."""
    if "tls-delay" in faults:
        conn.pause(faults["tls-delay"]["ms"] / 1000)
    if "tls-hang" in faults:
        conn.hang()
    elif "tls-rst" in faults:
        conn.reset()
    elif "tls-garbage" in faults:
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    elif "tls-alert" in faults:
        conn.sendall(ALERT + bytes([faults["tls-alert"]["code"]]))
    elif "tls-close" not in faults:
        return
    raise Gone("fault " + ", ".join(faults))


def _start_tls(sim, conn, conn_id):
    """Handshake as the faults want it; the peer's connection is journaled either way."""
    faults = sim.faults.take("tls", host=conn.peek_sni(REQUEST_SECONDS))
    started = time.monotonic()
    try:
        _tls_faults(conn, faults)
        conn.handshake(sim.context(faults), REQUEST_SECONDS)
    except (Gone, Expired) as e:
        sim.journal.add("connection", conn=conn_id, sni=conn.sni, tls=None, failure=str(e),
                        faults=list(faults))
        raise
    sim.journal.add("connection", conn=conn_id, sni=conn.sni, tls=conn.sock.version(),
                    cipher=conn.sock.cipher()[0], resumed=conn.resumed,
                    port=conn.peer_port, faults=list(faults), failure=None,
                    ms=round((time.monotonic() - started) * 1000, 1))


def _serve_one(sim, conn, conn_id):
    """One request; True when another may follow."""
    request = read_request(conn)
    if request is None:
        return False
    call = Call(sim, conn, conn_id, request)
    if conn.sni is not None and conn.sni != call.host:
        sim.journal.violation("host", f"SNI {conn.sni}, Host {call.host}", conn=conn_id)
    try:
        made = answer(call)
    except (Gone, Expired):
        call.log(None)
        raise
    return made is not None and send_answer(call, made)


def _serve_requests(sim, conn, conn_id):
    try:
        while _serve_one(sim, conn, conn_id):
            pass
    except BadRequest as e:
        sim.journal.violation("http", str(e), conn=conn_id)
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                     b"Connection: close\r\n\r\n")


def serve_connection(sim, conn, conn_id):
    """All that happens on one connection; never raises."""
    try:
        if sim.world_rtt:
            # One for the TCP handshake; the ClientHello, here by the end of it, is the second.
            conn.pause(2 * sim.world_rtt)
        _accept_faults(conn, sim.faults.take("accept"))
        _start_tls(sim, conn, conn_id)
        head = sim.faults.take("head", host=conn.sni)
        if "head-hang" in head:
            conn.hang()
        if not head:
            _serve_requests(sim, conn, conn_id)
        conn.close()
    except (Gone, Expired, Stopped) as e:
        sim.journal.add("end", conn=conn_id, why=str(e) or type(e).__name__)
    finally:
        conn.abandon()
