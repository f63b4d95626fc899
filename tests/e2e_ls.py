#!/usr/bin/python3
"""`eice ls` and `eice endpoint`: lists, filters, terminals; an endpoint's life.

    tests/e2e_ls.py [--eice PROGRAM] [name …]
"""

import json
import os
import re

from e2elib import check, contains, equal, json_line, main, matches, test

POINT = "eice-0a1b2c3d4e5f60718"
VPC, SUBNET = "vpc-0ddd3333eee4444ff", "subnet-0aaa1111bbb2222cc"
NO_COLOUR = re.compile(rb"\033\[")


def ids(w, *words, **more):
    """The instances that are listed, by their ids."""
    return [i["InstanceId"] for i in listed(w, *words, **more)]


def listed(w, *words, **more):
    return json.loads(w.eice("ls", "--json", *words, **more).expect(0).text)


def in_order(w):
    """By name and id, the instances without a name last."""
    return [e["id"] for e in sorted(present(w), key=lambda e: (
        not e["name"], [(part.isdigit(), int(part) if part.isdigit() else part)
                        for part in re.split(r"([0-9]+)", e["name"] or "")], e["id"]))]


def present(w):
    return [e for e in w.sim.world.data["instances"]
            if e["state"] not in ("terminated", "shutting-down")]


# lists

@test
def ls_table(w):
    """To a pipe: every column, nothing cut, no colour; those that are gone are left out."""
    w.sim.world.instance("batch")["state"] = "terminated"
    done = w.eice("ls").expect(0)
    head, *rows = done.text.splitlines()
    equal(head.split(), "NAME ID STATE PRIVATE IP VPC SUBNET AZ PLATFORM TYPE ENDPOINT AGE".split(),
          "the heading")
    equal(len(rows), len(present(w)), "rows")
    row = next(r for r in rows if "i-0123456789abcdef0" in r)
    for word in ("web-1 ", " running ", " 10.20.1.23 ", VPC, SUBNET, " eu-west-1a ", " yes "):
        contains(row, word, "the row of web-1")
    matches(row, r" \d+[mhdy]$", "its age")
    contains(next(r for r in rows if r.startswith("lonely ")), " no ", "no endpoint")
    contains(next(r for r in rows if r.startswith("early ")), " pending ", "one that is made")
    contains(next(r for r in rows if r.startswith("broken ")), " failed ", "one that failed")
    check("\033" not in done.text, "colours in a pipe")
    equal(done.err, "", "stderr")
    check("batch" not in done.text, "a terminated instance is listed")
    contains(w.eice("ls", "state=terminated").expect(0).text, "batch", "asked for")


@test
def ls_json(w):
    """Everything about an instance, its tags and its endpoint."""
    box = w.sim.world.instance("web-1")
    box["tags"]["team"] = "a \"b\" é"
    found = next(i for i in listed(w) if i["InstanceId"] == box["id"])
    for name, value in {"Region": "eu-west-1", "Name": "web-1", "State": "running",
                        "PrivateIpAddress": box["ip"], "VpcId": VPC, "SubnetId": SUBNET,
                        "AvailabilityZone": "eu-west-1a", "Platform": "Linux/UNIX",
                        "InstanceType": box["type"], "EndpointState": "create-complete",
                        "EndpointId": POINT, "LaunchTime": "2026-01-10T08:00:11.000Z",
                        "SecurityGroups": box["groups"],
                        "Tags": {"Name": "web-1", **box["tags"]}}.items():
        equal(found[name], value, name)
    alone = next(i for i in listed(w) if i["Name"] == "lonely")
    equal((alone["EndpointId"], alone["EndpointState"]), (None, None), "without an endpoint")
    equal(listed(w, "no-such-thing"), [], "an empty list")


@test
def ls_long_tags(w):
    """50 tags of the longest key and value that EC2 takes, in characters of four bytes."""
    tags = {f"{n:02d}" + "\U0001f511" * 126: '"' + "\U0001f512" * 255 for n in range(49)}
    w.sim.world.instance("web-1")["tags"].update(tags)
    found = next(i for i in listed(w) if i["Name"] == "web-1")["Tags"]
    equal({key: found[key] for key in tags}, tags, "the tags")


