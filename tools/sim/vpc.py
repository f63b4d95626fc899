"""EC2 actions about networks: VPCs, subnets, interfaces, ACLs, routes; images, Regions and tags.

They enter the table of ec2.py when this module is imported.
"""

import re
import time

from . import network
from .ec2 import (FILTERS, PAGING, action, all_tags, group_set, interface, page, pick, select,
                  tag_set)
from .errors import ApiError
from .xmlout import OMIT

TAGS = ("TagSpecification.N.ResourceType", "TagSpecification.N.Tag.N.Key",
        "TagSpecification.N.Tag.N.Value")
VPC_TAGGED = {"vpc-id": lambda e: [e["vpc"]], "tag-key": lambda e: list(all_tags(e)),
              "tag-value": lambda e: list(all_tags(e).values())}


def with_ids(table):
    """The entries of a table {id: entry}, each with its id and tags in it."""
    return [{"tags": {}, "name": None, **entry, "id": id_} for id_, entry in table.items()]


def found(call, entries, parameter, code, noun, filters, low=5):
    """(entries on this page, next token) of a Describe call that takes ids and filters."""
    ids = call.params.many(parameter)
    if ids:
        prefix = entries[0]["id"].partition("-")[0] if entries else "x"
        pattern = re.compile(prefix + r"-[0-9a-f]{8,17}\Z")
        entries = pick(entries, ids, pattern, code, noun)
    entries = select(entries, call.params.filters(), filters)
    return page(call, entries, low, 1000)


def now(call):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(call.world.clock()))


# --- VPCs and subnets -----------------------------------------------------------------------

def association(entry, kind):
    return {"associationId": f"{kind}-cidr-assoc-{entry['id'][-8:]}"}


def ranges(entry, name, kind, cidrs):
    """One of the cidrBlockAssociationSets."""
    return [{name: c, **association(entry, kind), name + "State": {
        "state": "associated"}} for c in cidrs if c]


def vpc_item(call, entry):
    cidrs = [entry["cidr"], *entry.get("more_cidrs", ())]
    return {"vpcId": entry["id"], "ownerId": call.world.data["account"], "state": "available",
            "cidrBlock": entry["cidr"],
            "cidrBlockAssociationSet": ranges(entry, "cidrBlock", "vpc", cidrs),
            "ipv6CidrBlockAssociationSet": ranges(entry, "ipv6CidrBlock", "vpc",
                                                  [entry.get("ipv6_cidr")]),
            "dhcpOptionsId": "dopt-0f0f", "tagSet": tag_set(entry), "instanceTenancy": "default",
            "isDefault": entry.get("default", False)}


@action("DescribeVpcs", "VpcId.N", *FILTERS, *PAGING)
def describe_vpcs(call):
    entries, token = found(call, with_ids(call.world.data["vpcs"]), "VpcId", "InvalidVpcID",
                           "vpc ID", {
        "vpc-id": lambda e: [e["id"]], "cidr": lambda e: [e["cidr"]],
        "state": lambda e: ["available"],
        "is-default": lambda e: [str(e.get("default", False)).lower()],
        "tag-key": lambda e: list(all_tags(e))})
    return {"vpcSet": [vpc_item(call, e) for e in entries], "nextToken": token}


def subnet_item(call, entry):
    return {
        "subnetId": entry["id"], "state": "available", "vpcId": entry["vpc"],
        "subnetArn": f"arn:aws:ec2:{call.world.region}:{call.world.data['account']}"
                     f":subnet/{entry['id']}",
        "cidrBlock": entry["cidr"], "availableIpAddressCount": entry.get("free", 240),
        "availabilityZone": entry["zone"], "availabilityZoneId": entry["zone_id"],
        "defaultForAz": False, "mapPublicIpOnLaunch": False,
        "ownerId": entry.get("owner", call.world.data["account"]), "ipv6Native": False,
        "ipv6CidrBlockAssociationSet": ranges(entry, "ipv6CidrBlock", "subnet",
                                              [entry.get("ipv6_cidr")]),
        "tagSet": tag_set(entry)}


