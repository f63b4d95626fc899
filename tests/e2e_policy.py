#!/usr/bin/python3
"""`eice policy`: what it prints is enough for the use, and nothing of it can be left out.

    tests/e2e_policy.py [--eice PROGRAM] [name …]
"""

import contextlib
import copy
import json
import re
import socket
import subprocess
import sys

from e2elib import Skip, check, contains, equal, eventually, main, need, test

WEB, DB = "i-0123456789abcdef0", "i-0123456789abcdef2"
MAIN = "eice-0a1b2c3d4e5f60718"
ARN = "arn:aws:ec2:eu-west-1:123456789012:"
USES = ("ssh", "forward", "doctor", "enroll", "serial")


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


@test(seconds=90)
def enrolled_without(w):
    """--no-rules and --no-test need less, --undo something else."""
    w.sim.ctl("setting", name="endpoint_create_ms", value=50)
    w.sim.ctl("setting", name="endpoint_delete_ms", value=50)
    w.eice("enroll", "--yes", "--no-test", "lonely").expect(0)
    made, policies = w.sim.world.snapshot()

    def works(*words, world):
        def body():
            _, now = w.sim.world.snapshot()
            w.sim.world.restore((copy.deepcopy(world), {**policies, **now}))
            result = w.eice("enroll", "--yes", *words, "lonely")
            return result.status == 0, result.err
        return body
    for words, world in ((["--no-rules", "--no-test"],
                          {**w.original[0], "service_linked_role": False}), (["--undo"], made)):
        document = printed(w, "--for", "enroll", *words, "lonely")
        enough_and_no_more(w, document, works(*words, world=world))
        load(w, document)
    sids = [s["Sid"] for s in printed_as_admin(w, "--for", "enroll", "--no-rules", "--no-test")]
    equal(sids, ["Find", "FindEndpoint", "Endpoint", "ServiceRole"], "statements")


def printed_as_admin(w, *words):
    load(w, {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    return printed(w, *words)["Statement"]


@test(seconds=60)
def for_forward(w):
    """A port of the instance through SSH, and Remote Desktop's through a tunnel of its own."""
    w.sim.ctl("instance", id=WEB, targets={"22": "sshd", "3389": "source:5"})

    there = f"0:127.0.0.1:{w.sshd('web-1')['port']}"

    def works():
        process = w.spawn("forward", "web-1", "0:3389", there, stderr=subprocess.PIPE)
        try:
            ports = []
            while len(ports) < 2 and (line := process.stderr.readline()):
                ports += re.findall(rb"port (\d+)", line)
            if len(ports) < 2:
                return False, line
            got = []
            for port in ports:
                got.append(b"")
                at = ("127.0.0.1", int(port))
                with contextlib.suppress(OSError), socket.create_connection(at) as sock:
                    sock.settimeout(10)
                    got[-1] = sock.recv(5)
            return all(got), got
        finally:
            process.terminate()
            process.communicate(timeout=15)
    enough_and_no_more(w, printed(w, "--for", "forward", "web-1"), works)


@test(seconds=60)
def host_keys_from_the_console(w):
    """A statement where the option demands the console, none where it is only tried."""
    def works():
        result = w.eice("ssh", "--known-hosts", "/dev/null", "--hostkey-policy", "console",
                        "web-1", "true")
        return result.status == 0, result.err
    document = printed(w, "--hostkey-policy", "console", "web-1")
    equal(statement(document, "HostKeys")["Resource"], [f"{ARN}instance/{WEB}"], "whose console")
    for use in USES:
        check("Console" + "Output" not in w.eice("policy", "--for", use, "web-1").text, use)
    enough_and_no_more(w, document, works)


def without(document, sid, key):
    less = copy.deepcopy(document)
    tests = statement(less, sid)["Condition"]
    for test_name in [name for name in tests if key in tests[name]]:
        del tests[test_name][key]
        if not tests[test_name]:
            del tests[test_name]
    return less


CONDITIONS = (
    ("Key", "ec2:osuser", ["push-key", "-l", "ubuntu", "web-1", "KEY"]),
    ("Tunnel", "ec2-instance-connect:remotePort", ["proxy", "web-1", "3389"]),
    ("Tunnel", "ec2-instance-connect:privateIpAddress",
     ["--private-ip", "10.20.1.24", "proxy", "web-1"]),
    ("Tunnel", "ec2-instance-connect:maxTunnelDuration",
     ["--max-tunnel-duration", "601", "proxy", "web-1"]),
)


@test(seconds=60)
def conditions_bite(w):
    """What another login, port, address or a longer tunnel needs is refused by that condition and
    by nothing else: without it, it is allowed."""
    key = w.path("test_id")
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
           key]).expect(0)
    w.sim.ctl("instance", id=WEB, targets={"22": "source:5", "3389": "source:5"})
    w.sim.ctl("instance", id="i-0123456789abcdef1", targets={"22": "source:5"})
    document = printed(w, "--max-tunnel-duration", "600", "web-1")
    for sid, name, words in CONDITIONS:
        words = [word.replace("KEY", key + ".pub") for word in words]
        if "601" not in words:
            words = ["--max-tunnel-duration", "600", *words]
        load(w, document)
        check(name in json.dumps(statement(document, sid)), name)
        refused = w.eice(*words, data=b"").expect(1, name)
        contains(refused.err, "ec2-instance-connect:", name)
        load(w, without(document, sid, name))
        w.eice(*words, data=b"").expect(0, f"without {name}")


