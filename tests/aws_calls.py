#!/usr/bin/python3
"""AWS calls: the table of operations against botocore's models, answers against the EC2 samples
of the AWS CLI, and whole calls against the simulator.

usage: aws_calls.py AWS_CALL [WORD ...]

AWS_CALL is the program made of aws_call.c; WORD runs only the tests whose name has it. What
botocore does not know yet is left out (that of Debian 12 has no EC2 Instance Connect Endpoints,
that of Debian 13 not all about them); tests/trixie.py runs this with a newer one.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)

try:
    import botocore.parsers
    import botocore.serialize
    import botocore.session
except ImportError:
    botocore = None

VECTORS = os.path.join(os.environ.get("EICE_VECTORS", "/nonexistent"), "ec2-xml")
VPC, SUBNET, GROUP = "vpc-0ddd3333eee4444ff", "subnet-0aaa1111bbb2222cc", "sg-0f00ba4f00ba4f00b"
PROGRAM = None
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def equal(got, wanted, what):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def call(*words, data=b"", env=None):
    """The lines of JSON that the program prints."""
    done = subprocess.run([PROGRAM, *words], input=data, capture_output=True, env=env, timeout=60,
                          check=False)
    assert done.returncode == 0, f"{words[:2]}: status {done.returncode}: {done.stderr[-800:]!r}"
    return done.stdout.decode()


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# --- the table ------------------------------------------------------------------------------------


def table():
    return {row["name"]: row for row in lines(call("table"))}


def models():
    if botocore is None:
        raise Skip("python3-botocore is not installed")
    session = botocore.session.Session()
    return {name: session.get_service_model(name) for name in ("ec2", "ec2-instance-connect",
                                                               "sts")}


def wire_name(protocol, name, shape):
    """A parameter's name in a request of EC2, or of the other protocols."""
    if protocol != "ec2":
        return name
    found = shape.serialization.get("queryName")
    if found is None:
        found = shape.serialization.get("name", name)
        found = found[0].upper() + found[1:]
    return found


