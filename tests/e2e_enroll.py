#!/usr/bin/python3
"""`eice enroll`: from a private instance to a login, by flags and by the wizard on terminals of
all kinds; run twice, killed on the way, undone.

    tests/e2e_enroll.py [--eice PROGRAM] [name …]
"""

import json
import os
import re
import sys
import time

from e2elib import ROOT, check, contains, equal, eventually, main, matches, test

CONFIG = "conf/eice/config"
LONELY = "i-0123456789abcde15"
LONELY_GROUP = "sg-0f00ba4f00ba4f0aa"
VPC = "vpc-0ddd3333eee4444ff"
LONELY_VPC = "vpc-0ddd3333eee4444aa"
LONELY_SUBNET = "subnet-0aaa1111bbb2222aa"
CHANGES = ("Create", "Authorize", "Revoke", "Modify", "Delete")


def environment(w, **more):
    return w.env(XDG_CONFIG_HOME=w.path("conf"), **more)


def enroll(w, *words, **options):
    options.setdefault("env", environment(w))
    return w.eice("enroll", *words, **options)


def changed(w):
    """The calls that were to change something."""
    return [e["action"] for e in w.requests() if e["action"].startswith(CHANGES)]


def rules(w, group=LONELY_GROUP):
    return [(r["protocol"], r.get("from"), r.get("to"), r["source"])
            for r in w.sim.world.data["groups"][group]["ingress"]]


def endpoints(w, vpc=LONELY_VPC):
    return [e for e in w.sim.world.data["endpoints"] if e["vpc"] == vpc]


def only(w, *names):
    """Nothing else runs."""
    for entry in w.sim.world.data["instances"]:
        if entry["name"] not in names and entry["state"] == "running":
            entry["state"] = "stopped"


def text_of(w, path):
    with open(w.path(path), encoding="utf-8") as f:
        return f.read()


def settings(w, name):
    sections = re.split(r"^\[(.*)\]\n", text_of(w, CONFIG), flags=re.M)
    found = dict(zip(sections[1::2], sections[2::2]))
    return dict(line.split(" = ") for line in found[name].splitlines()
                if line[0] != "#") if name in found else None


# by flags

@test
def all_of_it(w):
    """Endpoint, rule, login, test, and what `eice ssh NAME` needs without asking EC2 again."""
    result = enroll(w, "--yes", "--json", "lonely").expect(0)
    [row] = json.loads(result.text)
    [made] = endpoints(w)
    equal(row, {"name": "lonely", "instance": LONELY, "endpoint": made["id"],
                "endpoint_made": True, "rule_in_made": True, "rule_out_made": False,
                "user": "ec2-user", "tested": True, "ok": True}, "what is told")
    equal((made["state"], made["subnet"]), ("create-complete", LONELY_SUBNET), "the endpoint")
    equal(made["tags"]["eice.h:created-by"], "eice", "its tag")
    equal(rules(w), [("tcp", 22, 22, made["groups"][0])], "the rule")
    contains(result.err, f"+   allow tcp 22 from {made['groups'][0]}", "the difference shown")
    equal(settings(w, "lonely")["endpoint-id"], made["id"], "what is remembered")
    equal(os.stat(w.path("conf/eice/config")).st_mode & 0o777, 0o600, "its mode")
    w.sim.ctl("clear")
    w.eice("ssh", "lonely", "true", env=environment(w)).expect(0)
    equal([e["action"] for e in w.requests() if e["action"].startswith("Describe")], [],
          "EC2 is not asked")


@test
def twice(w):
    enroll(w, "--yes", "lonely").expect(0)
    world, _ = w.sim.world.snapshot()
    before = settings(w, "lonely")
    w.sim.ctl("clear")
    enroll(w, "--yes", "lonely").expect(0)
    equal(changed(w), [], "changes the second time")
    equal(w.sim.world.snapshot()[0], world, "the world")
    equal(settings(w, "lonely"), before, "what is remembered")


@test
def anew(w):
    """What the file says of an endpoint that is gone has no say when the next one is made."""
    for _ in range(2):
        w.sim.world.data["endpoints"] = [e for e in w.sim.world.data["endpoints"]
                                         if e["vpc"] != LONELY_VPC]
        enroll(w, "--yes", LONELY).expect(0)
        [made] = endpoints(w)
        equal(settings(w, LONELY)["endpoint-id"], made["id"], "what is remembered")
        w.eice("ssh", LONELY, "true", env=environment(w)).expect(0)


