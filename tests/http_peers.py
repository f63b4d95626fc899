#!/usr/bin/python3
"""The HTTP client against Python's server, a hostile one, and tinyproxy.

    http_peers.py CLIENT

CLIENT is the program made of http_client.c.  Prints PASS, FAIL or SKIP lines.
"""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

READS = ("1", "7", "65536")


class Failure(Exception):
    pass


class Missing(Exception):
    """What the machine lacks."""


def expect(got, want):
    if got != want:
        raise Failure("got %r, expected %r" % (got, want))


def fnv(data):
    """The hash that the client prints."""
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) & 0xffffffffffffffff
    return "%016x" % value


def body_of(size):
    return bytes((i * 7 + size) & 0xff for i in range(size))


# --- an orderly server -------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    """/length/N, /chunked/N, /close/N, /status/CODE, /early/N, /headers/N"""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        _, kind, arg = self.path.split("/")
        getattr(self, "send_" + kind)(int(arg))

    do_HEAD = do_GET

    def head(self, status, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def body(self, data):
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_length(self, size):
        self.head(200, ("Content-Length", str(size)))
        self.body(body_of(size))

    def send_chunked(self, size):
        self.head(200, ("Transfer-Encoding", "chunked"))
        data = body_of(size)
        at = 0
        step = 1
        while at < size:
            part = data[at:at + step]
            self.body(b"%x;n=%d\r\n%s\r\n" % (len(part), step, part))
            at += step
            step = step * 3 % 4099 + 1
        self.body(b"0\r\nX-Trailer: yes\r\n\r\n")

    def send_close(self, size):
        self.close_connection = True
        self.head(200, ("X-Size", str(size)))
        self.body(body_of(size))

    def send_status(self, status):
        self.head(status)

    def send_early(self, size):
        self.send_response_only(103)
        self.send_header("Link", "</x>")
        self.end_headers()
        self.send_length(size)

    def send_headers(self, count):
        self.head(200, ("Content-Length", "0"),
                  *[("X-%d" % i, "v" * i) for i in range(count)])


class Orderly:
    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


# --- a hostile server --------------------------------------------------------

class Hostile:
    """Answers each connection with bytes of one's choice, then closes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.portions = []
        self.pause = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            peer, _ = self.listener.accept()
            try:
                self.answer(peer)
            except OSError:
                pass

    def answer(self, peer):
        with peer:
            peer.settimeout(20)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while b"\r\n\r\n" not in request:
                request += peer.recv(65536)
            for portion in self.portions:
                peer.sendall(portion)
                time.sleep(self.pause)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# bytes, the first words of what the client is to say
ANSWERS = [
    (b"", "0 error NET_RESET the peer closed the connection before the answer began"),
    (b"HTTP/1.1 2", "0 error NET_RESET"),
    (OK + b"Content-Le", "200 error NET_RESET"),
    (OK + b"Content-Length: 10\r\n\r\nhello", "200 error NET_RESET"),
    (OK + b"\r\nhello", "200 0 5 " + fnv(b"hello") + " close"),
    (OK + b"Content-Length: 5\r\n\r\nhello", "200 1 5 " + fnv(b"hello") + " keep"),
    (OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
     "200 1 5 " + fnv(b"hello") + " keep"),
    (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", "200 1 5 " + fnv(b"hello") + " keep"),
    (CHUNKED + b"5\r\nhello\r\n0\r\n", "200 error NET_RESET"),
    (CHUNKED + b"5\r\nhello\r\n", "200 error NET_RESET"),
    (CHUNKED + b"5\r\nhelloX\r\n", "200 error HTTP"),
    (CHUNKED + b"-5\r\nhello\r\n", "200 error HTTP"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, "0 error HTTP"),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n",
     "0 error HTTP bad HTTP answer: this is no status line: SSH-2.0-OpenSSH_9.2p1"),
    (b"<html>\n<head>\n", "0 error HTTP"),
    (bytes(range(256)) * 4, "0 error HTTP"),
    (b"x" * 70000, "0 error LIMIT"),
    (OK + b"A: b\r\n" * 200, "200 error LIMIT"),
    (OK + b"A: " + b"b" * 70000, "200 error LIMIT"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "0 error LIMIT"),
    (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     "200 error HTTP"),
]


class Peers:
    def __init__(self, client):
        self.client = client
        self.orderly = Orderly()
        self.hostile = Hostile()

    def run(self, port, read, line, *args):
        done = subprocess.run([self.client, str(port), read, line] + list(args),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
        lines = done.stdout.splitlines()
        if done.returncode != 0:
            raise Failure("client: %s" % " | ".join(lines))
        return lines

    # --- the orderly server ---

    def ask(self, *paths):
        """Status, body length, hash and fate of each answer."""
        for read in READS:
            lines = self.run(self.orderly.port, read, "1024", *paths)
            yield [line.split()[:1] + line.split()[2:] for line in lines]

    def test_keep_alive(self):
        """One connection, answers of every kind one after the other."""
        empty = fnv(b"")
        for got in self.ask("/length/0", "/length/5", "HEAD:/length/70", "/status/204",
                            "/status/304", "/chunked/0", "/chunked/1", "/early/3",
                            "/chunked/20000", "HEAD:/chunked/9", "/length/70000"):
            expect(got, [
                ["200", "0", empty, "keep"],
                ["200", "5", fnv(body_of(5)), "keep"],
                ["200", "0", empty, "keep"],
                ["204", "0", empty, "keep"],
                ["304", "0", empty, "keep"],
                ["200", "0", empty, "keep"],
                ["200", "1", fnv(body_of(1)), "keep"],
                ["200", "3", fnv(body_of(3)), "keep"],
                ["200", "20000", fnv(body_of(20000)), "keep"],
                ["200", "0", empty, "keep"],
                ["200", "70000", fnv(body_of(70000)), "keep"]])

    def test_until_close(self):
        for got in self.ask("/close/40000", "/length/1"):
            expect(got, [["200", "40000", fnv(body_of(40000)), "close"]])

    def test_server_error(self):
        for got in self.ask("POST:/length/1", "/length/1"):
            expect([got[0][0], got[0][-1], len(got)], ["501", "close", 1])

    def test_line_buffer(self):
        """What does not fit is skipped, what matters is found."""
        lines = self.run(self.orderly.port, "7", "64", "/headers/100")
        # Server, Date, Content-Length; "X-12: " and up to 58 bytes more
        expect(lines, ["200 %d 0 %s keep" % (3 + 59, fnv(b""))])

    # --- the hostile server ---

    def test_hostile(self):
        self.hostile.pause = 0
        for answer, want in ANSWERS:
            for read in READS:
                self.hostile.portions = [answer]
                self.check_first(read, want)

    def test_hostile_split(self):
        """Each short answer in two portions: very short ones cut at every byte."""
        self.hostile.pause = 0.001
        for answer, want in ANSWERS:
            step = 1 if len(answer) < 30 else 7
            for cut in range(1, len(answer) if len(answer) < 200 else 0, step):
                self.hostile.portions = [answer[:cut], answer[cut:]]
                self.check_first("65536", want)

    def test_hostile_slow(self):
        """One byte at a time, on the wire too."""
        self.hostile.pause = 0.001
        for answer, want in ANSWERS:
            if len(answer) < 200:
                self.hostile.portions = [answer[i:i + 1] for i in range(len(answer))]
                self.check_first("65536", want)

    def check_first(self, read, want):
        got = self.run(self.hostile.port, read, "256", "/")[0]
        if not got.startswith(want):
            raise Failure("%r is answered with %r, expected %r" % (
                b"".join(self.hostile.portions)[:80], got, want))

    # --- tinyproxy ---

    def proxied(self, proxy, target, *args):
        return self.run(proxy.port, "7", "1024", "connect=127.0.0.1:%d" % target, *args)

    def test_proxy(self):
        with Tinyproxy(self.orderly.port) as proxy:
            got = self.proxied(proxy, self.orderly.port, "/length/5", "/chunked/2000")
        expect([line.split()[0] for line in got], ["200", "200", "200"])
        expect(got[1].split()[2:], ["5", fnv(body_of(5)), "keep"])
        expect(got[2].split()[2:], ["2000", fnv(body_of(2000)), "keep"])

    def test_proxy_user(self):
        with Tinyproxy(self.orderly.port, "BasicAuth eice secret") as proxy:
            for user in ("eice:secret", "%65ice:secr%65t"):
                got = self.proxied(proxy, self.orderly.port, "user=" + user, "/length/5")
                expect([line.split()[0] for line in got], ["200", "200"])
            for user in ("eice:wrong", "eice", ""):
                got = self.proxied(proxy, self.orderly.port, "user=" + user, "/length/5")
                expect(len(got), 1)
                if got[0].split()[0] not in ("401", "407"):
                    raise Failure("%s: %s" % (user, got))

    def test_proxy_refuses(self):
        with Tinyproxy(443) as proxy:
            got = self.proxied(proxy, self.orderly.port, "/length/5")
        expect(len(got), 1)
        expect(got[0].split()[0], "403")

    def test_proxy_unreachable(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # not listening
            port = unused.getsockname()[1]
            with Tinyproxy(port) as proxy:
                got = self.proxied(proxy, port, "/length/5")
        expect(len(got), 1)
        if got[0].split()[0] not in ("500", "502", "503"):
            raise Failure("unreachable: %s" % got)


class Tinyproxy:
    """tinyproxy on a free port, which allows CONNECT to one port."""

    def __init__(self, allowed, *more):
        self.program = shutil.which("tinyproxy")
        self.directory = tempfile.mkdtemp(prefix="eice-proxy-")
        self.allowed = allowed
        self.more = more
        self.process = None
        self.port = None

    def configuration(self):
        path = os.path.join(self.directory, "tinyproxy.conf")
        lines = ["Port %d" % self.port, "Listen 127.0.0.1", "Timeout 20", "MaxClients 10",
                 "Allow 127.0.0.1", "LogLevel Error", "ConnectPort %d" % self.allowed]
        with open(path, "w") as out:
            out.write("\n".join(lines + list(self.more)) + "\n")
        return path

    def __enter__(self):
        if self.program is None:
            shutil.rmtree(self.directory)
            raise Missing("no tinyproxy")
        for _ in range(5):  # a free port may be taken before it is used
            self.start()
            if self.answers():
                return self
            self.stop()
        shutil.rmtree(self.directory)
        raise Failure("tinyproxy did not start")

    def start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [self.program, "-d", "-c", self.configuration()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(0.1)  # one that cannot bind has ended by now
                    return self.process.poll() is None
            time.sleep(0.02)
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __exit__(self, *args):
        self.stop()
        shutil.rmtree(self.directory)


def main():
    failed = 0
    tests = sorted(name for name in dir(Peers) if name.startswith("test_"))
    peers = Peers(sys.argv[1])
    for name in tests:
        label = "http_peers_" + name[len("test_"):]
        try:
            getattr(peers, name)()
            print("PASS " + label, flush=True)
        except Missing as what:
            print("SKIP %s: %s" % (label, what), flush=True)
        except (Failure, OSError, subprocess.SubprocessError) as problem:
            failed += 1
            print("FAIL %s: %s" % (label, str(problem)[:600]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
