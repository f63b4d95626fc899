"""What the failure table runs on: a simulator a worker, a clean room a row, and the checks that
every row shares: name, stage and text of the error, status, time, CPU, secrets, leftovers.
"""

import contextlib
import copy
import dataclasses
import json
import os
import pty
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import termios
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)

QUICK = ("--connect-timeout", "2", "--answer-timeout", "2")
SSH = ("ssh", "web-1", "echo hi")
GRACE = 10.0  # after its bound a row is killed
SIGNAL_SECONDS = 2.0
SLOT_SECONDS = 2.0
ALLOWED_FILES = r"^state(/eice(/known_hosts(\.lock)?)?)?$"


class Failure(Exception):
    """The row is red; the text says why."""


class Skip(Exception):
    """The row cannot be run here; the text says why."""


@dataclasses.dataclass
class Row:
    """One way to fail (or, without `error`, to succeed all the same).

    `args` and `env` may use {names} that the fixture yields; an env value of None takes the
    variable away. `shell` holds redirections, such as "<&-". `faults` are (kind, {parameters});
    `world` are control commands of the simulator, as (command, {arguments}). `drive` replaces
    the plain run of the program; `secrets` are more texts that it must not show.
    """
    name: str
    args: tuple = SSH
    error: str = None
    stage: str = None
    status: int = None
    cause: str = ""
    remedy: str = ""
    seconds: float = 4.0
    cpu: float = 1.0
    faults: tuple = ()
    world: tuple = ()
    credential: str = "admin"
    env: dict = dataclasses.field(default_factory=dict)
    stdin: bytes = None
    stdout: bytes = None
    warnings: tuple = ()
    quick: bool = True
    json: bool = True
    shell: str = ""
    fixture: object = None
    prepare: object = None
    drive: object = None
    check: object = None
    retryable: bool = None
    secrets: tuple = ()

    def expected_status(self):
        if self.status is not None:
            return self.status
        if self.error is None:
            return 0
        return 255 if "ssh" in self.args else 1


@dataclasses.dataclass
class Result:
    status: int
    seconds: float
    cpu: float
    out: bytes
    err: str

    def lines(self):
        return [line for line in self.err.splitlines() if not line.startswith("{")]

    def warnings(self):
        return [line for line in self.lines() if line.startswith("eice: warning: ")]

    def errors(self):
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


class Child:
    """The program in a session of its own, with its output in files."""

    def __init__(self, argv, env, room, stdin=subprocess.DEVNULL, stdout=None):
        self.files = {name: open(os.path.join(room, "." + name), "w+b") for name in ("out", "err")}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv, env=env, cwd=room, stdin=stdin, stderr=self.files["err"],
            stdout=self.files["out"] if stdout is None else stdout, start_new_session=True)
        self.ended = None
        self.status = None
        self.usage = None

    def poll(self):
        """True once it has ended."""
        if self.status is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.ended = time.monotonic()
                self.process.returncode = self.status = os.waitstatus_to_exitcode(status)
                self.usage = usage
        return self.status is not None

    def wait(self, seconds):
        """Waits for the end; kills it and raises when that does not come."""
        end = time.monotonic() + seconds
        while not self.poll():
            if time.monotonic() > end:
                said = self.text("err")
                self.process.kill()
                while not self.poll():
                    time.sleep(0.01)
                raise Failure(f"still running after {seconds:.1f} s; it said: {said[-300:]!r}")
            time.sleep(0.005)

    def kill(self):
        if not self.poll():
            self.process.kill()
            while not self.poll():
                time.sleep(0.01)
        for file in self.files.values():
            file.close()

    def data(self, name):
        self.files[name].flush()
        with open(self.files[name].name, "rb") as f:
            return f.read()

    def text(self, name):
        return self.data(name).decode("utf-8", "replace")

    def result(self):
        return Result(self.status, self.ended - self.began,
                      self.usage.ru_utime + self.usage.ru_stime, self.data("out"),
                      self.text("err"))

    def group_alive(self):
        """Does anything it started still live?"""
        try:
            os.killpg(self.process.pid, 0)
            return True
        except OSError:
            return False


