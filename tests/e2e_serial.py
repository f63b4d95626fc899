#!/usr/bin/python3
"""`eice serial` against the simulator's console host, a real sshd with a getty behind it.

    tests/e2e_serial.py [--eice PROGRAM] [name …]
"""

import json
import os
import socket
import struct
import subprocess
import sys
import threading

from e2elib import check, contains, equal, eventually, json_line, main, matches, test
from sim import Simulator

WEB = "i-0123456789abcdef0"
HOST = "serial-console.ec2-instance-connect.eu-west-1.aws"
PASSWORD = {"password": "sesame"}


def ready(w, **settings):
    """The account's setting is on, web-1 has a password; the options that know the host."""
    w.sim.world.data["serial_console"] = True
    w.sim.world.instance("web-1")["serial"] = PASSWORD
    for name, value in settings.items():
        w.sim.ctl("setting", name=name, value=value)
    eventually(lambda: w.sim.ctl("serial")["busy"], [], "lines in use")
    return ["serial", "--host-key", w.sim.ctl("serial")["fingerprint"]]


def log_in(t):
    t.expect(r"Enter brings its login prompt, ~\. leaves")
    t.send("\r")
    t.expect(r"login: ")
    t.send("ec2-user\r")
    t.expect(r"Password: ")
    t.send("sesame\r")
    t.expect(r"\]\$ ")


def prompt(w, *arguments, env=None):
    """Through pipes: Enter, the login prompt, and the end of it; what is said besides."""
    process = w.spawn(*arguments, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)
    process.stdin.write(b"\r")
    seen = b""
    while b"login: " not in seen:
        data = process.stdout.read(4096)
        check(data, f"no login prompt: {seen}; {process.poll() and process.stderr.read()}")
        seen += data
    process.stdin.write(b"\x04")
    _, err = process.communicate(timeout=20)
    equal(process.returncode, 0, "status")
    return err.decode()


@test
def login_on_the_console(w):
    """By name: one lookup, one push, nothing of the instance's network."""
    w.sim.ctl("instance", id="web-1", groups="[]", targets='{"22": "blackhole"}')
    with w.terminal(*ready(w), "web-1") as t:
        log_in(t)
        check(t.modes() != t.before, "the terminal is raw meanwhile")
        t.send("whoami\r")
        t.expect(r"ec2-user\r\n")
        t.send("exit\r")
        equal(t.wait(), 0, "status")
        t.restored("after exit")
    equal(w.actions(), {"DescribeInstances": 1, "SendSerialConsoleSSHPublicKey": 1}, "calls")
    equal(w.requests("SendSerialConsoleSSHPublicKey")[0]["params"]["SerialPort"], 0, "port")
    check(not os.path.exists(w.known_hosts), "a pinned key is stored")


@test
def escape_is_the_ordinary_end(w):
    with w.terminal(*ready(w), WEB) as t:
        log_in(t)
        t.send("\r~.")
        equal(t.wait(), 0, "status")
        t.restored("after ~.")
    equal(w.actions(), {"SendSerialConsoleSSHPublicKey": 1}, "calls for an instance id")


@test
def without_a_terminal_of_ours(w):
    """A terminal is asked for all the same, or there would be no console."""
    prompt(w, *ready(w), "web-1")


@test
def published_host_key(w):
    """The simulator does not have AWS's key, and so is found out."""
    ready(w)
    told = json_line(w.eice("--json", "serial", WEB).expect(1).err)
    equal((told["error"], told["stage"]), ("HOST_KEY_CHANGED", "host-key"), "error")
    contains(told["message"], "SHA256:h2AaGAWO4Hathhtm6ezs3Bj7udgUxi2qTrHjZAwCW6E", "published")
    contains(told["message"], w.sim.ctl("serial")["fingerprint"], "offered")
    contains(told["remedy"], "--host-key", "remedy")
    done = w.eice("serial", "--host-key", "SHA256:" + "A" * 43, "web-1").expect(1)
    contains(done.err, "which was given", "wrong key given")
    equal(w.sim.ctl("journal", kind="serial"), [], "sessions")


@test
def host_key_of_ssh_can_be_pinned(w):
    """The same option, for an instance: neither file nor policy is asked then."""
    prints = w.sshd("web-1")["fingerprints"]
    w.eice("ssh", "--host-key", prints[0], "--hostkey-policy", "strict", "web-1", "true").expect(0)
    done = w.eice("ssh", "--host-key", prints[1], "--hostkey-policy", "off", "web-1", "true")
    contains(done.expect(255).err, prints[1], "another key of the same server")


