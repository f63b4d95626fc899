"""An OpenID Connect issuer, and how STS checks its tokens.

Its keys are RSA and P-256, made and used by the openssl program; tokens are JWTs (RFC 7515) signed
RS256 or ES256 (RFC 7518 3.3, 3.4). STS accepts one only for a role that trusts the issuer, with
its signature, its audience, its subject and its times right.
"""

import base64
import fnmatch
import json
import os
import subprocess
import threading

from .errors import ApiError, SetupError

ISSUER = "https://issuer.example"
AUDIENCE = "sts.amazonaws.com"
SUBJECT = "repo:example/*"


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _raw(der):
    """The two numbers of an ECDSA signature in DER, 32 bytes each: as JWS has them."""
    out, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


def _der(raw):
    """The reverse."""
    numbers = b""
    for part in (raw[:32], raw[32:]):
        part = part.lstrip(b"\0") or b"\0"
        part = b"\0" + part if part[0] & 0x80 else part
        numbers += bytes([2, len(part)]) + part
    return bytes([0x30, len(numbers)]) + numbers


# algorithm: name of the key, how openssl makes it, the signature as openssl wants it
KEYS = {
    "RS256": ("1", ["-algorithm", "RSA"], lambda signature: signature),
    "ES256": ("es1", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
              lambda signature: _der(signature) if len(signature) == 64 else b""),
}


def _invalid(text):
    return ApiError("InvalidIdentityToken", text, 400)


class Issuer:
    """Signs tokens and verifies them. The key is made when it is first needed."""

    def __init__(self, folder, clock):
        self.folder = os.path.join(folder, "oidc")
        self.clock = clock
        self.lock = threading.Lock()

    def _openssl(self, *args, data=None):
        done = subprocess.run(["openssl", *args], cwd=self.folder, input=data,
                              capture_output=True, check=False)
        return done.returncode, done.stdout

    def _keys(self):
        with self.lock:
            if os.path.isdir(self.folder):
                return
            os.makedirs(self.folder, mode=0o700)
            for name, how, _ in KEYS.values():
                for args in (["genpkey", *how, "-out", "key" + name],
                             ["pkey", "-in", "key" + name, "-pubout", "-out", "pub" + name]):
                    if self._openssl(*args)[0] != 0:
                        raise SetupError("openssl cannot make a key")

    def token(self, kid=None, alg="RS256", **claims):
        """A JWT; claims may be replaced, or left out with None."""
        self._keys()
        now = int(self.clock())
        all_ = {"iss": ISSUER, "aud": AUDIENCE, "sub": "repo:example/app:ref:main",
                "iat": now, "exp": now + 300, **claims}
        name = KEYS[alg][0]
        head = _encode(json.dumps({"alg": alg, "typ": "JWT", "kid": kid or name}).encode())
        body = _encode(json.dumps({k: v for k, v in all_.items() if v is not None}).encode())
        signature = self._openssl("dgst", "-sha256", "-sign", "key" + name,
                                  data=f"{head}.{body}".encode())[1]
        return f"{head}.{body}.{_encode(_raw(signature) if alg == 'ES256' else signature)}"

    def _verified(self, alg, signed, signature):
        """Is it the signature of these bytes, by the key for this algorithm?"""
        name, _, wanted = KEYS[alg]
        with self.lock:
            with open(os.path.join(self.folder, "signature"), "wb") as f:
                f.write(wanted(signature))
            return self._openssl("dgst", "-sha256", "-verify", "pub" + name, "-signature",
                                 "signature", data=signed.encode())[0] == 0

    def _claims(self, token):
        """The claims of a token whose signature is right."""
        self._keys()
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
            signature = _decode(signature)
        except (ValueError, UnicodeError) as e:
            raise _invalid("The ID Token provided is not a valid JWT.") from e
        alg = header.get("alg")
        if alg not in KEYS or header.get("kid") != KEYS[alg][0] \
                or not self._verified(alg, f"{head}.{body}", signature):
            raise _invalid("Couldn't verify the signature of the ID Token.")
        return claims

    def check(self, token, role):
        """The subject, or ApiError as STS says it."""
        claims = self._claims(token)
        if claims.get("iss") != ISSUER:
            raise _invalid("No OpenIDConnect provider found in your account for "
                           f"{claims.get('iss')}")
        if claims.get("aud") != AUDIENCE:
            raise _invalid("Incorrect token audience")
        if claims.get("exp", 0) <= self.clock():
            raise ApiError("ExpiredTokenException", "Token expired: current date/time must be "
                           "before the expiration date/time", 400)
        if not role.endswith(":role/Web") or not fnmatch.fnmatchcase(claims.get("sub", ""),
                                                                     SUBJECT):
            raise ApiError("AccessDenied", "Not authorized to perform "
                           "sts:AssumeRoleWithWebIdentity", 403)
        return claims["sub"]
