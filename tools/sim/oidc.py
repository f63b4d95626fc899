"""An OpenID Connect issuer, and how STS checks its tokens.

The key is RSA, made and used by the openssl program; tokens are JWTs signed RS256 (RFC 7515,
RFC 7518 3.3). STS accepts one only for a role that trusts the issuer, with its signature, its
audience, its subject and its times right.
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

    def _key(self):
        with self.lock:
            if os.path.isdir(self.folder):
                return
            os.makedirs(self.folder, mode=0o700)
            for args in (["genpkey", "-algorithm", "RSA", "-out", "key"],
                         ["pkey", "-in", "key", "-pubout", "-out", "pub"]):
                if self._openssl(*args)[0] != 0:
                    raise SetupError("openssl cannot make a key")

    def token(self, kid="1", **claims):
        """A JWT; claims may be replaced, or left out with None."""
        self._key()
        now = int(self.clock())
        all_ = {"iss": ISSUER, "aud": AUDIENCE, "sub": "repo:example/app:ref:main",
                "iat": now, "exp": now + 300, **claims}
        head = _encode(json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode())
        body = _encode(json.dumps({k: v for k, v in all_.items() if v is not None}).encode())
        signature = self._openssl("dgst", "-sha256", "-sign", "key",
                                  data=f"{head}.{body}".encode())[1]
        return f"{head}.{body}.{_encode(signature)}"

    def _claims(self, token):
        """The claims of a token whose signature is right."""
        self._key()
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
            with self.lock:
                path = os.path.join(self.folder, "signature")
                with open(path, "wb") as f:
                    f.write(_decode(signature))
                status, _ = self._openssl("dgst", "-sha256", "-verify", "pub", "-signature",
                                          "signature", data=f"{head}.{body}".encode())
        except (ValueError, UnicodeError) as e:
            raise _invalid("The ID Token provided is not a valid JWT.") from e
        if header.get("alg") != "RS256" or header.get("kid") != "1" or status != 0:
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
