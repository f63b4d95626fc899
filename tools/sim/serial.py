"""The Region's serial console host: a real sshd, and behind it a getty on every instance.

    client --SSH--> sshd, user INSTANCE.port0 --ForceCommand--> relay --serial.sock--> Getty

The key must have been pushed by SendSerialConsoleSSHPublicKey. An instance has one session at a
time, and none for a while after the last one ended.
"""

import contextlib
import os
import socket
import threading
import time

from .sshd import Sshd

STATES = ("pending", "running", "stopping", "shutting-down")
PORT_SUFFIX = ".port0"

RELAY = '''\
"""Carries the terminal of one session to the simulator and back."""
import os, select, socket, sys, termios, tty
if not os.isatty(0) or "SSH_ORIGINAL_COMMAND" in os.environ:
    sys.exit("The serial console takes a terminal and a shell, nothing else.")
tty.setraw(0, termios.TCSANOW)  # what was typed already is not lost
sock = socket.socket(socket.AF_UNIX)
sock.connect({socket!r})
sock.sendall(os.environ["USER"].encode() + b"\\n")
while True:
    ready, _, _ = select.select([0, sock], [], [])
    if 0 in ready:
        typed = os.read(0, 4096)
        if not typed:
            break
        sock.sendall(typed)
    if sock in ready:
        data = sock.recv(65536)
        if not data:
            break
        os.write(1, data)
'''


class SerialSshd(Sshd):
    """One key, as the Region's host has; no forwarding, no commands."""

    kinds = ("ed25519",)

    def __init__(self, owner):
        super().__init__(owner, {"id": SerialHost.ID, "name": SerialHost.ID,
                                 "users": self._users(owner)})
        self.options = {"DisableForwarding": "yes", "ForceCommand":
                        f"{owner.python} -I -S {self.dir}/relay"}

    @staticmethod
    def _users(owner):
        return [i["id"] + PORT_SUFFIX for i in owner.sim.world.data["instances"]]

    @property
    def socket(self):
        return os.path.join(self.owner.dir, "serial.sock")

    def home_of(self, user):
        return os.path.join(self.dir, "home")

    def prepare(self):
        super().prepare()
        self.write("relay", RELAY.format(socket=self.socket))

    def learn(self):
        """Instances may have come since."""
        self.instance["users"] = self._users(self.owner)
        self.write_accounts()


class Session:
    """A line with a getty on it: login, password, and the least of a shell."""

    def __init__(self, sock, entry):
        self.sock = sock
        self.entry = entry
        self.host = "ip-" + (entry["ip"] or "10-0-0-1").replace(".", "-")

    def say(self, text):
        self.sock.sendall(text.encode())

    def line(self, echo=True):
        """What is typed up to Enter; None at the end of the session."""
        typed = ""
        while True:
            byte = self.sock.recv(1)
            if not byte or byte == b"\x04":
                return None
            if byte in b"\r\n":
                self.say("\r\n")
                return typed
            if byte in b"\x7f\b":
                typed = typed[:-1]
                continue
            typed += byte.decode("latin-1")
            if echo:
                self.sock.sendall(byte)

    def login(self):
        """The user; nothing appears before the first Enter."""
        while self.line(echo=False) is not None:
            self.say(f"\r\nAmazon Linux 2023\r\nKernel 6.1.0 on an aarch64 (-)\r\n\r\n"
                     f"{self.host} login: ")
            user = self.line()
            if user is None:
                return None
            self.say("Password: ")
            password = self.line(echo=False)
            wanted = self.entry["serial"].get("password")
            if user in self.entry["users"] and wanted and password == wanted:
                return user
            self.say("\r\nLogin incorrect\r\n")
        return None

    def run(self):
        user = self.login()
        while user is not None:
            self.say(f"[{user}@{self.host} ~]$ ")
            command = self.line()
            if command in (None, "exit", "logout"):
                return
            answers = {"": "", "whoami": user + "\r\n", "hostname": self.host + "\r\n"}
            self.say(answers.get(command, f"-bash: {command}: command not found\r\n"))


class SerialHost:
    """The sshd, and what is at the other end of its sessions."""

    ID = "serial-console"

    def __init__(self, sshds):
        self.sim = sshds.sim
        self.sshds = sshds
        self.sshd = None
        self.listener = None
        self.lock = threading.Lock()
        self.busy = set()
        self.ended = {}

    def start(self):
        self.sshd = SerialSshd(self.sshds)
        self.sshd.prepare()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.sshd.socket)
        if os.getuid() != self.sshd.owner.uid:
            os.chown(self.sshd.socket, self.sshd.owner.uid, self.sshd.owner.uid)
        self.listener.listen(16)
        threading.Thread(target=self._loop, daemon=True).start()
        self.sshd.start()

    def stop(self):
        if self.sshd:
            self.sshd.stop()
        if self.listener:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def hosts(self):
        """Both naming schemes."""
        region = self.sim.world.region
        return (f"serial-console.ec2-instance-connect.{region}.aws",
                f"ec2-serial-console.{region}.api.aws")

    def describe(self):
        keys = self.sshd.describe()
        return {"hosts": self.hosts(), "port": keys["port"], "fingerprint": keys["fingerprints"][0],
                "host_key": keys["host_keys"][0], "busy": sorted(self.busy)}

    def keys(self, user):
        """Those that are valid for a login name of the console host."""
        id_ = user.removesuffix(PORT_SUFFIX)
        return [k["key"] for k in self.sim.world.active_keys(id_, PORT_SUFFIX)]

    def free(self, instance_id, take=False):
        """May a session begin? With `take` it does."""
        rest = self.sim.world.settings["serial_rest_ms"] / 1000
        with self.lock:
            ended = self.ended.get(instance_id)
            may = instance_id not in self.busy and (
                ended is None or time.monotonic() - ended >= rest)
            if may and take:
                self.busy.add(instance_id)
            return may

    def forget(self):
        """No session was ever before."""
        with self.lock:
            self.ended.clear()

    def _loop(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            name = b""
            while not name.endswith(b"\n"):
                name += sock.recv(1) or b"\n"
            id_ = name.decode().strip().removesuffix(PORT_SUFFIX)
            entry = self.sim.world.instance(id_)
            if entry is None or not self.free(id_, take=True):
                sock.sendall(b"A session is active, or was until a moment ago.\r\n")
                return
            self._run(sock, id_, entry)

    def _run(self, sock, id_, entry):
        self.sim.journal.add("serial", instance=id_, what="open")
        sock.settimeout(self.sim.world.settings["serial_session_s"])
        try:
            Session(sock, entry).run()
        except OSError:
            pass
        with self.lock:
            self.busy.discard(id_)
            self.ended[id_] = time.monotonic()
        self.sim.journal.add("serial", instance=id_, what="closed")
