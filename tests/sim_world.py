#!/usr/bin/python3
"""Proves the simulator's world: networks that decide, endpoints that take time, consoles.

    /usr/bin/python3 tests/sim_world.py [name …]
"""

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import urllib.parse

import sim_selftest as base
from sim_selftest import (between, check, client, ed25519_line, equal, error_code, eventually,
                          open_tunnel, raw_call, tunnel_url)

from sim import Simulator  # its path was set by sim_selftest

TESTS = []
EC2_HOST = "ec2.eu-west-1.amazonaws.com"
POINT = "eice-0a1b2c3d4e5f60718"
MAIN = {"vpc": "vpc-0ddd3333eee4444ff", "subnet": "subnet-0aaa1111bbb2222cc",
        "other": "subnet-0aaa1111bbb2222dd", "app": "sg-0f00ba4f00ba4f00b",
        "end": "sg-0e1ce0e1ce0e1ce00"}
FAR = "vpc-0ddd3333eee4444aa"


def test(function):
    TESTS.append(function)
    return function


def fresh():
    """The simulator as it was when it began."""
    if base.Rig.made is None:
        base.Rig.made = Simulator(sshd=True).start()
        base.Rig.snapshot = base.Rig.made.world.snapshot()
    sim = base.Rig.made
    sim.ctl("clear")
    sim.world.restore(base.Rig.snapshot)
    return sim


def form_call(sim, action, **parameters):
    """The body of an EC2 call that this botocore may not know."""
    form = {"Action": action, "Version": "2016-11-15",
            **{k.replace("__", "."): v for k, v in parameters.items()}}
    return raw_call(sim, EC2_HOST, urllib.parse.urlencode(form))[1].decode()


# --- reachability -----------------------------------------------------------------------------

def tcp(source, low=22, high=22):
    return {"protocol": "tcp", "from": low, "to": high, "source": source}


def acl(**changed):
    return {"number": 90, "egress": False, "action": "deny", "protocol": "tcp",
            "cidr": "0.0.0.0/0", "from": 22, "to": 22, **changed}


