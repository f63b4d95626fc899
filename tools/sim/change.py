"""EC2 actions that change instances, network ACLs and routes.

They enter the table of ec2.py when this module is imported.
"""

import ipaddress

from .ec2 import INSTANCE_ID, action, pick
from .errors import ApiError
from .vpc import ACL_PROTOCOLS
from .world import STATE_CODES

ENTRY = ("NetworkAclId", "RuleNumber", "Egress")
RULE = ("Protocol", "RuleAction", "CidrBlock", "Ipv6CidrBlock", "PortRange.From", "PortRange.To")
RULE_LAST = 32766


def needed(call, name):
    value = call.params.one(name)
    if not value:
        raise ApiError("MissingParameter", f"The request must contain the parameter {name}")
    return value


def one_of(call, name, values):
    """The value of a parameter that must be one of these; None when it is not given."""
    value = call.params.one(name)
    if value is not None and value not in values:
        raise ApiError("InvalidParameterValue", f"Invalid value '{value}' for {name}")
    return value


# --- instances --------------------------------------------------------------------------------

def state(name):
    return {"code": STATE_CODES[name], "name": name}


@action("StartInstances", "InstanceId.N")
def start_instances(call):
    """What is on its way down cannot be started; what runs, runs on."""
    call.world.settle()
    ids = call.params.many("InstanceId")
    if not ids:
        needed(call, "InstanceId")
    entries = pick(call.world.data["instances"], ids, INSTANCE_ID, "InvalidInstanceID",
                   "instance ID")
    for entry in entries:
        if entry["state"] not in ("stopped", "pending", "running"):
            raise ApiError("IncorrectInstanceState", f"The instance '{entry['id']}' is not in a "
                           "state from which it can be started.")
    before = {e["id"]: e["state"] for e in entries}
    for entry in entries:
        if entry["state"] == "stopped":
            call.world.begin_instance(entry, "pending", "running")
    return {"instancesSet": [{"instanceId": e["id"], "currentState": state(e["state"]),
                              "previousState": state(before[e["id"]])} for e in entries]}


@action("ModifyInstanceMetadataOptions", "InstanceId", "HttpTokens", "HttpEndpoint",
        "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags")
def modify_metadata(call):
    """Only whether the service is there means anything here."""
    entry = pick(call.world.data["instances"], [needed(call, "InstanceId")], INSTANCE_ID,
                 "InvalidInstanceID", "instance ID")[0]
    entry["metadata"] = one_of(call, "HttpEndpoint", ("enabled", "disabled")) or entry["metadata"]
    return {"instanceId": entry["id"], "instanceMetadataOptions": {
        "state": "pending", "httpTokens": "required", "httpPutResponseHopLimit": 2,
        "httpEndpoint": entry["metadata"], "httpProtocolIpv6": "disabled"}}


# --- network ACLs -----------------------------------------------------------------------------

def known(call, name, table, code, noun):
    id_ = needed(call, name)
    if id_ not in call.world.data[table]:
        raise ApiError(f"{code}.NotFound", f"The {noun} ID '{id_}' does not exist")
    return call.world.data[table][id_]


def given_number(call):
    text = needed(call, "RuleNumber")
    if not text.isdigit() or not 1 <= int(text) <= RULE_LAST:
        raise ApiError("InvalidParameterValue", f"Invalid value '{text}' for RuleNumber: from 1 "
                       f"to {RULE_LAST}")
    return int(text)


def given_cidr(call, four, six):
    """The one of two parameters that is given, checked."""
    given = [(call.params.one(n), v) for n, v in ((four, 4), (six, 6)) if call.params.one(n)]
    if len(given) != 1:
        raise ApiError("MissingParameter" if not given else "InvalidParameterCombination",
                       f"Exactly one of {four} and {six} is needed")
    text, version = given[0]
    try:
        if ipaddress.ip_network(text).version == version:
            return text
    except ValueError:
        pass
    raise ApiError("InvalidParameterValue", f"CIDR block {text} is malformed")


def given_ports(call, protocol):
    if protocol == "-1":
        return {"from": None, "to": None}
    texts = [needed(call, f"PortRange.{end}") for end in ("From", "To")]
    if not all(t.isdigit() and int(t) <= 65535 for t in texts) or int(texts[0]) > int(texts[1]):
        raise ApiError("InvalidParameterValue", f"Invalid port range {'-'.join(texts)}")
    return {"from": int(texts[0]), "to": int(texts[1])}


def acl_place(call):
    """(ACL, number, egress, the entry that is there or None)"""
    acl = known(call, "NetworkAclId", "acls", "InvalidNetworkAclID", "networkAcl")
    needed(call, "Egress")
    number, egress = given_number(call), one_of(call, "Egress", ("true", "false")) == "true"
    there = [e for e in acl["entries"] if (e["number"], e["egress"]) == (number, egress)]
    return acl, number, egress, there[0] if there else None


def missing_entry(number):
    return ApiError("InvalidNetworkAclEntry.NotFound",
                    f"The network acl entry identified by {number} does not exist")


def put_entry(call, replace):
    acl, number, egress, there = acl_place(call)
    if replace and there is None:
        raise missing_entry(number)
    if there is not None and not replace:
        raise ApiError("NetworkAclEntryAlreadyExists", f"The network acl entry identified by "
                       f"{number} already exists.")
    needed(call, "Protocol")
    needed(call, "RuleAction")
    protocol = one_of(call, "Protocol", tuple(ACL_PROTOCOLS))
    made = {"number": number, "egress": egress,
            "action": one_of(call, "RuleAction", ("allow", "deny")), "protocol": protocol,
            "cidr": given_cidr(call, "CidrBlock", "Ipv6CidrBlock"), **given_ports(call, protocol)}
    acl["entries"] = [e for e in acl["entries"] if e is not there] + [made]
    return {"return": True}


@action("CreateNetworkAclEntry", *ENTRY, *RULE)
def create_entry(call):
    return put_entry(call, False)


@action("ReplaceNetworkAclEntry", *ENTRY, *RULE)
def replace_entry(call):
    return put_entry(call, True)


@action("DeleteNetworkAclEntry", *ENTRY)
def delete_entry(call):
    acl, number, _, there = acl_place(call)
    if there is None:
        raise missing_entry(number)
    acl["entries"] = [e for e in acl["entries"] if e is not there]
    return {"return": True}


# --- routes -----------------------------------------------------------------------------------

@action("DeleteRoute", "RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock",
        "DestinationPrefixListId")
def delete_route(call):
    """The local routes, which every table has, cannot be deleted."""
    table = known(call, "RouteTableId", "route_tables", "InvalidRouteTableID", "routeTable")
    cidr = given_cidr(call, "DestinationCidrBlock", "DestinationIpv6CidrBlock")
    kept = [r for r in table["routes"] if r["destination"] != cidr]
    if len(kept) == len(table["routes"]):
        raise ApiError("InvalidRoute.NotFound", "no route with destination-cidr-block "
                       f"{cidr} in route table {call.params.one('RouteTableId')}")
    table["routes"] = kept
    return {"return": True}