class Room:
    """One row's surroundings: the worker's simulator, a fresh home, an environment."""

    def __init__(self, program, sim, row):
        self.program = program
        self.sim = sim
        self.row = row
        self.dir = tempfile.mkdtemp(prefix="eice-fail-")
        self.values = {"sim": sim.port}
        self.child = None
        self.keep = set()

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        for part in (name, os.path.dirname(name)):
            self.keep.add(part)
        return path

    def env(self):
        out = {"PATH": "/usr/bin:/bin", "HOME": self.dir, "TMPDIR": self.dir, "TERM": "dumb",
               "XDG_STATE_HOME": self.path("state"), "LANG": "C.UTF-8",
               "AWS_EC2_METADATA_DISABLED": "true", **self.sim.env(self.row.credential)}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                out[name] = os.environ[name]
        for name, value in self.row.env.items():
            if value is None:
                out.pop(name, None)
            else:
                out[name] = value.format(**self.values)
        return out

    def argv(self):
        given = [a.format(**self.values) for a in self.row.args]
        quick = list(QUICK) if self.row.quick else []
        argv = [self.program, *(["--json"] if self.row.json else []), "-v", *quick, *given]
        if self.row.shell:
            argv = ["/bin/sh", "-c", 'exec "$0" "$@" ' + self.row.shell, *argv]
        return argv

    def start(self, **options):
        self.child = Child(self.argv(), self.env(), self.dir, **options)
        return self.child

    def run(self):
        """The plain way: stdin from the row, to its end."""
        stdin = subprocess.DEVNULL
        if self.row.stdin is not None:
            stdin = tempfile.TemporaryFile()
            stdin.write(self.row.stdin)
            stdin.seek(0)
        child = self.start(stdin=stdin)
        child.wait(self.row.seconds + GRACE)

    def until(self, condition, what, seconds=10.0):
        end = time.monotonic() + seconds
        while not condition():
            if self.child and self.child.poll():
                raise Failure(f"ended with {self.child.status} before {what}: "
                              f"{self.child.text('err')[-400:]!r}")
            if time.monotonic() > end:
                raise Failure(f"no {what} in {seconds:.0f} s")
            time.sleep(0.005)

    def struck(self, kind):
        """Has a fault of this kind struck yet?"""
        return any(f["kind"] == kind and f["struck"] for f in self.sim.ctl("faults"))

    def close(self):
        if self.child:
            self.child.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # what every row is held to

    def secrets(self):
        entry = self.sim.world.credential(self.row.credential)
        found = [entry["secret"], entry["token"]]
        found += [self.env().get(n) for n in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
        found += [*self.row.secrets, "X-Amz-Signature", "X-Amz-Security-Token", "Signature=",
                  "PRIVATE KEY"]
        return [s for s in found if s]

    def check_secrets(self, result):
        text = result.out.decode("utf-8", "replace") + result.err
        for secret in self.secrets():
            if secret in text:
                raise Failure(f"the output holds a secret: {secret[:6]}...")

    def check_left(self):
        """Nothing is left: process, tunnel, file."""
        if self.child.group_alive():
            raise Failure("a process it started is left")
        end = time.monotonic() + SLOT_SECONDS
        while any(self.sim.tunnels.values()):
            if time.monotonic() > end:
                raise Failure(f"a tunnel is left: {self.sim.tunnels}")
            time.sleep(0.01)
        for path, folders, files in os.walk(self.dir):
            for name in folders + files:
                short = os.path.relpath(os.path.join(path, name), self.dir)
                if (not re.search(ALLOWED_FILES, short) and short not in self.keep
                        and not short.startswith(".")):
                    raise Failure(f"a file is left: {short}")

    def check_rules(self):
        broken = self.sim.ctl("violations")
        if broken:
            raise Failure(f"the simulator saw a violation: {broken[0]}")
        if self.sim.journal.bugs:
            raise Failure(f"the simulator failed: {self.sim.journal.bugs[-1][-300:]}")


def need(condition, text):
    if not condition:
        raise Failure(text)


def check_error(row, result):
    """The one error, as JSON, is the expected one and says cause and remedy."""
    errors = result.errors()
    need(len(errors) == 1, f"{len(errors)} errors were reported: {result.err[-400:]!r}")
    error = errors[0]
    said = f"{error['error']} {error.get('stage')}: {error.get('message')}"
    need(error["error"] == row.error, f"expected {row.error}, got {said}")
    need(row.stage in (None, error.get("stage")), f"expected stage {row.stage}, got {said}")
    message = error.get("message", "")
    remedy = error.get("remedy", "")
    need(re.search(row.cause, message), f"no cause /{row.cause}/ in \"{message}\"")
    need(row.remedy and re.search(row.remedy, remedy),
         f"no remedy /{row.remedy}/ in \"{remedy}\"")
    need(not message.endswith("."), f"a final period: \"{message}\"")
    if row.retryable is not None:
        need(error["retryable"] == row.retryable, f"retryable is {error['retryable']}")


def check_plain(row, result):
    """The same, as people see it."""
    lines = [line for line in result.lines() if not line.startswith("eice:  ")]
    text = "\n".join(lines)
    need(not result.errors(), "JSON was not asked for")
    need(re.search(row.cause, text, re.M), f"no cause /{row.cause}/ in {text!r}")
    need(re.search("^eice: hint: .*(" + row.remedy + ")", text, re.M), f"no hint in {text!r}")


def check_row(room, result):
    row = room.row
    need(result.status == row.expected_status(),
         f"status {result.status}, expected {row.expected_status()}: {result.err[-500:]!r}")
    if row.error is None:
        need(not result.errors(), f"an error was reported: {result.err[-400:]!r}")
    else:
        (check_error if row.json else check_plain)(row, result)
    got = result.warnings()
    need(len(got) == len(row.warnings), f"warnings: {got}")
    for pattern, line in zip(row.warnings, got):
        need(re.search(pattern, line), f"no /{pattern}/ in \"{line}\"")
    if row.stdout is not None:
        need(result.out == row.stdout, f"stdout is {result.out[:200]!r} "
             f"({len(result.out)} bytes, {len(row.stdout)} expected)")
    need(result.seconds <= row.seconds, f"took {result.seconds:.2f} s of {row.seconds} s")
    need(result.cpu <= row.cpu, f"took {result.cpu:.2f} s of CPU")
    need("Sanitizer" not in result.err and "runtime error" not in result.err,
         f"sanitizer: {result.err[-1500:]}")


# --- drivers: other ways to run the program -------------------------------------------------

def interrupted(number, when, **options):
    """A driver: starts, waits until `when(room)`, sends the signal, wants a quick end."""
    def drive(room):
        child = room.start(**{k: v() if callable(v) else v for k, v in options.items()})
        room.until(lambda: when(room), "the moment for the signal")
        time.sleep(0.05)
        sent = time.monotonic()
        os.kill(child.process.pid, number)
        child.wait(SIGNAL_SECONDS + GRACE)
        took = child.ended - sent
        need(took <= SIGNAL_SECONDS, f"ended {took:.2f} s after the signal")
    return drive


def on_terminal(action):
    """A driver: stdin and stdout are a terminal; action(room, master) plays the user. The modes
    of the terminal must be the same afterwards."""
    def drive(room):
        master, slave = pty.openpty()
        try:
            before = termios.tcgetattr(slave)
            child = room.start(stdin=slave, stdout=slave)
            action(room, master)
            child.wait(room.row.seconds + GRACE)
            need(termios.tcgetattr(slave) == before, "the terminal is not as it was")
        finally:
            os.close(master)
            os.close(slave)
    return drive


def read_until(room, fd, wanted, seconds=10.0):
    """What comes from a descriptor until `wanted` (bytes) is in it."""
    os.set_blocking(fd, False)
    got = b""

    def seen():
        nonlocal got
        with contextlib.suppress(BlockingIOError, OSError):
            got += os.read(fd, 65536)
        return wanted in got
    room.until(seen, f"{wanted!r}", seconds)
    return got


# --- fixtures: peers of our own -------------------------------------------------------------

def _serve(listener, serve):
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_quietly, args=(serve, sock), daemon=True).start()


