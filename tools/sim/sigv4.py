"""AWS Signature Version 4, the verifying side: header form and presigned form.

A signature is always recomputed from the request as it arrived, so the module needs the raw
path and query. Nothing here reads a clock: the caller passes the server's time.
"""

import calendar
import hashlib
import hmac
import re
import threading
import time
import urllib.parse

from .errors import AuthError

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
PRESIGN_FIELDS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders")
DEFAULT_EXPIRES = 300
MAX_EXPIRES = 7 * 24 * 3600
_STAMP = re.compile(r"\d{8}T\d{6}Z\Z")
_AUTH_PART = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*\Z")


def encode(text, safe=""):
    """RFC 3986 percent-encoding of text or bytes; the unreserved set stays literal."""
    return urllib.parse.quote(text, safe=safe + "-._~")


def parse_query(raw):
    """The raw query as a list of decoded (name, value) byte pairs; '+' is a literal plus."""
    pairs = []
    for field in raw.split("&"):
        if field:
            name, _, value = field.partition("=")
            pairs.append((urllib.parse.unquote_to_bytes(name),
                          urllib.parse.unquote_to_bytes(value)))
    return pairs


def canonical_query(pairs, without=()):
    """Encoded, sorted query, leaving out the names in `without`."""
    dropped = {name.encode() for name in without}
    coded = [(encode(n), encode(v)) for n, v in pairs if n not in dropped]
    return "&".join(f"{n}={v}" for n, v in sorted(coded))


def normalize_path(path):
    """Collapses '.', '..' and empty segments (RFC 3986 5.2.4, plus '//' as AWS does)."""
    out = []
    for segment in path.split("/"):
        if segment == "..":
            if out:
                out.pop()
        elif segment not in ("", "."):
            out.append(segment)
    tail = "/" if out and (path.endswith("/") or path.endswith(("/.", "/.."))) else ""
    return "/" + "/".join(out) + tail


def canonical_path(path, normalize=True):
    """The path encoded once more than it was on the wire (every service but S3)."""
    if normalize:
        path = normalize_path(path)
    return encode(path or "/", safe="/")


def collect_headers(headers):
    """Lower-cased name -> trimmed value; repeated headers are joined by a comma, in order."""
    joined = {}
    for name, value in headers:
        joined.setdefault(name.lower(), []).append(re.sub(r"[ \t\r\n]+", " ", value).strip())
    return {name: ",".join(values) for name, values in joined.items()}


def canonical_request(method, path, query, headers, signed, payload_hash):
    """All parts already canonical, except `headers` (collected) and `signed` (a name list)."""
    lines = "".join(f"{name}:{headers.get(name, '')}\n" for name in signed)
    return "\n".join([method, path, query, lines, ";".join(signed), payload_hash])


def string_to_sign(stamp, scope, canonical):
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return "\n".join([ALGORITHM, stamp, scope, digest])


def signature(secret, scope, to_sign):
    """`scope` is DATE/REGION/SERVICE/aws4_request; the key is derived part by part."""
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def stamp_of(seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def seconds_of(stamp):
    if not _STAMP.match(stamp):
        raise AuthError("incomplete", f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.")
    return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))


class Claim:
    """What a request says about its own signature; see parse_claim."""

    def __init__(self, presigned, credential, signed, given, stamp, expires, token):
        self.presigned = presigned
        self.signed = signed.split(";")
        self.given = given
        self.stamp = stamp
        self.expires = expires
        self.token = token
        self.access_key, _, self.scope = credential.partition("/")
        parts = self.scope.split("/")
        if len(parts) != 4 or parts[3] != "aws4_request":
            raise AuthError("incomplete", f"Credential '{credential}' is not a valid scope")
        self.date, self.region, self.service = parts[:3]


def _claim_from_header(headers):
    value = headers["authorization"]
    algorithm, _, rest = value.partition(" ")
    if algorithm != ALGORITHM:
        raise AuthError("incomplete", f"Unsupported authorization type '{algorithm}'")
    fields = {}
    for part in rest.split(","):
        match = _AUTH_PART.match(part)
        if not match:
            raise AuthError("incomplete", f"Authorization part '{part.strip()}' is not understood")
        fields[match.group(1)] = match.group(2)
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in fields:
            raise AuthError("incomplete",
                            f"Authorization header requires '{name}' parameter.")
    if "x-amz-date" not in headers:
        raise AuthError("incomplete", "Authorization header requires existence of 'X-Amz-Date'")
    return Claim(False, fields["Credential"], fields["SignedHeaders"], fields["Signature"],
                 headers["x-amz-date"], None, headers.get("x-amz-security-token"))


