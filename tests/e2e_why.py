#!/usr/bin/python3
"""What ssh, proxy, forward and cp say of a failure: the cause that AWS's answers tell, with one
call more at most and none where the cause is certain, and where to read on: eice doctor.

    tests/e2e_why.py [--eice PROGRAM] [name …]
"""

import sys

from e2elib import contains, equal, main, matches, pick_lines, test
from worlds import APP, MAIN, WEB, endpoint, instance, rules

DIRECT = ("--endpoint-id", MAIN, "--endpoint-dns",
          f"{MAIN}.0badcafe.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com",
          "--private-ip", "10.20.1.23")
ID = f"eice doctor {WEB} "
COMMANDS = {"ssh": ("ssh", "{}", "true"), "proxy": ("proxy", "{}"),
            "forward": ("forward", "{}", "0:localhost:80"), "cp": ("cp", "{}:/a", "b")}
# what a connection itself asks
OWN = {"DescribeInstances", "DescribeInstanceConnectEndpoints", "SendSSHPublicKey", "openTunnel",
       "GetConsoleOutput"}  # at first contact
SOON = ("setting", {"name": "dial_timeout_ms", "value": 400})


def deny(action):
    """Everything is allowed but this, which is denied by name."""
    return "policy", {"credential": "admin", "document": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": "*"}]}}


def row(name, hint, asked=(), ops=(), target="web-1", commands=COMMANDS, doctor=ID, options=(),
        known=False):
    """`hint`: a pattern; `asked`: the calls beyond those of a connection."""
    for command in commands:
        def body(w, command=command):
            if known:
                w.eice("ssh", target, "true").expect(0)
            for control, given in ops:
                w.sim.ctl(control, **given)
            before = w.actions()
            words = [word.format(target) for word in COMMANDS[command]]
            result = w.eice(*options, *words, seconds=25)
            equal(result.status, 255 if command == "ssh" else 1, f"status: {result.err}")
            hints = pick_lines(result.err, "eice: hint: ")
            equal(len(hints), 1, f"hints of {result.err!r}")
            matches(hints[0], hint, "the hint")
            contains(hints[0], doctor, "where to read on")
            extra = [name for name, count in w.actions().items() if name not in OWN
                     for _ in range(count - before.get(name, 0))]
            equal(extra, list(asked), "what was asked besides")
        body.__name__ = f"{name}_{command}"
        test(body)


SSH = ("ssh", "forward", "cp")
row("closed_in", f"no rule of {APP}, the instance's .* in from .*eice enroll",
    ["DescribeSecurityGroups"], [SOON, rules(APP, ingress=[])])
row("closed_out", "no rule of .*, the endpoint's .* out to", ["DescribeSecurityGroups"],
    [SOON, rules("sg-0e1ce0e1ce0e1ce00", egress=[])], commands=["ssh"])
row("not_listening", "security groups let TCP 22 pass: see whether sshd listens",
    ["DescribeSecurityGroups"], [instance("web-1", targets={"22": "refuse"})], commands=SSH)
row("groups_not_to_be_seen", "allow the port inbound", ["DescribeSecurityGroups"],
    [SOON, rules(APP, ingress=[]), deny("ec2:DescribeSecurityGroups")], commands=["ssh"])
row("nothing_known_of_it", "allow the port inbound", [], [SOON, rules(APP, ingress=[])],
    target=WEB, options=DIRECT, commands=["ssh", "proxy"])
row("other_login", "login of its image is ubuntu, not ec2-user: -l ubuntu", ["DescribeImages"],
    target="app & web-2", doctor="eice doctor i-0123456789abcdef1 ", commands=SSH)
row("no_package", "without ec2-instance-connect", ["DescribeImages"],
    [instance("i-0123456789abcdef2", package=False)], target="admin@db 1 (primary)",
    doctor="eice doctor i-0123456789abcdef2 ", commands=["ssh"])
row("images_not_to_be_seen", "check the login name", ["DescribeImages"],
    [deny("ec2:DescribeImages")], target="joe@web-1", commands=["ssh"])
row("not_to_be_pushed", "remove the deny of ec2-instance-connect:SendSSHPublicKey on .*" + WEB,
    [], [deny("ec2-instance-connect:SendSSHPublicKey")], commands=SSH)
row("not_to_be_opened", "OpenTunnel.*eice policy", [],
    [deny("ec2-instance-connect:OpenTunnel")])
row("not_to_be_found", "remove the deny of ec2:DescribeInstances", [],
    [deny("ec2:DescribeInstances")], doctor="eice doctor web-1 ", commands=["ssh", "proxy"])
row("full", "at most 20 connections", [], [("fault", {"kind": "quota"})],
    commands=["ssh", "proxy"])
row("wrong_state", "quoted", [], [endpoint(state="delete-in-progress")], target=WEB,
    options=DIRECT, commands=["ssh"])
row("refused", "quoted", [],
    [("fault", {"kind": "refuse", "status": 400, "code": "InvalidParameter"})],
    commands=["ssh", "proxy"])
row("none_there", "create one in its VPC: eice enroll", [], target="lonely",
    doctor="eice doctor i-0123456789abcde15 ")
row("stopped", "start it", [], [instance("web-1", state="stopped")], commands=["ssh", "proxy"])
row("other_host_key", "still shows the stored key: do not connect", [], [("sshd", {
    "instance": "web-1", "action": "new-host-key"})], known=True, commands=["ssh", "cp"], doctor="")


@test
def endpoint_that_is_gone(w):
    """An endpoint that was written down, and deleted since: its answer does not say so."""
    w.sim.ctl("fault", kind="refuse", status=404, code="ResourceNotFoundException")
    words = [*DIRECT, "ssh", WEB, "true"]
    hint = pick_lines(w.eice(*words).expect(255).err, "eice: hint: ")[0]
    matches(hint, "quoted.*" + ID, "it is there: nothing to add")
    w.sim.ctl("endpoint", id=MAIN, state="create-failed")
    hint = pick_lines(w.eice(*words).expect(255).err, "eice: hint: ")[0]
    matches(hint, f"{MAIN} is in the state create-failed; {ID}", "its state")
    w.sim.world.data["endpoints"] = []
    w.sim.ctl("clear")
    w.sim.ctl("fault", kind="refuse", status=404, code="ResourceNotFoundException")
    hint = pick_lines(w.eice(*words).expect(255).err, "eice: hint: ")[0]
    matches(hint, f"{MAIN} is gone: .*{ID}", "gone")
    equal(w.actions().get("DescribeInstanceConnectEndpoints"), 1, "one call")


@test
def tunnels_of_a_listener(w):
    """Without a terminal of their own, connections to a forwarded port say it on stderr."""
    import re
    import socket
    for control, given in (SOON, rules(APP, ingress=[])):
        w.sim.ctl(control, **given)
    process = w.spawn("forward", "web-1", "0:22", stderr=-1)
    port = int(re.search(rb"port (\d+)", process.stderr.readline())[1])
    with socket.create_connection(("127.0.0.1", port)) as s:
        equal(s.recv(1), b"", "nothing comes")
    line = process.stderr.readline().decode()
    matches(line, "cannot reach 10.20.1.23:22.*; .*" + ID, "the line")
    process.terminate()
    process.wait()


if __name__ == "__main__":
    sys.exit(main(__doc__))