def _quietly(serve, sock):
    with contextlib.suppress(OSError, ssl.SSLError), sock:
        serve(sock)


@contextlib.contextmanager
def tcp_peer(serve):
    """A listener on a free port whose connections `serve(sock)` handles; yields {port}."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener, serve), daemon=True).start()
    try:
        yield {"port": listener.getsockname()[1]}
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def hold(sock):
    """Reads until the peer goes, never answers."""
    while sock.recv(4096):
        pass


@contextlib.contextmanager
def full_backlog(_):
    """A port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        time.sleep(0.1)
        probe = stack.enter_context(socket.socket())
        probe.settimeout(0.3)
        with contextlib.suppress(socket.timeout):
            probe.connect(listener.getsockname())
            raise Skip("this system's backlog of connections does not fill up")
        yield {"port": listener.getsockname()[1]}


@contextlib.contextmanager
def closed_port(_):
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield {"port": sock.getsockname()[1]}


def resolver(answer):
    """A name server; answer(query) gives the reply, or None for silence. Yields {resolv}."""
    @contextlib.contextmanager
    def fixture(room):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(0.1)
            stop = threading.Event()
            room.values["asked"] = 0

            def loop():
                while not stop.is_set():
                    with contextlib.suppress(socket.timeout):
                        query, peer = sock.recvfrom(512)
                        room.values["asked"] += 1
                        if (reply := answer(query)) is not None:
                            sock.sendto(reply, peer)
            thread = threading.Thread(target=loop, daemon=True)
            thread.start()
            try:
                port = sock.getsockname()[1]
                yield {"resolv": room.write("resolv.conf", f"nameserver [127.0.0.1]:{port}\n")}
            finally:
                stop.set()
                thread.join()
    return fixture