@action("DescribeSubnets", "SubnetId.N", *FILTERS, *PAGING)
def describe_subnets(call):
    entries, token = found(call, with_ids(call.world.data["subnets"]), "SubnetId",
                           "InvalidSubnetID", "subnet ID", {
        **VPC_TAGGED, "subnet-id": lambda e: [e["id"]],
        "availability-zone": lambda e: [e["zone"]], "cidr-block": lambda e: [e["cidr"]],
        "state": lambda e: ["available"]})
    return {"subnetSet": [subnet_item(call, e) for e in entries], "nextToken": token}


# --- interfaces -------------------------------------------------------------------------------

def endpoint_interface(call, entry):
    """The one interface of an endpoint, which EC2 keeps for it."""
    data = call.world.data
    four, six = (network.endpoint_address(data, entry, v) for v in (4, 6))
    four = None if entry["address_type"] == "ipv6" else four
    six = None if entry["address_type"] == "ipv4" else six
    return {
        "networkInterfaceId": "eni-" + entry["id"][5:], "subnetId": entry["subnet"],
        "vpcId": entry["vpc"], "description": "EC2 Instance Connect Endpoint Interface",
        "ownerId": data["account"], "requesterManaged": True, "status": "in-use",
        "macAddress": "02:00:00:00:00:02", "privateIpAddress": str(four) if four else OMIT,
        "sourceDestCheck": True, "groupSet": group_set(call, entry), "tagSet": tag_set(entry),
        "privateIpAddressesSet": [{"privateIpAddress": str(four), "primary": True}] if four else [],
        "ipv6AddressesSet": [{"ipv6Address": str(six)}] if six else [],
        "interfaceType": "ec2_instance_connect_endpoint"}


def interfaces(call):
    """All of them, as entries that filters can look at."""
    world = call.world
    world.settle()
    items = [interface(call, i) for i in world.data["instances"] if i["vpc"]]
    items += [endpoint_interface(call, e) for e in world.data["endpoints"]
              if e["vpc"] in world.data["vpcs"] and e["state"] != "create-failed"]
    return [{"id": i["networkInterfaceId"], "vpc": i["vpcId"], "tags": {}, "item": i}
            for i in items]


@action("DescribeNetworkInterfaces", "NetworkInterfaceId.N", *FILTERS, *PAGING)
def describe_interfaces(call):
    def member(name):
        return lambda e: [v for v in [e["item"].get(name)] if isinstance(v, str)]
    entries, token = found(call, interfaces(call), "NetworkInterfaceId",
                           "InvalidNetworkInterfaceID", "networkInterface ID", {
        **VPC_TAGGED, "network-interface-id": lambda e: [e["id"]],
        "subnet-id": member("subnetId"), "private-ip-address": member("privateIpAddress"),
        "addresses.private-ip-address": member("privateIpAddress"),
        "interface-type": member("interfaceType"), "status": member("status"),
        "description": member("description"),
        "group-id": lambda e: [g["groupId"] for g in e["item"]["groupSet"]],
        "ipv6-addresses.ipv6-address": lambda e: [
            a["ipv6Address"] for a in e["item"]["ipv6AddressesSet"]]})
    return {"networkInterfaceSet": [e["item"] for e in entries], "nextToken": token}


# --- ACLs, routes, prefix lists ---------------------------------------------------------------

def subnets_of(call, entry, table, only):
    """The subnets an ACL or route table is for: those named, or all that name no other."""
    if not entry[only]:
        return entry["subnets"]
    named = {s for e in table.values() for s in e["subnets"]}
    return [i for i, s in call.world.data["subnets"].items()
            if s["vpc"] == entry["vpc"] and i not in named]


ACL_PROTOCOLS = {"-1": "-1", "tcp": "6", "6": "6"}


def acl_entry(entry):
    six = ":" in entry["cidr"]
    ports = {} if entry["protocol"] == "-1" else {
        "portRange": {"from": entry["from"], "to": entry["to"]}}
    return {"ruleNumber": entry["number"], "protocol": ACL_PROTOCOLS[entry["protocol"]],
            "ruleAction": entry["action"], "egress": entry["egress"],
            ("ipv6CidrBlock" if six else "cidrBlock"): entry["cidr"], **ports}


