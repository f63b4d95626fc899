"""EC2 actions about security groups and their rules.

They enter the table of ec2.py when this module is imported.
"""

import hashlib
import ipaddress
import re
import uuid

from .ec2 import FILTERS, PAGING, action, tag_set
from .errors import ApiError
from .vpc import TAGS, VPC_TAGGED, found, with_ids
from .world import group
from .xmlout import OMIT

RULES = tuple("IpPermissions.N." + name for name in (
    "IpProtocol", "FromPort", "ToPort", "Groups.N.GroupId", "Groups.N.UserId",
    "Groups.N.Description", "IpRanges.N.CidrIp", "IpRanges.N.Description",
    "Ipv6Ranges.N.CidrIpv6", "Ipv6Ranges.N.Description", "PrefixListIds.N.PrefixListId",
    "PrefixListIds.N.Description"))
SOURCES = (("Groups", "GroupId"), ("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"),
           ("PrefixListIds", "PrefixListId"))
DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}\Z")


def source_kind(source):
    """groups, ipRanges, ipv6Ranges or prefixListIds"""
    if source.startswith("sg-"):
        return "groups"
    if source.startswith("pl-"):
        return "prefixListIds"
    return "ipRanges" if ipaddress.ip_network(source).version == 4 else "ipv6Ranges"


def permission(call, rule):
    """A rule as an item of ipPermissions."""
    ports = {} if rule["protocol"] == "-1" else {"fromPort": rule["from"], "toPort": rule["to"]}
    text = {"description": rule["description"]} if rule.get("description") else {}
    kind, source = source_kind(rule["source"]), rule["source"]
    made = {"ipProtocol": rule["protocol"], **ports, "groups": [], "ipRanges": [],
            "ipv6Ranges": [], "prefixListIds": []}
    made[kind].append({
        "groups": {"userId": call.world.data["account"], "groupId": source},
        "ipRanges": {"cidrIp": source}, "ipv6Ranges": {"cidrIpv6": source},
        "prefixListIds": {"prefixListId": source}}[kind] | text)
    return made


def rule_id(group_id, direction, rule):
    identity = repr((group_id, direction, rule["protocol"], rule.get("from"), rule.get("to"),
                     rule["source"]))
    return "sgr-" + hashlib.sha1(identity.encode()).hexdigest()[:17]


def rule_item(call, group_id, direction, rule):
    """A rule as an item of securityGroupRuleSet; -1 stands for all ports here."""
    every = rule["protocol"] == "-1"
    owner = call.world.data["account"]
    source = {"groups": {"referencedGroupInfo": {"userId": owner, "groupId": rule["source"]}},
              "ipRanges": {"cidrIpv4": rule["source"]},
              "ipv6Ranges": {"cidrIpv6": rule["source"]},
              "prefixListIds": {"prefixListId": rule["source"]}}[source_kind(rule["source"])]
    return {"securityGroupRuleId": rule_id(group_id, direction, rule),
            "groupId": group_id, "groupOwnerId": owner, "isEgress": direction == "egress",
            "ipProtocol": rule["protocol"], "fromPort": -1 if every else rule["from"],
            "toPort": -1 if every else rule["to"], **source,
            "description": rule.get("description") or OMIT,
            "tagSet": [{"key": k, "value": v} for k, v in rule.get("tags", {}).items()]}


def _rule_filters(prefix, direction):
    """The filters about what the rules of a group say."""
    def of(member):
        return lambda e: [str(r[member]) for r in e[direction] if r.get(member) is not None]

    def sources(kind):
        return lambda e: [r["source"] for r in e[direction] if source_kind(r["source"]) == kind]
    return {prefix + "from-port": of("from"), prefix + "to-port": of("to"),
            prefix + "protocol": of("protocol"), prefix + "cidr": sources("ipRanges"),
            prefix + "ipv6-cidr": sources("ipv6Ranges"), prefix + "group-id": sources("groups"),
            prefix + "prefix-list-id": sources("prefixListIds")}


GROUP_FILTERS = {
    **VPC_TAGGED, "group-id": lambda e: [e["id"]], "group-name": lambda e: [e["name"]],
    **_rule_filters("ip-permission.", "ingress"),
    **_rule_filters("egress.ip-permission.", "egress"),
}


@action("DescribeSecurityGroups", "GroupId.N", "GroupName.N", *FILTERS, *PAGING)
def describe_groups(call):
    names = call.params.many("GroupName")
    entries = [e for e in with_ids(call.world.data["groups"]) if not names or e["name"] in names]
    entries, token = found(call, entries, "GroupId", "InvalidGroup", "security group",
                           GROUP_FILTERS)
    return {"securityGroupInfo": [{
        "ownerId": call.world.data["account"], "groupId": e["id"], "groupName": e["name"],
        "groupDescription": e.get("description") or f"{e['name']} hosts", "vpcId": e["vpc"],
        "ipPermissions": [permission(call, r) for r in e["ingress"]],
        "ipPermissionsEgress": [permission(call, r) for r in e["egress"]],
        "tagSet": [{"key": k, "value": v} for k, v in e["tags"].items()]} for e in entries],
        "nextToken": token}


