#!/usr/bin/python3
"""The BearSSL backend of libssh2 against OpenSSH's server, one algorithm at a time.

usage: backend_sshd.py SSH_KEX [WORD]

SSH_KEX is the client built from ssh_kex.c; WORD runs only the tests whose name has it. The
server never has privileges: root lends it the uid of no one, and libnss-wrapper gives it a login
name. It asks for new keys every 512 KiB, so each transfer lives through several exchanges.
"""

import glob
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

UID = os.getuid() or 47023
USER = "tester"
SEED = bytes(range(32)).hex()
PUBLIC = "AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"

KEX = ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256",
       "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256",
       "diffie-hellman-group16-sha512", "diffie-hellman-group-exchange-sha256"]
HOST_KEYS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
             "rsa-sha2-256", "rsa-sha2-512"]
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr",
           "aes256-ctr", "chacha20-poly1305@openssh.com"]
MACS = ["hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com"]
USUAL = ["curve25519-sha256", "ssh-ed25519", "aes256-ctr", "hmac-sha2-256-etm@openssh.com"]
# What rests on SHA-1: (name, its place in USUAL).
OLD = [("diffie-hellman-group14-sha1", 0), ("ssh-rsa", 1), ("hmac-sha1", 3),
       ("hmac-sha1-etm@openssh.com", 3)]
# What libssh2 lists and the backend must make fail, though the server would agree.
REFUSED = [("diffie-hellman-group1-sha1", 0), ("diffie-hellman-group18-sha512", 0)]

# Not offered unless asked for: from version 10 on, no method over finite fields is.
OLD_KEX = [name for name in KEX if name.startswith("diffie")] + \
    ["diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"]

