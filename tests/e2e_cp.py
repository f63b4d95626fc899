#!/usr/bin/python3
"""`eice cp`: files to, from and between instances of the simulator, whose sshd is OpenSSH's.

    tests/e2e_cp.py [--eice PROGRAM] [name …]
"""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import struct
import sys
import time

from delay import Delay
from e2elib import MIB, check, contains, equal, main, matches, need, test

OTHER = "10.20.1.24"  # its login is ubuntu


def other(w):
    return next(i for i in w.sim.world.data["instances"] if i["ip"] == OTHER)


def other_home(w):
    return w.remote_home(other(w)["id"], "ubuntu")


def remote(w, name, instance="web-1"):
    """A directory of its own at the instance, removed before and after."""
    path = os.path.join(w.remote_home(instance), name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    os.chmod(path, 0o777)
    return path


@contextlib.contextmanager
def there(w, name="cp", instance="web-1"):
    path = remote(w, name, instance)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def tree(top):
    """What is below a directory: names and hashes."""
    out = {}
    for base, directories, names in os.walk(os.fsencode(top)):
        for name in directories:
            out[os.path.relpath(os.path.join(base, name), os.fsencode(top))] = None
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as f:
                out[os.path.relpath(path, os.fsencode(top))] = hashlib.sha256(f.read()).digest()
    return out


def no_parts(*directories):
    for directory in directories:
        left = [name for name in tree(directory) if b".eice-" in name]
        equal(left, [], "parts left behind")


@test(seconds=120)
def many_files(w):
    """2,000 files of all sorts of lengths, there and back."""
    chance = random.Random(7)
    for i in range(2000):
        w.write(f"up/d{i % 20}/f{i}", chance.randbytes(chance.choice((0, 1, 100, 3000, 40000))))
    os.makedirs(w.path("up/empty"))
    with there(w) as far:
        began = time.monotonic()
        result = w.eice("cp", "-r", "--json", w.path("up"), f"web-1:{far}/new", seconds=60)
        told = json.loads(result.expect(0).text)
        equal((told["files"], told["errors"]), (2000, 0), "summary")
        w.note(f"up in {time.monotonic() - began:.1f} s")
        equal(tree(far + "/new") == tree(w.path("up")), True, "the tree at the instance")
        w.eice("cp", "-r", f"web-1:{far}/new", w.path("down"), seconds=60).expect(0)
        equal(tree(w.path("down")) == tree(w.path("up")), True, "the tree here")
        no_parts(far, w.path("down"))
        w.eice("cp", "-r", w.path("up/d1"), f"web-1:{far}/new").expect(0)
        equal(len(tree(far + "/new")), 2021, "a directory goes into one that is there")


def big_file(w, size):
    path = w.path("big")
    block = random.Random(3).randbytes(MIB)
    with open(path, "wb") as f:
        for i in range(size // MIB):
            f.write(struct.pack(">Q", i) + block[8:])
        f.write(b"the end")
    return path


def same(a, b):
    with open(a, "rb") as f, open(b, "rb") as g:
        return hashlib.file_digest(f, "sha256").digest() == hashlib.file_digest(
            g, "sha256").digest()


@test(seconds=400)
def big(w):
    size = 1024 * MIB if os.environ.get("EICE_LONG") == "1" else 128 * MIB
    path = big_file(w, size)
    with there(w) as far:
        for words in ((path, f"web-1:{far}/big"), (f"web-1:{far}/big", w.path("back"))):
            began = time.monotonic()
            w.eice("cp", *words, seconds=200).expect(0)
            w.note(f"{size / MIB / (time.monotonic() - began):.0f} MiB/s")
        check(same(path, w.path("back")), "the big file differs")


@test(seconds=60)
def far_away(w):
    """Behind 50 ms each way: what would take 80 s a block after the other, and 40 s a file after
    the other."""
    path = big_file(w, 24 * MIB)
    for i in range(100):
        w.write(f"up/{i}", f"{i}")
    with there(w) as far, Delay(("127.0.0.1", w.sim.port), 0.05) as line:
        env = w.env(EICE_CONNECT_TO=f"::127.0.0.1:{line.port}")
        for words in ((path, f"web-1:{far}/big"), (f"web-1:{far}/big", w.path("back")),
                      ("-r", w.path("up"), f"web-1:{far}/up"),
                      ("-r", f"web-1:{far}/up", w.path("down"))):
            result = w.eice("cp", "--json", *words, env=env).expect(0)
            ms = json.loads(result.text)["ms"]
            w.note(f"{ms / 1000:.1f} s")
            check(ms < 20000, f"{words} took {ms} ms")
        check(same(path, w.path("back")), "the big file differs")
        equal(tree(w.path("down")), tree(w.path("up")), "the small ones")


def killed(w, words, directory, number=signal.SIGKILL):
    """Kills a copy once a good part of it is there; returns that part's size."""
    process = w.spawn("cp", *words)
    size = good_part(process, directory)
    process.send_signal(number)
    return process.wait(20), size


def good_part(process, directory):
    """Waits for a part worth continuing; its size."""
    end = time.monotonic() + 60
    size = 0
    while size < 8 * MIB:
        check(process.poll() is None and time.monotonic() < end, "no copy to be killed")
        parts = [n for n in os.listdir(directory) if n.startswith(".eice-")]
        size = os.path.getsize(os.path.join(directory, parts[0])) if parts else 0
        time.sleep(0.01)
    return size


@test(seconds=120)
def resumed(w):
    path = big_file(w, 24 * MIB)
    os.makedirs(w.path("here"))
    with there(w) as far:
        for source, directory, place in ((path, far, f"web-1:{far}/big"),
                                         (f"web-1:{far}/big", w.path("here"), w.path("here/big"))):
            _, size = killed(w, ["--resume", "-l", "80000", source, place], directory)
            check(not os.path.exists(os.path.join(directory, "big")), "half of it is there")
            result = w.eice("cp", "--resume", "--json", "-v", source, place, seconds=60).expect(0)
            check(same(path, os.path.join(directory, "big")), "it differs")
            equal(json.loads(result.text)["files"], 1, "files")
            check(size > 4 * MIB, "nothing to continue")
            contains(result.err, "continued", "it began again")
            no_parts(directory)


@test(seconds=60)
def interrupted(w):
    path = big_file(w, 24 * MIB)
    os.makedirs(w.path("here"))
    with there(w) as far:
        for source, directory, place in ((path, far, f"web-1:{far}/big"),
                                         (f"web-1:{far}/big", w.path("here"), w.path("here"))):
            status, _ = killed(w, ["-l", "80000", source, place], directory, signal.SIGINT)
            equal(status, 1, "status")
            equal(os.listdir(directory), [], "left behind")
            shutil.copy(path, far + "/big")


@test(seconds=60)
def connection_lost(w):
    """What is there already stays, and --resume continues it."""
    path = big_file(w, 24 * MIB)
    os.makedirs(w.path("here"))
    with there(w) as far:
        for source, directory, place in ((path, far, f"web-1:{far}/big"),
                                         (f"web-1:{far}/big", w.path("here"), w.path("here"))):
            with open(w.path("said"), "wb") as said:
                process = w.spawn("cp", "-l", "80000", source, place, stderr=said)
            good_part(process, directory)
            w.sshd("web-1", "restart")
            equal(process.wait(20), 1, "status")
            with open(w.path("said"), encoding="utf-8") as said:
                contains(said.read(), "unfinished files are kept: 1", "a word about it")
            result = w.eice("cp", "-v", "--resume", source, place, seconds=60).expect(0)
            contains(result.err, "continued", "it began again")
            check(same(path, os.path.join(directory, "big")), "it differs")
            no_parts(directory)


@test
def odd_names(w):
    names = ["a b", "new\nline", "-dash", "ünï", "'q\"", "$(x)", "a:b", "back\\slash", "[x]", "*",
             "n" * 255]
    for name in names:
        w.write("up/" + name, name)
    os.symlink("a b", w.path("up/link"))
    os.symlink(".", w.path("up/loop"))
    os.mkfifo(w.path("up/pipe"))
    with there(w) as far:
        result = w.eice("cp", "-r", w.path("up"), f"web-1:{far}/up").expect(1)
        contains(result.err, "/up/pipe: not a regular file", "the pipe")
        contains(result.err, "skipped: a link to a directory", "the loop")
        equal(sorted(os.listdir(far + "/up")), sorted(names + ["link"]), "names")
        w.eice("cp", "-r", f"web-1:{far}/up", w.path("down")).expect(0)
        equal(tree(w.path("down")), tree(far + "/up"), "the way back")
        os.symlink(w.path("up/-dash"), w.path("-dash"))
        w.eice("cp", "--", "-dash", f"web-1:{far}/dash").expect(0)
        os.symlink(w.path("up/a:b"), w.path("a:b"))
        w.eice("cp", "./a:b", f"web-1:{far}/colon").expect(0)
        w.eice("cp", w.path("up/a:b"), f"web-1:{far}/colon").expect(0)
        w.eice("cp", w.path("up/link"), f"web-1:{far}/linked").expect(0)
        check(not os.path.islink(far + "/linked"), "a link was copied as one")


@test
def modes_and_times(w):
    for name, mode in (("r", 0o444), ("x", 0o751), ("w", 0o600)):
        os.utime(w.write("up/" + name, name, mode), (1000000000, 1100000000))
    os.utime(w.path("up"), (1000000000, 1200000000))
    os.chmod(w.path("up"), 0o750)
    with there(w) as far:
        w.eice("cp", "-rp", w.path("up"), f"web-1:{far}/up").expect(0)
        w.eice("cp", "-r", "-p", f"web-1:{far}/up", w.path("down")).expect(0)
        for top in (far + "/up", w.path("down")):
            for name in ("r", "x", "w", "."):
                a = os.stat(os.path.join(w.path("up"), name))
                b = os.stat(os.path.join(top, name))
                equal((b.st_mode, b.st_mtime), (a.st_mode, a.st_mtime), f"{top} {name}")
        w.eice("cp", w.path("up/r"), f"web-1:{far}/r").expect(0)
        check(os.stat(far + "/r").st_mtime > 1300000000, "the time was kept")
        w.eice("cp", w.path("up/r"), f"web-1:{far}/r").expect(0)


@test
def sparse(w):
    with open(w.write("up", b"x"), "r+b") as f:
        f.truncate(5 << 30)
        f.seek(4500 * MIB)
        f.write(b"high")
    with there(w) as far:
        w.eice("cp", w.path("up"), f"web-1:{far}/up", seconds=60).expect(0)
        found = os.stat(far + "/up")
        equal(found.st_size, 5 << 30, "size")
        check(found.st_blocks < 4096, "no holes")
        with open(far + "/up", "rb") as f:
            f.seek(4500 * MIB)
            equal(f.read(5), b"high\0", "the bytes above 4 GiB")


@test(seconds=400)
def sparse_back(w):
    """Down, what SEEK_DATA does not tell: zeros are found by looking at them."""
    size = 5 << 30 if os.environ.get("EICE_LONG") == "1" else 64 * MIB
    with there(w) as far:
        with open(far + "/up", "wb") as f:
            f.truncate(size)
            f.seek(size - 10 * MIB)
            f.write(b"high")
        w.eice("cp", f"web-1:{far}/up", w.path("down"), seconds=300).expect(0)
        found = os.stat(w.path("down"))
        equal(found.st_size, size, "size")
        check(found.st_blocks < 4096, "no holes")
        check(same(w.path("down"), far + "/up"), "it differs")


@test
def globs(w):
    os.makedirs(w.path("down"))
    with there(w) as far:
        for name in ("a1.txt", "a2.txt", "b1.txt", ".hidden.txt", "d/in.txt", "e/in.txt", "[1]"):
            path = os.path.join(far, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as f:
                f.write(name)
        down = w.path("down")
        for pattern, wanted in (("*.txt", ["a1.txt", "a2.txt", "b1.txt"]),
                                ("a[!2].???", ["a1.txt"]),
                                ("*[2-9]*t", ["a2.txt"]), ("\\[1]", ["[1]"]),
                                (".h*", [".hidden.txt"]), ("[1]", ["[1]"]),
                                ("[de]/i*", ["in.txt"]), ("[de]", ["d", "e"])):
            w.eice("cp", "-r", f"web-1:{far}/{pattern}", down).expect(0)
            equal(sorted(os.listdir(down)), wanted, pattern)
            shutil.rmtree(down)
            os.makedirs(down)
        contains(w.eice("cp", f"web-1:{far}/z*", down).expect(1).err, "no file matches", "none")
        contains(w.eice("cp", f"web-1:{far}/*.txt", down + "/x").expect(1).err, "not a directory",
                 "many onto one")


@test
def errors_go_on(w):
    for name in ("a", "b", "c"):
        w.write("up/" + name, name)
    with there(w) as far:
        result = w.eice("cp", w.path("up/a"), w.path("up/none"), w.path("up"), w.path("up/c"),
                        f"web-1:{far}").expect(1)
        contains(result.err, "/up/none: No such file", "a source that is missing")
        contains(result.err, "/up: a directory: -r", "a directory")
        equal(sorted(os.listdir(far)), ["a", "c"], "the others")
        contains(w.eice("cp", w.path("up/a"), f"web-1:{far}/no/such/").expect(1).err,
                 "no such", "a directory that is missing")
        result = w.eice("cp", "--json", w.path("up/b"), f"web-1:{far}/no/b").expect(1)
        equal(json.loads(result.text)["errors"], 1, "errors")
        contains(json.loads(result.err)["message"], "no such file", "as JSON")
        contains(w.eice("cp", f"web-1:{far}/a", "/proc/x").expect(1).err, "/proc/x: ",
                 "nowhere to write")
        result = w.eice("cp", w.path("up/a"), "web-1:/proc/x")
        contains(result.expect(1).err, "/proc/x: ", "nowhere to write there")
    for words in (["a"], ["a", "b"], ["a", "web-1:"], []):
        check(w.eice("cp", *words).status in (1, 2), f"{words}")
    equal(w.eice("cp", "a", "b").status, 2, "no target")


@test
def checksum(w):
    w.write("up", os.urandom(300000))
    with there(w) as far:
        w.eice("cp", "--checksum", w.path("up"), f"web-1:{far}/up").expect(0)
        w.eice("cp", "--checksum", f"web-1:{far}/up", w.path("down")).expect(0)
        check(same(w.path("up"), w.path("down")), "it differs")


@test
def between_targets(w):
    w.write("up/a b", os.urandom(300000))
    w.write("up/empty", b"")
    with there(w) as near:
        far = os.path.join(other_home(w), "cp")
        try:
            w.eice("cp", "-r", w.path("up"), f"web-1:{near}").expect(0)
            w.eice("cp", "-r", f"web-1:{near}/up", f"ubuntu@{OTHER}:cp").expect(0)
            equal(tree(far), tree(w.path("up")), "the tree at the other")
            w.eice("cp", "--checksum", f"web-1:{near}/up/a b", f"web-1:{near}/twice").expect(0)
            check(same(near + "/twice", w.path("up/a b")), "a copy at one target")
        finally:
            shutil.rmtree(far, ignore_errors=True)


@test
def connection_options(w):
    """As ssh has them, for each of the targets."""
    w.write("up", b"x" * 1000)
    key = w.path("test_key")
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", "mine",
           "-f", key]).expect(0)
    conf = w.write("conf", f"Host other\nHostName {OTHER}\nUser ubuntu\n"
                   "Host near\nHostName web-1\nHost *\nCiphers aes128-ctr\n")
    home = w.remote_home()
    try:
        w.eice("cp", "-i", key, w.path("up"), "web-1:cp-up").expect(0)
        with open(key + ".pub", encoding="ascii") as f:
            pushed = w.requests("SendSSHPublicKey")[0]["params"]["SSHPublicKey"]
            contains(f.read(), pushed.split()[1], "the key pushed")
        result = w.eice("cp", "-v", "-F", conf, "near:cp-up", "other:cp-up")
        contains(result.expect(0).err, "aes128-ctr", "the cipher")
        w.eice("cp", "-4C", "-c", "aes256-ctr", "-o", "User=ubuntu", f"{OTHER}:cp-up",
               w.path("down")).expect(0)
        check(same(w.path("up"), w.path("down")), "it differs")
        box = w.sim.world.instance("web-1")
        far = other(w)
        port = w.sshd(far["id"])["port"]
        ip, far["ip"] = far["ip"], "127.0.0.1"  # where the sshds listen
        try:
            w.eice("cp", "-J", box["id"], "-P", str(port), f"ubuntu@{far['id']}:cp-up",
                   f"ubuntu@{far['id']}:cp-twice").expect(0)
        finally:
            far["ip"] = ip
        contains(w.eice("cp", "-O", w.path("up"), "web-1:x").expect(2).err, "SFTP only", "-O")
        contains(w.eice("cp", "-c", "bogus", w.path("up"), "web-1:x").expect(1).err, "bogus", "-c")
        contains(w.eice("cp", "-o", "No=no", w.path("up"), "web-1:x").expect(2).err, "No=no", "-o")
        contains(w.eice("cp", "-F", w.path("none"), w.path("up"), "web-1:x").expect(2).err, "none",
                 "-F")
    finally:
        for path in (home + "/cp-up", other_home(w) + "/cp-up", other_home(w) + "/cp-twice"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


# --- full disks ----------------------------------------------------------------------------------

SMALL = str(MIB)
SERVER = "/usr/lib/openssh/sftp-server"


def limited(*argv):
    """A command that can write no file above 1 MiB."""
    return [need("prlimit", "util-linux"), "--fsize=" + SMALL, *argv]


def mixed_sizes(w):
    """Two that fit, and between them one that does not."""
    for name, size in (("a", 1000), ("big", 3 * MIB), ("c", 1000)):
        w.write("up/" + name, os.urandom(size))
    return [w.path("up/a"), w.path("up/big"), w.path("up/c")]


@test
def disk_full_here(w):
    mixed_sizes(w)
    os.makedirs(w.path("down"))
    with there(w) as far:
        w.eice("cp", "-r", w.path("up"), f"web-1:{far}").expect(0)
        result = w.run(limited(w.program, "cp", f"web-1:{far}/up/*", w.path("down"))).expect(1)
        contains(result.err, "/down/big: File too large", "the error")
        equal(sorted(os.listdir(w.path("down"))), ["a", "c"], "the rest")
        mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                   'mount -t tmpfs -o size=1m tmpfs "$0" && "$@"; s=$?; ls -A "$0"; exit $s']
        if w.run([*mounted, w.path("down"), "true"]).status == 0:
            result = w.run([*mounted, w.path("down"), w.program, "cp", f"web-1:{far}/up/big",
                            w.path("down")]).expect(1)
            contains(result.err, "/down/big: No space left on device", "a disk that is full")
            equal(result.text, "", "left there")


@test
def disk_full_there(w):
    files = mixed_sizes(w)
    server = f"sftp exec env --ignore-signal=XFSZ prlimit --fsize={SMALL} {SERVER}"
    with there(w) as far, w.restart_sshd("web-1", Subsystem=server):
        result = w.eice("cp", *files, f"web-1:{far}").expect(1)
        matches(result.err, "/cp/big: .*is its disk full", "the error")
        equal(sorted(os.listdir(far)), ["a", "c"], "the rest")
        result = w.eice("cp", "--resume", *files, f"web-1:{far}").expect(1)
        equal(len(os.listdir(far)), 3, "with --resume the part stays")


# --- a terminal ----------------------------------------------------------------------------------

@test(seconds=60)
def progress(w):
    """Per cent, bytes, rate, time left; as much as fits, and gone at the end."""
    path = big_file(w, 2 * MIB)
    with there(w) as far:
        for columns in (80, 30, 8):
            words = ["cp", "-l", "16000", path, f"web-1:{far}/big"]
            with w.terminal(*words, columns=columns) as t:
                t.expect(r"\r\x1b\[K\d+%  \d+\.\dM  \d+\.\dM/s  \d:\d\d left  0 files"
                         if columns == 80 else r"\r\x1b\[K\d+%[^\r]*\r")
                said = t.drain(0.5)
                equal(t.wait(), 0, "status")
                said += t.drain(0.1)
            for line in re.split(rb"[\r\n]+", said):
                shown = re.sub(rb"\x1b\[K|eice: .*", b"", line)
                check(len(shown) < columns, f"too long for {columns} columns: {line}")
            matches(said.decode(), r"\r\x1b\[K$", "the line is taken away")
        result = w.eice("cp", path, f"web-1:{far}/big").expect(0)
        equal(result.err.count("\r"), 0, "nothing of that without a terminal")


@test
def limited_rate(w):
    path = big_file(w, 2 * MIB)
    with there(w) as far:
        for words in ((path, f"web-1:{far}/big"), (f"web-1:{far}/big", w.path("back"))):
            result = w.eice("cp", "-l", "16000", "--json", *words).expect(0)
            check(900 <= json.loads(result.text)["ms"] < 10000, f"2 MiB at 2 MB/s: {result.text}")


# --- a server of our own -------------------------------------------------------------------------

HOSTILE = r'''
import os, struct, sys
KIND = {kind!r}
def s(b): return struct.pack(">I", len(b)) + b
def send(t, body): os.write(1, struct.pack(">IB", len(body) + 1, t) + body)
def read(n):
    b = b""
    while len(b) < n:
        c = os.read(0, n - len(b))
        if not c: sys.exit(0)
        b += c
    return b
ATTR = struct.pack(">IQI", 5, 4, {mode})
listed = False
while True:
    n, t = struct.unpack(">IB", read(5))
    body = read(n - 1)
    if t == 1:
        send(2, struct.pack(">I", 3))
        continue
    i = body[:4]
    if KIND == "long" and t == 17: os.write(1, b"\xff\xff\xff\xf0")
    elif KIND == "text" and t == 17: os.write(1, b"Welcome to this host\n")
    elif KIND == "id" and t == 17: send(105, b"\0\0\0\0" + ATTR)
    elif KIND == "flip" and t == 5: send(103, i + s(os.urandom(4)))
    elif t in (17, 7):
        top = body[8:] == b"/top" and KIND == "names"
        send(105, i + (struct.pack(">IQI", 5, 4, 0o40755) if top else ATTR))
    elif t == 11 or t == 3: send(102, i + s(b"h"))
    elif t == 12 and not listed:
        listed = True
        names = [b"../out", b"/tmp/out", b"..", b".", b"a/b", b"", b"n\0x", b"good"]
        send(104, i + struct.pack(">I", len(names)) + b"".join(s(x) + s(x) + ATTR for x in names))
    elif t == 12: send(101, i + struct.pack(">I", 1) + s(b"") + s(b""))
    elif t == 5: send(103, i + s(b"evil"))
    else: send(101, i + struct.pack(">I", 0) + s(b"") + s(b""))
'''


@contextlib.contextmanager
def hostile(w, kind):
    """The subsystem replaced: the account's own command for it is run by its shell."""
    info = w.sshd("web-1")
    script = os.path.join(info["home"], f"hostile-{kind}.py")
    with open(script, "w", encoding="ascii") as f:
        f.write(HOSTILE.format(kind=kind, mode=0o100644))
    os.chmod(script, 0o755)
    with w.restart_sshd("web-1", Subsystem=f"sftp /usr/bin/python3 {script}"):
        yield


@test
def hostile_servers(w):
    os.makedirs(w.path("down"))
    with hostile(w, "names"):
        result = w.eice("cp", "-r", "web-1:/top", w.path("down")).expect(1)
        equal(tree(w.path("down")), {b"top": None,
                                     b"top/good": hashlib.sha256(b"evil").digest()}, "the tree")
        equal(result.err.count("refused a name"), 5, "names refused")
    for kind, word in (("long", "too long"), ("text", "login scripts"), ("id", "no question")):
        with hostile(w, kind):
            contains(w.eice("cp", "web-1:x", w.path("down")).expect(1).err, word, kind)
    with hostile(w, "flip"):
        contains(w.eice("cp", "--checksum", "web-1:x", w.path("down/x")).expect(1).err, "differs",
                 "other bytes each time")
        check(not os.path.exists(w.path("down/x")), "it is there all the same")
        contains(w.eice("cp", "--checksum", "web-1:x", f"ubuntu@{OTHER}:cp-x").expect(1).err,
                 "differs", "other bytes each time, to another target")
        check("cp-x" not in os.listdir(other_home(w)), "it is there all the same")


if __name__ == "__main__":
    sys.exit(main("eice cp"))
