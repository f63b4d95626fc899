"""The control channel: a UNIX socket that takes one JSON object a line and answers with one."""

import json
import os
import socket
import threading

from . import faults as faults_module
from . import console, iam
from .world import filler_instances

LINE_MAX = 1 << 20


class ControlServer:
    """Serves a table {command: function(**arguments)} on a UNIX socket."""

    def __init__(self, path, table, owner=None):
        self.path = path
        self.table = table
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        os.chmod(path, 0o600)
        if owner is not None:
            os.chown(path, owner, owner)
        self.listener.listen(64)
        self.running = True
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if not self.running:
                sock.close()
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rwb") as stream:
            for line in stream:
                try:
                    result = {"ok": self.perform(json.loads(line))}
                except Exception as e:  # the asker must get an answer, whatever went wrong
                    result = {"error": f"{type(e).__name__}: {e}"}
                stream.write(json.dumps(result).encode() + b"\n")
                stream.flush()

    def perform(self, request):
        request = dict(request)
        command = request.pop("command")
        if command not in self.table:
            raise ValueError(f"no command is called '{command}'")
        return self.table[command](**request)

    def stop(self):
        self.running = False
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


def ask(path, command, **arguments):
    """One command to a running simulator; RuntimeError carries its complaint."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        with sock.makefile("rwb") as stream:
            stream.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline(LINE_MAX * 64))
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["ok"]


def parse_value(text):
    """A command-line value: JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


