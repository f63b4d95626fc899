#!/usr/bin/python3
"""The stub resolver against dnsmasq, and against servers that misbehave.

    dns_peers.py LOOKUP

LOOKUP is the program made of dns_lookup.c.  Every server listens on a free
port of 127.0.0.1.  Prints PASS, FAIL or SKIP lines.
"""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

A, CNAME, AAAA = 1, 5, 28
NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5
V4 = socket.inet_aton("10.0.0.1")
V6 = socket.inet_pton(socket.AF_INET6, "fd00::1")


class Failure(Exception):
    pass


# --- messages ---------------------------------------------------------------

def encode(name):
    labels = [part.encode() for part in name.split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


class Question:
    def __init__(self, data):
        self.id, self.flags, self.count = struct.unpack(">HHH", data[:6])
        at = 12
        labels = []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += data[at] + 1
        self.name = ".".join(labels)
        self.type, self.cls = struct.unpack(">HH", data[at + 1:at + 5])
        self.raw = data[12:at + 5]
        if self.count != 1 or self.cls != 1 or len(data) != at + 5 or self.flags != 0x0100:
            raise Failure("odd question: %r" % data)


def record(owner, kind, data):
    name = b"\xc0\x0c" if owner == "@" else encode(owner)
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def address(q):
    return record("@", q.type, V4 if q.type == A else V6)


def answer(q, *records, rcode=0, tc=False, ident=None):
    flags = 0x8180 | rcode | (0x0200 if tc else 0)
    head = struct.pack(">HHHHHH", q.id if ident is None else ident, flags, 1, len(records), 0, 0)
    return head + q.raw + b"".join(records)


# --- a server in Python -----------------------------------------------------

class Server:
    """Calls udp(server, question, peer) and tcp(connection, question)."""

    def __init__(self, udp, tcp=None):
        self.udp_action, self.tcp_action = udp, tcp
        self.questions = []
        self.ports = []
        self.held = []
        self.ahead = False
        while True:
            self.tcp = socket.socket()
            self.tcp.bind(("127.0.0.1", 0))
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        if tcp is not None:
            self.tcp.listen(8)
            self.start(self.serve_tcp)
        self.start(self.serve_udp)

    def start(self, target, *args):
        threading.Thread(target=target, args=args, daemon=True).start()

    def serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            q = Question(data)
            self.questions.append((q.name, q.type))
            self.ports.append((peer[1], q.id))
            self.udp_action(self, q, peer)

    def serve_tcp(self):
        while True:
            try:
                peer, _ = self.tcp.accept()
            except OSError:
                return
            self.start(self.one_connection, peer)

    def one_connection(self, peer):
        with peer:
            try:
                size = struct.unpack(">H", peer.recv(2, socket.MSG_WAITALL))[0]
                q = Question(peer.recv(size, socket.MSG_WAITALL))
                self.questions.append((q.name, q.type, "tcp"))
                self.tcp_action(peer, q)
            except OSError:
                pass

    def reply(self, data, peer):
        self.udp.sendto(data, peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.udp.close()
        self.tcp.close()


def proper(server, q, peer):
    """AAAA, then A: a late AAAA is not waited for, and this machine may be busy.

    Behind a server that failed over TCP the questions come in any order."""
    if q.type == A and not server.ahead:
        server.held.append((answer(q, address(q)), peer))
        return
    server.reply(answer(q, address(q)), peer)
    server.ahead = q.type != A and not server.held
    while server.held:
        server.reply(*server.held.pop())


def silent(_server, _q, _peer):
    pass


def failing(code):
    return lambda server, q, peer: server.reply(answer(q, rcode=code), peer)


def garbage(server, q, peer):
    for data in (b"", b"\0", b"garbage", os.urandom(600), answer(q)[:20], b"\xff" * 1400):
        server.reply(data, peer)


def wrong_id(server, q, peer):
    forged = record("@", q.type, b"\6" * (4 if q.type == A else 16))
    for offset in (1, 255, 256, 32768):
        server.reply(answer(q, forged, ident=(q.id + offset) & 0xffff), peer)


def truncated(server, q, peer):
    server.reply(answer(q, tc=True), peer)


# --- the client -------------------------------------------------------------

class Lookup:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.ms = 0
        self.messages = 0

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def __call__(self, name, *servers, options="", hosts=""):
        text = "nameserver 127.0.0.1\n" * len(servers) + options + "\n"
        ports = [str(s if isinstance(s, int) else s.port) for s in servers]
        done = subprocess.run([self.program, self.file("resolv.conf", text),
                               self.file("hosts", hosts), name] + ports,
                              stdout=subprocess.PIPE, text=True, timeout=60)
        lines = done.stdout.splitlines()
        found = re.match(r"ms (\d+) messages (\d+)$", lines[-1])
        if found:
            self.ms, self.messages = int(found.group(1)), int(found.group(2))
        return lines[0]

    def expect(self, want, name, *servers, **more):
        got = self(name, *servers, **more)
        if not re.fullmatch(want, got):
            raise Failure("%s: %s, expected %s" % (name, got, want))

    def took(self, low, high):
        if not low <= self.ms <= high:
            raise Failure("took %d ms, expected %d to %d" % (self.ms, low, high))


BOTH = r"ok fd00::1 10\.0\.0\.1"
FAST = "options timeout:1 attempts:1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- hostile servers --------------------------------------------------------

def plain(look):
    with Server(proper) as s:
        look.expect(BOTH, "x.example", s)
        look.took(0, 900)
        if sorted(s.questions) != [("x.example", A), ("x.example", AAAA)]:
            raise Failure("asked %r" % s.questions)


def ids_and_ports(look):
    with Server(proper) as s:
        for _ in range(8):
            look.expect(BOTH, "x.example", s)
        if len({i for _, i in s.ports}) < 15:
            raise Failure("ids repeat: %r" % s.ports)
        if len({p for p, _ in s.ports}) < 8:
            raise Failure("ports repeat: %r" % s.ports)


def silent_first(look):
    with Server(silent) as bad, Server(proper) as good:
        look.expect(BOTH, "x.example", bad, good, options="options timeout:1")
        look.took(1000, 1900)


def all_silent(look):
    with Server(silent) as one, Server(silent) as two:
        look.expect(r"error DNS_TIMEOUT x\.example: no answer from 127\.0\.0\.1 port %d, "
                    r"127\.0\.0\.1 port %d in 4\d\d\d ms" % (one.port, two.port),
                    "x.example", one, two, options="options timeout:1 attempts:2")
        look.took(4000, 4900)
        if len(one.questions) != 4 or len(two.questions) != 4:
            raise Failure("%d and %d questions" % (len(one.questions), len(two.questions)))


def nobody_there(look):
    port = free_port()
    look.expect(r"error DNS_FAILED x\.example: cannot reach 127\.0\.0\.1 port %d" % port,
                "x.example", port)
    look.took(0, 900)
    with Server(proper) as good:
        look.expect(BOTH, "x.example", port, good)
        look.took(0, 900)


def bad_then_good(action, text):
    def case(look):
        with Server(action) as bad, Server(proper) as good:
            look.expect(BOTH, "x.example", bad, good)
            look.took(0, 900)
            look.expect(r"error DNS_FAILED x\.example: .*" + text, "x.example", bad)
    return case


def dropped(action):
    """What is not an answer to the question is as good as silence."""
    def case(look):
        with Server(action) as bad, Server(proper) as good:
            look.expect(BOTH, "x.example", bad, good, options="options timeout:1")
            look.took(1000, 1900)
            look.expect("error DNS_TIMEOUT .*", "x.example", bad, options=FAST)
    return case


def forged_then_true(look):
    """Answers with wrong ids come first: the true one still counts."""
    def action(server, q, peer):
        wrong_id(server, q, peer)
        proper(server, q, peer)
    with Server(action) as s:
        look.expect(BOTH, "x.example", s)
        look.took(0, 900)


def forged_from_another_port(look):
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))

    def action(server, q, peer):
        forged = record("@", q.type, b"\6" * (4 if q.type == A else 16))
        other.sendto(answer(q, forged), peer)
        time.sleep(0.02)
        proper(server, q, peer)
    with other, Server(action) as s:
        look.expect(BOTH, "x.example", s)


