#!/usr/bin/python3
"""Runs a fuzz target, built with sanitizers, on its corpus.

usage: replay.py TARGET

One line for the target: PASS or FAIL.
"""

import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main(target):
    name = f"replay {target}"
    corpus = os.path.join(ROOT, "tests/fuzz/corpus", target.removeprefix("fuzz_"))
    files = sorted(path for path in glob.glob(f"{corpus}/**", recursive=True)
                   if os.path.isfile(path))
    if not files:
        print(f"FAIL {name}: no file in tests/fuzz/corpus/{target.removeprefix('fuzz_')}")
        return 1
    done = subprocess.run([os.path.join(ROOT, "build/tests/asan", target), *files], check=False)
    if done.returncode != 0:
        print(f"FAIL {name}: status {done.returncode}")
        return 1
    print(f"PASS {name} ({len(files)} inputs)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
