"""What gives keys inside AWS, over HTTP without TLS: instance metadata and container credentials.

A server of its own on 127.0.0.1, with state that tests change: `behaviour` (see below), the
`role`, the tokens. It keeps what it was asked in `seen`. IMDSv2 only: a request without a valid
session token is answered 401; the token comes of a PUT with a time to live and is refused when a
header shows that a proxy passed it on, as the real one does.
"""

import email.utils
import http.server
import json
import secrets
import threading
import time

ROLE = "web-role"


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def document(entry, lifetime=3600, **more):
    """The JSON that both services give for one credential of the world."""
    return {"AccessKeyId": entry["access_key"], "SecretAccessKey": entry["secret"],
            "Token": entry["token"] or "", "Expiration": iso(time.time() + lifetime), **more}


class Metadata(http.server.ThreadingHTTPServer):
    """start() and stop(), or a context manager. `behaviour` maps a path, or "", to what happens
    there: a status, a text, "hang"."""

    daemon_threads = True

    def __init__(self, credential, region, address="127.0.0.1"):
        super().__init__((address, 0), Handler)
        self.credential = credential
        self.region = region
        self.role = ROLE
        self.authorization = None
        self.behaviour = {}
        self.tokens = {}
        self.seen = []
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(timestamp, usegmt=True)

    def _answer(self, status, text, kind="text/plain"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _changed(self):
        """True when `behaviour` answered, or hung, in place of the service."""
        server = self.server
        server.seen.append((self.command, self.path, dict(self.headers)))
        what = server.behaviour.get(self.path, server.behaviour.get(""))
        if isinstance(what, list):
            what = what.pop(0) if what else None
        if what is None:
            return False
        if what == "hang":
            server.released.wait(30)
            self.close_connection = True
        elif isinstance(what, int):
            self._answer(what, f"status {what}\nsecond line\n")
        else:
            self._answer(200, what)
        return True

    def do_PUT(self):
        if self._changed():
            return
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not seconds.isdigit() or int(seconds) > 21600:
            self._answer(400, "Bad Request")
        elif self.headers.get("X-Forwarded-For"):
            self._answer(403, "Forbidden")
        else:
            token = secrets.token_urlsafe(40) + "=="
            self.server.tokens[token] = time.time() + int(seconds)
            self._answer(200, token)

    def do_GET(self):
        if self._changed():
            return
        if self.path.startswith("/latest/"):
            self._metadata(self.path[len("/latest/"):])
        else:
            self._container()

    def _metadata(self, path):
        server = self.server
        roles = "meta-data/iam/security-credentials/"
        if server.tokens.get(self.headers.get("X-aws-ec2-metadata-token"), 0) < time.time():
            self._answer(401, "Unauthorized")
        elif path == "meta-data/placement/region":
            self._answer(200, server.region)
        elif path == roles and server.role:
            self._answer(200, server.role)
        elif server.role and path == roles + server.role:
            self._answer(200, json.dumps(document(server.credential, Code="Success",
                                                  Type="AWS-HMAC", LastUpdated=iso(time.time()))))
        else:
            self._answer(404, "Not Found")

    def _container(self):
        server = self.server
        if server.authorization and self.headers.get("Authorization") != server.authorization:
            self._answer(401, json.dumps({"code": "AccessDenied", "message": "not this token"}),
                         "application/json")
        else:
            self._answer(200, json.dumps(document(server.credential, AccountId="123456789012",
                                                  RoleArn="arn:aws:iam::123456789012:role/task")),
                         "application/json")
