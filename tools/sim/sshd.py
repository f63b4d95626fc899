"""Real OpenSSH servers, one for each instance whose target is "sshd", never with privileges.

Login names exist only inside them: libnss-wrapper maps each to the one uid they run under (that
of the simulator or, when root runs it, a number of no one). AuthorizedKeysCommand asks the
simulator, so only a key that was pushed lets anybody in.

    simulator --pipe--> keeper.py (uid) --> sshd --> sessions
        ^                                    |
        +--- k.sock <--- lookup script <-----+
"""

import base64
import glob
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time

from .control import ControlServer
from .errors import SetupError

NOBODYS_UID = 47022
KEY_TYPES = ("ed25519", "ecdsa", "rsa")
KEY_SERVICE_USER = "ec2-instance-connect"
START_SECONDS = 10.0
STOP_SECONDS = 5.0
START_TRIES = 5
NEEDED = (("sshd", "openssh-server"), ("ssh-keygen", "openssh-client"))
WRAPPER_PLACES = ("/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so",
                  "/usr/lib/libnss_wrapper.so")

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
PidFile {dir}/pid
{host_keys}
UsePAM no
StrictModes no
UseDNS no
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand {python} -I -S {dir}/lookup %u %f
AuthorizedKeysCommandUser {key_user}
MaxStartups 100
MaxSessions 100
PrintMotd no
PrintLastLog no
AllowAgentForwarding yes
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
GatewayPorts clientspecified
AcceptEnv LANG LC_* EICE_TEST_*
SetEnv LD_PRELOAD={wrapper} NSS_WRAPPER_PASSWD={dir}/passwd NSS_WRAPPER_GROUP={dir}/group
Subsystem sftp internal-sftp
LogLevel VERBOSE
"""
PENALTIES = "PerSourcePenaltyExemptList 127.0.0.0/8,::1\n"

LOOKUP = '''\
"""The on-instance key lookup: prints the pushed key whose fingerprint sshd asks for."""
import base64, hashlib, json, socket, sys
user, fingerprint = sys.argv[1:3]
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(30)
sock.connect({socket!r})
stream = sock.makefile("rwb")
stream.write(json.dumps({{"command": "lookup", "instance": {instance!r}, "user": user,
                         "fingerprint": fingerprint}}).encode() + b"\\n")
stream.flush()
keys = json.loads(stream.readline())["ok"]
if not keys:
    sys.exit(0)
found = 0
for key in keys:
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    if "SHA256:" + base64.b64encode(digest).decode().rstrip("=") == fingerprint:
        print(key)
        found = 1
sys.exit(0 if found else 255)
'''


def program(name, package):
    """The path of a program, looked for in the system directories too."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        raise SetupError(f"the program {name} is missing: install the package {package}")
    return path


def find_wrapper():
    for place in WRAPPER_PLACES:
        for path in glob.glob(place):
            return path
    raise SetupError("libnss_wrapper.so is missing: install the package libnss-wrapper")


def system_python():
    """sshd runs it by a path that only root may change, so a private one will not do."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(path, os.X_OK):
            return path
    raise SetupError("/usr/bin/python3 is missing: install the package python3")


def traversable(path):
    """May anybody pass through this directory and all above it?"""
    while True:
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def private_dir(uid):
    """A new directory of mode 700 owned by uid, at a place uid can reach."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if os.getuid() == uid or traversable(os.path.realpath(base)):
            path = tempfile.mkdtemp(prefix="eice-sshd-", dir=base)
            os.chown(path, uid, uid)
            return path
    raise SetupError("no temporary directory that an unprivileged user can reach: set TMPDIR")


