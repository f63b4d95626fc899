#!/usr/bin/python3
"""`eice doctor`: every broken world of worlds.py gets its one cause, and its fix mends it.

The commands that are printed are carried out as they stand: those of the AWS CLI by botocore
(awsline.py), those of eice by the program under test.

    tests/e2e_doctor.py [--eice PROGRAM] [name …]
"""

import contextlib
import json
import os
import re
import shlex
import sys
import threading

from awsline import AwsLine
from e2elib import ConnectProxy, check, contains, equal, eventually, main, matches, need, test
from worlds import WORLDS, allow

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


# what a fix says, carried out

def commands(fix):
    """The words of each command a fix ends with; a colon divides it from what is said before."""
    found = re.search(r"(?:^|: )((?:aws|eice|ssh-keygen) .*)$", fix)
    check(found, f"no command in {fix!r}")
    lexer = shlex.shlex(found[1], posix=True, punctuation_chars="&;|")
    lexer.whitespace_split = True
    lines = [[]]
    for word in lexer:
        if word == "&&":
            lines.append([])
        else:
            lines[-1].append(word)
    return lines


def aws_line(w):
    """One for all tests: to read botocore's model takes long."""
    if not hasattr(w, "aws"):
        w.aws = AwsLine(w.sim.port, w.sim.ca_file, w.sim.world.credential("admin"))
    return w.aws


def carry_out(w, row, words):
    """Runs one command as it stands; what it prints."""
    env = w.env(*row["without"], credential=row["credential"], **row["env"])
    if words[0] == "aws":
        aws_line(w).run(words, w.home, w.sim.sso.approve)
        return ""
    program = [w.program] if words[0] == "eice" else [need(words[0], "openssh-client")]
    return w.run([*program, *words[1:]], env=env).expect(0, " ".join(words)).text


def run_printed(w, row, fix):
    """Runs the commands of a fix one after the other; what the last prints. Meanwhile AWS goes
    on with what it is about."""
    later = threading.Timer(0.4, lambda: [w.sim.ctl(c, **o) for c, o in row["meanwhile"]])
    later.start()
    try:
        for words in commands(fix):
            printed = carry_out(w, row, words)
    finally:
        later.join()
    return printed


def chosen(w, row, fix, names):
    """The ids of the instances with one of these names, which the printed command lists."""
    lines = run_printed(w, row, fix).splitlines()
    ids = [re.search(r"i-[0-9a-f]{17}", line)[0] for line in lines
           if set(names) & set(line.split())]
    check(ids, f"{names} not in {lines}")
    return [{"target": id_} for id_ in ids]


def grant(w, row, fix):
    """Changes the identity's policies as the sentence asks for."""
    says = re.match(r"(allow|remove the deny of) (\S+?)(?: on (\S+?))?[,;:]?( |$)", fix)
    check(says, f"nothing is to be allowed in {fix!r}")
    equal(says[2], row["permission"], "what is to be allowed")
    documents = w.sim.ctl("policy", credential=row["credential"])
    if says[1] == "allow":
        documents = [*documents, allow(says[2], says[3] or "*")]
    else:
        documents = [{**d, "Statement": [s for s in d["Statement"] if s["Effect"] != "Deny"
                                         or s["Action"] != says[2]]} for d in documents]
    w.sim.ctl("policy", credential=row["credential"], document=documents)


def filled(value, groups):
    """With \\1 and so on replaced by what the fix's pattern found."""
    if isinstance(value, dict):
        return {k: filled(v, groups) for k, v in value.items()}
    return re.sub(r"\\(\d)", lambda m: groups[int(m[1]) - 1], value) \
        if isinstance(value, str) else value