@test
def ls_filters(w):
    """Words of ours, of EC2, tags, several values, text; all of them have to fit."""
    w.sim.world.instance("web-1")["tags"]["team"] = "core"
    web, app = "i-0123456789abcdef0", "i-0123456789abcdef1"
    everything = in_order(w)
    equal(ids(w), everything, "without a filter")
    equal(ids(w, "tag:team=core"), [web], "a tag")
    equal(ids(w, "tag:team"), [web], "a tag of any value")
    equal(ids(w, "tag:Name=web*"), [web], "a wildcard")
    equal(ids(w, f"id={app},{web}"), [app, web], "ids")
    equal(ids(w, "state=stopped"), [e["id"] for e in present(w) if e["state"] == "stopped"],
          "a state")
    equal(ids(w, f"vpc={VPC}", "state=running", "WEB-"), [app, web], "a VPC, a state and a text")
    equal(ids(w, "10.20.1.23"), [web], "an address as text")
    equal(ids(w, "core"), [web], "the text of a tag")
    equal(ids(w, "private-ip-address=10.20.1.23"), [web], "a filter of EC2")
    equal(ids(w, "name=twin"), ["i-0123456789abcde13", "i-0123456789abcde14"], "a name")
    quiet = w.eice("ls", "name=nobody").expect(0)
    equal(quiet.text, "", "the table of nothing")
    contains(quiet.err, "no instances that fit", "what is said about it")
    contains(w.eice("ls", "foo=bar").expect(1).err, "The filter 'foo' is invalid", "unknown")
    for bad in ("=x", "state="):
        contains(w.eice("ls", bad).expect(2).err, "bad filter", bad)


@test
def ls_sort(w):
    """By name and id, or by a column either way; in JSON, too; what is empty comes last."""
    boxes = present(w)
    for n, box in enumerate(boxes):
        box["launched"] = f"2026-01-10T08:00:{59 - n:02d}.000Z"
    boxes[0]["name"], boxes[1]["name"], boxes[2]["name"] = "web-10", "web-9", ""
    equal(ids(w), in_order(w), "without --sort")
    check(ids(w).index(boxes[1]["id"]) < ids(w).index(boxes[0]["id"]), "web-9 before web-10")
    equal(ids(w)[-1], boxes[2]["id"], "without a name")
    every = {e["id"]: e for e in boxes}
    numbers = {e["id"]: [int(n) for n in e["ip"].split(".")] for e in boxes if e["ip"]}
    for words, key in ((("id",), lambda i: i), (("age",), lambda i: [-ord(x) for x in
                                                                    every[i]["launched"]]),
                       (("az",), lambda i: every[i].get("az", "")),
                       (("TYPE",), lambda i: every[i]["type"]),
                       (("ip", "private-ip-address=*.*.*.*"), lambda i: numbers[i])):
        up = ids(w, "--sort", *words)
        equal([key(i) for i in up], sorted(key(i) for i in up), f"--sort {words[0]}")
        down = ids(w, "--sort", "-" + words[0], *words[1:])
        equal([key(i) for i in down], [key(i) for i in reversed(up)], f"--sort -{words[0]}")
        equal(ids(w, "-r", "--sort", *words), down, "-r")
        equal(ids(w, "-r", "--sort", "-" + words[0], *words[1:]), up, "both")
    equal(ids(w, "-r"), [*reversed(in_order(w)[:-1]), boxes[2]["id"]], "-r")
    shown = w.eice("ls", "--sort", "-id").expect(0).text
    equal(re.findall(r"\bi-[0-9a-f]{17}\b", shown), sorted(every, reverse=True), "the table")
    both = w.eice("ls", "--region", "all", "--sort", "-region").expect(0).text.splitlines()[1:]
    check(both[0].startswith("us-east-1 ") and both[-1].startswith("eu-west-1 "), "Regions")
    for word in ("colour", "", "-"):
        contains(w.eice("ls", "--sort", word).expect(2).err, "--sort takes one of", word)


@test(seconds=60)
def ls_pages(w):
    """More than a page, and an empty one among them."""
    with w.sim.world.lock:
        model = w.sim.world.instance("web-1")
        for n in range(1300):
            w.sim.world.data["instances"].append(
                {**model, "id": f"i-{n:017x}", "name": f"more-{n}", "ip": None, "tags": {}})
    w.sim.ctl("fault", kind="empty-page", times=1, action="DescribeInstances")
    found = w.eice("-q", "ls", "more-").expect(0)
    equal(len(found.text.splitlines()), 1301, "rows")
    w.note(f"1300 instances in {found.seconds:.2f} s")


