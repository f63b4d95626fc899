#!/usr/bin/python3
"""The TLS client against OpenSSL's servers.

    tls_peers.py CLIENT

CLIENT is the program made of tls_client.c.  Makes its own authorities and
certificates with openssl, starts one s_server a case on a port of its own,
and prints PASS, FAIL or SKIP lines.
"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HOST = "tunnel.example.test"


class Failure(Exception):
    pass


def run(*args, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **more)
    if done.returncode != 0:
        raise Failure("%s: %s" % (" ".join(args[:3]), done.stderr.strip()[-300:]))
    return done.stdout


class Pki:
    """Authorities and certificates in a directory."""

    KEYS = {
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "ed25519": ["-algorithm", "ED25519"],
    }

    def __init__(self, path):
        self.path = path

    def file(self, name):
        return os.path.join(self.path, name)

    def key(self, name, kind):
        run("openssl", "genpkey", *self.KEYS[kind], "-out", self.file(name + ".key"))

    def root(self, name, kind, days=30):
        self.key(name, kind)
        run("openssl", "req", "-x509", "-new", "-key", self.file(name + ".key"),
            "-subj", "/O=eice test/CN=" + name, "-days", str(days),
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-out", self.file(name + ".pem"))

    def issue(self, name, kind, by, extensions, days=30):
        self.key(name, kind)
        run("openssl", "req", "-new", "-key", self.file(name + ".key"),
            "-subj", "/O=eice test/CN=" + name, "-out", self.file(name + ".csr"))
        with open(self.file(name + ".ext"), "w") as f:
            f.write(extensions)
        run("openssl", "x509", "-req", "-in", self.file(name + ".csr"),
            "-CA", self.file(by + ".pem"), "-CAkey", self.file(by + ".key"),
            "-CAcreateserial", "-days", str(days), "-sha384",
            "-extfile", self.file(name + ".ext"), "-out", self.file(name + ".pem"))

    def server(self, name, kind, by, host=HOST, days=30):
        self.issue(name, kind, by, "subjectAltName=DNS:%s\n" % host, days)

    def middle(self, name, kind, by):
        self.issue(name, kind, by, "basicConstraints=critical,CA:TRUE,pathlen:0\n")

    def make(self):
        self.root("root-rsa", "rsa")
        self.root("root-ec", "p384")
        self.root("stranger", "p256")
        self.middle("middle", "p256", "root-ec")
        self.server("rsa", "rsa", "root-rsa")
        self.server("p256", "p256", "middle")
        self.server("p384", "p384", "root-ec")
        self.server("p521", "p521", "root-ec")
        self.server("ed25519", "ed25519", "root-ec")
        self.server("other", "p256", "root-ec", host="other.example.test")
        self.server("wild", "p256", "root-ec", host="*.example.test")
        self.server("stray", "p256", "stranger")
        with open(self.file("trust.pem"), "w") as out:
            for name in ("root-rsa", "root-ec"):
                with open(self.file(name + ".pem")) as f:
                    out.write(f.read())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(port, process):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise Failure("s_server did not start")


class Server:
    """openssl s_server on a port of its own, until the end of the block."""

    def __init__(self, pki, name, *options, chain=None):
        self.port = free_port()
        self.args = ["openssl", "s_server", "-accept", "127.0.0.1:%d" % self.port,
                     "-cert", pki.file(name + ".pem"), "-key", pki.file(name + ".key"),
                     "-quiet", *options]
        if chain:
            self.args += ["-cert_chain", pki.file(chain + ".pem")]

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_listening(self.port, self.process)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


class Client:
    def __init__(self, program, pki):
        self.program = program
        self.pki = pki

    def __call__(self, port, *options, host=HOST, trust="trust.pem"):
        line = run(self.program, host, str(port), self.pki.file(trust), *map(str, options),
                   timeout=60)
        return line.strip()


def expect(line, pattern):
    if not re.search(pattern, line):
        raise Failure("got \"%s\", expected /%s/" % (line, pattern))


ECHO = ["-rev", "-tls1_2"]
OK = r"^ok opened=1 resumed=0 received=100 "


def good(name, *options, chain=None):
    """A server that must be accepted and that echoes a line reversed."""
    def case(client, pki):
        with Server(pki, name, *ECHO, *options, chain=chain) as s:
            expect(client(s.port, "send", 100, "want", 100), OK)
    return case


def refused(name, pattern, *options, host=HOST, client_options=(), server=ECHO):
    def case(client, pki):
        with Server(pki, name, *server, *options) as s:
            expect(client(s.port, "send", 10, "want", 10, *client_options, host=host), pattern)
    return case


def in_days(days):
    return int(time.time()) + days * 86400


def small_records(client, pki):
    with Server(pki, "rsa", *ECHO, "-split_send_frag", "512", "-max_send_frag", "512") as s:
        expect(client(s.port, "send", 9000, "want", 9000), "received=9000 ")


def smallest_output(client, pki):
    with Server(pki, "rsa", *ECHO) as s:
        expect(client(s.port, "send", 5000, "want", 5000, "out", 597), "received=5000 ")


def resumption(client, pki):
    session = pki.file("session")
    with Server(pki, "rsa", *ECHO, "-no_ticket") as s:
        options = ("send", 100, "want", 100, "session", session)
        expect(client(s.port, *options), OK)
        expect(client(s.port, *options), "^ok opened=1 resumed=1 received=100 ")
        # The session of one host is not offered for another's name.
        line = client(s.port, *options, host="x.example.test")
        expect(line, "^error TLS_NAME ")


def resumption_forgotten(client, pki):
    session = pki.file("session2")
    options = ("send", 100, "want", 100, "session", session)
    with Server(pki, "rsa", *ECHO, "-no_ticket") as s:
        expect(client(s.port, *options), OK)
    with Server(pki, "rsa", *ECHO, "-no_ticket", "-no_cache") as s:
        expect(client(s.port, *options), OK)


def serve_once(action):
    """A plain TCP server for one connection; returns its port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)

    def work():
        peer, _ = listener.accept()
        with peer, listener:
            peer.settimeout(10)
            try:
                action(peer)
            except OSError:  # the client left first: its line says why
                pass

    threading.Thread(target=work, daemon=True).start()
    return listener.getsockname()[1]