@test
def undone(w):
    """--undo takes away what was made, exactly that, and forgets the name."""
    before = {name: rules(w, name) for name in w.sim.world.data["groups"]}
    there = {e["id"] for e in w.sim.world.data["endpoints"]}
    enroll(w, "--yes", "lonely").expect(0)
    enroll(w, "--yes", "web-1").expect(0)
    enroll(w, "--yes", "--undo", "lonely").expect(0)
    equal({name: rules(w, name) for name in w.sim.world.data["groups"]}, before, "the rules")
    eventually(lambda: w.sim.world.settle() or {e["id"] for e in w.sim.world.data["endpoints"]},
               there, "the endpoints")
    equal(settings(w, "lonely"), None, "the name")
    check(settings(w, "web-1"), "others are kept")
    w.sim.ctl("clear")
    enroll(w, "--yes", "--undo").expect(0)
    equal(changed(w), [], "what is left to undo")


@test
def undone_to_the_letter(w):
    """Files are as they were before; --json tells what went, and a second time nothing."""
    before = {CONFIG: "# mine\n[box]\ntarget = web-1",
              ".ssh/config": "Host other\n    User x"}
    for path, text in before.items():
        w.write(path, text)
    rows = json.loads(enroll(w, "--yes", "--ssh-config", "--json", "me@web-1", "lonely",
                             "-l", "ec2-user", "--no-test").expect(0).text)
    equal([r["user"] for r in rows], ["me", "ec2-user"], "logins")
    for path, text in before.items():
        check(text_of(w, path).startswith(text + "\n"), f"{path} before")
    [made] = endpoints(w)
    rows = json.loads(enroll(w, "--yes", "--undo", "--json").expect(0).text)
    equal([(r["kind"], r["name"]) for r in rows if r["kind"] != "rule"],
          [("endpoint", made["id"]), ("section", "[web-1]"), ("section", "[lonely]"),
           ("stanza", "Host web-1"), ("stanza", "Host lonely")], "what is told")
    check(all(re.match("sgr-", r["name"]) for r in rows if r["kind"] == "rule"), str(rows))
    for path, text in before.items():
        equal(text_of(w, path), text + "\n", path)
    equal(json.loads(enroll(w, "--yes", "--undo", "--json").expect(0).text), [
        {"kind": "endpoint", "name": made["id"]}] if endpoints(w) else [], "the second time")


@test
def undone_around_others(w):
    """What was added or changed by hand stays, and is told; so does what is of another Region."""
    enroll(w, "--yes", "--ssh-config", "--no-test", "web-1", "app & web-2").expect(0)
    far = text_of(w, CONFIG).replace("[web-1]", "[far]").split("[app")[0]
    far = far.replace(" eu-west-1 ", " us-east-1 ")
    mine = text_of(w, CONFIG).replace("user = ec2-user", "# who\nuser = bob") + far
    w.write(CONFIG, mine)
    w.write(".ssh/config", text_of(w, ".ssh/config").replace(
        "    User ec2-user\n", "    User ec2-user\n    LogLevel ERROR\n"))
    enroll(w, "--yes", "--no-test", "app & web-2").expect(0)
    equal(text_of(w, CONFIG), mine, "enrolled again")
    done = enroll(w, "--yes", "--undo").expect(0)
    contains(done.err, "added by hand:\n  # who\n  user = bob\n", "what is left of the section")
    contains(done.err, "added by hand:\n  LogLevel ERROR\n", "what is left of the stanza")
    equal(text_of(w, CONFIG), "[web-1]\n# who\nuser = bob\n" + far, "the configuration")
    equal(text_of(w, ".ssh/config"), "Host web-1\n    LogLevel ERROR\n", "the stanza")
    enroll(w, "--yes", "--no-test", "web-1").expect(0)
    equal(settings(w, "web-1")["user"], "bob", "what was changed by hand is asked for no more")


@test
def undone_beside_another(w):
    """The endpoint serves the other still: it goes with the last."""
    w.sim.world.data["endpoints"] = [e for e in w.sim.world.data["endpoints"] if e["vpc"] != VPC]
    enroll(w, "--yes", "--no-test", "web-1", "app & web-2").expect(0)
    [made] = endpoints(w, VPC)
    done = enroll(w, "--yes", "--undo", "web-1").expect(0)
    contains(done.err, "stay, for they serve app & web-2", "what is said")
    equal((settings(w, "web-1"), [e["state"] for e in endpoints(w, VPC)]),
          (None, ["create-complete"]), "after the first")
    done = enroll(w, "--yes", "--undo", "app & web-2").expect(0)
    contains(done.err, f"deleting {made['id']}", "with the second")


