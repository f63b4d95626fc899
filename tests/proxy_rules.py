#!/usr/bin/python3
"""Which proxy, if any: eice, curl and Python get the same variables, and must go the same way.

usage: proxy_rules.py [--eice PROGRAM] [SEED [COUNT]]

Three listeners stand for two proxies and for where a direct connection ends; whoever is asked
first tells the way that was chosen. Where curl and Python differ, ours goes directly if one of
them does; what is otherwise on purpose is a row of DIFFERENCES, with its reason. One line a test:
PASS, FAIL or SKIP.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = "/usr/local/bin:/usr/bin:/bin"
NAMES = ["ec2.eu-west-1.amazonaws.com", "a.b.example.com", "example.com", "lab.example"]
ADDRESSES = ["10.20.1.23", "192.168.7.255", "[2001:db8::5]"]
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listener:
    """Takes connections on 127.0.0.1, notes that it did, refuses what is asked."""

    def __init__(self, name, seen):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.socket.getsockname()[1]
        self.name = name
        self.seen = seen
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            peer, _ = self.socket.accept()
            self.seen.append(self.name)
            with peer:
                peer.settimeout(5)
                try:
                    peer.recv(65536)
                    peer.sendall(REFUSAL)
                except OSError:
                    pass


class Ways:
    """The three sides."""

    def __init__(self, eice):
        self.eice = eice
        self.seen = []
        self.direct, self.one, self.two = (Listener(n, self.seen) for n in
                                           ("direct", "one", "two"))

    def _run(self, argv, env):
        self.seen.clear()
        done = subprocess.run(argv, env={"PATH": PATH, "HOME": "/nonexistent", **env},
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30,
                              check=False)
        if not self.seen:
            return f"nowhere ({done.stderr.decode('utf-8', 'replace').strip()[-200:]})"
        return self.seen[0]

    def ours(self, url, env):
        return self._run([self.eice, "whoami"], {
            "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": url, "AWS_MAX_ATTEMPTS": "1",
            "EICE_CONNECT_TO": f"::127.0.0.1:{self.direct.port}", **env})

    def curl(self, url, env):
        return self._run(["curl", "-s", "-o", os.devnull, "--max-time", "10", "--connect-to",
                          f"::127.0.0.1:{self.direct.port}", url], env)

    def python(self, url, env):
        """What urllib decides, and so botocore. It is told what it does not know: the usual port
        of a scheme, and that blanks separate."""
        saved = dict(os.environ)
        os.environ.clear()
        os.environ.update({name: re.sub("[, ]+", ",", value) for name, value in env.items()})
        try:
            proxies = urllib.request.getproxies_environment()
            parts = urllib.parse.urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
            where = f"{parts.netloc.removesuffix(f':{port}')}:{port}"
            if urllib.request.proxy_bypass_environment(where, proxies):
                return "direct"
            proxy = proxies.get(parts.scheme, "")
        finally:
            os.environ.clear()
            os.environ.update(saved)
        return {"": "direct", str(self.one.port): "one", str(self.two.port): "two"}[
            proxy.rpartition(":")[2]]


# --- what a connection goes to, and lists that may fit it -------------------------------------


def entries(rng, host, port):
    """Entries that fit, nearly fit, and do not."""
    bare = host.strip("[]")
    if host in ADDRESSES[:2]:
        net = ".".join(bare.split(".")[:2])
        return rng.choice([bare, f"{net}.0.0/16", f"{net}.0.0/15", f"{net}.128.0/17", "10.0.0.0/8",
                           bare[:-1], f"{bare}/32", f"{net}.0.0/33"])
    if host.startswith("["):
        return rng.choice([bare, host, "2001:db9::/32", "2001:db8::6"])
    tail = bare.partition(".")[2]
    return rng.choice([bare, tail, "." + tail, "." + bare, bare.upper(), bare[1:], tail[1:],
                       "x" + bare, "x." + bare, f"{bare}:{port}", f"{bare}:{port + 1}",
                       f"{tail}:{port}", "10.0.0.0/8", "com", "localhost"])


def made(rng):
    """(URL, list for no_proxy)"""
    host = rng.choice(NAMES * 2 + ADDRESSES)
    scheme = "http" if host in ADDRESSES else rng.choice(["http", "https"])
    port = rng.choice([8080, 80 if scheme == "http" else 443])
    usual = port in (80, 443)
    items = [entries(rng, host, port) for _ in range(rng.choice([1, 1, 2, 3]))]
    text = rng.choice([",", ",", ", ", " "]).join(items)
    return f"{scheme}://{host}{'' if usual else f':{port}'}/", text


def either(curl, python):
    return "direct" if "direct" in (curl, python) else curl


def no_proxy_lists(ways, rng, count):
    wrong = []
    proxy = f"http://127.0.0.1:{ways.one.port}"
    taken = {"direct": 0, "one": 0}
    for _ in range(count):
        url, text = made(rng)
        env = {"http_proxy": proxy, "https_proxy": proxy,
               rng.choice(["no_proxy", "NO_PROXY"]): text}
        sides = [side(url, env) for side in (ways.ours, ways.curl, ways.python)]
        if sides[0] != either(*sides[1:]):
            wrong.append(f"{text!r} and {url}: ours {sides[0]}, curl {sides[1]}, "
                         f"Python {sides[2]}")
        taken[sides[0]] = taken.get(sides[0], 0) + 1
    if min(taken.values()) < count // 5:
        wrong.append(f"the lists are not worth much: {taken}")
    return wrong


def variables(ways, rng, count):
    """Spellings of one variable, and ALL_PROXY behind all of them; never an empty one."""
    wrong = []
    for _ in range(count):
        env = {}
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            if rng.random() < 0.35:
                env[name] = f"{rng.choice(['http://', ''])}127.0.0.1:" + str(
                    rng.choice([ways.one, ways.two]).port)
        url = rng.choice(["http", "https"]) + "://lab.example/"
        ours, curl = ways.ours(url, env), ways.curl(url, env)
        if ours != curl:
            wrong.append(f"{url} with {env}: ours {ours}, curl {curl}")
        if not {"all_proxy", "ALL_PROXY"} & set(env) and ways.python(url, env) != ours:
            wrong.append(f"{url} with {env}: ours {ours}, Python {ways.python(url, env)}")
    return wrong


# name, why ours is so, URL, variables (P: the first proxy), ours, curl, Python
DIFFERENCES = [
    ("loopback", "keys are not sent to another machine; the services of AWS SDKs are there",
     "http://127.0.0.1:8080/", {"http_proxy": "P"}, "direct", "one", "one"),
    ("localhost", "as loopback", "http://localhost:8080/", {"http_proxy": "P"}, "direct", "one",
     "one"),
    ("link-local", "instance metadata and container credentials are of this machine",
     "http://169.254.170.2/", {"http_proxy": "P"}, "direct", "one", "one"),
    ("EC2's link-local services over IPv6", "as link-local", "http://[fd00:ec2::254]/",
     {"http_proxy": "P"}, "direct", "one", "one"),
    ("a block of IPv6", "newer releases of curl read it", "http://[2001:db8::5]/",
     {"http_proxy": "P", "no_proxy": "2001:db8::/32"}, "direct", None, "one"),
    ("the end of an address", "an address has no domain", "http://192.168.7.255/",
     {"http_proxy": "P", "no_proxy": "168.7.255"}, "one", "one", "direct"),
    ("a block of all addresses", "a block as the others; curl does not take it for one",
     "http://192.168.7.255/", {"http_proxy": "P", "no_proxy": "0.0.0.0/0"}, "direct", None, "one"),
    ("a wildcard in front", "Go's rule; curl and Python know '*' alone only",
     "http://a.example.com/", {"http_proxy": "P", "no_proxy": "*.example.com"}, "direct", "one",
     "one"),
    ("'*' in a list", "it can mean nothing else", "http://a.example.com/",
     {"http_proxy": "P", "no_proxy": "x.test,*"}, "direct", "one", "one"),
    ("lower case, empty", "Python's rule: it switches the other spelling off",
     "https://lab.example/", {"https_proxy": "", "HTTPS_PROXY": "P"}, "direct", "one", "direct"),
    ("upper-case HTTP_PROXY", "Python's rule; curl never takes it",
     "http://lab.example/", {"HTTP_PROXY": "P"}, "one", "direct", "one"),
    ("upper-case HTTP_PROXY of a CGI program", "a client would choose it: CVE-2016-5385",
     "http://lab.example/", {"HTTP_PROXY": "P", "REQUEST_METHOD": "GET"}, "direct", "direct",
     "direct"),
    ("'*' alone", "", "https://lab.example/", {"https_proxy": "P", "no_proxy": "*"}, "direct",
     "direct", "direct"),
]


def difference(ways, url, given, wanted):
    env = {name: value.replace("P", f"http://127.0.0.1:{ways.one.port}")
           for name, value in given.items()}
    got = [side(url, env) for side in (ways.ours, ways.curl, ways.python)]
    return [f"{side} {one}, not {two}" for side, one, two in
            zip(("ours", "curl", "Python"), got, wanted) if two not in (one, None)]


def report(name, wrong):
    print(f"FAIL {name}: {'; '.join(wrong[:3])} ({len(wrong)} in all)" if wrong
          else f"PASS {name}", flush=True)
    return bool(wrong)


def main():
    words = sys.argv[1:]
    eice = os.path.join(ROOT, "build/eice")
    if words[:1] == ["--eice"]:
        eice, words = words[1], words[2:]
    seed = int(words[0]) if words else 20261125
    count = int(words[1]) if len(words) > 1 else 60
    if shutil.which("curl", path=PATH) is None:
        print("SKIP proxies, as curl and Python choose them: curl is not installed")
        return 0
    ways = Ways(eice)
    rng = random.Random(seed)
    failed = report(f"proxies: {count} lists of no_proxy, as curl or Python read them",
                    no_proxy_lists(ways, rng, count))
    failed |= report(f"proxies: {count // 2} choices of variables, as curl reads them",
                     variables(ways, rng, count // 2))
    for name, why, url, given, *wanted in DIFFERENCES:
        failed |= report(f"proxies: {name}{f' ({why})' if why else ''}",
                         difference(ways, url, given, wanted))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