# name: (changes of the tables, of the endpoint, of the instance, what keeps the tunnel from it)
PATHS = {
    "as it is": ({}, {}, {}, None),
    "no ingress": ({"groups": {MAIN["app"]: {"ingress": []}}}, {}, {}, "ingress"),
    "no egress": ({"groups": {MAIN["end"]: {"egress": []}}}, {}, {}, "egress"),
    "other port": ({"groups": {MAIN["app"]: {"ingress": [tcp(MAIN["end"], 80, 443)]}}}, {}, {},
                   "ingress"),
    "a range of ports": ({"groups": {MAIN["app"]: {"ingress": [tcp(MAIN["end"], 1, 1000)]}}},
                         {}, {}, None),
    "by VPC range": ({"groups": {MAIN["app"]: {"ingress": [tcp("10.20.0.0/16")]}}}, {}, {}, None),
    "by other range": ({"groups": {MAIN["app"]: {"ingress": [tcp("10.21.0.0/16")]}}}, {}, {},
                       "ingress"),
    "by prefix list": ({"groups": {MAIN["app"]: {"ingress": [tcp("pl-0123456789abcdef0")]}}},
                       {}, {}, None),
    "by empty prefix list": (
        {"groups": {MAIN["app"]: {"ingress": [tcp("pl-0123456789abcdef0")]}},
         "prefix_lists": {"pl-0123456789abcdef0": {"entries": ["192.0.2.0/24"]}}}, {}, {},
        "ingress"),
    "own group": ({"groups": {MAIN["app"]: {"ingress": [tcp(MAIN["app"])]}}}, {}, {}, "ingress"),
    "both in one group": ({"groups": {MAIN["app"]: {"ingress": [tcp(MAIN["app"])]}}},
                          {"groups": [MAIN["app"]]}, {}, None),
    "egress to the group": ({"groups": {MAIN["end"]: {"egress": [tcp(MAIN["app"])]}}}, {}, {},
                            None),
    "egress to an address": ({"groups": {MAIN["end"]: {"egress": [tcp("10.20.1.36/32")]}}}, {},
                             {}, None),
    "second group": ({"groups": {MAIN["app"]: {"ingress": []}}}, {},
                     {"groups": [MAIN["app"], "sg-0def00000000000dd"]}, "ingress"),
    "IPv6 only": ({}, {"address_type": "ipv6"}, {}, "family"),
    "IPv4 only": ({}, {"address_type": "ipv4"}, {}, None),
    "client's address, group rule": ({}, {"address_type": "ipv4", "preserve_ip": True}, {}, None),
    "client's address, VPC rule": (
        {"groups": {MAIN["app"]: {"ingress": [tcp("10.20.0.0/16")]}}},
        {"address_type": "ipv4", "preserve_ip": True}, {}, "ingress"),
    "client's address, its rule": (
        {"groups": {MAIN["app"]: {"ingress": [tcp("203.0.113.77/32")]}}},
        {"address_type": "ipv4", "preserve_ip": True}, {}, None),
    "its rule without its address": (
        {"groups": {MAIN["app"]: {"ingress": [tcp("203.0.113.77/32")]}}}, {}, {}, "ingress"),
    "client's address, old type": ({}, {"address_type": "ipv4", "preserve_ip": True},
                                   {"type": "m3.large"}, "preserve-client-ip"),
    "stopped": ({}, {}, {"state": "stopped"}, "stopped"),
    "ACL within a subnet": ({"acls": {"acl-0ddd3333eee4444ff": {"entries": [acl()]}}}, {}, {},
                            None),
    "ACL between subnets": ({"acls": {"acl-0ddd3333eee4444ff": {"entries": [acl()]}}}, {},
                            {"subnet": MAIN["other"]}, "acl"),
    "ACL without answers": (
        {"acls": {"acl-0aaa": {"vpc": MAIN["vpc"], "default": False, "tags": {},
                               "subnets": [MAIN["other"]],
                               "entries": [acl(action="allow"),
                                           acl(egress=True, action="allow")]}}}, {},
        {"subnet": MAIN["other"]}, "acl"),
    "ACL with answers": (
        {"acls": {"acl-0aaa": {"vpc": MAIN["vpc"], "default": False, "tags": {},
                               "subnets": [MAIN["other"]],
                               "entries": [acl(action="allow"),
                                           acl(egress=True, action="allow", **{
                                               "from": 1024, "to": 65535})]}}}, {},
        {"subnet": MAIN["other"]}, None),
    "longer route elsewhere": (
        {"route_tables": {"rtb-0ddd3333eee4444ff": {"routes": [
            {"destination": "10.20.1.0/24", "target": "eni-0", "state": "blackhole"}]}}}, {}, {},
        "no instance"),
    "another VPC": ({}, {}, {"vpc": FAR}, "no instance"),
    "peered, route there only": (
        {"peerings": {"pcx-1": [MAIN["vpc"], FAR]},
         "route_tables": {"rtb-0ddd3333eee4444ff": {"routes": [
             {"destination": "10.20.1.36/32", "target": "pcx-1", "state": "active"}]}}}, {},
        {"vpc": FAR, "subnet": "subnet-0aaa1111bbb2222aa"}, "route-back"),
    "peered": (
        {"peerings": {"pcx-1": [MAIN["vpc"], FAR]},
         "route_tables": {"rtb-0ddd3333eee4444ff": {"routes": [
             {"destination": "10.20.1.36/32", "target": "pcx-1", "state": "active"}]},
                          "rtb-0ddd3333eee4444aa": {"routes": [
             {"destination": "10.20.0.0/16", "target": "pcx-1", "state": "active"}]}}}, {},
        {"vpc": FAR, "subnet": "subnet-0aaa1111bbb2222aa"}, None),
}


async def first_bytes(sim):
    """What an echo tunnel gives back, or the code of its end."""
    async with open_tunnel(sim, tunnel_url(sim, "echo-box")) as ws:
        try:
            await ws.send(b"hello")
            return await ws.recv()
        except base.websockets.exceptions.ConnectionClosed as e:
            return e.rcvd.code


@test
def what_decides_reachability():
    for name, (tables, endpoint, instance, wanted) in PATHS.items():
        sim = fresh()
        sim.ctl("setting", name="dial_timeout_ms", value=50)
        for table, rows in tables.items():
            for id_, value in rows.items():
                sim.ctl("tables", name=table, id=id_, value=json.dumps(value)
                        if isinstance(value, dict) else value)
        sim.ctl("endpoint", id=POINT, **endpoint)
        sim.ctl("instance", id="echo-box", **instance)
        got = asyncio.run(first_bytes(sim))
        why = [e["why"] for e in sim.ctl("journal", kind="unreachable")]
        equal((got, why), (b"hello", []) if wanted is None else (1011, [wanted]), name)
    return f"{len(PATHS)} networks"


