#!/usr/bin/python3
"""Builds on the examples, and on the quick start of the manual: each is run against the simulator.

    examples.py [name …]

They know nothing of the simulator: a proxy in HTTPS_PROXY leads every connection to it, whatever
its name, and AWS_CA_BUNDLE names its root. Prints PASS, FAIL or SKIP lines.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)

BUILT = os.path.join(ROOT, "build/examples/asan")
SMALL = os.path.join(ROOT, "build/tunnel")
FIRST, SECOND = "web-1", "db 1 (primary)"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": "eu-west-1"}


class Failure(Exception):
    pass


class Missing(Exception):
    """What the machine lacks."""


class Proxy:
    """An HTTP proxy that knows CONNECT and takes everybody to one port."""

    def __init__(self, port):
        self.port = port
        self.asked = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            got = client.recv(4096)
            if not got:
                return
            head += got
        self.asked.append(head.split()[1].decode())
        server = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.carry, args=(server, client), daemon=True).start()
        self.carry(client, server)

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class World:
    """The simulator with real sshds, and the environment that leads to it."""

    def __init__(self):
        self.sim = Simulator(sshd=True)
        self.home = tempfile.mkdtemp()

    def __enter__(self):
        self.sim.__enter__()
        self.proxy = Proxy(self.sim.port)
        self.environment = {"PATH": os.environ["PATH"], "HOME": self.home,
                            "HTTPS_PROXY": self.proxy.url}
        self.environment.update((name, value) for name, value in self.sim.env().items()
                                if name.startswith("AWS_"))
        return self

    def __exit__(self, *what):
        self.proxy.listener.close()
        self.sim.__exit__(*what)
        shutil.rmtree(self.home)

    def run(self, *argv, **more):
        """(status, standard output, standard error) of an example."""
        done = subprocess.run([os.path.join(BUILT, argv[0]), *argv[1:]], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False, **more)
        return done.returncode, done.stdout, done.stderr

    def key(self, name):
        path = os.path.join(self.home, name)
        if not os.path.exists(path):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path


def expect(got, want, what):
    if got != want:
        raise Failure(f"{what} is {got!r}, expected {want!r}")


def expect_match(text, pattern, what):
    if not re.search(pattern, text):
        raise Failure(f"{what} is {text[-300:]!r}, expected /{pattern}/")


def expect_good(done):
    status, _, errors = done
    if status != 0:
        raise Failure(f"exit status {status}: {errors[-200:]!r}")


# --- one function an example ---------------------------------------------------------------------


def ssh_through(world, program):
    """OpenSSH logs in through a program that is its ProxyCommand."""
    key = world.key("id_openssh")
    expect_good(world.run("08_push_key", FIRST, key + ".pub"))
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o",
         "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={world.home}/known", "-o",
         f"ProxyCommand='{program}' %h", f"ec2-user@{FIRST}", "echo through; exit 9"],
        env=world.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False)
    if (done.returncode, done.stdout) != (9, "through\n"):
        raise Failure(f"ssh: status {done.returncode}, {done.stdout!r}, {done.stderr[-200:]!r}")


def proxycommand(world):
    ssh_through(world, os.path.join(BUILT, "01_proxycommand"))
    status, out, errors = world.run("01_proxycommand", "no-such-instance")
    expect((status, out), (1, ""), "the result for an unknown name")
    expect_match(errors, "no-such-instance.*check the name", "its error")


def manual():
    """The lines of the quick start."""
    with open(os.path.join(ROOT, "eice.h"), encoding="utf-8") as f:
        text = f.read()
    part = re.search(r"^ \* QUICK START\n \* =+\n(.*?)\n \* [A-Z ,]+\n \* =+\n", text, re.M | re.S)
    if not part:
        raise Failure("the manual has no QUICK START")
    lines = [line[7:] for line in part[1].splitlines() if line.startswith(" *     ")
             or line == " *"]
    return "\n".join(lines).strip("\n") + "\n"


def quick_start(world):
    """As the manual prints it: compiled with the line that the manual gives, and used."""
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT, "-isystem",
             os.path.join(ROOT, "build/deps/include")]
    libraries = [os.path.join(ROOT, f"build/native/lib{name}.a") for name in ("ssh2", "bearssl")]
    source = os.path.join(world.home, "quick.c")
    program = os.path.join(world.home, "quick")
    with open(source, "w", encoding="utf-8") as f:
        f.write(manual())
    done = subprocess.run(["gcc", *flags, source, *libraries, "-o", program], text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"does not compile: {done.stderr[:300]}")
    ssh_through(world, program)
    with open(os.path.join(ROOT, "examples/01_proxycommand.c"), encoding="utf-8") as f:
        if not f.read().endswith(manual()):
            raise Failure("examples/01_proxycommand.c is not what the manual says")


def remote_command(world):
    done = world.run("02_exec", FIRST, "echo out; echo err >&2; exit 42")
    expect(done[:2], (42, "out\n"), "status and output")
    expect_match(done[2], r"^err$", "standard error")
    status, out, _ = world.run("02_exec", FIRST, "head -c 300000 /dev/zero | tr '\\0' x")
    expect((status, out), (0, "x" * 300000), "a long output")
    status, _, errors = world.run("02_exec", "no-such-instance", "true")
    expect(status, 255, "the status for an unknown name")
    expect_match(errors, "no-such-instance", "its error")


def event_loop(world):
    both = (FIRST, f"admin@{SECOND}")
    done = world.run("04_event_loop", "echo here; sleep 0.5; echo there", *both)
    expect_good(done)
    for target in (FIRST, SECOND):
        for text in ("here", "there", "exit status 0"):
            if f"{target}: {text}\n" not in done[1]:
                raise Failure(f"no \"{target}: {text}\" in {done[1]!r}")
    # At the same time: neither has said its last before the other said its first.
    if done[1].rfind(": here") > done[1].find(": there"):
        raise Failure(f"one after the other: {done[1]!r}")
    status, out, _ = world.run("04_event_loop", "exit 3", *both)
    expect((status, out.count("exit status 3\n")), (1, 2), "two failures")


def callbacks(world):
    status, out, errors = world.run("05_callbacks", FIRST)
    expect((status, errors), (0, ""), "the result")
    expect_match(out, r"^SSH-2\.0-OpenSSH\S*.*\n\Z", "the banner")
    status, _, errors = world.run("05_callbacks", "no-such-instance")
    expect(status, 1, "the status for an unknown name")
    expect_match(errors, "no-such-instance", "its error")


def small_tunnel(world):
    """The example, and the static program made of it, with what they have to be told."""
    instance = world.sim.world.instance(FIRST)
    endpoint = "eice-0a1b2c3d4e5f60718"
    given = [instance["ip"], endpoint,
             world.sim.world.endpoint_host(world.sim.world.endpoint(endpoint))]
    for number, program in enumerate((os.path.join(BUILT, "06_small_tunnel"), SMALL)):
        wrapper = os.path.join(world.home, f"small{number}")
        with open(wrapper, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec {program} {' '.join(given)}\n")
        os.chmod(wrapper, 0o755)
        ssh_through(world, wrapper)


# What asks for a part that is left out: variables, lines of a profile, words behind the program's
# name; and the switch that the error names.
GIVEN = ["10.0.0.1", "eice-0a1b2c3d4e5f60718", "host.example"]
LEFT_OUT = (
    ({}, "", GIVEN[:1], "looking up the instance: .*EICE_NO_CALLS"),
    ({}, "", GIVEN[:2], "looking up the endpoint: .*EICE_NO_CALLS"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "", GIVEN, "EICE_NO_WEB_IDENTITY"),
    ({}, "web_identity_token_file = /token\nrole_arn = arn", GIVEN, "EICE_NO_WEB_IDENTITY"),
    ({}, "role_arn = arn:aws:iam::1:role/r\nsource_profile = x", GIVEN, "EICE_NO_ROLES"),
    ({}, "sso_account_id = 1\nsso_role_name = r", GIVEN, "EICE_NO_SSO"),
    ({}, "login_session = arn:aws:iam::1:user/u", GIVEN, "EICE_NO_LOGIN"),
    ({}, "credential_process = /bin/true", GIVEN, "EICE_NO_PROCESS"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/"}, "", GIVEN, "EICE_NO_CONTAINER"),
    ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "", GIVEN, "EICE_NO_CONTAINER"),
    ({}, "", GIVEN, "no credentials: .*EICE_NO_IMDS"))


def left_out(world):
    config = os.path.join(world.home, "config")
    for variables, lines, words, want in LEFT_OUT:
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"[default]\n{lines}\n[profile x]\n")
        environment = {"HOME": world.home, "AWS_CONFIG_FILE": config, "AWS_REGION": "eu-west-1",
                       **(KEYS if words is not GIVEN else {}), **variables}
        done = subprocess.run([SMALL, *words], env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=20, check=False)
        expect((done.returncode, done.stdout), (1, ""), f"the result for {want}")
        expect_match(done.stderr, rf"^eice: .*{want}\b.* \(.+\)$", "its error")


def presign(world):
    """Offline, with a known answer: the parts of the URL, and the signature by other means."""
    world = dict(world.environment, **KEYS)
    done = subprocess.run([os.path.join(BUILT, "07_presign_only"), "20260115T093045Z"], env=world,
                          capture_output=True, text=True, timeout=20, check=False)
    expect(done.returncode, 0, "the exit status")
    wanted = ("wss://eice-0a1b2c3d4e5f60718.0badcafe.ec2-instance-connect-endpoint.eu-west-1."
              "amazonaws.com/openTunnel?instanceConnectEndpointId=eice-0a1b2c3d4e5f60718"
              "&remotePort=22&privateIpAddress=10.0.1.23"
              "&X-Amz-Algorithm=AWS4-HMAC-SHA256"
              "&X-Amz-Credential=AKIDEXAMPLE%2F20260115%2Feu-west-1%2Fec2-instance-connect"
              "%2Faws4_request&X-Amz-Date=20260115T093045Z&X-Amz-Expires=60"
              "&X-Amz-SignedHeaders=host&X-Amz-Signature=ef6e4f2a6136edec0f9e78489d54f643d3668a8a"
              "41db1b21be0613ff7a9cb2a2\n")
    expect(done.stdout, wanted, "the URL")


def push_key(world):
    key = world.key("id_push")
    status, out, errors = world.run("08_push_key", FIRST, key + ".pub")
    expect((status, errors), (0, ""), "the result")
    expect_match(out, "ec2-user.*60 seconds", "what it says")
    with open(key + ".pub", encoding="utf-8") as f:
        blob = f.read().split()[1]
    instance = "i-0123456789abcdef0"
    if blob not in str(world.sim.world.active_keys(instance, "ec2-user")):
        raise Failure("the simulator has not got the key")
    status, _, errors = world.run("08_push_key", FIRST, os.path.join(world.home, "absent"))
    expect(status, 1, "the status for a missing file")
    expect_match(errors, "absent", "its error")


def aws_call(world):
    status, out, errors = world.run("09_aws_call", "vpc-0ddd3333eee4444ff")
    expect((status, errors), (0, ""), "the result")
    for line in ("subnet-0aaa1111bbb2222cc 10.20.1.0/24", "sg-0f00ba4f00ba4f00b app"):
        expect_match(out, f"(?m)^{re.escape(line)}$", "what it lists")
    bad = dict(world.environment, AWS_SECRET_ACCESS_KEY="wrong")
    done = subprocess.run([os.path.join(BUILT, "09_aws_call"), "vpc-1"], env=bad,
                          capture_output=True, text=True, timeout=60, check=False)
    expect(done.returncode, 1, "the status with a wrong secret")
    expect_match(done.stderr, "DescribeSubnets.*SignatureDoesNotMatch", "its error")


def own_keys(world):
    """A provider of the caller's own: its keys, none, and a vault that is shut."""
    def vault(*lines):
        path = os.path.join(world.home, "vault")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n" if lines else "")
        return world.run("10_own_keys", path)
    entry = world.sim.world.credential("temporary")
    status, out, errors = vault(entry["access_key"], entry["secret"], entry["token"], "4102444800")
    expect((status, out, errors), (0, entry["arn"] + ", with keys from the vault\n", ""), "keys")
    status, out, _ = vault()
    expect_match(out, "user/admin, with keys from environment", "an empty vault")
    entry = world.sim.world.credential("expired")
    status, _, errors = vault(entry["access_key"], entry["secret"], entry["token"])
    expect(status, 1, "the status with expired keys")
    expect_match(errors, "(the vault).*ExpiredToken", "its error")
    status, _, errors = world.run("10_own_keys", world.home + "/none")
    expect(status, 1, "the status without a vault")
    expect_match(errors, "the vault .*/none cannot be read", "its error")