@action("DescribeSecurityGroupRules", "SecurityGroupRuleId.N", *FILTERS, *PAGING)
def describe_rules(call):
    items = [(rule, rule_item(call, group_id, direction, rule))
             for group_id, entry in call.world.data["groups"].items()
             for direction in ("ingress", "egress") for rule in entry[direction]]
    entries = [{"tags": rule.get("tags", {}), "id": i["securityGroupRuleId"], "item": i}
               for rule, i in items]
    entries, token = found(call, entries, "SecurityGroupRuleId", "InvalidSecurityGroupRuleId",
                           "security group rule ID", {
        "group-id": lambda e: [e["item"]["groupId"]], "tag-key": lambda e: list(e["tags"]),
        "security-group-rule-id": lambda e: [e["id"]]})
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
    if source and source.startswith("pl-"):
        if source not in call.world.data["prefix_lists"]:
            raise ApiError("InvalidPrefixListID.NotFound",
                           f"The prefix list ID '{source}' does not exist")
        return
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


def known_group(call):
    """(id, entry) of the parameter GroupId."""
    group_id = call.params.one("GroupId") or ""
    entry = call.world.data["groups"].get(group_id)
    if entry is None:
        raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    return group_id, entry


def same(a, b):
    return all(a.get(k) == b.get(k) for k in ("protocol", "from", "to", "source"))


def authorize_rules(call, direction):
    group_id, entry = known_group(call)
    rules = given_rules(call, entry["vpc"])
    for rule in rules:
        rule["tags"] = call.params.given_tags()
        if any(same(rule, old) for old in entry[direction]):
            raise ApiError("InvalidPermission.Duplicate", "the specified rule already exists")
    if len(entry[direction]) + len(rules) > call.world.settings["rules_per_group"]:
        raise ApiError("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per "
                       f"security group has been reached: {group_id}")
    entry[direction] += rules
    return {"return": True, "securityGroupRuleSet": [
        rule_item(call, group_id, direction, r) for r in rules]}


def meant_rules(call, group_id, entry, direction):
    """The rules a Revoke call names, by their ids or by what they say."""
    ids = call.params.many("SecurityGroupRuleId")
    if ids:
        known = {rule_id(group_id, direction, r): r for r in entry[direction]}
        missing = [i for i in ids if i not in known]
        if missing:
            raise ApiError("InvalidSecurityGroupRuleId.NotFound",
                           f"The security group rule ID '{missing[0]}' does not exist")
        return [known[i] for i in ids]
    wanted = given_rules(call, entry["vpc"])
    for rule in wanted:
        if not any(same(rule, r) for r in entry[direction]):
            raise ApiError("InvalidPermission.NotFound", "The specified rule does not exist in "
                           "this security group.")
    return [r for r in entry[direction] if any(same(r, w) for w in wanted)]


def revoke_rules(call, direction):
    group_id, entry = known_group(call)
    gone = meant_rules(call, group_id, entry, direction)
    entry[direction] = [r for r in entry[direction] if r not in gone]
    return {"return": True}


for _verb, _change in (("Authorize", authorize_rules), ("Revoke", revoke_rules)):
    for _way in ("Ingress", "Egress"):
        action(f"{_verb}SecurityGroup{_way}", "GroupId", "SecurityGroupRuleId.N", *RULES, *TAGS)(
            lambda call, change=_change, way=_way.lower(): change(call, way))


# --- groups -------------------------------------------------------------------------------------

@action("CreateSecurityGroup", "GroupName", "GroupDescription", "VpcId", *TAGS)
def create_group(call):
    given = {n: call.params.one(n) for n in ("GroupName", "GroupDescription", "VpcId")}
    for name, value in given.items():
        if not value:
            raise ApiError("MissingParameter", f"The request must contain the parameter {name}")
    data = call.world.data
    if given["VpcId"] not in data["vpcs"]:
        raise ApiError("InvalidVpcID.NotFound",
                       f"The vpc ID '{given['VpcId']}' does not exist")
    if any((g["vpc"], g["name"]) == (given["VpcId"], given["GroupName"])
           for g in data["groups"].values()):
        raise ApiError("InvalidGroup.Duplicate", f"The security group '{given['GroupName']}' "
                       f"already exists for VPC '{given['VpcId']}'")
    made = group(given["GroupName"], given["VpcId"])
    made["tags"] = call.params.given_tags()
    made["description"] = given["GroupDescription"]
    id_ = "sg-" + uuid.uuid4().hex[:17]
    data["groups"][id_] = made
    return {"return": True, "groupId": id_, "tagSet": tag_set(made)}


def users_of(call, id_):
    """Whatever keeps a group from being deleted."""
    data = call.world.data
    yield from (e["id"] for e in data["instances"] + data["endpoints"] if id_ in e["groups"])
    yield from (g for g, e in data["groups"].items() for r in e["ingress"] + e["egress"]
                if r["source"] == id_ and g != id_)


@action("DeleteSecurityGroup", "GroupId")
def delete_group(call):
    id_, entry = known_group(call)
    if entry["name"] == "default":
        raise ApiError("CannotDelete", "the specified group: default cannot be deleted by a user")
    if any(users_of(call, id_)):
        raise ApiError("DependencyViolation", f"resource {id_} has a dependent object")
    del call.world.data["groups"][id_]
    return {"return": True, "groupId": id_}