@test
def networks_through_botocore():
    sim = fresh()
    ec2 = client("ec2", sim)
    vpc = ec2.describe_vpcs(VpcIds=[MAIN["vpc"]])["Vpcs"][0]
    equal(vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"], "2001:db8:12:3400::/56", "IPv6")
    found = ec2.describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["10.20.1.250"]}])["NetworkInterfaces"]
    equal([(i["NetworkInterfaceId"], i["InterfaceType"]) for i in found],
          [("eni-" + POINT[5:], "ec2_instance_connect_endpoint")], "the endpoint's interface")
    equal(found[0]["Groups"][0]["GroupId"], MAIN["end"], "its group")
    pages = ec2.get_paginator("describe_network_interfaces").paginate(
        PaginationConfig={"PageSize": 7})
    check(len([i for p in pages for i in p["NetworkInterfaces"]]) > 20, "interfaces by pages")
    acls = ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [MAIN["subnet"]]}])["NetworkAcls"]
    equal(sorted(e["RuleNumber"] for e in acls[0]["Entries"] if not e["Egress"]),
          [100, 100, 32767, 32768], "entries of the default ACL")
    tables = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [MAIN["vpc"]]}])["RouteTables"]
    equal([r.get("GatewayId") for r in tables[0]["Routes"]], ["local", "local"], "routes")
    equal(tables[0]["Associations"][0]["Main"], True, "main table")
    entries = ec2.get_managed_prefix_list_entries(PrefixListId="pl-0123456789abcdef0")["Entries"]
    equal(entries, [{"Cidr": "10.20.0.0/16"}], "prefix list")
    images = ec2.describe_images(Owners=["amazon"], Filters=[
        {"Name": "name", "Values": ["al2023-ami-*"]}])["Images"]
    equal([(i["ImageId"], i["OwnerId"]) for i in images],
          [("ami-0aa11bb22cc33dd44", "137112412989")], "images")
    equal(error_code(ec2.describe_images, ImageIds=["ami-0aa11bb22cc33ddff"]),
          "InvalidAMIID.NotFound", "unknown image")
    regions = ec2.describe_regions(AllRegions=True)["Regions"]
    equal([r["OptInStatus"] for r in regions],
          ["opt-in-not-required", "opt-in-not-required", "not-opted-in"], "Regions")


def far_call(sim, service, region="us-east-1", credential="admin"):
    """A botocore client of another Region."""
    entry = sim.world.credential(credential)
    return base.Rig.session.create_client(
        service, region_name=region, verify=sim.ca_file,
        endpoint_url=f"https://localhost:{sim.port}", aws_access_key_id=entry["access_key"],
        aws_secret_access_key=entry["secret"])


@test
def another_region():
    """The same account and keys, other things in it."""
    sim = fresh()
    client("ec2", sim)  # makes the session
    ec2 = far_call(sim, "ec2")
    equal(base.names_of([ec2.describe_instances()]), ["far-1", "far-2", "far-3"], "instances")
    item = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    equal(item["Placement"]["AvailabilityZone"], "us-east-1a", "zone")
    check(not {i["id"] for i in sim.world.data["instances"]} & {item["InstanceId"]}, "ids")
    group = ec2.describe_security_groups(GroupIds=[item["SecurityGroups"][0]["GroupId"]])
    equal(group["SecurityGroups"][0]["VpcId"], item["VpcId"], "group")
    equal(error_code(ec2.describe_instances, InstanceIds=[WEB]), "InvalidInstanceID.NotFound",
          "an instance of the main Region")
    point = sim.world.others["us-east-1"].data["endpoints"][0]
    line, _ = ed25519_line()
    push = far_call(sim, "ec2-instance-connect").send_ssh_public_key
    equal(error_code(push, InstanceId=item["InstanceId"], InstanceOSUser="ec2-user",
                     SSHPublicKey=line), None, "push")
    status, body = raw_call(sim, "ec2.us-east-1.amazonaws.com",
                            "Action=DescribeVpcs&Version=2016-11-15")
    check(status == 403 and b"SignatureDoesNotMatch" in body, "signed for the main Region")
    host = sim.world.others["us-east-1"].endpoint_host(point)
    with base.connect(sim, host):
        pass  # its name is in the certificate