def input_names(protocol, shape, before=""):
    """Every parameter of a request: "Filter.N.Value.N"."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            at = wire_name(protocol, name, member)
            yield from input_names(protocol, member, f"{before}.{at}" if before else at)
    elif shape.type_name == "list" and protocol == "ec2":
        yield from input_names(protocol, shape.member, before + ".N")
    else:
        yield before


def output_names(shape, before="", depth=0):
    """Every element of an answer: "tagSet/item/key"."""
    if before:
        yield before
    if depth > 12:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            at = member.serialization.get("name", name)
            yield from output_names(member, f"{before}/{at}" if before else at, depth + 1)
    elif shape.type_name == "list":
        at = shape.member.serialization.get("name", "member")
        yield from output_names(shape.member, f"{before}/{at}", depth + 1)


def young(model, name):
    """Came with ModifyInstanceConnectEndpoint, which this model does not have."""
    return "ModifyInstanceConnectEndpoint" not in model.operation_names \
        and re.search(r"(?i)ipaddresstype$|publicDnsNames/", name)


def documented_params(row):
    """Those of a row, with what its flags stand for."""
    names = row["params"].split()
    if "F" in names:
        names.remove("F")
        names += ["Filter.N.Name", "Filter.N.Value.N"]
    if row["flag"] == "P":
        names += ["MaxResults", "NextToken"]
    if row["service"] == "ec2":
        names.append("DryRun")
    return names


@test
def table_is_botocores():
    """Every documented parameter and field is one of the service model, and so is what the
    flags say."""
    known = models()
    seen = 0
    for name, row in table().items():
        model = known[row["service"]]
        if name not in model.operation_names:
            continue
        seen += 1
        operation = model.operation_model(name)
        protocol = model.metadata["protocol"]
        inputs = set(input_names(protocol, operation.input_shape)) if operation.input_shape else []
        for param in documented_params(row):
            assert param in inputs or young(model, param), \
                f"{name}: botocore knows no parameter {param}"
        outputs = set(output_names(operation.output_shape)) if operation.output_shape else set()
        head = row["item"].partition("Result")[2].strip("/") if row["service"] == "sts" \
            else row["item"]
        for field in row["fields"].split():
            path = f"{head}/{field}" if head else field
            assert path in outputs or young(model, path) or \
                (field == "RequestId" and row["service"] != "ec2"), \
                f"{name}: botocore knows no element {path}"
        equal("NextToken" in inputs and name != "DescribeImages", row["flag"] == "P",
              f"{name} has pages")
        equal("ClientToken" in inputs, row["flag"] == "T", f"{name} takes a token")
    assert seen >= len(table()) - 4, f"botocore knows {seen} operations only"


# name: (parameters as botocore takes them, as we do)
REQUESTS = {
    "DescribeInstances": ({"InstanceIds": ["i-1", "i-2"], "Filters": [
        {"Name": "tag:a b", "Values": ["x&y", "é"]}, {"Name": "vpc-id", "Values": ["vpc-1"]}]},
        ["InstanceId.#=i-1", "InstanceId.#=i-2", "Filter.1.Name=tag:a b", "Filter.1.Value.#=x&y",
         "Filter.1.Value.#=é", "Filter=vpc-id vpc-1"]),
    "DescribeInstanceConnectEndpoints": (
        {"InstanceConnectEndpointIds": ["eice-1"], "Filters": [
            {"Name": "state", "Values": ["create-complete", "update-complete"]}]},
        ["InstanceConnectEndpointId.#=eice-1", "Filter=state create-complete",
         "Filter=state update-complete"]),
    "CreateInstanceConnectEndpoint": (
        {"SubnetId": "subnet-1", "SecurityGroupIds": ["sg-1", "sg-2"], "PreserveClientIp": True,
         "ClientToken": "t", "IpAddressType": "ipv4", "TagSpecifications": [
             {"ResourceType": "instance-connect-endpoint", "Tags": [
                 {"Key": "Name", "Value": "a=b"}, {"Key": "k", "Value": ""}]}]},
        ["SubnetId=subnet-1", "SecurityGroupId.#=sg-1", "SecurityGroupId.#=sg-2",
         "PreserveClientIp=true", "ClientToken=t", "IpAddressType=ipv4",
         "TagSpecification.1.ResourceType=instance-connect-endpoint",
         "TagSpecification.1.Tag.1.Key=Name", "TagSpecification.1.Tag.1.Value=a=b",
         "TagSpecification.1.Tag.2.Key=k", "TagSpecification.1.Tag.2.Value="]),
    "ModifyInstanceConnectEndpoint": (
        {"InstanceConnectEndpointId": "eice-1", "SecurityGroupIds": ["sg-1"],
         "PreserveClientIp": False},
        ["InstanceConnectEndpointId=eice-1", "SecurityGroupId.#=sg-1", "PreserveClientIp=false"]),
    "DeleteInstanceConnectEndpoint": (
        {"InstanceConnectEndpointId": "eice-1"}, ["InstanceConnectEndpointId=eice-1"]),
    "DescribeSecurityGroups": ({"GroupIds": ["sg-1"], "GroupNames": ["a"]},
                               ["GroupId.#=sg-1", "GroupName.#=a"]),
    "DescribeSecurityGroupRules": (
        {"Filters": [{"Name": "group-id", "Values": ["sg-1", "sg-2"]}], "MaxResults": 5,
         "NextToken": "+/="},
        ["Filter=group-id sg-1", "Filter=group-id sg-2", "MaxResults=5", "NextToken=+/="]),
    "DescribeSubnets": ({"SubnetIds": ["subnet-1"]}, ["SubnetId.#=subnet-1"]),
    "DescribeVpcs": ({"VpcIds": ["vpc-1"], "DryRun": True}, ["VpcId.#=vpc-1", "DryRun=true"]),
    "DescribeNetworkInterfaces": ({"NetworkInterfaceIds": ["eni-1"]},
                                  ["NetworkInterfaceId.#=eni-1"]),
    "DescribeImages": ({"ImageIds": ["ami-1"], "Owners": ["amazon"]},
                       ["ImageId.#=ami-1", "Owner.#=amazon"]),
    "DescribeRegions": ({"AllRegions": True, "RegionNames": ["eu-west-1"]},
                        ["AllRegions=true", "RegionName.#=eu-west-1"]),
    "DescribeRouteTables": ({"Filters": [{"Name": "association.subnet-id", "Values": ["s"]}]},
                            ["Filter=association.subnet-id s"]),
    "DescribeNetworkAcls": ({"NetworkAclIds": ["acl-1"]}, ["NetworkAclId.#=acl-1"]),
    "CreateTags": ({"Resources": ["i-1", "i-2"], "Tags": [{"Key": "a", "Value": "b c"}]},
                   ["ResourceId.#=i-1", "ResourceId.#=i-2", "Tag.1.Key=a", "Tag.1.Value=b c"]),
    "GetConsoleOutput": ({"InstanceId": "i-1", "Latest": True}, ["InstanceId=i-1", "Latest=true"]),
    "GetSerialConsoleAccessStatus": ({}, []),
    "EnableSerialConsoleAccess": ({}, []),
    "SendSSHPublicKey": ({"InstanceId": "i-0123456789abcdef0", "InstanceOSUser": "a\"b",
                          "SSHPublicKey": "ssh-ed25519 " + "A" * 68},
                         ["InstanceId=i-0123456789abcdef0", "InstanceOSUser=a\"b",
                          "SSHPublicKey=ssh-ed25519 " + "A" * 68]),
    "SendSerialConsoleSSHPublicKey": (
        {"InstanceId": "i-0123456789abcdef0", "SerialPort": 0,
         "SSHPublicKey": "ssh-rsa " + "A" * 80},
        ["InstanceId=i-0123456789abcdef0", "SerialPort=0", "SSHPublicKey=ssh-rsa " + "A" * 80]),
    "GetCallerIdentity": ({}, []),
    "AssumeRoleWithWebIdentity": (
        {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "sess",
         "WebIdentityToken": "a.b.c", "DurationSeconds": 900},
        ["RoleArn=arn:aws:iam::123456789012:role/r", "RoleSessionName=sess",
         "WebIdentityToken=a.b.c", "DurationSeconds=900"]),
    "AssumeRole": (
        {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "sess",
         "ExternalId": "e x", "SerialNumber": "arn:aws:iam::123456789012:mfa/u",
         "TokenCode": "123456"},
        ["RoleArn=arn:aws:iam::123456789012:role/r", "RoleSessionName=sess", "ExternalId=e x",
         "SerialNumber=arn:aws:iam::123456789012:mfa/u", "TokenCode=123456"]),
    "DecodeAuthorizationMessage": ({"EncodedMessage": "a+b/c="}, ["EncodedMessage=a+b/c="]),
}
PERMISSIONS = (
    {"GroupId": "sg-1", "IpPermissions": [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [
            {"GroupId": "sg-2", "UserId": "123456789012", "Description": "from the endpoint"}]},
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "x"}],
         "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}], "PrefixListIds": [
             {"PrefixListId": "pl-1"}]}]},
    ["GroupId=sg-1", "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=22",
     "IpPermissions.1.ToPort=22", "IpPermissions.1.Groups.1.GroupId=sg-2",
     "IpPermissions.1.Groups.1.UserId=123456789012",
     "IpPermissions.1.Groups.1.Description=from the endpoint", "IpPermissions.2.IpProtocol=-1",
     "IpPermissions.2.IpRanges.1.CidrIp=10.0.0.0/8", "IpPermissions.2.IpRanges.1.Description=x",
     "IpPermissions.2.Ipv6Ranges.1.CidrIpv6=2001:db8::/32",
     "IpPermissions.2.PrefixListIds.1.PrefixListId=pl-1"])
for _verb in ("Authorize", "Revoke"):
    for _way in ("Ingress", "Egress"):
        REQUESTS[f"{_verb}SecurityGroup{_way}"] = PERMISSIONS


@test
def requests_are_botocores():
    """The same parameters make the same body."""
    known = models()
    rows = table()
    equal(sorted(REQUESTS), sorted(rows), "operations with a request to compare")
    for name, (theirs, ours) in REQUESTS.items():
        model = known[rows[name]["service"]]
        if name not in model.operation_names:
            continue
        theirs = {key: value for key, value in theirs.items() if not young(model, key)}
        ours = [word for word in ours if not young(model, word.partition("=")[0])]
        body = botocore.serialize.create_serializer(model.metadata["protocol"]) \
            .serialize_to_request(theirs, model.operation_model(name))["body"]
        got = call("write", name, *ours)
        if isinstance(body, bytes):
            equal(json.loads(got), json.loads(body), name)
        else:
            wanted = {key: str(value) for key, value in body.items()}
            equal(dict(urllib.parse.parse_qsl(got, keep_blank_values=True,
                                              strict_parsing=True)), wanted, name)


# --- answers --------------------------------------------------------------------------------------


def sample(name):
    path = os.path.join(VECTORS, name)
    if not os.path.exists(path):
        raise Skip("EICE_VECTORS does not name the vectors")
    with open(path, "rb") as f:
        return f.read()


# sample: (operation, list in the .json, {our path: path there})
SAMPLES = {
    "ec2-describe-instances": ("DescribeInstances", "Reservations.Instances", {
        "instanceId": "InstanceId", "imageId": "ImageId", "instanceState/name": "State.Name",
        "instanceState/code": "State.Code", "privateDnsName": "PrivateDnsName",
        "dnsName": "PublicDnsName", "reason": "StateTransitionReason", "keyName": "KeyName",
        "instanceType": "InstanceType", "placement/availabilityZone":
            "Placement.AvailabilityZone", "architecture": "Architecture",
        "privateIpAddress": "PrivateIpAddress", "ipAddress": "PublicIpAddress",
        "stateReason/message": "StateReason.Message", "groupSet/item[groupId]":
            "SecurityGroups[GroupId]", "groupSet/item[groupName]": "SecurityGroups[GroupName]",
        "tagSet/item[key]": "Tags[Key]", "tagSet/item[value]": "Tags[Value]",
        "networkInterfaceSet/item[]": "NetworkInterfaces[]"}),
    "ec2-describe-security-groups": ("DescribeSecurityGroups", "SecurityGroups", {
        "groupId": "GroupId", "groupName": "GroupName", "groupDescription": "Description",
        "vpcId": "VpcId", "ownerId": "OwnerId", "ipPermissions/item[ipProtocol]":
            "IpPermissions[IpProtocol]", "ipPermissions/item[fromPort]":
            "IpPermissions[FromPort]", "ipPermissions/item/ipRanges/item[cidrIp]":
            "IpPermissions.IpRanges[CidrIp]", "ipPermissionsEgress/item[ipProtocol]":
            "IpPermissionsEgress[IpProtocol]", "ipPermissions/item/groups/item[groupId]":
            "IpPermissions.UserIdGroupPairs[GroupId]"}),
    "ec2-describe-subnets": ("DescribeSubnets", "Subnets", {
        "subnetId": "SubnetId", "state": "State", "vpcId": "VpcId", "cidrBlock": "CidrBlock",
        "availableIpAddressCount": "AvailableIpAddressCount",
        "availabilityZone": "AvailabilityZone", "defaultForAz": "DefaultForAz",
        "mapPublicIpOnLaunch": "MapPublicIpOnLaunch"}),
    "ec2-describe-vpcs": ("DescribeVpcs", "Vpcs", {
        "vpcId": "VpcId", "state": "State", "cidrBlock": "CidrBlock",
        "dhcpOptionsId": "DhcpOptionsId", "instanceTenancy": "InstanceTenancy",
        "isDefault": "IsDefault"}),
    "ec2-describe-network-interfaces": ("DescribeNetworkInterfaces", "NetworkInterfaces", {
        "networkInterfaceId": "NetworkInterfaceId", "subnetId": "SubnetId", "vpcId": "VpcId",
        "availabilityZone": "AvailabilityZone", "description": "Description",
        "requesterId": "RequesterId", "status": "Status", "privateIpAddress": "PrivateIpAddress",
        "attachment/instanceId": "Attachment.InstanceId", "groupSet/item[groupId]":
            "Groups[GroupId]", "privateIpAddressesSet/item[privateIpAddress]":
            "PrivateIpAddresses[PrivateIpAddress]", "tagSet/item[key]": "Tags[Key]"}),
    "ec2-describe-regions": ("DescribeRegions", "Regions", {
        "regionName": "RegionName", "regionEndpoint": "Endpoint"}),
}


def below(value, path):
    """All values at a path of names with dots; lists are gone through."""
    found = [value]
    for name in filter(None, path.split(".")):
        found = [v[name] for v in found if isinstance(v, dict) and name in v]
        found = [x for v in found for x in (v if isinstance(v, list) else [v])]
    return found


def as_text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@test
def samples_parse():
    """The EC2 samples have the values that botocore's tests expect."""
    for name, (operation, path, fields) in SAMPLES.items():
        text = sample(name + ".xml")
        wanted = json.loads(sample(name + ".json"))
        items = below(wanted, path)
        got = lines(call("parse", operation, *fields, data=text))
        end = got.pop()
        equal(end["failed"], False, f"{name}: failed")
        equal(len(got), len(items), f"{name}: items")
        assert items, f"{name} has no items"
        for ours, theirs in zip(got, items):
            for field, member in fields.items():
                value = [as_text(v) for v in below(theirs, member.replace("[", ".").strip("].]"))
                         if v is not None]
                if member.endswith("[]"):
                    equal(len(ours[field]), len(value), f"{name}: number of {field}")
                elif "[" in member:
                    equal([v for v in ours[field] if v], [v for v in value if v],
                          f"{name}: {field}")
                else:
                    equal(ours[field] or "", "".join(value), f"{name}: {field}")


