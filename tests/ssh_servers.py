#!/usr/bin/python3
"""The library's SSH session against real servers, without a tunnel.

usage: ssh_servers.py SSH_SESSION [WORD]

SSH_SESSION is the program made of ssh_session.c; WORD runs only the tests whose name has it. The
server is backend_sshd.py's: without privileges, and new keys every 512 KiB.
"""

import glob
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import backend_sshd
from backend_sshd import SEED, USER, Server

CONNECTIONS = 70  # more than a session has channels
TIMEOUT = 60


class Failure(Exception):
    pass


def need(good, what):
    if not good:
        raise Failure(what)


class Session:
    """The program, logged in to a server."""

    def __init__(self, client, server, *arguments):
        self.process = subprocess.Popen([client, str(server.port), USER, SEED, *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, encoding="utf-8")

    def line(self):
        return self.process.stdout.readline().strip()

    def expect(self, wanted):
        line = self.line()
        need(line == wanted, f"said {line!r} instead of {wanted!r}")

    def end(self, status=0):
        rest, _ = self.process.communicate("\n", timeout=TIMEOUT)
        need(self.process.returncode == status,
             f"status {self.process.returncode}, last words {rest.strip()!r}")
        return rest.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


# --- listening at the server ---------------------------------------------------------------------


def connect(where):
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where), TIMEOUT)
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(TIMEOUT)
    peer.connect(where)
    return peer


def send_and_end(peer, data):
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)


def echo_once(where, number, errors):
    """What is sent comes back, and behind it, after the end of sending, its SHA-256."""
    data = hashlib.shake_128(str(number).encode()).digest(1 + number * 3001)
    try:
        with connect(where) as peer:
            sender = threading.Thread(target=send_and_end, args=(peer, data), daemon=True)
            sender.start()
            back = b""
            while more := peer.recv(65536):
                back += more
            sender.join(TIMEOUT)
        need(back == data + hashlib.sha256(data).digest(),
             f"connection {number}: {len(back)} bytes of {len(data)} and a digest")
    except (OSError, Failure) as e:
        errors.append(f"connection {number}: {e}")