def acl_item(call, entry):
    """With the two entries that end every ACL and deny what is left."""
    last = [{"ruleNumber": 32767 + six, "protocol": "-1", "ruleAction": "deny", "egress": out,
             ("ipv6CidrBlock" if six else "cidrBlock"): "::/0" if six else "0.0.0.0/0"}
            for out in (True, False) for six in (0, 1)]
    table = call.world.data["acls"]
    return {"networkAclId": entry["id"], "vpcId": entry["vpc"], "default": entry["default"],
            "ownerId": call.world.data["account"],
            "entrySet": [acl_entry(e) for e in entry["entries"]] + last,
            "associationSet": [{"networkAclAssociationId": "aclassoc-" + s[7:],
                                "networkAclId": entry["id"], "subnetId": s}
                               for s in subnets_of(call, entry, table, "default")],
            "tagSet": tag_set(entry)}


@action("DescribeNetworkAcls", "NetworkAclId.N", *FILTERS, *PAGING)
def describe_acls(call):
    table = call.world.data["acls"]
    entries, token = found(call, with_ids(table), "NetworkAclId", "InvalidNetworkAclID",
                           "networkAcl ID", {
        **VPC_TAGGED, "network-acl-id": lambda e: [e["id"]],
        "default": lambda e: [str(e["default"]).lower()],
        "association.subnet-id": lambda e: subnets_of(call, e, table, "default")})
    return {"networkAclSet": [acl_item(call, e) for e in entries], "nextToken": token}


def route_item(destination, target, state, origin):
    six = ":" in destination
    kinds = {"local": "gatewayId", "pcx": "vpcPeeringConnectionId", "eni": "networkInterfaceId",
             "nat": "natGatewayId", "tgw": "transitGatewayId"}
    return {("destinationIpv6CidrBlock" if six else "destinationCidrBlock"): destination,
            kinds.get(target.partition("-")[0], "gatewayId"): target, "state": state,
            "origin": origin}


def route_table_item(call, entry):
    data = call.world.data
    local = network.vpc_ranges(data["vpcs"][entry["vpc"]])
    return {"routeTableId": entry["id"], "vpcId": entry["vpc"], "ownerId": data["account"],
            "routeSet": [route_item(c, "local", "active", "CreateRouteTable") for c in local]
            + [route_item(r["destination"], r["target"], r["state"], "CreateRoute")
               for r in entry["routes"]],
            "associationSet": [{"routeTableAssociationId": "rtbassoc-" + (s or entry["id"])[-17:],
                                "routeTableId": entry["id"], "main": s is None,
                                "subnetId": s or OMIT,
                                "associationState": {"state": "associated"}}
                               for s in (entry["subnets"] or [None])],
            "propagatingVgwSet": [], "tagSet": tag_set(entry)}


@action("DescribeRouteTables", "RouteTableId.N", *FILTERS, *PAGING)
def describe_route_tables(call):
    entries, token = found(call, with_ids(call.world.data["route_tables"]), "RouteTableId",
                           "InvalidRouteTableID", "routeTable ID", {
        **VPC_TAGGED, "route-table-id": lambda e: [e["id"]],
        "association.main": lambda e: [str(e["main"]).lower()],
        "association.subnet-id": lambda e: e["subnets"]})
    return {"routeTableSet": [route_table_item(call, e) for e in entries], "nextToken": token}


@action("DescribeManagedPrefixLists", "PrefixListId.N", *FILTERS, *PAGING)
def describe_prefix_lists(call):
    entries, token = found(call, with_ids(call.world.data["prefix_lists"]), "PrefixListId",
                           "InvalidPrefixListID", "prefix list ID", {
        "prefix-list-id": lambda e: [e["id"]], "prefix-list-name": lambda e: [e["name"]]}, 1)
    return {"prefixListSet": [{
        "prefixListId": e["id"], "addressFamily": "IPv6" if ":" in e["entries"][0] else "IPv4",
        "state": "create-complete", "prefixListName": e["name"], "maxEntries": 10, "version": 1,
        "ownerId": call.world.data["account"]} for e in entries], "nextToken": token}


@action("GetManagedPrefixListEntries", "PrefixListId", "TargetVersion", *PAGING)
def prefix_list_entries(call):
    id_ = call.params.one("PrefixListId") or ""
    entry = call.world.data["prefix_lists"].get(id_)
    if entry is None:
        raise ApiError("InvalidPrefixListID.NotFound", f"The prefix list ID '{id_}' does not exist")
    entries, token = page(call, entry["entries"], 1, 100)
    return {"entrySet": [{"cidr": c} for c in entries], "nextToken": token}


