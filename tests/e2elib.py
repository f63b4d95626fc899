"""What the end-to-end tests share: a simulator with real sshds, the program under test in a clean
environment, terminals, time limits, PASS, FAIL and SKIP lines.

A test is a function with one parameter, the World; it raises AssertionError to fail and Skip to
be skipped. Each gets a home directory of its own; journal, faults and settings are put back
before it. After each the world must be clean: no rule of AWS broken, no tunnel left open, no
process left, no private key in any file.
"""

import argparse
import contextlib
import fcntl
import fnmatch
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)

MIB = 1 << 20
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
LOOK_SECONDS = 15.0


class Skip(Exception):
    """The test cannot run here; the text says what is missing."""


class Overdue(BaseException):
    """A test ran into its time limit; no handler inside it may swallow this."""


# checks

def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def contains(text, wanted, what):
    check(wanted in text, f"{what}: {wanted!r} is not in {text!r}")


def matches(text, pattern, what):
    check(re.search(pattern, text), f"{what}: {pattern!r} does not match {text!r}")


def eventually(get, wanted, what, seconds=LOOK_SECONDS):
    """As equal, but what is got may take a little time to become right."""
    end = time.monotonic() + seconds
    while get() != wanted and time.monotonic() < end:
        time.sleep(0.02)
    equal(get(), wanted, what)


def need(program, package):
    """The path of a program; Skip names the package when it is missing."""
    path = shutil.which(program, path=PATH)
    if path is None:
        raise Skip(f"{program} is missing: install the package {package}")
    return path


# processes

class Result:
    """What became of a program."""

    def __init__(self, status, out, err, seconds):
        self.status = status
        self.out = out
        self.err = err.decode("utf-8", "replace")
        self.seconds = seconds

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    def expect(self, status, what="status"):
        check(self.status == status,
              f"{what}: got {self.status}, wanted {status}; stderr: {self.err[-1500:]!r}; "
              f"stdout: {self.out[-300:]!r}")
        return self


def memory_kib(pid):
    """VmRSS of a running process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory: it is dead")


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5) is index 0)."""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
        return f.read().rpartition(")")[2].split()


def cpu_ticks(pid):
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12])


