#!/usr/bin/python3
"""Proves the simulator's IAM: policies as data, then through botocore's calls.

    /usr/bin/python3 tests/sim_iam.py [name …]
"""

import json
import sys
import urllib.parse

import sim_selftest as base
from sim_selftest import between, check, client, equal, error_code, raw_call, refusal, tunnel_url

from sim import Simulator, iam  # its path was set by sim_selftest

TESTS = []
EC2_HOST = "ec2.eu-west-1.amazonaws.com"
ACCOUNT = "123456789012"
POINT = "eice-0a1b2c3d4e5f60718"
WEB = "i-0123456789abcdef0"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


def test(function):
    TESTS.append(function)
    return function


def fresh():
    """The simulator as it was, with a policy that allows nothing for `limited`."""
    if base.Rig.made is None:
        base.Rig.made = Simulator().start()
    sim = base.Rig.made
    sim.ctl("clear")
    sim.ctl("policy", credential="limited", document="deny")
    return sim


def document(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(effect="Allow", action="ec2:*", resource="*", **condition):
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def give(sim, *statements):
    """Replaces the policy of `limited`."""
    sim.ctl("policy", credential="limited", document=json.dumps(document(*statements)))


def form_call(sim, action, **parameters):
    """(status, body) of an EC2 call that this botocore may not know."""
    form = {"Action": action, "Version": "2016-11-15",
            **{k.replace("__", "."): v for k, v in parameters.items()}}
    status, body = raw_call(sim, EC2_HOST, urllib.parse.urlencode(form), credential="limited")
    return status, body.decode()


# --- the evaluation ---------------------------------------------------------------------------

# (condition, does it hold for CONTEXT)
CONTEXT = {"ec2:osuser": "ec2-user", "remotePort": 22, "ip": "10.20.1.23", "six": "2001:db8::5",
           "aws:SecureTransport": True, "when": "2026-03-01T10:00:00Z", "keys": ["Name", "Env"],
           "arn": "arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1", "aws:username": "alice"}
CONDITIONS = [
    ({"StringEquals": {"ec2:osuser": "ec2-user"}}, True),
    ({"StringEquals": {"EC2:OSUser": "ec2-user"}}, True),
    ({"StringEquals": {"ec2:osuser": "EC2-USER"}}, False),
    ({"StringEquals": {"ec2:osuser": ["ubuntu", "ec2-user"]}}, True),
    ({"StringEquals": {"ec2:osuser": "${aws:username}"}}, False),
    ({"StringEquals": {"aws:username": "${aws:username}"}}, True),
    ({"StringEquals": {"nothing": "${nothing}"}}, False),
    ({"StringEqualsIgnoreCase": {"ec2:osuser": "EC2-USER"}}, True),
    ({"StringNotEquals": {"ec2:osuser": "root"}}, True),
    ({"StringNotEquals": {"ec2:osuser": ["root", "ec2-user"]}}, False),
    ({"StringNotEquals": {"nothing": "root"}}, True),
    ({"StringEquals": {"nothing": "root"}}, False),
    ({"StringEqualsIfExists": {"nothing": "root"}}, True),
    ({"StringEqualsIfExists": {"ec2:osuser": "root"}}, False),
    ({"StringLike": {"ec2:osuser": "ec2-*"}}, True),
    ({"StringLike": {"ec2:osuser": "ec2-use?"}}, True),
    ({"StringLike": {"ec2:osuser": "ec2-[a-z]ser"}}, False),
    ({"StringNotLike": {"ec2:osuser": "ec2-*"}}, False),
    ({"NumericEquals": {"remotePort": "22"}}, True),
    ({"NumericEquals": {"remotePort": 22}}, True),
    ({"NumericEquals": {"ec2:osuser": "22"}}, False),
    ({"NumericNotEquals": {"remotePort": "22"}}, False),
    ({"NumericLessThan": {"remotePort": "22"}}, False),
    ({"NumericLessThanEquals": {"remotePort": "22"}}, True),
    ({"NumericLessThanEquals": {"maxTunnelDuration": "3600"}}, False),
    ({"NumericLessThanEqualsIfExists": {"maxTunnelDuration": "3600"}}, True),
    ({"NumericGreaterThan": {"remotePort": "21.5"}}, True),
    ({"NumericGreaterThanEquals": {"remotePort": "23"}}, False),
    ({"IpAddress": {"ip": "10.20.0.0/16"}}, True),
    ({"IpAddress": {"ip": ["10.30.0.0/16", "10.20.1.23"]}}, True),
    ({"IpAddress": {"ip": "2001:db8::/32"}}, False),
    ({"IpAddress": {"six": "2001:db8::/32"}}, True),
    ({"NotIpAddress": {"ip": "10.20.0.0/16"}}, False),
    ({"NotIpAddress": {"ip": "192.0.2.0/24"}}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, True),
    ({"Bool": {"aws:SecureTransport": False}}, False),
    ({"Null": {"nothing": "true"}}, True),
    ({"Null": {"nothing": "false"}}, False),
    ({"Null": {"ip": "false"}}, True),
    ({"DateGreaterThan": {"when": "2026-01-01T00:00:00Z"}}, True),
    ({"DateLessThan": {"when": "2026-01-01T00:00:00Z"}}, False),
    ({"ArnEquals": {"arn": "arn:aws:ec2:*:*:vpc/vpc-?"}}, True),
    ({"ForAllValues:StringEquals": {"keys": ["Name", "Env", "Role"]}}, True),
    ({"ForAllValues:StringEquals": {"keys": ["Name"]}}, False),
    ({"ForAllValues:StringEquals": {"nothing": ["Name"]}}, True),
    ({"ForAnyValue:StringEquals": {"keys": ["Name"]}}, True),
    ({"ForAnyValue:StringEquals": {"nothing": ["Name"]}}, False),
    ({"StringEquals": {"ec2:osuser": "ec2-user"}, "Bool": {"aws:SecureTransport": "false"}},
     False),
    ({"StringEquals": {"ec2:osuser": "ec2-user", "aws:username": "bob"}}, False),
]


@test
def condition_operators():
    for condition, wanted in CONDITIONS:
        policy = document({**statement(), "Condition": condition})
        iam.check(policy)
        equal(iam.allowed(policy, "ec2:Do", "*", CONTEXT), wanted, str(condition))
    return f"{len(CONDITIONS)} conditions"


@test
def actions_and_resources():
    endpoint = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance-connect-endpoint/{POINT}"
    for wanted, changed in (
            (True, {"Action": "*"}), (True, {"Action": "ec2-instance-connect:*"}),
            (True, {"Action": ["ec2:x", "EC2-instance-connect:openTUNNEL"]}),
            (True, {"Action": "ec2-instance-connect:Open?unnel"}), (False, {"Action": "ec2:*"}),
            (False, {"Action": None, "NotAction": "ec2-instance-connect:*"}),
            (True, {"Action": None, "NotAction": "ec2:*"}),
            (True, {"Resource": endpoint}),
            (True, {"Resource": "arn:aws:ec2:*:*:instance-connect-endpoint/*"}),
            (True, {"Resource": f"arn:aws:ec2:*:{ACCOUNT}:*/eice-0a*"}),
            (False, {"Resource": "arn:aws:ec2:*:*:instance/*"}),
            (False, {"Resource": "arn:aws:ec2:us-east-1:*:*"}),
            (False, {"Resource": None, "NotResource": endpoint}),
            (True, {"Resource": None, "NotResource": "arn:aws:ec2:*:*:instance/*"})):
        given = {**statement(action="*"), **changed}
        policy = iam.check(document({k: v for k, v in given.items() if v is not None}))
        equal(iam.allowed(policy, "ec2-instance-connect:OpenTunnel", endpoint, {}), wanted,
              str(changed))


@test
def deny_wins_and_default_is_no():
    allow, deny = statement(action="ec2:*"), statement("Deny", "ec2:Delete*")
    policy = document(allow, deny)
    equal(iam.allowed(policy, "ec2:DescribeVpcs", "*", {}), True, "allowed")
    equal(iam.allowed(policy, "ec2:DeleteVpc", "*", {}), False, "denied")
    equal(iam.allowed(document(deny, allow), "ec2:DeleteVpc", "*", {}), False, "either order")
    equal(iam.decide([document(allow), document(deny)], "ec2:DeleteVpc", "*", {}).explicit, True,
          "a deny of another policy")
    equal(iam.decide([document(allow)], "sts:AssumeRole", "*", {}).explicit, False, "default")


@test
def malformed_policies():
    good = statement()
    for bad in ({**good, "Effect": "Maybe"}, {**good, "Action": "DescribeInstances"},
                {**good, "Resource": "i-1"}, {**good, "NotAction": "*"},
                {"Effect": "Allow", "Resource": "*"}, {**good, "Colour": "red"},
                {**good, "Condition": {"StringSounds": {"a": "b"}}},
                {**good, "Condition": {"ForSome:StringEquals": {"a": "b"}}},
                {**good, "Condition": {"StringEquals": {}}}):
        try:
            iam.check(document(bad))
        except iam.Malformed:
            continue
        raise AssertionError(f"taken: {bad}")
    sim = fresh()
    try:
        sim.ctl("policy", credential="limited", document='{"Statement":[{"Effect":"Allow"}]}')
        raise AssertionError("loaded a broken policy")
    except iam.Malformed:
        pass


# --- through the services -----------------------------------------------------------------------

def denial(call, **arguments):
    """(code, message, status) of a refused call."""
    try:
        call(**arguments)
    except base.botocore.exceptions.ClientError as e:
        status = e.response["ResponseMetadata"]["HTTPStatusCode"]
        return e.response["Error"]["Code"], e.response["Error"]["Message"], status
    raise AssertionError("allowed")


@test
def words_of_a_denial():
    sim = fresh()
    user = f"User: arn:aws:iam::{ACCOUNT}:user/limited is not authorized to perform: "
    code, text, status = denial(client("ec2", sim, "limited").describe_instances)
    equal((code, status), ("UnauthorizedOperation", 403), "EC2")
    check(text.startswith(f"You are not authorized to perform this operation. {user}"
                          "ec2:DescribeInstances because no identity-based policy allows the "
                          "ec2:DescribeInstances action. Encoded authorization failure message: "),
          text)
    push = client("ec2-instance-connect", sim, "limited").send_ssh_public_key
    given = {"InstanceId": WEB, "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY}
    code, text, status = denial(push, **given)
    equal((code, status), ("AccessDeniedException", 400), "Instance Connect")
    equal(text, f"{user}ec2-instance-connect:SendSSHPublicKey on resource: arn:aws:ec2:eu-west-1:"
          f"{ACCOUNT}:instance/{WEB} because no identity-based policy allows the "
          "ec2-instance-connect:SendSSHPublicKey action", "message")
    give(sim, statement(action="*"), statement("Deny", "ec2-instance-connect:*"))
    check("with an explicit deny in an identity-based policy" in denial(push, **given)[1],
          "explicit deny")
    give(sim, statement(action="*"))
    sim.ctl("policy", credential="limited", document=document(statement("Deny", "ec2:*")),
            kind="service control policy")
    check("because no service control policy allows the ec2-instance-connect:SendSSHPublicKey "
          "action" in denial(push, **given)[1], "a policy above that does not allow")
    sim.ctl("policy", credential="limited", kind="permissions boundary", document=document(
        statement(action="*"), statement("Deny", "ec2-instance-connect:Send*")))
    check(denial(push, **given)[1].endswith("with an explicit deny in a permissions boundary"),
          "a deny is named first")


@test
def the_encoded_message_opens():
    sim = fresh()
    sts = client("sts", sim, "limited")
    text = denial(client("ec2", sim, "limited").get_console_output, InstanceId=WEB)[1]
    blob = text.rpartition(" ")[2]
    equal(denial(sts.decode_authorization_message, EncodedMessage=blob)[0], "AccessDenied",
          "decoding needs a permission too")
    give(sim, statement(action="sts:DecodeAuthorizationMessage"))
    opened = json.loads(sts.decode_authorization_message(EncodedMessage=blob)["DecodedMessage"])
    equal((opened["allowed"], opened["explicitDeny"], opened["context"]["action"]),
          (False, False, "ec2:GetConsoleOutput"), "decoded")
    check(opened["context"]["resource"].endswith("instance/" + WEB), "resource")
    keys = {i["key"] for i in opened["context"]["conditions"]["items"]}
    check({"aws:ResourceTag/Env", "ec2:InstanceType", "aws:SourceIp"} <= keys, f"{keys}")
    equal(opened["matchedStatements"]["items"], [], "nothing denied it")
    give(sim, statement(action="*"), {"Sid": "NotHere", **statement(
        "Deny", "ec2:Get*", StringEquals={"aws:ResourceTag/Env": "prod"})})
    text = denial(client("ec2", sim, "limited").get_console_output, InstanceId=WEB)[1]
    opened = json.loads(sts.decode_authorization_message(
        EncodedMessage=text.rpartition(" ")[2])["DecodedMessage"])
    matched = opened["matchedStatements"]["items"][0]
    equal((opened["explicitDeny"], matched["statementId"], matched["conditions"]),
          (True, "NotHere", {"items": [{"key": "aws:ResourceTag/Env", "values": {
              "items": [{"value": "prod"}]}}]}), "what denied it")
    equal(denial(sts.decode_authorization_message, EncodedMessage=blob[:-4] + "AAAA")[0],
          "InvalidAuthorizationMessageException", "spoiled")


@test
def dry_run_tells_what_is_allowed():
    sim = fresh()
    ec2 = client("ec2", sim, "limited")
    equal(error_code(ec2.describe_vpcs, DryRun=True), "UnauthorizedOperation", "not allowed")
    give(sim, statement(action="ec2:DescribeVpcs"))
    equal(error_code(ec2.describe_vpcs, DryRun=True), "DryRunOperation", "allowed")
    equal(error_code(ec2.describe_vpcs), None, "done")


@test
def keys_of_a_tunnel():
    sim = fresh()
    point = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance-connect-endpoint/{POINT}"
    open_, prefix = "ec2-instance-connect:OpenTunnel", "ec2-instance-connect:"

    def got(name="web-1", **options):
        return refusal(sim, tunnel_url(sim, name, credential="limited", **options))[0]
    for wanted, condition, options in (
            (101, {}, {}),
            (101, {"NumericEquals": {prefix + "remotePort": "22"}}, {}),
            (403, {"NumericEquals": {prefix + "remotePort": "22"}}, {"port": 3389}),
            (101, {"IpAddress": {prefix + "privateIpAddress": "10.20.1.0/24"}}, {}),
            (403, {"IpAddress": {prefix + "privateIpAddress": "10.20.1.0/24"}},
             {"name": "db 1 (primary)"}),
            (403, {"NumericLessThanEquals": {prefix + "maxTunnelDuration": "900"}}, {}),
            (101, {"NumericLessThanEquals": {prefix + "maxTunnelDuration": "900"}},
             {"maxTunnelDuration": 900}),
            (403, {"NumericLessThanEquals": {prefix + "maxTunnelDuration": "900"}},
             {"maxTunnelDuration": 901}),
            (101, {"StringEquals": {"aws:ResourceTag/Name": "main"}}, {}),
            (403, {"StringEquals": {"ec2:ResourceTag/Name": "other"}}, {}),
            (101, {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {}),
            (403, {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}, {})):
        give(sim, statement(action=open_, resource=point, **condition))
        equal(got(**options), wanted, f"{condition} {options}")
    give(sim, statement(action=open_, resource=point.replace(POINT, "eice-0fff")))
    equal(got(), 403, "another endpoint")


@test
def keys_of_a_push():
    sim = fresh()
    push = client("ec2-instance-connect", sim, "limited").send_ssh_public_key
    action = "ec2-instance-connect:SendSSHPublicKey"

    def got(user="ec2-user", id_=WEB):
        return error_code(push, InstanceId=id_, InstanceOSUser=user, SSHPublicKey=KEY)
    give(sim, statement(action=action, StringEquals={"ec2:osuser": "ec2-user"}))
    equal((got(), got("root")), (None, "AccessDeniedException"), "osuser")
    give(sim, statement(action=action, StringEquals={"aws:ResourceTag/Env": "prod"}))
    equal((got(), got(id_="i-0123456789abcdef2")), (None, "AccessDeniedException"), "tag")
    give(sim, statement(action=action, resource=f"arn:aws:ec2:*:*:instance/{WEB}"))
    equal((got(), got(id_="i-0123456789abcdef2")), (None, "AccessDeniedException"), "instance")


@test
def making_an_endpoint_takes_four_permissions():
    sim = fresh()
    lonely = sim.world.instance("lonely")
    tags = {"TagSpecification__1__ResourceType": "instance-connect-endpoint",
            "TagSpecification__1__Tag__1__Key": "made-by",
            "TagSpecification__1__Tag__1__Value": "test"}
    needed = ["ec2:CreateInstanceConnectEndpoint", "ec2:CreateNetworkInterface", "ec2:CreateTags",
              "iam:CreateServiceLinkedRole"]
    sim.world.data["service_linked_role"] = False

    def dry(actions):
        give(sim, *(statement(action=a) for a in actions))
        return between(form_call(sim, "CreateInstanceConnectEndpoint", DryRun="true",
                                 SubnetId=lonely["subnet"], **tags)[1], "<Code>")
    equal(dry(needed), "DryRunOperation", "all four")
    for action in needed:
        equal(dry([a for a in needed if a != action]), "UnauthorizedOperation", "no " + action)
    sim.world.data["service_linked_role"] = True
    equal(dry(needed[:3]), "DryRunOperation", "the role is there")
    for wanted, condition in (
            ("DryRunOperation", {"StringEquals": {"aws:RequestTag/made-by": "test"}}),
            ("UnauthorizedOperation", {"StringEquals": {"aws:RequestTag/made-by": "me"}}),
            ("DryRunOperation", {"ForAllValues:StringEquals": {"aws:TagKeys": ["made-by"]}}),
            ("DryRunOperation", {"StringEquals": {
                "ec2:CreateAction": "CreateInstanceConnectEndpoint"}})):
        give(sim, *(statement(action=a) for a in needed[:2]),
             statement(action="ec2:CreateTags", **condition))
        equal(between(form_call(sim, "CreateInstanceConnectEndpoint", DryRun="true",
                                SubnetId=lonely["subnet"], **tags)[1], "<Code>"),
              wanted, str(condition))
    base_arn = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:"
    give(sim, statement(action=needed[:3], resource=[
        base_arn + "instance-connect-endpoint/*", base_arn + "network-interface/*",
        base_arn + "subnet/" + lonely["subnet"]]))
    equal(between(form_call(sim, "CreateInstanceConnectEndpoint", DryRun="true",
                            SubnetId=lonely["subnet"], **tags)[1], "<Code>"),
          "DryRunOperation", "exact resources")


if __name__ == "__main__":
    sys.exit(base.main(TESTS))