@test
def groups_rules_and_tags():
    sim = fresh()
    ec2 = client("ec2", sim)
    tags = [{"Key": "made-by", "Value": "test"}]
    made = ec2.create_security_group(GroupName="new", Description="for a test", VpcId=MAIN["vpc"],
                                     TagSpecifications=[{"ResourceType": "security-group",
                                                         "Tags": tags}])["GroupId"]
    equal(error_code(ec2.create_security_group, GroupName="new", Description="x",
                     VpcId=MAIN["vpc"]), "InvalidGroup.Duplicate", "the name again")
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "PrefixListIds": [
        {"PrefixListId": "pl-0123456789abcdef0", "Description": "office"}]}
    given = {"GroupId": made, "IpPermissions": [rule]}
    added = ec2.authorize_security_group_ingress(**given, TagSpecifications=[
        {"ResourceType": "security-group-rule", "Tags": tags}])["SecurityGroupRules"][0]
    equal((added["PrefixListId"], added["IsEgress"]), ("pl-0123456789abcdef0", False), "rule")
    tagged = ec2.describe_security_group_rules(
        Filters=[{"Name": "tag:made-by", "Values": ["test"]}])["SecurityGroupRules"]
    equal([r["SecurityGroupRuleId"] for r in tagged], [added["SecurityGroupRuleId"]], "by tag")
    equal(error_code(ec2.revoke_security_group_egress, **given), "InvalidPermission.NotFound",
          "revoke where there is none")
    ec2.revoke_security_group_ingress(GroupId=made, SecurityGroupRuleIds=[
        added["SecurityGroupRuleId"]])
    ec2.authorize_security_group_egress(**given)
    ec2.revoke_security_group_egress(**given)
    shown = ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"][0]
    equal((shown["IpPermissions"], len(shown["IpPermissionsEgress"])), ([], 2), "left")
    equal(error_code(ec2.delete_security_group, GroupId=MAIN["app"]), "DependencyViolation", "used")
    ec2.delete_security_group(GroupId=made)
    equal(error_code(ec2.describe_security_groups, GroupIds=[made]), "InvalidGroup.NotFound",
          "gone")
    sim.ctl("setting", name="rules_per_group", value=2)
    many = [{**rule, "PrefixListIds": [], "IpRanges": [{"CidrIp": f"192.0.2.{n}/32"}]}
            for n in range(3)]
    equal(error_code(ec2.authorize_security_group_ingress, GroupId=MAIN["end"],
                     IpPermissions=many), "RulesPerSecurityGroupLimitExceeded", "too many")
    ec2.create_tags(Resources=["i-0123456789abcdef0", MAIN["subnet"]], Tags=[
        {"Key": "Name", "Value": "renamed"}, {"Key": "a", "Value": "b"}])
    item = ec2.describe_instances(Filters=[{"Name": "tag:a", "Values": ["b"]}])
    equal(sim.world.instance("renamed")["id"], "i-0123456789abcdef0", "name")
    equal(len(item["Reservations"]), 1, "instances with the tag")
    ec2.delete_tags(Resources=["i-0123456789abcdef0"], Tags=[{"Key": "a"}])
    equal(ec2.describe_instances(Filters=[{"Name": "tag:a", "Values": ["b"]}])["Reservations"], [],
          "instances with the tag after it was deleted")
    equal(error_code(ec2.create_tags, Resources=["eice-0fff0fff0fff0fff0"], Tags=tags), "InvalidID",
          "no such thing")


# --- endpoints --------------------------------------------------------------------------------

def state_of(sim, point):
    body = form_call(sim, "DescribeInstanceConnectEndpoints", InstanceConnectEndpointId__1=point)
    return between(body, "<state>") if "<state>" in body else between(body, "<Code>")


def create(sim, **more):
    return form_call(sim, "CreateInstanceConnectEndpoint",
                     SubnetId=more.pop("subnet", "subnet-0aaa1111bbb2222aa"), **more)


def outcome(sim, body):
    """The id of what was made, when it is no longer in progress."""
    point = between(body, "<instanceConnectEndpointId>")
    eventually(lambda: state_of(sim, point).endswith("-in-progress"), False, "in progress")
    return point