class Commands:
    """The control commands; each public method is one, its docstring the help."""

    def __init__(self, sim):
        self.sim = sim
        self.world = sim.world

    def table(self):
        return {name.replace("_", "-"): getattr(self, name) for name in COMMAND_NAMES}

    def info(self):
        """port, pid, CA file, environment"""
        return {"port": self.sim.port, "pid": os.getpid(), "ca": self.sim.ca_file,
                "dir": self.sim.dir, "env": self.sim.env()}

    def env(self, credential="admin"):
        """the environment for a client; credential=admin|temporary|expired|denied|limited"""
        return self.sim.env(credential)

    def journal(self, since=0, **fields):
        """what happened; since=N, and fields to match, such as kind=request action=openTunnel"""
        return self.sim.journal.select(int(since), **fields)

    def count(self, **fields):
        """how many journal entries match, such as action=SendSSHPublicKey"""
        return len(self.sim.journal.select(0, **fields))

    def violations(self):
        """the rules that the client broke"""
        return self.sim.journal.violations()

    def clear(self):
        """forget journal, violations, faults and clock offset"""
        self.sim.journal.clear()
        self.sim.faults.clear()
        self.world.offset = 0.0
        if self.sim.sshds:
            self.sim.sshds.serial.forget()

    def fault(self, kind, **options):
        """switch a fault on, see below; gives its id"""
        return self.sim.faults.add(kind, **options)

    def faults(self):
        """the faults that are on"""
        return self.sim.faults.describe()

    def clear_faults(self, id=None):
        """switch one fault off (id=N), or all"""
        self.sim.faults.clear(None if id is None else int(id))

    def kinds(self):
        """the faults there are, with their parameters"""
        return {kind: {"stage": stage, "parameters": parameters, "help": text}
                for kind, (stage, parameters, text) in faults_module.KINDS.items()}

    def clock(self, offset=0):
        """set the server's clock to so many seconds ahead of ours"""
        self.world.offset = float(offset)
        return self.world.clock()

    def rtt(self, ms=0):
        """simulated round-trip time of new connections"""
        self.sim.world_rtt = float(ms) / 1000

    def resume(self, on=1):
        """TLS session resumption on (1) or off (0)"""
        self.sim.resume = bool(int(on))

    def setting(self, name, value):
        """change a setting of the world, such as name=quota value=2"""
        if name not in self.world.settings:
            raise ValueError(f"no setting is called '{name}'")
        self.world.settings[name] = parse_value(value)

    def settings(self):
        """the settings of the world"""
        return self.world.settings

    def instance(self, id, **fields):
        """show or change an instance: id=ID-or-name [state=stopped] [targets={"22":"echo"}] …"""
        entry = self.world.instance(id)
        if entry is None:
            raise ValueError(f"no instance is called '{id}'")
        return self._change(entry, fields)

    def endpoint(self, id, **fields):
        """show or change an endpoint: id=eice-… [state=…] [address_type=ipv4] …"""
        entry = self.world.endpoint(id)
        if entry is None:
            raise ValueError(f"no endpoint is called '{id}'")
        return self._change(entry, fields)

    def _change(self, entry, fields):
        unknown = set(fields) - set(entry)
        if unknown:
            raise ValueError(f"no member is called '{', '.join(sorted(unknown))}'")
        with self.world.lock:
            entry.update({k: parse_value(v) for k, v in fields.items()})
            return dict(entry)

    def policy(self, credential, document=None, kind=None):
        """show or replace a policy: credential=NAME document=JSON, a list of them, allow or deny;
        kind="service control policy" and the like: one that has to allow besides"""
        entry = self.world.credential(credential)
        if entry is None:
            raise ValueError(f"no credential is called '{credential}'")
        if document is not None:
            given = SHORT_POLICIES.get(document) if isinstance(document, str) else None
            given = given or iam.as_list(parse_value(document))
            given = [iam.check(d) for d in given]
            if kind is not None:
                entry["guards"][kind] = given
                return given
            entry["policy"] = given
            entry["guards"].clear()
        return entry["policy"]

    def boot(self, id, how="reboot", size=65536):
        """let an instance: how=reboot, restart, reimage, be replaced: replace, or chatter size=N"""
        entry = self.world.instance(id)
        if entry is None:
            raise ValueError(f"no instance is called '{id}'")
        return console.boot(self.sim, entry, how, size)

    def serial(self):
        """hosts, port, host key and fingerprint of the serial console host; who is on it"""
        if self.sim.sshds is None:
            raise ValueError("started without --sshd")
        return self.sim.sshds.serial.describe()

    def tables(self, name, id=None, value=None):
        """show or change vpcs, subnets, groups, acls, route_tables, peerings, prefix_lists,
        images: name=TABLE [id=ID [value=JSON or null]]"""
        if name not in TABLES:
            raise ValueError(f"name is one of {', '.join(TABLES)}")
        table = self.world.data[name]
        with self.world.lock:
            if value is not None:
                given = parse_value(value)
                if given is None:
                    del table[id]
                else:
                    table[id] = {**table.get(id, {}), **given} if isinstance(given, dict) \
                        else given
        return table if id is None else table.get(id)

    def add_instances(self, count):
        """add so many fillers"""
        with self.world.lock:
            self.world.data["instances"] += filler_instances(int(count))

    def keys(self, instance=None, user=None):
        """the pushed keys that are still valid"""
        return self.world.active_keys(instance, user)

    def tunnels(self):
        """open tunnels by endpoint"""
        return dict(self.sim.tunnels)

    def sshd(self, instance=None, action="info", **options):
        """info, stop, start, restart, new-host-key of an instance's sshd; option=VALUE lines"""
        if self.sim.sshds is None:
            raise ValueError("started without --sshd")
        if action == "new-host-key":
            # the console has shown the old keys, whether anybody asked or not
            console.log_of(self.sim, self.world.instance(instance))
        return self.sim.sshds.control(instance, action, options)

    def quit(self):
        """stop the simulator"""
        threading.Thread(target=self.sim.request_quit, daemon=True).start()


SHORT_POLICIES = {"allow": [{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"}]}], "deny": [{"Statement": []}]}
TABLES = ("vpcs", "subnets", "groups", "acls", "route_tables", "peerings", "prefix_lists",
          "images")
COMMAND_NAMES = ("info", "env", "journal", "count", "violations", "clear", "fault", "faults",
                 "clear_faults", "kinds", "clock", "rtt", "resume", "setting", "settings",
                 "instance", "endpoint", "policy", "boot", "serial", "tables", "add_instances",
                 "keys", "tunnels", "sshd", "quit")