def mend(w, row, fix):
    """Does what the fix says; the changes to the row with which doctor has to be content."""
    way = dict(row["mend"])
    groups = re.search(row["fix"], fix).groups()
    changes = [{name: way.pop(name) for name in ("args", "env", "without", "credential")
                if name in way}]
    for name, content in way.pop("files", {}).items():
        w.write(name, content)
    if way.pop("run", False):
        run_printed(w, row, fix)
    if way.pop("grant", False):
        grant(w, row, fix)
    if "choose" in way:
        changes = chosen(w, row, fix, way.pop("choose"))
    for command, options in way.pop("ops", ()):
        w.sim.ctl(command, **filled(options, groups))
    equal(way, {}, "unknown ways to mend")
    return changes


def expected_status(row, failed):
    if "permission" in failed:
        return PERMISSION
    return STATUS.get(row["rung"], SSH)


def put_known(w, row):
    """Logs in once, so that the host key is known; marked in the file if the row says so."""
    w.eice("ssh", row["target"], "true").expect(0)
    with open(w.known_hosts, encoding="ascii") as f:
        lines = f.readlines()
    with open(w.known_hosts, "w", encoding="ascii") as f:
        f.writelines(row["known"] + line for line in lines)


def blamed(report):
    return [(r["rung"], r["result"]) for r in report["rungs"] if r["result"] in ("fail", "warning")]


def look(w, row):
    """The one rung that is blamed, which must be the right one and say the right things."""
    status, report = doctor(w, row)
    kind = "warning" if row["warning"] else "fail"
    equal(blamed(report), [*((rung, "warning") for rung in row["unsure"]), (row["rung"], kind)],
          f"what is blamed: {report}")
    found = verdicts(report, kind)[-1]
    if row["warning"]:
        equal((status, report["ok"]), (0, True), "a warning is no failure")
    else:
        equal(report["rungs"][-1], found, "the last rung")
        equal(status, expected_status(row, found), "the exit status")
    matches(found.get("cause", found["evidence"]), row["cause"], "the cause")
    matches(found.get("fix", ""), row["fix"], "the fix")
    equal(found.get("permission"), row["permission"], "the permission")
    return found


def one(row):
    """A test for one world."""
    def body(w):
        if row["known"] is not None:
            put_known(w, row)
        for name, content in row["files"].items():
            w.write(name, content)
        if row["login"]:
            carry_out(w, row, ["aws", "sso", "login", "--sso-session", "corp"])
        servers = [o["instance"] for c, o in row["ops"] if c == "sshd" and o["action"] == "restart"]
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(w.restart_sshd(server))
            if row["proxy"]:
                proxy = stack.enter_context(ConnectProxy(("127.0.0.1", w.sim.port), row["proxy"]))
                row["env"] = {k: v.format(proxy.port) for k, v in row["env"].items()}
                row["mend"] = {"env": {k: v.format(proxy.port)
                                       for k, v in row["mend"]["env"].items()}}
            for command, options in row["ops"]:
                w.sim.ctl(command, **options)
            found = look(w, row)
            if row["mend"] is None:
                equal(found["result"], "warning", "only what is not wrong needs no fix")
                return
            for changes in mend(w, row, found["fix"]):
                status, report = doctor(w, row, **changes)
                equal((status, report["ok"], blamed(report)), (0, True, []),
                      f"after the fix: {report}")
    body.__name__ = row["name"].replace("-", "_")
    return body


PLAIN = {"target": "web-1", "args": [], "env": {}, "without": (), "credential": "admin"}


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
    allowed = ("Describe", "Get", "SendSSHPublicKey", "openTunnel")
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
    equal([r["cause"] for r in verdicts(report, "fail")],
          ["a security group of the instance is closed",
           "a security group is closed, as said above"], "the one cause")


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


@test
def whoami_is_only_text(w):
    """What the command answers cannot do anything to the terminal."""
    with w.restart_sshd("web-1", ForceCommand=r"printf '\033]0;x\007ec2-user\n'"):
        said = w.eice("doctor", "web-1").expect(0).text
    contains(said, "whoami says ?]0;x?ec2-user\n", "the login")
    check("\x1b" not in said and "\a" not in said, f"controls: {said!r}")


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