@test
def life_of_an_endpoint():
    sim = fresh()
    sim.ctl("setting", name="endpoint_change_ms", value=150)
    sim.ctl("setting", name="endpoint_gone_ms", value=300)
    point = outcome(sim, create(sim))
    equal(state_of(sim, point), "create-complete", "made")
    equal(sim.world.endpoint(point)["groups"], ["sg-0def00000000000aa"], "the default group")
    sim.ctl("setting", name="endpoint_update_ms", value=400)
    form_call(sim, "ModifyInstanceConnectEndpoint", InstanceConnectEndpointId=point,
              SecurityGroupId__1="sg-0f00ba4f00ba4f0aa", PreserveClientIp="true")
    equal(state_of(sim, point), "update-in-progress", "being changed")
    equal(sim.world.endpoint(point)["preserve_ip"], False, "old settings meanwhile")
    equal(between(form_call(sim, "ModifyInstanceConnectEndpoint",
                            InstanceConnectEndpointId=point), "<Code>"), "IncorrectState", "busy")
    eventually(lambda: state_of(sim, point), "update-complete", "changed")
    entry = sim.world.endpoint(point)
    equal((entry["groups"], entry["preserve_ip"]), (["sg-0f00ba4f00ba4f0aa"], True), "new settings")
    sim.ctl("fault", kind="endpoint-fails", message="No.", times=1)
    form_call(sim, "ModifyInstanceConnectEndpoint", InstanceConnectEndpointId=point,
              PreserveClientIp="false")
    eventually(lambda: state_of(sim, point), "update-failed", "failed")
    equal(sim.world.endpoint(point)["preserve_ip"], True, "old settings afterwards")
    form_call(sim, "DeleteInstanceConnectEndpoint", InstanceConnectEndpointId=point)
    equal(state_of(sim, point), "delete-in-progress", "being deleted")
    check("LimitExceeded" in create(sim), "another one while the first is not gone")
    eventually(lambda: state_of(sim, point) in (
        "delete-complete", "InvalidInstanceConnectEndpointId.NotFound"), True, "deleted")
    eventually(lambda: state_of(sim, point), "InvalidInstanceConnectEndpointId.NotFound", "gone")


@test
def endpoints_that_fail():
    sim = fresh()
    sim.ctl("setting", name="endpoint_change_ms", value=50)
    sim.ctl("tables", name="subnets", id="subnet-0aaa1111bbb2222aa", value='{"free": 0}')
    point = outcome(sim, create(sim))
    equal(state_of(sim, point), "create-failed", "no address left")
    check("no available addresses" in form_call(
        sim, "DescribeInstanceConnectEndpoints", InstanceConnectEndpointId__1=point), "message")
    form_call(sim, "DeleteInstanceConnectEndpoint", InstanceConnectEndpointId=point)
    eventually(lambda: state_of(sim, point), "InvalidInstanceConnectEndpointId.NotFound", "gone")
    sim.ctl("setting", name="endpoint_hidden_ms", value=400)
    sim.ctl("tables", name="subnets", id="subnet-0aaa1111bbb2222aa", value='{"free": 9}')
    point = between(create(sim), "<instanceConnectEndpointId>")
    equal(state_of(sim, point), "InvalidInstanceConnectEndpointId.NotFound", "not yet seen")
    eventually(lambda: state_of(sim, point), "create-complete", "seen")
    sim.ctl("fault", kind="endpoint-fails", times=1)
    form_call(sim, "DeleteInstanceConnectEndpoint", InstanceConnectEndpointId=point)
    eventually(lambda: state_of(sim, point), "delete-failed", "deletion failed")


@test
def what_may_not_be_made():
    sim = fresh()
    for wanted, given in (
            ("InvalidSubnetID.NotFound", {"subnet": "subnet-0aaa1111bbb2222ff"}),
            ("InvalidSubnetID.Malformed", {"subnet": "net-1"}),
            ("InvalidGroup.NotFound", {"SecurityGroupId__1": MAIN["app"]}),
            ("InvalidParameterValue", {"IpAddressType": "dualstack"}),
            ("InvalidParameterValue", {"IpAddressType": "ipv5"}),
            ("InvalidParameterCombination", {"subnet": MAIN["subnet"], "PreserveClientIp": "true",
                                             "IpAddressType": "dualstack"}),
            ("InstanceConnectEndpointLimitExceeded", {"subnet": MAIN["subnet"]}),
            ("UnknownParameter", {"Colour": "red"}), ("DryRunOperation", {"DryRun": "true"})):
        equal(between(create(sim, **given), "<Code>"), wanted, str(given))
    first = between(create(sim, ClientToken="t", PreserveClientIp="true"),
                    "<instanceConnectEndpointId>")
    equal(sim.world.endpoint(first)["preserve_ip"], True, "client-IP preservation")
    equal(between(create(sim, ClientToken="t", PreserveClientIp="true"),
                  "<instanceConnectEndpointId>"), first, "again with the token")
    equal(between(create(sim, ClientToken="t"), "<Code>"), "IdempotentParameterMismatch",
          "the token for something else")
    sim = fresh()
    sim.ctl("setting", name="endpoints_per_region", value=3)
    check("LimitExceeded" in create(sim), "more than the account may have")