@test
def ls_regions(w):
    """Several at once; one that cannot be asked does not hide the others."""
    rows = w.eice("ls", "--region", "all", "name=web-1").expect(0).text.splitlines()
    matches(rows[0], r"^REGION +NAME", "the heading")
    matches(rows[1], r"^eu-west-1 +web-1", "the row")
    rows = w.eice("ls", "--region", "all", "state=stopped").expect(0).text.splitlines()
    equal([row.split()[:2] for row in rows[1:]], [["eu-west-1", "batch"], ["us-east-1", "far-3"]],
          "rows of two Regions")
    done = w.eice("ls", "--region", "eu-west-1,eu-north-1", "name=web-1").expect(1)
    matches(done.text, r"(?m)^eu-west-1 +web-1", "the row of the good one")
    contains(done.err, "eice: eu-north-1: ", "the error of the other")
    for words in (("ls",), ("endpoint", "ls")):
        w.sim.ctl("clear")
        w.sim.ctl("fault", kind="http-error", times=1, status=403, code="UnauthorizedOperation",
                  message="not here", action="DescribeInstances" if len(words) == 1
                  else "DescribeInstanceConnectEndpoints")
        done = w.eice(*words, "--region", "all", "--json").expect(1)
        bad = re.search(r'"message":"([a-z0-9-]+): ', done.err)[1]
        seen = {row["Region"] for row in json.loads(done.text)}
        equal(seen, {"eu-west-1", "us-east-1"} - {bad}, f"the Regions without {bad}")
    w.sim.ctl("clear")
    contains(w.eice("ls", env=w.env("AWS_REGION", "AWS_DEFAULT_REGION")).expect(1).err,
             "region", "no Region")
    for bad in (",eu-west-1", "eu-west-1,eu west"):
        check(w.eice("ls", "--region", bad).status in (1, 2), f"--region {bad!r} is taken")


@test
def ls_denied(w):
    """No right to list instances: the action is named."""
    done = w.eice("ls", env=w.env(credential="denied")).expect(1)
    contains(done.err, "ec2:DescribeInstances", "the action")
    equal(done.text, "", "stdout")
    error = json_line(w.eice("ls", "--json", env=w.env(credential="denied")).expect(1).err)
    equal(error["error"], "AWS_DENIED", "as JSON")


# terminals

def on_terminal(w, columns, *words, **more):
    with w.terminal("ls", *words, columns=columns, env=w.env(**more)) as t:
        status = t.wait()
        equal(status, 0, "status")
        return t.seen


def plain(seen):
    return re.sub(r"\033\[\d*m", "", seen.decode()).replace("\r", "").splitlines()


@test
def ls_widths(w):
    """The table is never wider than the terminal; names are cut, then columns left out."""
    w.sim.world.instance("web-1")["name"] = "a rather long name é " + "x" * 40
    for columns in (40, 60, 80, 100, 132, 300):
        lines = plain(on_terminal(w, columns))
        widest = max(len(line) for line in lines)
        check(widest <= columns, f"{widest} characters on {columns} columns")
        check("i-0123456789abcdef0" in "\n".join(lines), f"the id is cut at {columns}")
        check(len(lines) == len(present(w)) + 1, f"{len(lines)} lines at {columns}")
    check("ENDPOINT" in plain(on_terminal(w, 80))[0], "no endpoint column at 80")
    contains("\n".join(plain(on_terminal(w, 40))), "…", "the mark of what is cut")


@test
def ls_looks(w):
    """Colours on a terminal that has them, unless NO_COLOR says no; ASCII where UTF-8 is not."""
    check(NO_COLOUR.search(on_terminal(w, 80)), "no colours")
    check(not NO_COLOUR.search(on_terminal(w, 80, TERM="dumb")), "colours on a dumb terminal")
    check(not NO_COLOUR.search(on_terminal(w, 80, NO_COLOR="1")), "colours in spite of NO_COLOR")
    w.sim.world.instance("web-1")["name"] = "é" * 50
    seen = on_terminal(w, 60, LANG="C", TERM="dumb")
    check(all(byte < 0x80 for byte in seen), f"not ASCII: {seen!r}")
    contains(seen.decode(), "???~", "the cut name")