GENERATED = [("ed25519", []), ("ecdsa", ["-b", "256"]), ("ecdsa", ["-b", "384"]),
             ("ecdsa", ["-b", "521"]), ("rsa", ["-b", "2048"])]

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
PidFile none
UsePAM no
StrictModes no
UseDNS no
PasswordAuthentication no
AuthorizedKeysFile {dir}/authorized
RekeyLimit 512K
MaxStartups 100
KexAlgorithms +{kex}
HostKeyAlgorithms +ssh-rsa
"""


class Server:
    """One sshd for all tests."""

    def __init__(self, extra="", generated=None):
        """What `extra` says comes first in the configuration, and so is in force."""
        self.wrapper = wrapper_path()
        self.dir = tempfile.mkdtemp(prefix="eice-backend-")
        os.chmod(self.dir, 0o700)
        os.chown(self.dir, UID, -1)
        self.port = free_port()
        config = extra + CONFIG.format(port=self.port, dir=self.dir, kex=",".join(OLD_KEX))
        for number, (kind, extra) in enumerate(generated or GENERATED):
            path = f"{self.dir}/key{number}"
            subprocess.run(["ssh-keygen", "-q", "-t", kind, *extra, "-N", "", "-f", path],
                           check=True)
            os.chown(path, UID, -1)
            config += f"HostKey {path}\n"
        self.write("config", config)
        self.write("authorized", f"ssh-ed25519 {PUBLIC}\n")
        self.write("passwd", f"{USER}:x:{UID}:{UID}::{self.dir}:/bin/sh\n")
        self.write("group", f"{USER}:x:{UID}:\n")
        self.process = self.start()

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chown(path, UID, -1)

    def start(self):
        environment = {"PATH": os.environ["PATH"], "LD_PRELOAD": self.wrapper,
                       "NSS_WRAPPER_PASSWD": f"{self.dir}/passwd",
                       "NSS_WRAPPER_GROUP": f"{self.dir}/group"}
        command = [sshd_path(), "-D", "-e", "-f", f"{self.dir}/config"]
        root = {"user": UID, "group": UID, "extra_groups": []} if os.getuid() == 0 else {}
        with open(f"{self.dir}/log", "wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=self.dir, stderr=log,
                                       stdin=subprocess.DEVNULL, **root)
        self.wait(process)
        return process

    def wait(self, process):
        """Until it listens."""
        for _ in range(100):
            if process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("sshd did not start: " + self.log()[-2000:])

    def log(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sshd_path():
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])


def wrapper_path():
    found = glob.glob("/usr/lib/*/libnss_wrapper.so") + glob.glob("/usr/lib/libnss_wrapper.so")
    return found[0] if found else None


def run_client(client, port, methods, *extra):
    """Exit status and the line printed."""
    try:
        done = subprocess.run([client, str(port), USER, SEED, *methods, *extra], timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired:
        return -1, "no end after 120 s"
    return done.returncode, done.stdout.decode(errors="replace").strip()


class Meddler:
    """A relay that changes one bit of what the server sends."""

    def __init__(self, port, change):
        self.target = port
        self.change = change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=copy, args=(client, server), daemon=True).start()
        try:
            self.change(server, client)
            copy(server, client)
        except OSError:
            pass
        self.listener.close()


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def read_exactly(source, count):
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


def pass_version(source, sink):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(source, 1)
    sink.sendall(line)


def pass_packet(source, sink, bend=None):
    """Relays one packet in clear and returns its message number."""
    head = read_exactly(source, 4)
    body = bytearray(read_exactly(source, struct.unpack(">I", head)[0]))
    number = body[1]
    if bend is not None and number == bend:
        body[-body[0] - 1 - 20] ^= 1
    sink.sendall(head + body)
    return number


def bend_signature(source, sink):
    """Changes a bit near the end of the key exchange's answer: the host's signature."""
    pass_version(source, sink)
    while pass_packet(source, sink, bend=31) != 31:
        pass


def bend_packet(source, sink):
    """Changes a bit inside the first encrypted packet, behind its length."""
    pass_version(source, sink)
    while pass_packet(source, sink) != 21:
        pass
    data = bytearray(read_exactly(source, 32))
    data[20] ^= 0x10
    sink.sendall(data)


def check_works(client, server, methods):
    status, line = run_client(client, server.port, methods)
    words = line.split()
    agreed = words[1:5] if words[:1] == ["ok"] else []
    wanted = list(methods)
    if "gcm" in methods[2] or "chacha" in methods[2]:
        wanted, agreed = wanted[:3], agreed[:3]
    return status == 0 and agreed == wanted, line


def check_refused(client, server, methods):
    status, line = run_client(client, server.port, methods)
    return status == 1 and "handshake" in line, line


def check_bent(client, server, methods, change):
    meddler = Meddler(server.port, change)
    status, line = run_client(client, meddler.port, methods)
    stage = "handshake" if change is bend_signature else "error -"
    return status == 1 and stage in line, line


def with_one(slot, name):
    methods = list(USUAL)
    methods[slot] = name
    return methods


def all_tests():
    for slot, names in enumerate((KEX, HOST_KEYS, CIPHERS, MACS)):
        for name in names:
            yield f"backend sshd {name}", check_works, (with_one(slot, name),)
    for name, slot in REFUSED:
        yield f"backend sshd refuses {name}", check_refused, (with_one(slot, name),)
    for name in HOST_KEYS:
        yield (f"backend sshd forged {name} signature", check_bent,
               (with_one(1, name), bend_signature))
    for name in CIPHERS:
        yield f"backend sshd changed {name} packet", check_bent, (with_one(2, name), bend_packet)
    for name in MACS:
        yield f"backend sshd changed {name} packet", check_bent, (with_one(3, name), bend_packet)


def main():
    client = os.path.abspath(sys.argv[1])
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = [test for test in all_tests() if word in test[0]]
    if sshd_path() is None or wrapper_path() is None:
        for name, _, _ in chosen:
            print(f"SKIP {name}: no sshd or no libnss-wrapper")
        return 0
    server = Server()
    failed = 0
    try:
        for name, check, arguments in chosen:
            good, line = check(client, server, *arguments)
            print(f"PASS {name}" if good else f"FAIL {name}: {line}", flush=True)
            failed += not good
        if failed:
            print(server.log()[-2000:], file=sys.stderr)
    finally:
        server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