@test(seconds=60)
def by_tag(w):
    """Whatever carries the tag: a condition in the place of ids, addresses and endpoints."""
    w.sim.world.instance("web-1")["tags"] = {"Team": "blue"}
    w.sim.world.instance("db 1 (primary)")["tags"] = {"Team": "red"}
    document = printed(w, "tag:Team=blue", "tag:Team=green")
    key, tunnel = statement(document, "Key"), statement(document, "Tunnel")
    equal(key["Resource"], [ARN + "instance/*"], "instances")
    equal(key["Condition"], {"StringEquals": {"ec2:osuser": ["ec2-user"], "aws:ResourceTag/Team":
                                              ["blue", "green"]}}, "conditions")
    equal(tunnel["Resource"], [ARN + "instance-connect-endpoint/*"], "endpoints")
    check("IpAddress" not in tunnel["Condition"], "no address")

    def works():
        result = w.eice("ssh", "web-1", "true")
        return result.status == 0, result.err
    enough_and_no_more(w, document, works)
    load(w, document)
    contains(w.eice("ssh", "-l", "ec2-user", "db 1 (primary)", "true").expect(255).err,
             "SendSSHPublicKey", "another tag")
    for words in (["tag:Team=blue", "web-1"], ["web-1", "tag:Team=blue"],
                  ["tag:Team=blue", "tag:Env=x"]):
        contains(w.eice("policy", *words).expect(2).err, "the same key", f"{words}")


@test
def other_partitions(w):
    """ARNs begin as that of the identity does."""
    for partition in ("aws-cn", "aws-us-gov"):
        body = ("<GetCallerIdentityResponse><GetCallerIdentityResult>"
                f"<Arn>arn:{partition}:iam::123456789012:user/a</Arn><UserId>A</UserId>"
                "<Account>123456789012</Account></GetCallerIdentityResult>"
                "</GetCallerIdentityResponse>")
        w.sim.ctl("fault", kind="raw", action="GetCallerIdentity", times=1, text=(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"))
        document = printed(w)
        equal(statement(document, "Key")["Resource"],
              [f"arn:{partition}:ec2:eu-west-1:123456789012:instance/*"], partition)
        equal(statement(document, "Tunnel")["Resource"],
              [f"arn:{partition}:ec2:eu-west-1:123456789012:instance-connect-endpoint/*"],
              partition)


@test
def size(w):
    """More than AWS takes is warned of; blanks do not count."""
    for words, wanted in ((["web-1"], ""), (["--for", "doctor", "web-1"], ""),
                          (["-l", "u" * 31, *["tag:T=" + 100 * "x"] * 14], "2048"),
                          (["tag:T=" + 500 * "x"] * 16, "no policy may have more than 6144")):
        result = w.eice("policy", *words).expect(0)
        n = len(re.sub(r"\s", "", result.text))
        equal(bool(wanted), n > 2048, f"{n} characters")
        if wanted:
            contains(result.err, f"warning: {n} characters", "the number")
        contains(result.err, wanted, "the limit")
        terraform = w.eice("policy", "--format", "terraform", *words).expect(0)
        equal(terraform.err, result.err, "of the policy that Terraform makes of it")


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


def listed(value):
    return value if isinstance(value, list) else [value]


def from_terraform(text):
    """The policy that Terraform makes of a document, which pyhcl reads."""
    try:
        import hcl
    except ImportError:
        raise Skip("install the package python3-pyhcl") from None
    document = []
    for block in listed(hcl.loads(text)["data"]["aws_iam_policy_document"]["eice"]["statement"]):
        made = {"Sid": block["sid"], "Effect": "Allow", "Action": block["actions"],
                "Resource": block["resources"]}
        for one in listed(block.get("condition", [])):
            tests = made.setdefault("Condition", {}).setdefault(one["test"], {})
            tests[one["variable"]] = one["values"]
        equal(set(block) - {"sid", "actions", "resources", "condition"}, set(), "arguments")
        document.append(made)
    return {"Version": "2012-10-17", "Statement": document}


@test
def as_terraform(w):
    for words in (*(["--for", use, "web-1"] for use in USES), ["web-1", "db 1 (primary)"],
                  ["--for", "enroll", "--undo"], ["--for", "enroll", "--no-rules", "--no-test"],
                  ["--hostkey-policy", "console", "tag:Env=prod", "tag:Env=\"test\""]):
        use = " ".join(words)
        text = w.eice("policy", "--format", "terraform", *words).expect(0).text
        equal(from_terraform(text), printed(w, *words), f"the same for {use}")


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