def another_question(look):
    def action(server, q, peer):
        stray = Question(b"\0\0\1\0\0\1\0\0\0\0\0\0" + encode("y.example")
                         + struct.pack(">HH", q.type, 1))
        stray.id = q.id
        server.reply(answer(stray, address(q)), peer)
    dropped(action)(look)


def twice(look):
    def action(server, q, peer):
        proper(server, q, peer)
        proper(server, q, peer)
    with Server(action) as s:
        look.expect(BOTH, "x.example", s)


def only(family):
    def action(server, q, peer):
        server.reply(answer(q, *([address(q)] if q.type == family else [])), peer)
    return action


def one_family(look):
    with Server(only(A)) as s:
        look.expect(r"ok 10\.0\.0\.1", "x.example", s)
    with Server(only(AAAA)) as s:
        look.expect(r"ok fd00::1", "x.example", s)
    with Server(only(0)) as s:
        look.expect(r"error NAME_NOT_FOUND x\.example: the name has no address .*",
                    "x.example", s)


def no_aaaa_answer(look):
    def action(server, q, peer):
        if q.type == A:
            server.reply(answer(q, address(q)), peer)
    with Server(action) as s:
        look.expect(r"ok 10\.0\.0\.1", "x.example", s)
        look.took(50, 900)


