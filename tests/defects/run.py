#!/usr/bin/python3
"""Tests the tests: builds copies with deliberate defects (table.py) and wants them to go red.

    run.py [--jobs N] [WORD ...]

WORD keeps the defects whose names contain one. First every test named must pass on the unmodified
sources; then each defect is built in and its tests must fail. Prints PASS, FAIL and SKIP lines.
Needs build/native/libssh2.a and libbearssl.a (make deps).
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from table import DEFECTS, Defect

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-Wl,-z,now", "-std=c99", "-D_GNU_SOURCE", "-O0", "-w", "-isystem",
         os.path.join(ROOT, "build/deps/include"), "-I" + os.path.join(ROOT, "build/deps")]
PROGRAM = "tools/eice"
IMPLEMENTATION = "main.c"  # the file of the program that holds the library
LIBRARIES = [os.path.join(ROOT, "build/native", name) for name in ("libssh2.a", "libbearssl.a")]
# The published vectors are in the tests; the big sets would only take time here.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "EICE_VECTORS"}
LIMIT = 200
SOUND = Defect("sound", None, None, None, ())


class Trouble(Exception):
    """The defect cannot be judged; the text says why."""


def run(argv, **options):
    """(status, output); the whole group is ended when it takes too long."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True, **options)
    try:
        return process.communicate(timeout=LIMIT)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], None


class Tree:
    """The sources with one defect, in a directory of their own. What the defect does not touch
    is compiled only once, in the tree of the sound sources."""

    def __init__(self, base, defect, sound=None):
        self.defect = defect
        self.sound = sound
        self.lock = threading.Lock()
        self.dir = os.path.join(base, defect.name)
        os.makedirs(os.path.join(self.dir, "tools"))
        shutil.copy(os.path.join(ROOT, "eice.h"), self.dir)
        shutil.copytree(os.path.join(ROOT, PROGRAM), os.path.join(self.dir, PROGRAM))
        if defect.file:
            self.spoil()

    def spoil(self):
        path = os.path.join(self.dir, self.defect.file)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        count = text.count(self.defect.search)
        if count != 1:
            raise Trouble(f"its place is found {count} times in {self.defect.file}: "
                          "bring table.py up to date")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(self.defect.search, self.defect.replacement))

    def compile(self, sources, out, *flags):
        path = os.path.join(self.dir, out)
        with self.lock:
            if not os.path.exists(path):
                said, status = run(["gcc", "-I" + self.dir, "-I" + os.path.join(ROOT, "tests"),
                                    *FLAGS, *flags, *sources, "-o", path])
                if status != 0:
                    raise Trouble(f"{out} does not compile: {said[-600:]}")
        return path

    def touches(self, name):
        """Does the defect change the object of this file of the program?"""
        return (self.sound is None or self.defect.file == f"{PROGRAM}/{name}"
                or (self.defect.file == "eice.h" and name == IMPLEMENTATION))

    def object(self, name):
        if not self.touches(name):
            return self.sound.object(name)
        return self.compile([os.path.join(self.dir, PROGRAM, name)], name + ".o", "-c")

    def program(self):
        names = sorted(n for n in os.listdir(os.path.join(self.dir, PROGRAM)) if n.endswith(".c"))
        return self.compile([*map(self.object, names), *LIBRARIES], "eice")

    def results(self, test):
        """(failed, what was said) of a test of the table."""
        name, _, words = test.partition(" ")
        if name == "failure":
            argv = [sys.executable, os.path.join(ROOT, "tests/failures.py"), "--jobs", "1",
                    self.program(), *words.split()]
        else:
            driver = os.path.join(ROOT, "tests", name + ".py")
            name = "ssh_session" if os.path.exists(driver) else name
            argv = [self.compile([os.path.join(ROOT, "tests", name + ".c"), *LIBRARIES], name),
                    *words.split()]
            if name == "ssh_session":
                argv[:0] = [sys.executable, driver]
        said, status = run(argv, cwd=self.dir, env=ENVIRONMENT)
        lines = re.findall("^(?:PASS|FAIL) .*", said, re.M)
        if status is not None and status >= 0 and not lines:
            raise Trouble(f"{test} reported nothing: {said[-300:]}")
        return status != 0, said

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def check_sound(sound, test):
    """The unmodified sources pass."""
    try:
        failed, said = sound.results(test)
        return f"without a defect it fails: {said[-400:]}" if failed else ""
    except Trouble as e:
        return str(e)


def check_defect(base, sound, defect):
    """Every test named sees the defect."""
    tree = None
    try:
        tree = Tree(base, defect, sound)
        blind = [test for test in defect.tests if not tree.results(test)[0]]
        return "not seen by " + ", ".join(blind) if blind else ""
    except Trouble as e:
        return str(e)
    finally:
        if tree:
            tree.close()


def sound_tests(defects):
    """The tests of these defects, the rows of the failure table in one."""
    tests = {test for defect in defects for test in defect.tests}
    rows = sorted(t.partition(" ")[2] for t in tests if t.startswith("failure "))
    return sorted(t for t in tests if not t.startswith("failure ")) + (
        ["failure " + " ".join(rows)] if rows else [])


def report(name, why):
    name = "defect_" + re.sub("[ :]+", "_", name)[:60]
    print(f"FAIL {name}: {' '.join(why.split())}" if why else f"PASS {name}", flush=True)
    return bool(why)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    wanted = [d for d in DEFECTS if not options.words or any(w in d.name for w in options.words)]
    with tempfile.TemporaryDirectory(prefix="eice-defects-") as base:
        os.chmod(base, 0o711)  # an sshd without rights may have its directory in here
        sound = Tree(base, SOUND)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            jobs = [("none: " + t, pool.submit(check_sound, sound, t))
                    for t in sound_tests(wanted)]
            jobs += [(d.name, pool.submit(check_defect, base, sound, d)) for d in wanted]
            failures = sum([report(name, job.result()) for name, job in jobs])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