def fingerprint(public_line):
    digest = hashlib.sha256(base64.b64decode(public_line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Sshd:
    """The server of one instance."""

    kinds = KEY_TYPES

    def __init__(self, owner, instance):
        self.owner = owner
        self.instance = instance
        self.dir = os.path.join(owner.dir, instance["id"])
        self.port = None
        self.keeper = None
        self.options = dict(owner.options)

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        os.chown(path, self.owner.uid, self.owner.uid)

    def prepare(self):
        """Directory, accounts, lookup script and host keys."""
        self._make_dir(self.dir)
        self._make_dir(os.path.join(self.dir, "home"))
        self.write_accounts()
        self.write("lookup", LOOKUP.format(socket=self.owner.key_socket,
                                           instance=self.instance["id"]))
        self.new_host_keys()

    def home_of(self, user):
        return os.path.join(self.dir, "home", user)

    def write_accounts(self):
        uid = self.owner.uid
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        lines = []
        for user in self.instance["users"]:
            home = self.home_of(user)
            self._make_dir(home)
            lines.append(f"{user}:x:{uid}:{uid}:{user}:{home}:{shell}\n")
        lines.append(f"{KEY_SERVICE_USER}:x:{uid}:{uid}::/:/usr/sbin/nologin\n")
        self.write("passwd", "".join(lines))
        self.write("group", f"{self.instance['users'][0]}:x:{uid}:\n")

    def _make_dir(self, path):
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chown(path, self.owner.uid, self.owner.uid)

    def key_path(self, kind):
        return os.path.join(self.dir, f"host_{kind}")

    def new_host_keys(self):
        """All of them. The first RSA key is the same for all instances: one takes long to make."""
        first = not os.path.exists(self.key_path("rsa"))
        for kind in self.kinds:
            for path in (self.key_path(kind), self.key_path(kind) + ".pub"):
                if os.path.exists(path):
                    os.unlink(path)
            if kind == "rsa" and first:
                for suffix in ("", ".pub"):
                    shutil.copy(self.owner.rsa_key() + suffix, self.key_path(kind) + suffix)
            else:
                self.owner.make_key(kind, self.key_path(kind))
            os.chown(self.key_path(kind), self.owner.uid, self.owner.uid)
            os.chown(self.key_path(kind) + ".pub", self.owner.uid, self.owner.uid)

    def host_keys(self):
        """The public lines."""
        lines = []
        for kind in self.kinds:
            with open(self.key_path(kind) + ".pub", encoding="ascii") as f:
                lines.append(f.read().strip())
        return lines

    def config(self):
        overridden = {name.lower() for name in self.options}
        own = "".join(f"{name} {value}\n" for name, value in self.options.items())
        host_keys = "\n".join(f"HostKey {self.key_path(kind)}" for kind in self.kinds)
        text = CONFIG.format(port=self.port, dir=self.dir, host_keys=host_keys,
                             python=self.owner.python, wrapper=self.owner.wrapper,
                             key_user=KEY_SERVICE_USER)
        kept = [line for line in text.splitlines(True)
                if line.split(" ")[0].lower() not in overridden]
        return own + "".join(kept) + (PENALTIES if self.owner.has_penalties else "")

    def start(self):
        """Starts and waits until it listens. Another program may take the port: tries again."""
        for _ in range(START_TRIES):
            self.port = self.port or free_port()
            self.write("config", self.config())
            if self._launch():
                return
            self.port = None
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
            raise SetupError("sshd does not start: " + f.read()[-2000:].strip())

    def _launch(self):
        pid_file = os.path.join(self.dir, "pid")
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        uid = self.owner.uid
        identity = {} if uid == os.getuid() else {"user": uid, "group": uid, "extra_groups": []}
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8",
                       "NSS_WRAPPER_PASSWD": os.path.join(self.dir, "passwd"),
                       "NSS_WRAPPER_GROUP": os.path.join(self.dir, "group")}
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.keeper = subprocess.Popen(
                [self.owner.python, "-I", "-S", self.owner.keeper, self.owner.wrapper,
                 self.owner.sshd, "-D", "-e", "-f", os.path.join(self.dir, "config")],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.dir, env=environment,
                start_new_session=True, **identity)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.keeper.poll() is None:
            if os.path.exists(pid_file):
                return True
            time.sleep(0.005)
        self.stop()
        return False

    def stop(self):
        if self.keeper is None:
            return
        self.keeper.stdin.close()
        try:
            self.keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()
        self.keeper = None

    def running(self):
        return self.keeper is not None and self.keeper.poll() is None

    def describe(self):
        keys = self.host_keys()
        return {"instance": self.instance["id"], "name": self.instance["name"],
                "users": self.instance["users"], "port": self.port, "running": self.running(),
                "host_keys": keys, "fingerprints": [fingerprint(k) for k in keys],
                "home": os.path.join(self.dir, "home"), "log": os.path.join(self.dir, "log"),
                "options": self.options}


class Sshds:
    """The sshds of a simulator. Options are sshd_config keywords for all of them."""

    def __init__(self, sim, options=()):
        self.sim = sim
        self.options = dict(options)
        self.sshd, self.keygen = (program(*needed) for needed in NEEDED)
        self.wrapper = find_wrapper()
        self.python = system_python()
        self.uid = os.getuid() or NOBODYS_UID
        self.has_penalties = self._version() >= (9, 8)
        self.dir = self.keeper = self.key_server = None
        self.servers = {}
        self.serial = None  # a serial.SerialHost, set before start()
        self.lock = threading.RLock()

    def _version(self):
        done = subprocess.run([self.sshd, "-V"], capture_output=True, check=False)
        match = re.search(rb"OpenSSH_(\d+)\.(\d+)", done.stderr + done.stdout)
        return tuple(map(int, match.groups())) if match else (0, 0)

    def make_key(self, kind, path):
        bits = ["-b", "2048"] if kind == "rsa" else []
        done = subprocess.run([self.keygen, "-q", "-t", kind, *bits, "-N", "", "-C", "host",
                               "-f", path], stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise SetupError("ssh-keygen could not make a host key")

    def rsa_key(self):
        path = os.path.join(self.dir, "host_rsa")
        with self.lock:
            if not os.path.exists(path + ".pub"):
                self.make_key("rsa", path)
        return path

    @property
    def key_socket(self):
        return os.path.join(self.dir, "k.sock")

    def start(self):
        self.dir = private_dir(self.uid)
        self.keeper = shutil.copy(os.path.join(os.path.dirname(__file__), "keeper.py"), self.dir)
        os.chmod(self.keeper, 0o644)
        owner = self.uid if os.getuid() != self.uid else None
        self.key_server = ControlServer(self.key_socket, {"lookup": self._lookup}, owner)
        wanted = [i for i in self.sim.world.data["instances"]
                  if i["state"] == "running" and i["targets"].get("22") == "sshd"]
        failures = []
        threads = [threading.Thread(target=self._start_one, args=(i, failures)) for i in wanted]
        threads.append(threading.Thread(target=self._start_serial, args=(failures,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _start_one(self, instance, failures):
        try:
            server = Sshd(self, instance)
            server.prepare()
            server.start()
            self.servers[instance["id"]] = server
        except (SetupError, OSError) as e:
            failures.append(e)

    def _start_serial(self, failures):
        try:
            self.serial.start()
        except (SetupError, OSError) as e:
            failures.append(e)

    def replace(self, old, instance):
        """An instance has taken the place of another."""
        self.servers.pop(old).stop()
        failures = []
        self._start_one(instance, failures)
        self.serial.sshd.learn()
        if failures:
            raise failures[0]

    def stop(self):
        for server in self.servers.values():
            server.stop()
        if self.serial:
            self.serial.stop()
        if self.key_server:
            self.key_server.stop()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _lookup(self, instance, user, fingerprint):
        """The active keys of this instance and user, for the lookup script."""
        time.sleep(self.sim.world.settings["key_delay_ms"] / 1000)
        world = self.sim.world
        if instance == self.serial.ID:
            keys = self.serial.keys(user)
        elif world.accepts_keys(instance):
            keys = [k["key"] for k in world.active_keys(instance, user)]
        else:
            keys = []
        self.sim.journal.add("key-lookup", instance=instance, user=user, fingerprint=fingerprint,
                             active=len(keys))
        return keys

    def address(self, instance_id):
        server = self.servers.get(instance_id)
        return f"127.0.0.1:{server.port}" if server and server.running() else None

    def _server(self, instance):
        for server in self.servers.values():
            if instance in (server.instance["id"], server.instance["name"]):
                return server
        raise ValueError(f"no sshd for the instance '{instance}'")

    def control(self, instance, action, options):
        """info, stop, start, restart or new-host-key; options replace sshd_config keywords."""
        if instance is None:
            return [server.describe() for server in self.servers.values()]
        server = self._server(instance)
        with self.lock:
            if action != "info":
                if action not in ("stop", "start", "restart", "new-host-key"):
                    raise ValueError(f"sshd knows no action '{action}'")
                server.stop()
                server.options.update(options)
                if action == "new-host-key":
                    server.new_host_keys()
                if action != "stop":
                    server.start()
        return server.describe()