@test
def full_disk(w):
    """Output that is not whole is a failure that is said, but not to a pipe that was left."""
    for command in ("ls", "ls --json", "doctor web-1", "policy web-1", "ls --help"):
        for to, told in ((">/dev/full", "eice: cannot write all of the output\n"),
                         ("| (exec <&-; sleep 0.1)", "")):
            line = f"{w.program} {command} {to}; exit ${{PIPESTATUS[0]}}"
            result = w.run(["/bin/bash", "-c", line], env=w.env())
            check(result.status == 1 or told == "", f"{command} {to}: {result.status}")
            equal(result.err, told, f"{command} {to}")


@test
def ls_hostile(w):
    """A tag cannot drive the terminal, nor end a row."""
    w.sim.world.instance("web-1")["name"] = "a\u009b31mb\nc\u202ed"
    for seen in (w.eice("ls").expect(0).out, on_terminal(w, 200, TERM="dumb")):
        check(b"\xc2\x9b" not in seen and "\u202e".encode() not in seen, f"{seen[:300]!r}")
        equal(len(seen.splitlines()), len(present(w)) + 1, "rows")


# endpoints

def points(w):
    return w.sim.world.data["endpoints"]


@test
def endpoint_ls_and_show(w):
    rows = w.eice("endpoint", "ls").expect(0).text.splitlines()
    equal(len(rows), len(points(w)) + 1, "rows")
    matches("\n".join(rows), rf"(?m)^{POINT} +main +create-complete +{VPC}", "the row")
    rows = json.loads(w.eice("endpoint", "ls", "--json", "state=create-failed").expect(0).text)
    equal([r["VpcId"] for r in rows], ["vpc-0ddd3333eee4444cc"], "by state")
    equal(rows[0]["StateMessage"], "There are no available addresses in the subnet.", "why")
    for name in (POINT, VPC):
        shown = json_line(w.eice("endpoint", "show", "--json", name).expect(0).text)
        equal((shown["InstanceConnectEndpointId"], shown["PreserveClientIp"],
               shown["SecurityGroupIds"], shown["Tags"]),
              (POINT, False, ["sg-0e1ce0e1ce0e1ce00"], {"Name": "main"}), name)
    contains(w.eice("endpoint", "show", POINT).expect(0).text, "create-complete", "for people")
    for word in ("id", "-id", "age", "vpc", "state"):
        rows = json.loads(w.eice("endpoint", "ls", "--json", "--sort", word).expect(0).text)
        name = {"age": "CreatedAt", "vpc": "VpcId", "state": "State"}.get(
            word, "InstanceConnectEndpointId")
        got = [r[name] for r in rows]
        equal(got, sorted(got, reverse=word in ("-id", "age")), f"--sort {word}")
    contains(w.eice("endpoint", "ls", "--sort", "x").expect(2).err, "--sort takes", "a bad field")
    contains(w.eice("endpoint", "show", "vpc-0ddd3333eee4444aa").expect(1).err, "no endpoint",
             "a VPC without one")


@test
def endpoint_regions(w):
    """Every Region's endpoints, and one thing in another Region than the configuration's."""
    rows = json.loads(w.eice("endpoint", "ls", "--json", "--region", "all").expect(0).text)
    equal({r["Region"] for r in rows}, {"eu-west-1", "us-east-1"}, "Regions")
    far = next(r for r in rows if r["Region"] == "us-east-1")
    contains(w.eice("endpoint", "show", far["InstanceConnectEndpointId"], "--region",
                    "us-east-1").expect(0).text, far["VpcId"], "shown there")
    contains(w.eice("endpoint", "show", far["InstanceConnectEndpointId"]).expect(1).err,
             "--region", "the hint when it is not found here")
    two = w.eice("endpoint", "ls", "--region", "us-east-1,eu-west-1").expect(0).text.splitlines()
    matches(two[0], "^REGION +ID", "the heading")
    check(two[1].startswith("us-east-1 ") and two[-1].startswith("eu-west-1 "), "the order given")


