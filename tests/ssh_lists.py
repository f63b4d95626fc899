#!/usr/bin/python3
"""The lists of an SSH session's KEXINIT: their order, and what is said when nothing is in common.

usage: ssh_lists.py SSH_SESSION

SSH_SESSION is the program made of ssh_session.c. The server is made of the first packets of RFC
4253 only: it tells its lists, reads the client's, and hangs up.
"""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time

STRICT = "kex-strict-s-v00@openssh.com"
LISTS = ["curve25519-sha256,ecdh-sha2-nistp256", "ssh-ed25519", "aes128-ctr,aes256-ctr",
         "aes128-ctr,aes256-ctr", "hmac-sha2-256,hmac-sha2-512", "hmac-sha2-256,hmac-sha2-512",
         "none", "none", "", ""]
GCM = "aes128-gcm@openssh.com"
CHACHA = "chacha20-poly1305@openssh.com"
SLACK = 20  # seconds on a busy machine


class Failure(Exception):
    pass


def equal(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, wanted {wanted!r}")


def kexinit(lists):
    payload = b"\x14" + bytes(16)
    for names in lists:
        payload += struct.pack(">I", len(names)) + names.encode()
    payload += bytes(5)
    pad = 8 - (len(payload) + 5) % 8 + 4
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


class Server:
    """One connection; `lists` are the client's afterwards."""

    def __init__(self, told, waits=False):
        self.told = told
        self.waits = waits
        self.lists = None
        self.seconds = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        peer, _ = self.listener.accept()
        peer.settimeout(SLACK)
        with peer, peer.makefile("rb") as stream, contextlib.suppress(OSError):
            peer.sendall(b"hello\r\nSSH-2.0-lists\r\n")
            began = time.monotonic()
            stream.readline()
            if not self.waits:
                peer.sendall(kexinit(self.told))
            self.read(stream)
            self.seconds = time.monotonic() - began
            if self.waits:
                peer.sendall(kexinit(self.told))
                stream.read(1)

    def read(self, stream):
        head = stream.read(5)
        if len(head) < 5:
            return  # nothing in common: it hangs up at once
        length, _ = struct.unpack(">IB", head)
        rest = stream.read(length - 1)[17:]
        self.lists = []
        for _ in LISTS:
            size, = struct.unpack(">I", rest[:4])
            self.lists.append(rest[4:4 + size].decode())
            rest = rest[4 + size:]

    def close(self):
        self.thread.join(SLACK)
        self.listener.close()


def meet(client, changes, *options, waits=False, apart=False):
    """The server after it has met the client, and the client's last words."""
    server = Server([changes.get(at, names) for at, names in enumerate(LISTS)], waits)
    done = subprocess.run([client, str(server.port), "tester", bytes(32).hex(), "rekey", *options],
                          timeout=60, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8")
    server.close()
    equal(done.returncode, 1, "status")
    if server.lists is None and not apart:
        raise Failure(f"no lists came: {done.stdout!r}")
    return server, done.stdout.strip()


def ciphers(client, strict, *options, **more):
    server, _ = meet(client, {0: LISTS[0] + "," + STRICT if strict else LISTS[0]}, *options, **more)
    equal(server.lists[2], server.lists[3], "ciphers both ways")
    return server, server.lists[2].split(",")


def check_fast(client):
    """With the processor's help AES-GCM is first, whatever the server is."""
    for strict in (True, False):
        got = ciphers(client, strict)[1]
        equal((got[0], got[-1]), (GCM, CHACHA), f"strict {strict}")


def check_slow(client):
    """Without it chacha20 is first, but only where strict key exchange protects it."""
    got = ciphers(client, True, "slow=1")[1]
    equal(got[:2], [CHACHA, GCM], "strict")
    got = ciphers(client, False, "slow=1")[1]
    equal((got[0], got[-1]), (GCM, CHACHA), "not strict")
    equal(ciphers(client, True, "slow=1", "ciphers=aes256-ctr," + GCM)[1], ["aes256-ctr", GCM],
          "a list of the user's")


def check_waits(client):
    """A server that waits for the client's lists gets them all the same."""
    server, got = ciphers(client, True, "slow=1", waits=True)
    equal(got[0], GCM, "the first")
    if server.seconds > SLACK:
        raise Failure(f"after {server.seconds} s")


def check_extensions(client):
    kex = meet(client, {})[0].lists[0].split(",")
    for name in ("ext-info-c", "kex-strict-c-v00@openssh.com", "curve25519-sha256"):
        if name not in kex:
            raise Failure(f"{name} is not offered")
    if any("sha1" in name for name in kex):
        raise Failure(f"SHA-1 is offered: {kex}")


def check_signs(client):
    """+, - and ^ of ssh_config(5); what only OpenSSH has is left out."""
    rows = [("macs=+hmac-sha1", 4, lambda n: n[-1] == "hmac-sha1" and len(n) == 5),
            ("macs=^hmac-sha2-512", 4, lambda n: n[0] == "hmac-sha2-512" and len(n) == 4),
            ("macs=-*-etm@*", 4, lambda n: n == ["hmac-sha2-256", "hmac-sha2-512"]),
            ("kex=+diffie-hellman-group14-sha1", 0, lambda n: "diffie-hellman-group14-sha1" in n),
            ("kex=sntrup761x25519-sha512,ecdh-sha2-nistp256", 0,
             lambda n: n[2:] == ["ecdh-sha2-nistp256"]),
            ("host_key_types=+ssh-rsa", 1, lambda n: n[0] == "ssh-ed25519" and n[-1] == "ssh-rsa"),
            ("ciphers=aes256-cbc,aes128-ctr,3des-cbc", 2, lambda n: n == ["aes128-ctr"])]
    for option, at, good in rows:
        names = meet(client, {}, option)[0].lists[at].split(",")
        if not good(names):
            raise Failure(f"{option}: {names}")


def check_apart(client):
    """Both sides' lists are named, and how to allow what is off."""
    ours = {0: "curve25519-sha256,", 1: "ssh-ed25519,ecdsa", 2: "aes128-gcm@", 3: "aes128-gcm@",
            4: "hmac-sha2-256-etm", 5: "hmac-sha2-256-etm"}
    rows = [(0, "diffie-hellman-group14-sha1,x", "key exchange",
             "-o KexAlgorithms=+diffie-hellman-group14-sha1"),
            (0, "sntrup761x25519-sha512", "key exchange", None),
            (1, "ssh-rsa", "host key", "-o HostKeyAlgorithms=+ssh-rsa"),
            (2, "aes128-cbc,3des-cbc", "cipher", None), (3, "aes128-cbc", "cipher", None),
            (4, "hmac-md5,hmac-sha1", "MAC", "-o MACs=+hmac-sha1"),
            (5, "hmac-sha1", "MAC", "-o MACs=+hmac-sha1")]
    for at, names, what, allow in rows:
        text = meet(client, {at: names}, "remedy=1", apart=True)[1]
        wanted = f"error ssh-kex: no {what} in common: the server has only {names}; "
        if allow:
            wanted += f"{allow} allows what is weak; "
        wanted += "offered were " + ours[at]
        equal(text[:len(wanted)], wanted, what)
    text = meet(client, {2: GCM, 3: GCM, 4: "hmac-md5", 5: "hmac-md5"}, "remedy=1")[1]
    if "in common" in text:
        raise Failure(f"a MAC beside GCM: {text}")


TESTS = [
    ("ssh lists: a processor with AES", check_fast),
    ("ssh lists: a processor without AES", check_slow),
    ("ssh lists: a server that waits", check_waits),
    ("ssh lists: extensions, no SHA-1", check_extensions),
    ("ssh lists: what is added, removed, put first", check_signs),
    ("ssh lists: nothing in common", check_apart),
]


def main():
    client = os.path.abspath(sys.argv[1])
    failed = 0
    for name, check in TESTS:
        try:
            check(client)
            print(f"PASS {name}", flush=True)
        except (Failure, OSError, subprocess.TimeoutExpired) as e:
            failed += 1
            print(f"FAIL {name}: {e}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
