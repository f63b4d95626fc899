#!/usr/bin/python3
"""The tunnel engine against the simulator: OpenSSL's TLS, an independent WebSocket and SigV4.

    tunnel_sim.py CLIENT [name …]

CLIENT is the program made of tunnel_client.c. Prints PASS and FAIL lines.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator, targets  # noqa: E402  (needs the path set above)

ENDPOINT = "eice-0a1b2c3d4e5f60718"
MIB = 1 << 20


class Failure(Exception):
    pass


def expect(line, pattern):
    if not re.search(pattern, line):
        raise Failure(f"got \"{line}\", expected /{pattern}/")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def sent_pattern(size):
    """What tunnel_client.c sends."""
    return bytes((i * 131 + i // 509) & 255 for i in range(size))


class Tester:
    def __init__(self, program, sim, path):
        self.program = program
        self.sim = sim
        self.path = path

    def arguments(self, name, credential, options):
        entry = self.sim.world.credential(credential)
        instance = self.sim.world.instance(name)
        point = self.sim.world.endpoint(ENDPOINT)
        given = {"host": self.sim.world.endpoint_host(point), "endpoint": ENDPOINT,
                 "ip": instance["ip"] or instance["ipv6"], "region": self.sim.world.region,
                 "key": entry["access_key"], "secret": entry["secret"],
                 "token": entry["token"] or "", **options}
        return [f"{k}={v}" for k, v in given.items()]

    def run(self, name, credential="admin", **options):
        done = subprocess.run(
            [self.program, str(self.sim.port), self.sim.ca_file,
             *self.arguments(name, credential, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"status {done.returncode}: {done.stderr[-500:]}")
        return done.stdout.strip()

    def echo(self, size, name="echo-box", **options):
        line = self.run(name, send=size, want=size, **options)
        expect(line, f"^ok received={size} sha={sha(sent_pattern(size))} close=0 heard=1 ")
        return line


def echo_sizes(t):
    for size in (1, 125, 126, 4144, 4145, 65536, MIB):
        t.echo(size)


def source_64_mib(t):
    line = t.run("source-box")
    expect(line, f"^ok received={64 * MIB} sha={sha(targets.pattern(65536 * 4) * 256)} "
                 "close=1000 heard=1 ")


def short_texts(t):
    expect(t.run("closing-box"), "^ok received=0 .* close=1000 heard=0 ")
    expect(t.run("banned-box"), "^ok received=26 .* close=1000 heard=1 ")


def unreachable(t):
    expect(t.run("refuse-box"), "^error TARGET_UNREACHABLE tunnel .* close=1011 .*request=1 .*"
           f"{ENDPOINT} cannot reach .*:22: Unable to connect to target$")


def silent(t):
    expect(t.run("silent-box", target_ms=300),
           "^error TARGET_SILENT tunnel .*sent nothing for 0 s$")


def duration(t):
    expect(t.run("silent-box", duration=1),
           "^error TUNNEL_EXPIRED tunnel .*its limit of 1 s is up$")


def refusals(t):
    expect(t.run("web-1", credential="limited", duration=3000),
           "^error UPGRADE_DENIED upgrade .*status=403 aws=AccessDeniedException request=1 ")
    expect(t.run("web-1", credential="expired"),
           "^error UPGRADE_REFUSED upgrade .*status=403 aws=ExpiredTokenException ")
    expect(t.run("web-1", port=23), "^error UPGRADE_REFUSED .*status=400 aws=InvalidParameter .*"
           "HTTP 400 InvalidParameter: The specified RemotePort is not valid")
    expect(t.run("web-1", secret="x"),
           "^error UPGRADE_REFUSED .*status=403 aws=InvalidSignatureException ")


def temporary_credentials(t):
    t.echo(1000, credential="temporary")


def wrong_clock(t):
    line = t.run("echo-box", clock=-300, send=1, want=1)
    expect(line, "^error UPGRADE_REFUSED .*status=403 aws=InvalidSignatureException request=1 ")
    server = int(re.search(r"server=(\d+)", line).group(1))
    if abs(server - time.time()) > 5:
        raise Failure(f"server time {server}")


def resumption(t):
    session = os.path.join(t.path, "session")
    expect(t.echo(10, session=session), "resumed=0 ")
    expect(t.echo(10, session=session), "resumed=1 ")
    t.sim.ctl("fault", kind="no-resume")
    expect(t.echo(10, session=session), "resumed=0 ")


def slow_application(t):
    t.sim.world.instance("source-box")["targets"]["22"] = "source:300000"
    try:
        line = t.run("source-box", slow_ms=20)
    finally:
        t.sim.world.instance("source-box")["targets"]["22"] = f"source:{64 * MIB}"
    expect(line, "^ok received=300000 .* close=1000 ")


def pings(t):
    t.sim.ctl("fault", kind="expire", ms=700)
    expect(t.run("silent-box", ping_ms=100, target_ms=5000), "^ok received=0 .* close=1000 ")
    end = t.sim.ctl("journal", kind="tunnel")[-1]
    if end["pings"] < 4:
        raise Failure(f"the endpoint saw {end['pings']} pings")


def pings_unanswered(t):
    t.sim.ctl("fault", kind="expire", ms=700)
    t.sim.ctl("fault", kind="no-pong")
    expect(t.run("silent-box", ping_ms=100, target_ms=5000), "^ok received=0 .* close=1000 ")


def idle_costs_nothing(t):
    t.sim.ctl("fault", kind="expire", ms=1500)
    line = t.run("silent-box")
    expect(line, "^ok ")
    turns = int(re.search(r"turns=(\d+)", line).group(1))
    if turns > 60:
        raise Failure(f"{turns} turns of the loop for one and a half idle seconds")


def shapes(t):
    """Every legal framing carries the same bytes."""
    for kind, options in (("split", {}), ("fragment", {}),
                          ("segments", {"bytes": 700}), ("ping-first", {}),
                          ("ping-flood", {"count": 2000}), ("pong-first", {}),
                          ("empty-frames", {"count": 5}), ("upgrade-split", {}),
                          ("upgrade-with-data", {}), ("ping-every", {"ms": 5}),
                          ("slow-read", {"bytes": 4000, "ms": 1}),
                          ("throttle", {"bytes": 100000, "ms": 20}),
                          ("dial-delay", {"ms": 200}), ("no-close-echo", {})):
        t.sim.ctl("fault", kind=kind, **options)
        try:
            t.echo(300000)
        except Failure as error:
            raise Failure(f"{kind}: {error}") from None
        t.sim.ctl("clear-faults")


# kind, its parameters, the line that is expected
FAULTS = [
    ("accept-close", {}, "^error NET_RESET tls "),
    ("accept-rst", {}, "^error NET_RESET tls "),
    ("accept-banner", {}, "^error TLS tls .*does not answer in TLS"),
    ("tls-close", {}, "^error NET_RESET tls "),
    ("tls-garbage", {}, "^error TLS tls "),
    ("tls-alert", {}, "^error TLS tls .*handshake failure"),
    ("cert", {"variant": "expired"}, "^error TLS_EXPIRED tls "),
    ("cert", {"variant": "not-yet"}, "^error TLS_EXPIRED tls "),
    ("cert", {"variant": "wrong-name"}, "^error TLS_NAME tls "),
    ("cert", {"variant": "untrusted"}, "^error TLS_UNTRUSTED tls "),
    ("cert", {"variant": "self-signed"}, "^error TLS_UNTRUSTED tls "),
    ("head-close", {}, "^error NET_RESET upgrade "),
    ("wrong-accept", {}, "^error WS_PROTOCOL upgrade .*Accept does not answer"),
    ("no-accept", {}, "^error WS_PROTOCOL upgrade .*Accept does not answer"),
    ("no-upgrade-header", {}, "^error WS_PROTOCOL upgrade .*Upgrade is not websocket"),
    ("extension", {}, "^error WS_PROTOCOL upgrade .*not asked for"),
    ("subprotocol", {}, "^error WS_PROTOCOL upgrade .*not asked for"),
    ("status-200", {}, "^error UPGRADE_REFUSED upgrade .*status=200 "),
    ("quota", {}, "^error UPGRADE_QUOTA upgrade .*status=429 .*retry=1"),
    ("refuse", {}, "^error UPGRADE_DENIED upgrade .*status=403 aws=AccessDeniedException "
                   "request=1 .*User is not authorized"),
    ("refuse", {"status": 503, "code": "Busy"}, "^error UPGRADE_REFUSED .*retry=1"),
    ("refuse", {"body": "html"}, "^error UPGRADE_DENIED .*status=403"),
    ("refuse", {"body": "empty", "status": 500}, "^error UPGRADE_REFUSED .*status=500.*retry=1"),
    ("drop", {}, "^error NET_RESET upgrade "),
    ("rst", {}, "^error NET_RESET upgrade "),
    ("hang", {}, "^error UPGRADE_TIMEOUT upgrade "),
    ("raw", {"text": "SSH-2.0-x\r\n"}, "^error (HTTP|NET_RESET) upgrade "),
    ("stall", {}, "^error TARGET_SILENT tunnel "),
    ("open-close", {}, "^error TARGET_UNREACHABLE tunnel "),
    ("open-close", {"code": 0}, "^ok received=0 .* close=1005 "),
    ("open-close", {"code": 1000, "reason": ""}, "^ok received=0 .* close=1000 heard=0 "),
    ("open-rst", {}, "^error NET_RESET tunnel "),
    ("open-drop", {}, "^error NET_RESET tunnel .*without closing the tunnel"),
    ("text", {}, "^error WS_PROTOCOL tunnel "),
    ("masked", {}, "^error WS_PROTOCOL tunnel "),
    ("reserved", {"bit": 64}, "^error WS_PROTOCOL tunnel "),
    ("reserved", {"bit": 32}, "^error WS_PROTOCOL tunnel "),
    ("reserved", {"bit": 16}, "^error WS_PROTOCOL tunnel "),
    ("opcode", {}, "^error WS_PROTOCOL tunnel "),
    ("huge-control", {}, "^error WS_PROTOCOL tunnel "),
    ("fragmented-control", {}, "^error WS_PROTOCOL tunnel "),
    ("bad-continuation", {}, "^error WS_PROTOCOL tunnel "),
    ("nested-start", {}, "^error WS_PROTOCOL tunnel "),
    ("negative-length", {}, "^error WS_PROTOCOL tunnel "),
    ("long-length", {}, "^error WS_PROTOCOL tunnel .*bad length"),  # RFC 6455 5.2
    ("bad-close", {}, "^error WS_PROTOCOL tunnel "),
    ("close-with-data", {}, "^ok received=5000 .* close=1000 "),
    ("close-with-data", {"code": 0}, "^ok received=5000 .* close=1005 "),
    ("close-with-data", {"code": 1011, "reason": "x"}, "^error TUNNEL_CLOSED .*received=5000 "),
    ("split-close", {}, "^error TARGET_UNREACHABLE tunnel "),
    ("die", {"bytes": 700}, "^error TUNNEL_CLOSED tunnel received=700 .*code 1011: Service "
                            "restart"),
    ("die", {"bytes": 700, "how": "drop"}, "^error NET_RESET tunnel received=700 "),
    ("die", {"bytes": 700, "how": "cut"}, "^error NET_RESET tunnel received=700 "),
    ("die", {"bytes": 700, "how": "bad-mac"}, "^error TLS tunnel received=700 .*damaged"),
    ("die", {"bytes": 700, "how": "rst"}, "^error NET_RESET tunnel "),
]


def fault_case(kind, options, pattern):
    def case(t):
        t.sim.world.instance("source-box")["targets"]["22"] = "source:5000"
        t.sim.ctl("fault", kind=kind, **options)
        try:
            expect(t.run("source-box", target_ms=400, upgrade_ms=400), pattern)
        finally:
            t.sim.world.instance("source-box")["targets"]["22"] = f"source:{64 * MIB}"
    return case


def fault_name(kind, options):
    words = [kind, *map(str, options.values())]
    return "fault_" + re.sub(r"\W+", "_", "_".join(words))


CASES = [(f.__name__, f) for f in (
    echo_sizes, source_64_mib, short_texts, unreachable, silent, duration, refusals,
    temporary_credentials, wrong_clock, resumption, slow_application, pings, pings_unanswered,
    idle_costs_nothing, shapes)] + [
        (fault_name(kind, options), fault_case(kind, options, pattern))
        for kind, options, pattern in FAULTS]


def check_violations(sim):
    broken = sim.ctl("violations")
    if broken:
        raise Failure(f"the simulator saw violations: {broken[:3]}")


def run_case(tester, name, case):
    try:
        case(tester)
        check_violations(tester.sim)
        print("PASS tunnel_sim_" + name)
        return 0
    except (Failure, OSError, subprocess.TimeoutExpired) as error:
        print(f"FAIL tunnel_sim_{name}: {error}")
        return 1
    finally:
        tester.sim.ctl("clear")
        sys.stdout.flush()


def main():
    wanted = sys.argv[2:]
    failures = 0
    with tempfile.TemporaryDirectory() as path:
        with Simulator(os.path.join(path, "sim")) as sim:
            tester = Tester(os.path.abspath(sys.argv[1]), sim, path)
            for name, case in CASES:
                if not wanted or any(w in name for w in wanted):
                    failures += run_case(tester, name, case)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