def every_example_is_run(_):
    with open(os.path.abspath(__file__), encoding="utf-8") as f:
        text = f.read()
    for name in sorted(os.listdir(os.path.join(ROOT, "examples"))):
        if name.endswith(".c") and f'"{name[:-2]}"' not in text:
            raise Failure(f"no test runs examples/{name}")


TESTS = [("examples: quick start of the manual", quick_start),
         ("examples: 01_proxycommand", proxycommand), ("examples: 02_exec", remote_command),
         ("examples: 04_event_loop", event_loop), ("examples: 05_callbacks", callbacks),
         ("examples: 06_small_tunnel", small_tunnel),
         ("examples: 06_small_tunnel names what is left out", left_out),
         ("examples: 07_presign_only", presign), ("examples: 08_push_key", push_key),
         ("examples: 09_aws_call", aws_call), ("examples: 10_own_keys", own_keys),
         ("examples: none is forgotten", every_example_is_run)]


def attempt(name, test, world):
    try:
        test(world)
    except Missing as e:
        print(f"SKIP {name}: {e}", flush=True)
        return True
    except (Failure, OSError, subprocess.SubprocessError) as e:
        print(f"FAIL {name}: {e}", flush=True)
        return False
    print(f"PASS {name}", flush=True)
    return True


def main():
    words = sys.argv[1:]
    chosen = [t for t in TESTS if not words or any(word in t[0] for word in words)]
    with World() as world:
        return 0 if all([attempt(name, test, world) for name, test in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
