#!/usr/bin/python3
"""The library's SSH algorithms against OpenSSH, Dropbear and asyncssh.

usage: ssh_algorithms.py SSH_SESSION [WORD]

SSH_SESSION is ssh_session.c's program, without sanitizers; WORD runs only the servers whose name
has it. Each algorithm is met at least once, and each pair of them against OpenSSH: `cat` returns
2 MiB, new keys are asked for from this side and, by OpenSSH and asyncssh, from the other. What was
agreed on is compared with what was asked for. EICE_LONG=1 tries all combinations.
"""

import asyncio
import itertools
import os
import subprocess
import sys
import threading

import backend_sshd
from backend_sshd import CIPHERS, HOST_KEYS, KEX, MACS, OLD, PUBLIC, SEED, UID, USER, USUAL, Server

SLOTS = ("kex", "host_key_types", "ciphers", "macs")
ALL = (KEX, HOST_KEYS, CIPHERS, MACS)
TIMEOUT = 60


def usable(methods):
    """AEAD ciphers have no MAC beside them: one row of them will do."""
    aead = "gcm" in methods[2] or "chacha" in methods[2]
    return not aead or methods[3] == MACS[0]


def combinations(lists):
    return [m for m in itertools.product(*lists) if usable(m)]


def pairs_of(methods):
    return set(itertools.combinations(enumerate(methods), 2))


def pairwise(lists):
    """Few combinations that have each pair: always the one with most of what is missing."""
    rows = combinations(lists)
    missing = set().union(*map(pairs_of, rows))
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs_of(row) & missing))
        missing -= pairs_of(best)
        chosen.append(best)
    return chosen


def each_once(lists):
    """Every name at least once."""
    length = max(map(len, lists))
    rows = [tuple(names[i % len(names)] for names in lists) for i in range(length)]
    return [row if usable(row) else (*row[:3], MACS[0]) for row in rows] + \
        [(lists[0][0], lists[1][0], "aes256-ctr", mac) for mac in lists[3]]


def old_ones():
    """What is offered only when asked for."""
    return [tuple(name if at == place else usual for at, usual in enumerate(USUAL))
            for name, place in OLD]


def transfer(client, port, methods):
    """None, or what went wrong."""
    options = [f"{slot}={name}" for slot, name in zip(SLOTS, methods)]
    try:
        done = subprocess.run([client, str(port), USER, SEED, "cat", "2", "1", *options],
                              timeout=TIMEOUT, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, encoding="utf-8")
    except subprocess.TimeoutExpired:
        return "no end"
    agreed = done.stdout.split()[1:5]
    wanted = list(methods)
    if "gcm" in methods[2] or "chacha" in methods[2]:
        agreed, wanted = agreed[:3], wanted[:3]
    if done.returncode != 0 or agreed != wanted:
        return done.stdout.strip()
    return None


# --- Dropbear ------------------------------------------------------------------------------------


class Dropbear(Server):
    """With the keys and the passwd file of the sshd, and no rights either."""

    def start(self):
        home = f"{self.dir}/.ssh"
        os.mkdir(home, 0o700)
        os.chown(home, UID, -1)
        self.write(".ssh/authorized_keys", f"ssh-ed25519 {PUBLIC}\n")
        os.chmod(f"{home}/authorized_keys", 0o600)
        self.write("log", "")
        keys = []
        for kind, bits in (("ed25519", None), ("ecdsa", "256"), ("rsa", "2048")):
            keys += ["-r", f"{self.dir}/dropbear_{kind}"]
            subprocess.run(["dropbearkey", "-t", kind, "-f", keys[-1],
                            *(["-s", bits] if bits else [])], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.chown(keys[-1], UID, -1)
        environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": self.wrapper,
                       "NSS_WRAPPER_PASSWD": f"{self.dir}/passwd",
                       "NSS_WRAPPER_GROUP": f"{self.dir}/group"}
        root = {"user": UID, "group": UID, "extra_groups": []} if os.getuid() == 0 else {}
        command = ["dropbear", "-F", "-E", "-m", "-s", "-p", f"127.0.0.1:{self.port}",
                   "-P", f"{self.dir}/pid", *keys]
        with open(f"{self.dir}/log", "wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=self.dir, stderr=log,
                                       stdin=subprocess.DEVNULL, **root)
        self.wait(process)
        return process


# What Debian's knows.
DROPBEAR = (["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256",
             "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256"],
            ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"],
            ["aes128-ctr", "aes256-ctr", "chacha20-poly1305@openssh.com"],
            ["hmac-sha2-256"])
DROPBEAR_OLD = ("diffie-hellman-group14-sha256", "ecdsa-sha2-nistp256", "aes128-ctr", "hmac-sha1")


# --- asyncssh ------------------------------------------------------------------------------------


class Asyncssh:
    """In a thread of its own; asks for new keys every 256 KiB."""

    def __init__(self):
        import asyncssh  # absent from machines without the package
        self.asyncssh = asyncssh
        self.port = None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(TIMEOUT)

    async def echo(self, process):
        while data := await process.stdin.read(32768):
            process.stdout.write(data)
            await process.stdout.drain()
        process.exit(0)

    async def listen(self):
        lib = self.asyncssh
        public = lib.import_public_key(f"ssh-ed25519 {PUBLIC}")

        class Login(lib.SSHServer):
            def public_key_auth_supported(self):
                return True

            def validate_public_key(self, _, key):
                return key == public

        kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                 "ecdsa-sha2-nistp521", "ssh-rsa")
        server = await lib.create_server(
            Login, "127.0.0.1", 0, process_factory=self.echo, encoding=None,
            server_host_keys=[lib.generate_private_key(kind) for kind in kinds],
            kex_algs=KEX, encryption_algs=CIPHERS, mac_algs=MACS, rekey_bytes=262144)
        self.port = server.sockets[0].getsockname()[1]

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


# --- the tests -----------------------------------------------------------------------------------


def sshd():
    return Server("RekeyLimit 1500K\n")


def peers():
    """Name, maker, rows."""
    every = os.environ.get("EICE_LONG") == "1"
    return [("OpenSSH", sshd, (combinations if every else pairwise)(ALL) + old_ones()),
            ("Dropbear", Dropbear,
             (combinations if every else each_once)(DROPBEAR) + [DROPBEAR_OLD]),
            ("asyncssh", Asyncssh, combinations(ALL) if every else each_once(ALL))]


def run(client, name, make, rows):
    try:
        server = make()
    except ImportError:
        print(f"SKIP ssh {name}: no python3-asyncssh")
        return 0
    failed = 0
    try:
        for row in rows:
            wrong = transfer(client, server.port, row)
            failed += wrong is not None
            print(f"FAIL ssh {name} {' '.join(row)}: {wrong}" if wrong
                  else f"PASS ssh {name} {' '.join(row)}", flush=True)
    finally:
        server.stop()
    return failed


def main():
    client = os.path.abspath(sys.argv[1])
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    if backend_sshd.sshd_path() is None or backend_sshd.wrapper_path() is None:
        print("SKIP ssh algorithms: no sshd or no libnss-wrapper")
        return 0
    return 1 if sum(run(client, *peer) for peer in peers() if word in peer[0]) else 0


if __name__ == "__main__":
    sys.exit(main())