class Terminal:
    """A program on a pseudo terminal of its own, of which it is the session leader."""

    def __init__(self, argv, env, columns=80, rows=24, split_stderr=False,
                 stdout=None):
        self.master, self.slave = os.openpty()
        self.resize(columns, rows, None)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.argv = argv
        stderr = subprocess.PIPE if split_stderr else self.slave
        self.process = subprocess.Popen(
            [need("setsid", "util-linux"), "--ctty", *argv], stdin=self.slave,
            stdout=stdout or self.slave, stderr=stderr, env=env, bufsize=0)

    def resize(self, columns, rows, pid):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if pid is not None:
            os.kill(pid, signal.SIGWINCH)

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def expect(self, pattern, seconds=15):
        """Reads until the pattern is there; forgets what was before its end; returns the match."""
        end = time.monotonic() + seconds
        wanted = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        while True:
            match = wanted.search(self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            over = time.monotonic() > end or self.process.poll() is not None
            check(self._read(0.1) or not over, f"{pattern!r} does not come: {self.seen!r}")

    def _read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def drain(self, seconds=0.2):
        while self._read(seconds):
            pass
        return self.seen

    def wait(self, seconds=15):
        """The exit status; what it still says is read all the while."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            check(time.monotonic() < end, f"it does not end: {self.seen!r}")
            self._read(0.02)
        self.drain(0.05)
        return self.process.returncode

    def modes(self):
        return termios.tcgetattr(self.slave)

    def restored(self, what):
        equal(self.modes(), self.before, f"terminal modes {what}")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)


# the world

class World:
    """A simulator, the program under test, and a home directory."""

    def __init__(self, program, helpers=(), sshd=True):
        self.program = os.path.abspath(program)
        self.helpers = {os.path.basename(path): os.path.abspath(path) for path in helpers}
        self.name = os.path.relpath(self.program, ROOT)
        self.instrumented = re.search(r"/(asan|tsan)/", self.program) is not None
        self.temp = tempfile.mkdtemp(prefix="eice-e2e-")
        self.sim = Simulator(sshd=sshd, directory=os.path.join(self.temp, "sim"))
        self.sim.start()
        self.original = self.sim.world.snapshot()
        self.home = None
        self.homes = 0
        self.processes = []
        self.notes = []

    def close(self):
        self.sim.stop()
        shutil.rmtree(self.temp, ignore_errors=True)

    def fresh(self):
        """A new home; journal, faults, clock and world as they were."""
        self.homes += 1
        self.home = os.path.join(self.temp, f"home{self.homes}")
        os.makedirs(os.path.join(self.home, "tmp"), mode=0o700)
        os.chmod(self.home, 0o700)
        self.sim.ctl("clear")
        self.sim.world.restore(self.original)
        self.notes = []

    def helper(self, name):
        """A C program of ours: given on the command line, or where `make` puts it."""
        path = self.helpers.get(name, os.path.join(ROOT, "build/tests/native", name))
        if not os.access(path, os.X_OK):
            raise Skip(f"{os.path.relpath(path, ROOT)} is not built: run make test-programs")
        return path

    # environment

    def env(self, *without, credential="admin", **more):
        """Nothing is inherited. `without` names variables to leave out."""
        out = {"PATH": PATH, "HOME": self.home, "TMPDIR": os.path.join(self.home, "tmp"),
               "LANG": "C.UTF-8", "TERM": "xterm", "USER": "tester", "LOGNAME": "tester",
               "AWS_EC2_METADATA_DISABLED": "true",
               "ASAN_OPTIONS": "exitcode=86:abort_on_error=0", "UBSAN_OPTIONS":
               "halt_on_error=1:exitcode=86:print_stacktrace=1", "TSAN_OPTIONS": "exitcode=86"}
        out.update(self.sim.env(credential))
        out["XDG_STATE_HOME"] = os.path.join(self.home, "state")
        out.update(more)
        for name in without:
            out.pop(name, None)
        return out

    @property
    def known_hosts(self):
        return os.path.join(self.home, "state", "eice", "known_hosts")

    def path(self, *parts):
        return os.path.join(self.home, *parts)

    def write(self, name, content, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)
        return path

    # programs

    def start(self, argv, env=None, **options):
        """A process that is killed at the end of the test if it still runs."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(argv, env=env or self.env(), bufsize=0, cwd=self.home,
                                   **options)
        self.processes.append(process)
        return process

    def run(self, argv, data=None, env=None, seconds=30, **options):
        """Runs a program to its end with `data` as its standard input."""
        if data is not None:
            options["stdin"] = subprocess.PIPE
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        started = time.monotonic()
        process = self.start(argv, env, **options)
        try:
            out, err = process.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{argv} does not end within {seconds} s; "
                                 f"stderr: {err and err[-1500:]!r}") from None
        return Result(process.returncode, out or b"", err or b"", time.monotonic() - started)

    def eice(self, *arguments, **options):
        return self.run([self.program, *arguments], **options)

    def spawn(self, *arguments, **options):
        return self.start([self.program, *arguments], **options)

    @contextlib.contextmanager
    def terminal(self, *arguments, env=None, **options):
        terminal = Terminal([self.program, *arguments], env or self.env(), **options)
        try:
            yield terminal
        finally:
            terminal.close()

    # the simulator

    def requests(self, action=None, **fields):
        if action:
            fields["action"] = action
        return self.sim.journal.select(0, kind="request", **fields)

    def actions(self):
        """How often each action was asked for."""
        out = {}
        for entry in self.requests():
            out[entry["action"]] = out.get(entry["action"], 0) + 1
        return out

    def tunnels(self):
        return sum(self.sim.ctl("tunnels").values())

    def sshd(self, instance, action="info", **options):
        return self.sim.ctl("sshd", instance=instance, action=action, **options)

    def remote_home(self, instance="web-1", user="ec2-user"):
        return os.path.join(self.sshd(instance)["home"], user)

    def restart_sshd(self, instance, **options):
        """Ends its sessions, and puts its options back at the end of the block."""
        before = dict(self.sshd(instance)["options"])

        @contextlib.contextmanager
        def block():
            self.sshd(instance, "restart", **options)
            try:
                yield
            finally:
                server = self.sim.sshds.servers[self.sim.world.instance(instance)["id"]]
                server.options = before
                self.sshd(instance, "restart")
        return block()

    def note(self, text):
        """A figure to be shown behind PASS."""
        self.notes.append(text)

    # after a test

    def kill_left(self):
        """Ends what still runs; returns how many did."""
        left = 0
        for process in self.processes:
            if process.poll() is None:
                left += 1
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        self.processes.clear()
        return left

    def check_clean(self):
        equal(self.kill_left(), 0, "processes still running")
        equal(self.sim.journal.violations(), [], "rules broken")
        equal(self.sim.journal.bugs, [], "faults of the simulator")
        eventually(self.tunnels, 0, "tunnels left open")
        equal(private_keys(self.home), [], "files with a private key")


PRIVATE = re.compile(rb"BEGIN [A-Z ]*PRIVATE KEY|openssh-key-v1")


