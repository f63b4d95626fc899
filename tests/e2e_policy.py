#!/usr/bin/python3
"""`eice policy`: what it prints is enough for the use, and nothing of it can be left out.

    tests/e2e_policy.py [--eice PROGRAM] [name …]
"""

import copy
import json
import re
import sys

from e2elib import check, contains, equal, eventually, main, test

WEB, DB = "i-0123456789abcdef0", "i-0123456789abcdef2"
MAIN = "eice-0a1b2c3d4e5f60718"
ARN = "arn:aws:ec2:eu-west-1:123456789012:"


def printed(w, *words):
    return json.loads(w.eice("policy", *words).expect(0).text)


def load(w, document):
    """The admin of the simulator may do this much and no more."""
    w.sim.ctl("policy", credential="admin", document=document)


def statement(document, sid):
    return [s for s in document["Statement"] if s["Sid"] == sid][0]


def enough_and_no_more(w, document, works):
    """`works` says whether the use succeeds, and says why."""
    load(w, document)
    good, why = works()
    check(good, f"with the whole policy: {why}")
    for at, one in enumerate(document["Statement"]):
        less = copy.deepcopy(document)
        del less["Statement"][at]
        load(w, less)
        good, why = works()
        check(not good, f"without {one['Sid']} it still works: {why}")


@test(seconds=60)
def for_ssh(w):
    def works():
        result = w.eice("ssh", "web-1", "true")
        return result.status == 0, result.err
    enough_and_no_more(w, printed(w, "web-1"), works)


@test(seconds=60)
def for_no_target_in_particular(w):
    def works():
        result = w.eice("ssh", "web-1", "true")
        return result.status == 0, result.err
    enough_and_no_more(w, printed(w), works)


@test(seconds=60)
def for_doctor(w):
    def works():
        report = json.loads(w.eice("--json", "doctor", "web-1").text)
        good = all(r["result"] in ("ok", "skipped") for r in report["rungs"])
        return good and report["ok"], report["rungs"][-1]
    enough_and_no_more(w, printed(w, "--for", "doctor", "web-1"), works)


@test(seconds=60)
def for_serial(w):
    w.sim.world.data["serial_console"] = True
    w.sim.ctl("setting", name="serial_rest_ms", value=0)
    words = ["serial", "--host-key", w.sim.ctl("serial")["fingerprint"], "web-1"]

    def works():
        eventually(lambda: w.sim.ctl("serial")["busy"], [], "the line is free")
        with w.terminal(*words) as t:
            try:
                t.expect("~[.] leaves")
                t.send("\r~.")
            except AssertionError:
                pass  # its status says it too
            return t.wait() == 0, t.seen
    enough_and_no_more(w, printed(w, "--for", "serial", "web-1"), works)


@test(seconds=90)
def for_enroll(w):
    """Into an account where nobody ever made an endpoint."""
    w.sim.ctl("setting", name="endpoint_create_ms", value=50)
    world, policies = w.sim.world.snapshot()
    world["service_linked_role"] = False

    def works():
        _, now = w.sim.world.snapshot()
        w.sim.world.restore((world, {**policies, **now}))
        result = w.eice("enroll", "--yes", "lonely")
        return result.status == 0, result.err
    enough_and_no_more(w, printed(w, "--for", "enroll", "lonely"), works)


@test
def exact(w):
    """Names, addresses, login, port and duration of what was asked for, each once."""
    document = printed(w, "--max-tunnel-duration", "600", "-l", "ubuntu", "web-1",
                       "db 1 (primary)")
    key, tunnel = statement(document, "Key"), statement(document, "Tunnel")
    equal(key["Resource"], [f"{ARN}instance/{WEB}", f"{ARN}instance/{DB}"], "instances")
    equal(key["Condition"], {"StringEquals": {"ec2:osuser": ["ubuntu"]}}, "login")
    equal(tunnel["Resource"], [f"{ARN}instance-connect-endpoint/{MAIN}"], "endpoint")
    equal(tunnel["Condition"], {
        "NumericEquals": {"ec2-instance-connect:remotePort": ["22"]},
        "IpAddress": {"ec2-instance-connect:privateIpAddress": ["10.20.1.23/32",
                                                                "10.20.2.25/32"]},
        "NumericLessThanEquals": {"ec2-instance-connect:maxTunnelDuration": ["600"]}}, "limits")


