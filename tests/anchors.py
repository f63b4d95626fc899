#!/usr/bin/python3
"""The built-in trust anchors of eice.h are what tools/anchors/gen makes, and its check sees
when they are not. Prints PASS, FAIL or SKIP lines."""

import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GEN = os.path.join(ROOT, "tools/anchors/gen")
HEADER = os.path.join(ROOT, "eice.h")
SOURCE = "/usr/share/ca-certificates/mozilla/Amazon_Root_CA_1.crt"
MARK = "static const eicei_tls_root eicei_tls_roots[] = {"


def gen(*arguments):
    return subprocess.run([sys.executable, GEN, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def header_is_right():
    done = gen("--check", HEADER)
    return done.returncode == 0, done.stdout.strip()


def change_is_seen_and_undone():
    with open(HEADER, encoding="utf-8") as f:
        right = f.read()
    with tempfile.TemporaryDirectory() as path:
        copy = os.path.join(path, "eice.h")
        with open(copy, "w", encoding="utf-8") as f:
            f.write(right.replace(MARK, MARK + "\n    {0, \"MAA=\", \"AA==\"},"))
        if gen("--check", copy).returncode == 0:
            return False, "a fifth wheel was not seen"
        if gen("--write", copy).returncode != 0:
            return False, "--write failed"
        with open(copy, encoding="utf-8") as f:
            return f.read() == right, "--write does not give what was there"


def main():
    failures = 0
    for case in (header_is_right, change_is_seen_and_undone):
        name = "anchors_" + case.__name__
        if not os.path.exists(SOURCE):
            print(f"SKIP {name}: no ca-certificates package")
            continue
        good, why = case()
        print(f"PASS {name}" if good else f"FAIL {name}: {why}")
        failures += not good
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