def private_keys(directory):
    """Files that hold one and were not made by the test itself (those are called test_…)."""
    found = []
    for base, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(base, name)
            if name.startswith("test_") or os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                if PRIVATE.search(f.read(MIB)):
                    found.append(path)
    return found


def pick_lines(text, start="eice: "):
    return [line for line in text.splitlines() if line.startswith(start)]


def json_line(text):
    """The only line of a text, as JSON."""
    lines = text.strip().splitlines()
    equal(len(lines), 1, f"lines of {text!r}")
    return json.loads(lines[0])


# servers

class Server:
    """Calls `serve(connection)` in a thread for each connection."""

    def __init__(self, serve, path=None, host="127.0.0.1"):
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.listener.listen(128)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.listener = socket.create_server((host, 0), backlog=128, family=family)
            self.port = self.listener.getsockname()[1]
        self.serve = serve
        self.count = 0
        threading.Thread(target=self._loop, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _loop(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock):
        with sock, contextlib.suppress(OSError):
            self.serve(sock)


class ConnectProxy(Server):
    """An HTTP proxy that knows CONNECT only. Whatever name is asked for, it dials `target`."""

    def __init__(self, target, authorization=None, host="127.0.0.1"):
        self.target = target
        self.authorization = authorization
        self.seen = []
        super().__init__(self._proxy, host=host)

    def _proxy(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        lines = head.decode("latin-1").split("\r\n")
        method, name, _ = lines[0].split(" ")
        fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        self.seen.append((method, name))
        if fields.get("proxy-authorization") != self.authorization:
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                         b"Proxy-Authenticate: Basic realm=\"test\"\r\n"
                         b"Content-Length: 0\r\n\r\n")
            return
        with socket.create_connection(self.target) as peer:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _carry(sock, peer)


def _carry(one, other):
    """Bytes both ways until one side ends."""
    pairs = {one: other, other: one}
    while True:
        for sock in select.select(list(pairs), [], [])[0]:
            data = sock.recv(65536)
            if not data:
                return
            pairs[sock].sendall(data)


# running

TESTS = []


def test(function=None, *, seconds=40):
    """Marks a test and says how long it may take at most."""
    def mark(body):
        body.seconds = seconds
        TESTS.append(body)
        return body
    return mark(function) if function else mark


def _on_alarm(*_):
    raise Overdue


def _run_one(world, body, scale):
    """PASS, FAIL or SKIP, and why."""
    world.fresh()
    signal.setitimer(signal.ITIMER_REAL, body.seconds * scale)
    try:
        body(world)
        world.check_clean()
        return "PASS", ", ".join(world.notes)
    except Skip as e:
        return "SKIP", str(e)
    except AssertionError as e:
        return "FAIL", str(e) or "an assertion without text"
    except Overdue:
        return "FAIL", f"not done after {body.seconds * scale} s"
    except Exception as e:  # a broken test must not hide those behind it
        return "FAIL", f"{type(e).__name__}: {e}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        world.kill_left()
        shutil.rmtree(world.home, ignore_errors=True)


def _wanted(names):
    if not names:
        return TESTS
    return [t for t in TESTS if any(fnmatch.fnmatch(t.__name__, n) for n in names)]


def main(description):
    """Runs the tests of the calling module; returns the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--eice", default=os.path.join(ROOT, "build/eice"), metavar="PROGRAM")
    parser.add_argument("--list", action="store_true", help="only show the names")
    parser.add_argument("--times", action="store_true", help="show how long each test took")
    parser.add_argument("names", nargs="*", help="patterns of names, all tests when there is none; "
                        "with a slash: a program that tests use")
    options = parser.parse_args()
    chosen = _wanted([n for n in options.names if "/" not in n])
    if options.list:
        print("\n".join(t.__name__ for t in chosen))
        return 0
    if not chosen or not os.access(options.eice, os.X_OK):
        print(f"FAIL {options.eice}: no such program" if chosen else "FAIL no such test")
        return 1
    signal.signal(signal.SIGALRM, _on_alarm)
    # What a shell has put into the background ignores it, and so would all that is run here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    world = World(options.eice, [n for n in options.names if "/" in n])
    failed = 0
    try:
        for body in chosen:
            started = time.monotonic()
            verdict, why = _run_one(world, body, 2 if world.instrumented else 1)
            failed += verdict == "FAIL"
            took = f" [{time.monotonic() - started:.1f} s]" if options.times else ""
            why = " ".join(why.split())
            print(f"{verdict} {body.__name__}{': ' + why if why else ''}{took}", flush=True)
    finally:
        world.close()
    return 1 if failed else 0