# --- throttling and clocks ----------------------------------------------------------------------

@test
def instances_start():
    """From stopped over pending to running; not from a state on the way down."""
    sim = fresh()
    ec2 = client("ec2", sim)
    web = sim.world.instance("web-1")
    wanted = {"InstanceIds": [web["id"]]}
    for state in ("stopping", "terminated"):
        web["state"] = state
        equal(error_code(ec2.start_instances, **wanted), "IncorrectInstanceState", state)
    web["state"] = "stopped"
    change = ec2.start_instances(**wanted)["StartingInstances"][0]
    equal((change["PreviousState"]["Name"], change["CurrentState"]["Name"]),
          ("stopped", "pending"), "states")
    ec2.get_waiter("instance_running").wait(**wanted, WaiterConfig={"Delay": 0.1,
                                                                    "MaxAttempts": 50})
    equal(ec2.start_instances(**wanted)["StartingInstances"][0]["CurrentState"]["Name"],
          "running", "one that runs")
    ec2.modify_instance_metadata_options(InstanceId=web["id"], HttpEndpoint="disabled")
    check(not sim.world.accepts_keys(web["id"]), "keys arrive without metadata")
    sim.ctl("policy", credential="limited", document="deny")
    limited = client("ec2", sim, "limited")
    equal(error_code(limited.start_instances, **wanted), "UnauthorizedOperation", "denied")


@test
def acls_and_routes_change():
    """Entries are made, replaced and deleted by number and direction; the errors of each."""
    sim = fresh()
    ec2 = client("ec2", sim)
    acl = "acl-0ddd3333eee4444ff"
    place = {"NetworkAclId": acl, "RuleNumber": 7, "Egress": False}
    rule = {**place, "Protocol": "6", "RuleAction": "deny", "CidrBlock": "10.20.1.0/24",
            "PortRange": {"From": 22, "To": 22}}

    def entries():
        found = ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
        return [e["RuleAction"] for e in found if e["RuleNumber"] == 7]
    ec2.create_network_acl_entry(**rule)
    equal(entries(), ["deny"], "made")
    ec2.replace_network_acl_entry(**{**rule, "RuleAction": "allow"})
    equal(entries(), ["allow"], "replaced")
    for code, call, given in (
            ("NetworkAclEntryAlreadyExists", ec2.create_network_acl_entry, rule),
            ("InvalidNetworkAclEntry.NotFound", ec2.replace_network_acl_entry,
             {**rule, "Egress": True}),
            ("InvalidNetworkAclEntry.NotFound", ec2.delete_network_acl_entry,
             {**place, "RuleNumber": 8}),
            ("InvalidNetworkAclID.NotFound", ec2.create_network_acl_entry,
             {**rule, "NetworkAclId": "acl-00000000"}),
            ("InvalidParameterValue", ec2.create_network_acl_entry, {**rule, "RuleNumber": 32767}),
            ("InvalidParameterValue", ec2.create_network_acl_entry,
             {**rule, "RuleNumber": 8, "CidrBlock": "2001:db8::/32"}),
            ("InvalidRoute.NotFound", ec2.delete_route,
             {"RouteTableId": "rtb-0ddd3333eee4444ff", "DestinationCidrBlock": "10.20.0.0/16"}),
            ("InvalidRouteTableID.NotFound", ec2.delete_route,
             {"RouteTableId": "rtb-00000000", "DestinationCidrBlock": "10.20.0.0/16"})):
        equal(error_code(call, **given), code, f"{given}")
    ec2.delete_network_acl_entry(**place)
    equal(entries(), [], "deleted")
    sim.ctl("policy", credential="limited", document="deny")
    equal(error_code(client("ec2", sim, "limited").delete_network_acl_entry, **place),
          "UnauthorizedOperation", "denied")