@test(seconds=60)
def endpoint_life(w):
    """Made, there already, changed, deleted; with what was asked for and our tag."""
    w.sim.world.data["endpoints"][:] = [e for e in points(w) if e["vpc"] != VPC]
    before = len(points(w))
    contains(w.eice("endpoint", "create", SUBNET, "--dry-run").expect(0).err, "allowed", "dry run")
    equal(len(points(w)), before, "endpoints after a dry run")
    done = w.eice("endpoint", "create", SUBNET, "--group", "sg-0e1ce0e1ce0e1ce00", "--tag",
                  "Name=a b", "--tag", "empty=", "--ip-address-type", "ipv4",
                  "--preserve-client-ip", "yes", "--wait", "--json").expect(0)
    made = points(w)[-1]
    shown = json_line(done.text)
    equal((shown["InstanceConnectEndpointId"], shown["State"]), (made["id"], "create-complete"),
          "what is shown")
    equal((made["groups"], made["address_type"], made["preserve_ip"]),
          (["sg-0e1ce0e1ce0e1ce00"], "ipv4", True), "what was asked for")
    equal(made["tags"], {"eice.h:created-by": "eice", "Name": "a b", "empty": ""}, "tags")
    matches(done.err, r"create-in-progress\n.*create-complete", "what was waited for")
    again = w.eice("endpoint", "create", SUBNET).expect(0)
    contains(again.err, f"has an endpoint already: {made['id']}", "the second time")
    equal(len(points(w)), before + 1, "endpoints")
    w.eice("endpoint", "modify", VPC, "--preserve-client-ip", "no", "--wait").expect(0)
    equal((made["preserve_ip"], made["state"]), (False, "update-complete"), "changed")
    contains(w.eice("endpoint", "delete", made["id"]).expect(1).err, "--yes", "nobody to ask")
    w.eice("endpoint", "delete", made["id"], "--yes", "--wait").expect(0)
    check(not any(e["id"] == made["id"] and e["state"] != "delete-complete" for e in points(w)),
          "it is still there")


@test
def endpoint_delete_asks(w):
    for answer, state in ((b"n\n", "create-complete"), (b"y\n", "delete-in-progress")):
        with w.terminal("endpoint", "delete", POINT) as t:
            t.expect(rf"delete endpoint {POINT} of {VPC}\? \[y/N\] ")
            os.write(t.master, answer)
            status = t.wait()
        equal(status, 0 if answer == b"y\n" else 1, "status")
        check(w.sim.world.endpoint(POINT)["state"].startswith(state.split("-")[0]), "state")


@test
def endpoint_fails(w):
    """What AWS says about a failure, where its console tells more, what to do; time limits."""
    broken = next(e for e in points(w) if e["state"] == "create-failed")
    done = w.eice("endpoint", "wait", broken["id"]).expect(1)
    contains(done.err, "no available addresses in the subnet", "the cause")
    contains(done.err, f"instanceConnectEndpointId={broken['id']}", "the console")
    early = next(e for e in points(w) if e["state"] == "create-in-progress")
    early["due"] = None
    done = w.eice("endpoint", "wait", "--timeout", "1", early["id"]).expect(1)
    contains(done.err, "create-in-progress", "its state")
    contains(done.err, "not done after 1 s", "the limit")
    contains(w.eice("endpoint", "create", "subnet-0aaa1111bbb222299").expect(1).err,
             "InvalidSubnetID.NotFound", "no such subnet")
    contains(w.eice("endpoint", "delete", "--yes", "eice-0a1b2c3d4e5f60999").expect(1).err,
             "NotFound", "no such endpoint")


@test
def endpoint_words(w):
    """Wrong command lines end before anything is sent."""
    for words, what in (((), "endpoint takes ls, show"), (("make",), "endpoint takes ls, show"),
                        (("show",), "show takes an endpoint or a VPC"),
                        (("create", "a", "b"), "create takes a subnet"),
                        (("create", SUBNET, "--preserve-client-ip", "maybe"), "yes|no"),
                        (("modify", POINT), "modify needs"),
                        (("show", POINT, "--region", "all"), "only ls")):
        contains(w.eice("endpoint", *words).expect(2).err, what, " ".join(words))
    equal([r["action"] for r in w.requests()], [], "requests")


if __name__ == "__main__":
    raise SystemExit(main(__doc__.split("\n")[0]))