@test
def others_stay_out(w):
    """A policy for one instance is none for the next, and none for another login."""
    load(w, printed(w, "web-1"))
    w.eice("ssh", "web-1", "true").expect(0)
    for words in (["app & web-2"], ["-l", "ubuntu", "web-1"],
                  ["--max-tunnel-duration", "3600", "db 1 (primary)"]):
        result = w.eice("ssh", *words, "true").expect(255)
        contains(result.err, "hint: allow ec2-instance-connect:", f"{words}")


def hcl(text):
    """The blocks and attributes of a document that Terraform reads, as a policy."""
    document = []
    for block in re.findall(r"^  statement \{\n(.*?)^  \}\n", text, re.S | re.M):
        made = {"Effect": "Allow"}
        plain = re.sub(r"^    condition \{\n.*?^    \}\n", "", block, flags=re.S | re.M)
        names = {"sid": "Sid", "actions": "Action", "resources": "Resource"}
        for name, value in re.findall(r"^    (\w+) = (.*)$", plain, re.M):
            made[names[name]] = json.loads(value)
        for condition in re.findall(r"^    condition \{\n(.*?)^    \}\n", block, re.S | re.M):
            pairs = re.findall(r"^      (\w+) = (.*)$", condition, re.M)
            one = {name: json.loads(value) for name, value in pairs}
            made.setdefault("Condition", {})[one["test"]] = {one["variable"]: one["values"]}
        document.append(made)
    return {"Version": "2012-10-17", "Statement": document}


@test
def as_terraform(w):
    for use in ("ssh", "forward", "doctor", "enroll", "serial"):
        words = ["--for", use, "web-1"]
        text = w.eice("policy", "--format", "terraform", *words).expect(0).text
        check(text.startswith('data "aws_iam_policy_document" "eice" {\n'), "the block")
        equal(text.count("{"), text.count("}"), "braces")
        equal(hcl(text), printed(w, *words), f"the same for {use}")


@test
def dry_runs(w):
    """--check asks AWS, and changes nothing."""
    document = printed(w, "--for", "enroll", "web-1")
    rows = json.loads(w.eice("--json", "policy", "--for", "enroll", "--check", "web-1")
                      .expect(0).text)
    equal([r["action"] for r in rows], [a for s in document["Statement"] for a in s["Action"]],
          "the actions")
    before = w.sim.world.snapshot()
    load(w, {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]})
    rows = json.loads(w.eice("--json", "policy", "--for", "enroll", "--check", "web-1")
                      .expect(1).text)
    for row in rows:
        service, name = row["action"].split(":")
        wanted = ("unknown" if service != "ec2" or name == "CreateNetworkInterface" else
                  "allowed" if name.startswith("Describe") else "missing")
        equal(row["is"], wanted, row["action"])
    equal(w.sim.world.snapshot()[0], before[0], "the world")


@test
def missing_and_why(w):
    """What is missing says who denies it, and what the decoded message tells."""
    load(w, {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "NotProd", "Effect": "Deny", "Action": "ec2:CreateTags", "Resource": "*",
         "Condition": {"StringEquals": {"ec2:ResourceTag/Env": "prod"}}}]})
    words = ["policy", "--for", "enroll", "--check", "web-1"]
    row = [r for r in json.loads(w.eice("--json", *words).expect(1).text)
           if r["is"] == "missing"]
    equal([r["action"] for r in row], ["ec2:CreateTags"], "what is missing")
    contains(row[0]["why"], "an explicit deny in an identity-based policy) on " + ARN +
             "instance/" + WEB, "why")
    contains(row[0]["decoded"], "denied by statement NotProd for ", "the statement")
    contains(row[0]["decoded"], " ec2:ResourceTag/Env=prod", "its condition")
    load(w, {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    w.sim.ctl("policy", credential="admin", kind="service control policy", document={
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "NotAction": ["ec2:CreateTags", "sts:Decode*"], "Resource": "*"}]})
    text = w.eice(*words).expect(1).text
    contains(text, "(no service control policy allows it)", "why")
    contains(text, "sts:DecodeAuthorizationMessage would tell more", "not decoded")


@test
def wrong_words(w):
    contains(w.eice("policy", "--for", "tea").expect(2).err, "ssh, forward, doctor", "uses")
    contains(w.eice("policy", "--format", "yaml").expect(2).err, "json or terraform", "formats")
    contains(w.eice("policy", "nobody").expect(1).err, "no such instance", "target")
    contains(w.eice("policy", "twin").expect(1).err, "several instances", "target")


if __name__ == "__main__":
    sys.exit(main(__doc__))
