#!/usr/bin/python3
"""`eice doctor`: every broken world of worlds.py gets its one cause, and its fix mends it.

    tests/e2e_doctor.py [--eice PROGRAM] [name …]
"""

import json
import os
import re
import shlex
import sys

import botocore.session

from e2elib import check, contains, equal, main, matches, test
from worlds import WORLDS

RUNGS = ["credentials", "clock", "network", "identity", "instance", "state", "address", "endpoint",
         "family", "groups-out", "groups-in", "acls", "routes", "permissions", "quota", "push-key",
         "upgrade", "target", "ssh-version", "host-key", "key-exchange", "key-accepted", "login"]
STATUS = {"credentials": 3, "clock": 3, "network": 4, "identity": 3, "instance": 6, "state": 6,
          "address": 6, "endpoint": 7, "family": 7, "groups-out": 8, "groups-in": 8, "acls": 8,
          "routes": 8, "quota": 7, "push-key": 4, "upgrade": 4, "target": 8}
PERMISSION = 5
SSH = 9


def doctor(w, row, **changes):
    """Runs it; its exit status and report."""
    use = {**row, **changes}
    env = w.env(*use["without"], credential=use["credential"], **use["env"])
    result = w.eice("--json", "doctor", *use["args"], use["target"], env=env)
    return result.status, json.loads(result.text)


def verdicts(report, kind):
    return [r for r in report["rungs"] if r["result"] == kind]


# what an `aws` command line says, for botocore

def capital(word):
    return "".join(part.capitalize() for part in word.split("-"))


def shorthand(text):
    """The AWS CLI's Name=value,Name=[{Name=value}] for --ip-permissions."""
    groups = re.search(r"UserIdGroupPairs=\[\{GroupId=([^}]*)\}\]", text)
    plain = dict(p.split("=") for p in text[:groups.start()].strip(",").split(","))
    return [{"IpProtocol": plain["IpProtocol"], "FromPort": int(plain["FromPort"]),
             "ToPort": int(plain["ToPort"]), "UserIdGroupPairs": [{"GroupId": groups[1]}]}]


def aws(w, line):
    """Carries out one printed `aws ec2 …` command."""
    words = shlex.split(line)
    equal(words[:2], ["aws", "ec2"], "what is to be run")
    options = dict(zip(words[3::2], words[4::2]))
    equal(options.pop("--region"), "eu-west-1", "the Region")
    admin = w.sim.world.credential("admin")
    client = botocore.session.get_session().create_client(
        "ec2", "eu-west-1", verify=w.sim.ca_file, endpoint_url=f"https://localhost:{w.sim.port}",
        aws_access_key_id=admin["access_key"], aws_secret_access_key=admin["secret"])
    given = {capital(name[2:]): value for name, value in options.items()}
    if "IpPermissions" in given:
        given["IpPermissions"] = shorthand(given["IpPermissions"])
    getattr(client, words[2].replace("-", "_"))(**given)


def mended(w, row, failed):
    """The world after the printed fix; what doctor says of it."""
    mend = row["mend"]
    changes = {}
    if mend == "aws":
        aws(w, failed["fix"])
    else:
        for command, options in mend.get("ops", ()):
            w.sim.ctl(command, **options)
        changes = {name: mend[name] for name in ("args", "env", "without", "credential")
                   if name in mend}
        if "target" in row and row["name"] == "wrong-name":
            changes["target"] = "web-1"
    return doctor(w, row, **changes)


def expected_status(row, failed):
    if "permission" in failed:
        return PERMISSION
    return STATUS.get(row["rung"], SSH)


def one(row):
    """A test for one world."""
    def body(w):
        if row.get("known"):
            w.eice("ssh", row["target"], "true").expect(0)
        for name, content in row["files"].items():
            w.write(name, content)
        servers = [o["instance"] for c, o in row["ops"] if c == "sshd" and o["action"] == "restart"]
        with w.restart_sshd(servers[0]) if servers else Nothing():
            for command, options in row["ops"]:
                w.sim.ctl(command, **options)
            status, report = doctor(w, row)
            kind = "warning" if row["warning"] else "fail"
            equal([r["rung"] for r in verdicts(report, kind)], [row["rung"]], f"what is blamed: "
                  f"{report}")
            found = verdicts(report, kind)[0]
            if not row["warning"]:
                equal(report["rungs"][-1], found, "the last rung")
                equal(status, expected_status(row, found), "the exit status")
            matches(found.get("cause", found["evidence"]), row["cause"], "the cause")
            matches(found.get("fix", ""), row["fix"], "the fix")
            equal(found.get("permission"), row.get("permission"), "the permission")
            if row["mend"] is not None:
                status, report = mended(w, row, found)
                equal((status, report["ok"], [r["rung"] for r in verdicts(report, "fail")
                                              + verdicts(report, "warning")]),
                      (0, True, []), f"after the fix: {report}")
    body.__name__ = row["name"].replace("-", "_")
    return body


PLAIN = {"target": "web-1", "args": [], "env": {}, "without": (), "credential": "admin"}


class Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@test
def good_world(w):
    """Every rung in its order, for people and as JSON; nothing is changed."""
    result = w.eice("doctor", "web-1").expect(0)
    lines = result.text.splitlines()
    equal([line.split()[1] for line in lines], RUNGS, "the rungs")
    equal({line.split()[0] for line in lines}, {"✓"}, "the marks")
    plain = w.eice("doctor", "web-1", env=w.env(LANG="C")).expect(0)
    equal({line.split()[0] for line in plain.text.splitlines()}, {"ok"}, "without UTF-8")
    status, report = doctor(w, PLAIN)
    equal((status, report["ok"], report["target"]), (0, True, "web-1"), "as JSON")
    equal([r["rung"] for r in report["rungs"]], RUNGS, "as JSON")
    check(not os.path.exists(w.known_hosts), "no host key is stored")
    allowed = ("Describe", "GetCallerIdentity", "SendSSHPublicKey", "openTunnel")
    check(all(name.startswith(allowed) for name in w.actions()), f"reads only: {w.actions()}")


