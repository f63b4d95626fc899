"""The Simulator: listener, connections, open tunnels, control socket, sshd, life and death."""

import contextlib
import itertools
import json
import os
import select
import shutil
import socket
import ssl
import tempfile
import threading
import traceback

from . import httpd
from .certs import Certs
from .conn import Conn
from .control import ControlServer, Commands
from .faults import Faults
from .journal import Journal
from .oidc import Issuer
from .serial import SerialHost
from .sigv4 import Verifier
from .sshd import Sshds
from .sso import Center
from .world import Region, World

STOP_SECONDS = 5.0
BACKLOG = 128
OTHER_REGION = "us-east-1"
TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _listeners(port):
    """Sockets on 127.0.0.1 and, where there is IPv6, on ::1 with the same port."""
    first = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    out = [first]
    with contextlib.suppress(OSError):
        out.append(socket.create_server(("::1", first.getsockname()[1]), backlog=BACKLOG,
                                        family=socket.AF_INET6))
    return out


class Simulator:
    """start() … stop(), or a context manager. Everything it makes is in `dir`."""

    def __init__(self, directory=None, port=0, world=None, fillers=0, endpoint_fillers=0,
                 key_type="ec", resume=True, rtt_ms=0.0, sshd=False, sshd_options=()):
        self.own_dir = directory is None
        self.dir = os.path.abspath(directory) if directory else tempfile.mkdtemp(prefix="eice-sim-")
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.port = port
        self.resume = resume
        self.world_rtt = rtt_ms / 1000
        self.key_type = key_type
        self.world = World(world, fillers, endpoint_fillers)
        if self.world.region != OTHER_REGION:
            self.world.others[OTHER_REGION] = Region(self.world, OTHER_REGION)
        self.faults = Faults()
        self.journal = Journal(os.path.join(self.dir, "journal.jsonl"))
        self.verifier = Verifier(self.world.credentials, self.world.clock,
                                 lambda: self.world.settings["replay_grace_ms"] / 1000)
        self.oidc = Issuer(self.dir, self.world.clock)
        self.sso = Center(self.world)
        self.sshd_options = sshd_options if sshd else None
        self.sshds = None
        self.certs = self.control = None
        self.listeners = []
        self.threads = set()
        self.lock = threading.Lock()
        self.tunnels = {}
        self.conn_numbers = itertools.count(1)
        self.stop_read, self.stop_write = os.pipe()
        self.stopping = threading.Event()
        self.quit_wanted = threading.Event()

    # life

    def start(self):
        """Binds, makes the certificates, starts the sshds. Raises SetupError."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self):
        self.certs = Certs(os.path.join(self.dir, "tls"), self.world.names(), self.key_type)
        self.listeners = _listeners(self.port)
        self.port = self.listeners[0].getsockname()[1]
        self.control = ControlServer(self.control_path, Commands(self).table())
        for listener in self.listeners:
            self._spawn(self._accept_loop, listener)
        if self.sshd_options is not None:
            self.sshds = Sshds(self, self.sshd_options)
            self.sshds.serial = SerialHost(self.sshds)
            self.sshds.start()
        with open(os.path.join(self.dir, "info.json"), "w", encoding="utf-8") as f:
            json.dump({"port": self.port, "pid": os.getpid(), "env": self.env()}, f)

    def stop(self):
        """Ends every connection, thread and process. Safe to call twice."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        os.write(self.stop_write, b"x")
        for listener in self.listeners:
            listener.close()
        if self.control:
            self.control.stop()
        if self.sshds:
            self.sshds.stop()
        with self.lock:
            threads = list(self.threads)
        for thread in threads:
            thread.join(STOP_SECONDS)
        self.journal.close()
        os.close(self.stop_read)
        os.close(self.stop_write)
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def request_quit(self):
        """Asks whoever waits for `quit_wanted` to stop us."""
        self.quit_wanted.set()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _spawn(self, function, *arguments):
        def body():
            try:
                function(*arguments)
            except Exception:
                self.journal.bug(traceback.format_exc())
            finally:
                with self.lock:
                    self.threads.discard(thread)
        thread = threading.Thread(target=body, daemon=True)
        with self.lock:
            self.threads.add(thread)
        thread.start()

    def _accept_loop(self, listener):
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.register(self.stop_read, select.POLLIN)
        while not self.stopping.is_set():
            poller.poll()
            if self.stopping.is_set():
                return
            try:
                sock, peer = listener.accept()
            except OSError:
                continue
            conn = Conn(sock, self.stop_read, self.world_rtt, peer[1])
            self._spawn(httpd.serve_connection, self, conn, next(self.conn_numbers))

    # what the services ask for

    def context(self, faults):
        """The TLS context for a connection, as the "tls" faults want it."""
        variant = faults["cert"]["variant"] if "cert" in faults else "good"
        fresh = "tls-max" in faults
        resume = self.resume and "no-resume" not in faults and not fresh
        context = self.certs.context(variant, resume)
        if fresh:
            context.maximum_version = TLS_VERSIONS[faults["tls-max"]["version"]]
        return context

    def open_tunnels(self, endpoint_id):
        with self.lock:
            return self.tunnels.get(endpoint_id, 0)

    @contextlib.contextmanager
    def tunnel_slot(self, endpoint_id, check):
        """Counts a tunnel while it is open; `check` raises when there is no room."""
        with self.world.lock:
            check()
            self._count(endpoint_id, 1)
        try:
            yield
        finally:
            self._count(endpoint_id, -1)

    def _count(self, endpoint_id, change):
        with self.lock:
            self.tunnels[endpoint_id] = self.tunnels.get(endpoint_id, 0) + change

    def sshd_address(self, instance_id):
        """HOST:PORT of the real sshd of an instance, or None."""
        return self.sshds.address(instance_id) if self.sshds else None

    # for tests

    @property
    def control_path(self):
        return os.path.join(self.dir, "ctl.sock")

    @property
    def ca_file(self):
        return self.certs.ca_file

    def env(self, credential="admin"):
        """The environment for `eice`, and nothing else."""
        entry = self.world.credential(credential)
        if entry is None:
            raise ValueError(f"no credential is called '{credential}'")
        out = {"AWS_ACCESS_KEY_ID": entry["access_key"], "AWS_SECRET_ACCESS_KEY": entry["secret"],
               "AWS_REGION": self.world.region, "AWS_CA_BUNDLE": self.ca_file,
               "EICE_CONNECT_TO": self._connect_to()}
        if entry["token"]:
            out["AWS_SESSION_TOKEN"] = entry["token"]
        return out

    def _connect_to(self):
        """Everything is here, but the serial console host has a port of its own."""
        rules = [f"::127.0.0.1:{self.port}"]
        if self.sshds:
            port = self.sshds.serial.sshd.port
            rules = [f"{h}:22:127.0.0.1:{port}" for h in self.sshds.serial.hosts()] + rules
        return " ".join(rules)

    def ctl(self, command, **arguments):
        """A control command, in process; see `python3 tools/sim ctl --help`."""
        return self.control.perform({"command": command, **arguments})