@test
def may_not_tag(w):
    """What enroll makes carries a tag, which takes a permission of its own."""
    w.sim.ctl("policy", credential="admin", document=without("ec2:CreateTags"))
    found = verdicts(doctor(w, {**PLAIN, "target": "lonely"})[1], "fail")[0]
    matches(found["may_not"], "ec2:CreateTags .*denied by statement Never", "why not")


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


def screen(text):
    """What a terminal shows in the end: colours gone, lines that were taken away too."""
    text = re.sub(r"[^\n]*\r\x1b\[K", "", text.replace("\r\n", "\n"))
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@test
def terminals(w):
    """Lines as wide as the terminal, but for the command to be copied, which stays whole."""
    closed(w)
    for columns, more in ((40, {}), (80, {}), (200, {}), (40, {"TERM": "dumb", "LANG": "C"})):
        with w.terminal("doctor", "web-1", columns=columns, env=w.env(**more)) as t:
            equal(t.wait(), 8, "status")
            seen = t.seen.decode()
        lines = screen(seen)
        if more:
            check("\x1b" not in seen and seen.isascii(), f"a dumb terminal: {seen!r}")
        else:
            contains(seen, "\x1b[31m✗", "colours")
        fix = [line for line in lines if "--group-id" in line]
        equal(len(fix), 1, f"the fix: {lines}")
        wide = [line for line in lines if len(line) > columns and line not in fix]
        equal(wide, [], f"lines wider than {columns}")
        rungs = [line.split()[1] for line in lines if not line.startswith("  ")]
        equal(rungs, RUNGS[:RUNGS.index("groups-in") + 1], "rungs")
        matches(" ".join(" ".join(lines).split()),
                "cause: a security group of the instance is closed fix: .* may: this identity",
                "what there is to say")


@test
def waiting(w):
    """What takes long is shown on a terminal; Ctrl-C ends it, without a verdict."""
    w.sim.ctl("setting", name="dial_timeout_ms", value=8000)
    w.sim.ctl("instance", id="web-1", targets={"22": "blackhole"})
    with w.terminal("doctor", "web-1") as t:
        t.expect("asking AWS")
        t.expect("permissions")
        t.expect("connecting, 1 s")
        t.send("\x03")
        equal(t.wait(), 1, "status")
        lines = screen(t.seen.decode())
        t.restored("after Ctrl-C")
    equal(lines, ["eice: ended by signal 2 (Interrupt)"], "what follows")
    eventually(w.tunnels, 0, "tunnels")
    w.sim.ctl("fault", kind="hang", action="DescribeInstances")
    with w.terminal("doctor", "web-1") as t:
        t.expect("asking AWS")
        eventually(lambda: len(w.requests("DescribeInstances")) > 1, True, "the call")
        t.send("\x03")
        equal(t.wait(), 1, "status")
        equal(screen(t.seen.decode()), ["eice: ended by signal 2 (Interrupt)"], "no rung is blamed")


@test
def times(w):
    """Calls and steps that took a while say how long, within --connect-timeout."""
    w.sim.ctl("fault", kind="latency", action="DescribeInstances", ms=60)
    w.sim.ctl("instance", id="web-1", targets={"22": "blackhole"})
    w.sim.ctl("setting", name="dial_timeout_ms", value=300)
    status, report = doctor(w, {**PLAIN, "args": ["--all"]})
    equal(status, 8, "status")
    took = {r["rung"]: r.get("ms", 0) for r in report["rungs"]}
    check(took["instance"] >= 50, f"the call: {took}")
    check(took["target"] >= 250, f"the target: {took}")
    known = {"rung", "result", "ms", "evidence", "cause", "fix", "permission", "why", "may",
             "may_not"}
    check(all(set(r) <= known for r in report["rungs"]), "the members")
    equal(report["rungs"][-1], {"rung": "login", "result": "skipped", "evidence": "not reached"},
          "what was not reached")


@test
def wrong_usage(w):
    w.eice("doctor").expect(2)
    w.eice("doctor", "web-1", "web-2").expect(2)


for world in WORLDS:
    test(one(world))

if __name__ == "__main__":
    sys.exit(main(__doc__))
