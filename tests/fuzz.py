#!/usr/bin/python3
"""Runs every fuzzer for some seconds, two at a time, starting from its corpus.

usage: fuzz.py [SECONDS [WORD ...]]

WORD runs only the fuzzers whose name contains one. What crashes one is left in build/fuzz/found/;
once it is understood it belongs into tests/fuzz/corpus. One line a fuzzer, then the count.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.path.join(ROOT, "build/fuzz")


def fuzz(program, seconds):
    name = os.path.basename(program).removeprefix("fuzz_")
    grown = os.path.join(BUILT, "corpus", name)
    found = os.path.join(BUILT, "found", f"{name}-")
    for directory in (grown, os.path.dirname(found)):
        os.makedirs(directory, exist_ok=True)
    dictionary = os.path.join(ROOT, "tests/fuzz", f"{name}.dict")
    argv = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
            "-print_final_stats=1", f"-artifact_prefix={found}",
            *([f"-dict={dictionary}"] if os.path.exists(dictionary) else []),
            grown, os.path.join(ROOT, "tests/fuzz/corpus", name)]
    done = subprocess.run(argv, cwd=BUILT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    if done.returncode == 0 and runs:
        print(f"PASS fuzz {name} ({runs[1]} runs)", flush=True)
        return True
    print(f"FAIL fuzz {name}: status {done.returncode}\n" + done.stdout[-3000:], flush=True)
    return False


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    words = sys.argv[2:]
    programs = [path for path in sorted(glob.glob(os.path.join(BUILT, "fuzz_*")))
                if not words or any(word in path for word in words)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda path: fuzz(path, seconds), programs))
    failed = len(results) - sum(results) + (not results)
    print(f"{sum(results)} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
