"""EC2 actions that setting up an endpoint needs, and those about consoles and host keys.

They enter the table of ec2.py when this module is imported.
"""

import base64
import hashlib
import ipaddress
import re
import time
import uuid

from . import ec2
from .ec2 import (FILTERS, PAGING, action, all_tags, endpoint_item, page, pick, select, tag_set)
from .errors import ApiError
from .world import endpoint
from .xmlout import OMIT

TAGS = ("TagSpecification.N.ResourceType", "TagSpecification.N.Tag.N.Key",
        "TagSpecification.N.Tag.N.Value")
RULES = tuple("IpPermissions.N." + name for name in (
    "IpProtocol", "FromPort", "ToPort", "Groups.N.GroupId", "Groups.N.UserId",
    "Groups.N.Description", "IpRanges.N.CidrIp", "IpRanges.N.Description",
    "Ipv6Ranges.N.CidrIpv6", "Ipv6Ranges.N.Description"))
SOURCES = (("Groups", "GroupId"), ("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"))
DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}\Z")
SUBNET_ID = re.compile(r"subnet-[0-9a-f]{8,17}\Z")
VPC_ID = re.compile(r"vpc-[0-9a-f]{8,17}\Z")
GROUP_ID = re.compile(r"sg-[0-9a-f]{8,17}\Z")
TYPES = ("ipv4", "dualstack", "ipv6")
SERVICE = ec2


def with_ids(table):
    """The entries of a table {id: entry}, each with its id and tags in it."""
    return [{"tags": {}, "name": None, **entry, "id": id_} for id_, entry in table.items()]


# --- networks ---------------------------------------------------------------------------------

def block(entry, kind):
    """One association of an address range with a VPC or subnet."""
    return {"associationId": f"{kind}-cidr-assoc-{entry['id'][-8:]}"}


@action("DescribeVpcs", "VpcId.N", *FILTERS, *PAGING)
def describe_vpcs(call):
    entries = with_ids(call.world.data["vpcs"])
    ids = call.params.many("VpcId")
    if ids:
        entries = pick(entries, ids, VPC_ID, "InvalidVpcID", "vpc ID")
    entries = select(entries, call.params.filters(), {
        "vpc-id": lambda e: [e["id"]], "cidr": lambda e: [e["cidr"]],
        "is-default": lambda e: ["false"], "tag-key": lambda e: list(e["tags"])})
    entries, token = page(call, entries, 5, 1000)
    return {"vpcSet": [{
        "vpcId": e["id"], "ownerId": call.world.data["account"], "state": "available",
        "cidrBlock": e["cidr"], "cidrBlockAssociationSet": [
            {"cidrBlock": e["cidr"], **block(e, "vpc"), "cidrBlockState": {"state": "associated"}}],
        "dhcpOptionsId": "dopt-0f0f", "tagSet": tag_set(e), "instanceTenancy": "default",
        "isDefault": False} for e in entries], "nextToken": token}


def subnet_item(call, entry):
    cidr6 = entry.get("ipv6_cidr")
    return {
        "subnetId": entry["id"], "state": "available", "vpcId": entry["vpc"],
        "cidrBlock": entry["cidr"], "availableIpAddressCount": 240,
        "availabilityZone": entry["zone"], "availabilityZoneId": entry["zone_id"],
        "defaultForAz": False, "mapPublicIpOnLaunch": False,
        "ownerId": call.world.data["account"], "ipv6Native": False,
        "ipv6CidrBlockAssociationSet": [
            {**block(entry, "subnet"), "ipv6CidrBlock": cidr6,
             "ipv6CidrBlockState": {"state": "associated"}}] if cidr6 else [],
        "tagSet": tag_set(entry)}


@action("DescribeSubnets", "SubnetId.N", *FILTERS, *PAGING)
def describe_subnets(call):
    entries = with_ids(call.world.data["subnets"])
    ids = call.params.many("SubnetId")
    if ids:
        entries = pick(entries, ids, SUBNET_ID, "InvalidSubnetID", "subnet ID")
    entries = select(entries, call.params.filters(), {
        "vpc-id": lambda e: [e["vpc"]], "subnet-id": lambda e: [e["id"]],
        "availability-zone": lambda e: [e["zone"]], "cidr-block": lambda e: [e["cidr"]],
        "state": lambda e: ["available"], "tag-key": lambda e: list(e["tags"])})
    entries, token = page(call, entries, 5, 1000)
    return {"subnetSet": [subnet_item(call, e) for e in entries], "nextToken": token}


@action("DescribeRegions", "RegionName.N", "AllRegions", *FILTERS)
def describe_regions(call):
    region = call.world.region
    wanted = call.params.many("RegionName")
    if wanted and wanted != [region]:
        raise ApiError("InvalidParameterValue", f"Invalid region names: [{', '.join(wanted)}]")
    return {"regionInfo": [{"regionName": region, "regionEndpoint": f"ec2.{region}.amazonaws.com",
                            "optInStatus": "opt-in-not-required"}]}