def plain_http(client, _):
    def action(peer):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        peer.recv(4096)
    expect(client(serve_once(action)), "^error TLS .*does not answer in TLS")


def closed_in_handshake(client, _):
    expect(client(serve_once(lambda peer: peer.recv(4096))),
           "^error NET_RESET .*closed the connection in the TLS handshake")


def relay(port, limit):
    """Passes bytes on to a server and cuts the connection after `limit`
    bytes of it, without a word; returns its port."""
    def action(peer):
        with socket.create_connection(("127.0.0.1", port)) as server:
            left = limit
            sender = threading.Thread(target=pump, args=(peer, server), daemon=True)
            sender.start()
            while left > 0:
                data = server.recv(min(left, 4096))
                if not data:
                    break
                peer.sendall(data)
                left -= len(data)
            peer.shutdown(socket.SHUT_RDWR)
    return serve_once(action)


def pump(source, sink):
    try:
        while True:
            data = source.recv(4096)
            if not data:
                return
            sink.sendall(data)
    except OSError:
        pass


def cut_without_notify(client, pki):
    with Server(pki, "p256", *ECHO, chain="middle") as s:
        expect(client(relay(s.port, 4000), "send", 20000),
               r"^ok opened=1 resumed=0 received=\d+ cut=1")


def cut_everywhere(client, pki):
    with Server(pki, "p384", *ECHO) as s:
        for limit in range(1, 1200, 97):
            expect(client(relay(s.port, limit), "send", 10, "want", 10),
                   "^error NET_RESET |^ok ")


