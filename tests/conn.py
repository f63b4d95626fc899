#!/usr/bin/python3
"""The connect machine under stress, against the simulator and a real sshd.

usage: conn.py CONN_STRESS [WORD ...]

CONN_STRESS is the program made of conn_stress.c; WORD runs only the tests whose name has it. The
threads run once more in a build with the thread sanitizer, which this driver makes. EICE_SEED is
the seed of what is random; EICE_STRIDE=1 visits every point instead of a sample.
"""

import os
import random
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)
from sim.errors import SetupError  # noqa: E402

# of the seed 00 01 … 1f, which world_key() of conn_world.h has
PUBLIC = "AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
LIMIT = 100  # seconds of one test

# A whole SSH connection has hundreds of points and takes a quarter of a second: these tests visit
# every so many of them, each run (EICE_SEED) from another first one.
STRIDE = {"conn_cancel_ssh": 13, "conn_free_ssh": 29, "conn_close_ssh": 37, "conn_memory_ssh": 9,
          "conn_cancel_tunnel": 3, "conn_free_tunnel": 7, "conn_close_tunnel": 9,
          "conn_close_push": 3, "conn_free_calls": 3}



def environment(sim):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {"EICE_SEED": str(random.randrange(1, 10 ** 6)), **kept, **sim.env(),
            "AWS_EC2_METADATA_DISABLED": "true",
            "EICE_SIM_DIR": sim.dir}


def test_names():
    """In the order of the table at the end of conn_stress.c."""
    with open(os.path.join(ROOT, "tests/conn_stress.c"), encoding="utf-8") as f:
        return re.findall(r'^    \{"(conn_\w+)", conn_\w+\},$', f.read(), re.MULTILINE)


def run(program, name, env):
    """Runs one test; prints its line. True when it did not fail."""
    try:
        done = subprocess.run([program, name], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT, check=False,
                              encoding="utf-8", errors="replace")
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as e:
        output, status = (e.stdout or b"").decode("utf-8", "replace"), f"after {LIMIT} s"
    lines = output.splitlines()
    said = [line for line in lines if re.match(f"(PASS|FAIL|SKIP) {name}\\b", line)]
    if said and (status == 0) == (not said[0].startswith("FAIL")):
        print("\n".join(lines), flush=True)
        return status == 0
    print(f"FAIL {name}: status {status}: " + " | ".join(lines[-12:])[-1500:], flush=True)
    return False


def build_tsan(path):
    """The same program with the thread sanitizer, or None and why not."""
    libs = ["build/tsan/libssh2.a", "build/tsan/libbearssl.a"]
    made = subprocess.run(["make", "-s", *libs], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode != 0:
        return None, "cannot build the libraries: " + made.stdout[-300:].replace("\n", " | ")
    program = os.path.join(path, "conn_stress_tsan")
    made = subprocess.run(["gcc", "-std=c99", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=thread",
                           "-I.", "-Itests", "-isystem", "build/deps/include",
                           "tests/conn_stress.c", *libs, "-pthread", "-o", program],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if made.returncode != 0:
        return None, "does not compile: " + made.stdout[-300:].replace("\n", " | ")
    return program, ""


def run_tsan(env, path):
    program, why = build_tsan(path)
    if program is None:
        print("FAIL conn_threads_tsan:", why)
        return False
    done = subprocess.run([program, "conn_threads"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT, check=False, text=True,
                          env={**env, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"})
    if done.returncode == 0 and "PASS conn_threads" in done.stdout:
        print("PASS conn_threads_tsan")
        return True
    print("FAIL conn_threads_tsan:", done.stdout[-1500:].replace("\n", " | "))
    return False


def run_all(program, words, sim):
    env = environment(sim)
    good = True
    for name in test_names():
        if words and not any(word in name for word in words):
            continue
        stride = {} if "EICE_STRIDE" in env else {"EICE_STRIDE": str(STRIDE.get(name, 1))}
        if not run(program, name, {**env, **stride}):
            print(f"     (EICE_SEED={env['EICE_SEED']})")
            good = False
        broken = sim.ctl("violations")
        if broken:
            print(f"FAIL {name}_violations: {broken[0]['rule']}: {broken[0]['detail']}")
            good = False
        sim.ctl("clear")
    return good


def main():
    program = os.path.abspath(sys.argv[1])
    words = sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="eice-conn-") as path:
        os.chmod(path, 0o711)  # sshd has no rights and reads the file below
        keys = os.path.join(path, "keys")
        with open(keys, "w", encoding="ascii") as f:
            f.write(f"ssh-ed25519 {PUBLIC}\n")
        os.chmod(keys, 0o644)
        try:
            sim = Simulator(sshd=True, sshd_options={"AuthorizedKeysFile": keys}).start()
        except SetupError as e:
            print(f"SKIP conn: {e}")
            return 0
        try:
            good = run_all(program, words, sim)
            if not words or any(word in "conn_threads_tsan" for word in words):
                good = run_tsan(environment(sim), path) and good
        finally:
            sim.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
