#!/usr/bin/python3
"""Figures of eice beside what a user would take instead, from one run on one machine.

usage: bench.py [--json | --markdown] [--mib N] [--rounds N] [WORD …]

WORD (throughput, ciphers, copy, prompt, memory, size) runs only that part. Everything goes through
the same simulator (tools/sim), which is Python: it is the bottleneck of most transfers, so CPU time
tells more than wall time. Nothing passes or fails here.
"""

import argparse
import fnmatch
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests/bench")
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests")]

from delay import Delay  # noqa: E402  (needs the path set above)
from sim import Simulator  # noqa: E402

EICE = os.path.join(ROOT, "build/eice")
AWS_LIKE = f"{sys.executable} {HERE}/aws_like.py"
POINT = "eice-0a1b2c3d4e5f60718"
RTT_MS = 50
FAR_MS = 50  # one way
COPY_FILES = {"near": 1000, "far": 50}
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr",
           "chacha20-poly1305@openssh.com")
QUIET = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
         "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]


class Cost:
    """What a process and all it started took: the line that cost.c writes."""

    def __init__(self, line):
        seconds, cpu, rss = line.split()
        self.seconds = float(seconds)
        self.cpu = float(cpu)
        self.rss_kib = int(rss)


def build(path, source, flavour, flags, libraries=()):
    """A program of this directory, compiled into `path`."""
    out = os.path.join(path, source.removesuffix(".c"))
    compiler = {"musl": "musl-gcc", "native": "gcc"}[flavour]
    subprocess.run([compiler, "-std=c99", "-D_GNU_SOURCE", *flags, "-I.",
                    "-isystem", "build/deps/include", f"tests/bench/{source}",
                    *[f"build/{flavour}/lib{name}.a" for name in libraries], "-o", out],
                   cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return out


class Bench:
    def __init__(self, sim, path, options):
        self.sim = sim
        self.path = path
        self.options = options
        self.bytes = options.mib << 20
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
                    **sim.env(), "AWS_DEFAULT_REGION": sim.world.region, "XDG_STATE_HOME": path,
                    "HOME": path}
        self.key = os.path.join(path, "key")
        self.instance = sim.world.instance("web-1")
        self.results = []
        self.cost = build(path, "cost.c", "native", ["-O2"])

    def add(self, part, name, what, value, unit):
        self.results.append({"part": part, "name": name, "what": what, "value": value,
                             "unit": unit})

    def run(self, argv, stdin=None):
        """Runs a command, its output thrown away. Its Cost; RuntimeError when it fails."""
        out = os.path.join(self.path, "cost.txt")
        with open(stdin or os.devnull, "rb") as source:
            done = subprocess.run([self.cost, out, *argv], env=self.env, stdin=source,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            text = done.stderr.decode("utf-8", "replace").strip()
            raise RuntimeError(f"{' '.join(argv)[:200]}: status {done.returncode}: {text[-300:]}")
        with open(out, encoding="ascii") as f:
            return Cost(f.read())

    def best(self, argv):
        return min((self.run(argv) for _ in range(self.options.rounds)), key=lambda c: c.seconds)

    def ssh(self, *options):
        return ["ssh", *QUIET, "-i", self.key, *options]

    # what is compared

    def ways(self):
        """name: the words before a remote command."""
        port = self.sim.ctl("sshd", instance=self.instance["id"])["port"]
        target = f"ec2-user@{self.instance['id']}"
        tunnel = f"{AWS_LIKE} open-tunnel {self.instance['id']} {POINT} {self.instance['ip']}"
        return {
            "eice ssh": [EICE, "-q", "ssh", "web-1"],
            "OpenSSH + eice proxy": self.ssh("-o", f"ProxyCommand={EICE} proxy %h", target),
            "OpenSSH + websockets": self.ssh("-o", f"ProxyCommand={tunnel}", target),
            "OpenSSH, no tunnel": self.ssh("-p", str(port), "ec2-user@127.0.0.1"),
        }

    def raw_ways(self):
        source = self.sim.world.instance("source-box")
        source["targets"]["22"] = f"source:{self.bytes}"
        tunnel = f"{AWS_LIKE} open-tunnel {source['id']} {POINT} {source['ip']}"
        return {"eice proxy": [EICE, "proxy", "source-box"],
                "websockets": tunnel.split()}

    # the parts

    def throughput(self):
        """Bytes through each way, both directions."""
        data = os.path.join(self.path, "data")
        with open(data, "wb") as f:
            f.truncate(self.bytes)
        for name, words in self.ways().items():
            self.transfer(name, "down", [*words, f"head -c {self.bytes} /dev/zero"], None)
            self.transfer(name, "up", [*words, "cat >/dev/null"], data)
        for name, words in self.raw_ways().items():
            self.transfer(name, "down, raw", words, None)
        self.tls()

    def transfer(self, name, direction, argv, stdin):
        cost = self.run(argv, stdin)
        mib = self.options.mib
        self.add("throughput", name, direction, mib / cost.seconds, "MiB/s")
        self.add("throughput", name, direction + ", CPU", cost.cpu / mib * 1024, "s/GiB")
        self.add("throughput", name, direction + ", memory", cost.rss_kib, "KiB")

    def ciphers(self):
        """Bytes down over the same tunnel with each cipher: a command's, and a file's."""
        get = f"head -c {self.bytes} /dev/zero"
        place = self.place()
        self.run([EICE, "-q", "ssh", "web-1", f"{get} | tr '\\0' x >{place}/file"])
        target = f"ec2-user@{self.instance['id']}"
        for cipher in CIPHERS:
            short = cipher.partition("@")[0]
            for name, what, argv in (
                    ("eice ssh", "ssh", [EICE, "-q", "ssh", "-c", cipher, "web-1", get]),
                    ("OpenSSH's ssh", "ssh", [*self.proxied("ssh", "-c", cipher), target, get]),
                    ("eice cp", "cp", [EICE, "cp", "-q", "-c", cipher, f"web-1:{place}/file",
                                       self.path + "/got"]),
                    ("OpenSSH's sftp", "cp", [*self.proxied("sftp", "-q", "-c", cipher),
                                              f"{target}:{place}/file", self.path + "/got"])):
                cost = self.best(argv)
                self.add("ciphers", name, f"{what}, {short}", self.options.mib / cost.seconds,
                         "MiB/s")
                self.add("ciphers", name, f"{what}, {short}, CPU",
                         cost.cpu / self.options.mib * 1024, "s/GiB")
        self.run([EICE, "-q", "ssh", "web-1", f"rm -rf {place}"])

    def proxied(self, program, *options):
        return [program, *self.ssh(*options, "-o", f"ProxyCommand={EICE} proxy %h")[1:]]

    def place(self):
        """A new directory over there."""
        place = f"/tmp/eice-bench-{os.getpid()}"
        self.run([EICE, "-q", "ssh", "web-1", f"rm -rf {place}; mkdir {place}"])
        return place

    def copy(self):
        """One file and many, up and down, near and behind a line with a delay each way."""
        big = os.path.join(self.path, "big")
        with open(big, "wb") as f:
            f.write(os.urandom(self.bytes))
        near = self.env
        with Delay(("127.0.0.1", self.sim.port), FAR_MS / 1000) as line:
            far = {**near, "EICE_CONNECT_TO": f"::127.0.0.1:{line.port}"}
            for where, env in (("near", near), ("far", far)):
                many = os.path.join(self.path, "many-" + where)
                os.mkdir(many)
                for n in range(COPY_FILES[where]):
                    with open(f"{many}/{n}", "wb") as f:
                        f.write(b"x" * 1000)
                self.env = env
                self.copies(where, big, many)
                self.env = near

    def copies(self, where, big, many):
        """What eice, scp and sftp take for the same; the time to log in is in it."""
        place = self.place()
        target = f"ec2-user@{self.instance['id']}"
        batch = os.path.join(self.path, "batch")
        scp = self.proxied("scp", "-q")
        sftp = self.proxied("sftp", "-q", "-b", batch) + [target]
        files = f"{COPY_FILES[where]} files"
        for what, name, lines, argv in (
                ("up", "eice cp", "", [EICE, "cp", "-q", big, f"web-1:{place}/1"]),
                ("up", "scp", "", [*scp, big, f"{target}:{place}/2"]),
                ("up", "sftp", f"put {big} {place}/3", sftp),
                ("down", "eice cp", "", [EICE, "cp", "-q", f"web-1:{place}/1", self.path + "/1"]),
                ("down", "scp", "", [*scp, f"{target}:{place}/1", self.path + "/2"]),
                ("down", "sftp", f"get {place}/1 {self.path}/3", sftp),
                (files, "eice cp", "", [EICE, "cp", "-q", "-r", many, f"web-1:{place}/4"]),
                (files, "scp", "", [*scp, "-r", many, f"{target}:{place}/5"]),
                (files, "sftp", f"mkdir {place}/6\nput -r {many}/* {place}/6", sftp)):
            with open(batch, "w", encoding="ascii") as f:
                f.write(lines + "\n")
            cost = self.run(argv)
            self.add("copy", name, f"{where}, {what}", cost.seconds, "s")
            if where == "near":
                self.add("copy", name, f"{where}, {what}, CPU", cost.cpu * 1000, "ms")
                self.add("copy", name, f"{where}, {what}, largest process", cost.rss_kib, "KiB")
        self.run([EICE, "-q", "ssh", "web-1", f"rm -rf {place}"])

    def tls(self):
        """TLS between two OpenSSL programs, without a simulator: what the machine can do."""
        tls = os.path.join(self.sim.dir, "tls")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        with subprocess.Popen(
                ["openssl", "s_server", "-accept", port, "-WWW", "-tls1_2",
                 "-cert", f"{tls}/good.pem", "-key", f"{tls}/good.key"], cwd=self.path,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL) as server:
            try:
                script = ("for i in 1 2 3 4 5 6 7 8 9; do "
                          "printf 'GET /data HTTP/1.0\\r\\n\\r\\n' | "
                          f"openssl s_client -quiet -connect 127.0.0.1:{port} 2>/dev/null "
                          "&& exit 0; sleep 0.2; done; exit 1")
                self.transfer("openssl s_client, no tunnel", "down, raw", ["sh", "-c", script],
                              None)
            finally:
                server.kill()

    def prompt(self):
        """From the command line to the end of `true` over there."""
        aws = [*AWS_LIKE.split(), "ssh", self.key, self.instance["id"], "true"]
        known = ["--endpoint-id", POINT, "--endpoint-dns",
                 self.sim.world.endpoint_host(self.sim.world.endpoint(POINT)),
                 "--private-ip", self.instance["ip"]]
        ways = {"eice ssh": [EICE, "-q", "ssh", self.instance["id"], "true"],
                "eice ssh, all given": [EICE, "-q", "ssh", *known, self.instance["id"], "true"],
                "botocore + websockets + OpenSSH": aws,
                "OpenSSH, no tunnel": [*self.ways()["OpenSSH, no tunnel"], "true"]}
        for name, argv in ways.items():
            self.sim.ctl("rtt", ms=0)
            self.run(argv)  # fills caches and known_hosts
            near = self.best(argv)
            self.sim.ctl("rtt", ms=RTT_MS)
            far = self.best(argv)
            self.add("prompt", name, "without latency", near.seconds * 1000, "ms")
            self.add("prompt", name, "CPU", near.cpu * 1000, "ms")
            self.add("prompt", name, "largest process", near.rss_kib, "KiB")
            if name != "OpenSSH, no tunnel":
                self.add("prompt", name, f"at {RTT_MS} ms", far.seconds * 1000, "ms")
                self.add("prompt", name, "round trips",
                         (far.seconds - near.seconds) * 1000 / RTT_MS, "")
        self.sim.ctl("rtt", ms=0)

    def memory(self):
        """Structs and heap."""
        program = build(self.path, "memory.c", "native", ["-O2"], ["ssh2", "bearssl"])
        self.sim.world.instance("source-box")["targets"]["22"] = f"source:{8 << 20}"
        done = subprocess.run([program, "source-box"], env=self.env, check=True,
                              stdout=subprocess.PIPE)
        for name, value in json.loads(done.stdout).items():
            if name != "good":
                counted = "calls" in name
                self.add("memory", name, "calls" if counted else "bytes", value,
                         "" if counted else "B")

    def size(self):
        """Static programs."""
        small = build(self.path, "proxy_only.c", "musl", [
            "-Oz", "-flto", "-flto-partition=one", "-ffunction-sections", "-fdata-sections",
            "-fno-pic", "-fno-pie", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
            "-static", "-no-pie", "-s",
            "-Wl,--gc-sections,--build-id=none,-z,noseparate-code,-z,norelro",
            *glob.glob(os.path.join(ROOT, "build/musl/libc/*.o"))], ["bearssl"])
        ssh = shutil.which("ssh")
        for name, path in (("eice, everything", EICE), ("tunnel only, EICE_NO_SSH", small),
                           ("tunnel only, the smallest", os.path.join(ROOT, "build/tunnel")),
                           ("OpenSSH's ssh, dynamic", ssh), ("python3, dynamic", sys.executable)):
            self.add("size", name, "file", os.path.getsize(os.path.realpath(path)), "B")


def tell(results):
    """A table; every figure also as a ratio to the first of its kind in its part."""
    first = {}
    part = None
    for r in results:
        if r["part"] != part:
            part = r["part"]
            print(f"\n{part}")
        whole = r["value"] >= 100 or isinstance(r["value"], int)
        value = f"{r['value']:,.0f}" if whole else f"{r['value']:.1f}"
        line = f"  {r['name']:36} {r['what']:24} {value:>12} {r['unit']:6}"
        if part not in ("memory",):
            base = first.setdefault((part, r["what"]), r["value"])
            line += f" x{r['value'] / base:.2f}" if base else ""
        print(line.rstrip())


# Rows of --markdown: the part, and a pattern of what was measured.
SHORT = (("prompt", "*"), ("throughput", "up*"), ("throughput", "down*"), ("ciphers", "*CPU"),
         ("copy", "*"), ("memory", "*"), ("size", "*"))


def number(value):
    return f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:.3g}"