# --- security groups --------------------------------------------------------------------------

def source_kind(source):
    """groups, ipRanges or ipv6Ranges"""
    if source.startswith("sg-"):
        return "groups"
    return "ipRanges" if ipaddress.ip_network(source).version == 4 else "ipv6Ranges"


def permission(call, rule):
    """A rule as an item of ipPermissions."""
    ports = {} if rule["protocol"] == "-1" else {"fromPort": rule["from"], "toPort": rule["to"]}
    text = {"description": rule["description"]} if rule.get("description") else {}
    made = {"ipProtocol": rule["protocol"], **ports, "groups": [], "ipRanges": [],
            "ipv6Ranges": [], "prefixListIds": []}
    made[source_kind(rule["source"])].append({
        "groups": {"userId": call.world.data["account"], "groupId": rule["source"]},
        "ipRanges": {"cidrIp": rule["source"]},
        "ipv6Ranges": {"cidrIpv6": rule["source"]}}[source_kind(rule["source"])] | text)
    return made


def rule_item(call, group_id, egress, rule):
    """A rule as an item of securityGroupRuleSet; -1 stands for all ports here."""
    every = rule["protocol"] == "-1"
    identity = repr((group_id, egress, rule["protocol"], rule.get("from"), rule["source"]))
    owner = call.world.data["account"]
    source = {"groups": {"referencedGroupInfo": {"userId": owner, "groupId": rule["source"]}},
              "ipRanges": {"cidrIpv4": rule["source"]},
              "ipv6Ranges": {"cidrIpv6": rule["source"]}}[source_kind(rule["source"])]
    return {"securityGroupRuleId": "sgr-" + hashlib.sha1(identity.encode()).hexdigest()[:17],
            "groupId": group_id, "groupOwnerId": owner, "isEgress": egress,
            "ipProtocol": rule["protocol"], "fromPort": -1 if every else rule["from"],
            "toPort": -1 if every else rule["to"], **source,
            "description": rule.get("description") or OMIT, "tagSet": []}


GROUP_FILTERS = {
    "vpc-id": lambda e: [e["vpc"]], "group-id": lambda e: [e["id"]],
    "group-name": lambda e: [e["name"]], "tag-key": lambda e: list(all_tags(e)),
    "ip-permission.from-port": lambda e: [str(r.get("from")) for r in e["ingress"]],
    "egress.ip-permission.from-port": lambda e: [str(r.get("from")) for r in e["egress"]],
}


@action("DescribeSecurityGroups", "GroupId.N", "GroupName.N", *FILTERS, *PAGING)
def describe_groups(call):
    entries = with_ids(call.world.data["groups"])
    ids = call.params.many("GroupId")
    if ids:
        entries = pick(entries, ids, GROUP_ID, "InvalidGroup", "security group")
    entries = select(entries, call.params.filters(), GROUP_FILTERS)
    entries, token = page(call, entries, 5, 1000)
    return {"securityGroupInfo": [{
        "ownerId": call.world.data["account"], "groupId": e["id"], "groupName": e["name"],
        "groupDescription": f"{e['name']} hosts", "vpcId": e["vpc"],
        "ipPermissions": [permission(call, r) for r in e["ingress"]],
        "ipPermissionsEgress": [permission(call, r) for r in e["egress"]],
        "tagSet": [{"key": k, "value": v} for k, v in e["tags"].items()]} for e in entries],
        "nextToken": token}


@action("DescribeSecurityGroupRules", "SecurityGroupRuleId.N", *FILTERS, *PAGING)
def describe_rules(call):
    items = [rule_item(call, group_id, direction == "egress", rule)
             for group_id, entry in call.world.data["groups"].items()
             for direction in ("ingress", "egress") for rule in entry[direction]]
    ids = call.params.many("SecurityGroupRuleId")
    entries = [{"tags": {}, "id": i["securityGroupRuleId"], "item": i} for i in items]
    if ids:
        entries = pick(entries, ids, re.compile(r"sgr-[0-9a-f]+\Z"),
                       "InvalidSecurityGroupRuleId", "security group rule ID")
    entries = select(entries, call.params.filters(), {
        "group-id": lambda e: [e["item"]["groupId"]],
        "security-group-rule-id": lambda e: [e["id"]]})
    entries, token = page(call, entries, 5, 1000)
    return {"securityGroupRuleSet": [e["item"] for e in entries], "nextToken": token}


def port_of(call, name):
    text = call.params.one(name)
    if text is None or not text.isdigit() or int(text) > 65535:
        raise ApiError("InvalidParameterValue", f"Invalid value '{text}' for {name}")
    return int(text)


