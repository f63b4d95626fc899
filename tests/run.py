#!/usr/bin/python3
"""Runs the test programs, two at a time, and counts what they report.

usage: run.py [--list] [--jobs N] [WORD ...]

WORD runs only the programs whose name contains one of the words. Each program prints one line a
test, `PASS name`, `FAIL name: why` or `SKIP name: reason`; one that crashes, takes too long or
reports nothing counts as a failure, and so does a skip without a reason. The last line is
`N passed, M failed, S skipped`; the status is 0 only when nothing failed and, with
EICE_REQUIRE_ALL=1, nothing was skipped. `make test` builds the programs first.
"""

import argparse
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = sys.executable
LIMIT = 120  # seconds, unless a row says otherwise
TAIL = 40    # lines shown of a program that failed

# A Python driver says in its first lines which program it needs ("... is the program made of
# dns_lookup.c"). It gets the one with sanitizers, but for these, which would take too long.
NATIVE = {"crypto_helper", "cred_dump", "ssh_kex", "test_sigv4"}

# What a driver gets besides.
ARGUMENTS = {"ssh_algorithms": ["build/tests/native/ssh_session"],
             "stock": ["--eice", "build/stock/eice"],
             "failures": ["build/asan/eice"]}

# Drivers run once more, with the program with sanitizers: these tests of theirs.
AGAIN = {"e2e_cp": ["resumed", "connection_lost", "odd_names", "errors_go_on", "between_targets",
                    "connection_options", "disk_full_*", "hostile_servers"]}

# Only with EICE_LONG=1, as `make test-long` sets it.
LONG = {"trixie": 3600}

# Tests repeated under valgrind: (program, its argument: only tests with this word).
VALGRIND = [("test_base", ""), ("test_keys", ""), ("test_aws", ""), ("test_cred", ""),
            ("test_ws", "vector")]
# Variables of the caller's that would change what AWS and network programs do.
PASSED_ON = {"EICE_VECTORS", "EICE_REQUIRE_ALL", "EICE_SEED", "EICE_STRIDE", "EICE_LONG"}
CLEARED = r"(AWS_|EICE_|XDG_|MAKE|MFLAGS|SSH_)|.*(_proxy|_CA_BUNDLE|CERT_FILE|CERT_DIR)$"


class Program:
    """One row: a name, what to run, and for how long at most."""

    def __init__(self, name, argv, limit=LIMIT):
        self.name = name
        self.argv = argv
        self.limit = limit
        self.seconds = 0.0
        self.output = ""
        self.passed = []
        self.failed = []   # (test, why)
        self.skipped = []  # (test, reason)

    def read_results(self):
        for line in self.output.splitlines():
            match = re.match(r"(PASS|FAIL|SKIP) +(.+)", line)
            if not match:
                continue
            test, _, why = match[2].partition(": ")
            if match[1] == "PASS":
                self.passed.append(match[2])
            elif match[1] == "FAIL":
                self.failed.append((test, why or "no reason given"))
            elif why:
                self.skipped.append((test, why))
            else:
                self.failed.append((test, "skipped without a reason"))

    def judge(self, status):
        self.read_results()
        if status is None:
            self.failed.append((self.name, f"not finished after {self.limit} s"))
        elif status < 0:
            self.failed.append((self.name, f"ended by {signal.Signals(-status).name}"))
        elif status > 0 and not self.failed:
            self.failed.append((self.name, f"exit status {status}"))
        elif not (self.passed or self.failed or self.skipped):
            self.failed.append((self.name, "reported nothing"))