# --- images, Regions ----------------------------------------------------------------------------

@action("DescribeImages", "ImageId.N", "Owner.N", "ExecutableBy.N", "IncludeDeprecated",
        *FILTERS, *PAGING)
def describe_images(call):
    entries = with_ids(call.world.data["images"])
    owners = call.params.many("Owner")
    if owners:
        entries = [e for e in entries if {e["owner"], e["alias"]} & set(owners)]
    entries, token = found(call, entries, "ImageId", "InvalidAMIID", "image id", {
        "image-id": lambda e: [e["id"]], "name": lambda e: [e["name"]],
        "owner-id": lambda e: [e["owner"]], "owner-alias": lambda e: [e["alias"]],
        "platform": lambda e: [e["platform"]], "state": lambda e: ["available"],
        "architecture": lambda e: ["arm64"]}, 1)
    return {"imagesSet": [{
        "imageId": e["id"], "imageLocation": f"{e['alias'] or e['owner']}/{e['name']}",
        "imageState": "available", "imageOwnerId": e["owner"], "isPublic": True,
        "architecture": "arm64", "imageType": "machine", "platform": e["platform"] or OMIT,
        "imageOwnerAlias": e["alias"] or OMIT, "name": e["name"],
        "description": e.get("description") or OMIT, "rootDeviceType": "ebs",
        "platformDetails": e["details"], "tagSet": []} for e in entries], "nextToken": token}


@action("DescribeRegions", "RegionName.N", "AllRegions", *FILTERS)
def describe_regions(call):
    main = call.sim.world
    entries = [{"id": i, "state": "opt-in-not-required", "tags": {}}
               for i in (main.region, *main.others)]
    if call.params.one("AllRegions") == "true":
        entries.append({"id": "ap-east-1", "state": "not-opted-in", "tags": {}})
    wanted = call.params.many("RegionName")
    if set(wanted) - {e["id"] for e in entries}:
        raise ApiError("InvalidParameterValue", f"Invalid region names: [{', '.join(wanted)}]")
    entries = [e for e in entries if not wanted or e["id"] in wanted]
    entries = select(entries, call.params.filters(), {
        "region-name": lambda e: [e["id"]], "opt-in-status": lambda e: [e["state"]],
        "endpoint": lambda e: [f"ec2.{e['id']}.amazonaws.com"]})
    return {"regionInfo": [{"regionName": e["id"],
                            "regionEndpoint": f"ec2.{e['id']}.amazonaws.com",
                            "optInStatus": e["state"]} for e in entries]}


# --- tags ---------------------------------------------------------------------------------------

def change_tags(call, change):
    """Calls change(tags, entry) for each resource; nothing is changed when one is not there."""
    ids = call.params.many("ResourceId")
    if not ids:
        raise ApiError("MissingParameter", "The request must contain the parameter resourceIdSet")
    held = {i: call.world.tags_of(i) for i in ids}
    for id_, tags in held.items():
        if tags is None:
            raise ApiError("InvalidID", f"The ID '{id_}' is not valid")
    for id_, tags in held.items():
        change(tags, call.world.instance(id_) if id_.startswith("i-") else {})
    return {"return": True}


@action("CreateTags", "ResourceId.N", "Tag.N.Key", "Tag.N.Value")
def create_tags(call):
    given = call.params.plain_tags()

    def change(tags, entry):
        tags.update({k: v for k, v in given.items() if k != "Name" or "name" not in entry})
        if "Name" in given and "name" in entry:
            entry["name"] = given["Name"]
    for key in given:
        if key.startswith("aws:") or not 1 <= len(key) <= 128:
            raise ApiError("InvalidParameterValue", f"Tag key '{key}' is not allowed")
    return change_tags(call, change)


@action("DeleteTags", "ResourceId.N", "Tag.N.Key", "Tag.N.Value")
def delete_tags(call):
    values = call.params.values
    given = {k: values.get(n[:-3] + "Value") for n, k in values.items() if n.endswith(".Key")}

    def change(tags, entry):
        for key, value in given.items():
            if value in (None, tags.get(key)):
                tags.pop(key, None)
    return change_tags(call, change)