def markdown(results):
    """The figure of eice, and how many times as much the others have."""
    rows = {}
    for r in results:
        if any(r["part"] == part and fnmatch.fnmatch(r["what"], what) for part, what in SHORT):
            alone = r["part"] in ("memory", "size")
            rows.setdefault((r["part"], r["name"] if alone else r["what"]), []).append(r)
    print("| | eice | others, as multiples |\n|---|---|---|")
    for (part, what), found in rows.items():
        first = found[0]
        others = ", ".join(f"{r['name']} {r['value'] / first['value']:.2g}" for r in found[1:]
                           if first["value"])
        print(f"| {part}: {what} | {number(first['value'])} {first['unit']} | {others} |")


def measure(options):
    with tempfile.TemporaryDirectory(prefix="eice-bench-") as path:
        os.chmod(path, 0o711)  # sshd has no rights and reads the key in here
        key = os.path.join(path, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        os.chmod(key + ".pub", 0o644)
        sim = Simulator(sshd=True, key_type=options.key_type,
                        sshd_options={"AuthorizedKeysFile": key + ".pub"}).start()
        try:
            bench = Bench(sim, path, options)
            for part in ("prompt", "throughput", "ciphers", "copy", "memory", "size"):
                if not options.words or part in options.words:
                    getattr(bench, part)()
        finally:
            sim.stop()
    return bench.results


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="a short table")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--key-type", choices=("ec", "rsa"), default="rsa",
                        help="of the certificates; AWS has RSA")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    results = measure(options)
    if options.json:
        print(json.dumps(results, indent=1))
    elif options.markdown:
        markdown(results)
    else:
        print(f"{options.mib} MiB, best of {options.rounds}, certificates: {options.key_type}; "
              f"x: ratio to the first of its kind")
        tell(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