def dns_failure(code):
    """A reply with this code and no record."""
    def answer(query):
        return query[:2] + bytes([0x81, 0x80 | code]) + query[4:6] + bytes(6) + query[12:]
    return resolver(answer)


# --- running ---------------------------------------------------------------------------------

class Worker:
    """A simulator with real sshds, and the state it returns to after each row."""

    def __init__(self, program):
        self.program = program
        self.sim = Simulator(sshd=True)
        self.saved = copy.deepcopy({k: v for k, v in self.sim.world.data.items()
                                    if k != "credentials"})

    def __enter__(self):
        self.sim.start()
        return self

    def __exit__(self, *_):
        self.sim.stop()

    def reset(self):
        world = self.sim.world
        with world.lock:
            world.data.update(copy.deepcopy(self.saved))
            world.keys = []
        self.sim.ctl("clear")

    def run(self, row):
        """(verdict, text)"""
        room = Room(self.program, self.sim, row)
        try:
            with contextlib.ExitStack() as stack:
                self._play(room, stack)
            return "PASS", ""
        except Skip as e:
            return "SKIP", str(e)
        except Failure as e:
            return "FAIL", str(e)
        except Exception as e:  # the table must go on, whatever a row does
            return "FAIL", f"{type(e).__name__}: {e}"
        finally:
            room.close()
            self.reset()

    def _play(self, room, stack):
        row = room.row
        for command, arguments in row.world:
            self.sim.ctl(command, **arguments)
        for kind, options in row.faults:
            self.sim.ctl("fault", kind=kind, **options)
        if row.fixture:
            room.values.update(stack.enter_context(row.fixture(room)) or {})
        if row.prepare:
            row.prepare(room)
        (row.drive or Room.run)(room)
        result = room.child.result()
        room.check_secrets(result)
        check_row(room, result)
        room.check_left()
        if row.check:
            row.check(room, result)
        room.check_rules()


def _work(program, rows, todo, done):
    signal.signal(signal.SIGINT, lambda *_: None)  # the parent decides; children start afresh
    with Worker(program) as worker:
        while (index := todo.get()) is not None:
            began = time.monotonic()
            verdict, text = worker.run(rows[index])
            done.put((index, verdict, text, time.monotonic() - began))


def run_rows(program, rows, jobs, context):
    """Yields (row, verdict, text, seconds) as they end; `jobs` simulators at a time."""
    todo, done = context.Queue(), context.Queue()
    for index in range(len(rows)):
        todo.put(index)
    for _ in range(jobs):
        todo.put(None)
    workers = [context.Process(target=_work, args=(program, rows, todo, done)) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        for _ in rows:
            index, verdict, text, seconds = done.get(timeout=120)
            yield rows[index], verdict, text, seconds
    finally:
        for worker in workers:
            worker.join(20)
            if worker.is_alive():
                worker.kill()