def echo_all(where):
    errors = []
    threads = [threading.Thread(target=echo_once, args=(where, n, errors), daemon=True)
               for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    need(not errors, "; ".join(errors[:3]))


def is_refused(where):
    """Soon: the server does not say when it has ceased to listen."""
    for _ in range(200):
        try:
            connect(where).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


def check_listen(client, server, path=None):
    """All at once through one listener; then nobody listens there."""
    with Session(client, server, "listen", path or "0", str(CONNECTIONS)) as session:
        word, _, port = session.line().partition(" ")
        need(word == "listening", f"said {word} {port}")
        need((port == "0") == (path is not None), f"listens on port {port}")
        echo_all(path or int(port))
        session.expect(f"heard {CONNECTIONS}")
        session.expect("silent")
        need(is_refused(path or int(port)), "the server still listens")
        session.end()


def check_listen_path(client, server):
    check_listen(client, server, f"{server.dir}/listener")


def check_listen_taken(client, server):
    with Session(client, server, "listen", str(server.port), "1") as session:
        line = session.end(1)
        wanted = f"error ssh-channel: the server does not listen on 127.0.0.1 port {server.port}"
        need(line == wanted, line)


# --- connecting from the server ------------------------------------------------------------------


def serve_echo(listener):
    peer, _ = listener.accept()
    digest = hashlib.sha256()
    with peer:
        while data := peer.recv(65536):
            digest.update(data)
            peer.sendall(data)
        peer.sendall(digest.digest())


def check_connect(client, server, path=None):
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as listener:
        listener.bind(path or ("127.0.0.1", 0))
        if path:
            os.chmod(path, 0o777)
        listener.listen()
        threading.Thread(target=serve_echo, args=(listener,), daemon=True).start()
        where = path or str(listener.getsockname()[1])
        with Session(client, server, "connect", where) as session:
            session.expect("echoed")
            session.end()


def check_connect_path(client, server):
    check_connect(client, server, f"{server.dir}/target")


def check_connect_nowhere(client, server):
    with Session(client, server, "connect", f"{server.dir}/nothing") as session:
        line = session.end(1)
        need(line.startswith("error ssh-channel: channel refused: Channel open failure ("), line)


# --- opening, keys -------------------------------------------------------------------------------


class Hole:
    """A port where connecting neither succeeds nor fails: its queue is full."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []

    def __enter__(self):
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        return str(self.port)

    def __exit__(self, *_):
        for filler in [*self.fillers, self.listener]:
            filler.close()


def check_hole(client, server):
    with Hole() as hole, Session(client, server, "hole", hole, str(server.port)) as session:
        session.expect("opened 10")
        session.expect("late")
        session.end()


def since(server, mark):
    return server.log()[mark:]


def check_rekey(client, server):
    """The server counts the exchanges; that it asks for none itself is in its configuration."""
    mark = len(server.log())
    with Session(client, server, "cat", "4", "5") as session:
        need(session.line().startswith("same "), "cat")
        session.end()
    count = since(server, mark).count("SSH2_MSG_NEWKEYS received")
    need(count == 6, f"{count} key exchanges instead of 6")


def check_rekey_bytes(client, server):
    mark = len(server.log())
    with Session(client, server, "cat", "4", "0", "rekey_bytes=1000000") as session:
        need(session.line().startswith("same "), "cat")
        session.end()
    count = since(server, mark).count("SSH2_MSG_NEWKEYS received")
    need(count >= 6, f"{count} key exchanges for 8 MB")


def check_stranger(client, server):
    with Session(client, server, "stranger") as session:
        line = session.end(1)
        need(line == "error ssh-kex: the server showed another host key in a later key exchange",
             line)


def check_who(client, server):
    """What is known of a server before the login, as OpenSSH tells it; then it is refused."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        banner = sock.makefile("rb").readline().decode().strip()
    prints = [subprocess.run(["ssh-keygen", "-lf", path], check=True, stdout=subprocess.PIPE,
                             encoding="utf-8").stdout.split()[1]
              for path in glob.glob(f"{server.dir}/key?.pub")]
    with Session(client, server, "who") as session:
        session.expect(banner)
        print_ = session.line()
        need(print_ in prints, f"{print_} is none of {prints}")
        session.expect(f"error host-key: not {print_}")
        session.end(1)


def check_wrong_key(client, server):
    other = subprocess.run([client, str(server.port), USER, SEED[::-1], "cat", "1", "0"],
                           timeout=TIMEOUT, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    need(other.stdout.startswith("methods publickey")
         and other.stdout.endswith("\nerror test: rejected\n"), other.stdout)


def check_probe(client, server, asks=False):
    mark = len(server.log())
    with Session(client, server, "cat", "1", "0") as session:
        need(session.line().startswith("same "), "cat")
        session.end()
    log = since(server, mark)
    need("Accepted publickey" in log, "it is not logged in")
    need(("Postponed publickey" in log) == asks, "whether it asked first")


def check_weak(client, _):
    weak = Server("", [("rsa", ["-b", "1024"])])
    try:
        with Session(client, weak, "rekey") as session:
            line = session.end(1)
            need(line == "error ssh-kex: the server's RSA host key has less than 2048 bits", line)
    finally:
        weak.stop()


def check_unknown(client, server):
    with Session(client, server, "rekey", "ciphers=rot13") as session:
        line = session.end(1)
        need(line == "error configuration: Ciphers: no such algorithm: rot13", line)


def check_nothing_common(client, _):
    other = Server("Ciphers aes256-ctr\n", [("ed25519", [])])
    try:
        with Session(client, other, "rekey", "ciphers=aes128-ctr") as session:
            line = session.end(1)
            need(line == "error ssh-kex: no cipher in common: the server has only aes256-ctr",
                 line)
    finally:
        other.stop()


def check_forged(client, server):
    meddler = backend_sshd.Meddler(server.port, backend_sshd.bend_signature)
    with Session(client, meddler, "rekey") as session:
        line = session.end(1)
        need(line == "error ssh-kex: key exchange failed: the server's answer, or its "
             "signature, is wrong", line)


def string(data):
    return struct.pack(">I", len(data)) + data


def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Guesser:
    """A server up to the new keys, which guesses another exchange than the client's first
    (RFC 4253 section 7.1) and sends an answer to it at once."""

    VERSION = b"SSH-2.0-guesser"
    NAMES = [b"ecdh-sha2-nistp256,curve25519-sha256", b"ssh-ed25519", *[b"aes128-ctr"] * 2,
             *[b"hmac-sha2-256"] * 2, *[b"none"] * 2, b"", b""]

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.last = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(TIMEOUT)
        self.stream = self.peer.makefile("rb")
        with self.listener, self.peer:
            self.exchange()
            self.last = self.receive()

    def send(self, payload):
        padding = 8 + -(5 + len(payload)) % 8
        self.peer.sendall(struct.pack(">IB", 1 + len(payload) + padding, padding) + payload
                          + bytes(padding))

    def receive(self):
        length, padding = struct.unpack(">IB", self.stream.read(5))
        return self.stream.read(length - 1)[:length - 1 - padding]

    def exchange(self):
        self.peer.sendall(self.VERSION + b"\r\n")
        ours = b"\x14" + bytes(16) + b"".join(map(string, self.NAMES)) + b"\1" + bytes(4)
        self.send(ours)
        self.send(b"\x1f" + string(b"the guess"))
        version = self.stream.readline().rstrip()
        theirs = self.receive()
        first = self.receive()
        key, host = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        secret = key.exchange(X25519PublicKey.from_public_bytes(first[5:])).lstrip(b"\0")
        shared = string(secret if secret[0] < 128 else b"\0" + secret)
        host_key = string(string(b"ssh-ed25519") + string(raw(host)))
        digest = hashlib.sha256(
            b"".join(map(string, [version, self.VERSION, theirs, ours])) + host_key + first[1:]
            + string(raw(key)) + shared).digest()
        signature = string(string(b"ssh-ed25519") + string(host.sign(digest)))
        self.send(b"\x1f" + host_key + string(raw(key)) + signature)
        self.send(b"\x15")


def check_guess(client, _):
    guesser = Guesser()
    with Session(client, guesser, "rekey") as session:
        session.end(1)
    guesser.thread.join(TIMEOUT)
    need(guesser.last == b"\x15", f"{guesser.last} instead of NEWKEYS")


# --- stock libssh2 -------------------------------------------------------------------------------


def refused(client, server, arguments, wanted):
    with Session(client, server, *arguments) as session:
        line = session.end(1)
        need(line == f"error {wanted}", line)


def stock_listen_path(client, server):
    refused(client, server, ["listen", f"{server.dir}/listener", "1"],
            "ssh-channel: listening on a UNIX socket of the server: this libssh2 is unpatched")


def stock_hole(client, server):
    """No other channel meanwhile; the session ends in time, and says why."""
    with Hole() as hole:
        refused(client, server, ["hole", hole, str(server.port)],
                "ssh-channel: the SSH server did not open the channel in time")


def stock_rekey(client, server):
    refused(client, server, ["rekey"], "test: SSH_UNSUPPORTED")


def stock_rekey_bytes(client, server):
    refused(client, server, ["rekey", "rekey_bytes=1000000"],
            "ssh-kex: new keys after so many bytes: this libssh2 is unpatched")


def stock_probe(client, server):
    check_probe(client, server, True)


def lacking(client, server):
    """The patches that the program's libssh2 was made without."""
    with Session(client, server, "lacks") as session:
        return {line.partition(":")[0] for line in session.end().splitlines()}


def stock_guess(client, _):
    """The guess is taken for the answer."""
    with Session(client, Guesser(), "rekey") as session:
        line = session.end(1)
        need(line.startswith("error ssh-kex: key exchange failed: the server's answer"), line)


# The patch that a test needs, and what is tested without it.
STOCK = {
    check_listen_path: ("04-streamlocal-forward", stock_listen_path),
    check_hole: ("08-channel-open", stock_hole),
    check_rekey: ("06-rekey", stock_rekey),
    check_rekey_bytes: ("06-rekey", stock_rekey_bytes),
    check_stranger: ("06-rekey", stock_rekey),
    check_probe: ("07-sign-at-once", stock_probe),
    check_guess: ("06-rekey", stock_guess),  # 11-guess, which no macro tells of
}


TESTS = [
    (f"ssh: {CONNECTIONS} connections through a remote port", check_listen),
    (f"ssh: {CONNECTIONS} connections through a remote socket", check_listen_path),
    ("ssh: a remote port in use", check_listen_taken),
    ("ssh: to a port of the server", check_connect),
    ("ssh: to a socket of the server", check_connect_path),
    ("ssh: to no socket of the server", check_connect_nowhere),
    ("ssh: a destination that never answers delays no other", check_hole),
    ("ssh: new keys when asked for", check_rekey),
    ("ssh: new keys after so many bytes", check_rekey_bytes),
    ("ssh: another host key in a later exchange", check_stranger),
    ("ssh: a host key that is refused", check_who),
    ("ssh: a login key that is rejected", check_wrong_key),
    ("ssh: the first login request is signed", check_probe),
    ("ssh: an RSA host key of 1024 bits", check_weak),
    ("ssh: unknown algorithms", check_unknown),
    ("ssh: no algorithm in common", check_nothing_common),
    ("ssh: a forged signature of the host's", check_forged),
    ("ssh: a server that guesses the exchange", check_guess),
]
# Tests that count: debugging output, and the server asks for new keys only once in a long while.
QUIET = {check_rekey, check_rekey_bytes, check_probe, stock_probe}
QUIET_CONFIG = "RekeyLimit default none\nLogLevel DEBUG1\n"


def run(client, server, name, check):
    try:
        check(client, server)
    except (Failure, OSError, subprocess.TimeoutExpired) as e:
        print(f"FAIL {name}: {e}", flush=True)
        return 1
    print(f"PASS {name}", flush=True)
    return 0


def main():
    client = os.path.abspath(sys.argv[1])
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = [test for test in TESTS if word in test[0]]
    if backend_sshd.sshd_path() is None or backend_sshd.wrapper_path() is None:
        for name, _ in chosen:
            print(f"SKIP {name}: no sshd or no libnss-wrapper")
        return 0
    servers = [Server(), Server(QUIET_CONFIG)]
    failed = 0
    try:
        lacks = lacking(client, servers[0])
        for name, check in chosen:
            patch, instead = STOCK.get(check, (None, None))
            if patch in lacks:
                name, check = f"{name} (without {patch})", instead
            failed += run(client, servers[check in QUIET], name, check)
        if failed:
            print(servers[0].log()[-4000:], file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