def late_aaaa(look):
    def action(server, q, peer):
        if q.type == AAAA:
            time.sleep(0.01)
        server.reply(answer(q, address(q)), peer)
    with Server(action) as s:
        look.expect(BOTH, "x.example", s)


def search(look):
    def action(server, q, peer):
        if q.name == "x.two.example":
            proper(server, q, peer)
        else:
            server.reply(answer(q, rcode=NXDOMAIN), peer)
    with Server(action) as s:
        look.expect(BOTH, "x", s, options="search one.example two.example")
        look.expect(r"error NAME_NOT_FOUND x: no such name .*", "x.", s,
                    options="search one.example two.example")
        if look.messages != 2:
            raise Failure("%d messages for an absolute name" % look.messages)


def aliases(look):
    def action(server, q, peer):
        chain = [record("@", CNAME, encode("1.example"))]
        for i in range(1, 8):
            chain.append(record("%d.example" % i, CNAME, encode("%d.example" % (i + 1))))
        data = V4 if q.type == A else V6
        server.reply(answer(q, *reversed(chain), record("8.example", q.type, data)), peer)
    with Server(action) as s:
        look.expect(BOTH, "x.example", s)


def alias_loop(look):
    def action(server, q, peer):
        server.reply(answer(q, record("@", CNAME, b"\xc0\x0c")), peer)
    bad_then_good(action, "malformed answer")(look)


# --- TCP --------------------------------------------------------------------

def many(q):
    """More than a datagram carries."""
    if q.type == AAAA:
        return answer(q)
    return answer(q, *[record("@", A, bytes([10, 1, i >> 8, i & 255])) for i in range(1500)])


def send_message(peer, data):
    peer.sendall(struct.pack(">H", len(data)) + data)


def by_tcp(action, want=r"ok 10\.1\.0\.0( 10\.1\.0\.\d+){15}", low=0, high=900, **more):
    def case(look):
        with Server(truncated, action) as s:
            look.expect(want, "x.example", s, **more)
            look.took(low, high)
    return case


def tcp_whole(peer, q):
    send_message(peer, many(q))


def tcp_split(peer, q):
    data = many(q)
    data = struct.pack(">H", len(data)) + data
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(0, 40):
        peer.sendall(data[i:i + 1])
        time.sleep(0.001)
    peer.sendall(data[40:])


def tcp_slow(peer, q):
    data = answer(q, *([record("@", A, bytes([10, 1, 0, i])) for i in range(16)]
                       if q.type == A else []))
    data = struct.pack(">H", len(data)) + data
    for i in range(0, len(data), 64):
        peer.sendall(data[i:i + 64])
        time.sleep(0.08)


def tcp_never(peer, _):
    time.sleep(5)


def tcp_close(_peer, _q):
    pass


def tcp_close_midway(peer, q):
    peer.sendall((struct.pack(">H", 500) + many(q))[:100])


def tcp_garbage(peer, _):
    send_message(peer, b"garbage")


def tcp_truncated(peer, q):
    send_message(peer, answer(q, tc=True))


def tcp_wrong_id(peer, q):
    send_message(peer, answer(q, address(q), ident=q.id ^ 1))


def tcp_first(look):
    def tcp(peer, q):
        if q.type == A:
            time.sleep(0.1)
        send_message(peer, answer(q, address(q)))
    with Server(silent, tcp) as s:
        look.expect(BOTH, "x.example", s, options="options use-vc")
        if any(len(q) != 3 for q in s.questions):
            raise Failure("asked over UDP: %r" % s.questions)


def tcp_refused(look):
    with Server(truncated) as bad, Server(proper) as good:
        look.expect(BOTH, "x.example", bad, good)
        look.took(0, 900)


def tcp_bad_then_good(action):
    def case(look):
        with Server(truncated, action) as bad, Server(proper) as good:
            look.expect(BOTH, "x.example", bad, good)
            look.took(0, 900)
    return case


# --- dnsmasq ----------------------------------------------------------------