def serve_tls(pki, name, action):
    """A TLS server of Python's for one connection; returns its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.file(name + ".pem"), pki.file(name + ".key"))

    def secured(peer):
        with context.wrap_socket(peer, server_side=True) as connection:
            action(connection)
    return serve_once(secured)


def close_notify(client, pki):
    """Data, close_notify and FIN arrive together: the data first."""
    def action(connection):
        connection.recv(100)
        connection.sendall(b"y" * 5000)
        connection.unwrap()
    expect(client(serve_tls(pki, "rsa", action), "send", 10),
           "^ok opened=1 resumed=0 received=5000 cut=0$")


def large_records(client, pki):
    """The server may send records of 16 KiB: no smaller fragments were asked
    for although the output buffer is small."""
    sizes = []

    def action(connection):
        connection.recv(100)
        connection.sendall(b"y" * 300000)
        connection.recv(1)

    def count(peer):
        with socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=pump, args=(peer, server), daemon=True).start()
            copy_records(server, peer, sizes)
    port = serve_tls(pki, "rsa", action)
    expect(client(serve_once(count), "send", 10, "want", 300000), "received=300000 ")
    if max(sizes) < 16384:
        raise Failure("the largest record had %d bytes" % max(sizes))


def copy_records(source, sink, sizes):
    """Copies TLS records and notes their lengths."""
    stream = source.makefile("rb")
    while True:
        head = stream.read(5)
        if len(head) < 5:
            return
        sizes.append(int.from_bytes(head[3:], "big"))
        sink.sendall(head + stream.read(sizes[-1]))


def ip_address(client, pki):
    with Server(pki, "p384", *ECHO) as s:
        for host in ("127.0.0.1", "::1"):
            expect(client(s.port, host=host), "^error TLS_NAME .*is an IP address")


def suites(names):
    def case(client, pki):
        for name in names:
            with Server(pki, "rsa" if "-RSA-" in name else "p384", *ECHO, "-cipher", name) as s:
                expect(client(s.port, "send", 100, "want", 100), OK)
    return case


def curves(client, pki):
    for name in ("X25519", "P-256", "P-384", "P-521"):
        with Server(pki, "rsa", *ECHO, "-named_curve", name) as s:
            expect(client(s.port, "send", 100, "want", 100), OK)


AEADS = [a + "-" + b for a in ("ECDHE-RSA", "ECDHE-ECDSA")
         for b in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")]

CASES = [
    ("rsa_chain", good("rsa")),
    ("p256_with_intermediate", good("p256", chain="middle")),
    ("p384_chain", good("p384")),
    ("p521_chain", good("p521")),
    ("wildcard_name", good("wild")),
    ("every_suite", suites(AEADS)),
    ("every_curve", curves),
    ("server_order", good("rsa", "-serverpref")),
    ("expired", refused("p384", "^error TLS_EXPIRED 2 54 .*expired or not yet valid; the clock "
                        r"of this machine says 2\d\d\d-\d\d-\d\d$",
                        client_options=("time", in_days(40)))),
    ("not_yet_valid", refused("p384", "^error TLS_EXPIRED 2 54 .*says 1970-01-01$",
                              client_options=("time", 1000))),
    ("other_name", refused("other", "^error TLS_NAME .*not for " + HOST)),
    ("wildcard_not_deeper", refused("wild", "^error TLS_NAME ", host="a.b.example.test")),
    ("unknown_authority", refused("stray", "^error TLS_UNTRUSTED .*unknown authority")),
    ("missing_intermediate", refused("p256", "^error TLS_UNTRUSTED ")),
    ("ed25519_certificate", refused("ed25519", "^error TLS .*alert 40")),
    ("tls13_only", refused("rsa", r"^error TLS 5 70 .*does not speak TLS 1\.2 \(alert 70\)",
                           server=["-rev", "-tls1_3"])),
    ("tls11_only", refused("rsa", "^error TLS ", server=[
        "-rev", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])),
    ("cbc_only", refused("rsa", "^error TLS 5 40 .*alert 40", "-cipher", "ECDHE-RSA-AES128-SHA")),
    ("static_rsa_only", refused("rsa", "^error TLS 5 40 ", "-cipher", "AES128-GCM-SHA256")),
    ("client_certificate_wished", good("rsa", "-verify", "1")),
    ("client_certificate_demanded", refused("rsa", "^error TLS 5 (40|116) ", "-Verify", "1")),
    ("small_records", small_records),
    ("smallest_output_buffer", smallest_output),
    ("resumption", resumption),
    ("resumption_forgotten", resumption_forgotten),
    ("plain_http_server", plain_http),
    ("closed_in_handshake", closed_in_handshake),
    ("close_notify_with_data", close_notify),
    ("large_records", large_records),
    ("cut_without_close_notify", cut_without_notify),
    ("cut_everywhere", cut_everywhere),
    ("ip_address_refused", ip_address),
]


def main():
    if shutil.which("openssl") is None:
        print("SKIP tls_peers: no openssl")
        return 0
    failures = 0
    with tempfile.TemporaryDirectory() as path:
        pki = Pki(path)
        pki.make()
        client = Client(os.path.abspath(sys.argv[1]), pki)
        for name, case in CASES:
            if len(sys.argv) > 2 and sys.argv[2] not in name:
                continue
            try:
                case(client, pki)
                print("PASS tls_peers_" + name)
            except (Failure, OSError, subprocess.TimeoutExpired) as error:
                print("FAIL tls_peers_%s: %s" % (name, error))
                failures += 1
            sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