def given_rules(call, group_vpc):
    """The rules of IpPermissions.N, one for each source."""
    values = call.params.values
    numbers = sorted({int(n.split(".")[1]) for n in values if n.startswith("IpPermissions.")})
    rules = []
    for n in numbers:
        prefix = f"IpPermissions.{n}"
        protocol = {"6": "tcp"}.get(values.get(prefix + ".IpProtocol"),
                                    values.get(prefix + ".IpProtocol"))
        if protocol not in ("tcp", "-1"):
            raise ApiError("InvalidPermission.Malformed", f"Unsupported IP protocol '{protocol}'")
        ports = {} if protocol == "-1" else {"from": port_of(call, prefix + ".FromPort"),
                                             "to": port_of(call, prefix + ".ToPort")}
        for kind, member in SOURCES:
            rules += [{"protocol": protocol, **ports, **source}
                      for source in given_sources(call, f"{prefix}.{kind}", member, group_vpc)]
    if not rules:
        raise ApiError("MissingParameter",
                       "The request must contain the parameter ipPermissions")
    return rules


def given_sources(call, prefix, member, group_vpc):
    numbers = sorted({int(n[len(prefix) + 1:].split(".")[0]) for n in call.params.values
                      if n.startswith(prefix + ".")})
    for n in numbers:
        source = call.params.one(f"{prefix}.{n}.{member}")
        text = call.params.one(f"{prefix}.{n}.Description") or ""
        if not DESCRIPTION.match(text):
            raise ApiError("InvalidParameterValue", f"Invalid rule description '{text}'")
        check_source(call, source, group_vpc)
        yield {"source": source, "description": text}


def check_source(call, source, group_vpc):
    if source and source.startswith("sg-"):
        found = call.world.data["groups"].get(source)
        if found is None or found["vpc"] != group_vpc:
            raise ApiError("InvalidGroup.NotFound",
                           f"The security group '{source}' does not exist")
        return
    try:
        ipaddress.ip_network(source or "")
    except ValueError:
        raise ApiError("InvalidParameterValue",
                       f"CIDR block {source} is malformed") from None


def authorize_rules(call, direction):
    group_id = call.params.one("GroupId") or ""
    entry = call.world.data["groups"].get(group_id)
    if entry is None:
        raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    rules = given_rules(call, entry["vpc"])

    def same(a, b):
        return all(a.get(k) == b.get(k) for k in ("protocol", "from", "to", "source"))
    for rule in rules:
        if any(same(rule, old) for old in entry[direction]):
            raise ApiError("InvalidPermission.Duplicate", "the specified rule already exists")
    entry[direction] += rules
    return {"return": True, "securityGroupRuleSet": [
        rule_item(call, group_id, direction == "egress", r) for r in rules]}


@action("AuthorizeSecurityGroupIngress", "GroupId", *RULES, *TAGS)
def authorize_ingress(call):
    return authorize_rules(call, "ingress")


@action("AuthorizeSecurityGroupEgress", "GroupId", *RULES, *TAGS)
def authorize_egress(call):
    return authorize_rules(call, "egress")


# --- endpoints --------------------------------------------------------------------------------

def given_groups(call, vpc):
    """The ids of SecurityGroupId.N, checked; none given means the VPC's default group."""
    groups = call.world.data["groups"]
    ids = call.params.many("SecurityGroupId")
    for id_ in ids:
        if id_ not in groups or groups[id_]["vpc"] != vpc:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{id_}' does not exist")
    if len(ids) > 16:
        raise ApiError("InvalidParameterValue", "At most 16 security groups")
    return ids or [i for i, g in groups.items() if g["vpc"] == vpc and g["name"] == "default"]


def given_kind(call, entry):
    """(address type, preserve client IP) with what AWS forbids refused."""
    kind = call.params.one("IpAddressType") or entry["address_type"]
    given = call.params.one("PreserveClientIp")
    preserve = entry["preserve_ip"] if given is None else given == "true"
    if kind not in TYPES or given not in (None, "true", "false"):
        raise ApiError("InvalidParameterValue", f"Invalid value '{kind}' or '{given}'")
    if preserve and kind != "ipv4":
        raise ApiError("InvalidParameterCombination",
                       "PreserveClientIp can only be used with IpAddressType ipv4")
    return kind, preserve


def repeated(call):
    """The endpoint an earlier call with the same ClientToken made, or None."""
    token = call.params.one("ClientToken")
    for entry in call.world.data["endpoints"]:
        if token and entry.get("client_token") == token:
            if entry["client_params"] != call.params.values:
                raise ApiError("IdempotentParameterMismatch", "The client token was used with "
                               "other parameters")
            return entry
    return None