@test
def all_rungs(w):
    """--all goes on past what fails."""
    w.sim.ctl("tables", name="groups", id="sg-0f00ba4f00ba4f00b", value={"ingress": []})
    w.sim.ctl("setting", name="dial_timeout_ms", value=500)
    result = w.eice("--json", "doctor", "--all", "web-1")
    report = json.loads(result.text)
    equal(result.status, 8, "status")
    equal([r["rung"] for r in report["rungs"]], RUNGS, "the rungs")
    equal(verdicts(report, "fail")[0]["rung"], "groups-in", "the first")


@test
def less_is_seen(w):
    """Without the rights to see groups, ACLs and routes it still connects, and says so."""
    names = ["ec2:DescribeSecurityGroups", "ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables"]
    w.sim.ctl("policy", credential="admin", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": names, "Resource": "*"}]})
    result = w.eice("--json", "doctor", "web-1").expect(0)
    report = json.loads(result.text)
    for name in names:
        contains([r for r in report["rungs"] if r["rung"] == "permissions"][0]["evidence"], name,
                 "what is not allowed")


def closed(w):
    w.sim.ctl("tables", name="groups", id="sg-0f00ba4f00ba4f00b", value={"ingress": []})
    return "groups-in", "web-1", "AuthorizeSecurityGroupIngress", "security-group/sg-0f00"


def without_endpoint(_):
    return "endpoint", "lonely", "CreateInstanceConnectEndpoint", "subnet/subnet-0aaa"


def six(w):
    w.sim.ctl("endpoint", id="eice-0a1b2c3d4e5f60718", address_type="ipv4")
    return "family", "six", "ModifyInstanceConnectEndpoint", "endpoint/eice-0a1b"


def failed(_):
    return "endpoint", "broken", "DeleteInstanceConnectEndpoint", "endpoint/eice-0a1b"


def may_carry_out(break_):
    """Whether this identity may carry out the fix, asked by one dry run, and else who may."""
    def body(w):
        rung, target, action, resource = break_(w)
        found = verdicts(doctor(w, {**PLAIN, "target": target})[1], "fail")[0]
        equal((found["rung"], found["may"]), (rung, True), "it may")
        w.sim.ctl("policy", credential="admin", kind="service control policy", document=without(
            f"ec2:{action}"))
        w.sim.ctl("clear")
        found = verdicts(doctor(w, {**PLAIN, "target": target})[1], "fail")[0]
        equal((found["rung"], found["may"]), (rung, False), "it may not")
        matches(found["may_not"], f"ec2:{action}.*{resource}.*ask who runs the AWS organization",
                "who may")
        asked = w.requests(action)
        equal([r["params"].get("DryRun") for r in asked], ["true"], "one dry run")
        equal(len(w.requests("DecodeAuthorizationMessage")), 1, "and the reason")
    body.__name__ = "may_carry_out_" + break_.__name__
    return body


for way in (closed, without_endpoint, six, failed):
    test(may_carry_out(way))


def without(*actions):
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "Never", "Effect": "Deny", "Action": list(actions), "Resource": "*"}]}


@test
def denials_decoded(w):
    """An encoded message is opened where that is allowed; where not, it is said."""
    w.sim.ctl("policy", credential="admin", document=without("ec2:DescribeInstances"))
    found = verdicts(doctor(w, PLAIN)[1], "fail")[0]
    contains(found["evidence"], "an explicit deny in an identity-based policy", "who said so")
    contains(found["fix"], "remove the deny of ec2:DescribeInstances", "no allow would help")
    equal(found["why"], "denied by statement Never for *", "decoded")
    w.sim.ctl("policy", credential="admin", document=without(
        "ec2:DescribeInstances", "sts:DecodeAuthorizationMessage"))
    found = verdicts(doctor(w, PLAIN)[1], "fail")[0]
    contains(found["why"], "sts:DecodeAuthorizationMessage would tell more", "not decoded")
    w.sim.ctl("policy", credential="admin", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "NotAction": "ec2:DescribeInstances", "Resource": "*"}]})
    found = verdicts(doctor(w, PLAIN)[1], "fail")[0]
    matches(found["fix"], "^allow ec2:DescribeInstances", "an allow helps")
    matches(found["why"], "^no statement allows it for .*aws:SourceIp=203", "the request")


@test
def denials_of_the_connection(w):
    """They have no encoded message: the values asked for are named."""
    for action, rung, asked in (
            ("SendSSHPublicKey", "push-key", "ec2:osuser=joe"),
            ("OpenTunnel", "upgrade",
             "remotePort=22 privateIpAddress=10.20.1.23 maxTunnelDuration=3600")):
        w.sim.ctl("policy", credential="admin", kind="permissions boundary",
                  document=without("ec2-instance-connect:" + action))
        found = verdicts(doctor(w, {**PLAIN, "args": ["-l", "joe"]})[1], "fail")[0]
        equal(found["rung"], rung, "the rung")
        contains(found["evidence"], "(an explicit deny in a permissions boundary)", "who said so")
        contains(found["fix"], "who set the permissions boundary", "who can change it")
        contains(found["why"], asked, "what was asked for")
        w.sim.ctl("policy", credential="admin", document="allow")


@test
def wrong_usage(w):
    w.eice("doctor").expect(2)
    w.eice("doctor", "web-1", "web-2").expect(2)


for world in WORLDS:
    test(one(world))

if __name__ == "__main__":
    sys.exit(main(__doc__))
