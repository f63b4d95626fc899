"""EC2 actions about Instance Connect Endpoints; with it come those of vpc, groups, change and
console.

They enter the table of ec2.py when this module is imported.
"""

import re
import time
import uuid

from . import change, console, ec2, groups, vpc
from .ec2 import action, endpoint_item
from .errors import ApiError
from .vpc import TAGS, now
from .world import endpoint

TYPES = ("ipv4", "dualstack", "ipv6")
SUBNET_ID = re.compile(r"subnet-[0-9a-f]{8,17}\Z")
SERVICE = ec2
PARTS = (vpc, groups, change, console)


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
    """{address_type, preserve_ip} with what AWS forbids refused."""
    kind = call.params.one("IpAddressType") or entry["address_type"]
    given = call.params.one("PreserveClientIp")
    preserve = entry["preserve_ip"] if given is None else given == "true"
    if kind not in TYPES or given not in (None, "true", "false"):
        raise ApiError("InvalidParameterValue", f"Invalid value '{kind}' or '{given}'")
    if preserve and kind != "ipv4":
        raise ApiError("InvalidParameterCombination",
                       "PreserveClientIp can only be used with IpAddressType ipv4")
    return {"address_type": kind, "preserve_ip": preserve}


def check_family(entry, subnet):
    """A subnet has the addresses its ranges give."""
    if entry["address_type"] != "ipv4" and not subnet.get("ipv6_cidr"):
        raise ApiError("InvalidParameterValue", f"IpAddressType {entry['address_type']} needs a "
                       "subnet with an IPv6 CIDR block")


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


def given_subnet(call):
    """(id, entry) of the subnet the endpoint is to be in."""
    id_ = call.params.one("SubnetId")
    if not id_:
        raise ApiError("MissingParameter", "The request must contain the parameter SubnetId")
    if not SUBNET_ID.match(id_):
        raise ApiError("InvalidSubnetID.Malformed", f'Invalid id: "{id_}"')
    subnet = call.world.data["subnets"].get(id_)
    if subnet is None:
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{id_}' does not exist")
    return id_, subnet


def check_room(call, subnet):
    """The quotas; the code AWS answers with is not known, only that it is a quota error."""
    world = call.world
    held = [e for e in world.data["endpoints"] if e["state"] != "delete-complete"]
    if any(e["vpc"] == subnet["vpc"] for e in held):
        raise ApiError("InstanceConnectEndpointLimitExceeded", "The maximum number of "
                       f"endpoints for {subnet['vpc']} has been reached.")
    if len(held) >= world.settings["endpoints_per_region"]:
        raise ApiError("InstanceConnectEndpointLimitExceeded", "The maximum number of "
                       "endpoints for this account in this Region has been reached.")


def failure_of(call, own=None):
    """The StateMessage that the change is to end with, or None."""
    faults = call.faults.take("endpoint", **call.where)
    call.note_faults(faults)
    return faults["endpoint-fails"]["message"] if faults else own


@action("CreateInstanceConnectEndpoint", "SubnetId", "SecurityGroupId.N", "PreserveClientIp",
        "IpAddressType", "ClientToken", *TAGS)
def create_endpoint(call):
    world = call.world
    world.settle()
    made = repeated(call) or new_endpoint(call)
    world.data["service_linked_role"] = True
    return {"instanceConnectEndpoint": endpoint_item(call, made),
            "clientToken": call.params.one("ClientToken")}


def new_endpoint(call):
    world = call.world
    subnet_id, subnet = given_subnet(call)
    made = endpoint("eice-" + uuid.uuid4().hex[:17], subnet["vpc"], subnet_id,
                    groups=given_groups(call, subnet["vpc"]), tags=call.params.given_tags(),
                    address_type="dualstack" if subnet.get("ipv6_cidr") else "ipv4",
                    client_token=call.params.one("ClientToken"),
                    client_params=dict(call.params.values), created=now(call),
                    shown=time.monotonic() + world.settings["endpoint_hidden_ms"] / 1000)
    if call.params.one("PreserveClientIp") == "true" and not call.params.one("IpAddressType"):
        made["address_type"] = "ipv4"
    made.update(given_kind(call, made))
    check_family(made, subnet)
    check_room(call, subnet)
    full = subnet.get("free", 240) == 0
    world.begin(made, "create-in-progress", failure=failure_of(
        call, "There are no available addresses in the subnet." if full else None))
    world.data["endpoints"].append(made)
    return made


def known_endpoint(call):
    id_ = call.params.one("InstanceConnectEndpointId") or ""
    if not ec2.ENDPOINT_ID.match(id_):
        raise ApiError("InvalidInstanceConnectEndpointId.Malformed", f'Invalid id: "{id_}"')
    entry = call.world.endpoint(id_)
    if entry is None or entry["shown"] > time.monotonic():
        raise ApiError("InvalidInstanceConnectEndpointId.NotFound",
                       f"The instance connect endpoint ID '{id_}' does not exist")
    return entry


@action("ModifyInstanceConnectEndpoint", "InstanceConnectEndpointId", "SecurityGroupId.N",
        "IpAddressType", "PreserveClientIp")
def modify_endpoint(call):
    """The old settings are in force until the change is complete."""
    entry = known_endpoint(call)
    if entry["state"] not in ("create-complete", "update-complete", "update-failed"):
        raise ApiError("IncorrectState", f"The endpoint is in state {entry['state']}")
    following = given_kind(call, entry)
    check_family(following, call.world.data["subnets"].get(entry["subnet"], {}))
    if call.params.many("SecurityGroupId"):
        following["groups"] = given_groups(call, entry["vpc"])
    call.world.begin(entry, "update-in-progress", following, failure_of(call))
    return {"return": True}


@action("DeleteInstanceConnectEndpoint", "InstanceConnectEndpointId")
def delete_endpoint(call):
    entry = known_endpoint(call)
    if not entry["state"].startswith("delete-") or entry["state"] == "delete-failed":
        call.world.begin(entry, "delete-in-progress", failure=failure_of(call))
    return {"instanceConnectEndpoint": endpoint_item(call, entry)}