class Dnsmasq:
    HOSTS = "10.7.0.1 both.test\nfd07::1 both.test\n10.7.0.4 four.test\nfd07::6 six.test\n"

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()

    def __enter__(self):
        hosts = os.path.join(self.directory, "dnsmasq.hosts")
        with open(hosts, "w") as f:
            f.write(self.HOSTS)
            for i in range(100):
                f.write("10.8.%d.%d many.test\n" % (i // 50, i % 50 + 1))
        self.process = subprocess.Popen(
            ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--no-poll", "--user=", "--group=", "--pid-file=",
             "--addn-hosts=" + hosts, "--port=%d" % self.port, "--listen-address=127.0.0.1",
             "--bind-interfaces", "--cname=alias.test,both.test",
             "--cname=alias2.test,alias.test", "--address=/local.test/10.9.9.9",
             "--local=/test/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.wait()
        return self

    def wait(self):
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                raise Failure("dnsmasq: " + self.process.stderr.read().strip())
            time.sleep(0.05)
        raise Failure("dnsmasq does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


def dnsmasq(look):
    if shutil.which("dnsmasq") is None:
        return "no dnsmasq"
    with Dnsmasq(look.directory) as s:
        look.expect(r"ok fd07::1 10\.7\.0\.1", "both.test", s)
        look.expect(r"ok fd07::1 10\.7\.0\.1", "BOTH.Test.", s)
        look.expect(r"ok 10\.7\.0\.4", "four.test", s)
        look.expect(r"ok fd07::6", "six.test", s)
        look.expect(r"ok fd07::1 10\.7\.0\.1", "alias.test", s)
        look.expect(r"ok fd07::1 10\.7\.0\.1", "alias2.test", s)
        look.expect(r"ok 10\.9\.9\.9", "x.local.test", s)
        look.expect(r"ok fd07::1 10\.7\.0\.1", "both", s, options="search example test")
        look.expect(r"ok fd07::1 10\.7\.0\.1", "both.test", s, options="options use-vc")
        look.expect(r"ok( 10\.8\.\d+\.\d+){16}", "many.test", s)  # truncated, then TCP
        if look.messages != 3:
            raise Failure("%d messages for a truncated answer" % look.messages)
        look.expect(r"error NAME_NOT_FOUND none\.test: no such name \(asked 127\.0\.0\.1 "
                    r"port %d\)" % s.port, "none.test", s)
        look.expect("error DNS_FAILED x.example: .* answered REFUSED", "x.example", s)
    return None


def hosts_file(look):
    text = "10.0.0.7 x.example\nfd00::7 x.example y\n"
    look.expect(r"ok fd00::7 10\.0\.0\.7", "X.example", free_port(), hosts=text)
    look.expect(r"ok ::1 127\.0\.0\.1", "localhost", free_port(), hosts=text)


CASES = [
    ("plain", plain),
    ("ids_and_ports", ids_and_ports),
    ("hosts_file", hosts_file),
    ("silent_first", silent_first),
    ("all_silent", all_silent),
    ("nobody_there", nobody_there),
    ("servfail", bad_then_good(failing(SERVFAIL), "answered SERVFAIL")),
    ("refused", bad_then_good(failing(REFUSED), "answered REFUSED")),
    ("garbage", dropped(garbage)),
    ("wrong_id", dropped(wrong_id)),
    ("another_question", another_question),
    ("forged_then_true", forged_then_true),
    ("forged_from_another_port", forged_from_another_port),
    ("twice", twice),
    ("one_family", one_family),
    ("no_aaaa_answer", no_aaaa_answer),
    ("late_aaaa", late_aaaa),
    ("search", search),
    ("aliases", aliases),
    ("alias_loop", alias_loop),
    ("tcp_whole", by_tcp(tcp_whole)),
    ("tcp_split", by_tcp(tcp_split, options="options no-aaaa")),
    ("tcp_slow", by_tcp(tcp_slow, high=2500)),
    ("tcp_never", by_tcp(tcp_never, "error DNS_TIMEOUT .*", 1000, 1900, options=FAST)),
    ("tcp_first", tcp_first),
    ("tcp_refused", tcp_refused),
    ("tcp_close", tcp_bad_then_good(tcp_close)),
    ("tcp_close_midway", tcp_bad_then_good(tcp_close_midway)),
    ("tcp_garbage", tcp_bad_then_good(tcp_garbage)),
    ("tcp_truncated", tcp_bad_then_good(tcp_truncated)),
    ("tcp_wrong_id", tcp_bad_then_good(tcp_wrong_id)),
    ("dnsmasq", dnsmasq),
]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for name, case in CASES:
            if len(sys.argv) == 3 and sys.argv[2] not in name:
                continue
            try:
                skip = case(Lookup(sys.argv[1], directory))
                print("SKIP dns_%s: %s" % (name, skip) if skip else "PASS dns_" + name, flush=True)
            except (Failure, OSError, subprocess.SubprocessError) as e:
                failed += 1
                print("FAIL dns_%s: %s" % (name, e), flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