@action("CreateInstanceConnectEndpoint", "SubnetId", "SecurityGroupId.N", "PreserveClientIp",
        "IpAddressType", "ClientToken", *TAGS)
def create_endpoint(call):
    world = call.world
    world.settle()
    made = repeated(call)
    if made is None:
        subnet_id = call.params.one("SubnetId") or ""
        subnet = world.data["subnets"].get(subnet_id)
        if subnet is None:
            raise ApiError("InvalidSubnetID.NotFound",
                           f"The subnet ID '{subnet_id}' does not exist")
        if any(e["vpc"] == subnet["vpc"] for e in world.data["endpoints"]):
            raise ApiError("InstanceConnectEndpointLimitExceeded", "The maximum number of "
                           f"endpoints for {subnet['vpc']} has been reached.")
        made = endpoint("eice-" + uuid.uuid4().hex[:17], subnet["vpc"], subnet_id,
                        groups=given_groups(call, subnet["vpc"]), tags=call.params.given_tags(),
                        address_type="dualstack" if subnet.get("ipv6_cidr") else "ipv4",
                        client_token=call.params.one("ClientToken"),
                        client_params=dict(call.params.values))
        made["address_type"], made["preserve_ip"] = given_kind(call, made)
        world.begin(made, "create-in-progress")
        world.data["endpoints"].append(made)
    return {"instanceConnectEndpoint": endpoint_item(call, made),
            "clientToken": call.params.one("ClientToken")}


def known_endpoint(call):
    id_ = call.params.one("InstanceConnectEndpointId") or ""
    entry = call.world.endpoint(id_)
    if entry is None:
        raise ApiError("InvalidInstanceConnectEndpointId.NotFound",
                       f"The instance connect endpoint ID '{id_}' does not exist")
    return entry


@action("ModifyInstanceConnectEndpoint", "InstanceConnectEndpointId", "SecurityGroupId.N",
        "IpAddressType", "PreserveClientIp")
def modify_endpoint(call):
    entry = known_endpoint(call)
    if entry["state"] not in ("create-complete", "update-complete", "update-failed"):
        raise ApiError("IncorrectState", f"The endpoint is in state {entry['state']}")
    entry["address_type"], entry["preserve_ip"] = given_kind(call, entry)
    if call.params.many("SecurityGroupId"):
        entry["groups"] = given_groups(call, entry["vpc"])
    call.world.begin(entry, "update-in-progress")
    return {"return": True}


@action("DeleteInstanceConnectEndpoint", "InstanceConnectEndpointId")
def delete_endpoint(call):
    entry = known_endpoint(call)
    call.world.begin(entry, "delete-in-progress")
    return {"instanceConnectEndpoint": endpoint_item(call, entry)}


# --- consoles ---------------------------------------------------------------------------------

def console_text(call, entry):
    """What cloud-init prints at first boot, with the real sshd's host keys where there is one."""
    lines = ["[    0.000000] Linux version 6.1.0", "cloud-init[1522]: Cloud-init v. 22.2.2 running"]
    server = call.sim.sshds.servers.get(entry["id"]) if call.sim.sshds else None
    if server:
        described = server.describe()
        names = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
        lines.append("ci-info: -----BEGIN SSH HOST KEY FINGERPRINTS-----")
        for key, print_ in zip(described["host_keys"], described["fingerprints"]):
            kind = names.get(key.split()[0], "ECDSA")
            bits = 2048 if kind == "RSA" else 256
            lines.append(f"<14>Nov 22 05:00:00 cloud-init: {bits} {print_} {key.split()[2]} "
                         f"({kind})")
        lines.append("ci-info: -----END SSH HOST KEY FINGERPRINTS-----")
        lines += ["-----BEGIN SSH HOST KEY KEYS-----", *described["host_keys"],
                  "-----END SSH HOST KEY KEYS-----"]
    return "\r\n".join([*lines, "login: ", ""])


@action("GetConsoleOutput", "InstanceId", "Latest")
def get_console_output(call):
    id_ = call.params.one("InstanceId") or ""
    entry = call.world.instance(id_)
    if entry is None or entry["id"] != id_:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{id_}' does not exist")
    text = entry["console"] or console_text(call, entry)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(call.world.clock()))
    return {"instanceId": id_, "timestamp": stamp,
            "output": base64.encodebytes(text.encode()).decode()}


@action("GetSerialConsoleAccessStatus")
def get_serial_console(call):
    return {"serialConsoleAccessEnabled": call.world.data.get("serial_console", False),
            "managedBy": "account"}


@action("EnableSerialConsoleAccess")
def enable_serial_console(call):
    call.world.data["serial_console"] = True
    return {"serialConsoleAccessEnabled": True}


@action("DisableSerialConsoleAccess")
def disable_serial_console(call):
    call.world.data["serial_console"] = False
    return {"serialConsoleAccessEnabled": False}