@test
def another_host(w):
    """Of which nothing is known: trust on first use, under the name of the host."""
    ready(w)
    rule = f"console.test:22:127.0.0.1:{w.sim.ctl('serial')['port']}"
    env = w.env(EICE_CONNECT_TO=f"{rule} ::127.0.0.1:{w.sim.port}")
    told = prompt(w, "-v", "serial", "--serial-host", "console.test", WEB, env=env)
    contains(told, "first contact with console.test", "warning")
    with open(w.known_hosts, encoding="ascii") as f:
        matches(f.read(), r"^console\.test ssh-ed25519 ", "known hosts")


@test
def one_session_at_a_time(w):
    arguments = ready(w)
    with w.terminal(*arguments, "web-1") as t:
        log_in(t)
        told = json_line(w.eice("--json", *arguments, "web-1").expect(1).err)
        equal(told["aws_code"], "SerialConsoleSessionLimitExceededException", "in use")
        contains(told["remedy"], "30 seconds", "remedy")
        t.send("\r~.")
        equal(t.wait(), 0, "status")
    eventually(lambda: w.sim.ctl("serial")["busy"], [], "session ended")
    contains(w.eice(*arguments, "web-1").expect(1).err, "30 seconds", "too soon")
    prompt(w, *ready(w, serial_rest_ms=0), "web-1")


@test
def what_is_refused(w):
    arguments = ready(w)

    def told(*more, **changed):
        w.sim.ctl("instance", id="web-1", **changed)
        return json_line(w.eice("--json", *arguments, *(more or ["web-1"])).expect(1).err)
    w.sim.world.data["serial_console"] = False
    got = told()
    equal(got["aws_code"], "SerialConsoleAccessDisabledException", "account setting")
    contains(got["remedy"], "EnableSerialConsoleAccess", "remedy")
    w.sim.world.data["serial_console"] = True
    contains(told(type="t2.micro")["remedy"], "Nitro", "old type")
    equal(told(type="t4g.small", state="stopped")["error"], "NOT_RUNNING", "stopped, by name")
    equal(told(WEB)["aws_code"], "EC2InstanceStateInvalidException", "stopped, by id")
    equal(told(state="running", serial='{"unsupported": true}')["aws_code"],
          "SerialConsoleSessionUnsupportedException", "old BIOS")
    denied = w.eice("--json", *arguments, WEB, env=w.env(credential="denied")).expect(1)
    contains(json_line(denied.err)["remedy"],
             "ec2-instance-connect:SendSerialConsoleSSHPublicKey on arn:aws:ec2:eu-west-1:"
             f"123456789012:instance/{WEB}", "permission")


@test
def stopping_instance(w):
    """What shows why it does not stop must work while it does."""
    arguments = ready(w)
    w.sim.ctl("instance", id="web-1", state="stopping")
    prompt(w, *arguments, "web-1")


@test
def command_lines(w):
    for arguments, wanted in ((["serial"], "no target"), (["serial", "web-1", "ls"], "no command"),
                              (["serial", "me@web-1"], "own prompt")):
        contains(w.eice(*arguments).expect(2).err, wanted, str(arguments))


def no_such_name(packet):
    """The answer NXDOMAIN to a DNS question."""
    return packet[:2] + b"\x81\x83" + packet[4:6] + bytes(6) + packet[12:]


@test
def region_that_is_not_in_the_table(w):
    """The older name of the host does not exist, the newer one does."""
    world = w.write("world.json", json.dumps({"region": "mx-test-1", "serial_console": True}))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    asked = []

    def answer():
        while True:
            packet, peer = server.recvfrom(512)
            if not packet:
                return
            asked.append(packet[12:-4])
            server.sendto(no_such_name(packet), peer)
    threading.Thread(target=answer, daemon=True).start()
    resolv = w.write("resolv", f"nameserver [127.0.0.1]:{server.getsockname()[1]}\n")
    with Simulator(world=world, sshd=True) as other:
        told = other.ctl("serial")
        rules = [f"{name}.mx-test-1.amazonaws.com:443:127.0.0.1:{other.port}"
                 for name in ("ec2", "ec2-instance-connect")]
        rules.append(f"{told['hosts'][1]}:22:127.0.0.1:{told['port']}")
        env = {**w.env(), **other.env(), "EICE_CONNECT_TO": " ".join(rules),
               "EICE_RESOLV_CONF": resolv}
        prompt(w, "serial", "--host-key", told["fingerprint"], "web-1", env=env)
        equal(other.journal.violations(), [], "rules broken")
    label = b"serial-console"
    check(any(struct.pack("B", len(label)) + label in a for a in asked), f"asked for: {asked}")
    server.sendto(b"", server.getsockname())


if __name__ == "__main__":
    sys.exit(main(__doc__))