def _claim_from_query(fields):
    for name in PRESIGN_FIELDS:
        if name not in fields:
            raise AuthError("incomplete", f"AWS query-string parameters must include '{name}'.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise AuthError("incomplete", "X-Amz-Algorithm must be " + ALGORITHM)
    expires = fields.get("X-Amz-Expires", str(DEFAULT_EXPIRES))
    if not expires.isascii() or not expires.isdigit() or not 1 <= int(expires) <= MAX_EXPIRES:
        raise AuthError("incomplete", f"X-Amz-Expires '{expires}' is not between 1 and 604800")
    return Claim(True, fields["X-Amz-Credential"], fields["X-Amz-SignedHeaders"],
                 fields["X-Amz-Signature"], fields["X-Amz-Date"], int(expires),
                 fields.get("X-Amz-Security-Token"))


def parse_claim(headers, pairs):
    """Reads the signature claim from collected headers or, failing that, from the query."""
    if "authorization" in headers:
        return _claim_from_header(headers)
    fields = {}
    for name, value in pairs:
        fields.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    if "X-Amz-Signature" in fields:
        return _claim_from_query(fields)
    raise AuthError("missing", "Request is missing Authentication Token")


def _check_signed_set(claim, headers):
    """AWS wants host, content-type and every x-amz-* header of the request to be signed."""
    if claim.signed != sorted(claim.signed):
        raise AuthError("bad_signature", "SignedHeaders is not sorted")
    needed = [n for n in headers
              if n in ("host", "content-type") or n.startswith("x-amz-")]
    missing = [n for n in needed if n not in claim.signed]
    absent = [n for n in claim.signed if n not in headers]
    if claim.presigned:
        missing = [n for n in missing if n == "host"]
    if missing or absent:
        raise AuthError("unsigned_header", "There were headers present in the request which "
                        "were not signed: " + ", ".join(missing + absent))


def _check_window(claim, now, window):
    """Raises AuthError expired/future with the sentence AWS uses."""
    at = seconds_of(claim.stamp)
    if claim.date != claim.stamp[:8]:
        raise AuthError("bad_scope", f"Date in Credential scope does not match YYYYMMDD from "
                        f"ISO-8601 version of date from HTTP: '{claim.date}' != "
                        f"'{claim.stamp[:8]}', from '{claim.stamp}'.")
    span = claim.expires if claim.presigned else window
    limit = f"{span // 60} min." if span % 60 == 0 else f"{span} s."
    if now > at + span:
        raise AuthError("expired", f"Signature expired: {claim.stamp} is now earlier than "
                        f"{stamp_of(now - span)} ({stamp_of(now)} - {limit})")
    if at > now + window:
        raise AuthError("future", f"Signature not yet current: {claim.stamp} is still later than "
                        f"{stamp_of(now + window)} ({stamp_of(now)} + {window // 60} min.)")


def expected(claim, secret, request, normalize=True, unsigned_token=False):
    """(signature, canonical request, string to sign) for `request` as `claim` describes it.

    `request` needs: method, path, query (raw), headers (list of pairs), body (bytes).
    """
    headers = collect_headers(request.headers)
    without = ["X-Amz-Signature"]
    payload = EMPTY_SHA256
    if claim.presigned:
        if unsigned_token:
            without.append("X-Amz-Security-Token")
    else:
        payload = headers.get("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    if request.body and payload == EMPTY_SHA256:
        payload = hashlib.sha256(request.body).hexdigest()
    canonical = canonical_request(request.method, canonical_path(request.path, normalize),
                                  canonical_query(parse_query(request.query), without),
                                  headers, claim.signed, payload)
    to_sign = string_to_sign(claim.stamp, claim.scope, canonical)
    return signature(secret, claim.scope, to_sign), canonical, to_sign


class Identity:
    """The verified caller: one entry of the world's credentials."""

    def __init__(self, entry, claim):
        self.entry = entry
        self.access_key = claim.access_key
        self.region = claim.region
        self.service = claim.service
        self.arn = entry["arn"]
        self.user_id = entry["user_id"]


class Verifier:
    """Checks requests against a credentials table and remembers used presigned URLs.

    Two URLs signed for the same target in the same second are the same URL, so a second use
    counts as a replay only `grace()` seconds after the first.
    """

    def __init__(self, credentials, clock, grace=lambda: 0):
        self.credentials = credentials
        self.clock = clock
        self.grace = grace
        self.used = {}
        self.lock = threading.Lock()

    def verify(self, request, service, region, window, ahead=0):
        """Identity of the signer; raises AuthError. `region` None accepts any, `ahead` is by
        how much the clock of this service differs from that of the others."""
        headers = collect_headers(request.headers)
        claim = parse_claim(headers, parse_query(request.query))
        now = self.clock() + ahead
        _check_signed_set(claim, headers)
        entry = self._credential(claim)
        self._check_scope(claim, service, region)
        _check_window(claim, now, window)
        self._check_body_hash(request, headers)
        wanted, canonical, to_sign = expected(claim, entry["secret"], request)
        if not hmac.compare_digest(wanted.encode(), claim.given.encode("utf-8", "replace")):
            raise AuthError("bad_signature", "The request signature we calculated does not match "
                            "the signature you provided. Check your AWS Secret Access Key and "
                            "signing method. Consult the service documentation for details.\n\n"
                            f"The Canonical String for this request should have been\n'"
                            f"{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n")
        self._check_token(claim, entry, now)
        if claim.presigned:
            self._check_replay(claim, now)
        return Identity(entry, claim)

    def _credential(self, claim):
        entry = self.credentials.get(claim.access_key)
        if entry is None:
            raise AuthError("unknown_key", "The security token included in the request is invalid.")
        return entry

    @staticmethod
    def _check_scope(claim, service, region):
        if claim.service != service:
            raise AuthError("bad_scope", f"Credential should be scoped to correct service: "
                            f"'{service}'.")
        if region is not None and claim.region != region:
            raise AuthError("bad_scope", f"Credential should be scoped to a valid region, "
                            f"not '{claim.region}'.")

    @staticmethod
    def _check_body_hash(request, headers):
        given = headers.get("x-amz-content-sha256")
        if given and given != hashlib.sha256(request.body).hexdigest():
            raise AuthError("bad_signature", "The provided 'x-amz-content-sha256' header does "
                            "not match what was computed.")

    @staticmethod
    def _check_token(claim, entry, now):
        if (claim.token or None) != entry.get("token"):
            raise AuthError("bad_token", "The security token included in the request is invalid.")
        if entry.get("expires") is not None and now >= entry["expires"]:
            raise AuthError("expired_token",
                            "The security token included in the request is expired")

    def _check_replay(self, claim, now):
        with self.lock:
            first = self.used.setdefault(claim.given, now)
            if first != now and now - first > self.grace():
                raise AuthError("replay", "This presigned URL has been used before.")