@test
def buckets_of_each_service():
    sim = fresh()
    line, _ = ed25519_line()
    push = {"InstanceId": WEB, "InstanceOSUser": "a", "SSHPublicKey": line}
    for service, name, given, wanted in (
            ("ec2", "describe_vpcs", {}, "RequestLimitExceeded"),
            ("sts", "get_caller_identity", {}, "Throttling"),
            ("ec2-instance-connect", "send_ssh_public_key", push, "ThrottlingException")):
        call = getattr(client(service, sim), name)
        sim.ctl("fault", kind="bucket", service=service, size=2, per_second=4)
        equal([error_code(call, **given) for _ in range(3)], [None, None, wanted], service)
        time.sleep(0.4)
        equal(error_code(call, **given), None, service + " refilled")
        sim.ctl("clear")
    sim.ctl("fault", kind="bucket", service="tunnel", size=1, per_second=0)
    equal([base.refusal(sim, tunnel_url(sim, "web-1", maxTunnelDuration=n))[0]
           for n in (100, 101)], [101, 429], "tunnels")


@test
def clock_of_one_service():
    sim = fresh()
    sim.ctl("fault", kind="skew", service="sts", seconds=400)
    equal(error_code(client("sts", sim).get_caller_identity), "SignatureDoesNotMatch", "STS")
    equal(error_code(client("ec2", sim).describe_vpcs), None, "EC2")
    sim.ctl("clear")
    sim.ctl("fault", kind="skew", service="ec2", seconds=-1000)
    equal(error_code(client("ec2", sim).describe_vpcs), "RequestExpired", "EC2 far behind")


# --- consoles -----------------------------------------------------------------------------------

WEB = "i-0123456789abcdef0"
BEGIN = "BEGIN SSH HOST KEY KEYS"


def output(sim, id_=WEB, **more):
    return client("ec2", sim).get_console_output(InstanceId=id_, **more).get("Output", "")


def host_keys(sim, instance="web-1"):
    return sim.ctl("sshd", instance=instance)["host_keys"]


@test
def console_after_boots():
    sim = fresh()
    before = host_keys(sim)
    check(all(k in output(sim) for k in before), "keys at first boot")
    sim.ctl("boot", id="web-1", how="reboot")
    check(output(sim).count("Linux version") == 2 and BEGIN in output(sim), "rebooted")
    equal(host_keys(sim), before, "keys after a reboot")
    launched = sim.world.instance(WEB)["launched"]
    sim.ctl("boot", id="web-1", how="restart")
    check(BEGIN not in output(sim), "keys printed again")
    check(sim.world.instance(WEB)["launched"] != launched, "launch time")
    sim.ctl("setting", name="console_delay_ms", value=60000)
    sim.ctl("boot", id="web-1", how="reimage")
    check(not set(before) & set(host_keys(sim)), "a key stayed")
    equal(output(sim), "", "too early")
    check(all(k in output(sim, Latest=True) for k in host_keys(sim)), "latest output")
    sim.ctl("setting", name="console_delay_ms", value=0)
    check(all(k in output(sim) for k in host_keys(sim)), "new keys")
    sim.ctl("boot", id="web-1", how="chatter", size=70000)
    check(BEGIN not in output(sim) and len(output(sim)) == 65536, "pushed out")


@test
def console_of_an_attack():
    """The keys of the machine change, and nothing on its console says so."""
    sim = fresh()
    sim.ctl("sshd", instance="web-1", action="new-host-key")
    check(BEGIN in output(sim) and not any(k in output(sim) for k in host_keys(sim)), "console")


@test
def console_errors():
    sim = fresh()
    ec2 = client("ec2", sim)
    equal(error_code(ec2.get_console_output, InstanceId="i-0123456789abcdead"),
          "InvalidInstanceID.NotFound", "unknown")
    equal(output(sim, sim.world.instance("fresh")["id"]), "", "pending")
    sim.ctl("instance", id="web-1", type="t2.micro")
    equal(error_code(ec2.get_console_output, InstanceId=WEB, Latest=True), "UnsupportedOperation",
          "no Nitro")


@test
def replaced_instance():
    sim = fresh()
    old = host_keys(sim)
    made = sim.ctl("boot", id="web-1", how="replace")
    try:
        check(made["id"] != WEB and made["ip"] == "10.20.1.23", f"{made}")
        equal(sim.world.instance(WEB)["state"], "terminated", "the old one")
        check(not set(old) & set(host_keys(sim, made["id"])), "a key stayed")
        check(all(k in output(sim, made["id"]) for k in host_keys(sim, made["id"])), "console")
    finally:
        entry = dict(base.Rig.snapshot[0]["instances"][0])
        sim.sshds.replace(made["id"], entry)


