#!/usr/bin/python3
"""Signs random requests with botocore and with us: the answers must agree.

usage: sigv4_botocore.py SIGNER [SEED [COUNT]]

SIGNER is the program built from test_sigv4.c.
"""

import hashlib
import json
import random
import subprocess
import sys
import time
import types
from datetime import datetime, timezone
from urllib.parse import quote_from_bytes

TEST = "sigv4: random requests, botocore agrees"

try:
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print(f"SKIP {TEST}: python3-botocore is not installed")
    sys.exit(0)

# What a path may hold apart from letters: not '?' and '#', which end it, nor
# what urllib drops from a URL.
PATH_BYTES = ["/", "//", ".", "..", "/./", "/../", " ", "%20", "%2F", "%", "~", "+", "&", "=",
              "é", "ሴ", "(", "'", '"', "*", ":", ";", "@", "$", ",", "!", "<", "^", "|",
              "%c3%a9"]
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
REGIONS = ["us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7"]
SERVICES = ["ec2", "ec2-instance-connect", "sts", "service", "execute-api"]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]


class FrozenClock:
    """Stands in for the module datetime and for its class."""

    def __init__(self):
        self.now = None

    def utcnow(self):
        return self.now.replace(tzinfo=None)


def freeze_botocore():
    clock = FrozenClock()
    botocore.auth.datetime = types.SimpleNamespace(datetime=clock)
    if hasattr(botocore.auth, "get_current_datetime"):
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: clock.utcnow()
    return clock


def word(rng, low, high, alphabet=ALNUM):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(low, high)))


def random_path(rng):
    parts = ["/"]
    for _ in range(rng.randint(0, 10)):
        parts.append(rng.choice(PATH_BYTES) if rng.random() < 0.6 else word(rng, 1, 6))
    return "".join(parts)


def random_text(rng, any_bytes):
    """Bytes; valid UTF-8 unless any_bytes."""
    if any_bytes and rng.random() < 0.3:
        return rng.randbytes(rng.randint(0, 12))
    length = rng.randint(0, 12)
    letters = ALNUM + " /+=&%-._~:*'\"éሴ😀\n\t"
    return "".join(rng.choice(letters) for _ in range(length)).encode()


def random_query(rng, presign):
    """When it presigns, botocore keeps the first of equal names and reads all as UTF-8."""
    pairs = [(random_text(rng, not presign), random_text(rng, not presign))
             for _ in range(rng.randint(0, 9))]
    if presign:
        return list({name: value for name, value in pairs}.items())
    if pairs and rng.random() < 0.5:
        pairs.append((pairs[0][0], random_text(rng, True)))
    return pairs


def random_headers(rng):
    headers = [("Host", word(rng, 1, 8).lower() + ".amazonaws.com")]
    for _ in range(rng.randint(0, 6)):
        name = rng.choice(["X-Amz-Target", "Content-Type", "x-custom-" + word(rng, 1, 3),
                           "X-Custom-" + word(rng, 1, 2), "Accept"])
        value = word(rng, 0, 30, ALNUM + '     \t"/;=,.')
        headers.append((name, value))
    return headers


def random_request(rng):
    presign = rng.random() < 0.5
    return {
        "method": rng.choice(METHODS),
        "path": random_path(rng),
        "query": random_query(rng, presign),
        "headers": random_headers(rng),
        # botocore moves the body of a presigned request into its query.
        "body": b"" if presign or rng.random() < 0.3 else rng.randbytes(rng.randint(0, 300)),
        "region": rng.choice(REGIONS),
        "service": rng.choice(SERVICES),
        "key": word(rng, 16, 24).upper(),
        "secret": word(rng, 1, 90, ALNUM + "/+="),
        "token": word(rng, 1, rng.choice([20, 1500]), ALNUM + "/+=") if rng.random() < 0.5 else "",
        "sign_body": not presign and rng.random() < 0.3,
        "unix": rng.randint(0, 4102444800),
        "expires": rng.randint(1, 604800) if presign else 0,
    }


def url_of(request):
    host = request["headers"][0][1]
    pairs = [f"{quote_from_bytes(name, safe='-._~')}={quote_from_bytes(value, safe='-._~')}"
             for name, value in request["query"]]
    return "https://" + host + request["path"] + ("?" + "&".join(pairs) if pairs else "")


def sign_botocore(clock, request, body_hash):
    clock.now = datetime.fromtimestamp(request["unix"], timezone.utc)
    keys = Credentials(request["key"], request["secret"], request["token"] or None)
    theirs = AWSRequest(method=request["method"], url=url_of(request), data=request["body"])
    for name, value in request["headers"]:
        theirs.headers[name] = value
    if request["sign_body"]:
        theirs.headers["X-Amz-Content-SHA256"] = body_hash
    if request["expires"]:
        signer = botocore.auth.SigV4QueryAuth(keys, request["service"], request["region"],
                                              request["expires"])
        signer.add_auth(theirs)
        return theirs.url.partition("?")[2]
    botocore.auth.SigV4Auth(keys, request["service"], request["region"]).add_auth(theirs)
    return theirs.headers["Authorization"]


def line_of(request):
    """The request as test_sigv4 --sign reads it."""
    def code(text):
        return (text if isinstance(text, bytes) else text.encode()).hex()

    out = {name: code(request[name]) for name in
           ("method", "path", "body", "region", "service", "key", "secret", "token")}
    for name in ("query", "headers"):
        out[name] = [[code(first), code(second)] for first, second in request[name]]
    out["sign_body"] = request["sign_body"]
    out["expires"] = request["expires"]
    out["time"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(request["unix"]))
    return json.dumps(out)


def sign_ours(program, requests):
    text = "".join(line_of(request) + "\n" for request in requests)
    done = subprocess.run([program, "--sign"], input=text, capture_output=True, text=True,
                          check=True, timeout=60)
    return done.stdout.splitlines()


def differing(clock, requests, ours):
    """Indexes and both answers of the requests on which the two disagree."""
    if len(ours) != len(requests):
        yield 0, f"{len(requests)} answers", f"{len(ours)} answers"
        return
    for index, (request, answer) in enumerate(zip(requests, ours)):
        body_hash = hashlib.sha256(request["body"]).hexdigest()
        theirs = sign_botocore(clock, request, body_hash)
        # Of a presigned target what is behind the path.
        mine = answer.partition("?")[2] if request["expires"] else answer
        if mine != theirs:
            yield index, theirs, mine


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20260115
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    rng = random.Random(seed)
    clock = freeze_botocore()
    requests = [random_request(rng) for _ in range(count)]
    ours = sign_ours(sys.argv[1], requests)
    presigned = sum(1 for request in requests if request["expires"])
    print(f"# seed {seed}: {count} requests, {presigned} of them presigned")
    bad = list(differing(clock, requests, ours))
    for index, theirs, mine in bad[:5]:
        print(f"# request {index}: {line_of(requests[index])}")
        print(f"# botocore {theirs}\n# ours     {mine}")
    print(f"FAIL {TEST}: {len(bad)} differ" if bad else f"PASS {TEST}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