@test
def answers_of_another_call():
    """What is malformed, cut off or of another call is told from a short list."""
    text = sample("ec2-describe-subnets.xml")
    for data, operation in ((text, "DescribeVpcs"), (text[:len(text) // 2], "DescribeSubnets"),
                            (b"<html><body>busy</body></html>", "DescribeSubnets"),
                            (b"", "DescribeSubnets"), (b"{}", "DescribeSubnets")):
        equal(lines(call("parse", operation, "subnetId", data=data))[-1]["failed"], True,
              f"{operation} of {data[:20]!r}: failed")


# --- whole calls ----------------------------------------------------------------------------------


class World:
    def __init__(self):
        self.sim = Simulator(sshd=False)

    def __enter__(self):
        self.sim.start()
        self.home = tempfile.mkdtemp()
        return self

    def __exit__(self, *_):
        self.sim.stop()
        os.rmdir(self.home)

    def run(self, *words, **more):
        """(items, the calls' lines)"""
        env = {"PATH": os.environ["PATH"], "HOME": self.home}
        env.update((k, v) for k, v in self.sim.env(more.pop("credential", "admin")).items()
                   if k.startswith("AWS_"))
        # no proxy and no rule: the names of AWS lead to the simulator by URL
        for name in ("EC2", "EC2_INSTANCE_CONNECT", "STS"):
            env[f"AWS_ENDPOINT_URL_{name}"] = f"https://localhost:{self.sim.port}"
        env.update(more)
        got = lines(call("run", *words, env=env))
        return ([line for line in got if "done" not in line],
                [line for line in got if "done" in line])

    def one(self, *words, **more):
        items, ends = self.run(*words, **more)
        equal(len(ends), 1, "calls")
        return items, ends[0]

    def requests(self, **fields):
        return self.sim.journal.select(0, kind="request", **fields)

    def fault(self, kind, times=0, **more):
        self.sim.ctl("fault", kind=kind, times=times, **more)


def with_world(body):
    def run():
        with World() as world:
            body(world)
            broken = world.sim.journal.violations()
            equal(broken, [], "rules broken")
    run.__name__ = body.__name__
    TESTS.append(run)
    return run


@with_world
def call_lists(w):
    """Items with their fields, on one connection."""
    items, end = w.one("DescribeSecurityGroups", f"Filter=vpc-id {VPC}", "--", "groupId",
                       "ipPermissions/item[fromPort]")
    groups = w.sim.world.data["groups"]
    equal(sorted(i["groupId"] for i in items),
          sorted(k for k, g in groups.items() if g["vpc"] == VPC), "groups")
    equal((end["error"], end["items"], end["attempts"]), ("", len(items), 1), "the call")
    items, _ = w.one("GetCallerIdentity", "--", "Account", "nothing")
    equal(items, [{"Account": "123456789012", "nothing": None}], "identity")
    items, end = w.one("SendSSHPublicKey", "InstanceId=i-0123456789abcdef0",
                       "InstanceOSUser=ec2-user", "SSHPublicKey=ssh-ed25519 " + "A" * 68, "--",
                       "Success", "RequestId")
    if end["error"] == "":
        equal(items[0]["Success"], "true", "pushed")


@with_world
def call_pages(w):
    """All pages; an item that says "enough" ends them; a token that repeats is an error."""
    wanted = len(w.sim.world.data["instances"])
    items, end = w.one("DescribeInstances", "MaxResults=5", "--", "instanceId")
    equal(len({i["instanceId"] for i in items}), wanted, "instances")
    equal(end["attempts"], -(-wanted // 5), "pages")
    items, end = w.one("-i", "3", "DescribeInstances", "MaxResults=5", "--", "instanceId")
    equal((len(items), end["attempts"], end["error"]), (3, 1, ""), "enough")
    w.fault("empty-page", times=1)
    items, _ = w.one("DescribeInstances", "MaxResults=5", "--", "instanceId")
    equal(len(items), wanted, "instances behind an empty page")
    items, end = w.one("DescribeInstances", "--", "instanceId")
    equal((len(items), end["attempts"]), (wanted, 1), "one large page")
    asked = w.requests(action="DescribeInstances")[-1]
    equal(asked["params"].get("MaxResults"), "1000", "MaxResults")
    w.fault("repeat-token")
    _, end = w.one("DescribeInstances", "MaxResults=5", "--", "instanceId")
    equal(end["error"], "AWS", "a token that repeats")


@with_world
def call_side_by_side(w):
    """Several at once share connections; one that fails does not disturb the others."""
    w.fault("latency", ms=150)
    _, ends = w.run("-n", "12", "DescribeVpcs")
    equal([e["error"] for e in ends], [""] * 12, "errors")
    equal({e["items"] > 0 for e in ends}, {True}, "items")
    w.sim.ctl("clear")
    w.fault("http-error", times=1, status=400, code="InvalidParameterValue", message="no")
    _, ends = w.run("-n", "4", "DescribeVpcs")
    equal(sorted(e["error"] for e in ends), ["", "", "", "AWS"], "one of four")


@with_world
def call_throttled(w):
    """Tried again, at most AWS_MAX_ATTEMPTS times; the first error is the one that is told."""
    w.fault("http-error", times=2)
    _, end = w.one("DescribeVpcs")
    equal((end["error"], end["attempts"]), ("", 3), "throttled twice")
    w.fault("http-error", times=1)
    w.fault("drop", skip=1)
    _, end = w.one("DescribeVpcs")
    equal((end["error"], end["aws_code"]), ("AWS_THROTTLED", "RequestLimitExceeded"),
          "throttled, then cut off")
    w.sim.ctl("clear")
    w.fault("http-error")
    _, end = w.one("DescribeVpcs", AWS_MAX_ATTEMPTS="1")
    equal((end["error"], end["attempts"]), ("AWS_THROTTLED", 1), "one attempt")
    assert "wait" in end["remedy"] or end["remedy"] == "", end


@with_world
def call_late(w):
    """An answer that does not come is waited for twice; a limit on all of it ends that."""
    w.fault("hang", times=1)
    _, end = w.one("DescribeVpcs")
    equal((end["error"], end["attempts"]), ("", 2), "one answer lost")
    w.fault("hang")
    began = time.monotonic()
    _, end = w.one("-t", "700", "DescribeVpcs")
    equal(end["error"], "HTTP_TIMEOUT", "a limit")
    assert time.monotonic() - began < 10, "the limit does not hold"
    assert "DescribeVpcs" in end["text"], end


@with_world
def call_budget(w):
    """One bucket of 500 tokens, 5 a retry, for all calls of a connection."""
    w.fault("http-error", status=500, code="InternalError", message="x")
    _, ends = w.run("-n", "36", "DescribeVpcs", AWS_MAX_ATTEMPTS="4")
    sent = sum(e["attempts"] for e in ends)
    equal(sent, 36 + 100, "requests of 36 calls with a budget of 100 retries")


@with_world
def call_skew(w):
    """A wrong clock is learnt of, once, and all that follows is signed with the right time."""
    w.sim.ctl("clock", offset=3000)
    _, end = w.one("DescribeVpcs")
    equal((end["error"], end["attempts"]), ("", 2), "a clock that is behind")


@with_world
def call_token(w):
    """An endpoint is made once, however often the call is sent; its token is kept."""
    w.sim.world.data["endpoints"] = []
    w.fault("truncate", times=1, action="CreateInstanceConnectEndpoint", bytes=20)
    items, end = w.one("CreateInstanceConnectEndpoint", f"SubnetId={SUBNET}", "--",
                       "instanceConnectEndpointId", "state", "vpcId")
    equal((end["error"], end["attempts"]), ("", 2), "made at the second attempt")
    made = w.sim.world.data["endpoints"]
    equal([e["id"] for e in made], [items[0]["instanceConnectEndpointId"]], "endpoints")
    asked = [r["params"]["ClientToken"]
             for r in w.requests(action="CreateInstanceConnectEndpoint")]
    equal(asked, [end["client_token"]] * 2, "tokens")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
                        asked[0]), asked
    _, end = w.one("CreateInstanceConnectEndpoint", f"SubnetId={SUBNET}", "ClientToken=mine")
    assert end["aws_code"].endswith("LimitExceeded") and "quota" in end["remedy"], end
    equal(end["client_token"], "", "a token of one's own")


@with_world
def call_dry_run(w):
    """Allowed, not allowed with the reason to decode, or wrong."""
    before = len(w.sim.world.data["endpoints"])
    _, end = w.one("-d", "CreateInstanceConnectEndpoint", f"SubnetId={SUBNET}")
    equal((end["nothing"], end["error"]), (True, ""), "allowed")
    equal(len(w.sim.world.data["endpoints"]), before, "endpoints")
    _, end = w.one("-d", "CreateInstanceConnectEndpoint", f"SubnetId={SUBNET}",
                   credential="denied")
    equal((end["nothing"], end["error"]), (False, "AWS_DENIED"), "denied")
    assert "ec2:CreateInstanceConnectEndpoint" in end["remedy"], end
    assert len(end["encoded"]) > 20 and "<" not in end["encoded"], end


@with_world
def call_rules(w):
    """A rule that is there already is no error."""
    rule = [f"GroupId={GROUP}", "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=22",
            "IpPermissions.1.ToPort=22", "IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24",
            "IpPermissions.1.IpRanges.1.Description=a test"]
    items, end = w.one("AuthorizeSecurityGroupIngress", *rule, "--", "cidrIpv4", "description")
    equal(items, [{"cidrIpv4": "192.0.2.0/24", "description": "a test"}], "the rule")
    equal((end["error"], end["nothing"]), ("", False), "added")
    _, end = w.one("AuthorizeSecurityGroupIngress", *rule)
    equal((end["error"], end["nothing"]), ("", True), "added again")


@with_world
def call_console(w):
    """64 KiB of base64 come whole."""
    box = w.sim.world.instance("web-1")
    box["console"] = "x" * 65000 + "\r\nend\r\n"
    items, end = w.one("GetConsoleOutput", f"InstanceId={box['id']}", "--", "output")
    equal(end["error"], "", "the call")
    equal(base64.b64decode(items[0]["output"]).decode(), box["console"], "console")


@with_world
def call_errors(w):
    """Code, request id and a remedy for what users meet."""
    rows = [("ExpiredToken", 400, "CREDENTIALS_EXPIRED", "new temporary credentials"),
            ("OptInRequired", 401, "AWS_AUTH", "enable"),
            ("InvalidVpcID.NotFound", 400, "AWS", "region"),
            ("InvalidSubnetID.NotFound", 400, "AWS", "region"),
            ("InvalidGroup.NotFound", 400, "AWS", "region"),
            ("RulesPerSecurityGroupLimitExceeded", 400, "AWS", "quota"),
            ("IdempotentParameterMismatch", 400, "AWS", "token"),
            ("SerialConsoleAccessDisabledException", 400, "AWS", "enable-serial"),
            ("MissingParameter", 400, "AWS", "")]
    for code, status, error, remedy in rows:
        w.fault("http-error", times=1, status=status, code=code, message=f"about {code}")
        _, end = w.one("DescribeVpcs")
        equal((end["error"], end["aws_code"]), (error, code), code)
        assert re.search(remedy, end["remedy"]), f"{code}: {end['remedy']}"
        assert code in end["text"] and end["request_id"], end


@with_world
def call_cancelled(w):
    """Cancelled ones, and those that end with the connection, are told so."""
    _, ends = w.run("-c", "-n", "4", "DescribeVpcs")
    equal([e["error"] for e in ends], ["CANCELLED"] * 4, "errors")
    _, end = w.one("DescribeVpcs", AWS_ACCESS_KEY_ID="")
    assert end["error"] in ("NO_CREDENTIALS", "CREDENTIALS"), end
    equal(w.requests(action="DescribeVpcs"), [], "requests")


@with_world
def call_elsewhere(w):
    """A region of its own is signed for, and named in the host."""
    _, end = w.one("-r", "eu-north-1", "DescribeVpcs")
    equal(end["aws_code"], "SignatureDoesNotMatch", "a region the simulator is not")
    _, end = w.one("-r", "bad region", "DescribeVpcs", AWS_ENDPOINT_URL_EC2="")
    assert end["error"] == "CONFIG" and "bad region" in end["text"], end


def main():
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv[1])
    failed = 0
    for body in TESTS:
        if sys.argv[2:] and not any(word in body.__name__ for word in sys.argv[2:]):
            continue
        try:
            body()
            print(f"PASS {body.__name__}", flush=True)
        except Skip as e:
            print(f"SKIP {body.__name__}: {e}", flush=True)
        except Exception as e:
            failed += 1
            print(f"FAIL {body.__name__}: {' '.join(f'{type(e).__name__}: {e}'.split())}",
                  flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