@test
def keys_that_are_never_accepted():
    sim = fresh()
    login = base.Login(sim, "web-1", "ec2-user")
    for changed in ({"package": 0}, {"metadata": "disabled"}):
        sim.world.restore(base.Rig.snapshot)
        sim.ctl("instance", id="web-1", **changed)
        login.push()
        equal(login.ssh("ec2-user@web-1", "true").returncode, 255, str(changed))
    sim.world.restore(base.Rig.snapshot)
    login.push()
    equal(login.ssh("ec2-user@web-1", "true").returncode, 0, "as it is")


# --- the serial console ---------------------------------------------------------------------------

def push_serial(sim, line, id_=WEB):
    return error_code(client("ec2-instance-connect", sim).send_serial_console_ssh_public_key,
                      InstanceId=id_, SSHPublicKey=line, SerialPort=0)


class Line:
    """ssh on a terminal, with what it says."""

    def __init__(self, sim, folder, *arguments):
        told = sim.ctl("serial")
        known = os.path.join(folder, "known_hosts")
        with open(known, "w", encoding="ascii") as f:
            f.write(f"{told['hosts'][0]} {told['host_key']}\n")
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["ssh", "-tt", "-F", "none", "-p", str(told["port"]), "-i", folder + "/key",
             "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
             "-o", "HostKeyAlias=" + told["hosts"][0], "-o", "UserKnownHostsFile=" + known,
             WEB + ".port0@127.0.0.1", *arguments], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.seen = b""

    def expect(self, pattern, seconds=10):
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.master], [], [], 0.2)
            check(time.monotonic() < end, f"{pattern} does not come: {self.seen}")
            try:
                self.seen += os.read(self.master, 4096) if ready else b""
            except OSError:
                check(re.search(pattern, self.seen), f"{pattern} did not come: {self.seen}")
        self.seen = self.seen[match.end():]

    def type(self, data):
        os.write(self.master, data)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@test
def account_setting_of_serial_consoles():
    sim = fresh()
    ec2 = client("ec2", sim)
    line, _ = ed25519_line()
    equal(ec2.get_serial_console_access_status()["SerialConsoleAccessEnabled"], False, "at first")
    equal(push_serial(sim, line), "SerialConsoleAccessDisabledException", "push")
    ec2.enable_serial_console_access()
    equal(push_serial(sim, line), None, "push when it is on")
    for wanted, changed in (("EC2InstanceTypeInvalidException", {"type": "t2.micro"}),
                            ("EC2InstanceStateInvalidException", {"state": "stopped"}),
                            ("SerialConsoleSessionUnsupportedException",
                             {"serial": '{"unsupported": true}'})):
        sim.ctl("instance", id="web-1", **changed)
        equal(push_serial(sim, line), wanted, str(changed))
        sim.world.data["instances"][0].update(type="t4g.small", state="running", serial={})
    ec2.disable_serial_console_access()
    sim.world.data["serial_managed_by"] = "declarative-policy"
    equal(error_code(ec2.enable_serial_console_access), "UnauthorizedOperation", "locked")


@test
def session_on_the_serial_console():
    sim = fresh()
    sim.world.data["serial_console"] = True
    sim.ctl("instance", id="web-1", serial='{"password": "sesame"}')
    line, folder = ed25519_line()
    stranger = Line(sim, folder)
    stranger.expect(rb"Permission denied")
    stranger.close()
    equal(push_serial(sim, line), None, "push")
    session = Line(sim, folder)
    try:
        eventually(lambda: sim.ctl("serial")["busy"], [WEB], "session")
        time.sleep(0.2)
        equal(select.select([session.master], [], [], 0)[0], [], "it speaks before Enter")
        equal(push_serial(sim, line), "SerialConsoleSessionLimitExceededException", "busy")
        session.type(b"\r")
        session.expect(rb"login: $")
        session.type(b"ec2-user\r")
        session.expect(rb"Password: $")
        session.type(b"sesame\r")
        session.expect(rb"\]\$ $")
        session.type(b"whoami\r")
        session.expect(rb"ec2-user\r\n")
    finally:
        session.close()
    eventually(lambda: sim.ctl("serial")["busy"], [], "session ended")
    equal(push_serial(sim, line), "SerialConsoleSessionLimitExceededException", "too soon")
    sim.ctl("setting", name="serial_rest_ms", value=0)
    equal(push_serial(sim, line), None, "after the rest")
    command = Line(sim, folder, "uname")
    try:
        command.expect(rb"a terminal and a shell")
    finally:
        command.close()


if __name__ == "__main__":
    sys.exit(base.main(TESTS))