def kill_group(process):
    """Ends a program and what it has started: it leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Runner:
    def __init__(self, programs, jobs):
        self.queue = list(programs)
        self.jobs = jobs
        self.running = set()
        self.stopped = False
        self.lock = threading.Lock()
        self.tmp = tempfile.mkdtemp(prefix="eice-test-")
        os.chmod(self.tmp, 0o711)  # an sshd without rights may have its directory in here

    def environment(self):
        """The caller's, but for CLEARED, with a home and a temporary directory of its own."""
        kept = {name: value for name, value in os.environ.items()
                if not re.match(CLEARED, name, re.IGNORECASE)
                or name in PASSED_ON}
        home = os.path.join(self.tmp, "home")
        os.makedirs(home, mode=0o700, exist_ok=True)
        sanitizers = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
                      "UBSAN_OPTIONS": "print_stacktrace=1"}
        return {**kept, **sanitizers, "HOME": home, "TMPDIR": self.tmp,
                "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, program, out):
        with self.lock:
            if self.stopped:
                return None
            process = subprocess.Popen(program.argv, cwd=ROOT, env=self.environment(),
                                       stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(process)
            return process

    def run(self, program):
        began = time.monotonic()
        status = None
        with tempfile.TemporaryFile() as out:
            try:
                process = self.start(program, out)
            except OSError as e:
                program.failed.append((program.name, f"cannot be run: {e.strerror}"))
                return
            if process is None:
                return
            try:
                status = process.wait(program.limit)
            except subprocess.TimeoutExpired:
                pass
            kill_group(process)
            process.wait()
            with self.lock:
                self.running.discard(process)
            out.seek(0)
            program.output = out.read().decode("utf-8", "replace")
        program.seconds = time.monotonic() - began
        program.judge(status)

    def work(self):
        while True:
            with self.lock:
                if not self.queue or self.stopped:
                    return
                program = self.queue.pop(0)
            self.run(program)
            with self.lock:
                if not self.stopped:
                    show(program)

    def run_all(self):
        threads = [threading.Thread(target=self.work) for _ in range(self.jobs)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self.stop()
            for thread in threads:
                thread.join()
            shutil.rmtree(self.tmp, ignore_errors=True)

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.running:
                kill_group(process)


def show(program):
    """A line of progress; all about it when it failed."""
    counts = f"{len(program.passed)} passed"
    if program.failed:
        counts += f", {len(program.failed)} failed"
    if program.skipped:
        counts += f", {len(program.skipped)} skipped"
    word = "FAIL" if program.failed else "ok"
    print(f"{word:4} {program.seconds:6.1f} s  {program.name:32} {counts}", flush=True)
    if program.failed:
        for test, why in program.failed:
            print(f"       FAIL {test}: {why}")
        lines = [line for line in program.output.splitlines() if not line.startswith("PASS ")]
        for line in lines[-TAIL:]:
            print(f"       | {line}")
        sys.stdout.flush()


# --- the table -----------------------------------------------------------------------------------


def stems(pattern):
    return sorted(os.path.splitext(os.path.basename(path))[0]
                  for path in glob.glob(os.path.join(ROOT, pattern)))


def compiled():
    """Every C test, plain and with sanitizers; the backend's once more without AES instructions."""
    out = []
    for name in stems("tests/test_*.c") + ["test_backend_portable"]:
        for flavour in ("native", "asan"):
            out.append(Program(f"{flavour}/{name}", [f"build/tests/{flavour}/{name}"], 240))
    out.append(Program("ct_ed25519 (valgrind)", ["build/tests/native/ct_ed25519"], 240))
    for name, word in VALGRIND:
        argv = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
                f"build/tests/native/{name}"] + ([word] if word else [])
        if os.path.exists(os.path.join(ROOT, f"tests/{name}.c")):
            out.append(Program(f"valgrind/{name}", argv, 300))
    return out


def needs(driver):
    """The programs that a driver's first lines name."""
    with open(os.path.join(ROOT, f"tests/{driver}.py"), encoding="utf-8") as f:
        return re.findall(r"(?:made of|built from)\s+(\w+)\.c\b", f.read(1500))


def is_program(driver):
    with open(os.path.join(ROOT, f"tests/{driver}.py"), encoding="utf-8") as f:
        return "__main__" in f.read() and driver not in ("run", "replay", "fuzz")


def drivers():
    out = []
    long = os.environ.get("EICE_LONG") == "1"
    for name in filter(is_program, stems("tests/*.py")):
        if name in LONG and not long:
            continue
        argv = [PYTHON, f"tests/{name}.py", *ARGUMENTS.get(name, [])]
        argv += [f"build/tests/{'native' if need in NATIVE else 'asan'}/{need}"
                 for need in needs(name)]
        out.append(Program(name, argv, LONG.get(name, 2400 if long else 400)))
        if name in AGAIN:
            out.append(Program(f"{name} (asan)", [PYTHON, f"tests/{name}.py", "--eice",
                                                  "build/asan/eice", *AGAIN[name]], 400))
    out.append(Program("stock/ssh_servers", [PYTHON, "tests/ssh_servers.py",
                                             "build/tests/stock/ssh_session"], 400))
    return out


def checks():
    return [Program(f"check/{name}", [PYTHON, f"tests/check/{name}.py"], 600)
            for name in stems("tests/check/*.py") if name != "common"]


def defects():
    """The tests of the tests."""
    return [Program("defects", [PYTHON, "tests/defects/run.py"], 600)]


def replays():
    return [Program(f"replay/{target}", [PYTHON, "tests/replay.py", target])
            for target in stems("tests/fuzz/fuzz_*.c")]


def forgotten():
    """C files that nothing runs: a failure, or they would be for nothing."""
    used = {"ct_ed25519"}.union(*(needs(name) for name in stems("tests/*.py")))
    return [name for name in stems("tests/*.c")
            if not name.startswith("test_") and name not in used]


def table(words):
    programs = sorted(compiled() + drivers() + checks() + defects() + replays(),
                      key=lambda p: -p.limit)
    return [p for p in programs if not words or any(word in p.name for word in words)]


def summary(programs):
    for name in forgotten():
        print(f"FAIL tests/{name}.c: no test runs it")
    failed = [(p.name, *f) for p in programs for f in p.failed]
    skipped = [(p.name, *s) for p in programs for s in p.skipped]
    passed = sum(len(p.passed) for p in programs)
    if skipped:
        print("\nskipped:")
    for name, test, reason in skipped:
        print(f"  {name}: {test}: {reason}")
    if failed:
        print("\nfailed:")
    for name, test, why in failed:
        print(f"  {name}: {test}: {why}")
    failures = len(failed) + len(forgotten())
    print(f"\n{passed} passed, {failures} failed, {len(skipped)} skipped", flush=True)
    all_wanted = os.environ.get("EICE_REQUIRE_ALL") == "1"
    return 1 if failures or (all_wanted and skipped) else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    programs = table(options.words)
    if options.list:
        print("\n".join(p.name for p in programs))
        return 0
    if not programs:
        print(f"no test program is called like {' or '.join(options.words)}")
        return 2
    print(f"running {len(programs)} test programs, {options.jobs} at a time", flush=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    Runner(programs, options.jobs).run_all()
    return summary(programs)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