@test
def undone_without_the_instance(w):
    """Files only, since nobody knows its VPC; nor anything where groups may not be seen."""
    enroll(w, "--yes", "--no-test", "lonely", "web-1").expect(0)
    w.sim.ctl("policy", credential="admin", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ec2:DescribeSecurityGroups", "Resource": "*"}]})
    contains(enroll(w, "--yes", "--undo", "web-1").expect(1).err, "ec2:DescribeSecurityGroups",
             "what is missing")
    w.sim.ctl("clear")
    w.sim.world.data["instances"] = [e for e in w.sim.world.data["instances"]
                                     if e["name"] not in ("lonely", "web-1")]
    before = len(rules(w)), [e["state"] for e in endpoints(w)]
    equal(before, (1, ["create-complete"]), "what was made")
    for target in ("lonely", "i-0123456789abcdef0"):
        contains(enroll(w, "--yes", "--undo", target).expect(0).err, "no such instance", target)
    equal((len(rules(w)), [e["state"] for e in endpoints(w)]), before, "what was made")
    equal(text_of(w, CONFIG), "", "the file")
    enroll(w, "--yes", "--undo").expect(0)
    equal(rules(w), [], "the rules")


@test(seconds=60)
def undo_killed(w):
    """After each step; run again it goes on to the same end."""
    for action in ("DescribeSecurityGroupRules", "RevokeSecurityGroupIngress",
                   "DeleteInstanceConnectEndpoint"):
        w.sim.world.restore(w.original)
        enroll(w, "--yes", "--ssh-config", "--no-test", "lonely").expect(0)
        w.sim.ctl("clear")
        process = w.spawn("enroll", "--yes", "--undo", "lonely", env=environment(w), stderr=-3)
        eventually(lambda a=action: len(w.requests(a)) > 0, True, action, 20)
        process.kill()
        process.wait()
        enroll(w, "--yes", "--undo", "lonely").expect(0)
        equal(rules(w), [], f"rules after {action}")
        check(all(e["state"].startswith("delete") for e in endpoints(w)), f"after {action}")
        equal((text_of(w, CONFIG), text_of(w, ".ssh/config")), ("", ""), f"files after {action}")


@test
def logins(w):
    """user@ is its own target's, -l is the others', else each image's."""
    def users(*words):
        return [r["user"] for r in json.loads(enroll(w, "--yes", "--json", "--no-test",
                                                     *words).expect(0).text)]
    equal(users("root@web-1", "app & web-2"), ["root", "ubuntu"], "user@")
    equal(users("app & web-2", "a@b@web-1", "-l", "x"), ["x", "a@b"], "user@ and -l")
    equal(users("web-1", "app & web-2"), ["a@b", "x"], "as the last time")


@test
def as_said(w):
    """Subnet, groups, tags, client address and login are those given."""
    w.sim.ctl("tables", name="groups", id=LONELY_GROUP, value={"ingress": [
        {"protocol": "-1", "source": "0.0.0.0/0"}]})
    enroll(w, "--yes", "--subnet", LONELY_SUBNET, "--group", LONELY_GROUP, "--tag", "Team=a=b",
           "--tag", "Name=way in", "--preserve-client-ip", "no", "--ip-address-type", "ipv4",
           "-l", "ec2-user", "lonely").expect(0)
    [made] = endpoints(w)
    equal((made["groups"], made["preserve_ip"], made["address_type"]),
          ([LONELY_GROUP], False, "ipv4"), "the endpoint")
    equal(made["tags"], {"eice.h:created-by": "eice", "Team": "a=b", "Name": "way in"}, "tags")
    equal([c for c in changed(w) if c.startswith("Auth")], [], "rules that were not needed")


@test
def plain_ssh(w):
    """--ssh-config adds a stanza that OpenSSH understands, once; what was there stays."""
    w.write(".ssh/config", "Host other\n    User x\n")
    for _ in range(2):
        enroll(w, "--yes", "--ssh-config", "app & web-2").expect(0)
    with open(w.path(".ssh/config"), encoding="utf-8") as f:
        text = f.read()
    check(text.startswith("Host other\n    User x\n"), "what was there")
    equal(text.count("app & web-2"), 1, "stanzas")
    contains(text, "    User ubuntu\n", "its login")


@test
def no_stanza_for_others(w):
    """A name that is a pattern to ssh_config, or cannot be written there, gets no stanza: it would
    be about other hosts. It is enrolled all the same."""
    before = "Host other\n    User x\n"
    w.write(".ssh/config", before)
    only(w, "lonely")
    [one] = [e for e in w.sim.world.data["instances"] if e["name"] == "lonely"]
    for name in ("*", "web-?", "!x", "a,b", 'a"b'):
        one["name"] = name
        said = enroll(w, "--yes", "--all", "--no-test", "--ssh-config").expect(1).err
        contains(said, f"this cannot be a Host of ssh_config: {name}\n", "what is said")
        equal(text_of(w, ".ssh/config"), before, f"the file after {name!r}")
        equal(settings(w, name)["target"], LONELY, "what eice ssh knows")


@test
def left_as_json(w):
    """Left at the first question: what is printed is JSON all the same."""
    with open(w.path("out"), "w", encoding="utf-8") as out, \
            w.terminal("enroll", "--json", "lonely", env=environment(w), stdout=out) as t:
        t.expect(r"edit \[y\]: ")
        t.send("q\n")
        equal(t.wait(), 1, "status")
    equal(json.loads(text_of(w, "out")), [], "what is printed")


@test
def rules_left_alone(w):
    w.sim.ctl("setting", name="dial_timeout_ms", value=300)
    result = enroll(w, "--yes", "--no-rules", "lonely").expect(1)
    contains(result.err, "rule is missing still", "what is said")
    contains(result.err, "eice doctor", "where to go on")
    equal(rules(w), [], "rules")
    enroll(w, "--yes", "--no-rules", "--no-test", "lonely").expect(0)


@test
def not_made(w):
    """An endpoint that cannot be made: AWS's reason, and how to go on."""
    w.sim.ctl("fault", kind="endpoint-fails", message="No free address in the subnet.")
    result = enroll(w, "--yes", "lonely").expect(1)
    contains(result.err, "No free address in the subnet", "the reason")
    contains(result.err, "eice endpoint delete", "the remedy")
    contains(result.err, "InstanceConnectEndpointDetails", "the console")
    equal(settings_or_none(w), None, "nothing is remembered")
    w.sim.ctl("clear")
    contains(enroll(w, "--yes", "lonely").expect(1).err, "No free address", "the second time")
    equal(changed(w), [], "another is not made")


def settings_or_none(w):
    return settings(w, "lonely") if os.path.exists(w.path("conf/eice/config")) else None


@test
def slow(w):
    """A limit ends the waiting; the next run goes on with the same endpoint."""
    w.sim.ctl("setting", name="endpoint_create_ms", value=2500)
    result = enroll(w, "--yes", "--timeout", "1", "lonely").expect(1)
    contains(result.err, "run it again", "the remedy")
    enroll(w, "--yes", "lonely").expect(0)
    equal(len(endpoints(w)), 1, "endpoints")
    equal(changed(w).count("CreateInstanceConnectEndpoint"), 1, "made once")


@test(seconds=90)
def killed_on_the_way(w):
    """After each step, with SIGKILL; run again it ends as if nothing had happened."""
    w.sim.ctl("setting", name="endpoint_create_ms", value=300)
    for action in ("DescribeInstances", "CreateInstanceConnectEndpoint",
                   "DescribeNetworkInterfaces", "AuthorizeSecurityGroupIngress",
                   "SendSSHPublicKey", "openTunnel"):
        w.sim.world.restore(w.original)
        w.sim.ctl("clear")
        w.sim.ctl("setting", name="endpoint_create_ms", value=300)
        process = w.spawn("enroll", "--yes", "lonely", env=environment(w), stderr=-3)
        eventually(lambda a=action: len(w.requests(a)) > 0, True, action, 20)
        process.kill()
        process.wait()
        enroll(w, "--yes", "lonely").expect(0)
        equal(len(endpoints(w)), 1, f"endpoints after {action}")
        equal(len(rules(w)), 1, f"rules after {action}")
    eventually(w.tunnels, 0, "tunnels")


@test
def interrupted(w):
    w.sim.ctl("setting", name="endpoint_create_ms", value=60000)
    process = w.spawn("enroll", "--yes", "lonely", env=environment(w), stderr=-1)
    eventually(lambda: len(w.requests("CreateInstanceConnectEndpoint")), 1, "the endpoint")
    time.sleep(0.3)
    process.send_signal(2)
    equal(process.wait(10), 1, "status")
    contains(process.stderr.read().decode(), "run it again, it goes on", "what is said")


@test
def several(w):
    """--all: an endpoint for each VPC that has none, then every instance."""
    only(w, "lonely", "web-1", "app & web-2")
    rows = json.loads(enroll(w, "--yes", "--all", "--json").expect(0).text)
    equal(sorted((r["name"], r["user"], r["endpoint_made"], r["ok"]) for r in rows),
          [("app & web-2", "ubuntu", False, True), ("lonely", "ec2-user", True, True),
           ("web-1", "ec2-user", False, True)], "all of them")


@test
def together(w):
    """Endpoints of two VPCs are made side by side and looked at in one call; one may fail."""
    w.sim.world.data["endpoints"] = [e for e in w.sim.world.data["endpoints"] if e["vpc"] != VPC]
    w.sim.ctl("setting", name="endpoint_create_ms", value=1200)
    result = enroll(w, "--yes", "--no-test", "lonely", "web-1", "app & web-2").expect(0)
    equal(changed(w).count("CreateInstanceConnectEndpoint"), 2, "endpoints made")
    contains(result.err, "(and 1 more): create-in-progress", "progress")
    ids = sorted(e["id"] for vpc in (VPC, LONELY_VPC) for e in endpoints(w, vpc))
    looks = [sorted(v for k, v in r["params"].items() if ".Value." in k)
             for r in w.requests("DescribeInstanceConnectEndpoints")]
    check(looks.count(ids) >= 2, f"looked at together: {looks}")


@test
def not_allowed(w):
    w.sim.ctl("policy", credential="admin", document={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ec2:CreateInstanceConnectEndpoint", "Resource": "*"}]})
    result = enroll(w, "--yes", "lonely").expect(1)
    contains(result.err, "ec2:CreateInstanceConnectEndpoint", "what is missing")


@test
def wrong_words(w):
    contains(enroll(w, "lonely").expect(2).err, "--yes", "no terminal")
    contains(enroll(w, "--yes").expect(2).err, "--all", "no target")
    contains(enroll(w, "--yes", "nobody").expect(1).err, "no such instance", "target")
    contains(enroll(w, "--yes", "twin").expect(1).err, "several instances", "target")
    contains(enroll(w, "--yes", "batch").expect(1).err, "start it first", "stopped")


# what is remembered

@test
def aliases(w):
    """A section of the file may be written by hand; options win over it."""
    w.write("conf/eice/config", "# mine\n[box]\ntarget = web-1\nuser=ubuntu\n\n[other]\n"
            "target = app & web-2\nuser = ubuntu\n")
    w.eice("ssh", "-l", "ec2-user", "box", "true", env=environment(w)).expect(0)
    equal(w.eice("ssh", "other", "whoami", env=environment(w)).expect(0).text, "ubuntu\n", "login")
    contains(w.eice("ssh", "box", "true", env=environment(w)).expect(255).err, "ubuntu", "login")
    w.write("conf/eice/config", "# mine\n[box]\ntarget = web-1\n[gone]\ntarget = web-1\n"
            "endpoint-id = eice-0aaaaaaaaaaaaaaaa\n")
    contains(w.eice("ssh", "gone", "true", env=environment(w)).expect(255).err, "eice enroll",
             "what is out of date")
    enroll(w, "--yes", "web-1").expect(0)
    with open(w.path("conf/eice/config"), encoding="utf-8") as f:
        check(f.read().startswith("# mine\n[box]\n"), "what others wrote is kept")


# the same knowledge when a connection fails

@test
def why(w):
    """The message of a failed connection names the cause, after one more call at most."""
    w.sim.ctl("setting", name="dial_timeout_ms", value=300)
    rows = (("fenced", ("-T",), "no rule of sg-0f00ba4f00ba4f00c.* lets TCP 22 in", "Groups"),
            ("refuse-box", (), "whether sshd listens there", "Groups"),
            ("app & web-2", (), "login of its image is ubuntu, not ec2-user", "Images"),
            ("lonely", (), "eice enroll i-0123456789abcde15", None),
            ("db 1 (primary)", ("-l", "admin"), "without ec2-instance-connect", "Images"))
    w.sim.ctl("instance", id="db 1 (primary)", package=False)
    for target, words, wanted, call in rows:
        w.sim.ctl("clear")
        result = w.eice("ssh", *words, target, "true", env=environment(w)).expect(255)
        matches(result.err, wanted, target)
        asked = [e["action"] for e in w.requests() if e["action"].startswith("Describe")]
        equal(sorted(asked), sorted(["DescribeInstances", "DescribeInstanceConnectEndpoints"]
                                    + ([f"Describe{call}".replace("Groups", "SecurityGroups")]
                                       if call else [])), f"calls for {target}")
    told = json.loads(w.eice("--json", "proxy", "fenced", env=environment(w)).expect(1).err)
    contains(told["remedy"], "eice doctor", "the remedy, for machines")


# the wizard

def screen(seen):
    """The lines that stand on the terminal in the end: text, and the picker's few sequences."""
    lines, row, column = [""], 0, 0
    for code, step, letter, char in re.findall(r"(\x1b\[([0-9]*)([AJK]))|([^\x1b])",
                                               seen.decode()):
        if code:
            row -= int(step or 1) if letter == "A" else 0
            lines[row] = lines[row][:column] if letter in "JK" else lines[row]
            del lines[row + 1 if letter == "J" else len(lines):]
        elif char == "\r":
            column = 0
        elif char == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + char + lines[row][column + 1:]
            column += 1
    return [line.rstrip() for line in lines]


def settled(lines):
    """Without what differs each time: ids that were made, ages, how often it was looked at."""
    out = []
    for line in lines:
        line = re.sub(r"eice-[0-9a-f]{17}", "eice-ID", line)
        line = re.sub(r"\S+/known_hosts", "/known_hosts", line)
        line = re.sub(r" +[0-9]+[mhdy]$", " AGE", re.sub(r", [0-9]+ s$", ", N s", line))
        if line and (not out or line != out[-1]):
            out.append(line)
    return out


# the questions of the usual path
USUAL = (r"list \[eu-west-1\]: ", "type to filter.*\r\n", r"edit \[y\]: ", r"rule\? \[y\]: ",
         r"Login \[ec2-user\]: ", r"ssh\? \[n\]: ")


@test
def as_in_the_readme(w):
    """The usual path: Enter at each question. The README shows what is on the screen then."""
    only(w, "lonely", "web-1")
    w.sim.ctl("setting", name="endpoint_create_ms", value=1000)
    enroll(w, "--yes", "--no-test", "web-1").expect(0)
    with w.terminal("enroll", env=environment(w), columns=116) as t:
        seen = b""
        for pattern in USUAL:
            match = t.expect(pattern)
            seen += match.string[:match.end()]
            t.send("\r" if "filter" in pattern else "\n")
        equal(t.wait(20), 0, "status")
        t.restored("afterwards")
        shown = settled(screen(seen + t.seen))
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        [told] = re.findall(r"^```\n(Region.*?)^```", f.read(), re.M | re.S)
    equal(shown, settled(told.splitlines()), "the README's picture")
    check(settings(w, "lonely"), "it is remembered")


@test(seconds=90)
def killed_at_a_question(w):
    """At each one, with SIGKILL; run again it asks for what is not done yet, and ends the same."""
    for last in range(len(USUAL)):
        w.sim.world.restore(w.original)
        only(w, "lonely")
        for path in (CONFIG, ".ssh/config"):
            w.write(path, "")
        with w.terminal("enroll", env=environment(w)) as t:
            for pattern in USUAL[:last]:
                t.expect(pattern)
                t.send("\r" if "filter" in pattern else "\n")
            t.expect(USUAL[last])
            t.process.kill()
            t.process.wait()
        with w.terminal("enroll", env=environment(w)) as t:
            for i, pattern in enumerate(USUAL):
                if not (i == 2 and last > 2 or i == 3 and last > 3):
                    t.expect(pattern)
                    t.send("\r" if "filter" in pattern else "\n")
            equal(t.wait(20), 0, "status")
            t.restored(f"after question {last}")
        [made] = endpoints(w)
        equal((rules(w), settings(w, "lonely")["endpoint-id"]),
              ([("tcp", 22, 22, made["groups"][0])], made["id"]), f"after question {last}")


@test
def with_arrow_keys(w):
    """Region from a list, instance by filter and arrows, each setting edited, a stanza."""
    w.sim.world.data["subnets"][LONELY_SUBNET]["ipv6_cidr"] = "2001:db8:12:3500::/64"
    with w.terminal("enroll", env=environment(w)) as t:
        t.expect(r"Region, \? for a list \[eu-west-1\]: ")
        t.send("?\n")
        t.expect("Which Region")
        t.send("eu-west-1\r")
        t.expect("Which instances")
        t.expect("type to filter")
        t.send("lonx")
        t.send("\x7fely")
        t.expect("1 of [0-9]+, filter: lonely")
        t.send("\x1b[B\x1b[A \r")
        t.expect("addresses +dualstack, as the subnet")
        t.expect(r"edit \[y\]: ")
        t.send("edit\n")
        t.expect("security groups")
        t.expect(">  sg-")
        t.send(" \x1b[B \r")
        t.expect(r"Addresses: dualstack, ipv4, ipv6 \[dualstack\]: ")
        t.send("ipv5\n")
        t.expect(r"Addresses: dualstack, ipv4, ipv6 \[dualstack\]: ")
        t.send("ipv4\n")
        t.expect(r"client's own address\? y, n \[n\]: ")
        t.send("n\n")
        for answer in ("Team=a b", "nonsense", "=x", ""):
            t.expect("Another tag, KEY=VALUE, or nothing: ")
            t.send(answer + "\n")
        t.expect(r"Make an EC2 Instance Connect Endpoint so\? \[y\]: ")
        t.send("y\n")
        t.expect(r"allow tcp 22 from sg-")
        t.expect(r"Add this rule\? \[y\]: ")
        t.send("\n")
        t.expect(r"Login \[ec2-user\]: ")
        t.send("\n")
        t.expect("logs in as ec2-user")
        t.expect(r"plain ssh\? \[n\]: ")
        t.send("y\n")
        equal(t.wait(20), 0, "status")
        t.restored("afterwards")
    [made] = endpoints(w)
    equal((sorted(made["groups"]), made["address_type"], made["preserve_ip"], made["tags"]),
          (["sg-0def00000000000aa", LONELY_GROUP], "ipv4", False,
           {"eice.h:created-by": "eice", "Team": "a b"}), "what was made")
    matches(text_of(w, ".ssh/config"), f"Host lonely\n.*\n    HostName {LONELY}\n", "the stanza")
    check(settings(w, "lonely"), "it is remembered")


@test
def odd_keys(w):
    """Page keys type nothing, and a narrower terminal gets a narrower picture."""
    with w.terminal("enroll", env=environment(w), columns=120) as t:
        t.expect("Region")
        t.send("\n")
        t.expect("type to filter.*\r\n")
        t.resize(50, 24, None)
        t.send("\x1b[6~\x1b[1;5B\x1b[3~lonely")
        match = t.expect(r"1 of [0-9]+, filter: ([^ \r]*lonely)")
        equal(match[1], b"lonely", "the filter")
        last = match.string[match.string.rindex(b"\x1b[", 0, match.start() - 300):]
        last = re.sub(rb"\x1b\[[0-9]*[AJK]", b"", last).split(b"\r\n")[1:]
        check(max(len(line.decode("utf-8", "ignore")) for line in last) < 50, f"width: {last}")
        t.send("\x1b")
        equal(t.wait(), 1, "status")
        t.restored("after Esc")


@test
def long_answers(w):
    """What is too long answers neither this question nor the next one."""
    with w.terminal("enroll", env=environment(w, TERM="dumb")) as t:
        t.expect("Region[^:]*: ")
        t.send("r" * 700 + "\n")
        t.expect("longer than 63 bytes\r\nRegion[^:]*: ")
        t.send("\n")
        t.expect("q to end[^:]*: ")
        t.send("1, " * 50 + "1\n")
        t.expect(r"Login|edit[^:]*: |nothing")
        t.send("q\n")
        equal(t.wait(), 1, "status")


@test
def configuration_too_long(w):
    """What cannot be read whole, or would get too long to, stays as it is."""
    for size, what in ((1 << 21, "is larger than"), ((1 << 20) - 9, "would be larger than")):
        text = "# mine\n".ljust(size - 1, "x") + "\n"
        w.write("conf/eice/config", text)
        contains(enroll(w, "--yes", "--no-test", "web-1").expect(1).err, what, "the message")
        check(text_of(w, CONFIG) == text, f"a file of {size} bytes is another one afterwards")
    for base, what in (("/proc", "/proc/eice"), ("/" + "x" * 1020, "path .* too long")):
        env = {**environment(w), "XDG_CONFIG_HOME": base}
        matches(w.eice("enroll", "--yes", "--no-test", "web-1", env=env).expect(1).err, what,
                base[:9])


@test
def several_chosen(w):
    """Two of the list, in one VPC without an endpoint and one that has it; marked afterwards."""
    only(w, "lonely", "web-1", "app & web-2")
    for again in (False, True):
        with w.terminal("enroll", "--no-test", env=environment(w)) as t:
            t.expect("Region")
            t.send("\n")
            match = t.expect("type to filter")
            if again:
                rows = screen(match.string)
                equal([[word for word in row.split() if word in ("yes", "no", "enrolled")]
                       for row in rows if " i-" in row], [["yes"], ["enrolled"], ["enrolled"]],
                      "the marks")
                t.send("q")
                equal(t.wait(), 1, "status")
                break
            t.send("\x1b[B \x1b[B \r")
            t.expect("edit[^:]*: ")
            t.send("y\n")
            for pattern in (r"rule\?[^:]*: ", "Login[^:]*: ", r"ssh\?[^:]*: ", "Login[^:]*: ",
                            r"ssh\?[^:]*: "):
                t.expect(pattern)
                t.send("\n")
            equal(t.wait(20), 0, "status")
    check(settings(w, "lonely") and settings(w, "web-1") and not settings(w, "app & web-2"),
          "what is remembered")


@test
def groups_by_number(w):
    """On a dumb terminal; and none, which is the VPC's default group."""
    only(w, "lonely")
    for answer, wanted in (("1,2", 2), ("none", 1)):
        w.sim.world.restore(w.original)
        only(w, "lonely")
        with w.terminal("enroll", "--no-test", "lonely", env=environment(w, TERM="dumb")) as t:
            t.expect("edit[^:]*: ")
            t.send("maybe\n")
            t.expect("edit[^:]*: ")
            t.send("e\n")
            t.expect("None: the VPC's default one")
            t.expect(r"q to end \[none\]: ")
            t.send(answer + "\n")
            for pattern in ("own address[^:]*: ", "tag[^:]*: ", r"so\?[^:]*: "):
                t.expect(pattern)
                t.send("\n")
            t.expect("made endpoint")
            t.expect(r"rule\?[^:]*: |Login[^:]*: ")
            t.send("q\n")
            equal(t.wait(), 1, "status")
        [made] = endpoints(w)
        equal(len(made["groups"]), wanted, f"groups of {answer!r}")


def by_number(w, env, columns=80):
    only(w, "lonely", "web-1")
    with w.terminal("enroll", env=env, columns=columns) as t:
        t.expect("Region")
        t.send("\n")
        t.expect("Which instances")
        line = t.expect(r"([0-9]+)  (web-1)\s[^\n]*\n")
        t.expect(r"number[^:]*: ")
        t.send("7\n")
        t.expect(r"number[^:]*: ")
        t.send(line[1] + b"\n")
        t.expect("Login")
        t.send("\n")
        t.expect("logs in as")
        t.expect("plain ssh")
        t.send("\n")
        equal(t.wait(20), 0, "status")
        return t.seen


@test
def on_a_dumb_terminal(w):
    by_number(w, environment(w, TERM="dumb"))


@test
def without_utf8(w):
    seen = by_number(w, environment(w, TERM="dumb", LANG="C"))
    check(all(byte < 128 for byte in seen), f"ASCII only: {seen}")


@test
def narrow_and_wide(w):
    """No line is longer than the terminal, or the picture would fall apart."""
    w.sim.world.instance("lonely")["name"] = "a name with é and " + "ü" * 40
    for columns, language, mark in ((40, "C.UTF-8", "…"), (40, "C", "~"), (200, "C", "?")):
        env = environment(w, LANG=language)
        with w.terminal("enroll", env=env, columns=columns) as t:
            t.expect("Region")
            t.send("\n")
            lines = screen(t.expect("type to filte.*\r\n").string)
            widest = max(len(line) for line in lines)
            check(widest < columns, f"{widest} of {columns}")
            contains("".join(lines), mark, "the long name")
            check(language != "C" or "".join(lines).isascii(), f"ASCII only: {lines}")
            equal(sum(LONELY in line for line in lines), 1, "its id")
            t.send("q")
            equal(t.wait(), 1, "status")
            t.restored("after q")
    equal(changed(w), [], "changes")


@test
def left(w):
    """q, Ctrl-C and the end of the input leave at every question, and change nothing."""
    for at, key in ((0, "q\n"), (0, "\x03"), (0, "\x04"), (1, "q"), (1, "\x03"), (1, "\x1b"),
                    (2, "q\n"), (2, "n\n"), (3, "q"), (4, "q\n"), (5, "\x03"), (6, "n\n"),
                    (6, "\x03")):
        with w.terminal("enroll", env=environment(w)) as t:
            for step, (pattern, answer) in enumerate((
                    ("Region[^:]*: ", "\n"), ("type to filter", "lonely\r"),
                    ("edit[^:]*: ", "e\n"), ("default one", "\r"),
                    ("own address[^:]*: ", "\n"), ("tag[^:]*: ", "\n"),
                    ("Make an[^:]*: ", "y\n"))):
                t.expect(pattern)
                if step == at:
                    t.send(key)
                    break
                t.send(answer)
            equal(t.wait(), 1, f"status of {key!r} at {at}")
            t.restored(f"after {key!r} at {at}")
    equal(changed(w), [], "changes")


@test
def progress(w):
    """One line that counts, where the cursor can be moved and it has room; else a line a look."""
    only(w, "lonely")
    for columns, term, many in ((80, "xterm", False), (80, "dumb", True), (50, "xterm", True)):
        w.sim.world.restore(w.original)
        w.sim.ctl("setting", name="endpoint_create_ms", value=700)
        with w.terminal("enroll", "--no-test", "--yes", "lonely", columns=columns,
                        env=environment(w, TERM=term)) as t:
            equal(t.wait(), 0, "status")
            seen = sum("create-in-progress" in line for line in screen(t.seen))
            check((seen > 1) if many else (seen == 1), f"{seen} lines with {term}, {columns}")


@test
def region_by_hand(w):
    """Another Region than the configured one; another size of the window is no answer."""
    with w.terminal("enroll", env=environment(w, AWS_REGION="eu-central-1")) as t:
        t.expect(r"Region, . for a list \[eu-central-1\]: ")
        t.resize(90, 30, t.process.pid)
        t.resize(100, 30, t.process.pid)
        t.drain(0.2)
        t.send("eu-west-1\n")
        t.expect("type to filter")
        t.send("lonely")
        t.expect("1 of")
        t.send("q\x7f\x7f\x7f\x7f\x7f\x7f\x7fq")
        equal(t.wait(), 1, "status")
    matches(w.requests("DescribeInstances")[-1].get("host", "eu-west-1"), "eu-west-1", "Region")


if __name__ == "__main__":
    sys.exit(main(__doc__))
